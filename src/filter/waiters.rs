//! Duplicates that wait for the first request of their key: where they are written, who wakes them, and when.
//!
//! A waiter is written, then looks once more; an owner ends its claim, then reads who waits. So nobody is forgotten,
//! whoever comes first. What a waiter makes of what it finds is in [`crate::waiting`].

use crate::claims::{self, Place, StoreFailure};
use crate::host::{Host, HostError, SharedData};
use crate::http;
use crate::queues::{self, Way};
use crate::slots::TRIES_MAX;
use crate::vm::Vm;
use reprise_core::claim::geometry::Name;
use reprise_core::claim::waiters::{Waiter, Waiters};
use reprise_core::claim::{Fence, State};
use reprise_core::config::StoreLimits;
use reprise_core::time::{Millis, MonoMillis};

/// How often the tick has a waiter look that nobody wakes: whoever should have may be gone.
const LOOK_EVERY: Millis = Millis(1000);

/// The waiters of one worker, in the order in which they came.
#[derive(Debug, Default)]
pub struct Waits(Vec<Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    seat: Seat,
    context: u32,
    until: MonoMillis,
    looked: MonoMillis,
}

/// Where a waiter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The way of the claim that it waits for.
    pub way: Way,
    by: Fence,
}

/// Who wants to wait.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// Its exchange.
    pub context: u32,
    /// Whether its body is kept.
    pub is_kept: bool,
    /// When it gives up.
    pub until: MonoMillis,
}

impl Waits {
    /// Tells whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts those who wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Lists the exchanges that wait for the claim of a way, longest first.
    fn of(&self, way: Way) -> Vec<u32> {
        let all = self.0.iter().filter(|wait| wait.seat.way == way);
        all.map(|wait| wait.context).collect()
    }

    fn has(&self, seat: &Seat) -> bool {
        self.0.iter().any(|wait| wait.seat == *seat)
    }

    /// Lists those whose time is over, or who have not looked for long; these count as looking now.
    fn due(&mut self, now: MonoMillis) -> Vec<u32> {
        let is_due = |wait: &&mut Wait| wait.until <= now || now.since(wait.looked) >= LOOK_EVERY;
        let due = self.0.iter_mut().filter(is_due);
        due.map(|wait| {
            wait.looked = now;
            wait.context
        })
        .collect()
    }
}

/// Writes a waiter; none if there is no room for it, or nobody could wake it.
///
/// Atomic: it is one of `waiters_per_key_max` at most, over all workers.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer; it is not written then.
pub fn sit(
    host: &impl Host,
    vm: &mut Vm,
    way: Way,
    asker: &Asker,
    limits: &StoreLimits,
) -> Result<Option<Seat>, StoreFailure> {
    let now = host.now();
    let has_room = vm.waits.count() < usize::try_from(limits.waiters_max).unwrap_or(usize::MAX);
    if !has_room || queues::open(host, vm, limits.lease).is_none() {
        return Ok(None);
    }
    let Some(by) = vm.lease.fence(host, now, limits.lease)? else {
        return Ok(None);
    };
    let waiter = Waiter {
        at: way.1,
        is_kept: asker.is_kept,
        by,
        context: asker.context,
    };
    let is_written = change(host, way.0, |waiters| waiters.push(waiter, limits.waiters_per_key_max))?;
    let Asker { context, until, .. } = *asker;
    Ok(is_written.then(|| {
        let seat = Seat { way, by };
        let looked = now;
        vm.waits.0.push(Wait {
            seat,
            context,
            until,
            looked,
        });
        seat
    }))
}

/// Tells whether a waiter is still written: who wakes all takes them off.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer.
pub fn is_written(host: &impl Host, seat: &Seat) -> Result<bool, StoreFailure> {
    let waiters = read(host, seat.way.0)?;
    Ok(waiters.of(seat.way.1).any(|waiter| waiter.by == seat.by))
}

/// Takes a waiter off; one that stays written is passed over by whoever looks for an heir.
pub fn stand_up(host: &impl Host, vm: &mut Vm, seat: &Seat) {
    vm.waits.0.retain(|wait| wait.seat != *seat);
    let _stays = change(host, seat.way.0, |waiters| waiters.remove(&seat.by));
}

