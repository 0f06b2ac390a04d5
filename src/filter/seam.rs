//! The filter over the host in memory: what a real Envoy cannot show, or not often enough.

use crate::fake::{Sent, Worker, World, map};
use crate::host::SharedData as _;
use crate::http::Flow;
use crate::metrics::Count;
use crate::root;
use crate::vm::Vm;
use reprise_core::claim::State;

const SMALL: &str = r#"{"version": 1, "idempotency": {"keys_max": 64, "retain_s": 2, "lease_ms": 300}}"#;

fn small(more: &str) -> String {
    SMALL.replace("\"keys_max\"", &format!("{more}, \"keys_max\""))
}

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

#[test]
fn all_announced_bytes_without_an_end_leave_an_unknown_outcome() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let head = [
        (":method", "POST"),
        (":path", "/pay"),
        ("idempotency-key", "k"),
        ("content-length", "4"),
    ];
    let (mut whole, _) = one.begin(&head);
    one.upload(&mut whole, "body", false);
    whole.log(&one.host, &mut one.vm);
    assert_eq!(one.post("k", "body").replied().kind(), "outcome-unknown");
    let half = [&head[..2], &[("idempotency-key", "half"), ("content-length", "8")]].concat();
    let (mut half, _) = one.begin(&half);
    one.upload(&mut half, "body", false);
    half.log(&one.host, &mut one.vm);
    one.post("half", "body").forwarded();
}

#[test]
fn above_the_bound_of_copies_a_duplicate_is_not_held() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let _first = one.post("k", "body").forwarded();
    one.vm.held_bytes = one.root.document.store.buffered_bytes_max;
    let (_, flow) = one.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    assert_eq!(flow, Flow::Pause);
    assert_eq!(one.host.replies.borrow()[0].kind(), "in-flight");
    assert_eq!(one.vm.parked.len(), 0);
}

#[test]
fn a_held_duplicate_gives_back_what_it_held() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut first = one.post("k", "body").forwarded();
    one.answer(&mut first, "200", "");
    assert_eq!(one.vm.held_bytes, 0);
    one.post("k", "body").replied();
    let (mut gone, _) = one.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    one.upload(&mut gone, "bo", false);
    assert!(one.vm.held_bytes > 0);
    gone.log(&one.host, &mut one.vm);
    assert_eq!(one.vm.held_bytes, 0);
}

/// Case T89.
#[test]
fn workers_and_reloads_come_and_go_and_the_keys_stay_the_same() {
    let world = World::new();
    let mut first = Worker::start(&world, SMALL);
    let keys = world.data.borrow().len();
    assert_eq!(keys, 2 + 2 * 2 + 64 + 6);
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
fn a_held_duplicate_that_hears_nothing_is_answered_by_the_tick() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let _first = one.post("k", "body").forwarded();
    let (mut held, flow) = one.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    assert_eq!(flow, Flow::Pause);
    one.tick(4_999);
    assert!(one.host.replies.borrow().is_empty());
    one.tick(20);
    assert_eq!(one.host.replies.borrow_mut().pop().unwrap().kind(), "in-flight");
    one.upload(&mut held, "body", true);
    assert!(one.host.replies.borrow().is_empty(), "answered once");
    assert_eq!(one.vm.parked.len(), 0);
}

#[test]
fn a_swallowed_body_in_pieces_is_the_same_body() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let body = "0123456789".repeat(20_000);
    let mut first = one.post("k", &body).forwarded();
    one.answer(&mut first, "200", "a");
    let (mut again, _) = one.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    for at in (0..body.len()).step_by(7_777) {
        one.upload(&mut again, &body[at..body.len().min(at + 7_777)], false);
        assert!(one.host.buffer.borrow().len() <= 64 * 1024 + 7_777);
    }
    one.upload(&mut again, "", true);
    assert_eq!(one.host.replies.borrow_mut().pop().unwrap().body, b"a");
}

#[test]
fn headers_that_make_the_proxy_retry_are_taken_off_a_protected_request() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let keyed = [(":method", "POST"), (":path", "/"), ("idempotency-key", "k")];
    one.send(
        &[
            &keyed[..],
            &[("x-envoy-retry-on", "5xx"), ("reprise-key-exists", "true")],
        ]
        .concat(),
        "",
    )
    .forwarded();
    assert_eq!(*one.host.removed.borrow(), ["x-envoy-retry-on", "reprise-key-exists"]);
}

#[test]
fn memory_held_for_copies_is_given_back() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    for n in 0..50 {
        let mut exchange = one.post(&n.to_string(), &"b".repeat(1000)).forwarded();
        one.answer(&mut exchange, "200", &"r".repeat(5000));
    }
    assert_eq!(one.vm.held_bytes, 0);
}

#[test]
fn above_the_bound_of_copies_a_response_leaves_a_tombstone() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let mut exchange = one.post("k", "").forwarded();
    one.vm.held_bytes = one.root.document.store.buffered_bytes_max;
    one.answer(&mut exchange, "200", "large");
    one.vm.held_bytes = 0;
    assert_eq!(one.post("k", "").replied().kind(), "response-not-retained");
}

#[test]
fn route_metadata_that_do_not_parse_stop_protected_requests_alone() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    one.host
        .properties
        .borrow_mut()
        .insert("xds.route_metadata".into(), b"\xff".to_vec());
    let reply = one.post("k", "").replied();
    assert_eq!((reply.status, reply.kind()), (503, "misconfigured".to_owned()));
    one.send(&[(":method", "POST"), (":path", "/")], "").forwarded();
    assert_eq!(one.vm.metrics.pending(Count::BadMetadata), 2);
}

#[test]
fn hostile_header_maps_do_no_harm() {
    let world = World::new();
    let mut one = Worker::start(&world, SMALL);
    let good = map(&[(":method", "POST"), (":path", "/"), ("idempotency-key", "k")]);
    for cut in 0..good.len() {
        let (mut exchange, _) = one.begin(&[]);
        *one.host.request.borrow_mut() = good[..cut].to_vec();
        exchange.request_headers(&one.host, &mut one.vm, true);
        exchange.log(&one.host, &mut one.vm);
    }
    one.post("k2", "").forwarded();
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
