//! When a key is wanted, where it is read, and what is not a key.

use super::{assert_answers, problem, shared, twice, verdict};
use reprise_tests::harness::Stack;
use serde_json::json;

/// Case T01.
#[tokio::test]
async fn a_request_without_a_key_is_untouched_where_keys_are_optional() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").without("idempotency-key");
    let (first, second) = twice(&post).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert!(!first.is_answer() && !second.is_answer());
    assert_eq!(stack.runs(&post).await, 2);
}

/// Case T02.
#[tokio::test]
async fn a_request_without_a_key_is_refused_where_one_is_required() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("required").without("idempotency-key");
    let refused = post.send().await;
    assert_eq!(verdict(&refused), problem(400, "key-missing"));
    assert_eq!(refused.json()["title"], "Idempotency-Key is missing");
    assert!(
        refused
            .header("link")
            .is_some_and(|link| link.ends_with("rel=\"describedby\"")),
        "{refused:?}"
    );
    assert_eq!(stack.runs(&post).await, 0);
}

/// Case T06.
#[tokio::test]
async fn a_safe_method_ignores_the_key() {
    let Some(stack) = shared().await else { return };
    let get = stack.fresh("required").method("GET");
    let (first, second) = twice(&get).await;
    assert!(!first.is_answer() && !second.is_answer());
    assert_eq!(stack.runs(&get).await, 2);
}

/// Case T07.
#[tokio::test]
async fn a_route_that_is_off_runs_every_request() {
    let Some(stack) = shared().await else { return };
    for area in ["off", "metadata-off"] {
        let post = stack.fresh(area);
        let (_, second) = twice(&post).await;
        assert!(!second.is_answer(), "{area}");
        assert_eq!(stack.runs(&post).await, 2, "{area}");
    }
}

/// Case T11.
#[tokio::test]
async fn a_route_with_a_header_of_its_own_reads_no_other() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("my-key");
    assert_eq!(verdict(&post.send().await), problem(400, "key-missing"));
    let post = post.without("idempotency-key").header("x-my-key", "a-key");
    let (first, second) = twice(&post).await;
    assert_answers(&first, &second);
}

/// Case T30.
#[tokio::test]
async fn a_quoted_key_is_the_same_as_the_bare_one() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").without("idempotency-key");
    let first = post.clone().key("7f3a-of-one-client").send().await;
    let second = post.clone().key("\"7f3a-of-one-client\"").send().await;
    assert_answers(&first, &second);
    assert_eq!(
        stack.upstream().seen(post.target()).await[0].header("idempotency-key"),
        Some("7f3a-of-one-client")
    );
}

/// Case T32.
#[tokio::test]
async fn a_malformed_key_is_refused_and_nothing_runs() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain").without("idempotency-key");
    let long = vec![b'k'; 256];
    let malformed: [&[u8]; 7] = [b"\"\"", b"", &long, b"a\xc3b", b"\"open", b"K1, K2", b"pay;1"];
    for key in malformed {
        let refused = post.clone().header("idempotency-key", key).send().await;
        assert_eq!(verdict(&refused), problem(400, "key-malformed"), "{key:?}");
    }
    // A control character does not get past Envoy's own codec.
    let refused = post.clone().header("idempotency-key", b"a\x07b").send().await;
    assert_eq!(refused.status, 400);
    let refused = post.clone().key("K1").key("K2").send().await;
    assert_eq!(verdict(&refused), problem(400, "key-malformed"));
    assert_eq!(stack.runs(&post).await, 0);
}

/// Case T33.
#[tokio::test]
async fn a_bare_key_is_refused_where_structured_fields_are_asked_for() {
    let document = json!({"idempotency": {"header_syntax": "structured"}});
    let Some(stack) = Stack::builder().document(document).start().await else {
        return;
    };
    let post = stack.post("/structured");
    assert_eq!(
        verdict(&post.clone().key("bare").send().await),
        problem(400, "key-malformed")
    );
    assert_eq!(stack.runs(&post).await, 0);
    assert_eq!(post.clone().key("\"quoted\"").send().await.status, 201);
}

#[tokio::test]
async fn a_client_cannot_send_headers_of_reprise() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .header("reprise-key-exists", "true")
        .header("Reprise-Anything", "x");
    post.send().await;
    let seen = stack.upstream().seen(post.target()).await;
    assert!(
        seen[0].headers.iter().all(|(name, _)| !name.starts_with("reprise-")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_key_goes_upstream_unchanged() {
    let Some(stack) = Stack::start().await else { return };
    let post = stack.post("/plain").key("\"as it is\"").json(&json!({}));
    let post = post.without("idempotency-key").key("\"as-it-is\";p=1");
    assert_eq!(post.send().await.status, 201);
    assert_eq!(
        stack.upstream().seen("/plain").await[0].header("idempotency-key"),
        Some("\"as-it-is\";p=1")
    );
}

#[tokio::test]
async fn a_duplicate_runs_beside_the_first_where_its_route_says_so() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("runs").script(&json!({"delay_ms": 500}));
    let both = post.send_at_once(2).await;
    assert!(
        both.iter()
            .all(|response| response.status == 201 && !response.is_answer()),
        "{both:?}"
    );
    assert_eq!(stack.runs(&post).await, 2);
    assert!(post.send().await.is_answer(), "the first one's is recorded");
}

/// Case T08.
#[tokio::test]
async fn on_a_manual_route_the_upstream_decides_about_a_repeat() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("manual");
    let first = post.send().await;
    assert_eq!(first.status, 201);
    let own = post.send().await;
    assert!(own.status == 201 && !own.is_answer(), "{own:?}");
    let seen = stack.upstream().seen(post.target()).await;
    let told = |at: usize, name: &str| seen[at].header(name).map(str::to_owned);
    assert_eq!(told(0, "reprise-key-exists").as_deref(), Some("false"));
    assert_eq!(told(0, "reprise-key-status"), None);
    assert_eq!(told(1, "reprise-key-exists").as_deref(), Some("true"));
    assert_eq!(told(1, "reprise-key-status").as_deref(), Some("201"));
    assert_eq!(told(1, "reprise-key-content-type").as_deref(), Some("application/json"));
    assert!(told(1, "reprise-key-response").is_some());
    let asks = post
        .clone()
        .script(&json!({"headers": [["reprise-answer", "stored"]], "body": "again"}));
    assert_answers(&first, &asks.send().await);
    assert_eq!(stack.runs(&post).await, 3);
}
