//! The order of what is sent again, as the upstream sees it.

use super::super::capture::recorded;
use super::super::load::load;
use super::{at_rest, begun, replayed};
use reprise_tests::harness::Stack;
use reprise_tests::upstream::Execution;
use serde_json::json;
use std::collections::HashMap;

/// Gives the order in which each resource's requests were executed: their numbers, by resource.
fn by_resource(log: &[Execution], area: &str) -> HashMap<String, Vec<usize>> {
    let mut all = HashMap::<_, Vec<_>>::new();
    for seen in log.iter().filter(|seen| seen.target.starts_with(area)) {
        let (resource, number) = seen.target.split_once("?n=").unwrap();
        all.entry(resource.to_owned())
            .or_default()
            .push(number.parse().unwrap());
    }
    all
}

/// Case R25.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_one_resource_keep_their_order_while_others_run_beside_them() {
    const RESOURCES: usize = 10;
    const EACH: usize = 500;
    let Some(stack) = recorded().await else { return };
    // One client a resource, each in order: what they send interleaves.
    let mut sending = tokio::task::JoinSet::new();
    for resource in 0..RESOURCES {
        let (to, post) = (stack.address(), stack.post("/"));
        sending.spawn(async move {
            let mut connection = reprise_tests::harness::Connection::open(to).await;
            for n in 0..EACH {
                let post = post.clone().at(&format!("/r25/{resource}?n={n}"));
                assert_eq!(connection.send(&post).await.status, 201);
            }
        });
    }
    sending.join_all().await;
    stack.replayd().captured("path=/r25/*", RESOURCES * EACH).await;
    for mode in ["per_key", "causal"] {
        let before = stack.upstream().all().await.len();
        let spec = json!({
            "mode": mode, "concurrency": 32, "query": {"path": "/r25/*"}, "scope": mode, "on_mismatch": "ignore",
        });
        let view = replayed(&stack, &spec).await;
        assert_eq!(view["counts"]["answered"], RESOURCES * EACH, "{mode}: {view:#}");
        let log = stack.upstream().all().await;
        for (resource, numbers) in by_resource(&log[before..], "/r25/") {
            assert!(numbers.is_sorted(), "{mode}: {resource} ran as {numbers:?}");
            assert_eq!(numbers.len(), EACH, "{mode}: {resource}");
        }
    }
}

/// Case R27.
#[tokio::test]
async fn requests_that_overlapped_overlap_again() {
    let Some(stack) = recorded().await else { return };
    let held = json!({"gate": "r27"});
    let posts = load(&stack, 4, 4, move |stack, n| {
        stack.post(&format!("/r27/{n}")).script(&held)
    });
    let (responses, ()) = tokio::join!(posts, all_at_once(&stack));
    assert!(responses.iter().all(|(_, response)| response.status == 201));
    stack.replayd().captured("path=/r27/*", 4).await;
    stack.upstream().close("r27").await;
    let spec = json!({"mode": "causal", "query": {"path": "/r27/*"}, "on_mismatch": "ignore"});
    let id = begun(&stack, &spec).await;
    let (view, ()) = tokio::join!(at_rest(stack.replayd(), &id), all_at_once(&stack));
    assert_eq!(view["counts"]["answered"], 4, "{view:#}");
}

/// Lets the four requests go once all of them are in the upstream.
async fn all_at_once(stack: &Stack) {
    stack.upstream().held("r27", 4).await;
    stack.upstream().open("r27").await;
}
