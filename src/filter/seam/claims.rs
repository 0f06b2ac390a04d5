//! Claims among several workers.

use super::SMALL;
use crate::fake::Sent;
use crate::fake::Worker;
use crate::fake::World;
use crate::metrics::Count;

#[test]
fn a_repeat_gets_the_first_response_on_any_worker() {
    let world = World::new();
    let (mut one, mut two) = (Worker::start(&world, SMALL), Worker::start(&world, SMALL));
    let mut first = one.post("k", "body").forwarded();
    assert_eq!(two.post("k", "body").replied().kind(), "in-flight");
    one.answer(&mut first, "201", "paid");
    let answer = two.post("k", "body").replied();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"paid"[..]));
    assert_eq!(answer.header("idempotent-replayed").as_deref(), Some("true"));
    assert_eq!(two.post("k", "other").replied().kind(), "key-reused");
}

#[test]
fn a_claim_lost_to_another_worker_between_read_and_write_is_a_conflict() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut two = Worker::start(&world, SMALL);
    // The first replacement of a fresh worker takes its slot; have it before, so that the next one is the claim.
    let mut warm = one.post("warm", "").forwarded();
    one.answer(&mut warm, "200", "");
    *world.meanwhile.borrow_mut() = Some(Box::new(move || {
        assert!(matches!(two.post("k", "body"), Sent::Forwarded(_)));
    }));
    assert_eq!(one.post("k", "body").replied().kind(), "in-flight");
}

#[test]
fn a_worker_that_is_gone_leaves_an_unknown_outcome() {
    let world = World::new();
    let mut two = Worker::start(&world, SMALL);
    {
        let mut one = Worker::start(&world, SMALL);
        let _lost = one.post("k", "body").forwarded();
    }
    world.pass(400);
    assert_eq!(
        two.post("k", "body").replied().kind(),
        "in-flight",
        "at most four thirds of a lease"
    );
    world.pass(1);
    assert_eq!(two.post("k", "body").replied().kind(), "outcome-unknown");
    assert_eq!(
        two.post("k", "other").replied().kind(),
        "outcome-unknown",
        "nobody knows the first body"
    );
}

#[test]
fn a_worker_that_ticks_keeps_a_long_request_alive() {
    let world = World::new();
    let (mut one, mut two) = (Worker::start(&world, SMALL), Worker::start(&world, SMALL));
    let mut first = one.post("k", "body").forwarded();
    for _ in 0..30 {
        one.tick(100);
        assert_eq!(two.post("k", "body").replied().kind(), "in-flight");
    }
    one.answer(&mut first, "200", "late");
    assert_eq!(two.post("k", "body").replied().body, b"late");
}

#[test]
fn a_completion_after_its_slot_was_taken_over_is_refused() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut first = one.post("k", "body").forwarded();
    world.pass(901);
    let mut two = Worker::start(&world, SMALL);
    let mut other = two.post("other", "").forwarded();
    two.answer(&mut other, "200", "");
    one.answer(&mut first, "200", "late");
    assert_eq!(one.vm.metrics.pending(Count::EndStale), 1);
    assert_eq!(two.post("k", "body").replied().kind(), "outcome-unknown");
}

#[test]
fn a_record_of_a_claim_that_was_lost_before_its_end_is_not_given() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut first = one.post("k", "body").forwarded();
    let (there, mut two) = (world.clone(), Worker::start(&world, SMALL));
    *world.meanwhile.borrow_mut() = Some(Box::new(move || {
        there.pass(401);
        assert_eq!(two.post("k", "body").replied().kind(), "outcome-unknown");
    }));
    one.answer(&mut first, "201", "paid");
    assert_eq!(one.vm.metrics.pending(Count::EndStale), 1);
    assert_eq!(one.post("k", "body").replied().kind(), "outcome-unknown");
    assert_eq!(one.post("k", "other").replied().kind(), "key-reused");
}

#[test]
fn a_lease_that_lapsed_without_a_successor_is_taken_up_again() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut first = one.post("k", "body").forwarded();
    world.pass(5_000);
    one.answer(&mut first, "200", "late");
    assert_eq!(one.post("k", "body").replied().body, b"late");
}

#[test]
fn a_store_that_is_down_before_the_request_runs_nothing() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    world.is_down.set(true);
    let reply = one.post("k", "body").replied();
    assert_eq!((reply.status, reply.kind()), (503, "store-unavailable".to_owned()));
    world.is_down.set(false);
    assert!(matches!(one.post("k", "body"), Sent::Forwarded(_)));
}

#[test]
fn a_store_that_is_down_at_the_end_leaves_an_unknown_outcome() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut first = one.post("k", "body").forwarded();
    world.is_down.set(true);
    one.answer(&mut first, "201", "paid");
    assert_eq!(one.vm.metrics.pending(Count::EndStoreError), 1);
    world.is_down.set(false);
    assert_eq!(one.post("k", "body").replied().kind(), "in-flight");
    one.tick(100);
    assert_eq!(one.post("k", "body").replied().kind(), "outcome-unknown");
}

#[test]
fn retention_ends_to_the_millisecond_and_an_answer_does_not_extend_it() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut first = one.post("k", "body").forwarded();
    one.answer(&mut first, "200", "a");
    for passed in [1000, 900, 99] {
        world.pass(passed);
        assert_eq!(one.post("k", "body").replied().body, b"a");
    }
    world.pass(1);
    assert!(matches!(one.post("k", "body"), Sent::Forwarded(_)));
}
