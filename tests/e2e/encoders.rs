//! Keys that the whole request names, fingerprints of JSON, and the preset for those who come from Django.

use super::{assert_answers, problem, shared, twice, verdict};
use reprise_tests::harness::{Request, Response, Settings, Stack, Stopwatch};
use reprise_tests::upstream::patterned;
use serde_json::{Value, json};
use std::time::Duration;

/// Case T13.
#[tokio::test]
async fn another_body_or_caller_is_another_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("django");
    let other = post.clone().body("{\"amount\": 6}");
    let alice = post.clone().header("authorization", "Bearer alice");
    let mut firsts = Vec::new();
    for each in [&post, &other, &alice] {
        firsts.push(each.send().await);
    }
    assert_eq!(stack.runs(&post).await, 3);
    for (first, each) in firsts.iter().zip([&post, &other, &alice]) {
        assert_answers(first, &each.send().await);
    }
    assert_eq!(stack.runs(&post).await, 3);
}

#[tokio::test]
async fn a_body_that_is_held_arrives_whole() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("django").body(patterned(1_000_000));
    for post in [post.clone(), stack.fresh("django").body(patterned(1_000_000)).chunked()] {
        let (first, second) = twice(&post).await;
        assert_eq!(first.status, 201);
        assert_answers(&first, &second);
        let seen = stack.upstream().seen(post.target()).await;
        assert_eq!((seen.len(), seen[0].body_bytes), (1, 1_000_000));
    }
    let plain = stack.fresh("plain").body(patterned(1_000_000));
    plain.send().await;
    let hash = |seen: Vec<reprise_tests::upstream::Execution>| seen[0].body_hash;
    assert_eq!(
        hash(stack.upstream().seen(post.target()).await),
        hash(stack.upstream().seen(plain.target()).await)
    );
}

#[tokio::test]
async fn a_request_without_a_body_has_its_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("django").body("");
    let (first, second) = twice(&post).await;
    assert_answers(&first, &second);
}

#[tokio::test]
async fn a_body_that_is_longer_than_is_held_is_refused_and_leaves_its_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("django");
    let refused = post.clone().body(patterned(4_063_233)).send().await;
    assert_eq!(verdict(&refused), problem(413, "body-too-large"));
    assert_eq!(stack.runs(&post).await, 0);
    let longest = post.clone().body(patterned(4_063_232));
    assert_answers(&longest.send().await, &longest.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused_once_it_is_too_long() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("django").body(patterned(4_063_233));
    let refused = stack.http2().await.send(&post.chunked()).await;
    assert_eq!(verdict(&refused), problem(413, "body-too-large"));
}

#[tokio::test]
async fn a_request_with_trailers_has_its_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("django").body(patterned(100_000)).trailer("x-end", "1");
    let connection = stack.http2().await;
    let (first, second) = (connection.send(&post).await, connection.send(&post).await);
    assert_eq!(first.status, 201);
    assert!(second.is_answer(), "{second:?}");
    assert_eq!((first.body, stack.runs(&post).await), (second.body, 1));
}

#[tokio::test]
async fn parts_of_a_request_are_its_key() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("by-tenant");
    let (a, b) = (
        post.clone().header("x-tenant", "a"),
        post.clone().header("x-tenant", "b"),
    );
    let (first, other) = (a.send().await, b.send().await);
    assert_ne!(first.body, other.body);
    assert_answers(&first, &a.body("another").send().await);
    assert_answers(&other, &b.send().await);
}

/// Case T24.
#[tokio::test]
async fn json_in_another_order_is_the_same_only_where_it_is_read() {
    let Some(stack) = shared().await else { return };
    let again = "{\n  \"b\": [1, {\"c\": null}],\n  \"a\": \"\\u00e9\"\n}";
    for (area, is_read) in [("plain", false), ("json", true)] {
        let post = stack.fresh(area).body("{\"a\":\"é\",\"b\":[1,{\"c\":null}]}");
        let first = post.send().await;
        let second = post.clone().body(again).send().await;
        if is_read {
            assert_answers(&first, &second);
            let other = post.clone().body("{\"a\":\"é\",\"b\":[1.0,{\"c\":null}]}").send().await;
            assert_eq!(verdict(&other), problem(422, "key-reused"));
        } else {
            assert_eq!(verdict(&second), problem(422, "key-reused"));
        }
        assert_eq!(stack.runs(&post).await, 1);
    }
}

