//! What clients and networks do to a filter: nothing of it may kill a worker's VM, or confuse a key.

use super::{assert_answers, shared, twice};
use reprise_tests::harness::{Connection, eventually};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_header_that_is_not_text_harms_nobody() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .header("x-name", b"caf\xe9")
        .header("authorization", b"caf\xe9");
    let (first, second) = twice(&post).await;
    assert_answers(&first, &second);
}

#[tokio::test]
async fn a_request_of_another_form_harms_nobody() {
    let Some(stack) = shared().await else { return };
    for head in [
        "CONNECT other:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "POST http://edge.test/plain/a HTTP/1.1",
        "POST / HTTP/1.0",
    ] {
        let mut connection = Connection::open(stack.address()).await;
        let rest = "host: edge.test\r\nidempotency-key: K\r\ncontent-length: 0\r\n\r\n";
        connection.write(format!("{head}\r\n{rest}")).await;
        connection.read_until("\r\n\r\n").await;
    }
    let post = stack.fresh("plain");
    let (first, second) = twice(&post).await;
    assert_answers(&first, &second);
}

#[tokio::test]
async fn a_repeat_that_comes_at_once_is_answered() {
    let Some(stack) = shared().await else { return };
    for _ in 0..200 {
        let post = stack.fresh("plain");
        let (mut one, mut other) = (
            Connection::open(stack.address()).await,
            Connection::open(stack.address()).await,
        );
        let first = one.send(&post).await;
        assert_answers(&first, &other.send(&post).await);
    }
}

#[tokio::test]
async fn clients_that_leave_at_any_moment_harm_nobody() {
    let Some(stack) = shared().await else { return };
    let mut leaving = JoinSet::new();
    for n in 0..300_usize {
        let post = stack
            .fresh("plain")
            .body(vec![b'x'; 5000])
            .script(&json!({"body_bytes": 20_000, "pieces": 4}));
        let post = if n.is_multiple_of(2) {
            post.without("idempotency-key").key("one-key-of-many")
        } else {
            post
        };
        let (bytes, address) = (post.bytes(), stack.address());
        leaving.spawn(async move {
            let mut connection = Connection::open(address).await;
            connection.write(&bytes[..bytes.len() * (n % 7) / 6]).await;
            connection.read_bytes(if n % 7 == 6 { n % 300 } else { 0 }).await;
            connection.hang_up();
        });
    }
    leaving.join_all().await;
    let (first, second) = twice(&stack.fresh("plain")).await;
    assert_answers(&first, &second);
}

#[tokio::test]
async fn trailers_of_a_request_are_no_part_of_it() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").trailer("checksum", "1");
    let client = stack.http2().await;
    let first = client.send(&post).await;
    assert_answers(&first, &client.send(&post).await);
    let mut connection = Connection::open(stack.address()).await;
    let bytes = post.chunked().bytes();
    connection.write(&bytes[..bytes.len() - 2]).await;
    connection.write("checksum: 2\r\n\r\n").await;
    assert_answers(&first, &connection.read().await);
}

#[tokio::test]
async fn a_long_upload_over_http2_is_answered() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").body(reprise_tests::upstream::patterned(3 << 20));
    let client = stack.http2().await;
    let first = client.send(&post).await;
    assert_answers(&first, &client.send(&post).await);
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_response_that_comes_before_the_request_has_ended_is_no_record() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .body(vec![b'x'; 100_000])
        .script(&json!({"early": true, "status": 200}));
    let mut connection = Connection::open(stack.address()).await;
    connection.write(&post.bytes()[..50_000]).await;
    let early = connection.read_until("\r\n\r\n").await;
    assert!(early.starts_with("HTTP/1.1 200"), "{early}");
    connection.hang_up();
    let second = eventually("the first is over", Duration::from_secs(5), || async {
        let response = post.send().await;
        if response.problem().as_deref() == Some("in-flight") {
            Err(response.text())
        } else {
            Ok(response)
        }
    })
    .await;
    assert_eq!(second.problem().as_deref(), Some("outcome-unknown"), "{second:?}");
}

#[tokio::test]
async fn a_response_with_many_headers_is_answered_with_all_of_them() {
    let Some(stack) = shared().await else { return };
    let headers: Vec<_> = (0..60)
        .map(|n| json!([format!("x-{}", n % 50), "v".repeat(300)]))
        .collect();
    let (first, second) = twice(&stack.fresh("plain").script(&json!({"headers": headers}))).await;
    assert_answers(&first, &second);
}
