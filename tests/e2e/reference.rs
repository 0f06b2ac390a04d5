//! The reference configuration as it is; `REPRISE_STACK_URL` and `REPRISE_UPSTREAM_URL` point these cases at a running stack.

use super::{assert_answers, problem, verdict};
use reprise_tests::harness::{Request, Stack};
use serde_json::json;
use std::hash::{BuildHasher as _, RandomState};

/// A key that no earlier run against the same stack has used.
fn unused(request: Request) -> Request {
    request.key(&format!("{:016x}", RandomState::new().hash_one(0)))
}

/// Case T02.
#[tokio::test]
async fn a_payment_needs_a_key() {
    let Some(stack) = Stack::start().await else { return };
    for path in ["/api/payments", "/api/orders"] {
        let refused = stack.post(path).json(&json!({"amount": 5})).send().await;
        assert_eq!(verdict(&refused), problem(400, "key-missing"));
    }
}

/// Case T03.
#[tokio::test]
async fn a_payment_is_made_once() {
    let Some(stack) = Stack::start().await else { return };
    let before = stack.upstream().executions("/api/payments").await;
    let post = unused(stack.post("/api/payments")).json(&json!({"amount": 5}));
    let first = post.send().await;
    assert_eq!(first.status, 201);
    assert_answers(&first, &post.send().await);
    assert_eq!(verdict(&post.body("{}").send().await), problem(422, "key-reused"));
    assert_eq!(stack.upstream().executions("/api/payments").await, before + 1);
}

#[tokio::test]
async fn the_command_queue_forgets_nothing_while_it_lives() {
    let Some(stack) = Stack::start().await else { return };
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
