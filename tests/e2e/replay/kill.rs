//! A replayd that is killed while it replays.

use super::{at_rest, started};
use reprise_tests::harness::{Relay, Stack, free_port};
use serde_json::json;
use std::collections::BTreeMap;

/// Requests of one replay.
const ALL: usize = 1000;
/// How many of them are out at one time.
const OUT: usize = 8;

/// Writes requests as a file of captures has them; from `held` on each waits at the gate of that name.
fn file(held: usize) -> String {
    let line = |n: usize| {
        let script = if n < held {
            json!({})
        } else {
            json!({"gate": held.to_string()})
        };
        let (target, script) = (format!("/r31/{held}-{n}"), script.to_string());
        let headers = json!([
            [":method", "POST"],
            [":scheme", "http"],
            [":authority", "shop"],
            [":path", target],
            ["x-script", script],
        ]);
        let capture = json!({
            "state": "completed", "began_unix_ms": 1000 + n, "began_us": n * 1000, "ended_us": n * 1000 + 500,
            "request": {"headers": headers, "ended": true},
            "response": {"headers": [[":status", "201"]], "ended": true},
        });
        format!("{}\n", json!({"capture": capture}))
    };
    let (head, foot) = (json!({"head": {"version": 1}}), json!({"foot": {"captures": ALL}}));
    let lines: String = (1..=ALL).map(line).collect();
    format!("{head}\n{lines}{foot}\n")
}

/// Kills replayd when the requests from `held` on are out, starts it again and lets the replay go on.
async fn killed_at(stack: &mut Stack, held: usize) {
    let import = stack.replayd().request("POST", "/api/v1/captures/import?format=ndjson");
    let imported = import.body(file(held)).send().await;
    assert_eq!(imported.status, 201, "{}", imported.text());
    let query = json!({"path": format!("/r31/{held}-*")});
    let spec = json!({"target": "shop", "mode": "max", "concurrency": OUT, "query": query});
    let id = started(stack.replayd(), &spec).await;
    stack.upstream().held(&held.to_string(), 8).await;
    stack.replayd_mut().kill();
    stack.upstream().open(&held.to_string()).await;
    stack.replayd_mut().start_again().await;
    let view = stack.replayd().get(&format!("/api/v1/replays/{id}")).await;
    assert_eq!((&view["state"], &view["exit_code"]), (&json!("interrupted"), &json!(3)));
    assert_eq!(view["counts"]["in_doubt"], OUT, "{view:#}");
    stack
        .replayd()
        .post(&format!("/api/v1/replays/{id}/resume"), &json!({}))
        .await;
    let view = at_rest(stack.replayd(), &id).await;
    assert_eq!(
        (&view["state"], &view["counts"]["answered"]),
        (&json!("finished"), &json!(ALL)),
        "{view:#}"
    );
}

/// Case R31.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_whose_replayd_was_killed_anywhere_in_it_runs_each_request_once() {
    let port = free_port();
    // Envoy protects the route: what is in doubt is sent again with its key, and has one effect.
    let target = format!("[targets.shop]\nurl = \"http://127.0.0.1:{port}\"\nallowed = true\nhonours_keys = true");
    let settings = Stack::builder().allow_log("reprise: replayd ").captures(&json!({}));
    let Some(mut stack) = settings.replayd_toml(&target).start().await else {
        return;
    };
    let _relay = Relay::start(port, stack.address());
    for held in [1, 500, ALL - OUT + 1] {
        killed_at(&mut stack, held).await;
    }
    let mut runs = BTreeMap::new();
    for run in stack.upstream().all().await.into_iter().filter(|run| run.ended) {
        *runs.entry(run.target).or_insert(0) += 1;
    }
    let more_than_once: Vec<_> = runs.iter().filter(|(_, count)| **count != 1).collect();
    assert!(more_than_once.is_empty(), "{more_than_once:?}");
    assert_eq!(runs.len(), 3 * ALL);
}