#[tokio::test]
async fn only_the_fields_that_a_route_names_count() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("amounts").body(r#"{"amount": 5, "at": "10:00"}"#);
    let first = post.send().await;
    let later = post.clone().body(r#"{"at": "10:01", "amount": 5}"#).send().await;
    assert_answers(&first, &later);
    for body in [r#"{"amount": 6, "at": "10:00"}"#, r#"{"at": "10:00"}"#, "amount=5"] {
        assert_eq!(
            verdict(&post.clone().body(body).send().await),
            problem(422, "key-reused")
        );
    }
}

#[tokio::test]
async fn json_that_is_too_long_to_be_read_counts_by_its_bytes() {
    let Some(stack) = shared().await else { return };
    let long = |space: &str| format!("[{space}\"{}\"]", "x".repeat(300_000));
    let post = stack.fresh("json").body(long(""));
    assert_answers(&post.send().await, &post.send().await);
    let other = post.clone().body(long(" ")).send().await;
    assert_eq!(verdict(&other), problem(422, "key-reused"));
}

fn preset() -> Settings {
    Stack::builder().document(json!({"idempotency": {"preset": "django"}}))
}

/// The preset alone: the mode of the reference, which would win, is taken off.
fn preset_alone() -> Settings {
    preset().patch(forget_mode)
}

fn forget_mode(value: &mut Value) {
    if let Some(keys) = value.get_mut("idempotency").and_then(Value::as_object_mut) {
        keys.remove("mode");
        return;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(forget_mode),
        Value::Array(items) => items.iter_mut().for_each(forget_mode),
        _ => {}
    }
}

fn keyed(stack: &Stack, target: &str) -> Request {
    stack.post(target).key("k").body("{}")
}

#[tokio::test]
async fn the_preset_wants_a_key_and_gives_a_conflict_with_the_first_body() {
    let Some(stack) = preset_alone().start().await else {
        return;
    };
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let missing = stack.request(method, "/a").body("{}").send().await;
        assert_eq!(verdict(&missing), problem(400, "key-missing"), "{method}");
    }
    assert_eq!(stack.request("GET", "/read").send().await.status, 201);
    let (first, second) = twice(&keyed(&stack, "/a")).await;
    assert_eq!((first.status, second.status), (201, 409));
    assert!(second.is_answer() && first.body == second.body, "{second:?}");
    let other = keyed(&stack, "/a").body("{\"other\": 1}").send().await;
    assert!(other.status == 201 && !other.is_answer(), "{other:?}");
    assert_eq!(stack.runs(&keyed(&stack, "/a")).await, 2);
}

#[tokio::test]
async fn the_preset_keeps_200_to_207_and_no_other() {
    let Some(stack) = preset_alone().start().await else {
        return;
    };
    for (status, runs) in [(207, 1), (208, 2), (400, 2), (500, 2)] {
        let post = keyed(&stack, &format!("/{status}")).script(&json!({"status": status}));
        let (first, second) = twice(&post).await;
        assert_eq!(
            (first.status, second.status),
            (status, if runs == 1 { 409 } else { status })
        );
        assert_eq!(stack.runs(&post).await, runs);
    }
}

#[tokio::test]
async fn the_preset_lets_a_duplicate_wait_shortly_and_tells_it_423() {
    let Some(stack) = preset_alone().start().await else {
        return;
    };
    let post = keyed(&stack, "/a").script(&json!({"gate": "first"}));
    let first = tokio::spawn({
        let post = post.clone();
        async move { post.send().await }
    });
    stack.upstream().held("first", 1).await;
    let watch = Stopwatch::new();
    let refused = post.send().await;
    assert_eq!(verdict(&refused), problem(423, "in-flight"));
    assert!(watch.elapsed() >= Duration::from_millis(100), "{:?}", watch.elapsed());
    stack.upstream().open("first").await;
    let first: Response = first.await.unwrap();
    assert_eq!((first.status, post.send().await.status), (201, 409));
    assert_eq!(stack.runs(&post).await, 1);
}

/// The form of those who opt in, by a rule or by their route's metadata; what is written beside the preset wins.
#[tokio::test]
async fn the_preset_with_mode_off_leaves_it_to_routes() {
    let settings = preset()
        .document(json!({"idempotency": {"mode": "off", "answer_status": "original"}}))
        .area("keyed", &json!({"mode": "required"}))
        .route(json!({
            "match": {"prefix": "/by-metadata/"}, "route": {"cluster": "upstream"},
            "metadata": {"filter_metadata": {"reprise": {"idempotency": {"mode": "optional"}}}},
        }));
    let Some(stack) = settings.start().await else { return };
    let (one, two) = twice(&keyed(&stack, "/free/1")).await;
    assert!(one.status == 201 && two.status == 201 && !two.is_answer());
    assert_eq!(stack.post("/keyed/1").send().await.status, 400);
    for target in ["/keyed/1", "/by-metadata/1"] {
        let (first, second) = twice(&keyed(&stack, target)).await;
        assert_answers(&first, &second);
        let other = keyed(&stack, target).body("other").send().await;
        assert!(other.status == 201 && !other.is_answer(), "{other:?}");
    }
}
