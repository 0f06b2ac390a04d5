//! Exchanges of every shape: encodings, trailers, upgrades, streams, and those that break off.

use super::super::replay::{replayed, restore};
use super::{only, recorded};
use reprise_tests::harness::{Connection, Stack};
use serde_json::{Value, json};

/// The bytes of `{}`, gzipped.
const GZIPPED: [u8; 22] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0,
];

/// Replays what was sent to `path` through Envoy; gives the view.
async fn again(stack: &Stack, path: &str, method: &str) -> Value {
    let view = replayed(stack, &json!({"query": {"path": path}, "compare": {"ignore": ["/n"]}})).await;
    assert_eq!(view["counts"]["answered"], 1, "{view:#}");
    assert_eq!(
        view["counts"]["matched"],
        1,
        "{view:#} {:#}",
        stack
            .replayd()
            .get(&format!("/api/v1/replays/{}/steps", view["id"]))
            .await
    );
    let seen = stack.upstream().seen(path).await;
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.method == method));
    assert_eq!(
        (seen[0].body_bytes, seen[0].body_hash),
        (seen[1].body_bytes, seen[1].body_hash)
    );
    view
}

/// Case R21.
#[tokio::test]
async fn an_encoded_body_stays_encoded() {
    let Some(stack) = recorded().await else { return };
    let digits: String = GZIPPED.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = json!({"status": 200, "body_hex": digits, "headers": [["content-encoding", "gzip"]]});
    let post = stack
        .post("/r21-gzip")
        .header("content-encoding", "gzip")
        .body(GZIPPED)
        .script(&script);
    assert_eq!(post.send().await.body, GZIPPED);
    let capture = only(stack.replayd(), "path=/r21-gzip").await;
    for half in ["request", "response"] {
        assert_eq!(stack.replayd().body(&capture["id"], half).await, GZIPPED, "{half}");
    }
    again(&stack, "/r21-gzip", "POST").await;
    assert_eq!(
        stack.upstream().seen("/r21-gzip").await[1].header("content-encoding"),
        Some("gzip")
    );
}

/// Case R21.
#[tokio::test]
async fn requests_with_trailers_and_without_bodies_are_sent_again_right() {
    let Some(stack) = recorded().await else { return };
    let fixed = json!({"body": "done"});
    let trailing = stack
        .post("/any-method/r21-trailers")
        .body("abc")
        .trailer("x-sum", "9")
        .script(&fixed);
    assert_eq!(stack.http2().await.send(&trailing).await.status, 201);
    let capture = only(stack.replayd(), "path=/any-method/r21-trailers").await;
    assert_eq!(capture["request"]["trailers"], json!([{"name": "x-sum", "value": "9"}]));
    again(&stack, "/any-method/r21-trailers", "POST").await;

    let head = stack
        .request("HEAD", "/any-method/r21-head")
        .script(&json!({"status": 200, "body": "never sent"}));
    assert_eq!(head.send().await.status, 200);
    only(stack.replayd(), "path=/any-method/r21-head&method=HEAD").await;
    again(&stack, "/any-method/r21-head", "HEAD").await;

    let deleted = stack
        .request("DELETE", "/any-method/r21-204")
        .script(&json!({"status": 204}));
    assert_eq!(deleted.send().await.status, 204);
    only(stack.replayd(), "path=/any-method/r21-204&status=204").await;
    again(&stack, "/any-method/r21-204", "DELETE").await;
}

/// Case R21.
#[tokio::test]
async fn a_client_that_expects_to_be_told_to_continue_is_captured_whole() {
    let Some(stack) = recorded().await else { return };
    let post = stack
        .post("/any-method/r21-expect")
        .header("expect", "100-continue")
        .body("now");
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.head()).await;
    assert!(connection.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    connection.write("now").await;
    assert_eq!(connection.read().await.status, 201);
    let capture = only(stack.replayd(), "path=/any-method/r21-expect").await;
    assert_eq!(stack.replayd().body(&capture["id"], "request").await, b"now");
    again(&stack, "/any-method/r21-expect", "POST").await;
}

