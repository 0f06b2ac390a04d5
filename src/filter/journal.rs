//! The journal: requests and responses that wait until their capture is on disk.

use crate::boots;
use crate::captures;
use crate::host::{Host, Side};
use crate::metrics::Count;
use crate::queues;
use crate::reply::respond;
use crate::root::Root;
use crate::tape::Tape;
use crate::vm::Vm;
use hashbrown::HashMap;
use reprise_core::capture::batch::Batch;
use reprise_core::capture::ledger::Reason;
use reprise_core::config::OnReplaydDown;
use reprise_core::gate::{Request, is_safe};
use reprise_core::problem::{Dialect, Problem};
use reprise_core::time::{Millis, MonoMillis};
use reprise_core::wire::{Capture, Half, Range, State};
use std::cell::Cell;
use std::rc::Rc;

/// How much longer than a call a half waits, so that the call's own end comes first.
const GRACE: Millis = Millis(100);

/// Where a half stands that is written ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// It is not held.
    #[default]
    Off,
    /// It is held while its capture is made.
    Gathering,
    /// It is held until its capture is on disk.
    Waiting,
    /// It goes on.
    Released,
    /// It was answered: nothing ran.
    Refused(Why, Told),
}

/// Why a request was refused while it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its capture cannot be had.
    Uncaptured,
    /// The gate of its cluster closed meanwhile.
    Restoring,
}

impl Why {
    /// What the client hears.
    #[must_use]
    pub const fn problem(self) -> Problem {
        match self {
            Self::Uncaptured => Problem::CaptureUnavailable,
            Self::Restoring => Problem::Restoring,
        }
    }

    /// Where it is counted.
    #[must_use]
    pub const fn count(self) -> Count {
        match self {
            Self::Uncaptured => Count::CaptureUnavailable,
            Self::Restoring => Count::Restoring,
        }
    }
}

/// What replayd knows of a request that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// Perhaps that it began; the exchange is counted as lost.
    Perhaps,
    /// That it began; the exchange is settled by its end.
    Begun,
}

/// What a VM keeps of halves that wait.
#[derive(Debug, Default)]
pub struct Journal {
    waiters: HashMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    context: u32,
    side: Side,
    hold: Rc<Cell<Hold>>,
    until: MonoMillis,
    on_down: OnReplaydDown,
    /// The cluster whose gate it has to pass, if it has to pass one.
    gate: Option<String>,
    root: Rc<Root>,
    dialect: Dialect,
}

/// Who waits.
#[derive(Debug)]
pub struct Holder<'a> {
    /// Its context.
    pub context: u32,
    /// Where it stands.
    pub hold: &'a Rc<Cell<Hold>>,
    /// Its root.
    pub root: &'a Rc<Root>,
    /// What its client reads.
    pub dialect: Dialect,
}

/// Writes a request ahead: it waits from now on, or goes on at once if there is no room and the route says so.
///
/// Gives the number of the capture that it waits for.
pub fn write_request(host: &impl Host, vm: &mut Vm, tape: &mut Tape, holder: &Holder<'_>) -> Option<u64> {
    let mut capture = captures::beginning(host, vm, tape);
    let on_down = tape.policy().capture.on_replayd_down;
    let gate = gate(&capture, holder.root);
    if is_closed(host, vm, gate.as_ref()) {
        vm.captures.ledger.filter();
        holder.hold.set(Hold::Refused(Why::Restoring, Told::Nothing));
        return None;
    }
    match captures::push_ahead(host, vm, &mut capture, false) {
        Ok(seq) => {
            tape.begin_ahead(seq);
            wait(host, vm, seq, (Side::Request, on_down, gate), holder);
            return Some(seq);
        }
        Err(_) if on_down == OnReplaydDown::Open => {
            vm.metrics.count(Count::CaptureLate);
            holder.hold.set(Hold::Released);
        }
        Err(reason) => {
            vm.captures.lose(reason);
            holder.hold.set(Hold::Refused(Why::Uncaptured, Told::Nothing));
        }
    }
    None
}

/// Names the cluster whose gate a request has to pass.
fn gate(capture: &Capture, root: &Root) -> Option<String> {
    let has_gate = |half: &&Half| !is_safe(Request::read(&half.pairs).method);
    let gated = capture.request.as_ref().filter(|_| root.document.boot_gate);
    gated.filter(has_gate).map(|_| capture.cluster.clone())
}

/// Tells whether a gate is closed by now: it may have closed since the request came.
fn is_closed(host: &impl Host, vm: &mut Vm, gate: Option<&String>) -> bool {
    gate.is_some_and(|cluster| boots::has_closed(host, vm, cluster))
}

/// Writes the end of an exchange whose response waits for it; if there is no room it goes on at once, and its end is told
/// later.
pub fn write_response(host: &impl Host, vm: &mut Vm, tape: Tape, holder: &Holder<'_>) -> Option<u64> {
    let mut capture = captures::ending(host, vm, tape, (State::Completed, ""));
    match captures::push_ahead(host, vm, &mut capture, true) {
        Ok(seq) => {
            wait(host, vm, seq, (Side::Response, OnReplaydDown::Open, None), holder);
            Some(seq)
        }
        Err(_) => {
            vm.metrics.count(Count::CaptureLate);
            captures::push_later(host, vm, capture);
            holder.hold.set(Hold::Released);
            None
        }
    }
}

