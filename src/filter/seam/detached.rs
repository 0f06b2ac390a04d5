//! Requests that run detached: held to their end, sent by the root, answered whether or not their client is there.

use super::boots::{answer, tell, tell_keys};
use super::{capturing, small};
use crate::detached::{answered, lose};
use crate::fake::{Reply, Worker, World, map};
use crate::host::Host as _;
use crate::http::{Exchange, Flow};
use crate::metrics::Count;
use reprise_core::http::Pairs;
use reprise_core::signature::{Kind, Line, Signed, sign};
use reprise_core::wire::State;

const POST: [(&str, &str); 6] = [
    (":method", "POST"),
    (":path", "/pay"),
    ("idempotency-key", "K"),
    ("x-request-id", "7"),
    ("te", "trailers"),
    ("x-envoy-retry-on", "5xx"),
];

const UPSTREAM: [(&str, &str); 5] = [
    (":status", "201"),
    ("set-cookie", "a=1"),
    ("set-cookie", "b=2"),
    ("reprise-details", "via_upstream"),
    ("reprise-attempts", "1"),
];

fn document(more: &str) -> String {
    small(&format!(
        r#"{more}"execution": "detached", "detached_cluster": "detached""#
    ))
}

fn worker() -> Worker {
    Worker::start(&World::new(), &document(""))
}

impl Worker {
    /// Sends a whole request that is held.
    fn detach(&mut self) -> Exchange {
        let (mut exchange, flow) = self.begin(&POST);
        assert_eq!(flow, Flow::Pause);
        self.upload(&mut exchange, "bo", false);
        self.upload(&mut exchange, "dy", true);
        exchange
    }

    /// Has the internal listener answer the call `token`; no headers = the call fails.
    fn come_back(&mut self, token: u32, headers: &[(&str, &str)], body: &str) {
        *self.host.call_headers.borrow_mut() = map(headers);
        *self.host.answer.borrow_mut() = (0, body.into());
        let sizes = (headers.len(), body.len(), 0);
        assert!(answered(&self.host, &mut self.vm, token, sizes, 1));
    }

    fn reply(&self) -> Option<Reply> {
        self.host.replies.borrow_mut().pop()
    }

    /// Sends the same request once more; gives its reply and whether a call went out.
    fn again(&mut self) -> (Option<Reply>, bool) {
        let before = self.host.calls.borrow().len();
        let mut exchange = self.detach();
        self.wake();
        let reply = self.reply();
        exchange.log(&self.host, &mut self.vm);
        (reply, self.host.calls.borrow().len() > before)
    }

