//! Which requests are the same, and whose they are.

use super::{assert_answers, problem, shared, verdict};

/// Case T19.
#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    let other = post.clone().body("{\"amount\": 6}").send().await;
    assert_eq!(verdict(&other), problem(422, "key-reused"));
    assert_eq!(other.json()["title"], "Idempotency-Key is already used");
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T20.
#[tokio::test]
async fn a_key_with_another_query_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let (one, two) = (format!("{}?x=1", post.target()), format!("{}?x=2", post.target()));
    assert_eq!(post.clone().at(&one).send().await.status, 201);
    assert_eq!(verdict(&post.at(&two).send().await), problem(422, "key-reused"));
}

// The half of case T21 whose scope is the principal.
#[tokio::test]
async fn a_key_on_another_path_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    let elsewhere = stack.fresh("plain");
    let refused = post.clone().at(elsewhere.target()).send().await;
    assert_eq!(verdict(&refused), problem(422, "key-reused"));
}

/// Case T22.
#[tokio::test]
async fn a_key_with_another_method_is_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    assert_eq!(post.send().await.status, 201);
    assert_eq!(verdict(&post.method("PATCH").send().await), problem(422, "key-reused"));
}

/// Case T26.
#[tokio::test]
async fn two_callers_never_share_a_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let alice = post.clone().header("authorization", "Bearer alice");
    let mallory = post.clone().header("authorization", "Bearer mallory");
    let (first, other) = (alice.send().await, mallory.send().await);
    assert!(!other.is_answer());
    assert_ne!(first.body, other.body);
    assert_answers(&first, &alice.send().await);
    assert_eq!(stack.runs(&post).await, 2);
}
