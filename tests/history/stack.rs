//! The Envoy that the history check runs against.

use super::plan::{HURRIED, REFUSED};
use crate::harness::{Settings, Stack, Wasm, free_port};
use serde_json::{Value, json};
use std::time::Duration;

/// The areas of the paths, one for each way in which duplicates are treated.
pub(super) const AREAS: [&str; 1] = ["now"];
/// How long a worker's claims live without it; keys of a dead VM have an end after four thirds of it.
const LEASE_MS: u64 = 2000;

/// Envoy's count of VMs that came back after one had died.
pub const VM_RELOADS: &str = "wasm.reprise.vm_reload_success";

/// Gives the settings: records live for `retain`, VMs trap on command, and come back at once.
#[must_use]
pub fn settings(retain: Duration) -> Settings {
    Stack::builder()
        .wasm(Wasm::Trap)
        .reloads_at_once()
        .lease_ms(LEASE_MS)
        .document(json!({"idempotency": {"retain_s": retain.as_secs(), "keys_max": 131_072}}))
        .cluster_at("refused", free_port())
        .route(when(REFUSED, &json!({"cluster": "refused"})))
        .route(when(HURRIED, &json!({"cluster": "upstream", "timeout": "0.1s"})))
        // It complains of every VM that is killed.
        .allow_log("")
}

fn when(header: &str, route: &Value) -> Value {
    json!({"match": {"prefix": "/", "headers": [{"name": header, "present_match": true}]}, "route": route})
}
