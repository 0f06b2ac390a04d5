//! Requests that run detached, through the internal listener of the reference configuration.

use super::{assert_answers, problem, shared, twice, verdict};
use reprise_tests::harness::{Connection, Response, Stack, eventually};
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Case T45.
#[tokio::test]
async fn a_client_that_hangs_up_finds_its_answer() {
    let Some(stack) = Stack::builder().detached_area("detached").start().await else {
        return;
    };
    let post = stack.post("/detached/1").key("K").script(&json!({"gate": "left"}));
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.bytes()).await;
    stack.upstream().held("left", 1).await;
    connection.hang_up();
    stack
        .gauge_is("http.edge.downstream_cx_destroy_remote_active_rq", 1)
        .await;
    assert_eq!(verdict(&post.send().await), problem(409, "in-flight"), "it still runs");
    stack.upstream().open("left").await;
    let answer = eventually("the first request is done", PATIENCE, || async {
        let response = post.send().await;
        if response.is_answer() {
            Ok(response)
        } else {
            Err(response.text())
        }
    })
    .await;
    assert_eq!(answer.status, 201);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_in_its_upload_leaves_its_key_free() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("detached").body(vec![b'x'; 200_000]);
    let mut connection = Connection::open(stack.address()).await;
    connection.write(&post.bytes()[..100_000]).await;
    connection.hang_up();
    let first = eventually("the key is free", PATIENCE, || async {
        let response = post.send().await;
        if response.status == 201 {
            Ok(response)
        } else {
            Err(response.text())
        }
    })
    .await;
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_detached_response_reaches_its_client_whole() {
    let Some(stack) = shared().await else { return };
    let headers = json!([
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["location", "/p/1"],
        ["link", "</a>"],
        ["link", "</b>"],
        ["content-encoding", "gzip"],
        ["reprise-details", "no_healthy_upstream"]
    ]);
    let script = json!({"status": 202, "headers": headers, "body_hex": "fffe000102"});
    let post = stack.fresh("detached").script(&script);
    let (first, second) = twice(&post).await;
    assert_eq!((first.status, &first.body[..]), (202, &b"\xff\xfe\x00\x01\x02"[..]));
    assert_eq!(first.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(first.all("link"), ["</a>", "</b>"]);
    assert_eq!(
        (first.header("location"), first.header("content-encoding")),
        (Some("/p/1"), Some("gzip"))
    );
    assert_eq!(
        (first.header("reprise-details"), first.header("x-envoy-attempt-count")),
        (None, Some("1"))
    );
    assert_answers(&first, &second);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_detached_response_may_have_no_body() {
    let Some(stack) = shared().await else { return };
    for status in [204, 304, 201] {
        let post = stack.fresh("detached").script(&json!({"status": status, "body": ""}));
        let (first, second) = twice(&post).await;
        assert_eq!((first.status, first.body.len()), (status, 0));
        assert_answers(&first, &second);
    }
}

/// Case T60.
#[tokio::test]
async fn a_large_detached_response_reaches_its_client_and_is_not_retained() {
    let Some(stack) = shared().await else { return };
    let script = json!({"body_bytes": 3_000_000, "headers": [["location", "/p/1"]]});
    let post = stack.fresh("detached").script(&script);
    let (first, second) = twice(&post).await;
    assert_eq!((first.status, first.body.len()), (201, 3_000_000));
    assert_eq!(verdict(&second), problem(409, "response-not-retained"));
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn the_upstream_sees_a_detached_request_as_its_client_sent_it() {
    let Some(stack) = shared().await else { return };
    let mut seen = Vec::new();
    for area in ["plain", "detached"] {
        let post = stack
            .fresh(area)
            .header("x-forwarded-for", "192.0.2.1")
            .header("traceparent", "00-1-2-01")
            .header("cookie", "a=1")
            .header("x-request-id", "of-the-client")
            .header("x-envoy-retry-on", "5xx");
        assert_eq!(post.send().await.status, 201);
        let execution = stack.upstream().seen(post.target()).await.remove(0);
        let mut headers = execution.headers;
        headers.retain(|(name, _)| name != "idempotency-key");
        headers.sort();
        seen.push((headers, execution.body_bytes, execution.body_hash));
    }
    assert_eq!(seen[0], seen[1], "inline and detached");
    let header = |name: &str| seen[1].0.iter().filter(|(known, _)| known == name).count();
    assert_eq!(
        ["x-request-id", "x-forwarded-for", "traceparent"].map(header),
        [1, 1, 1]
    );
}

#[tokio::test]
async fn connections_live_on_and_http2_runs_detached_too() {
    let Some(stack) = shared().await else { return };
    let mut connection = Connection::open(stack.address()).await;
    for _ in 0..3 {
        let post = stack.fresh("detached").body(vec![b'x'; 100_000]);
        assert_eq!(connection.send(&post).await.status, 201);
        assert!(connection.send(&post).await.is_answer());
    }
    let http2 = stack.http2().await;
    let post = stack.fresh("detached").body(vec![b'x'; 100_000]);
    let (first, second) = (http2.send(&post).await, http2.send(&post).await);
    assert_answers(&first, &second);
    assert_eq!(stack.runs(&post).await, 1);
    assert_eq!(stack.upstream().seen(post.target()).await[0].body_bytes, 100_000);
}

/// Case T14.
#[tokio::test]
async fn many_detached_requests_with_one_key_run_once() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("detached").script(&json!({"delay_ms": 200}));
    let told: Vec<Response> = post.send_at_once(30).await;
    let of = |status: u16| told.iter().filter(|response| response.status == status).count();
    assert_eq!((of(201) + of(409), stack.runs(&post).await), (30, 1));
    assert!(of(201) >= 1, "{told:?}");
}

/// Case T41.
#[tokio::test]
async fn a_detached_request_that_was_never_sent_leaves_its_key_free() {
    let Some(stack) = shared().await else { return };
    for area in ["detached-refused", "detached-nowhere"] {
        let post = stack.fresh(area);
        let (first, second) = twice(&post).await;
        assert_eq!((first.status, second.status), (503, 503), "{area}: {second:?}");
        assert_eq!(second.problem(), None, "{area}: it is sent again");
    }
}

/// Case T42.
#[tokio::test]
async fn a_detached_request_that_was_reset_is_unknown() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("detached").script(&json!({"fault": "reset"}));
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 503);
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    let breaks_off = json!({"fault": "reset_mid_body", "body_bytes": 100_000, "pieces": 4});
    let post = stack.fresh("detached").script(&breaks_off);
    let (first, second) = twice(&post).await;
    assert_eq!(verdict(&first), problem(502, "no-response"));
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T43.
#[tokio::test]
async fn a_detached_request_that_takes_too_long_is_unknown() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("detached-slow").script(&json!({"gate": "never"}));
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 504);
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T37b.
#[tokio::test]
async fn attempts_of_the_inner_route_are_counted() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("detached-retried-elsewhere")
        .script(&json!({"fault": "reset"}));
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 503);
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
    let steps = json!({"steps": [{"status": 500}, {"status": 201}]});
    let retried = stack.fresh("detached-retried").script(&steps);
    let (first, second) = twice(&retried).await;
    assert_eq!((first.status, first.header("x-envoy-attempt-count")), (201, Some("2")));
    assert_answers(&first, &second);
}

