//! The Envoy that the history check runs against.

use super::plan::{HURRIED, REFUSED};
use crate::harness::{Settings, Stack, Wasm, free_port};
use serde_json::{Value, json};
use std::time::Duration;

/// The areas of the paths, one for each way in which duplicates are treated.
pub(super) const AREAS: [&str; 3] = ["now", WAIT, DETACHED];
/// The area where duplicates wait for a first request that its client can abort.
const WAIT: &str = "wait";
/// The area where first requests run detached, and duplicates wait as well.
const DETACHED: &str = "detached";
/// How long a worker's claims live without it; keys of a dead VM have an end after four thirds of it.
const LEASE_MS: u64 = 2000;

/// How long a duplicate waits where it may.
const MAX_WAIT_MS: u64 = 2000;
/// How long a stream may idle: whoever waits in a VM that dies is let go by Envoy alone.
const STREAM_IDLE: &str = "3s";

/// Envoy's count of VMs that came back after one had died.
pub const VM_RELOADS: &str = "wasm.reprise.vm_reload_success";

/// Tells whether duplicates wait in an area.
pub(super) fn waits(area: &str) -> bool {
    [WAIT, DETACHED].contains(&area)
}

/// Tells whether first requests run detached in an area: no client that hangs up aborts them.
pub(super) fn is_detached(area: &str) -> bool {
    area == DETACHED
}

/// Gives the settings: records live for `retain`, VMs trap on command, and come back at once.
#[must_use]
pub fn settings(retain: Duration) -> Settings {
    Stack::builder()
        .wasm(Wasm::Trap)
        .reloads_at_once()
        .lease_ms(LEASE_MS)
        .document(json!({"idempotency": {"retain_s": retain.as_secs(), "keys_max": 131_072}}))
        .area(WAIT, &json!({"in_flight": "wait", "max_wait_ms": MAX_WAIT_MS}))
        .area(DETACHED, &json!({
            "in_flight": "wait", "max_wait_ms": MAX_WAIT_MS, "execution": "detached", "detached_cluster": "detached"
        }))
        .cluster_at("refused", free_port())
        .route(when(REFUSED, &json!({"cluster": "refused"})))
        .route(when(HURRIED, &json!({"cluster": "upstream", "timeout": "0.1s"})))
        .patch(|bootstrap| {
            let filters = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"];
            filters[0]["typed_config"]["stream_idle_timeout"] = STREAM_IDLE.into();
        })
        // It complains of every VM that is killed.
        .allow_log("")
}

fn when(header: &str, route: &Value) -> Value {
    json!({"match": {"prefix": "/", "headers": [{"name": header, "present_match": true}]}, "route": route})
}
