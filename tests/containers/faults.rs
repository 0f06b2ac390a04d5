//! Containers are killed, stopped, restarted and cut off while requests run.

use super::reference::unused_name;
use super::{Containers, assert_answers, containers, problem, verdict};
use reprise_tests::harness::{Request, Response};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

/// Begins a POST with a key, to a target and with a gate that nobody has used.
fn gated(stack: &Containers) -> (Request, String) {
    let gate = unused_name();
    let post = stack.post(&format!("/gated/{gate}")).key(&gate).body("{}");
    (post.script(&json!({"steps": [{"gate": gate}, {}]})), gate)
}

/// Sends it, and waits until the upstream has executed it and holds its response back.
async fn sent_and_held(stack: &Containers, post: &Request, gate: &str) -> JoinHandle<Response> {
    let sending = post.clone();
    let sending = tokio::spawn(async move { sending.send().await });
    stack.upstream().held(gate, 1).await;
    assert_eq!(stack.runs(post).await, 1);
    sending
}

/// Case T42.
#[tokio::test]
async fn a_killed_upstream_leaves_the_outcome_unknown() {
    let Some(mut stack) = containers().await else { return };
    let (post, gate) = gated(&stack);
    let sending = sent_and_held(&stack, &post, &gate).await;
    stack.kill_upstream();
    let first = sending.await.unwrap();
    assert!(matches!(first.status, 502 | 503), "{first:?}");
    assert_eq!(verdict(&post.send().await), problem(409, "outcome-unknown"));
    stack.start_upstream().await;
    assert_eq!(verdict(&post.send().await), problem(409, "outcome-unknown"));
    // What the killed one has executed was counted before; this is the new one's count.
    assert_eq!(stack.runs(&post).await, 0, "it ran again");
}

#[tokio::test]
async fn duplicates_of_a_request_in_a_paused_upstream_are_refused() {
    let Some(stack) = containers().await else { return };
    let (post, gate) = gated(&stack);
    let sending = sent_and_held(&stack, &post, &gate).await;
    stack.pause_upstream();
    for refused in post.send_at_once(5).await {
        assert_eq!(verdict(&refused), problem(409, "in-flight"));
    }
    stack.unpause_upstream();
    stack.upstream().open(&gate).await;
    let first = sending.await.unwrap();
    assert_eq!(first.status, 201);
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn one_of_six_requests_to_a_paused_upstream_runs_when_it_goes_on() {
    let Some(stack) = containers().await else { return };
    stack.pause_upstream();
    let name = unused_name();
    let post = stack.post(&format!("/paused/{name}")).key(&name).body("{}");
    let mut sending = JoinSet::new();
    for _ in 0..6 {
        let post = post.clone();
        sending.spawn(async move { post.send().await });
    }
    for _ in 1..6 {
        let refused = sending.join_next().await.unwrap().unwrap();
        assert_eq!(verdict(&refused), problem(409, "in-flight"));
    }
    stack.unpause_upstream();
    let first = sending.join_next().await.unwrap().unwrap();
    assert_eq!(first.status, 201);
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_restarted_envoy_knows_no_key_from_before() {
    let Some(mut stack) = containers().await else { return };
    let name = unused_name();
    let post = stack.post(&format!("/restarted/{name}")).key(&name).body("{}");
    assert_answers(&post.send().await, &post.send().await);
    stack.restart_envoy().await;
    let post = post.to(stack.address());
    let first = post.send().await;
    assert_eq!((first.status, stack.runs(&post).await), (201, 2));
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 2);
}

#[tokio::test]
async fn a_partition_leaves_the_outcome_unknown_and_releases_what_was_never_sent() {
    let Some(mut stack) = containers().await else { return };
    // A fresh Envoy has no idle connection that a request could be lost in.
    stack.restart_envoy().await;
    let (post, gate) = gated(&stack);
    let sending = sent_and_held(&stack, &post, &gate).await;
    stack.part();
    let never_sent = stack.post(&format!("/never-sent/{gate}")).key("never-sent").body("{}");
    assert_eq!(never_sent.send().await.status, 503);
    // Envoy waits as long as the route lets it, then gives up.
    assert_eq!(sending.await.unwrap().status, 504);
    stack.rejoin().await;
    assert_eq!(verdict(&post.send().await), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
    let first = never_sent.send().await;
    assert_eq!(first.status, 201);
    assert_answers(&first, &never_sent.send().await);
    assert_eq!(stack.runs(&never_sent).await, 1);
}

/// Reads the commands in the queue.
async fn queue(stack: &Containers) -> Vec<String> {
    let queue = stack.request("GET", "/api/commands").send().await.json();
    let command = |entry: &Value| entry["command"].as_str().map(str::to_owned);
    queue.as_array().unwrap().iter().filter_map(command).collect()
}

/// Case R01.
#[tokio::test]
async fn a_killed_queue_is_restored_through_the_proxy() {
    let Some(mut stack) = containers().await else { return };
    assert_eq!(stack.request("DELETE", "/api/commands").send().await.status, 204);
    for n in 1..=5 {
        let post = stack
            .post("/api/commands")
            .json(&json!({"command": format!("{} {n}", unused_name())}));
        assert_eq!(post.send().await.status, 201);
    }
    let before = queue(&stack).await;
    assert_eq!(before.len(), 5);
    stack.has_captured("path=/api/commands&method=POST", before.len()).await;
    stack.kill_upstream();
    stack.start_upstream().await;
    assert!(queue(&stack).await.is_empty());
    let said = stack.replayd(&["restore", "--target", "http://envoy:10000", "--yes"]);
    assert_eq!(queue(&stack).await, before, "{said:?}");
    assert!(said.is_ok(), "{said:?}");
}