    fn names(&self) -> String {
        let sent = self.host.passed_on.borrow();
        let names = Pairs::new(&sent[0].1).map(|(name, _)| String::from_utf8_lossy(name).into_owned());
        names.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_request_is_sent_by_the_root_once_it_has_ended_and_its_client_gets_the_response() {
    let mut worker = worker();
    let mut exchange = worker.detach();
    assert!(
        worker.host.calls.borrow().is_empty(),
        "not within the exchange's callback"
    );
    worker.wake();
    assert_eq!(worker.host.passed_on.borrow()[0].0, "detached");
    assert_eq!(worker.host.calls.borrow()[0], ("/pay".to_owned(), b"body".to_vec()));
    assert_eq!(worker.names(), ":method :path idempotency-key x-request-id :authority");
    worker.come_back(1, &UPSTREAM, "made");
    let reply = worker.reply().unwrap();
    assert_eq!((reply.status, &reply.body[..]), (201, &b"made"[..]));
    let cookies = Pairs::new(&reply.pairs).filter(|(name, _)| *name == b"set-cookie");
    assert_eq!((cookies.count(), Pairs::new(&reply.pairs).count()), (2, 2));
    assert_eq!(worker.host.entered.get(), 1, "the root's context is back");
    exchange.log(&worker.host, &mut worker.vm);
    assert_eq!((worker.vm.held_bytes, worker.vm.aside.len()), (0, 0));
    let (answer, ran) = worker.again();
    assert_eq!(
        (answer.unwrap().header("idempotent-replayed").as_deref(), ran),
        (Some("true"), false)
    );
}

#[test]
fn a_client_that_leaves_before_its_requests_end_leaves_nothing() {
    let mut worker = worker();
    let (mut exchange, _) = worker.begin(&POST);
    worker.upload(&mut exchange, "bo", false);
    exchange.log(&worker.host, &mut worker.vm);
    assert_eq!(worker.vm.held_bytes, 0);
    let (_, ran) = worker.again();
    assert!(ran, "its key is free");
}

/// Case T45.
#[test]
fn a_client_that_leaves_after_it_finds_the_answer() {
    for leaves_before_it_is_sent in [true, false] {
        let mut worker = worker();
        let mut exchange = worker.detach();
        if leaves_before_it_is_sent {
            exchange.log(&worker.host, &mut worker.vm);
            worker.wake();
        } else {
            worker.wake();
            exchange.log(&worker.host, &mut worker.vm);
        }
        let (meanwhile, ran) = worker.again();
        assert_eq!((meanwhile.unwrap().kind(), ran), ("in-flight".into(), false));
        worker.come_back(1, &UPSTREAM, "made");
        assert!(worker.reply().is_none(), "nobody is there");
        let (answer, ran) = worker.again();
        assert_eq!((answer.unwrap().body, ran), (b"made".to_vec(), false));
    }
}

#[test]
fn a_call_that_fails_leaves_the_outcome_unknown() {
    let mut worker = worker();
    let _exchange = worker.detach();
    worker.wake();
    worker.come_back(1, &[], "");
    let reply = worker.reply().unwrap();
    assert_eq!((reply.status, reply.kind()), (502, "no-response".into()));
    let (again, ran) = worker.again();
    assert_eq!((again.unwrap().kind(), ran), ("outcome-unknown".into(), false));
}

#[test]
fn a_call_that_is_refused_leaves_the_key_free() {
    let mut worker = worker();
    worker.host.refuses_calls.set(true);
    let _exchange = worker.detach();
    worker.wake();
    let reply = worker.reply().unwrap();
    assert_eq!((reply.status, reply.kind()), (503, "misconfigured".into()));
    worker.host.refuses_calls.set(false);
    let (_, ran) = worker.again();
    assert!(ran);
    assert_eq!(worker.host.calls.borrow().len(), 1);
}

/// Sends a request that ends with this response; tells whether a repeat runs, else what it is told.
#[track_caller]
fn ends(headers: &[(&str, &str)], want: Option<&str>) {
    let mut worker = worker();
    let _exchange = worker.detach();
    worker.wake();
    worker.come_back(1, headers, "said");
    assert_eq!(worker.reply().unwrap().body, b"said", "its client gets it in any case");
    let (reply, ran) = worker.again();
    assert_eq!(
        (reply.map(|reply| reply.kind()).as_deref(), ran),
        (want, want.is_none()),
        "{headers:?}"
    );
}

#[test]
fn who_made_the_response_is_the_internal_listeners_word() {
    let time = ("x-envoy-upstream-service-time", "1");
    let (status, once) = ((":status", "503"), ("reprise-attempts", "1"));
    ends(&[status, time, once, ("reprise-details", "no_healthy_upstream")], None);
    ends(
        &[
            status,
            time,
            ("reprise-attempts", "-"),
            ("reprise-details", "no_healthy_upstream"),
        ],
        None,
    );
    let twice = ("reprise-attempts", "2");
    ends(
        &[status, time, twice, ("reprise-details", "no_healthy_upstream")],
        Some("outcome-unknown"),
    );
    ends(
        &[status, time, ("reprise-details", "no_healthy_upstream")],
        Some("outcome-unknown"),
    );
    ends(
        &[(":status", "504"), time, once, ("reprise-details", "response_timeout")],
        Some("outcome-unknown"),
    );
    ends(&[(":status", "201"), time], Some("outcome-unknown"));
    ends(&[(":status", "429"), ("reprise-details", "via_upstream"), once], None);
    ends(
        &[
            (":status", "500"),
            ("reprise-details", "via_upstream"),
            ("reprise-effect", "none"),
            once,
        ],
        None,
    );
}

#[test]
fn a_request_without_a_body_runs_too() {
    let mut worker = worker();
    let (mut exchange, flow) = worker.begin_with(&POST, true);
    assert_eq!(flow, Flow::Pause);
    worker.wake();
    worker.come_back(1, &UPSTREAM, "");
    assert_eq!(worker.reply().unwrap().status, 201);
    exchange.log(&worker.host, &mut worker.vm);
    assert_eq!(worker.vm.held_bytes, 0);
}

#[test]
fn a_body_that_is_too_large_runs_nothing() {
    let mut worker = Worker::start(
        &World::new(),
        &document("").replace("{\"version\"", r#"{"limits": {"hold_bytes_max": 1024}, "version""#),
    );
    let (mut exchange, _) = worker.begin(&POST);
    worker.upload(&mut exchange, &"x".repeat(1024), false);
    assert!(worker.reply().is_none());
    worker.upload(&mut exchange, "x", false);
    let reply = worker.reply().unwrap();
    assert_eq!(
        (reply.status, reply.kind(), worker.vm.held_bytes),
        (413, "body-too-large".into(), 0)
    );
    exchange.log(&worker.host, &mut worker.vm);
    let announced = [&POST[..], &[("content-length", "1025")]].concat();
    assert_eq!(worker.begin(&announced).1, Flow::Pause);
    assert_eq!(worker.reply().unwrap().status, 413, "at its head");
    assert_eq!(worker.vm.metrics.pending(Count::TooLarge), 2);
    let (_, ran) = worker.again();
    assert!(ran, "its key is free");
}

#[test]
fn what_one_worker_holds_is_bounded() {
    let limits = r#"{"limits": {"buffered_bytes_max": 65536}, "version""#;
    let mut worker = Worker::start(&World::new(), &document("").replace("{\"version\"", limits));
    let (mut first, _) = worker.begin(&POST);
    worker.upload(&mut first, &"x".repeat(60_000), false);
    let other = POST.map(|(name, value)| (name, if value == "K" { "L" } else { value }));
    let (mut second, _) = worker.begin(&other);
    worker.upload(&mut second, &"x".repeat(6_000), false);
    let reply = worker.reply().unwrap();
    assert_eq!((reply.status, reply.kind()), (503, "capacity".into()));
    second.log(&worker.host, &mut worker.vm);
    first.log(&worker.host, &mut worker.vm);
    assert_eq!(worker.vm.held_bytes, 0);
}

#[test]
fn a_request_with_trailers_and_one_of_grpc_run_inline() {
    let mut worker = worker();
    let (mut exchange, _) = worker.begin(&POST);
    worker.upload(&mut exchange, "body", false);
    assert_eq!(exchange.request_trailers(&worker.host, &mut worker.vm), Flow::Continue);
    worker.answer(&mut exchange, "201", "made");
    let (answer, ran) = worker.again();
    assert_eq!((answer.unwrap().body, ran), (b"made".to_vec(), false));
    let grpc = [
        (":method", "POST"),
        (":path", "/s/M"),
        ("idempotency-key", "G"),
        ("content-type", "application/grpc"),
    ];
    assert_eq!(worker.begin(&grpc).1, Flow::Continue);
}

#[test]
fn a_header_that_a_call_cannot_send_makes_it_run_inline() {
    let mut worker = worker();
    let mut exchange = Exchange::new(Some(worker.root.clone()), 9);
    let mut head = Vec::new();
    let pairs: [(&[u8], &[u8]); 4] = [
        (b":method", b"POST"),
        (b":path", b"/pay"),
        (b"idempotency-key", b"K"),
        (b"x-name", b"caf\xe9"),
    ];
    reprise_core::http::write_pairs(pairs.into_iter(), &mut head);
    *worker.host.request.borrow_mut() = head;
    assert_eq!(
        exchange.request_headers(&worker.host, &mut worker.vm, false),
        Flow::Continue
    );
}

#[test]
fn a_response_after_the_claim_was_lost_is_refused() {
    let mut worker = worker();
    let _exchange = worker.detach();
    worker.wake();
    let mut other = Worker::start(&worker.host.world.clone(), &document(""));
    worker.host.world.pass(2_000);
    let (told, ran) = other.again();
    assert_eq!((told.unwrap().kind(), ran), ("outcome-unknown".into(), false));
    worker.come_back(1, &UPSTREAM, "made");
    assert_eq!(worker.reply().unwrap().status, 201, "its client gets it all the same");
    worker.tick(300);
    assert_eq!(
        worker.host.world.metric("reprise_completions_outcome=.=stale;.;_total"),
        1
    );
    let (told, ran) = worker.again();
    assert_eq!((told.unwrap().kind(), ran), ("outcome-unknown".into(), false));
}

#[test]
fn calls_of_a_root_that_is_gone_are_settled() {
    let mut worker = worker();
    let _exchange = worker.detach();
    worker.wake();
    lose(&mut worker.vm, 2);
    worker.tick(50);
    assert!(worker.reply().is_none(), "another root is gone");
    lose(&mut worker.vm, 1);
    worker.tick(50);
    assert_eq!(worker.reply().unwrap().kind(), "no-response");
    let (told, ran) = worker.again();
    assert_eq!((told.unwrap().kind(), ran), ("outcome-unknown".into(), false));
}

#[test]
fn the_tick_sends_what_nobody_woke_the_root_for() {
    let mut worker = worker();
    let _exchange = worker.detach();
    worker.tick(50);
    assert_eq!(worker.host.passed_on.borrow().len(), 1);
}

#[test]
fn what_contradicts_itself_at_the_request_is_refused() {
    let world = World::new();
    let rules = r#""rules": [{"match": {"path": "/{*all}"}, "idempotency": {"detached_cluster": "d", "execution": "detached"}},
        {"match": {"path": "/pay"}, "idempotency": {"mode": "manual"}}], "idempotency""#;
    let mut worker = Worker::start(&world, &super::SMALL.replace("\"idempotency\"", rules));
    let reply = worker.post("K", "body").replied();
    assert_eq!((reply.status, reply.kind()), (503, "misconfigured".into()));
}

#[test]
fn a_detached_exchange_is_captured_although_its_client_left() {
    let document = capturing(r#""enabled": true"#).replace(
        "\"keys_max\"",
        r#""execution": "detached", "detached_cluster": "d", "keys_max""#,
    );
    let mut worker = Worker::start(&World::new(), &document);
    let property = |name: &str, value: &str| {
        worker.host.properties.borrow_mut().insert(name.into(), value.into());
    };
    property("xds.cluster_name", "upstream");
    property("source.address", "1.2.3.4:5");
    let mut exchange = worker.detach();
    worker.wake();
    exchange.log(&worker.host, &mut worker.vm);
    worker.host.properties.borrow_mut().clear();
    worker.come_back(1, &UPSTREAM, "made");
    worker.tick(3_000);
    let (_, _, captures) = worker.sent(2);
    let capture = &captures[0];
    assert_eq!(
        (capture.state(), &capture.cluster[..], &capture.client[..]),
        (State::Completed, "upstream", "1.2.3.4:5")
    );
    assert_eq!(capture.request.as_ref().unwrap().body, b"body");
    let response = capture.response.as_ref().unwrap();
    assert_eq!((&response.body[..], response.ended), (&b"made"[..], true));
    assert!(Pairs::new(&response.pairs).first(b"reprise-details").is_none());
    assert_eq!(worker.vm.captures.ledger.seen(), 1);
}

#[test]
fn a_boot_is_seen_in_a_detached_response_and_a_gate_that_it_closes_stops_what_waits() {
    let gated = document("").replace("{\"version\"", r#"{"restore": {"boot_gate": true}, "version""#);
    let mut worker = Worker::start(&World::new(), &gated);
    let cluster = ("xds.cluster_name".to_owned(), b"queue".to_vec());
    worker.host.properties.borrow_mut().extend([cluster]);
    tell(&mut worker, "b-0", false);
    let get = worker.send(&[(":method", "GET"), (":path", "/")], "");
    answer(&mut worker, get, "b-0");
    let calls = worker.host.calls.borrow().len();
    let first = worker.detach();
    worker.wake();
    worker.vm.aside.clear();
    let other = POST.map(|(name, value)| (name, if value == "K" { "L" } else { value }));
    let (mut waits, _) = worker.begin(&other);
    worker.upload(&mut waits, "body", true);
    let booted = [&UPSTREAM[..], &[("reprise-boot-id", "b-1")]].concat();
    let token = u32::try_from(calls + 1).unwrap();
    worker.come_back(token, &booted, "made");
    let reply = worker.reply().unwrap();
    assert_eq!((reply.status, reply.kind()), (503, "restoring".into()));
    assert_eq!(worker.host.calls.borrow().len(), calls + 1, "the second was not sent");
    drop(first);
}

#[test]
fn a_waiter_that_runs_in_the_place_of_the_first_runs_detached_too() {
    let mut worker = Worker::start(&World::new(), &document(r#""in_flight": "wait", "#));
    let _first = worker.detach();
    worker.wake();
    let mut waiter = worker.detach();
    let no_effect = [(":status", "500"), ("reprise-effect", "none"), UPSTREAM[3], UPSTREAM[4]];
    worker.come_back(1, &no_effect, "failed");
    assert_eq!(worker.reply().unwrap().status, 500);
    worker.wake();
    assert!(
        worker.host.resumed.borrow().is_empty(),
        "its request is not sent on by the proxy"
    );
    assert_eq!(worker.host.calls.borrow()[1].1, b"body");
    waiter.log(&worker.host, &mut worker.vm);
    worker.come_back(2, &UPSTREAM, "made");
    let (answer, ran) = worker.again();
    assert_eq!((answer.unwrap().body, ran), (b"made".to_vec(), false));
    assert_eq!(worker.vm.held_bytes, 0);
}

#[test]
fn a_step_of_a_restore_goes_through_a_closed_gate_without_its_signature() {
    let world = World::new();
    let gated = document("").replace("{\"version\"", r#"{"restore": {"boot_gate": true}, "version""#);
    let mut worker = Worker::start(&world, &gated);
    let cluster = ("xds.cluster_name".to_owned(), b"queue".to_vec());
    worker.host.properties.borrow_mut().extend([cluster]);
    tell_keys(&mut worker, "b-0", false, vec![vec![9; 32]]);
    for boot_id in ["b-0", "b-1"] {
        let get = worker.send(&[(":method", "GET"), (":path", "/")], "");
        answer(&mut worker, get, boot_id);
    }
    assert_eq!(worker.post("client", "x").replied().kind(), "restoring");
    let signed = Signed {
        kind: Kind::Replay,
        id: "1/1".into(),
        attempt: 1,
        scope: "r1".into(),
        boot: "b-1".into(),
        body: None,
        expires_unix_ms: worker.host.wall_millis() + 10_000,
    };
    let line = Line {
        method: b"POST",
        authority: b"api.test",
        target: b"/pay",
    };
    let signature = sign(&[9; 32], &signed, &line);
    let head = [&POST[..3], &[("replayd-signature", &signature)]].concat();
    let (mut step, _) = worker.begin(&head);
    worker.upload(&mut step, "body", true);
    worker.wake();
    assert!(worker.reply().is_none());
    assert_eq!(worker.names(), ":method :path idempotency-key :authority");
}