#[tokio::test]
async fn a_request_that_is_too_large_to_be_held_is_refused() {
    let Some(stack) = shared().await else { return };
    for chunked in [false, true] {
        let post = stack.fresh("detached").body(vec![b'x'; 10_000_000]);
        let post = if chunked { post.chunked() } else { post };
        let refused = post.send().await;
        assert_eq!(verdict(&refused), problem(413, "body-too-large"));
        assert_eq!(stack.runs(&post).await, 0);
        assert_eq!(post.body("{}").send().await.status, 201, "its key is free");
    }
}

#[tokio::test]
async fn a_detached_exchange_is_captured_although_its_client_left() {
    let settings = Stack::builder().captures(&json!({})).detached_area("detached");
    let Some(stack) = settings.start().await else { return };
    let script = json!({"gate": "left", "body": "made"});
    let post = stack.post("/detached/1").key("K").body("{\"a\": 1}").script(&script);
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.bytes()).await;
    stack.upstream().held("left", 1).await;
    connection.hang_up();
    stack
        .gauge_is("http.edge.downstream_cx_destroy_remote_active_rq", 1)
        .await;
    stack.upstream().open("left").await;
    let captures = stack.replayd().captured("path=/detached/1", 1).await;
    let capture = stack.replayd().capture(&captures[0]["id"]).await;
    assert_eq!(
        (&capture["state"], &capture["cluster"]),
        (&json!("completed"), &json!("upstream")),
        "{capture:#}"
    );
    let body = async |half| stack.replayd().body(&captures[0]["id"], half).await;
    assert_eq!(
        (body("request").await, body("response").await),
        (b"{\"a\": 1}".to_vec(), b"made".to_vec())
    );
}
