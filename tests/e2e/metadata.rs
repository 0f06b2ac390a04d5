//! What a route's own metadata ask for, over rules and defaults.

use super::{assert_answers, problem, twice, verdict};
use reprise_tests::harness::{Settings, Stack, Stopwatch, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// Gives a route with metadata for Reprise.
fn route(prefix: &str, metadata: &Value) -> Value {
    json!({
        "match": {"prefix": prefix}, "route": {"cluster": "upstream"},
        "metadata": {"filter_metadata": {"reprise": metadata, "other": {"x": 1}}},
    })
}

fn settings() -> Settings {
    let rule = json!({"mode": "required", "answer_status": 410, "store_on": [201]});
    Stack::builder()
        .area("off", &json!({"mode": "required"}))
        .area("both", &rule)
        .area("rule-alone", &rule)
        .route(route("/off/", &json!({"idempotency": {"mode": "off"}})))
        .route(route("/required/", &json!({"idempotency": {"mode": "required"}})))
        .route(route("/short/", &json!({"idempotency": {"retain_s": 1}})))
        .route(route("/both/", &json!({"idempotency": {"answer_status": 409}})))
        .route(json!({
            "match": {"prefix": "/others/"}, "route": {"cluster": "upstream"},
            "metadata": {"filter_metadata": {"other": {"idempotency": {"mode": "off"}}}},
        }))
}

#[tokio::test]
async fn a_routes_metadata_override_rules_and_defaults_field_by_field() {
    let Some(stack) = settings().start().await else { return };
    let off = stack.post("/off/1").key("K");
    assert!(!twice(&off).await.1.is_answer());
    assert_eq!(stack.runs(&off).await, 2);
    assert_eq!(
        verdict(&stack.post("/required/1").send().await),
        problem(400, "key-missing")
    );
    for (area, status) in [("both", 409), ("rule-alone", 410)] {
        let post = stack.post(&format!("/{area}/1"));
        assert_eq!(verdict(&post.send().await), problem(400, "key-missing"), "{area}");
        let (first, second) = twice(&post.clone().key(area)).await;
        assert_eq!(
            (first.status, second.status, second.is_answer()),
            (201, status, true),
            "{area}"
        );
        let (_, not_stored) = twice(
            &post
                .clone()
                .at(&format!("/{area}/2"))
                .key("200")
                .script(&json!({"status": 200})),
        )
        .await;
        assert!(!not_stored.is_answer(), "{area}");
    }
    for plain in ["/plain/1", "/others/1"] {
        let (first, second) = twice(&stack.post(plain).key(plain)).await;
        assert_answers(&first, &second);
        assert_eq!(stack.post(plain).send().await.status, 201, "{plain}");
    }
}

#[tokio::test]
async fn a_routes_metadata_say_how_long_its_records_live() {
    let Some(stack) = settings().start().await else { return };
    let (short, long) = (stack.post("/short/1").key("S"), stack.post("/plain/1").key("L"));
    let stored = Stopwatch::new();
    let first = long.send().await;
    assert_answers(&short.send().await, &short.send().await);
    eventually("the short record expires", Duration::from_secs(5), || async {
        if short.send().await.is_answer() {
            Err("answered".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    assert!(stored.elapsed() >= Duration::from_secs(1));
    assert_answers(&first, &long.send().await);
}

#[tokio::test]
async fn metadata_that_do_not_parse_refuse_keyed_requests_and_say_why_once() {
    let why = [
        (
            "/unknown/",
            json!({"idempotency": {"no_such": 1}}),
            "idempotency.no_such: is not known",
        ),
        (
            "/kind/",
            json!({"idempotency": {"retain_s": "long"}}),
            "idempotency.retain_s: ",
        ),
        ("/shape/", json!({"idempotency": 7}), "idempotency: "),
    ];
    let mut settings = Stack::builder()
        .workers(1)
        .allow_log("route metadata (filter_metadata.reprise)");
    for (prefix, metadata, _) in &why {
        settings = settings.route(route(prefix, metadata));
    }
    let Some(stack) = settings.start().await else { return };
    for (prefix, _, words) in &why {
        let post = stack.post(&format!("{prefix}1"));
        for key in ["a", "b"] {
            let refused = post.clone().key(key).send().await;
            assert_eq!(verdict(&refused), problem(503, "misconfigured"), "{prefix}");
        }
        assert_eq!(post.send().await.status, 201, "{prefix}");
        assert_eq!(stack.runs(&post).await, 1, "{prefix}");
        let log = stack.log();
        let told: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
        assert_eq!(told.len(), 1, "{words}: {log}");
    }
    let (first, second) = twice(&stack.post("/plain/1").key("P")).await;
    assert_answers(&first, &second);
    eventually("both are counted", Duration::from_secs(5), || async {
        let stats = stack.stats().await;
        let counts = (
            stats.outcome("misconfigured"),
            stats.value("reprise_bad_metadata_total"),
        );
        if counts == (6.0, 9.0) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}
