//! What tells two requests with one key apart.

use super::small;
use crate::fake::{Worker, World};

const JSON: &str = r#""fingerprint": "json""#;

/// Sends a first request and completes it.
fn begin(document: &str, body: &str) -> Worker {
    let mut one = Worker::start(&World::new(), document);
    let mut first = one.post("k", body).forwarded();
    one.answer(&mut first, "201", "made");
    one
}

/// Case T24.
#[test]
fn json_in_another_order_is_the_same_where_it_is_read_and_another_where_it_is_not() {
    let (written, again) = (r#"{"a":1,"b":[2]}"#, "{\"b\": [ 2 ],\n\"a\": 1}");
    let mut raw = begin(&small(r#""fingerprint": "raw""#), written);
    assert_eq!(raw.post("k", again).replied().kind(), "key-reused");
    let mut json = begin(&small(JSON), written);
    assert_eq!(json.post("k", again).replied().body, b"made");
    assert_eq!(json.post("k", r#"{"a":1.0,"b":[2]}"#).replied().kind(), "key-reused");
}

#[test]
fn only_the_fields_that_the_route_names_count() {
    let fields = small(r#""fingerprint": "json", "fields": ["/amount"]"#);
    let mut one = begin(&fields, r#"{"amount":5,"at":1}"#);
    assert_eq!(one.post("k", r#"{"amount":5,"at":2}"#).replied().body, b"made");
    assert_eq!(one.post("k", r#"{"amount":6,"at":1}"#).replied().kind(), "key-reused");
    assert_eq!(one.post("k", r#"{"at":1}"#).replied().kind(), "key-reused");
}

#[test]
fn a_body_that_is_too_long_or_no_json_counts_by_its_bytes() {
    let long = |space: &str| format!("[{space}\"{}\"]", "x".repeat(1024));
    let mut one = begin(&small(r#""fingerprint": "json", "json_bytes_max": 1024"#), &long(""));
    assert_eq!(one.post("k", &long("")).replied().body, b"made");
    assert_eq!(one.post("k", &long(" ")).replied().kind(), "key-reused");
    let mut form = begin(&small(JSON), "a=1&b=2");
    assert_eq!(form.post("k", "a=1&b=2").replied().body, b"made");
    assert_eq!(form.post("k", "b=2&a=1").replied().kind(), "key-reused");
}

#[test]
fn the_copy_of_a_body_is_counted_until_it_ends() {
    let mut one = Worker::start(&World::new(), &small(JSON));
    let body = format!("\"{}\"", "x".repeat(100_000));
    let (mut first, _flow) = one.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    one.upload(&mut first, &body, false);
    assert!(one.vm.held_bytes >= 100_000, "{}", one.vm.held_bytes);
    one.upload(&mut first, "", true);
    assert!(one.vm.held_bytes < 1000, "{}", one.vm.held_bytes);
}

#[test]
fn a_copy_that_finds_no_room_is_given_up_and_never_answers() {
    let limits = small(JSON).replacen('{', r#"{"limits": {"buffered_bytes_max": 65536}, "#, 1);
    let mut one = Worker::start(&World::new(), &limits);
    let (mut first, _flow) = one.begin(&[(":method", "POST"), (":path", "/pay"), ("idempotency-key", "k")]);
    let piece = "1".repeat(40_000);
    one.upload(&mut first, &piece, false);
    one.upload(&mut first, &piece, false);
    assert!(one.vm.held_bytes < 65_536, "{}", one.vm.held_bytes);
    one.upload(&mut first, "", true);
    one.answer(&mut first, "201", "made");
    let again = one.post("k", &piece.repeat(2)).replied();
    assert_eq!(again.kind(), "outcome-unknown");
    one.post("other", &piece).forwarded();
}
