//! How Envoy calls the ends of exchanges, and what the filter makes of it.

use reprise_tests::harness::{Connection, Settings, Stack, eventually, free_port};
use serde_json::{Value, json};
use std::time::Duration;

/// Each end: its path, Envoy's `response.code_details` for it up to the first `|`, and what a capture tells of it.
const ENDS: [(&str, &str, &str); 14] = [
    ("plain", "via_upstream", ""),
    ("direct", "direct_response", "local_reply"),
    ("nowhere", "route_not_found", "not_sent"),
    ("no-cluster", "cluster_not_found", "not_sent"),
    ("empty", "no_healthy_upstream", "not_sent"),
    ("resting", "maintenance_mode", "not_sent"),
    ("full", "upstream_reset_before_response_started{overflow}", "not_sent"),
    (
        "refused",
        "upstream_reset_before_response_started{remote_connection_failure",
        "not_sent",
    ),
    (
        "reset",
        "upstream_reset_before_response_started{connection_termination}",
        "upstream_reset",
    ),
    (
        "cut",
        "upstream_reset_after_response_started{protocol_error}",
        "upstream_reset",
    ),
    ("slow", "response_timeout", "timeout"),
    ("idle", "stream_idle_timeout", "timeout"),
    ("hung-up", "downstream_remote_disconnect", "client_gone"),
    ("half", "downstream_remote_disconnect", "client_gone"),
];

fn target(case: &str) -> String {
    format!("/ends/{case}")
}

fn settings() -> Settings {
    let to = |case: &str, route: Value| json!({"match": {"path": target(case)}, "route": route});
    Stack::builder()
        .captures(&json!({}))
        .cluster(json!({"name": "empty", "type": "STATIC"}))
        .cluster_at("resting", free_port())
        .cluster_at("refused", free_port())
        .cluster_at("full", free_port())
        .route(json!({"match": {"path": target("direct")}, "direct_response": {"status": 200}}))
        .route(to("no-cluster", json!({"cluster": "no-cluster"})))
        .route(to("empty", json!({"cluster": "empty"})))
        .route(to("resting", json!({"cluster": "resting"})))
        .route(to("refused", json!({"cluster": "refused"})))
        .route(to("full", json!({"cluster": "full"})))
        .route(to("slow", json!({"cluster": "upstream", "timeout": "0.3s"})))
        .route(to(
            "idle",
            json!({"cluster": "upstream", "timeout": "0s", "idle_timeout": "0.3s"}),
        ))
        .patch(observe)
}

/// Writes how each exchange ended into Envoy's log, and has clusters and a host that lead nowhere.
fn observe(bootstrap: &mut Value) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    let full = clusters.iter_mut().find(|cluster| cluster["name"] == "full").unwrap();
    full["circuit_breakers"] = json!({"thresholds": [{"max_pending_requests": 0}]});
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["route_config"]["validate_clusters"] = false.into();
    }
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    // Envoy writes an access log out every ten seconds, or when it is long.
    let line = format!("ended %REQ(:PATH)% %RESPONSE_CODE_DETAILS%{}\n", " ".repeat(70_000));
    manager["access_log"] = json!([{"name": "stderr", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
        "log_format": {"text_format_source": {"inline_string": line}},
    }}]);
    let routes = &mut manager["route_config"];
    routes["virtual_hosts"][0]["domains"] = json!(["edge.test"]);
    let resting = json!({"upstream.maintenance_mode.resting": 100});
    bootstrap["layered_runtime"] = json!({"layers": [{"name": "test", "static_layer": resting}]});
}

/// Has each end happen once.
async fn end_all(stack: &Stack) {
    for case in ["plain", "direct", "no-cluster", "empty", "resting", "full", "refused"] {
        stack.post(&target(case)).send().await;
    }
    let elsewhere = stack.post(&target("nowhere")).header("host", "elsewhere.test");
    elsewhere.send().await;
    for (case, script) in [
        ("reset", json!({"fault": "reset"})),
        ("slow", json!({"gate": "never"})),
        ("idle", json!({"gate": "never"})),
    ] {
        stack.post(&target(case)).script(&script).send().await;
    }
    break_off(stack).await;
}

/// Has the ends happen that need a connection of their own.
async fn break_off(stack: &Stack) {
    let script = json!({"body_bytes": 2000, "pieces": 2, "body_gate": "cut", "fault": "reset_mid_body"});
    let mut cut = Connection::open(stack.address()).await;
    cut.write(stack.post(&target("cut")).script(&script).bytes()).await;
    cut.read_until("\r\n\r\n").await;
    stack.upstream().open("cut").await;
    cut.read_bytes(2000).await;
    let mut left = Connection::open(stack.address()).await;
    let gate = json!({"gate": "hung-up"});
    left.write(stack.post(&target("hung-up")).script(&gate).bytes()).await;
    stack.upstream().held("hung-up", 1).await;
    left.hang_up();
    let half = stack.post(&target("half")).body([b'x'; 1000]);
    let mut left = Connection::open(stack.address()).await;
    left.write(&half.bytes()[..half.bytes().len() - 500]).await;
    left.hang_up();
}

/// Reads Envoy's word for the end of a case.
fn details(log: &str, case: &str) -> Option<String> {
    let mark = format!("ended {} ", target(case));
    let line = log.lines().find_map(|line| line.strip_prefix(mark.as_str()))?;
    // A line whose blanks have not come yet may lack more.
    let (details, _blanks) = line.split_once("  ")?;
    Some(details.split('|').next()?.to_owned())
}

#[tokio::test]
async fn each_end_has_the_name_that_the_filter_knows() {
    let Some(stack) = settings().start().await else { return };
    end_all(&stack).await;
    let told = eventually("Envoy has told each end", Duration::from_secs(10), || async {
        let log = stack.log();
        let told = ENDS.map(|(case, ..)| details(&log, case).ok_or(case));
        told.into_iter().collect::<Result<Vec<_>, _>>().map_err(str::to_owned)
    })
    .await;
    let captures = stack.replayd().captured("path=/ends/*", ENDS.len()).await;
    for ((case, want, reason), details) in ENDS.into_iter().zip(told) {
        let capture = captures.iter().find(|capture| capture["target"] == target(case));
        let seen = capture
            .and_then(|capture| capture["reason"].as_str())
            .unwrap_or_default();
        assert_eq!((details.as_str(), seen), (want, reason), "{case}");
    }
}
