//! What is too large, and what is full.

use super::{assert_answers, problem, shared, twice, verdict};
use reprise_tests::harness::{Stack, eventually};
use serde_json::json;
use std::time::Duration;

/// Case T60.
#[tokio::test]
async fn a_response_above_the_cap_is_whole_and_not_retained() {
    let Some(stack) = shared().await else { return };
    let script = json!({"status": 201, "body_bytes": 2 << 20, "headers": [["location", "/made/1"]]});
    let post = stack.fresh("plain").script(&script);
    let (first, second) = twice(&post).await;
    assert_eq!((first.status, first.body.len(), first.complete), (201, 2 << 20, true));
    assert_eq!(verdict(&second), problem(409, "response-not-retained"));
    assert_eq!(
        (&second.json()["original_status"], &second.json()["location"]),
        (&json!(201), &json!("/made/1"))
    );
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T74.
#[tokio::test]
async fn a_full_store_refuses_new_keys_and_answers_old_ones() {
    let document = json!({"idempotency": {"keys_max": 32}});
    let Some(stack) = Stack::builder().document(document).start().await else {
        return;
    };
    let post = |n: usize| stack.post("/full").key(&format!("K{n}"));
    for n in 0..32 {
        assert_eq!(post(n).send().await.status, 201, "{n}");
    }
    let refused = post(32).send().await;
    assert_eq!(verdict(&refused), problem(503, "capacity"));
    assert!(refused.header("retry-after").is_some());
    assert!(post(7).send().await.is_answer());
    assert_eq!(stack.upstream().executions("/full").await, 32);
}

/// Case T86.
#[tokio::test]
async fn a_principal_at_its_limit_is_refused_alone() {
    let document = json!({"idempotency": {"keys_per_principal_max": 10}});
    let Some(stack) = Stack::builder().document(document).start().await else {
        return;
    };
    let post = |name: &str, key: String| stack.post("/limited").header("authorization", name).key(&key);
    let first = post("alice", "first".to_owned()).send().await;
    let number = std::cell::Cell::new(0);
    eventually("alice is at her limit", Duration::from_secs(20), || async {
        number.set(number.get() + 1);
        let response = post("alice", format!("K{}", number.get())).send().await;
        if verdict(&response) == problem(503, "capacity") {
            Ok(())
        } else {
            Err(response.status.to_string())
        }
    })
    .await;
    assert_eq!(post("bob", "first".to_owned()).send().await.status, 201);
    assert_answers(&first, &post("alice", "first".to_owned()).send().await);
}
