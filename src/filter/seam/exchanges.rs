//! What one exchange holds, hears and hands on.

use super::SMALL;
use crate::fake::Worker;
use crate::fake::World;
use crate::fake::map;
use crate::http::Flow;
use crate::metrics::Count;

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
