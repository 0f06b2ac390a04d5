//! What a repeat is given: the recorded response, byte by byte.

use super::{assert_answers, shared, twice};
use reprise_tests::harness::Connection;
use serde_json::json;

/// Case T03.
#[tokio::test]
async fn a_repeat_is_answered_with_the_recorded_response() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 201);
    assert_answers(&first, &second);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T04.
#[tokio::test]
async fn an_answer_has_the_status_that_the_route_wants_for_answers() {
    let Some(stack) = shared().await else { return };
    let (first, second) = twice(&stack.fresh("answer-409")).await;
    assert_eq!((first.status, second.status), (201, 409));
    assert_eq!(first.body, second.body);
    assert!(second.is_answer());
}

/// Case T39.
#[tokio::test]
async fn a_redirect_is_answered_with_its_location() {
    let Some(stack) = shared().await else { return };
    for status in [301, 303] {
        let script = json!({"status": status, "headers": [["location", "/elsewhere?x=1"]]});
        let post = stack.fresh("plain").script(&script);
        let (first, second) = twice(&post).await;
        assert_answers(&first, &second);
        assert_eq!(
            (second.status, second.header("location")),
            (status, Some("/elsewhere?x=1"))
        );
        assert_eq!(stack.runs(&post).await, 1);
    }
}

/// Case T58.
#[tokio::test]
async fn binary_bodies_are_answered_byte_by_byte() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .body(b"\xff\xfe\x00\x01\x02")
        .script(&json!({"body_hex": "fffe000102"}));
    let (first, second) = twice(&post).await;
    assert_answers(&first, &second);
    assert_eq!(second.body, b"\xff\xfe\x00\x01\x02");
}

/// Case T59.
#[tokio::test]
async fn an_encoded_body_is_answered_as_it_was_encoded() {
    let Some(stack) = shared().await else { return };
    let script = json!({"body_hex": "1f8b0800000000000003cb48cdc9c9070086a6103605000000", "headers": [["content-encoding", "gzip"]]});
    let (first, second) = twice(&stack.fresh("plain").script(&script)).await;
    assert_answers(&first, &second);
    assert_eq!(second.header("content-encoding"), Some("gzip"));
}

/// Case T63.
#[tokio::test]
async fn a_response_without_a_body_is_answered_without_one() {
    let Some(stack) = shared().await else { return };
    for (script, length) in [
        (json!({"status": 204}), None),
        (json!({"status": 201, "body": ""}), Some("0")),
        (json!({"status": 304, "headers": [["etag", "\"1\""]]}), None),
    ] {
        let post = stack.fresh("plain").script(&script);
        let mut connection = Connection::open(stack.address()).await;
        let (first, second) = (connection.send(&post).await, connection.send(&post).await);
        assert_answers(&first, &second);
        assert_eq!(
            (second.header("content-length"), second.body.len()),
            (length, 0),
            "{script}"
        );
        assert_eq!(stack.runs(&post).await, 1);
    }
}

/// Case T65.
#[tokio::test]
async fn an_answer_keeps_all_headers_but_cookies() {
    let Some(stack) = shared().await else { return };
    let script = json!({"headers": [
        ["set-cookie", "a=1"], ["location", "/made/1"], ["link", "</a>; rel=next"], ["etag", "\"7\""],
        ["set-cookie", "b=2"], ["link", "</b>; rel=prev"], ["x-empty", ""],
    ]});
    let (first, second) = twice(&stack.fresh("plain").script(&script)).await;
    assert_eq!(first.all("set-cookie"), ["a=1", "b=2"]);
    assert_answers(&first, &second);
    assert!(second.all("set-cookie").is_empty());
    assert_eq!(second.all("link"), ["</a>; rel=next", "</b>; rel=prev"]);
}

#[tokio::test]
async fn a_repeat_keeps_its_connection() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let mut connection = Connection::open(stack.address()).await;
    for _ in 0..5 {
        assert_eq!(connection.send(&post).await.status, 201);
    }
    assert!(!connection.is_closed().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn scripts_of_other_origins_may_read_the_mark() {
    let Some(stack) = shared().await else { return };
    let script = json!({"headers": [["access-control-allow-origin", "*"], ["access-control-expose-headers", "etag"]]});
    let (_, second) = twice(&stack.fresh("plain").script(&script)).await;
    let exposed = second
        .all("access-control-expose-headers")
        .join(",")
        .to_ascii_lowercase();
    assert!(
        second.is_answer() && exposed.contains("idempotent-replayed") && exposed.contains("etag"),
        "{second:?}"
    );
}
