//! The store: its size, its bounds, its sweep.

use super::SMALL;
use super::small;
use crate::fake::Sent;
use crate::fake::Worker;
use crate::fake::World;
use crate::host::SharedData as _;
use crate::metrics::Count;
use crate::root;
use crate::vm::Vm;
use reprise_core::claim::State;

/// Case T74.
#[test]
fn a_full_store_refuses_new_keys_and_answers_old_ones() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut stored = Vec::new();
    let mut refused = 0;
    for n in 0..200 {
        match one.post(&format!("k{n}"), "body") {
            Sent::Forwarded(mut exchange) => {
                one.answer(&mut exchange, "200", &format!("answer {n}"));
                stored.push(n);
            }
            Sent::Replied(reply) => {
                assert_eq!((reply.status, reply.kind()), (503, "capacity".to_owned()));
                refused += 1;
            }
        }
    }
    assert_eq!((stored.len(), refused), (64, 136));
    for n in stored {
        let answer = one.post(&format!("k{n}"), "body").replied();
        assert_eq!(answer.body, format!("answer {n}").into_bytes());
    }
}

#[test]
fn a_full_store_that_evicts_gives_up_records_and_counts_them() {
    let world = World::new();
    let mut one = Worker::start(&world, &small(r#""on_full": "evict""#));
    for n in 0..100 {
        let mut exchange = one.post(&format!("k{n}"), "body").forwarded();
        one.answer(&mut exchange, "200", "a");
    }
    assert_eq!(one.vm.metrics.pending(Count::Evicted), 36);
    assert_eq!(one.post("k99", "body").replied().body, b"a");
}

/// Case T86.
#[test]
fn a_principal_at_its_bound_is_refused_alone() {
    let world = World::new();
    let mut one = Worker::start(&world, &small(r#""keys_per_principal_max": 3"#));
    let mut post = |who: &str, key: &str| {
        let headers = [
            (":method", "POST"),
            (":path", "/pay"),
            ("idempotency-key", key),
            ("authorization", who),
        ];
        let sent = one.send(&headers, "");
        one.tick(100);
        sent
    };
    for key in ["1", "2", "3"] {
        post("alice", key).forwarded();
    }
    assert_eq!(post("alice", "4").replied().kind(), "capacity");
    assert_eq!(post("alice", "3").replied().kind(), "in-flight");
    post("bob", "4").forwarded();
}

#[test]
fn records_beyond_the_bound_of_all_bytes_become_tombstones() {
    let world = World::new();
    let mut one = Worker::start(&world, &small(r#""response_bytes_total_max": 65536"#));
    let large = "x".repeat(40_000);
    for key in ["1", "2"] {
        let mut exchange = one.post(key, "").forwarded();
        one.answer(&mut exchange, "200", &large);
    }
    assert_eq!(one.post("1", "").replied().body.len(), 40_000);
    assert_eq!(one.post("2", "").replied().kind(), "response-not-retained");
}

#[test]
fn keys_of_a_principal_that_are_over_count_no_more() {
    let world = World::new();
    let mut one = Worker::start(&world, &small(r#""keys_per_principal_max": 1"#));
    let mut exchange = one.post("1", "").forwarded();
    one.answer(&mut exchange, "200", "");
    one.tick(100);
    assert_eq!(one.post("2", "").replied().kind(), "capacity");
    for _ in 0..4 {
        one.tick(7000);
    }
    one.post("2", "").forwarded();
}

/// Case T89.
#[test]
fn workers_and_reloads_come_and_go_and_the_keys_stay_the_same() {
    let world = World::new();
    let mut first = Worker::start(&world, SMALL);
    let keys = world.data.borrow().len();
    assert_eq!(keys, 2 + 2 * 2 + 64 + 7 + 256);
    for n in 0..1000 {
        let mut worker = Worker::start(&world, SMALL);
        let mut exchange = worker.post(&format!("k{n}"), "").forwarded();
        worker.answer(&mut exchange, "200", "");
        worker.tick(3000);
    }
    for _ in 0..10_000 {
        let root = root::configure(&first.host, &mut first.vm, SMALL.as_bytes())
            .unwrap()
            .unwrap();
        first.root = root;
        first.tick(25);
    }
    assert_eq!(world.data.borrow().len(), keys);
    let mut exchange = first.post("still", "").forwarded();
    first.answer(&mut exchange, "200", "here");
    assert_eq!(first.post("still", "").replied().body, b"here");
}

#[test]
fn the_sweep_frees_what_is_over_and_its_bytes() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut exchange = one.post("k", "").forwarded();
    one.answer(&mut exchange, "200", "some bytes");
    let records = || {
        world
            .data
            .borrow()
            .iter()
            .filter(|(key, value)| key.starts_with("r:") && !value.0.is_empty())
            .count()
    };
    assert_eq!(records(), 1);
    one.tick(1000);
    assert_eq!(one.vm.fill.usage.live, 1);
    one.tick(7000);
    one.tick(100);
    assert_eq!((records(), one.vm.fill.usage.live, one.vm.fill.usage.free), (0, 0, 64));
}

#[test]
fn another_geometry_is_refused_with_both_sizes() {
    let world = World::new();
    let one = Worker::start(&world, SMALL);
    let other = SMALL.replace("64", "128");
    let refused = root::configure(&one.host, &mut Vm::default(), other.as_bytes()).unwrap_err();
    assert!(refused.contains("64") && refused.contains("128"), "{refused}");
}

#[test]
fn what_is_not_ours_in_shared_data_is_refused() {
    let world = World::new();
    let one = Worker::start(&world, SMALL);
    one.host.set_shared("g", b"something else").unwrap();
    let refused = root::configure(&one.host, &mut Vm::default(), SMALL.as_bytes()).unwrap_err();
    assert!(refused.contains("vm_id"), "{refused}");
}

#[test]
fn an_empty_document_pins_and_writes_nothing() {
    let world = World::new();
    let one = Worker::start(&world, SMALL);
    world.data.borrow_mut().clear();
    for empty in ["", "{}"] {
        assert!(
            root::configure(&one.host, &mut Vm::default(), empty.as_bytes())
                .unwrap()
                .is_none()
        );
    }
    assert_eq!(world.data.borrow().len(), 0);
}

#[test]
fn a_way_of_a_dead_worker_is_doubted_by_the_sweep_too() {
    let world = World::new();
    let mut two = Worker::start(&world, SMALL);
    {
        let mut one = Worker::start(&world, SMALL);
        let _lost = one.post("k", "body").forwarded();
    }
    two.tick(10_000);
    let states: Vec<_> = world
        .data
        .borrow()
        .iter()
        .filter(|(key, _)| key.starts_with("b:"))
        .flat_map(|(_, (value, _))| {
            reprise_core::claim::bucket::Bucket::read(value.clone())
                .unwrap()
                .ways()
                .collect::<Vec<_>>()
        })
        .filter(|(_, way)| way.state != State::Free)
        .map(|(_, way)| way.state)
        .collect();
    assert_eq!(states, [State::Unknown]);
}
