//! Duplicates that wait for the first request of their key.

use super::{assert_answers, problem, verdict};
use reprise_tests::harness::{Connection, Request, Response, Settings, Stack, Stopwatch};
use reprise_tests::upstream::patterned;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// Requests that Envoy has begun and not ended.
const ACTIVE: &str = "http.edge.downstream_rq_active";
/// Bytes of a body that is kept while its request waits.
const HELD: usize = 100_000;

fn settings() -> Settings {
    let limits = json!({"hold_bytes_max": HELD, "waiters_per_key_max": 40});
    Stack::builder()
        .document(json!({"idempotency": {"in_flight": "wait", "max_wait_ms": 20_000}, "limits": limits}))
        .area("brief", &json!({"max_wait_ms": 200}))
        .area("manual", &json!({"mode": "manual"}))
}

fn released() -> Value {
    json!({"status": 503, "headers": [["reprise-effect", "none"]]})
}

/// Sends a request that the upstream holds at `gate`, and then `count` duplicates, which wait.
async fn wait(stack: &Stack, post: &Request, gate: &str, duplicates: &[Request]) -> JoinSet<Response> {
    let mut sending = JoinSet::new();
    let first = post.clone();
    sending.spawn(async move { first.send().await });
    stack.upstream().held(gate, 1).await;
    for (n, duplicate) in (2..).zip(duplicates.iter().cloned()) {
        sending.spawn(async move { duplicate.send().await });
        stack.gauge_is(ACTIVE, n).await;
    }
    sending
}

/// Case T16.
#[tokio::test]
async fn all_that_wait_get_the_answer() {
    let Some(stack) = settings().start().await else { return };
    let post = stack.post("/pay").key("K").body("{}").script(&json!({"delay_ms": 500}));
    let mut responses = post.send_at_once(8).await;
    responses.sort_by_key(Response::is_answer);
    let [first, others @ ..] = &responses[..] else {
        panic!("{responses:?}")
    };
    assert_eq!((first.status, first.is_answer()), (201, false));
    for other in others {
        assert_answers(first, other);
    }
    assert_eq!(stack.runs(&post).await, 1);
    stack
        .gauge_is("wasmcustom.reprise_requests_outcome=.=waited;.;_total", 7)
        .await;
}

