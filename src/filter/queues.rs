//! Queues: how a worker wakes another, or itself once its callback is over. Each worker has one, named after its slot.

use crate::host::{Calls, Host};
use crate::publisher;
use crate::vm::Vm;
use crate::waiters;
use hashbrown::HashMap;
use reprise_core::time::Millis;

/// Wakes a worker for what it left to itself.
const OWN: &[u8] = b"!";
/// Messages that are taken off a queue at once; those behind them have a callback of their own to come.
const MESSAGES_MAX: usize = 4096;

/// A way: its bucket, and its place there.
pub type Way = (u32, u8);

/// What a VM knows of queues.
#[derive(Debug, Default)]
pub struct Queues {
    /// The worker's own: its slot, and the queue.
    own: Option<(u8, u32)>,
    /// Those of other slots; a queue stays its slot's for the life of the process.
    others: HashMap<u8, u32>,
}

/// Wakes this worker's root as soon as the callback that runs is over; without a slot the tick comes.
pub fn wake_self(host: &impl Host, vm: &mut Vm, lease: Millis) {
    if let Some((_, queue)) = open(host, vm, lease) {
        let _tick_comes = host.wake(queue, OWN);
    }
}

/// Makes the worker's own queue, if it is not there; tells its slot and the queue.
pub fn open(host: &impl Host, vm: &mut Vm, lease: Millis) -> Option<(u8, u32)> {
    let slot = vm.lease.hold(host, host.now(), lease).ok().flatten()?.at;
    if vm.queues.own.is_none_or(|(of, _)| of != slot) {
        vm.queues.own = host.queue(&name(slot)).ok().map(|queue| (slot, queue));
    }
    vm.queues.own
}

/// Has the root that was configured last called from now on: the one before it goes with its last exchange.
pub fn hand_over(host: &impl Calls, vm: &mut Vm) {
    if let Some((slot, _)) = vm.queues.own {
        vm.queues.own = host.queue(&name(slot)).ok().map(|queue| (slot, queue));
    }
}

/// Has the worker of a slot look at those who wait for the claim of a way; tells whether it was woken.
pub fn wake(host: &impl Host, vm: &mut Vm, slot: u8, way: Way) -> bool {
    let queue = match vm.queues.others.get(&slot) {
        Some(queue) => Some(*queue),
        None => host.find_queue(&name(slot)).ok().flatten(),
    };
    let Some(queue) = queue else { return false };
    vm.queues.others.insert(slot, queue);
    let (bucket, at) = way;
    let [b0, b1, b2, b3] = bucket.to_le_bytes();
    host.wake(queue, &[b0, b1, b2, b3, at]).is_ok()
}

/// Reads what a message is about; none if it is the worker's own.
const fn way(message: &[u8]) -> Option<Way> {
    match message {
        [b0, b1, b2, b3, at] => Some((u32::from_le_bytes([*b0, *b1, *b2, *b3]), *at)),
        _ => None,
    }
}

fn name(slot: u8) -> String {
    format!("w/{slot}")
}

/// Does what this worker was woken for; the root's callback of its queue.
pub fn woken(host: &impl Host, vm: &mut Vm, queue: u32, root_context: u32) {
    let mut ways = Vec::new();
    for _ in 0..MESSAGES_MAX {
        match host.take(queue) {
            Ok(Some(message)) => ways.extend(way(&message).filter(|way| !ways.contains(way))),
            Ok(None) | Err(_) => break,
        }
    }
    for way in ways {
        waiters::look(host, vm, way, root_context);
    }
    publisher::send(host, vm, host.now(), root_context);
}
