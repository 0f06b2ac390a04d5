//! What of an exchange reaches replayd, and how it is counted.

use super::capturing;
use crate::fake::{Worker, World};
use crate::host::{Host as _, Meter as _, MetricKind};
use reprise_core::capture::ledger::Reason;
use reprise_core::http::Pairs;
use reprise_core::wire::{BATCH_PATH, Capture, State};

const ALL: &str = r#""enabled": true"#;

fn one(capture: &str) -> Worker {
    Worker::start(&World::new(), &capturing(capture))
}

fn value(pairs: &[u8], name: &str) -> String {
    let value = Pairs::new(pairs).first(name.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// Sends a POST with `body` to `path`, and has it answered.
fn exchange(worker: &mut Worker, headers: &[(&str, &str)], body: &str) {
    let post = [(":method", "POST"), (":path", "/pay?x=1")];
    let mut exchange = worker.send(&[&post, headers].concat(), body).forwarded();
    worker.answer(&mut exchange, "201", "done");
}

#[test]
fn an_exchange_is_told_whole_once_it_has_ended() {
    let mut one = one(ALL);
    exchange(&mut one, &[("x", "y"), ("x", "")], "body");
    assert!(one.host.calls.borrow().is_empty());
    one.tick(20);
    let (path, head, captures) = one.sent(1);
    let ledger = head.ledger.unwrap();
    assert_eq!((path.as_str(), ledger.seen, ledger.pending), (BATCH_PATH, 1, 1));
    let Capture {
        seq,
        state,
        request,
        response,
        ..
    } = captures[0].clone();
    let (request, response) = (request.unwrap(), response.unwrap());
    assert_eq!((seq, state), (1, i32::from(State::Completed)));
    assert_eq!(
        (value(&request.pairs, ":path"), &request.body[..]),
        ("/pay?x=1".into(), &b"body"[..])
    );
    assert_eq!(Pairs::new(&request.pairs).filter(|(name, _)| *name == b"x").count(), 2);
    assert_eq!(
        (value(&response.pairs, ":status"), &response.body[..]),
        ("201".into(), &b"done"[..])
    );
    one.acknowledge(1);
    let ledger = one.vm.captures.ledger;
    assert_eq!((ledger.stored(), ledger.pending(), one.vm.held_bytes), (1, 0, 0));
}

#[test]
fn secrets_do_not_leave_and_equal_ones_stay_equal() {
    let mut one = one(r#""enabled": true, "redact": {"json": ["/pin"]}"#);
    for _ in 0..2 {
        let json = ("content-type", "application/json");
        exchange(
            &mut one,
            &[("authorization", "Bearer hunter2"), json],
            r#"{"pin": "hunter2"}"#,
        );
    }
    one.tick(20);
    let calls = one.host.calls.borrow()[0].1.clone();
    assert!(!calls.windows(7).any(|part| part == b"hunter2"));
    let captures = one.sent(1).2;
    assert!(captures[0].principal.starts_with("authorization:rdt_"));
    assert_eq!(
        captures[0].request.as_ref().unwrap().body,
        captures[1].request.as_ref().unwrap().body
    );
}

#[test]
fn a_body_above_the_bound_leaves_its_front_its_length_and_its_hash() {
    let mut one = one(r#""enabled": true, "body_bytes_max": 1024"#);
    let body = "0123456789".repeat(200);
    let (mut exchange, _) = one.begin(&[(":method", "POST"), (":path", "/pay")]);
    for piece in [&body[..1000], &body[1000..1030], &body[1030..]] {
        one.upload(&mut exchange, piece, false);
    }
    one.upload(&mut exchange, "", true);
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    let half = one.sent(1).2[0].request.clone().unwrap();
    assert_eq!(
        (half.body, half.body_len, half.truncated),
        (body.as_bytes()[..1024].to_vec(), 2000, true)
    );
    assert_eq!(half.body_hash, blake3::hash(body.as_bytes()).as_bytes());
}

#[test]
fn what_reprise_says_itself_is_filtered_and_what_breaks_off_has_a_reason() {
    let mut one = one(ALL);
    exchange(&mut one, &[("idempotency-key", "k")], "body");
    let again = [(":method", "POST"), (":path", "/pay?x=1"), ("idempotency-key", "k")];
    one.send(&again, "body").replied();
    let details = b"downstream_remote_disconnect".to_vec();
    one.host
        .properties
        .borrow_mut()
        .insert("response.code_details".into(), details);
    let (mut gone, _) = one.begin(&[(":method", "POST"), (":path", "/pay")]);
    one.upload(&mut gone, "bo", false);
    gone.log(&one.host, &mut one.vm);
    one.tick(20);
    let captures = one.sent(1).2;
    assert_eq!((captures.len(), captures[1].reason.as_str()), (2, "client_gone"));
    assert!(!captures[1].request.as_ref().unwrap().ended && captures[1].response.is_none());
    assert_eq!(
        (one.vm.captures.ledger.seen(), one.vm.captures.ledger.filtered()),
        (3, 1)
    );
}

#[test]
fn statuses_and_samples_leave_out_and_are_counted() {
    let mut one =
        one(r#""enabled": true, "statuses": ["5xx"], "sample": {"rate": 0.5, "by": {"header": "x-session"}}"#);
    for n in 0..100 {
        exchange(&mut one, &[("x-session", &format!("s{}", n % 50))], "");
    }
    let ledger = one.vm.captures.ledger;
    assert_eq!(ledger.seen(), 100);
    assert_eq!(ledger.filtered() + ledger.sampled_out(), 100);
    assert!((20..80).contains(&ledger.sampled_out()) && ledger.sampled_out().is_multiple_of(2));
}

/// Case R09.
#[test]
fn a_client_cannot_turn_its_capture_off() {
    let mut one = one(ALL);
    let post = [
        (":method", "POST"),
        (":path", "/pay?save=0"),
        ("reprise-capture", "off"),
    ];
    let mut exchange = one.send(&post, "").forwarded();
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    let pairs = one.sent(1).2[0].request.clone().unwrap().pairs;
    assert_eq!(value(&pairs, ":path"), "/pay?save=0");
    assert_eq!(value(&pairs, "reprise-capture"), "");
}

#[test]
fn a_safe_method_is_captured_only_where_it_is_named() {
    let get = [(":method", "GET"), (":path", "/pay")];
    let mut no = one(ALL);
    let mut exchange = no.send(&get, "").forwarded();
    no.answer(&mut exchange, "200", "");
    assert_eq!(no.vm.captures.ledger.seen(), 0);
    let mut yes = one(r#""enabled": true, "methods": ["GET"]"#);
    let mut exchange = yes.send(&get, "").forwarded();
    yes.answer(&mut exchange, "200", "");
    assert_eq!(yes.vm.captures.ledger.pending(), 1);
}

#[test]
fn an_upgrade_is_told_as_one_that_cannot_be_sent_again() {
    let mut one = one(r#""enabled": true, "methods": ["GET"]"#);
    let upgrade = [(":method", "GET"), (":path", "/ws"), ("upgrade", "websocket")];
    let (mut exchange, _) = one.begin(&upgrade);
    one.answer(&mut exchange, "101", "frames");
    one.tick(20);
    let capture = one.sent(1).2[0].clone();
    assert_eq!(
        (capture.not_replayable.as_str(), capture.state),
        ("upgrade", i32::from(State::Completed))
    );
    assert!(capture.response.unwrap().body.is_empty());
}

/// Case R15.
#[test]
fn without_replayd_clients_are_served_and_every_loss_has_a_name() {
    let mut one = one(ALL);
    one.vm.captures.bytes_max = 20_000;
    for n in 0..200 {
        exchange(&mut one, &[], &"x".repeat(500));
        if n % 10 == 0 {
            one.tick(20);
            let made = u32::try_from(one.host.calls.borrow().len()).unwrap();
            one.hear(made, 503, b"");
        }
    }
    let ledger = one.vm.captures.ledger;
    let lost = ledger.dropped(Reason::QueueFull) + ledger.dropped(Reason::ReplaydDown);
    assert!(lost > 0 && one.vm.captures.bytes() <= 20_000);
    assert_eq!((ledger.seen(), ledger.pending() + lost), (200, 200));
    assert!(ledger.dropped(Reason::ReplaydDown) > 0);
}

#[test]
fn bodies_go_before_captures_do() {
    let mut one = one(ALL);
    one.vm.captures.bytes_max = 4_000;
    for _ in 0..4 {
        exchange(&mut one, &[], &"x".repeat(1000));
    }
    one.tick(20);
    let captures = one.sent(1).2;
    let last = captures.last().unwrap().request.clone().unwrap();
    assert_eq!((last.body.len(), last.body_len, last.truncated), (0, 1000, true));
    assert_eq!(last.body_hash, blake3::hash("x".repeat(1000).as_bytes()).as_bytes());
}

#[test]
fn a_scrape_shows_the_sum_of_all_workers_and_what_a_dead_one_lost() {
    let world = World::new();
    let document = capturing(ALL);
    let mut main = Worker::start(&world, &document);
    main.vm.is_pinned = true;
    let (mut one, mut two) = (Worker::start(&world, &document), Worker::start(&world, &document));
    for worker in [&mut one, &mut two] {
        exchange(worker, &[], "");
        exchange(worker, &[], "");
        worker.tick(200);
    }
    one.acknowledge(1);
    one.tick(200);
    main.tick(200);
    check(&world, 4, 2);
    assert_eq!(world.metric("reprise_capture_pending"), 2);
    // Worker two is never heard of again.
    drop(two);
    for _ in 0..20 {
        one.tick(100);
        main.tick(100);
        check(&world, 4, 2);
    }
    let lost = world.metric("reprise_capture_outcome=.=dropped_vm_restart;.;_total");
    assert_eq!((lost, world.metric("reprise_capture_pending")), (2, 0));
    assert!(main.host.metric(MetricKind::Gauge, "reprise_capture_pending").is_ok());
}

/// Checks the equation of a scrape.
#[track_caller]
fn check(world: &World, seen: u64, stored: u64) {
    let outcomes = ["stored", "filtered", "sampled_out"].map(String::from);
    let lost = Reason::ALL.map(|reason| format!("dropped_{}", reason.name()));
    let all = outcomes.iter().chain(&lost);
    let sum: u64 = all
        .map(|outcome| world.metric(&format!("reprise_capture_outcome=.={outcome};.;_total")))
        .sum();
    assert_eq!(world.metric("reprise_capture_seen_total"), seen);
    assert_eq!(sum + world.metric("reprise_capture_pending"), seen);
    assert_eq!(world.metric("reprise_capture_outcome=.=stored;.;_total"), stored);
}

#[test]
fn a_capture_before_the_first_tick_has_its_date() {
    let mut one = one(ALL);
    exchange(&mut one, &[], "");
    let began = one.host.wall_millis();
    one.tick(20);
    assert_eq!(one.sent(1).2[0].began_unix_ms, began);
}

#[test]
fn what_is_in_a_sample_goes_by_a_key_that_all_proxies_of_one_replayd_share() {
    let sessions = |key: u8| {
        let mut one = one(r#""enabled": true, "sample": {"rate": 0.5, "by": {"header": "x-session"}}"#);
        one.vm.captures.redaction_key = [key; 32];
        let mut kept = Vec::new();
        for n in 0..64 {
            let before = one.vm.captures.ledger.pending();
            exchange(&mut one, &[("x-session", &format!("s{n}"))], "");
            kept.push(one.vm.captures.ledger.pending() > before);
        }
        kept
    };
    assert_eq!(sessions(1), sessions(1));
    assert_ne!(
        sessions(1),
        sessions(2),
        "a client that knows the code knows nothing of it"
    );
}

#[test]
fn a_batch_that_replayd_refuses_is_lost_for_the_reason_that_it_gives() {
    let mut one = one(ALL);
    for status in [400, 413] {
        exchange(&mut one, &[], "");
        let made = u32::try_from(one.host.calls.borrow().len()).unwrap();
        one.tick(200);
        one.hear(made + 1, status, b"");
    }
    let ledger = one.vm.captures.ledger;
    assert_eq!(
        (ledger.dropped(Reason::ReplaydDown), ledger.dropped(Reason::TooLarge)),
        (1, 1)
    );
}
