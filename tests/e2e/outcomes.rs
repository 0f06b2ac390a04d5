//! What became of the first request, and what its repeat is told.

use super::{assert_answers, problem, shared, twice, verdict};
use reprise_tests::harness::{Connection, Stack, eventually, free_port};
use reprise_tests::upstream::Upstream;
use serde_json::{Value, json};
use std::time::Duration;

/// Case T09.
#[tokio::test]
async fn a_status_that_is_not_stored_releases_the_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("store-207");
    let (_, second) = twice(&post).await;
    assert!(!second.is_answer());
    assert_eq!(stack.runs(&post).await, 2);
}

/// Case T10.
#[tokio::test]
async fn a_client_error_is_stored_where_the_route_says_so() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("store-400").script(&json!({"status": 400}));
    let (first, second) = twice(&post).await;
    assert_answers(&first, &second);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T35.
#[tokio::test]
async fn a_server_error_is_answered_again() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").script(&json!({"status": 500}));
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 500);
    assert_answers(&first, &second);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T36.
#[tokio::test]
async fn an_upstream_that_had_no_effect_is_asked_again() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .script(&json!({"status": 500, "headers": [["reprise-effect", "none"]]}));
    let (first, second) = twice(&post).await;
    assert_eq!(
        (first.header("reprise-effect"), second.header("reprise-effect")),
        (None, None)
    );
    assert_eq!(stack.runs(&post).await, 2);
}

/// Case T37.
#[tokio::test]
async fn a_status_that_says_that_nothing_ran_releases_the_key() {
    let Some(stack) = shared().await else { return };
    let refusals = [
        (503, json!([["retry-after", "1"]])),
        (429, json!([])),
        (425, json!([])),
        (401, json!([])),
    ];
    for (status, headers) in refusals {
        let script = json!({"steps": [{"status": status, "headers": headers}, {"status": 201}]});
        let post = stack.fresh("plain").script(&script);
        let (first, second) = twice(&post).await;
        assert_eq!((first.status, second.status), (status, 201));
        assert_answers(&second, &post.send().await);
        assert_eq!(stack.runs(&post).await, 2);
    }
}

/// Case T37.
#[tokio::test]
async fn a_bare_503_leaves_the_outcome_unknown() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").script(&json!({"status": 503}));
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 503);
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(second.header("retry-after"), None);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T37b.
#[tokio::test]
async fn a_retried_request_that_ends_refused_is_unknown() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("retried-elsewhere").script(&json!({"fault": "reset"}));
    let (first, second) = twice(&post).await;
    assert_eq!(first.status, 503);
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T38.
#[tokio::test]
async fn a_client_error_is_answered_again() {
    let Some(stack) = shared().await else { return };
    for status in [400, 404, 409, 422] {
        let post = stack.fresh("plain").script(&json!({"status": status}));
        let (first, second) = twice(&post).await;
        assert_eq!(first.status, status);
        assert_answers(&first, &second);
        assert_eq!(stack.runs(&post).await, 1);
    }
}

/// Case T40.
#[tokio::test]
async fn a_request_that_found_no_healthy_upstream_runs_on_its_retry() {
    let cluster = json!({
        "name": "later", "type": "EDS", "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": {"path_config_source": {"path": "./eds.json"}}},
    });
    let route = json!({"match": {"prefix": "/later"}, "route": {"cluster": "later"}});
    let stack = Stack::builder()
        .cluster(cluster)
        .route(route)
        .file("eds.json", endpoints(None))
        .start()
        .await;
    let Some(stack) = stack else { return };
    let post = stack.post("/later").key("K");
    assert_eq!(post.send().await.status, 503);
    stack.replace("eds.json", &endpoints(Some(stack.upstream().address().port())));
    let first = eventually("the upstream is healthy", Duration::from_secs(10), || async {
        let response = post.send().await;
        if response.status == 503 {
            Err(response.text())
        } else {
            Ok(response)
        }
    })
    .await;
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

fn endpoints(port: Option<u16>) -> Value {
    let endpoint =
        |port| json!({"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}});
    let endpoints: Vec<_> = port.map(endpoint).into_iter().collect();
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "later", "endpoints": [{"lb_endpoints": endpoints}],
    }]})
}

