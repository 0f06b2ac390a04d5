//! The reference configuration as it is; `REPRISE_STACK_URL` and `REPRISE_UPSTREAM_URL` point these cases at a running stack.
//!
//! The target `containers` runs them as well.

use super::{assert_answers, problem, reference_stack, verdict};
use reprise_tests::harness::Request;
use serde_json::json;
use std::hash::{BuildHasher as _, RandomState};
use tokio::task::JoinSet;

/// Gives a name that no earlier run against the same stack has used.
pub(crate) fn unused_name() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

fn unused(request: Request) -> Request {
    request.key(&unused_name())
}

/// Case T02.
#[tokio::test]
async fn a_payment_needs_a_key() {
    let Some(stack) = reference_stack().await else { return };
    for path in ["/api/payments", "/api/orders"] {
        let refused = stack.post(path).json(&json!({"amount": 5})).send().await;
        assert_eq!(verdict(&refused), problem(400, "key-missing"));
    }
}

/// Case T03.
#[tokio::test]
async fn a_payment_is_made_once() {
    let Some(stack) = reference_stack().await else { return };
    let before = stack.upstream().executions("/api/payments").await;
    let post = unused(stack.post("/api/payments")).json(&json!({"amount": 5}));
    let first = post.send().await;
    assert_eq!(first.status, 201);
    assert_answers(&first, &post.send().await);
    assert_eq!(verdict(&post.body("{}").send().await), problem(422, "key-reused"));
    assert_eq!(stack.upstream().executions("/api/payments").await, before + 1);
}

/// Case T14.
#[tokio::test]
async fn one_of_twenty_payments_at_once_is_made() {
    let Some(stack) = reference_stack().await else { return };
    let before = stack.upstream().executions("/api/payments").await;
    let gate = unused_name();
    let post = unused(stack.post("/api/payments")).script(&json!({"gate": gate}));
    let post = post.json(&json!({"amount": 5}));
    let mut sending = JoinSet::new();
    for _ in 0..20 {
        let post = post.clone();
        sending.spawn(async move { post.send().await });
    }
    for _ in 1..20 {
        let refused = sending.join_next().await.unwrap().unwrap();
        assert_eq!(verdict(&refused), problem(409, "in-flight"), "{refused:?}");
    }
    stack.upstream().held(&gate, 1).await;
    stack.upstream().open(&gate).await;
    let first = sending.join_next().await.unwrap().unwrap();
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.upstream().executions("/api/payments").await, before + 1);
}

#[tokio::test]
async fn the_command_queue_forgets_nothing_while_it_lives() {
    let Some(stack) = reference_stack().await else { return };
    stack.request("DELETE", "/api/commands").send().await;
    let sent = unused(stack.post("/api/commands"))
        .json(&json!({"command": "restart wifi"}))
        .send()
        .await;
    assert_eq!((sent.status, sent.header("reprise-boot-id")), (201, None), "{sent:?}");
    assert_eq!(
        unused(stack.post("/api/commands")).json(&json!({})).send().await.status,
        400
    );
    let queue = stack.request("GET", "/api/commands").send().await.json();
    assert_eq!(queue[0]["command"], "restart wifi");
}