/// Wakes who waits for a claim that has ended: all of them, or where it was released the one who runs next.
pub fn wake(host: &impl Host, vm: &mut Vm, place: &Place, is_released: bool) {
    let way = (place.bucket, place.at);
    match is_released {
        true => pass_on(host, vm, way),
        false => wake_all(host, vm, way),
    }
}

fn wake_all(host: &impl Host, vm: &mut Vm, (bucket, at): Way) {
    let mut taken = Vec::new();
    let _woken_all_the_same = change(host, bucket, |waiters| {
        taken = waiters.take(at);
        !taken.is_empty()
    });
    let mut slots: Vec<u8> = taken.iter().map(|waiter| waiter.by.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    for slot in slots {
        // Whoever is not woken looks on its own tick.
        let _woken = queues::wake(host, vm, slot, (bucket, at));
    }
}

/// Wakes the worker of the longest waiter that could run; where none could, all are told.
fn pass_on(host: &impl Host, vm: &mut Vm, way: Way) {
    let Ok(waiters) = read(host, way.0) else { return };
    let heir = heir(host, vm, &waiters, way);
    match heir {
        Some(slot) => {
            let _woken = queues::wake(host, vm, slot, way);
        }
        None => wake_all(host, vm, way),
    }
}

fn heir(host: &impl Host, vm: &mut Vm, waiters: &Waiters, way: Way) -> Option<u8> {
    let now = host.now();
    let is_there = |by: &Fence| match vm.lease.is_own(by) {
        true => vm.waits.has(&Seat { way, by: *by }),
        false => vm.lease.lives(host, by, now).unwrap_or_default(),
    };
    waiters.heir(way.1, is_there).map(|waiter| waiter.by.slot)
}

/// Tells whether anybody who waits for the claim of a way could run.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer.
pub fn has_heir(host: &impl Host, vm: &mut Vm, way: Way) -> Result<bool, StoreFailure> {
    let waiters = read(host, way.0)?;
    Ok(heir(host, vm, &waiters, way).is_some())
}

/// Has those look who wait for the claim of a way; where it is free still, somebody else's turn has come.
pub fn look(host: &impl Host, vm: &mut Vm, way: Way, root_context: u32) {
    for context in vm.waits.of(way) {
        have_look(host, vm, context);
    }
    let _root_is_there = host.enter(root_context);
    let bucket = claims::bucket(host, Name::default().bucket(way.0));
    if bucket.is_ok_and(|(bucket, _)| bucket.way(way.1).state == State::Free) {
        pass_on(host, vm, way);
    }
}

/// Has an exchange look; the seat of one that is gone is nobody's.
fn have_look(host: &impl Host, vm: &mut Vm, context: u32) {
    if http::act(host, vm, context, |exchange, vm| exchange.look(host, vm)) {
        return;
    }
    let left = vm.waits.0.iter().find(|wait| wait.context == context);
    if let Some(seat) = left.map(|wait| wait.seat) {
        stand_up(host, vm, &seat);
    }
}

/// Has those look whose time is over, or whom nobody has woken for long.
pub fn tick(host: &impl Host, vm: &mut Vm, now: MonoMillis, root_context: u32) {
    let due = vm.waits.due(now);
    for context in &due {
        have_look(host, vm, *context);
    }
    if !due.is_empty() {
        let _root_is_there = host.enter(root_context);
    }
}

fn read(host: &impl SharedData, bucket: u32) -> Result<Waiters, HostError> {
    Ok(Waiters::read(&host.shared(Name::default().waiters(bucket))?.value))
}

/// Changes the waiters of a bucket; tells whether there was anything to change.
fn change(
    host: &impl SharedData,
    bucket: u32,
    mut change: impl FnMut(&mut Waiters) -> bool,
) -> Result<bool, StoreFailure> {
    let mut name = Name::default();
    let name = name.waiters(bucket);
    for _ in 0..TRIES_MAX {
        let shared = host.shared(name)?;
        let mut waiters = Waiters::read(&shared.value);
        if !change(&mut waiters) {
            return Ok(false);
        }
        if host.replace_shared(name, &waiters.write(), shared.number.ok_or(StoreFailure)?)? {
            return Ok(true);
        }
    }
    Err(StoreFailure)
}
