//! Bodies in pieces, large ones, late ones.

use super::{assert_answers, problem, shared, twice, verdict};
use reprise_tests::harness::{Connection, Stack};
use serde_json::json;

/// Case T62.
#[tokio::test]
async fn a_response_of_unknown_length_streams_and_is_answered() {
    let Some(stack) = shared().await else { return };
    let script = json!({"body_bytes": 30_000, "pieces": 3, "chunked": true, "body_gate": "streams"});
    let post = stack.fresh("plain").script(&script);
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.bytes()).await;
    let head = connection.read_until("\r\n\r\n").await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(connection.read_bytes(10_000).await.len(), 10_000);
    stack.upstream().open("streams").await;
    connection.read_until("\r\n0\r\n\r\n").await;
    let (second, third) = twice(&post).await;
    assert!(second.is_answer() && third.is_answer(), "{second:?}");
    assert_eq!(second.body, reprise_tests::upstream::patterned(30_000));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T68.
#[tokio::test]
async fn a_long_upload_streams_and_its_repeat_is_answered() {
    let Some(mut stack) = Stack::builder().start().await else {
        return;
    };
    let upload = stack.post("/upload").body(reprise_tests::upstream::patterned(10 << 20));
    let before = stack.envoy().memory_kib();
    for key in ["a", "b", "c", "d"] {
        let post = upload.clone().key(key);
        let mut connection = Connection::open(stack.address()).await;
        let (first, second) = (connection.send(&post).await, connection.send(&post).await);
        assert_eq!(first.status, 201);
        assert_answers(&first, &second);
        assert!(!connection.is_closed().await);
    }
    let grown = stack.envoy().memory_kib().saturating_sub(before);
    assert!(grown < 20 << 10, "Envoy grew by {grown} KiB");
    assert_eq!(stack.upstream().executions("/upload").await, 4);
}

/// Case T68.
#[tokio::test]
async fn a_long_upload_with_another_byte_is_refused() {
    let Some(stack) = shared().await else { return };
    let mut body = reprise_tests::upstream::patterned(3 << 20).to_vec();
    let post = stack.fresh("plain").body(&body).chunked();
    assert_eq!(post.send().await.status, 201);
    body[3_000_000] ^= 1;
    assert_eq!(verdict(&post.body(&body).send().await), problem(422, "key-reused"));
}

/// Case T70.
#[tokio::test]
async fn a_duplicate_that_expects_100_gets_its_answer_after_its_body() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .header("expect", "100-continue")
        .body("{\"amount\": 5}");
    let first = post.clone().without("expect").send().await;
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.head()).await;
    let interim = connection.read_until("\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    connection.write("{\"amount\": 5}").await;
    assert_answers(&first, &connection.read().await);
    assert!(!connection.is_closed().await);
}

#[tokio::test]
async fn a_body_that_dribbles_in_is_the_same_body() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").body("0123456789");
    let first = post.send().await;
    let mut connection = Connection::open(stack.address()).await;
    for byte in post.chunked().bytes().chunks(1) {
        connection.write(byte).await;
    }
    assert_answers(&first, &connection.read().await);
}