/// Case T16.
#[tokio::test]
async fn streams_of_one_connection_wait_as_connections_do() {
    let Some(stack) = settings().start().await else { return };
    let post = stack.post("/pay").key("K").body("{}").script(&json!({"delay_ms": 500}));
    let responses = stack.http2().await.send_at_once(&post, 30).await;
    assert!(responses.iter().all(|response| response.status == 201), "{responses:?}");
    assert_eq!(responses.iter().filter(|response| response.is_answer()).count(), 29);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T17.
#[tokio::test]
async fn who_waits_for_too_long_is_told_so_and_keeps_its_connection() {
    let Some(stack) = settings().start().await else { return };
    let post = stack
        .post("/brief/1")
        .key("K")
        .body("{}")
        .script(&json!({"gate": "brief"}));
    let first = tokio::spawn({
        let post = post.clone();
        async move { post.send().await }
    });
    stack.upstream().held("brief", 1).await;
    let mut connection = Connection::open(stack.address()).await;
    let watch = Stopwatch::new();
    let refused = connection.send(&post).await;
    let waited = watch.elapsed();
    assert_eq!(verdict(&refused), problem(409, "in-flight"));
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    assert!(waited < Duration::from_millis(900), "{waited:?}");
    stack.upstream().open("brief").await;
    let first = first.await.unwrap();
    assert_answers(&first, &connection.send(&post).await);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T87.
#[tokio::test]
async fn the_longest_that_kept_its_body_runs_once_the_first_is_released() {
    let Some(stack) = settings().start().await else { return };
    let steps = json!({"steps": [merged(&released(), &json!({"gate": "first"})), {"gate": "second"}]});
    let post = stack.post("/pay").key("K").script(&steps);
    let kept = post.clone().body(patterned(HELD - 1));
    let swallowed = post.clone().body(patterned(HELD + 1));
    let duplicates = [&swallowed, &kept, &swallowed, &kept].map(Clone::clone);
    let mut sending = wait(&stack, &kept, "first", &duplicates).await;
    stack.upstream().open("first").await;
    stack.upstream().held("second", 1).await;
    assert_eq!(
        sending.join_next().await.unwrap().unwrap().status,
        503,
        "the first one's own answer"
    );
    stack.upstream().open("second").await;
    let mut got: Vec<_> = sending
        .join_all()
        .await
        .iter()
        .map(|each| (verdict(each), each.is_answer()))
        .collect();
    got.sort_unstable();
    let ran = ((201, None), false);
    let want = [
        ran.clone(),
        ((201, None), true),
        (problem(422, "key-reused"), false),
        (problem(422, "key-reused"), false),
    ];
    assert_eq!(got, want);
    assert_eq!(stack.runs(&post).await, 2);
    let bodies: Vec<_> = stack
        .upstream()
        .seen("/pay")
        .await
        .iter()
        .map(|seen| seen.body_bytes)
        .collect();
    assert_eq!(bodies, [HELD - 1, HELD - 1]);
}

/// Case T87.
#[tokio::test]
async fn where_nobody_kept_its_body_all_may_retry_at_once() {
    let Some(stack) = settings().start().await else { return };
    let steps = json!({"steps": [merged(&released(), &json!({"gate": "first"})), {}]});
    let post = stack.post("/pay").key("K").script(&steps).body(patterned(HELD + 1));
    let mut sending = wait(&stack, &post, "first", &[post.clone(), post.clone()]).await;
    stack.upstream().open("first").await;
    let mut statuses = Vec::new();
    while let Some(response) = sending.join_next().await {
        let response = response.unwrap();
        statuses.push((response.status, response.header("retry-after").map(str::to_owned)));
    }
    statuses.sort_unstable();
    let at_once = (409, Some("0".to_owned()));
    assert_eq!(statuses, [at_once.clone(), at_once, (503, None)]);
    assert_eq!(post.send().await.status, 201);
    assert_eq!(stack.runs(&post).await, 2);
}

#[tokio::test]
async fn an_heir_that_hangs_up_passes_its_turn_on() {
    let Some(stack) = settings().start().await else { return };
    let steps = json!({"steps": [merged(&released(), &json!({"gate": "first"})), {}]});
    let post = stack.post("/pay").key("K").script(&steps).body("{}");
    let mut first = Connection::open(stack.address()).await;
    first.write(post.bytes()).await;
    stack.upstream().held("first", 1).await;
    let mut heir = Connection::open(stack.address()).await;
    heir.write(post.bytes()).await;
    stack.gauge_is(ACTIVE, 2).await;
    let mut next = Connection::open(stack.address()).await;
    next.write(post.bytes()).await;
    stack.gauge_is(ACTIVE, 3).await;
    heir.hang_up();
    stack.gauge_is(ACTIVE, 2).await;
    stack.upstream().open("first").await;
    assert_eq!(first.read().await.status, 503);
    assert_eq!(next.read().await.status, 201);
    assert_eq!(stack.runs(&post).await, 2);
}

#[tokio::test]
async fn an_upstream_that_decides_itself_is_told_after_the_wait() {
    let Some(stack) = settings().start().await else { return };
    let steps = json!({"steps": [{"gate": "first"}, {"status": 200}]});
    let post = stack.post("/manual/1").key("K").script(&steps).body("{}");
    let mut sending = wait(&stack, &post, "first", std::slice::from_ref(&post)).await;
    stack.upstream().open("first").await;
    assert_eq!(sending.join_next().await.unwrap().unwrap().status, 201);
    assert_eq!(sending.join_next().await.unwrap().unwrap().status, 200);
    let seen = stack.upstream().seen("/manual/1").await;
    let told: Vec<_> = seen.iter().map(|seen| seen.header("reprise-key-exists")).collect();
    assert_eq!(told, [Some("false"), Some("true")]);
}

fn merged(one: &Value, other: &Value) -> Value {
    let fields = [one, other].into_iter().filter_map(Value::as_object).flatten();
    fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
