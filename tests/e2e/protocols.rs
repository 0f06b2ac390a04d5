//! Protocols beside plain requests and responses: trailers, upgrades, event streams.

use super::{problem, shared, verdict};
use reprise_tests::harness::Connection;
use serde_json::json;

/// Case T64.
#[tokio::test]
async fn a_response_with_trailers_is_not_retained() {
    let Some(stack) = shared().await else { return };
    let script = json!({"body": "graded", "trailers": [["grade", "a"]]});
    let post = stack.fresh("h2").script(&script);
    let client = stack.http2().await;
    let first = client.send(&post).await;
    assert_eq!((first.status, first.text().as_str()), (201, "graded"));
    assert_eq!(first.trailers, [("grade".to_owned(), "a".to_owned())]);
    assert_eq!(
        verdict(&client.send(&post).await),
        problem(409, "response-not-retained")
    );
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T79.
#[tokio::test]
async fn an_upgrade_is_refused_where_a_key_is_required() {
    let Some(stack) = shared().await else { return };
    let get = stack
        .fresh("required")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    assert_eq!(get.send().await.status, 400);
    assert_eq!(stack.runs(&get).await, 0);
}

/// Case T79.
#[tokio::test]
async fn an_upgrade_is_untouched_where_keys_are_optional() {
    let Some(stack) = shared().await else { return };
    let get = stack
        .fresh("plain")
        .method("GET")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let mut connection = Connection::open(stack.address()).await;
    connection.write(get.head()).await;
    assert_eq!(connection.read().await.status, 101);
    connection.write("echo").await;
    assert_eq!(connection.read_bytes(4).await, b"echo");
}

/// Case T79.
#[tokio::test]
async fn an_event_stream_passes_and_is_not_retained() {
    let Some(stack) = shared().await else { return };
    let script = json!({
        "headers": [["content-type", "text/event-stream"]], "body": "data: 1\n\ndata: 2\n\n",
        "pieces": 2, "chunked": true, "body_gate": "events",
    });
    let post = stack.fresh("plain").script(&script);
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.bytes()).await;
    connection.read_until("data: 1\n\n").await;
    stack.upstream().open("events").await;
    connection.read_until("\r\n0\r\n\r\n").await;
    assert_eq!(verdict(&post.send().await), problem(409, "response-not-retained"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T78.
#[tokio::test]
async fn a_grpc_call_without_a_key_is_refused_in_trailers_and_passes_where_keys_are_optional() {
    let Some(stack) = shared().await else { return };
    let call = |area: &str| {
        stack
            .fresh(area)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body([0, 0, 0, 0, 0])
    };
    let http2 = stack.http2().await;
    let refused = http2.send(&call("required").without("idempotency-key")).await;
    let said = ["grpc-status", "grpc-message"].map(|name| refused.header(name).unwrap_or_default());
    assert_eq!(
        (refused.status, said),
        (200, ["3", "Idempotency-Key is missing"]),
        "{refused:?}"
    );
    let optional = call("plain");
    for _ in 0..2 {
        let passed = http2.send(&optional).await;
        assert!(passed.status == 201 && !passed.is_answer(), "{passed:?}");
    }
    assert_eq!(stack.runs(&optional).await, 2);
}
