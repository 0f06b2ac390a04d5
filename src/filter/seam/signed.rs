//! Requests that replayd signed.

use super::capturing;
use crate::fake::{Worker, World};
use crate::http::Flow;
use prost::Message as _;
use reprise_core::signature::{Kind, Line, Signed, sign};
use reprise_core::wire::Policy;
use std::rc::Rc;

const KEY: [u8; 32] = [9; 32];

fn worker(world: &Rc<World>) -> Worker {
    let mut worker = Worker::start(world, &capturing(r#""enabled": true"#));
    share_policy(world);
    worker.tick(200);
    worker
}

/// Does what the VM does that fetched the policy.
fn share_policy(world: &World) {
    let policy = Policy {
        redaction_key: vec![7; 32],
        signature_keys: vec![KEY.to_vec()],
        gates: vec![],
    };
    let shared = [&1_u16.to_le_bytes()[..], b"t", &policy.encode_to_vec()].concat();
    world.data.borrow_mut().insert("policy".into(), (shared, 1_000_000));
}

fn signature(world: &World, body: Option<&str>) -> String {
    let signed = Signed {
        kind: Kind::Replay,
        id: "1/1".into(),
        attempt: 1,
        scope: "r1".into(),
        boot: "b-1".into(),
        body: body.map(|body| *blake3::hash(body.as_bytes()).as_bytes()),
        expires_unix_ms: 1_700_000_000_000 + world.now.get() + 10_000,
    };
    let line = Line {
        method: b"POST",
        authority: b"api.test",
        target: b"/pay",
    };
    sign(&KEY, &signed, &line)
}

fn post(signature: &str) -> [(&str, &str); 4] {
    [
        (":method", "POST"),
        (":path", "/pay"),
        ("idempotency-key", "k"),
        ("replayd-signature", signature),
    ]
}

#[test]
fn a_signed_step_goes_through_once_is_not_captured_and_meets_no_stored_answer() {
    let world = World::new();
    let mut one = worker(&world);
    let mut client = one.post("k", "body").forwarded();
    one.answer(&mut client, "200", "");
    let seen = one.vm.captures.ledger.seen();
    let signature = signature(&world, Some("body"));
    let (mut step, flow) = one.begin(&post(&signature));
    assert_eq!(flow, Flow::Pause);
    one.upload(&mut step, "bo", false);
    assert!(!one.host.buffer.borrow().is_empty(), "held to its end");
    one.upload(&mut step, "dy", true);
    assert!(
        one.host.buffer.borrow().is_empty() && one.host.replies.borrow().is_empty(),
        "it goes on"
    );
    assert!(one.host.removed.borrow().contains(&"replayd-signature".to_owned()));
    assert_eq!(one.vm.captures.ledger.seen(), seen);
    one.answer(&mut step, "200", "");
    assert_eq!(one.send(&post(&signature), "body").replied().kind(), "signature-used");
}

#[test]
fn a_policy_that_another_worker_just_fetched_counts_at_once() {
    let world = World::new();
    let mut one = Worker::start(&world, &capturing(r#""enabled": true"#));
    one.tick(200);
    share_policy(&world);
    one.send(&post(&signature(&world, Some("body"))), "body").forwarded();
    assert_eq!(one.vm.captures.ledger.seen(), 0, "it is replayd's");
}

/// Case R37.
#[test]
fn a_forged_or_late_signature_is_taken_off_and_the_request_is_a_clients() {
    let world = World::new();
    let mut one = worker(&world);
    let signature = signature(&world, Some("body"));
    one.send(&post(&signature), "other").forwarded();
    let mut forged = signature.clone();
    forged.replace_range(forged.len() - 4.., "0000");
    assert_eq!(one.send(&post(&forged), "other").replied().kind(), "in-flight");
    assert_eq!(
        (one.vm.captures.ledger.pending(), one.vm.captures.ledger.filtered()),
        (1, 1)
    );
    world.pass(10_000);
    one.send(
        &[
            (":method", "POST"),
            (":path", "/pay"),
            ("replayd-signature", &signature),
        ],
        "body",
    )
    .forwarded();
    assert_eq!(one.vm.captures.ledger.pending(), 2);
    assert_eq!(one.host.removed.borrow().len(), 3);
}

#[test]
fn a_step_that_is_signed_without_its_body_is_not_held() {
    let world = World::new();
    let mut one = worker(&world);
    let signature = signature(&world, None);
    let (_, flow) = one.begin(&post(&signature));
    assert_eq!(flow, Flow::Continue);
    let again = [
        (":method", "POST"),
        (":path", "/pay"),
        ("replayd-signature", &signature),
    ];
    assert_eq!(one.send(&again, "").replied().kind(), "signature-used");
}
