//! What a route asks for beyond a key.

use super::small;
use crate::fake::{Worker, World};
use crate::metrics::Count;

/// Encodes a `google.protobuf.Struct` of texts, or of one struct of texts.
fn message(number: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap();
    [&[number << 3 | 2, len], content].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    let value = message(2, &message(3, value.as_bytes()));
    message(1, &[message(1, name.as_bytes()), value].concat())
}

/// Encodes the metadata that `jwt_authn` leaves with `payload_in_metadata: payload`.
fn tokens(issuer: &str, subject: &str) -> Vec<u8> {
    let payload = [text("iss", issuer), text("sub", subject)].concat();
    let value = message(2, &message(5, &payload));
    let payloads = message(1, &[message(1, b"payload"), value].concat());
    message(
        1,
        &[message(1, b"envoy.filters.http.jwt_authn"), message(2, &payloads)].concat(),
    )
}

/// Case T27.
#[test]
fn the_subject_of_a_token_owns_its_keys_whatever_the_token() {
    let document = small(r#""mode": "required""#).replacen('{', r#"{"principal": ["jwt"], "#, 1);
    let mut one = Worker::start(&World::new(), &document);
    let token = |one: &Worker, subject: &str| {
        let metadata = ("metadata".to_owned(), tokens("iss", subject));
        one.host.properties.borrow_mut().extend([metadata]);
    };
    let send = |one: &mut Worker, authorization: &str| {
        let head = [
            (":method", "POST"),
            (":path", "/pay"),
            ("idempotency-key", "k"),
            ("authorization", authorization),
        ];
        one.send(&head, "body")
    };
    token(&one, "alice");
    let mut first = send(&mut one, "Bearer 1").forwarded();
    one.answer(&mut first, "201", "alice's");
    assert_eq!(send(&mut one, "Bearer 2").replied().body, b"alice's");
    token(&one, "mallory");
    send(&mut one, "Bearer 1").forwarded();
}

#[test]
fn the_name_in_a_certificate_owns_its_keys() {
    let document = small(r#""mode": "required""#).replacen('{', r#"{"principal": ["mtls"], "#, 1);
    let mut one = Worker::start(&World::new(), &document);
    let name = |one: &Worker, kind: &str, name: &str| {
        let place = format!("connection.{kind}_san_peer_certificate");
        one.host.properties.borrow_mut().insert(place, name.into());
    };
    name(&one, "dns", "pay.test");
    let mut first = one.post("k", "body").forwarded();
    one.answer(&mut first, "201", "dns");
    assert_eq!(one.post("k", "body").replied().body, b"dns");
    name(&one, "uri", "spiffe://test/pay");
    one.post("k", "body").forwarded();
    assert_eq!(one.vm.metrics.pending(Count::Anonymous), 0);
}

#[test]
fn a_duplicate_runs_beside_the_first_where_its_route_says_so() {
    let mut one = Worker::start(&World::new(), &small(r#""in_flight": "run""#));
    let mut first = one.post("k", "body").forwarded();
    let mut second = one.post("k", "body").forwarded();
    assert_eq!(one.vm.metrics.pending(Count::Ran), 1);
    one.answer(&mut second, "500", "second");
    one.answer(&mut first, "201", "first");
    let answer = one.post("k", "body").replied();
    assert_eq!(
        (answer.status, &answer.body[..]),
        (201, &b"first"[..]),
        "the first one's is recorded"
    );
}

/// Case T08.
#[test]
fn an_upstream_that_decides_itself_is_told_and_may_ask_for_the_answer() {
    let mut one = Worker::start(&World::new(), &small(r#""mode": "manual""#));
    let told = |one: &Worker| std::mem::take(&mut *one.host.removed.borrow_mut());
    let mut first = one.post("k", "body").forwarded();
    assert_eq!(told(&one), ["reprise-key-exists = false"]);
    assert_eq!(one.post("k", "body").replied().kind(), "in-flight");
    one.answer(&mut first, "201", "paid");
    one.post("k", "body").forwarded();
    assert_eq!(
        told(&one),
        [
            "reprise-key-exists = true",
            "reprise-key-status = 201",
            "reprise-key-response = cGFpZA=="
        ]
    );
    let mut own = one.post("k", "body").forwarded();
    one.answer(&mut own, "200", "again");
    assert_eq!(
        one.host.replies.borrow().len(),
        0,
        "its own response goes to the client"
    );
    let mut asks = one
        .post("k", "another body, about which the upstream decides")
        .forwarded();
    let head = [
        (":status", "200"),
        ("x-envoy-upstream-service-time", "1"),
        ("reprise-answer", "stored"),
    ];
    let _flow = one.respond_with(&mut asks, &head, "again");
    let answer = one.host.replies.borrow_mut().pop().unwrap();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"paid"[..]));
    let elsewhere = [(":method", "POST"), (":path", "/other"), ("idempotency-key", "k")];
    assert_eq!(one.send(&elsewhere, "body").replied().kind(), "key-reused");
    assert_eq!(one.vm.metrics.pending(Count::Manual), 3);
}

#[test]
fn a_repeat_that_got_the_recorded_answer_is_not_captured() {
    let document = small(r#""mode": "manual""#).replacen('{', r#"{"capture": {"enabled": true}, "#, 1);
    let mut one = Worker::start(&World::new(), &document);
    let mut first = one.post("k", "body").forwarded();
    one.answer(&mut first, "201", "paid");
    let mut repeat = one.post("k", "body").forwarded();
    let head = [
        (":status", "200"),
        ("x-envoy-upstream-service-time", "1"),
        ("reprise-answer", "stored"),
    ];
    let _flow = one.respond_with(&mut repeat, &head, "");
    repeat.log(&one.host, &mut one.vm);
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.seen(), ledger.pending(), ledger.filtered()), (2, 1, 1));
}

#[test]
fn a_token_that_cannot_be_read_names_nobody_else() {
    let document = small(r#""mode": "optional""#).replacen('{', r#"{"principal": ["jwt"], "#, 1);
    let mut one = Worker::start(&World::new(), &document);
    let garbage = ("metadata".to_owned(), vec![0x0a, 0xff]);
    one.host.properties.borrow_mut().extend([garbage]);
    assert_eq!(one.post("k", "body").replied().kind(), "misconfigured");
    one.send(&[(":method", "POST"), (":path", "/pay")], "body").forwarded();
}

#[test]
fn an_upstream_says_how_long_its_response_is_kept() {
    let world = World::new();
    let mut one = Worker::start(&world, &small(r#""retain_max_s": 5"#));
    let answer = |one: &mut Worker, key: &str, retain: &str| {
        let mut first = one.post(key, "body").forwarded();
        let head = [
            (":status", "201"),
            ("x-envoy-upstream-service-time", "1"),
            ("reprise-retain", retain),
        ];
        one.answer_with(&mut first, &head, "paid");
    };
    for (key, retain) in [("short", "1"), ("long", "60"), ("odd", "a while"), ("none", "no-store")] {
        answer(&mut one, key, retain);
    }
    assert!(one.host.removed.borrow().contains(&"reprise-retain".to_owned()));
    assert_eq!(one.post("none", "body").replied().kind(), "response-not-retained");
    world.pass(1000);
    one.post("short", "body").forwarded();
    world.pass(1000);
    one.post("odd", "body").forwarded();
    assert_eq!(one.post("long", "body").replied().body, b"paid");
    world.pass(3000);
    one.post("long", "body").forwarded();
}

#[test]
fn without_a_fingerprint_another_body_gets_the_answer() {
    let mut one = Worker::start(&World::new(), &small(r#""fingerprint": "none""#));
    let mut first = one.post("k", "body").forwarded();
    one.answer(&mut first, "201", "first");
    assert_eq!(one.post("k", "other").replied().body, b"first");
}

/// Case T78.
#[test]
fn a_grpc_client_is_refused_in_its_own_words() {
    let head = [
        (":method", "POST"),
        (":path", "/shop.Orders/Create"),
        ("content-type", "application/grpc"),
    ];
    let mut required = Worker::start(&World::new(), &small(r#""mode": "required""#));
    let reply = required.send(&head, "").replied();
    assert_eq!(
        (reply.grpc_status, &reply.body[..]),
        (Some(3), &b"Idempotency-Key is missing"[..])
    );
    let keyed = [&head[..], &[("idempotency-key", "k")]].concat();
    let _first = required.send(&keyed, "").forwarded();
    assert_eq!(required.send(&keyed, "").replied().grpc_status, Some(10));
    let mut optional = Worker::start(&World::new(), &small(r#""mode": "optional""#));
    optional.send(&keyed, "").forwarded();
    optional.send(&keyed, "").forwarded();
}
