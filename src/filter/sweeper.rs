//! The sweep: one VM walks all buckets, a few a tick, frees what is over and counts what is there.

use crate::claims::{self, StoreFailure};
use crate::host::{Host, SharedData};
use crate::store::{PRINCIPALS, SWEEPER, USAGE};
use crate::vm::Vm;
use reprise_core::claim::geometry::Name;
use reprise_core::claim::record::Record;
use reprise_core::claim::usage::{Principals, Sweeper, Usage};
use reprise_core::claim::{Age, Effect, Event, State, Way};
use reprise_core::time::{Millis, MonoMillis};

/// Buckets of one tick.
const BUCKETS_A_TICK: u32 = 256;
/// How long one VM sweeps without asking again.
const LEASE: Millis = Millis(3000);

/// One step of the sweep.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// The moment.
    pub now: MonoMillis,
    /// How long an outcome that becomes unknown stays so.
    pub unknown_retain: Millis,
}

/// Where a VM's sweep stands.
#[derive(Debug, Default)]
pub struct Sweep {
    until: Option<MonoMillis>,
    next: u32,
    usage: Usage,
    principals: Option<Principals>,
    pass: u64,
}

/// Sweeps on, if this VM is the one that does, or nobody does.
///
/// Atomic: each bucket by one compare-and-set; one that changes meanwhile is swept at the next pass.
/// Again: goes on where it stopped.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer.
pub fn step(host: &impl Host, vm: &mut Vm, walk: &Walk) -> Result<(), StoreFailure> {
    if !is_sweeper(host, vm, walk.now)? {
        return Ok(());
    }
    let buckets = vm.store.as_ref().ok_or(StoreFailure)?.geometry.buckets;
    for _ in 0..BUCKETS_A_TICK.min(buckets) {
        let n = vm.sweep.next;
        vm.sweep.next += 1;
        bucket(host, vm, n, walk)?;
        if vm.sweep.next >= buckets {
            publish(host, vm)?;
        }
    }
    Ok(())
}

/// Tells whether this VM sweeps now. One with streams lets its lease lapse first, so that the main thread's may have it.
fn is_sweeper(host: &impl Host, vm: &mut Vm, now: MonoMillis) -> Result<bool, StoreFailure> {
    if vm
        .sweep
        .until
        .is_some_and(|until| now.plus(Millis(LEASE.0 / 2)) < until)
    {
        return Ok(true);
    }
    let shared = host.shared(SWEEPER)?;
    let rank = vm.rank();
    let free = Sweeper::read(&shared.value).is_none_or(|sweeper| sweeper.yields_to(&vm.who, rank, now));
    let lease = Sweeper {
        who: vm.who,
        rank,
        until: now.plus(LEASE),
    };
    let won = free && host.replace_shared(SWEEPER, &lease.write(), shared.number.ok_or(StoreFailure)?)?;
    vm.sweep.until = won.then_some(lease.until);
    Ok(won)
}

impl Sweep {
    /// Tells whether this VM is the one that does what is done once in a process.
    #[must_use]
    pub fn is_ours(&self, now: MonoMillis) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

fn bucket(host: &impl Host, vm: &mut Vm, n: u32, walk: &Walk) -> Result<(), StoreFailure> {
    let mut names = Name::default();
    let (mut bucket, number) = claims::bucket(host, names.bucket(n))?;
    let before = bucket.clone();
    for at in 0..reprise_core::claim::bucket::WAYS {
        let way = bucket.way(at);
        let next = swept(host, vm, &way, walk)?;
        let bytes = match (way.state, next.state) {
            (State::Free, _) | (_, State::Running) => 0,
            (_, State::Free) => wipe(host, names.record(n, at), walk.now)?,
            _ => host.shared(names.record(n, at))?.value.len(),
        };
        vm.sweep.usage.count(&next, bytes);
        if next.state != State::Free && vm.counts_principals {
            vm.sweep
                .principals
                .get_or_insert_with(|| Principals::read(Vec::new()))
                .add(next.principal_row);
        }
        if next != way {
            bucket.put(at, &next);
        }
    }
    if bucket != before {
        // Lost to a worker's change: the next pass comes by.
        let _swept = host.replace_shared(names.bucket(n), bucket.bytes(), number)?;
    }
    Ok(())
}

fn swept(host: &impl SharedData, vm: &mut Vm, way: &Way, walk: &Walk) -> Result<Way, StoreFailure> {
    let Walk { now, unknown_retain } = *walk;
    let holder_lives = way.state == State::Running && vm.lease.lives(host, &way.fence, now)?;
    let over = way.age(now) == Age::Over;
    let unknown_until = now.plus(unknown_retain);
    let (next, effect) = way.step(Event::Sweep {
        holder_lives,
        over,
        unknown_until,
    });
    Ok(if effect == Effect::Keep { next } else { *way })
}

/// Wipes the record of a way whose time is over; by the number that was read, so that one written meanwhile stays.
fn wipe(host: &impl SharedData, name: &str, now: MonoMillis) -> Result<usize, StoreFailure> {
    let shared = host.shared(name)?;
    let over = Record::read(&shared.value).is_none_or(|record| record.expiry <= now);
    if over && let Some(number) = shared.number {
        let _kept_if_fresh = host.replace_shared(name, b"", number)?;
    }
    Ok(0)
}

fn publish(host: &impl SharedData, vm: &mut Vm) -> Result<(), StoreFailure> {
    let shown = Usage::read(&host.shared(USAGE)?.value);
    let usage = Usage {
        pass: shown.pass.max(vm.sweep.pass).wrapping_add(1),
        ..vm.sweep.usage
    };
    if vm.counts_principals {
        // A pass that met no key says so, or those of the last one would count for ever.
        let counted = vm
            .sweep
            .principals
            .take()
            .unwrap_or_else(|| Principals::read(Vec::new()));
        host.set_shared(PRINCIPALS, counted.bytes())?;
    }
    host.set_shared(USAGE, &usage.write())?;
    vm.sweep = Sweep {
        until: vm.sweep.until,
        pass: usage.pass,
        ..Sweep::default()
    };
    Ok(())
}
