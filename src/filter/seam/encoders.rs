//! Keys that the whole request names: what is held until they have a name, and what becomes of it.

use super::{capturing, small};
use crate::fake::{Sent, Worker, World};
use crate::http::Flow;
use crate::metrics::Count;

const DJANGO: &str = r#""encoder": "django", "fingerprint": "none""#;
const PRESET: &str = r#""preset": "django""#;
const POST: [(&str, &str); 3] = [(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")];

fn worker(more: &str) -> Worker {
    Worker::start(&World::new(), &small(more))
}

/// Sends a first request and completes it.
fn run(one: &mut Worker, head: &[(&str, &str)], body: &str, answer: &str) {
    let mut first = one.send(head, body).forwarded();
    one.answer(&mut first, "201", answer);
}

/// Case T13.
#[test]
fn another_body_or_caller_is_another_key_and_runs() {
    let mut one = worker(DJANGO);
    run(&mut one, &POST, "a", "first");
    run(&mut one, &POST, "b", "second");
    let alice = [&POST[..], &[("authorization", "alice")]].concat();
    run(&mut one, &alice, "a", "alice's");
    assert_eq!(one.post("k", "a").replied().body, b"first");
    assert_eq!(one.post("k", "b").replied().body, b"second");
    assert_eq!(one.send(&alice, "a").replied().body, b"alice's");
    let query = [(":method", "POST"), (":path", "/pay?x=1"), ("idempotency-key", "k")];
    assert_eq!(
        one.send(&query, "a").replied().body,
        b"first",
        "the query does not count"
    );
}

#[test]
fn a_fingerprint_beside_an_encoder_still_tells_requests_apart() {
    let mut one = worker(r#""encoder": "django""#);
    run(&mut one, &POST, "a", "first");
    let query = [(":method", "POST"), (":path", "/pay?x=1"), ("idempotency-key", "k")];
    assert_eq!(one.send(&query, "a").replied().kind(), "key-reused");
    assert_eq!(one.post("k", "a").replied().body, b"first");
}

#[test]
fn a_request_is_held_until_its_key_has_a_name() {
    let mut one = worker(DJANGO);
    let (mut first, flow) = one.begin(&POST);
    assert_eq!(flow, Flow::Pause);
    one.upload(&mut first, "hel", false);
    assert_eq!(
        (one.vm.held_bytes, one.host.buffer.borrow().len()),
        (3, 3),
        "it is held"
    );
    one.upload(&mut first, "lo", true);
    assert!(one.host.buffer.borrow().is_empty(), "it goes on whole");
    one.answer(&mut first, "201", "made");
    assert_eq!((one.vm.held_bytes, one.vm.metrics.pending(Count::Miss)), (0, 1));
    assert_eq!(one.post("k", "hello").replied().body, b"made");
}

#[test]
fn a_request_without_a_body_has_its_name_at_once() {
    let mut one = worker(DJANGO);
    let (mut first, flow) = one.begin_with(&POST, true);
    assert_eq!(flow, Flow::Continue);
    one.answer(&mut first, "201", "made");
    assert_eq!(one.begin_with(&POST, true).1, Flow::Pause);
    assert_eq!(one.host.replies.borrow_mut().pop().unwrap().body, b"made");
    assert_eq!(one.post("k", "").replied().body, b"made", "an empty body is none");
}

#[test]
fn a_request_without_a_key_is_not_held() {
    let mut one = worker(DJANGO);
    assert_eq!(one.begin(&POST[..2]).1, Flow::Continue);
    let mut required = worker(PRESET);
    assert_eq!(required.send(&POST[..2], "a").replied().kind(), "key-missing");
}

#[test]
fn a_body_that_is_too_long_is_refused_and_nothing_is_claimed() {
    let limits = small(DJANGO).replacen('{', r#"{"limits": {"hold_bytes_max": 1024}, "#, 1);
    let mut one = Worker::start(&World::new(), &limits);
    let long = "x".repeat(1025);
    let reply = one.post("k", &long).replied();
    assert_eq!((reply.status, reply.kind()), (413, "body-too-large".into()));
    let announced = [&POST[..], &[("content-length", "1025")]].concat();
    assert_eq!(one.begin(&announced).1, Flow::Pause);
    assert_eq!(
        one.host.replies.borrow_mut().pop().unwrap().status,
        413,
        "before its body came"
    );
    assert_eq!(
        (
            one.vm.metrics.pending(Count::TooLarge),
            one.vm.metrics.pending(Count::Miss)
        ),
        (2, 0)
    );
    assert_eq!(one.vm.held_bytes, 0);
    one.post("k", &long[1..]).forwarded();
}

#[test]
fn what_is_held_is_bounded_in_all() {
    let limits = small(DJANGO).replacen('{', r#"{"limits": {"buffered_bytes_max": 65536}, "#, 1);
    let mut one = Worker::start(&World::new(), &limits);
    let (mut first, _) = one.begin(&POST);
    one.upload(&mut first, &"x".repeat(65_000), false);
    assert_eq!(one.post("other", &"x".repeat(1000)).replied().kind(), "capacity");
    first.log(&one.host, &mut one.vm);
    assert_eq!(one.vm.held_bytes, 0, "its client is gone");
    one.post("other", &"x".repeat(1000)).forwarded();
}

#[test]
fn a_body_that_ends_with_trailers_names_its_key() {
    let mut one = worker(r#""encoder": "django""#);
    let (mut first, _) = one.begin(&POST);
    one.upload(&mut first, "a", false);
    assert_eq!(first.request_trailers(&one.host, &mut one.vm), Flow::Continue);
    one.answer(&mut first, "201", "made");
    assert_eq!(one.post("k", "a").replied().body, b"made");
}

#[test]
fn parts_are_what_names_a_key() {
    let mut one = worker(r#""fingerprint": "none", "encoder": {"parts": ["key", "header:x-tenant"]}"#);
    let of = |tenant| [&POST[..], &[("x-tenant", tenant)]].concat();
    run(&mut one, &of("a"), "1", "a's");
    run(&mut one, &of("b"), "2", "b's");
    assert_eq!(one.send(&of("a"), "3").replied().body, b"a's");
    assert_eq!(one.begin(&of("c")).1, Flow::Continue, "nothing of the body is needed");
}

#[test]
fn a_capture_of_a_request_that_was_held_has_its_body() {
    let document = capturing(r#""enabled": true, "durability": "write_ahead""#)
        .replace("\"keys_max\"", &format!("{DJANGO}, \"keys_max\""));
    let mut one = Worker::start(&World::new(), &document);
    let (mut first, _) = one.begin(&POST);
    one.upload(&mut first, "bo", false);
    one.wake();
    assert!(
        one.host.calls.borrow().is_empty(),
        "nothing is written before it may run"
    );
    one.upload(&mut first, "dy", true);
    one.wake();
    let (_, _, captures) = one.sent(1);
    assert_eq!(captures[0].request.as_ref().unwrap().body, b"body");
    assert_eq!(one.vm.captures.ledger.seen(), 1);
}

#[test]
fn a_request_that_is_refused_before_it_has_a_name_is_not_captured() {
    let document = capturing(r#""enabled": true"#)
        .replace("\"keys_max\"", &format!("{DJANGO}, \"keys_max\""))
        .replacen('{', r#"{"limits": {"hold_bytes_max": 1024}, "#, 1);
    let mut one = Worker::start(&World::new(), &document);
    assert_eq!(one.post("k", &"x".repeat(1025)).replied().status, 413);
    let ledger = &one.vm.captures.ledger;
    assert_eq!((ledger.seen(), ledger.filtered()), (1, 1));
}

/// Case T13.
#[test]
fn the_preset_answers_as_the_middleware_does() {
    let mut one = worker(PRESET);
    let once = (
        "upstream.request_attempt_count".to_owned(),
        1_u64.to_le_bytes().to_vec(),
    );
    one.host.properties.borrow_mut().extend([once]);
    run(&mut one, &POST, "a", "made");
    let answer = one.post("k", "a").replied();
    assert_eq!((answer.status, &answer.body[..]), (409, &b"made"[..]));
    let mut failed = one.post("k", "b").forwarded();
    one.answer(&mut failed, "400", "wrong");
    run(&mut one, &POST, "b", "again: only 200 to 207 are kept");
    let put = [(":method", "PUT"), (":path", "/pay")];
    assert_eq!(one.send(&put, "a").replied().kind(), "key-missing");
    assert!(matches!(
        one.send(&[(":method", "GET"), (":path", "/pay")], ""),
        Sent::Forwarded(_)
    ));
}

#[test]
fn the_preset_with_mode_off_leaves_it_to_routes() {
    let document = small(r#""preset": "django", "mode": "off""#).replacen(
        '{',
        r#"{"rules": [{"match": {"path": "/pay"}, "idempotency": {"mode": "required"}}], "#,
        1,
    );
    let mut one = Worker::start(&World::new(), &document);
    one.send(&[(":method", "POST"), (":path", "/free")], "a").forwarded();
    assert_eq!(one.send(&POST[..2], "a").replied().kind(), "key-missing");
    run(&mut one, &POST, "a", "made");
    assert_eq!(one.post("k", "a").replied().status, 409);
}