/// Case R22.
#[tokio::test]
async fn what_broke_off_is_aborted_and_not_restored() {
    let Some(stack) = recorded().await else { return };
    let mut gone = Connection::open(stack.address()).await;
    let post = stack.post("/r22/gone").body([b'x'; 1000]);
    gone.write(post.head()).await;
    gone.write([b'x'; 400]).await;
    gone.hang_up();
    let capture = only(stack.replayd(), "path=/r22/gone&state=aborted").await;
    assert_eq!(capture["reason"], "client_gone", "{capture:#}");

    let script = json!({"body_bytes": 2000, "pieces": 2, "body_gate": "r22", "fault": "reset_mid_body"});
    let mut cut = Connection::open(stack.address()).await;
    cut.write(stack.post("/r22/cut").script(&script).bytes()).await;
    cut.read_until("\r\n\r\n").await;
    stack.upstream().open("r22").await;
    let capture = only(stack.replayd(), "path=/r22/cut&state=aborted").await;
    assert_eq!(capture["reason"], "upstream_reset", "{capture:#}");

    let view = restore(&stack, &json!({"query": {"path": "/r22/*"}})).await;
    assert_eq!(
        (&view["counts"]["sent"], &view["exit_code"]),
        (&json!(0), &json!(0)),
        "{view:#}"
    );
    for path in ["/r22/gone", "/r22/cut"] {
        assert!(stack.upstream().seen(path).await.len() <= 1, "{path} was sent again");
    }
}

/// Case R23.
#[tokio::test]
async fn a_hundred_streams_of_one_connection_are_captured_each() {
    let Some(stack) = recorded().await else { return };
    let http2 = stack.http2().await;
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (http2, post) = (
            http2.clone(),
            stack.post(&format!("/r23-h2/{n}")).body(format!("body {n}")),
        );
        sending.spawn(async move { http2.send(&post).await.status });
    }
    assert!(sending.join_all().await.iter().all(|status| *status == 201));
    let captures = stack.replayd().captured("path=/r23-h2/*", 100).await;
    for capture in &captures {
        assert_eq!(capture["protocol"], "HTTP/2");
        let n = capture["target"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("/r23-h2/");
        let body = stack.replayd().body(&capture["id"], "request").await;
        assert_eq!(String::from_utf8_lossy(&body), format!("body {n}"));
    }
}

/// Case R23.
#[tokio::test]
async fn a_grpc_call_is_captured_with_its_trailers() {
    let Some(stack) = recorded().await else { return };
    let message = [0, 0, 0, 0, 2, 8, 1];
    let script = json!({
        "status": 200, "body_hex": "00000000020801", "trailers": [["grpc-status", "0"]],
        "headers": [["content-type", "application/grpc"]],
    });
    for path in ["/h2/r23.Echo", "/h2/ahead/r23.Echo"] {
        let call = stack
            .post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let response = stack.http2().await.send(&call.body(message).script(&script)).await;
        assert_eq!((response.status, response.body.as_slice()), (200, message.as_slice()));
        let capture = only(stack.replayd(), &format!("path={path}&state=completed")).await;
        assert_eq!(
            capture["response"]["trailers"],
            json!([{"name": "grpc-status", "value": "0"}]),
            "{capture:#}"
        );
        assert_eq!(capture["truncated"], false, "{capture:#}");
        assert_eq!(stack.replayd().body(&capture["id"], "request").await, message);
    }
}

/// Case R23.
#[tokio::test]
async fn a_web_socket_is_captured_and_cannot_be_sent_again() {
    let Some(stack) = recorded().await else { return };
    let upgrade = stack
        .request("GET", "/any-method/r23-socket")
        .header("connection", "upgrade");
    let upgrade = upgrade.header("upgrade", "websocket").header("sec-websocket-key", "x");
    let mut socket = Connection::open(stack.address()).await;
    socket.write(upgrade.bytes()).await;
    assert!(socket.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    socket.write("ping").await;
    assert_eq!(socket.read_bytes(4).await, b"ping");
    socket.finish().await;
    let capture = only(stack.replayd(), "path=/any-method/r23-socket").await;
    assert_eq!(capture["not_replayable"], "upgrade", "{capture:#}");
    let view = replayed(&stack, &json!({"query": {"path": "/any-method/r23-socket"}})).await;
    assert_eq!(view["counts"]["sent"], 0, "{view:#}");
}
