//! Boots of upstreams: seen in their responses, kept in shared data, so that a gate closes for all workers at once.

use crate::host::{Host, Level, SharedData};
use crate::slots::TRIES_MAX;
use crate::store::BOOT;
use crate::tape::text;
use crate::vm::Vm;
use reprise_core::boot::{Boots, Gated};

/// The header in which an upstream shows its boot id, in lower case.
pub const HEADER: &str = "reprise-boot-id";

/// What a VM knows of boots.
#[derive(Debug, Default)]
pub struct KnownBoots {
    number: Option<u32>,
    /// What shared data said last.
    pub known: Boots,
}

/// Names the cluster of the exchange whose callback runs; empty if there is none.
pub fn cluster(host: &impl Host) -> String {
    text(
        &host
            .property(&["xds", "cluster_name"])
            .ok()
            .flatten()
            .unwrap_or_default(),
    )
}

/// Takes note of the boot id in a response; `gated` = another one closes the gate of its cluster.
pub fn see(host: &impl Host, vm: &mut Vm, boot_id: &[u8], gated: bool) {
    see_at(host, vm, (&cluster(host), boot_id), gated);
}

/// Takes note of the boot id in a response from `cluster`, whatever runs.
pub fn see_at(host: &impl Host, vm: &mut Vm, (cluster, boot_id): (&str, &[u8]), gated: bool) {
    let boot_id = text(boot_id);
    let has = |vm: &Vm, gated| vm.boots.known.has(cluster, &boot_id, gated);
    if has(vm, if gated { Gated::Open } else { Gated::No }) {
        return;
    }
    if gated && !vm.policies.is_known() {
        // Another worker may have put it there since the last tick.
        let _not_there = crate::policy::refresh(host, vm);
    }
    // What replayd opened already it does not tell again: nothing would open it.
    let closes = vm.policies.is_known() && !vm.policies.opens(cluster, &boot_id);
    let gated = match (gated, closes) {
        (false, _) => Gated::No,
        (true, false) => Gated::Open,
        (true, true) => Gated::Closed,
    };
    if !cluster.is_empty() && change(host, vm, |boots| boots.see(cluster, &boot_id, gated)) {
        let gate = if vm.boots.known.is_closed(cluster) {
            ", and its gate is closed"
        } else {
            ""
        };
        host.log(
            Level::Info,
            &format!("reprise: cluster {cluster} shows the boot id {boot_id}{gate}"),
        );
    }
}

/// Does what the policy says of the gates.
pub fn rule(host: &impl Host, vm: &mut Vm) {
    let gates = vm.policies.gates().to_vec();
    if vm.is_gated && !gates.is_empty() {
        let _same = change(host, vm, |boots| boots.rule(&gates));
    }
}

/// Tells whether the gate of the exchange's cluster is closed.
pub fn is_closed(host: &impl Host, vm: &mut Vm) -> bool {
    refresh(host, vm);
    vm.boots.known.has_closed() && vm.boots.known.is_closed(&cluster(host))
}

/// Tells whether the gate of a cluster is closed, whatever runs.
pub fn has_closed(host: &impl SharedData, vm: &mut Vm, cluster: &str) -> bool {
    refresh(host, vm);
    vm.boots.known.is_closed(cluster)
}

/// Reads shared data, if they changed; where they cannot be read, what was known last counts.
pub fn refresh(host: &impl SharedData, vm: &mut Vm) {
    if let Ok(shared) = host.shared(BOOT)
        && shared.number != vm.boots.number
    {
        vm.boots.number = shared.number;
        vm.boots.known = Boots::read(&shared.value);
    }
}

/// Changes what all workers know; tells whether anything changed.
fn change(host: &impl SharedData, vm: &mut Vm, change: impl Fn(&mut Boots) -> bool) -> bool {
    for _ in 0..TRIES_MAX {
        let Ok(shared) = host.shared(BOOT) else { break };
        let Some(number) = shared.number else { break };
        let mut boots = Boots::read(&shared.value);
        let changed = change(&mut boots);
        let is_kept = !changed || matches!(host.replace_shared(BOOT, &boots.write(), number), Ok(true));
        if is_kept {
            vm.boots.known = boots;
            return changed;
        }
    }
    false
}
