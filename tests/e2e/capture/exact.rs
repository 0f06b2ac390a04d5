//! What is stored is what was sent, byte for byte, and so is what is sent again.

use super::super::replay::replayed;
use super::{headers, only, recorded};
use reprise_tests::harness::{Request, Stack};
use reprise_tests::upstream::{Execution, patterned};
use serde_json::{Value, json};

/// Sends a request, waits for its capture, replays it through Envoy; gives the capture and both executions.
async fn there_and_back(stack: &Stack, request: &Request) -> (Value, Execution, Execution) {
    let response = request.send().await;
    assert_eq!(response.status, 200, "{response:?}");
    let path = request.target().split('?').next().unwrap_or_default();
    let capture = only(stack.replayd(), &format!("path={}", path.replace('%', "%25"))).await;
    let view = replayed(stack, &json!({"query": {"path": path}})).await;
    assert_eq!(view["counts"]["matched"], 1, "{view:#}");
    let mut seen = stack.upstream().seen(request.target()).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let again = seen.remove(1);
    (capture, seen.remove(0), again)
}

fn ok(request: Request) -> Request {
    request.script(&json!({"status": 200, "body": "done"}))
}

#[track_caller]
fn assert_same_body(first: &Execution, again: &Execution) {
    assert_eq!((first.body_bytes, first.body_hash), (again.body_bytes, again.body_hash));
}

/// Case R04.
#[tokio::test]
async fn forms_and_binary_parts_are_stored_and_sent_again_as_they_were() {
    let Some(stack) = recorded().await else { return };
    let mut multipart = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n".to_vec();
    multipart.extend((0..=255).chain([0, 13, 10, 45, 45, 98]));
    multipart.extend(b"\r\n--b--\r\n");
    let bodies = [
        (
            "form",
            "application/x-www-form-urlencoded",
            b"a=1&a=2&c=%20+%C3%A9&empty=&=x".to_vec(),
        ),
        ("multipart", "multipart/form-data; boundary=b", multipart),
    ];
    for (name, kind, body) in bodies {
        let post = ok(stack.post(&format!("/r04/{name}")))
            .header("content-type", kind)
            .body(&body);
        let (capture, first, again) = there_and_back(&stack, &post).await;
        assert_eq!(stack.replayd().body(&capture["id"], "request").await, body);
        assert_same_body(&first, &again);
        assert_eq!(first.header("content-type"), again.header("content-type"));
    }
}

/// Case R05.
#[tokio::test]
async fn a_target_keeps_its_query_and_its_escapes() {
    let Some(stack) = recorded().await else { return };
    for target in [
        "/q?x=1&y=%20z",
        "/q2?",
        "/q3?a[]=1&a[]=%5B&&=&b",
        "/q4/%C3%A9%2520;v=1?%zz",
    ] {
        let (capture, ..) = there_and_back(&stack, &ok(stack.post(target))).await;
        assert_eq!(capture["target"], target);
    }
}

/// Case R06.
#[tokio::test]
async fn json_is_not_written_anew() {
    let Some(stack) = recorded().await else { return };
    let body = "{ \"b\" : 1.0 ,\n\t\"a\":\"\\u00e9\\/\", \"b\":2e0, \"big\":12345678901234567890.10,\"a\" :null }\r\n ";
    let post = ok(stack.post("/r06"))
        .header("content-type", "application/json")
        .body(body);
    let (capture, first, again) = there_and_back(&stack, &post).await;
    assert_eq!(stack.replayd().body(&capture["id"], "request").await, body.as_bytes());
    assert_same_body(&first, &again);
}

/// Case R07.
#[tokio::test]
async fn headers_of_one_name_keep_their_order_and_their_empty_values() {
    let Some(stack) = recorded().await else { return };
    let post = ok(stack.post("/r07")).header("x-many", "b").header("x-other", "o");
    let post = post.header("x-many", "").header("x-many", "a, c");
    let (capture, first, again) = there_and_back(&stack, &post).await;
    let many = |pairs: &[(String, String)]| -> Vec<String> {
        pairs
            .iter()
            .filter(|(name, _)| name == "x-many")
            .map(|(_, value)| value.clone())
            .collect()
    };
    let sent = ["b", "", "a, c"].map(str::to_owned);
    assert_eq!(many(&headers(&capture, "request")), sent);
    assert_eq!(many(&first.headers), sent);
    assert_eq!(many(&again.headers), sent);
}

