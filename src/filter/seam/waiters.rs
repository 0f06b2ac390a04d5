//! Duplicates that wait.

use super::small;
use crate::fake::{Reply, Worker, World};
use crate::host::Side;
use crate::http::{Exchange, Flow};
use crate::metrics::Count;
use std::rc::Rc;

fn waiting() -> String {
    small(r#""in_flight": "wait", "max_wait_ms": 500, "lease_ms": 3000"#).replace(", \"lease_ms\": 300}", "}")
}

fn two(document: &str) -> (Rc<World>, Worker, Worker) {
    let world = World::new();
    let (one, two) = (Worker::start(&world, document), Worker::start(&world, document));
    (world, one, two)
}

/// Sends a whole request that is held.
#[track_caller]
fn held(worker: &mut Worker, body: &str) -> Exchange {
    let exchange = worker.post("k", body).forwarded();
    assert!(worker.host.resumed.borrow().is_empty(), "it went on");
    assert!(!worker.vm.waits.is_empty(), "it does not wait");
    exchange
}

/// Sends a whole request that is sent on.
#[track_caller]
fn running(worker: &mut Worker, body: &str) -> Exchange {
    let before = worker.vm.metrics.pending(Count::Miss);
    let exchange = worker.post("k", body).forwarded();
    assert_eq!(worker.vm.metrics.pending(Count::Miss), before + 1, "it does not run");
    exchange
}

/// Has the upstream say that nothing ran.
fn release(worker: &mut Worker, exchange: &mut Exchange) {
    let headers = [
        (":status", "503"),
        ("x-envoy-upstream-service-time", "1"),
        ("reprise-effect", "none"),
    ];
    let once = (
        "upstream.request_attempt_count".to_owned(),
        1_u64.to_le_bytes().to_vec(),
    );
    worker.host.properties.borrow_mut().extend([once]);
    worker.answer_with(exchange, &headers, "");
}

/// Shows the only reply that a worker gave since it was asked last.
#[track_caller]
fn replied(worker: &mut Worker) -> Reply {
    let replies: Vec<_> = worker.host.replies.borrow_mut().drain(..).collect();
    let [reply] = &replies[..] else { panic!("{replies:?}") };
    reply.clone()
}

/// Shows that no worker's shared data names a waiter any more.
#[track_caller]
fn nobody_waits(world: &World) {
    let data = world.data.borrow();
    let written: Vec<_> = data
        .iter()
        .filter(|(key, (value, _))| key.starts_with("q:") && !value.is_empty())
        .collect();
    assert!(written.is_empty(), "{written:?}");
}

#[test]
fn a_waiter_gets_the_answer_on_any_worker_as_soon_as_it_is_there() {
    let (world, mut one, mut two) = two(&waiting());
    let mut first = one.post("k", "body").forwarded();
    let _here = held(&mut one, "body");
    let _there = held(&mut two, "body");
    one.answer(&mut first, "201", "paid");
    one.wake();
    two.wake();
    for worker in [&mut one, &mut two] {
        let answer = replied(worker);
        assert_eq!((answer.status, &answer.body[..]), (201, &b"paid"[..]));
        assert_eq!(answer.header("idempotent-replayed").as_deref(), Some("true"));
        assert_eq!(worker.vm.metrics.pending(Count::Waited), 1);
        assert!(worker.vm.waits.is_empty());
    }
    nobody_waits(&world);
}

#[test]
fn a_waiter_with_another_body_is_told_so() {
    let (_world, mut one, mut two) = two(&waiting());
    let mut first = one.post("k", "body").forwarded();
    let _other = held(&mut two, "other");
    one.answer(&mut first, "201", "paid");
    two.wake();
    assert_eq!(replied(&mut two).kind(), "key-reused");
}

#[test]
fn a_waiter_whose_first_request_ends_while_it_is_written_is_not_forgotten() {
    let (world, mut one, mut two) = two(&waiting());
    // Both have their slots, and the next replacement is the waiter's own.
    let mut warm = two.post("warm", "").forwarded();
    two.answer(&mut warm, "200", "");
    let mut first = one.post("k", "body").forwarded();
    *world.meanwhile.borrow_mut() = Some(Box::new(move || one.answer(&mut first, "201", "paid")));
    assert_eq!(two.post("k", "body").replied().body, b"paid");
    nobody_waits(&world);
}

#[test]
fn a_waiter_gives_up_when_its_time_is_over() {
    let (world, mut one, mut two) = two(&waiting());
    let mut first = one.post("k", "body").forwarded();
    let mut waiter = held(&mut two, "body");
    two.tick(499);
    assert!(two.host.replies.borrow().is_empty());
    two.tick(1);
    let reply = replied(&mut two);
    assert_eq!((reply.status, reply.kind()), (409, "in-flight".to_owned()));
    assert_eq!(reply.header("retry-after").as_deref(), Some("1"));
    waiter.log(&two.host, &mut two.vm);
    nobody_waits(&world);
    one.answer(&mut first, "201", "paid");
    two.wake();
    assert!(two.host.replies.borrow().is_empty(), "it was told already");
}

/// Case T87.
#[test]
fn the_longest_waiter_with_its_body_runs_once_the_first_is_released() {
    let document = waiting().replace(
        "\"idempotency\"",
        r#""limits": {"hold_bytes_max": 1024}, "idempotency""#,
    );
    let (world, mut one, mut two) = two(&document);
    let mut three = Worker::start(&world, &document);
    let body = "x".repeat(1024);
    let mut first = one.post("k", &body).forwarded();
    let _swallowed = held(&mut one, &format!("{body}y"));
    let mut longest = held(&mut two, &body);
    let _later = held(&mut three, &body);
    release(&mut one, &mut first);
    for worker in [&mut three, &mut one, &mut two] {
        worker.wake();
    }
    assert_eq!(
        two.host.resumed.borrow_mut().pop().map(|(_, side)| side),
        Some(Side::Request)
    );
    assert_eq!(two.vm.metrics.pending(Count::Miss), 1);
    for worker in [&one, &three] {
        assert!(worker.host.replies.borrow().is_empty() && worker.host.resumed.borrow().is_empty());
        assert_eq!(worker.vm.waits.count(), 1, "it waits for the second run");
    }
    two.answer(&mut longest, "201", "paid");
    one.wake();
    three.wake();
    assert_eq!(replied(&mut one).kind(), "key-reused");
    assert_eq!(replied(&mut three).body, b"paid");
    nobody_waits(&world);
}

/// Case T87.
#[test]
fn where_no_waiter_has_its_body_all_may_retry_at_once() {
    let document = waiting().replace(
        "\"idempotency\"",
        r#""limits": {"hold_bytes_max": 1024}, "idempotency""#,
    );
    let (world, mut one, mut two) = two(&document);
    let body = "x".repeat(1025);
    let mut first = one.post("k", &body).forwarded();
    let _here = held(&mut one, &body);
    let _there = held(&mut two, &body);
    release(&mut one, &mut first);
    one.wake();
    two.wake();
    for worker in [&mut one, &mut two] {
        let reply = replied(worker);
        assert_eq!(
            (reply.kind(), reply.header("retry-after")),
            ("in-flight".to_owned(), Some("0".to_owned()))
        );
    }
    nobody_waits(&world);
    running(&mut one, &body);
}

#[test]
fn an_heir_that_has_left_passes_its_turn_on() {
    let (world, mut one, mut two) = two(&waiting());
    let mut three = Worker::start(&world, &waiting());
    let mut first = one.post("k", "body").forwarded();
    let mut longest = held(&mut two, "body");
    let _later = held(&mut three, "body");
    release(&mut one, &mut first);
    longest.log(&two.host, &mut two.vm);
    two.wake();
    assert!(two.host.resumed.borrow().is_empty());
    three.wake();
    assert_eq!(three.host.resumed.borrow().len(), 1);
    assert!(two.vm.waits.is_empty());
}

#[test]
fn a_new_request_that_comes_before_the_heir_runs_and_the_heir_waits_on() {
    let (world, mut one, mut two) = two(&waiting());
    let mut first = one.post("k", "body").forwarded();
    let _waiter = held(&mut two, "body");
    release(&mut one, &mut first);
    let mut next = running(&mut one, "body");
    two.wake();
    assert!(two.host.resumed.borrow().is_empty());
    one.answer(&mut next, "201", "paid");
    two.wake();
    assert_eq!(replied(&mut two).body, b"paid");
    nobody_waits(&world);
}

#[test]
fn a_waiter_whose_owner_died_hears_that_the_outcome_is_unknown() {
    let document = small(r#""in_flight": "wait", "max_wait_ms": 60000"#);
    let (world, one, mut two) = two(&document);
    let mut one = one;
    let _lost = one.post("k", "body").forwarded();
    let _waiter = held(&mut two, "body");
    drop(one);
    for _ in 0..5 {
        two.tick(200);
    }
    assert_eq!(replied(&mut two).kind(), "outcome-unknown");
    nobody_waits(&world);
}

#[test]
fn a_worker_that_nobody_wakes_finds_the_answer_by_itself() {
    let document = small(r#""in_flight": "wait", "max_wait_ms": 60000"#);
    let (_world, mut one, mut two) = two(&document);
    let mut first = one.post("k", "body").forwarded();
    let _waiter = held(&mut two, "body");
    one.answer(&mut first, "201", "paid");
    two.tick(999);
    assert!(two.host.replies.borrow().is_empty());
    two.tick(1);
    assert_eq!(replied(&mut two).body, b"paid");
}

#[test]
fn one_waiter_more_than_allowed_is_told_at_once() {
    let limits = r#""limits": {"waiters_max": 3, "waiters_per_key_max": 2}, "idempotency""#;
    let document = waiting().replace("\"idempotency\"", limits);
    let (world, mut one, mut two) = two(&document);
    let _first = one.post("k", "body").forwarded();
    let _other = one.post("other", "body").forwarded();
    let mut waiter = held(&mut two, "body");
    let _second = held(&mut one, "body");
    assert_eq!(
        two.post("k", "body").replied().kind(),
        "in-flight",
        "two of the key wait"
    );
    waiter.log(&two.host, &mut two.vm);
    let _again = held(&mut two, "body");
    let _other = [
        two.post("other", "body").forwarded(),
        two.post("other", "body").forwarded(),
    ];
    assert_eq!(two.vm.waits.count(), 3);
    let _third = one.post("third", "").forwarded();
    assert_eq!(
        two.post("third", "").replied().kind(),
        "in-flight",
        "three of the worker wait"
    );
    assert_eq!(
        world
            .data
            .borrow()
            .iter()
            .filter(|(key, _)| key.starts_with("q:"))
            .count(),
        2
    );
}

#[test]
fn a_waiter_that_runs_is_captured_and_one_that_is_answered_is_not() {
    let document = waiting().replace("\"idempotency\"", r#""capture": {"enabled": true}, "idempotency""#);
    let (_world, mut one, mut two) = two(&document);
    let mut first = one.post("k", "body").forwarded();
    let mut runs = held(&mut two, "body");
    let mut answered = held(&mut two, "body");
    release(&mut one, &mut first);
    two.wake();
    two.answer(&mut runs, "201", "paid");
    two.wake();
    answered.log(&two.host, &mut two.vm);
    two.tick(20);
    let captures = two.sent(1).2;
    let [capture] = &captures[..] else {
        panic!("{captures:?}")
    };
    assert_eq!(
        capture.request.as_ref().map(|half| half.body.clone()),
        Some(b"body".to_vec())
    );
    assert_eq!(
        capture.response.as_ref().map(|half| half.body.clone()),
        Some(b"paid".to_vec())
    );
    assert_eq!(
        (two.vm.captures.ledger.seen(), two.vm.captures.ledger.filtered()),
        (2, 1)
    );
    assert_eq!(two.vm.held_bytes, 0);
}

#[test]
fn a_waiter_without_a_body_waits_at_its_head() {
    let (_world, mut one, mut two) = two(&waiting());
    let head = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];
    let mut first = one.begin_with(&head, true).0;
    let (mut waiter, flow) = two.begin_with(&head, true);
    assert_eq!(flow, Flow::Pause);
    release(&mut one, &mut first);
    two.wake();
    assert_eq!(two.host.resumed.borrow().len(), 1);
    two.answer(&mut waiter, "201", "paid");
    assert_eq!(one.begin_with(&head, true).1, Flow::Pause);
    assert_eq!(replied(&mut one).body, b"paid");
}

#[test]
fn an_upstream_that_decides_itself_is_told_after_the_wait() {
    let document = waiting().replace("\"in_flight\"", "\"mode\": \"manual\", \"in_flight\"");
    let (_world, mut one, mut two) = two(&document);
    let mut first = one.post("k", "body").forwarded();
    let _waiter = held(&mut two, "body");
    one.answer(&mut first, "201", "paid");
    two.host.removed.borrow_mut().clear();
    two.wake();
    assert_eq!(two.host.resumed.borrow().len(), 1);
    let told = two.host.removed.borrow().clone();
    assert!(told.iter().any(|line| line == "reprise-key-exists = true"), "{told:?}");
}

#[test]
fn a_waiter_whose_client_leaves_is_not_captured() {
    let document = waiting().replace("\"idempotency\"", r#""capture": {"enabled": true}, "idempotency""#);
    let (_world, mut one, mut two) = two(&document);
    let _first = one.post("k", "body").forwarded();
    let mut gone = held(&mut two, "body");
    gone.log(&two.host, &mut two.vm);
    two.tick(20);
    assert_eq!(two.vm.captures.last_seq(), 0, "it never ran");
    assert_eq!(
        (two.vm.captures.ledger.seen(), two.vm.captures.ledger.filtered()),
        (1, 1)
    );
}

#[test]
fn a_waiter_that_is_refused_for_want_of_memory_leaves_nobody_behind() {
    let ahead = r#""capture": {"enabled": true, "durability": "write_ahead"}, "idempotency""#;
    let world = World::new();
    let mut worker = Worker::start(&world, &waiting().replace("\"idempotency\"", ahead));
    let head = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];
    let (mut first, _) = worker.begin_with(&head, true);
    worker.vm.held_bytes = worker.root.document.store.buffered_bytes_max;
    let (mut refused, _) = worker.begin_with(&head, true);
    assert_eq!(replied(&mut worker).kind(), "capture-unavailable");
    worker.vm.held_bytes = 0;
    refused.log(&worker.host, &mut worker.vm);
    assert!(worker.vm.waits.is_empty());
    nobody_waits(&world);
    first.log(&worker.host, &mut worker.vm);
}

#[test]
fn a_seat_of_somebody_who_is_gone_is_cleared() {
    let (world, mut one, mut two) = two(&waiting());
    let mut first = one.post("k", "body").forwarded();
    let _gone = held(&mut two, "body");
    two.vm.aside.clear();
    release(&mut one, &mut first);
    two.wake();
    assert!(two.vm.waits.is_empty());
    nobody_waits(&world);
}

#[test]
fn a_body_that_comes_in_pieces_is_kept_as_a_whole_one_is() {
    let limits = r#""limits": {"buffered_bytes_max": 65536}, "idempotency""#;
    let (_world, mut one, mut two) = two(&waiting().replace("\"idempotency\"", limits));
    let mut first = one.post("k", "body").forwarded();
    let head = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];
    let (mut waiter, _) = two.begin(&head);
    for n in 0..4 {
        two.upload(&mut waiter, &"x".repeat(10_000), n == 3);
    }
    release(&mut one, &mut first);
    two.wake();
    assert_eq!(two.host.resumed.borrow().len(), 1);
}

#[test]
fn who_finds_the_answer_at_its_bodys_end_did_not_wait() {
    let (_world, mut one, mut two) = two(&waiting());
    let mut first = one.post("k", "body").forwarded();
    let (mut duplicate, _) = two.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    one.answer(&mut first, "201", "paid");
    two.upload(&mut duplicate, "body", true);
    let counts = [Count::Waited, Count::Answer].map(|count| two.vm.metrics.pending(count));
    assert_eq!(counts, [0, 1]);
}
