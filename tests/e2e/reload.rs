//! Configuration that changes while keys live: what is recorded or under way outlives it.

use super::{assert_answers, problem, verdict};
use reprise_tests::harness::{Request, Settings, Stack, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// What Envoy and the filter say about a document that is refused.
const REFUSAL: [&str; 4] = [
    "the configuration is refused",
    "Wasm VM failed",
    "failed to load",
    "Unable to create Wasm",
];

fn settings() -> Settings {
    REFUSAL.into_iter().fold(Stack::builder().lds(), Settings::allow_log)
}

/// Waits until a request gets this status: a worker may take a new document a moment after Envoy has.
async fn eventually_gets(request: &Request, status: u16) {
    eventually("the new document counts", Duration::from_secs(5), || async {
        let now = request.send().await.status;
        if now == status { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
}

#[tokio::test]
async fn a_request_outlives_a_reload_under_way_and_its_repeat_is_answered() {
    let Some(stack) = Stack::builder().lds().drain_s(60).start().await else {
        return;
    };
    let post = stack
        .post("/across")
        .key("K")
        .body("{}")
        .script(&json!({"gate": "reload"}));
    let sending = tokio::spawn({
        let post = post.clone();
        async move { post.send().await }
    });
    stack.upstream().held("reload", 1).await;
    let change = json!({"idempotency": {"in_flight_status": 423, "retain_s": 600}});
    assert!(stack.reload(change).await);
    eventually_gets(&post, 423).await;
    stack.upstream().open("reload").await;
    assert_answers(&sending.await.unwrap(), &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_document_that_is_refused_at_a_reload_changes_nothing() {
    let Some(stack) = settings().start().await else { return };
    let post = stack.post("/still").key("K");
    let first = post.send().await;
    let invalid = json!({"idempotency": {"mode": "perhaps", "answer_status": 410}});
    assert!(!stack.reload(invalid).await);
    assert!(stack.log().contains("idempotency.mode: "), "{}", stack.log());
    assert_answers(&first, &post.send().await);
    assert_eq!(
        verdict(&stack.post("/api/payments").send().await),
        problem(400, "key-missing")
    );
}

#[tokio::test]
async fn a_store_of_another_size_is_refused_with_both_sizes() {
    let Some(stack) = settings()
        .document(json!({"idempotency": {"keys_max": 64}}))
        .start()
        .await
    else {
        return;
    };
    let post = stack.post("/sized").key("K");
    let first = post.send().await;
    assert!(!stack.reload(json!({"idempotency": {"keys_max": 4096}})).await);
    let said = "the store of this process holds 64 keys and the document wants 4096";
    assert!(stack.log().contains(said), "{}", stack.log());
    assert_answers(&first, &post.send().await);
    assert!(
        stack
            .reload(json!({"idempotency": {"keys_max": 64, "answer_status": 410}}))
            .await
    );
    eventually_gets(&post, 410).await;
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn without_the_pin_records_go_with_the_listener() {
    let unpinned = |bootstrap: &mut Value| {
        let extensions = bootstrap["bootstrap_extensions"].as_array_mut().unwrap();
        extensions.retain(|extension| extension["name"] != "envoy.bootstrap.wasm");
    };
    let Some(stack) = Stack::builder().lds().patch(unpinned).start().await else {
        return;
    };
    let post = stack.post("/gone").key("K");
    post.send().await;
    let listeners = stack.resources("lds.json");
    stack.replace("lds.json", &json!({"resources": []}));
    stack.gauge_is("wasm.envoy.wasm.runtime.v8.active", 0).await;
    stack.replace("lds.json", &listeners);
    stack.gauge_is("listener_manager.total_listeners_active", 2).await;
    assert!(!post.send().await.is_answer());
    assert_eq!(stack.runs(&post).await, 2);
}

#[tokio::test]
async fn a_record_outlives_a_change_of_the_filter_alone() {
    let settings = REFUSAL.into_iter().fold(Stack::builder().ecds(), Settings::allow_log);
    let Some(stack) = settings.start().await else { return };
    let post = stack.post("/extension").key("K").body("{}");
    let first = post.send().await;
    assert!(stack.reload_filter(json!({"idempotency": {"mode": "required"}})).await);
    eventually_gets(&stack.post("/extension"), 400).await;
    assert_answers(&first, &post.send().await);
    assert!(!stack.reload_filter(json!({"no_such_field": 1})).await);
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}