/// Case R08.
#[tokio::test]
async fn a_server_error_is_captured() {
    let Some(stack) = recorded().await else { return };
    let post = stack.post("/r08").script(&json!({"status": 500, "body": "it broke"}));
    assert_eq!(post.send().await.status, 500);
    let capture = only(stack.replayd(), "path=/r08&status=5xx").await;
    assert_eq!(
        (&capture["status"], &capture["state"]),
        (&json!(500), &json!("completed"))
    );
    assert_eq!(stack.replayd().body(&capture["id"], "response").await, b"it broke");
}

/// Case R09.
#[tokio::test]
async fn a_client_cannot_switch_its_capture_off() {
    let Some(stack) = recorded().await else { return };
    let post = stack.post("/r09?save=0").header("x-save", "0").header("dnt", "1");
    assert_eq!(post.send().await.status, 201);
    assert_eq!(only(stack.replayd(), "path=/r09").await["target"], "/r09?save=0");
}

/// Case R20.
#[tokio::test]
async fn bodies_around_the_limit_are_kept_as_far_as_it_goes() {
    let Some(stack) = recorded().await else { return };
    for len in [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT] {
        for is_chunked in [false, true] {
            let cut = around(&stack, "/limited", (len, is_chunked)).await;
            let ahead = around(&stack, "/limited/ahead", (len, is_chunked)).await;
            assert_eq!(cut.is_string(), LIMIT < len, "{len}");
            assert_eq!(cut, ahead, "{len}: the hash is that of all, written ahead or not");
        }
    }
}

const LIMIT: usize = 65_536;

/// Sends a body of `len` bytes and has it back; gives the hash of the request's in its capture.
async fn around(stack: &Stack, path: &str, (len, is_chunked): (usize, bool)) -> Value {
    let target = format!("{path}/r20-{len}-{is_chunked}");
    let body = patterned(len);
    let post = stack
        .post(&target)
        .body(&body)
        .script(&json!({"body_bytes": len, "pieces": 3}));
    let post = if is_chunked { post.chunked() } else { post };
    let response = post.send().await;
    assert!(response.body == body, "{target}: the client is untouched");
    let capture = only(stack.replayd(), &format!("path={target}&state=completed")).await;
    for half in ["request", "response"] {
        let told = &capture[half]["body"];
        assert_eq!(told["bytes"], len, "{target} {half}");
        assert_eq!(told["truncated"], LIMIT < len, "{target} {half}");
        let kept = stack.replayd().body(&capture["id"], half).await;
        assert!(
            kept == body[..len.min(LIMIT)],
            "{target} {half}: {} bytes are kept",
            kept.len()
        );
    }
    capture["request"]["body"]["hash"].clone()
}

/// Case R20.
#[tokio::test]
async fn a_hundred_mebibytes_pass_and_their_beginning_is_kept() {
    const LEN: usize = 100 << 20;
    let Some(stack) = recorded().await else { return };
    let body = patterned(LEN);
    let response = stack.post("/r20-huge").body(&body).chunked().send().await;
    assert_eq!(response.status, 201);
    assert_eq!(stack.upstream().seen("/r20-huge").await[0].body_bytes, LEN);
    let capture = only(stack.replayd(), "path=/r20-huge").await;
    assert_eq!(
        (&capture["request_bytes"], &capture["truncated"]),
        (&json!(LEN), &json!(true))
    );
    assert!(stack.replayd().body(&capture["id"], "request").await == body[..1 << 20]);
    let plan = stack
        .replayd()
        .post(
            "/api/v1/replays/plan",
            &json!({"target": "http://127.0.0.1:1", "yes": true, "query": {"path": "/r20-huge"}}),
        )
        .await;
    assert_eq!(plan["sends"], 0, "what is truncated is not sent: {plan:#}");
}

/// Each asks the proxy at another moment.
#[tokio::test]
async fn a_capture_says_where_its_exchange_came_from_and_went() {
    for durability in ["async", "write_ahead", "write_ahead_response"] {
        let settings = Stack::builder().captures(&json!({"durability": durability}));
        let Some(stack) = settings.start().await else { return };
        assert_eq!(stack.post("/where").body("x").send().await.status, 201);
        let capture = only(stack.replayd(), "path=/where&state=completed").await;
        let said = ["route", "cluster", "client", "peer", "protocol"].map(|name| {
            let value = capture[name].as_str().unwrap_or_default();
            value.split(':').next().unwrap_or_default()
        });
        let expected = ["application", "upstream", "127.0.0.1", "127.0.0.1", "HTTP/1.1"];
        assert_eq!(said, expected, "{durability}: {capture:#}");
    }
}
