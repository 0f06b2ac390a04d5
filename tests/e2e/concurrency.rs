//! Many at once: one runs.

use super::{assert_answers, problem, shared, verdict};
use reprise_tests::harness::{Connection, Request, Response, Stack, Stopwatch};
use reprise_tests::upstream::patterned;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// Case T14.
#[tokio::test]
async fn one_of_eight_requests_at_once_runs() {
    one_of_many_runs(8).await;
}

/// Case T14.
#[tokio::test]
async fn one_of_two_hundred_requests_at_once_runs() {
    one_of_many_runs(200).await;
}

async fn one_of_many_runs(count: usize) {
    let Some(stack) = shared().await else { return };
    let gate = format!("of-{count}");
    let post = stack.fresh("plain").script(&json!({"gate": gate}));
    let first = others_are_refused(&stack, &post, &gate, count).await;
    assert_eq!(first.status, 201);
    assert_answers(&first, &post.send().await);
    assert_eq!(stack.runs(&post).await, 1);
}

/// Sends `count` at once; all but one are refused while that one waits at `gate`. Gives that one's response.
async fn others_are_refused(stack: &Stack, post: &Request, gate: &str, count: usize) -> Response {
    let mut sending = JoinSet::new();
    for _ in 0..count {
        let post = post.clone();
        sending.spawn(async move { post.send().await });
    }
    for _ in 1..count {
        let refused = sending.join_next().await.unwrap().unwrap();
        assert_eq!(
            (refused.status, refused.problem().as_deref()),
            (409, Some("in-flight")),
            "{refused:?}"
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    stack.upstream().held(gate, 1).await;
    stack.upstream().open(gate).await;
    sending.join_next().await.unwrap().unwrap()
}

/// Case T14.
#[tokio::test]
async fn one_of_many_streams_of_one_connection_runs() {
    let Some(stack) = shared().await else { return };
    let post = stack.fresh("plain");
    let responses = stack.http2().await.send_at_once(&post, 400).await;
    let mut statuses = BTreeMap::new();
    for response in &responses {
        *statuses.entry(response.status).or_insert(0) += 1;
    }
    assert!(
        statuses.keys().all(|status| [201, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(
        responses
            .iter()
            .filter(|response| response.status == 201 && !response.is_answer())
            .count(),
        1
    );
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T14.
#[tokio::test]
async fn one_of_sixty_requests_with_bodies_at_once_runs() {
    one_of_many_bodies_runs(60, 20_000).await;
}

/// Case T14.
#[tokio::test]
async fn one_of_twelve_long_uploads_at_once_runs() {
    one_of_many_bodies_runs(12, 3_000_000).await;
}

/// Sends `count` bodies of `len` bytes at once, each on a connection that lives on and gets the answer at its next try.
async fn one_of_many_bodies_runs(count: usize, len: usize) {
    let Some(stack) = shared().await else { return };
    let gate = format!("of-{count}-{len}");
    let post = stack.fresh("plain").body(patterned(len)).script(&json!({"gate": gate}));
    let (first, refused) = others_are_refused_and_stay(&stack, &post, &gate, count).await;
    assert_eq!(first.status, 201);
    for mut connection in refused {
        assert!(!connection.is_closed().await);
        assert_answers(&first, &connection.send(&post).await);
    }
    let mut other = patterned(len).to_vec();
    other[len / 2] ^= 1;
    assert_eq!(
        verdict(&post.clone().body(&other).send().await),
        problem(422, "key-reused")
    );
    assert_eq!(stack.runs(&post).await, 1);
}

/// As [`others_are_refused`]; gives the connections of those that were refused, too.
async fn others_are_refused_and_stay(
    stack: &Stack,
    post: &Request,
    gate: &str,
    count: usize,
) -> (Response, Vec<Connection>) {
    let mut sending = JoinSet::new();
    for _ in 0..count {
        let (post, mut connection) = (post.clone(), Connection::open(stack.address()).await);
        sending.spawn(async move { (connection.send(&post).await, connection) });
    }
    let mut refused = Vec::new();
    for _ in 1..count {
        let (response, connection) = sending.join_next().await.unwrap().unwrap();
        assert_eq!(verdict(&response), problem(409, "in-flight"));
        refused.push(connection);
    }
    stack.upstream().open(gate).await;
    (sending.join_next().await.unwrap().unwrap().0, refused)
}

#[tokio::test]
async fn duplicates_that_are_held_while_the_first_client_leaves_are_refused() {
    let Some(stack) = shared().await else { return };
    let post = stack
        .fresh("plain")
        .body(patterned(40_000))
        .script(&json!({"gate": "left-alone"}));
    let bytes = post.bytes();
    let mut first = Connection::open(stack.address()).await;
    first.write(&bytes).await;
    stack.upstream().held("left-alone", 1).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::open(stack.address()).await;
        connection.write(&bytes[..20_000]).await;
        held.push(connection);
    }
    first.hang_up();
    stack.upstream().held("left-alone", 0).await;
    for connection in &mut held {
        connection.write(&bytes[20_000..]).await;
        assert_eq!(verdict(&connection.read().await), problem(409, "outcome-unknown"));
    }
    assert_eq!(verdict(&post.send().await), problem(409, "outcome-unknown"));
    assert_eq!(stack.runs(&post).await, 1);
}

/// Case T49.
///
/// The duplicates come on one connection, and a worker that serves them renews its lease with them: of eight firsts
/// some belong to the other worker, whom the tick alone keeps alive.
#[tokio::test]
async fn a_first_that_runs_for_three_leases_keeps_its_key() {
    const LEASE_MS: u64 = 500;
    let Some(stack) = Stack::builder().lease_ms(LEASE_MS).start().await else {
        return;
    };
    let post = |n: usize| stack.post(&format!("/long/{n}")).key(&format!("K{n}")).body("{}");
    let firsts: Vec<_> = (0..8).map(|n| post(n).script(&json!({"gate": "long"}))).collect();
    let mut sending = JoinSet::new();
    for first in firsts {
        sending.spawn(async move { first.send().await });
    }
    stack.upstream().held("long", 8).await;
    let (held, mut duplicates) = (Stopwatch::new(), Connection::open(stack.address()).await);
    while held.elapsed() < Duration::from_millis(3 * LEASE_MS) {
        for n in 0..8 {
            assert_eq!(
                verdict(&duplicates.send(&post(n)).await),
                problem(409, "in-flight"),
                "{n}"
            );
        }
    }
    stack.upstream().open("long").await;
    for first in sending.join_all().await {
        assert_eq!(first.status, 201);
    }
    for n in 0..8 {
        assert!(post(n).send().await.is_answer(), "{n}");
        assert_eq!(stack.runs(&post(n)).await, 1, "{n}");
    }
}
