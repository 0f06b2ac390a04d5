//! What people see: counts that are right, and nothing that is secret.

mod dashboards;
mod expression;

use super::shared;
use reprise_tests::harness::{Stack, eventually};
use serde_json::json;
use std::time::Duration;

/// Case T82.
#[tokio::test]
async fn outcomes_are_counted_exactly_and_no_secret_is_logged() {
    let Some(stack) = Stack::builder().wasm_log("trace").start().await else {
        return;
    };
    let post = stack
        .post("/api/payments")
        .header("authorization", "Bearer s3cret-token")
        .body("{}");
    post.send().await;
    let keyed = post.clone().key("s3cret-key");
    keyed.send().await;
    keyed.send().await;
    keyed.body("{\"other\": 1}").send().await;
    post.key("\"open").send().await;
    let outcomes = ["missing", "miss", "answer", "mismatch", "malformed", "conflict"];
    eventually("every request is counted", Duration::from_secs(5), || async {
        let stats = stack.stats().await;
        let counts = outcomes.map(|outcome| stats.outcome(outcome));
        let right = counts == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        if right {
            Ok(())
        } else {
            Err(format!("{counts:?} of {:?}", stats.names("reprise")))
        }
    })
    .await;
    let stats = stack.admin("GET", "/stats/prometheus").await;
    for secret in ["s3cret-token", "s3cret-key"] {
        assert!(!stack.log().contains(secret), "{secret} is in the log");
        assert!(!stats.contains(secret), "{secret} is in the metrics");
    }
}

/// Case T77.
#[tokio::test]
async fn a_retry_by_the_proxy_is_counted() {
    let Some(stack) = shared().await else { return };
    let before = stack.stats().await.value("reprise_retried_attempts_total");
    let post = stack
        .fresh("retried")
        .script(&json!({"steps": [{"status": 500}, {"status": 201}]}));
    assert_eq!(post.send().await.status, 201);
    assert_eq!(stack.runs(&post).await, 2);
    eventually("the retry is counted", Duration::from_secs(5), || async {
        let now = stack.stats().await.value("reprise_retried_attempts_total");
        if now > before { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
}

#[tokio::test]
async fn gauges_tell_what_the_store_holds() {
    let document = json!({"idempotency": {"keys_max": 64}});
    let Some(stack) = Stack::builder().document(document).start().await else {
        return;
    };
    for key in ["a", "b", "c"] {
        assert_eq!(stack.post("/counted").key(key).send().await.status, 201);
    }
    eventually("the sweep has counted", Duration::from_secs(10), || async {
        let stats = stack.stats().await;
        let counted = [stats.value("reprise_keys_live"), stats.value("reprise_ways_free")];
        let told = stats.value("reprise_store_started") > 0.0 && stats.value("reprise_record_bytes") > 0.0;
        if counted == [3.0, 61.0] && told {
            Ok(())
        } else {
            Err(format!("{counted:?}, {:?}", stats.names("reprise_")))
        }
    })
    .await;
}