/// Which half waits, what becomes of it without replayd, and which gate it has to pass.
type Waits = (Side, OnReplaydDown, Option<String>);

fn wait(host: &impl Host, vm: &mut Vm, seq: u64, (side, on_down, gate): Waits, holder: &Holder<'_>) {
    let timeout = holder.root.document.replayd.timeout;
    holder.hold.set(Hold::Waiting);
    vm.journal.waiters.insert(
        seq,
        Waiter {
            context: holder.context,
            side,
            hold: Rc::clone(holder.hold),
            until: host.now().plus(timeout).plus(GRACE),
            on_down,
            gate,
            root: Rc::clone(holder.root),
            dialect: holder.dialect,
        },
    );
    queues::wake_self(host, vm, holder.root.document.store.lease);
}

/// Forgets a half whose exchange is over.
pub fn forget(vm: &mut Vm, seq: u64) {
    vm.journal.waiters.remove(&seq);
}

/// Lets go on what is on disk, unless its upstream is being restored by now.
pub fn acknowledge(host: &impl Host, vm: &mut Vm, id: u64, ranges: &[Range], (now, root_context): (MonoMillis, u32)) {
    let Some(acked) = vm.captures.ahead.acknowledge(id, ranges, now) else {
        return;
    };
    vm.captures.ledger.store(acked.settled);
    for seq in acked.seqs {
        if let Some(waiter) = vm.journal.waiters.remove(&seq) {
            if is_closed(host, vm, waiter.gate.as_ref()) {
                waiter.refuse(host, vm, Why::Restoring, Told::Begun);
            } else {
                waiter.release(host);
            }
        }
    }
    let _root_is_there = host.enter(root_context);
}

/// Takes note that a batch did not arrive: what waits for it goes on or is refused, as its route says.
///
/// `told` = what replayd may know of it all the same.
pub fn fail(host: &impl Host, vm: &mut Vm, (id, told): (u64, Told), (now, root_context): (MonoMillis, u32)) {
    if let Some(batch) = vm.captures.ahead.give_up(id, now) {
        let failed = Failed {
            batch: &batch,
            kept: &[],
            told,
        };
        fail_batch(host, vm, &failed, now);
        let _root_is_there = host.enter(root_context);
    }
}

/// A batch that does not arrive any more.
struct Failed<'a> {
    batch: &'a Batch,
    /// The numbers in it that wait on.
    kept: &'a [u64],
    /// What replayd may know of it.
    told: Told,
}

/// Lets go on or refuses what waits for a batch.
fn fail_batch(host: &impl Host, vm: &mut Vm, failed: &Failed<'_>, now: MonoMillis) {
    let Failed { batch, kept, told } = *failed;
    let mut refused = kept.to_vec();
    for entry in batch.entries().iter().filter(|entry| !kept.contains(&entry.seq)) {
        let Some(waiter) = vm.journal.waiters.remove(&entry.seq) else {
            continue;
        };
        if let Some(why) = waiter.refusal(host, vm) {
            refused.push(entry.seq);
            vm.captures.ledger.drop(Reason::ReplaydDown, 1);
            waiter.refuse(host, vm, why, told);
        } else {
            vm.metrics.count(Count::CaptureLate);
            waiter.release(host);
        }
    }
    // What went on is captured all the same, only later.
    vm.captures.later.take_over(batch, &refused, now);
}

/// Gives up what waits for too long behind calls that do not come back.
pub fn give_up_late(host: &impl Host, vm: &mut Vm, now: MonoMillis, root_context: u32) {
    let is_late = |waiter: &Waiter| waiter.until < now;
    if !vm.journal.waiters.values().any(is_late) {
        return;
    }
    for batch in vm.captures.ahead.take_waiting() {
        let waiters = &vm.journal.waiters;
        let has_time = |seq: &u64| waiters.get(seq).is_some_and(|waiter| !is_late(waiter));
        let seqs = batch.entries().iter().map(|entry| entry.seq);
        let (kept, given_up): (Vec<_>, Vec<_>) = seqs.partition(has_time);
        let failed = Failed {
            batch: &batch,
            kept: &kept,
            told: Told::Nothing,
        };
        fail_batch(host, vm, &failed, now);
        vm.captures.ahead.take_over(&batch, &given_up, now);
    }
    let _root_is_there = host.enter(root_context);
}

impl Waiter {
    fn release(&self, host: &impl Host) {
        self.hold.set(Hold::Released);
        // A stream that is gone meanwhile has nothing to go on with.
        let _gone = host.enter(self.context).and_then(|()| host.resume(self.side));
    }

    /// Tells why it does not go on without replayd, if it does not.
    fn refusal(&self, host: &impl Host, vm: &mut Vm) -> Option<Why> {
        match self.on_down {
            OnReplaydDown::Closed => Some(Why::Uncaptured),
            OnReplaydDown::Open => is_closed(host, vm, self.gate.as_ref()).then_some(Why::Restoring),
        }
    }

    fn refuse(&self, host: &impl Host, vm: &mut Vm, why: Why, told: Told) {
        vm.metrics.count(why.count());
        self.hold.set(Hold::Refused(why, told));
        if host.enter(self.context).is_ok() {
            respond(host, &self.root, &why.problem(), self.dialect);
        }
    }
}
