//! How long records live, and what they outlive.

use super::{assert_answers, shared};
use reprise_tests::harness::{Stack, Stopwatch, eventually};
use serde_json::json;
use std::time::Duration;

/// Case T71.
#[tokio::test]
async fn a_record_lives_from_its_completion_and_answers_do_not_extend_it() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("short");
    let asked = Stopwatch::new();
    assert_eq!(post.send().await.status, 201);
    let completed = Stopwatch::new();
    let age = eventually("the record expires", Duration::from_secs(5), || async {
        let (youngest, response) = (completed.elapsed(), post.send().await);
        if response.is_answer() {
            Err(format!("answered at {youngest:?}"))
        } else {
            Ok(asked.elapsed())
        }
    })
    .await;
    assert!(age >= Duration::from_secs(2), "expired after {age:?}");
    assert_eq!(stack.runs(&post).await, 2);
}

#[tokio::test]
async fn a_record_outlives_a_reload_of_the_configuration() {
    let Some(stack) = Stack::builder().lds().start().await else {
        return;
    };
    let post = stack.post("/reloaded").key("K");
    let first = post.send().await;
    assert!(
        stack
            .reload(json!({"problem": {"docs_url": "https://example.com/other"}}))
            .await
    );
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_record_outlives_the_listener() {
    let Some(stack) = Stack::builder().lds().start().await else {
        return;
    };
    let post = stack.post("/gone-and-back").key("K");
    let first = post.send().await;
    let listeners = stack.resources("lds.json");
    stack.replace("lds.json", &json!({"resources": []}));
    stack.gauge_is("listener_manager.total_listeners_active", 1).await;
    stack.gauge_is("listener_manager.total_listeners_draining", 0).await;
    stack.replace("lds.json", &listeners);
    stack.gauge_is("listener_manager.total_listeners_active", 2).await;
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_reload_that_is_refused_leaves_the_old_document_in_force() {
    let refusal = "the configuration is refused";
    let allowed = Stack::builder()
        .lds()
        .allow_log(refusal)
        .allow_log("Wasm VM failed")
        .allow_log("failed to load");
    let Some(stack) = allowed.allow_log("Unable to create Wasm plugin").start().await else {
        return;
    };
    assert!(!stack.reload(json!({"no_such_field": 1})).await);
    let post = stack.post("/still").key("K");
    let first = post.send().await;
    assert_answers(&first, &post.send().await);
}
