//! Halves that wait until their capture is on disk.

use super::capturing;
use crate::fake::{Worker, World};
use crate::host::Side;
use crate::http::{Exchange, Flow};
use reprise_core::capture::ledger::Reason;
use reprise_core::wire::{JOURNAL_PATH, State};

const POST: [(&str, &str); 3] = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];

fn one(more: &str) -> Worker {
    Worker::start(&World::new(), &capturing(&format!(r#""enabled": true, {more}"#)))
}

/// Sends a whole request, which waits, and has the worker woken.
fn held(worker: &mut Worker, body: &str) -> Exchange {
    let (mut exchange, flow) = worker.begin(&POST);
    assert_eq!(flow, Flow::Pause);
    worker.upload(&mut exchange, body, true);
    assert!(worker.host.replies.borrow().is_empty());
    worker.wake();
    exchange
}

#[test]
fn a_request_waits_until_it_is_on_disk_and_its_end_names_it() {
    let mut one = one(r#""durability": "write_ahead""#);
    let mut exchange = held(&mut one, "body");
    let (path, _, captures) = one.sent(1);
    assert_eq!(
        (path.as_str(), captures[0].state),
        (JOURNAL_PATH, i32::from(State::Begun))
    );
    assert_eq!(captures[0].request.as_ref().unwrap().body, b"body");
    assert!(one.host.resumed.borrow().is_empty());
    one.acknowledge(1);
    assert_eq!(one.host.resumed.borrow()[..], [(2, Side::Request)]);
    assert_eq!(one.host.entered.get(), 1, "the root is back");
    one.answer(&mut exchange, "200", "done");
    one.tick(20);
    let end = one.sent(2).2[0].clone();
    assert_eq!((end.seq, end.exchange, end.state), (2, 1, i32::from(State::Completed)));
    assert!(end.request.is_none() && end.response.is_some());
    one.acknowledge(2);
    assert_eq!(
        (one.vm.captures.ledger.stored(), one.vm.captures.ledger.pending()),
        (1, 0)
    );
}

#[test]
fn a_long_body_is_written_ahead_by_its_front_and_then_flows() {
    let mut one = one(r#""durability": "write_ahead", "body_bytes_max": 1024"#);
    let (mut exchange, _) = one.begin(&POST);
    one.upload(&mut exchange, &"x".repeat(1000), false);
    assert!(one.vm.captures.ahead.count() == 0);
    one.upload(&mut exchange, &"y".repeat(100), false);
    one.wake();
    let half = one.sent(1).2[0].request.clone().unwrap();
    assert_eq!((half.body.len(), half.body_len, half.truncated), (1024, 1100, true));
    one.acknowledge(1);
    one.host.buffer.borrow_mut().clear();
    one.upload(&mut exchange, "zzz", true);
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    let rest = one.sent(2).2[0].request.clone().unwrap();
    let whole = ["x".repeat(1000), "y".repeat(100), "zzz".into()].concat();
    assert_eq!((rest.pairs.len(), rest.body.len(), rest.body_len), (0, 0, 1103));
    assert_eq!(rest.body_hash, blake3::hash(whole.as_bytes()).as_bytes());
}

/// Case R15.
#[test]
fn a_request_that_cannot_be_written_ahead_is_refused_and_its_key_is_free() {
    let mut one = one(r#""durability": "write_ahead""#);
    let mut exchange = held(&mut one, "body");
    one.hear(1, 503, b"");
    let reply = one.host.replies.borrow_mut().pop().unwrap();
    assert_eq!((reply.status, reply.kind()), (503, "capture-unavailable".into()));
    assert_eq!(reply.header("retry-after").as_deref(), Some("1"));
    exchange.response_headers(&one.host, &mut one.vm, false);
    exchange.log(&one.host, &mut one.vm);
    assert_eq!(one.vm.captures.ledger.dropped(Reason::ReplaydDown), 1);
    assert_eq!((one.vm.captures.ledger.pending(), one.vm.held_bytes), (0, 0));
    one.host.world.pass(200);
    let _runs = held(&mut one, "body");
}

/// Case R15.
#[test]
fn without_memory_for_its_capture_a_request_is_refused_and_its_key_is_free() {
    let mut one = one(r#""durability": "write_ahead""#);
    one.vm.held_bytes = one.root.document.store.buffered_bytes_max;
    let reply = one.send(&POST, "body").replied();
    assert_eq!((reply.status, reply.kind()), (503, "capture-unavailable".into()));
    assert_eq!(one.vm.captures.ledger.dropped(Reason::Memory), 1);
    assert_eq!(one.vm.captures.ledger.pending(), 0);
    one.vm.held_bytes = 0;
    let _runs = held(&mut one, "body");
}

#[test]
fn without_memory_for_its_capture_a_request_goes_on_where_its_route_says_so() {
    let mut one = one(r#""durability": "write_ahead", "on_replayd_down": "open""#);
    one.vm.held_bytes = one.root.document.store.buffered_bytes_max;
    one.send(&POST, "body").forwarded();
    assert_eq!(one.vm.captures.ledger.dropped(Reason::Memory), 1);
}

#[test]
fn where_a_route_says_so_it_goes_on_and_is_captured_later_once() {
    let mut one = one(r#""durability": "write_ahead", "on_replayd_down": "open""#);
    let mut exchange = held(&mut one, "body");
    one.hear(1, 0, b"");
    assert_eq!(one.host.resumed.borrow()[..], [(2, Side::Request)]);
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    let captures = one.sent(2).2;
    assert_eq!((captures[0].seq, captures[0].state), (1, i32::from(State::Begun)));
    assert_eq!((captures[1].seq, captures[1].exchange), (2, 1));
    one.acknowledge(2);
    assert_eq!(one.vm.captures.ledger.stored(), 1);
}

#[test]
fn calls_that_never_come_back_do_not_hold_anybody_for_ever() {
    let mut one = one(r#""durability": "write_ahead""#);
    let _exchanges: Vec<_> = (0..4)
        .map(|_| {
            let post = [(":method", "POST"), (":path", "/pay")];
            let (mut exchange, _) = one.begin(&post);
            one.upload(&mut exchange, "", true);
            one.wake();
            exchange
        })
        .collect();
    one.host.replies.borrow_mut().clear();
    one.tick(700);
    assert_eq!(one.host.replies.borrow().len(), 2, "those that were not sent");
    one.tick(1000);
    assert_eq!(one.host.replies.borrow().len(), 4);
    assert_eq!(one.vm.captures.ledger.dropped(Reason::ReplaydDown), 4);
}

#[test]
fn a_client_that_leaves_while_it_waits_gives_its_key_back() {
    let mut one = one(r#""durability": "write_ahead""#);
    let mut exchange = held(&mut one, "body");
    exchange.log(&one.host, &mut one.vm);
    one.acknowledge(1);
    assert!(one.host.resumed.borrow().is_empty(), "nobody is there any more");
    one.tick(20);
    assert_eq!(one.sent(2).2[0].state, i32::from(State::Aborted));
    let _runs = held(&mut one, "body");
}

#[test]
fn a_response_waits_with_its_last_byte_and_a_fault_does_not_change_it() {
    let mut one = one(r#""durability": "write_ahead_response""#);
    for status in [200, 0] {
        let resumed = one.host.resumed.borrow().len();
        let (mut exchange, _) = one.begin(&[(":method", "POST"), (":path", "/pay")]);
        one.upload(&mut exchange, "", true);
        one.wake();
        let made = u32::try_from(one.host.calls.borrow().len()).unwrap();
        one.acknowledge(made);
        let headers = [(":status", "200"), ("x-envoy-upstream-service-time", "1")];
        assert_eq!(one.respond_with(&mut exchange, &headers, "done"), Flow::Pause);
        one.wake();
        let end = one.sent(made + 1).2[0].clone();
        assert_eq!((end.exchange > 0, end.state), (true, i32::from(State::Completed)));
        match status {
            200 => one.acknowledge(made + 1),
            _ => one.hear(made + 1, 0, b""),
        }
        assert_eq!(one.host.resumed.borrow().len(), resumed + 2);
        assert_eq!(one.host.resumed.borrow().last().unwrap().1, Side::Response);
        exchange.log(&one.host, &mut one.vm);
    }
    assert_eq!(
        (one.vm.captures.ledger.stored(), one.vm.captures.ledger.pending()),
        (1, 1)
    );
}

#[test]
fn what_waits_for_too_long_does_not_take_along_what_came_after_it() {
    let mut one = one(r#""durability": "write_ahead""#);
    let post = [(":method", "POST"), (":path", "/pay")];
    let send = |one: &mut Worker| {
        let (mut exchange, _) = one.begin(&post);
        one.upload(&mut exchange, "", true);
        one.wake();
        exchange
    };
    let mut early: Vec<_> = (0..3).map(|_| send(&mut one)).collect();
    one.tick(500);
    let _last = send(&mut one);
    one.tick(200);
    assert_eq!(one.host.replies.borrow().len(), 1, "the one that waited for too long");
    early[2].log(&one.host, &mut one.vm);
    assert_eq!(one.vm.captures.later.count(), 0, "replayd never heard of it");
    one.acknowledge(1);
    let token = u32::try_from(one.host.calls.borrow().len()).unwrap();
    assert_eq!(one.sent(token).2[0].seq, 4);
    one.acknowledge(token);
    assert_eq!(one.host.resumed.borrow()[..], [(2, Side::Request), (5, Side::Request)]);
}

#[test]
fn what_both_sides_speak_at_once_is_written_ahead_by_its_head() {
    let grpc = [("content-type", "application/grpc+proto")];
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade")];
    for headers in [&grpc[..], &upgrade[..]] {
        let mut one = one(r#""durability": "write_ahead""#);
        let (mut exchange, flow) = one.begin(&[&POST, headers].concat());
        assert_eq!(flow, Flow::Pause);
        one.wake();
        assert_eq!(one.sent(1).2[0].state, i32::from(State::Begun));
        one.acknowledge(1);
        assert_eq!(one.host.resumed.borrow()[..], [(2, Side::Request)]);
        one.upload(&mut exchange, "frame", false);
        assert!(one.host.buffer.borrow().is_empty(), "it flows");
    }
}

#[test]
fn an_end_that_nobody_has_room_to_wait_for_is_told_without_its_body() {
    let mut one = one(r#""durability": "write_ahead_response""#);
    let mut exchange = held(&mut one, "");
    one.acknowledge(1);
    one.vm.captures.bytes_max = 800;
    one.answer(&mut exchange, "200", &"x".repeat(1000));
    one.tick(20);
    let end = one.sent(2).2[0].clone();
    assert_eq!((end.exchange, end.state), (1, i32::from(State::Completed)));
    assert_eq!(end.response.unwrap().body_len, 1000);
    one.acknowledge(2);
    assert_eq!(one.vm.captures.ledger.stored(), 1);
}

/// Case R15.
#[test]
fn a_refusal_whose_journal_may_have_arrived_is_told_as_not_sent() {
    let mut one = one(r#""durability": "write_ahead""#);
    let mut exchange = held(&mut one, "body");
    one.hear(1, 0, b"");
    exchange.response_headers(&one.host, &mut one.vm, false);
    exchange.log(&one.host, &mut one.vm);
    one.tick(20);
    let end = one.sent(2).2[0].clone();
    assert_eq!((end.exchange, end.state), (1, i32::from(State::Aborted)));
    assert_eq!(end.reason, "not_sent");
    one.acknowledge(2);
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.dropped(Reason::ReplaydDown), ledger.stored()), (1, 0));
}

/// A worker with a gate, and a cluster `queue` whose boot replayd knows.
fn gated(more: &str) -> Worker {
    let document = capturing(&format!(r#""enabled": true, {more}"#)).replacen(
        "\"version\"",
        "\"restore\": {\"boot_gate\": true}, \"version\"",
        1,
    );
    let mut worker = Worker::start(&World::new(), &document);
    let cluster = ("xds.cluster_name".into(), b"queue".to_vec());
    worker.host.properties.borrow_mut().extend([cluster]);
    super::boots::tell(&mut worker, "b-0", false);
    close(&mut worker, "b-0");
    worker.host.calls.borrow_mut().clear();
    worker
}

/// Has another response show a boot id.
fn close(worker: &mut Worker, boot_id: &str) {
    let get = worker.send(&[(":method", "GET"), (":path", "/")], "");
    super::boots::answer(worker, get, boot_id);
}

#[test]
fn a_gate_that_closes_while_a_request_waits_keeps_it_back() {
    let mut one = gated(r#""durability": "write_ahead""#);
    let mut exchange = held(&mut one, "body");
    close(&mut one, "b-1");
    one.acknowledge(1);
    assert!(one.host.resumed.borrow().is_empty());
    let reply = one.host.replies.borrow_mut().pop().unwrap();
    assert_eq!((reply.status, reply.kind()), (503, "restoring".into()));
    exchange.response_headers(&one.host, &mut one.vm, false);
    exchange.log(&one.host, &mut one.vm);
    one.tick(20);
    let token = u32::try_from(one.host.calls.borrow().len()).unwrap();
    let end = one.sent(token).2[0].clone();
    assert_eq!((end.exchange, end.state), (1, i32::from(State::Aborted)));
    assert_eq!(end.reason, "not_sent");
    one.acknowledge(token);
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.stored(), ledger.pending()), (1, 0));
}

#[test]
fn a_gate_that_closes_before_a_request_has_come_refuses_it_untold() {
    let mut one = gated(r#""durability": "write_ahead""#);
    let (mut exchange, _) = one.begin(&POST);
    close(&mut one, "b-1");
    one.host.replies.borrow_mut().clear();
    one.upload(&mut exchange, "body", true);
    let reply = one.host.replies.borrow_mut().pop().unwrap();
    assert_eq!((reply.status, reply.kind()), (503, "restoring".into()));
    exchange.response_headers(&one.host, &mut one.vm, false);
    exchange.log(&one.host, &mut one.vm);
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.filtered(), ledger.pending(), one.vm.held_bytes), (1, 0, 0));
    assert_eq!(one.vm.captures.last_seq(), 0);
}

#[test]
fn a_closed_gate_keeps_back_what_goes_on_without_replayd() {
    let mut one = gated(r#""durability": "write_ahead", "on_replayd_down": "open""#);
    let _exchange = held(&mut one, "body");
    close(&mut one, "b-1");
    one.hear(1, 503, b"");
    assert!(one.host.resumed.borrow().is_empty());
    assert_eq!(one.host.replies.borrow_mut().pop().unwrap().kind(), "restoring");
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.dropped(Reason::ReplaydDown), ledger.pending()), (1, 0));
}

#[test]
fn a_refusal_of_which_replayd_heard_nothing_is_not_told() {
    let mut one = one(r#""durability": "write_ahead""#);
    for body in ["", "reset reason: remote connection failure"] {
        let mut exchange = held(&mut one, "body");
        let token = u32::try_from(one.host.calls.borrow().len()).unwrap();
        one.hear(token, 503, body.as_bytes());
        exchange.response_headers(&one.host, &mut one.vm, false);
        exchange.log(&one.host, &mut one.vm);
        assert_eq!(one.vm.captures.waiting(), 0);
        one.host.world.pass(500);
    }
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.dropped(Reason::ReplaydDown), ledger.pending()), (2, 0));
    assert_eq!(one.vm.captures.last_seq(), 2, "each gap is a drop");
}

#[test]
fn without_room_to_wait_a_request_that_goes_on_uses_one_number() {
    let mut one = one(r#""durability": "write_ahead", "on_replayd_down": "open""#);
    one.vm.captures.bytes_max = 0;
    let (mut exchange, _) = one.begin(&POST);
    one.upload(&mut exchange, "body", true);
    one.vm.captures.bytes_max = 1 << 20;
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    assert_eq!(one.sent(1).2[0].seq, 1);
}

#[test]
fn an_end_without_room_that_nobody_counts_leaves_no_gap() {
    let mut one = one(r#""durability": "write_ahead""#);
    let mut exchange = held(&mut one, "body");
    one.hear(1, 0, b"");
    one.vm.captures.bytes_max = 0;
    exchange.response_headers(&one.host, &mut one.vm, false);
    assert_eq!((one.vm.captures.waiting(), one.vm.captures.last_seq()), (0, 1));
}

#[test]
fn a_body_one_byte_too_long_has_its_hash_however_it_ends() {
    for ends_with_it in [true, false] {
        let mut one = one(r#""durability": "write_ahead", "body_bytes_max": 1024"#);
        let (mut exchange, _) = one.begin(&POST);
        let body = "x".repeat(1025);
        one.upload(&mut exchange, &body, ends_with_it);
        one.wake();
        let half = one.sent(1).2[0].request.clone().unwrap();
        assert_eq!((half.body.len(), half.body_len, half.truncated), (1024, 1025, true));
        one.acknowledge(1);
        one.host.buffer.borrow_mut().clear();
        if !ends_with_it {
            one.upload(&mut exchange, "", true);
        }
        one.answer(&mut exchange, "200", "");
        one.tick(20);
        let rest = one.sent(2).2[0].request.clone().unwrap();
        assert_eq!((rest.body.len(), rest.body_len, rest.ended), (0, 1025, true));
        assert_eq!(rest.body_hash, blake3::hash(body.as_bytes()).as_bytes());
    }
}

#[test]
fn what_was_written_ahead_by_its_head_has_its_body_in_its_end() {
    for (len, whole) in [(1000, true), (1100, false)] {
        let mut one = one(r#""durability": "write_ahead", "body_bytes_max": 1024"#);
        let grpc = ("content-type", "application/grpc");
        let (mut exchange, _) = one.begin(&[POST[0], POST[1], grpc]);
        one.wake();
        one.acknowledge(1);
        let body = "x".repeat(len);
        one.upload(&mut exchange, &body, false);
        one.upload(&mut exchange, "", true);
        one.answer(&mut exchange, "200", "");
        one.tick(20);
        let rest = one.sent(2).2[0].request.clone().unwrap();
        assert_eq!(rest.body, body.as_bytes()[..len.min(1024)]);
        assert_eq!((rest.pairs.len(), rest.truncated, rest.ended), (0, !whole, true));
        assert_eq!(rest.body_hash.is_empty(), whole);
    }
}

#[test]
fn a_piece_that_could_not_be_read_leaves_no_hash() {
    let mut one = one(r#""durability": "write_ahead", "body_bytes_max": 1024"#);
    let (mut exchange, _) = one.begin(&POST);
    one.upload(&mut exchange, &"x".repeat(1025), false);
    one.wake();
    one.acknowledge(1);
    one.host.buffer.borrow_mut().clear();
    exchange.request_body(&one.host, &mut one.vm, 10, false);
    one.upload(&mut exchange, "zzz", true);
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    let rest = one.sent(2).2[0].request.clone().unwrap();
    assert_eq!((rest.body_len, rest.body_hash.len(), rest.truncated), (1038, 0, true));
}

#[test]
fn a_response_waits_where_the_proxy_leaves_its_own_headers_out() {
    for (details, flow) in [("via_upstream", Flow::Pause), ("direct_response", Flow::Continue)] {
        let mut one = one(r#""durability": "write_ahead_response""#);
        let mut exchange = held(&mut one, "");
        one.acknowledge(1);
        let told = ("response.code_details".into(), details.as_bytes().to_vec());
        one.host.properties.borrow_mut().extend([told]);
        assert_eq!(
            one.respond_with(&mut exchange, &[(":status", "200")], "done"),
            flow,
            "{details}"
        );
    }
}