/// Case T41.
#[tokio::test]
async fn a_request_whose_connection_was_refused_runs_on_its_retry() {
    let port = free_port();
    let route = json!({"match": {"prefix": "/refused"}, "route": {"cluster": "refused"}});
    let Some(stack) = Stack::builder().cluster_at("refused", port).route(route).start().await else {
        return;
    };
    let post = stack.post("/refused").key("K");
    assert_eq!(post.send().await.status, 503);
    let _upstream = Upstream::start_at(([127, 0, 0, 1], port).into());
    let second = post.send().await;
    assert_eq!(second.status, 201);
    assert_answers(&second, &post.send().await);
}

/// Case T42.
#[tokio::test]
async fn a_reset_after_the_execution_leaves_the_outcome_unknown() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").script(&json!({"fault": "reset"}));
    let (first, second) = twice(&post).await;
    assert!(matches!(first.status, 502 | 503), "{first:?}");
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T42.
#[tokio::test]
async fn a_response_that_breaks_off_leaves_the_outcome_unknown() {
    let Some(stack) = shared().await else { return };
    let script = json!({"body_bytes": 2000, "pieces": 2, "body_gate": "breaks-off", "fault": "reset_mid_body"});
    let post = stack.fresh("plain").script(&script);
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.bytes()).await;
    connection.read_until("\r\n\r\n").await;
    stack.upstream().open("breaks-off").await;
    connection.read_bytes(2000).await;
    let second = eventually("the first is over", Duration::from_secs(5), || async {
        let response = post.send().await;
        if response.problem().as_deref() == Some("in-flight") {
            Err(response.text())
        } else {
            Ok(response)
        }
    })
    .await;
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T43.
#[tokio::test]
async fn a_timeout_leaves_the_outcome_unknown_or_runs_again_where_the_route_says_so() {
    let Some(stack) = shared().await else { return };
    for (area, want, runs) in [("slow", 409, 1), ("slow-runs", 201, 2)] {
        let script = json!({"steps": [{"gate": "never"}, {}]});
        let post = stack.fresh(area).script(&script);
        let (first, second) = twice(&post).await;
        assert_eq!((first.status, second.status), (504, want), "{area}: {second:?}");
        assert_eq!(stack.runs(&post).await, runs, "{area}");
    }
}

/// Case T45.
#[tokio::test]
async fn a_client_that_hangs_up_is_told_that_the_outcome_is_unknown() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").script(&json!({"gate": "hung-up"}));
    let mut connection = Connection::open(stack.address()).await;
    connection.write(post.bytes()).await;
    stack.upstream().held("hung-up", 1).await;
    connection.hang_up();
    let second = eventually("Envoy sees that the client is gone", Duration::from_secs(5), || async {
        let response = post.send().await;
        if response.problem().as_deref() == Some("in-flight") {
            Err(response.text())
        } else {
            Ok(response)
        }
    })
    .await;
    assert_eq!(verdict(&second), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// The upstream speaks HTTP/1.1: with the last announced byte it has a whole request, end of stream or not.
#[tokio::test]
async fn a_whole_body_whose_end_never_came_is_not_run_again() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .body(b"0123456789")
        .header("content-length", "10")
        .script(&json!({"gate": "no-end"}));
    let left = stack.http2().await.send_without_end(&post);
    stack.upstream().held("no-end", 1).await;
    left.abort();
    eventually("the outcome is judged", Duration::from_secs(5), || async {
        let verdict = verdict(&stack.http2().await.send(&post).await);
        if verdict == problem(409, "outcome-unknown") {
            Ok(())
        } else {
            Err(format!("{verdict:?}"))
        }
    })
    .await;
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T46.
#[tokio::test]
async fn a_request_that_broke_off_in_its_upload_runs_on_its_retry() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").body(vec![b'x'; 200_000]);
    let mut connection = Connection::open(stack.address()).await;
    connection.write(&post.bytes()[..100_000]).await;
    connection.hang_up();
    let first = eventually("the key is free", Duration::from_secs(5), || async {
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
