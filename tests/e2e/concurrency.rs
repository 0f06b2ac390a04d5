//! Many at once: one runs.

use super::{assert_answers, shared};
use reprise_tests::harness::{Request, Response, Stack};
use serde_json::json;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

/// Case T14.
#[tokio::test]
async fn one_of_eight_requests_at_once_runs() {
    one_of_many_runs(8).await;
}

/// Case T14.
#[tokio::test]
async fn one_of_two_hundred_requests_at_once_runs() {
    one_of_many_runs(200).await;
}

async fn one_of_many_runs(count: usize) {
    let Some(stack) = shared().await else { return };
    let gate = format!("of-{count}");
    let post = stack.fresh("plain").script(&json!({"gate": gate}));
    let first = others_are_refused(&stack, &post, &gate, count).await;
    assert_eq!(first.status, 201);
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Sends `count` at once; all but one are refused while that one waits at `gate`. Gives that one's response.
async fn others_are_refused(stack: &Stack, post: &Request, gate: &str, count: usize) -> Response {
    let mut sending = JoinSet::new();
    for _ in 0..count {
        let post = post.clone();
        sending.spawn(async move { post.send().await });
    }
    for _ in 1..count {
        let refused = sending.join_next().await.unwrap().unwrap();
        assert_eq!(
            (refused.status, refused.problem().as_deref()),
            (409, Some("in-flight")),
            "{refused:?}"
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    stack.upstream().held(gate, 1).await;
    stack.upstream().open(gate).await;
    sending.join_next().await.unwrap().unwrap()
}

/// Case T14.
#[tokio::test]
async fn one_of_many_streams_of_one_connection_runs() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let responses = stack.http2().await.send_at_once(&post, 50).await;
    let mut statuses = BTreeMap::new();
    for response in &responses {
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    assert!(
        statuses.keys().all(|status| [201, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(
        responses
            .iter()
            .filter(|response| response.status == 201 && !response.is_answer())
            .count(),
        1
    );
    assert_eq!(stack.runs(&post).await, 1);
}
