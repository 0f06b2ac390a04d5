//! How the policy comes to the workers.

use super::{SMALL, capturing};
use crate::fake::{Worker, World};
use prost::Message as _;
use reprise_core::wire::{Ack, POLICY_PATH, Policy};

/// Counts how often the policy was asked for.
fn asked(worker: &Worker) -> usize {
    let calls = worker.host.calls.borrow();
    calls.iter().filter(|(path, _)| path == POLICY_PATH).count()
}

fn last_call(worker: &Worker) -> u32 {
    u32::try_from(worker.host.calls.borrow().len()).unwrap()
}

#[test]
fn a_document_without_capture_asks_for_the_policy_seldom_until_it_has_it() {
    let mut one = Worker::start(&World::new(), SMALL);
    for expected in 1..=3 {
        one.tick(200);
        assert_eq!(asked(&one), expected);
        let token = last_call(&one);
        one.hear(token, 503, b"");
        for _ in 0..24 {
            one.tick(200);
        }
        assert_eq!(asked(&one), expected, "not before five seconds");
    }
    one.tick(200);
    let policy = Policy {
        signature_keys: vec![vec![9; 32]],
        ..Policy::default()
    };
    let token = last_call(&one);
    one.hear(token, 200, &policy.encode_to_vec());
    assert_eq!(one.vm.policies.signature_keys(), [vec![9; 32]]);
}

#[test]
fn without_a_replayd_nothing_is_said_about_its_policy() {
    let mut one = Worker::start(&World::new(), SMALL);
    one.tick(200);
    one.host.refuses_calls.set(true);
    for _ in 0..60 {
        one.tick(200);
    }
    assert_eq!(one.host.world.lines.borrow().len(), 0);
}

#[test]
fn a_policy_that_was_heard_of_and_did_not_come_is_asked_for_again() {
    let world = World::new();
    let document = capturing(r#""enabled": true"#);
    let mut main = Worker::start(&world, &document);
    main.vm.is_pinned = true;
    main.tick(200);
    let mut one = Worker::start(&world, &document);
    let ack = Ack {
        policy_tag: "tag".into(),
        ..Ack::default()
    };
    let mut exchange = one.send(&[(":method", "POST"), (":path", "/pay")], "").forwarded();
    one.answer(&mut exchange, "200", "");
    one.tick(20);
    one.hear(1, 200, &ack.encode_to_vec());
    main.tick(200);
    one.tick(200);
    assert_eq!(asked(&one), 1, "at once");
    let token = last_call(&one);
    one.hear(token, 0, b"");
    main.tick(200);
    one.tick(200);
    assert_eq!(asked(&one), 1);
    main.tick(400);
    one.tick(400);
    assert_eq!(asked(&one), 2);
}
