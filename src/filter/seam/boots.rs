//! The gate of a cluster: closed by another boot id, opened by replayd.

use crate::fake::{Sent, Worker, World};
use crate::host::SharedData as _;
use crate::root;
use prost::Message as _;
use reprise_core::wire::{Gate, Policy};
use std::rc::Rc;

const DOCUMENT: &str = r#"{"version": 1, "idempotency": {"keys_max": 64}, "restore": {"boot_gate": true}}"#;
const POST: [(&str, &str); 2] = [(":method", "POST"), (":path", "/pay")];

/// Has the worker fetch this policy.
pub(super) fn tell(worker: &mut Worker, boot_id: &str, closed: bool) {
    tell_keys(worker, boot_id, closed, Vec::new());
}

/// As [`tell`], with keys of signatures.
pub(super) fn tell_keys(worker: &mut Worker, boot_id: &str, closed: bool, signature_keys: Vec<Vec<u8>>) {
    let policy = Policy {
        redaction_key: vec![7; 32],
        signature_keys,
        gates: vec![Gate {
            cluster: "queue".into(),
            boot_id: boot_id.into(),
            closed,
        }],
    };
    let shared = [&3_u16.to_le_bytes()[..], boot_id.as_bytes(), &policy.encode_to_vec()].concat();
    worker.host.set_shared("policy", &shared).unwrap();
    worker.tick(200);
}

fn worker(world: &Rc<World>) -> Worker {
    let worker = Worker::start(world, DOCUMENT);
    worker
        .host
        .properties
        .borrow_mut()
        .insert("xds.cluster_name".into(), b"queue".to_vec());
    worker
}

pub(super) fn answer(worker: &mut Worker, sent: Sent, boot_id: &str) {
    let headers = [
        (":status", "200"),
        ("x-envoy-upstream-service-time", "1"),
        ("reprise-boot-id", boot_id),
    ];
    worker.answer_with(&mut sent.forwarded(), &headers, "");
}

#[test]
fn another_boot_closes_the_gate_for_all_workers_until_replayd_opens_it() {
    let world = World::new();
    let (mut one, mut two) = (worker(&world), worker(&world));
    tell(&mut one, "b-0", false);
    let sent = one.send(&POST, "");
    answer(&mut one, sent, "b-1");
    let get = two.send(&[(":method", "GET"), (":path", "/")], "");
    answer(&mut two, get, "b-1");
    let last = one.send(&POST, "");
    let get = one.send(&[(":method", "GET"), (":path", "/")], "");
    answer(&mut one, get, "b-2");
    let reply = two.send(&POST, "").replied();
    assert_eq!((reply.status, reply.kind()), (503, "restoring".into()));
    assert!(reply.header("retry-after").is_some());
    two.send(&[(":method", "GET"), (":path", "/")], "").forwarded();
    // What was under way when the upstream ended does not open it.
    answer(&mut one, last, "b-1");
    two.send(&POST, "").replied();
    tell(&mut one, "b-2", false);
    two.send(&POST, "").forwarded();
}

#[test]
fn without_a_policy_nothing_could_open_it_so_it_does_not_close() {
    let world = World::new();
    let mut one = worker(&world);
    for boot_id in ["b-1", "b-2"] {
        let sent = one.send(&POST, "");
        answer(&mut one, sent, boot_id);
    }
    one.send(&POST, "").forwarded();
}

#[test]
fn replayd_closes_a_gate_that_this_proxy_knows_nothing_of() {
    let world = World::new();
    let mut one = worker(&world);
    tell(&mut one, "b-9", true);
    assert_eq!(one.send(&POST, "").replied().kind(), "restoring");
}

#[test]
fn a_boot_that_replayd_opened_before_this_proxy_saw_it_stays_open() {
    let mut one = worker(&World::new());
    let sent = one.send(&POST, "");
    answer(&mut one, sent, "b-0");
    tell(&mut one, "b-1", false);
    let sent = one.send(&POST, "");
    answer(&mut one, sent, "b-1");
    one.send(&POST, "").forwarded();
}

#[test]
fn a_boot_id_that_another_cluster_shows_closes_all_the_same() {
    let mut one = worker(&World::new());
    tell(&mut one, "b-0", false);
    for (cluster, boot_id) in [("queue", "b-0"), ("other", "b-1"), ("queue", "b-1")] {
        one.send(&POST, "").forwarded();
        one.host
            .properties
            .borrow_mut()
            .insert("xds.cluster_name".into(), cluster.into());
        let sent = one.send(&[(":method", "GET"), (":path", "/")], "");
        answer(&mut one, sent, boot_id);
    }
    assert_eq!(one.send(&POST, "").replied().kind(), "restoring");
}

#[test]
fn a_reload_keeps_the_key_that_replayd_told() {
    let mut one = worker(&World::new());
    tell(&mut one, "b-0", false);
    root::configure(&one.host, &mut one.vm, DOCUMENT.as_bytes()).unwrap();
    assert_eq!(one.vm.captures.redaction_key, [7; 32]);
}

#[test]
fn instances_without_a_gate_are_told_once_each() {
    let world = World::new();
    let mut one = Worker::start(&world, super::SMALL);
    let cluster = ("xds.cluster_name".into(), b"queue".to_vec());
    one.host.properties.borrow_mut().extend([cluster]);
    for boot_id in ["a", "b", "c"].into_iter().cycle().take(9) {
        let sent = one.send(&POST, "");
        answer(&mut one, sent, boot_id);
    }
    let lines = world.lines.borrow();
    assert_eq!(lines.iter().filter(|line| line.contains("boot id")).count(), 3);
}
