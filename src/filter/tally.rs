//! The tally of captures: each worker shows its ledger in a seat, and one VM shows the sum of all as metrics.

use crate::host::{Host, HostError, SharedData};
use crate::metrics::Shown;
use crate::store::TALLY;
use crate::vm::Vm;
use hashbrown::HashMap;
use reprise_core::capture::ledger::Ledger;
use reprise_core::capture::tally::{LEFT, SEATS, Seat, Tally, Waiting};
use reprise_core::claim::geometry::Name;
use reprise_core::time::{Millis, MonoMillis};

/// How often a seat is written at least, while there is anything in it.
const BEAT: Millis = Millis(1000);
/// How often a seat that does not change has to be met before its worker may count as gone: one that was stopped together
/// with all others comes back first.
const MET_MIN: u32 = 3;

/// What a VM keeps of its seat, and of others'.
#[derive(Debug, Default)]
pub struct Bench {
    seat: Option<u16>,
    /// Seats that this VM had before.
    before: u32,
    /// What it showed in them.
    base: Ledger,
    written: Option<(Ledger, Waiting, MonoMillis)>,
    /// How often each seat was met, by the number that it was written with.
    met: HashMap<u16, (u32, u32)>,
}

impl Bench {
    /// Tells which seat the worker has, if it has one.
    #[must_use]
    pub const fn seat(&self) -> Option<u16> {
        self.seat
    }

    /// Counts how often a seat was met as it is.
    fn meet(&mut self, at: u16, number: u32) -> u32 {
        let (known, met) = self.met.entry(at).or_default();
        *met = if *known == number { met.saturating_add(1) } else { 1 };
        *known = number;
        *met
    }
}

/// Shows this worker's ledger, if there is anything in it.
///
/// # Errors
/// [`HostError`] if the host fails.
pub fn sit(host: &impl SharedData, vm: &mut Vm, now: MonoMillis) -> Result<(), HostError> {
    let (ledger, waiting) = (vm.captures.ledger, waiting(vm));
    let is_written =
        |(told, waited, at): (Ledger, Waiting, MonoMillis)| (told, waited) == (ledger, waiting) && now.since(at) < BEAT;
    if ledger == Ledger::default() || vm.bench.written.is_some_and(is_written) {
        return Ok(());
    }
    let mut names = Name::default();
    if let Some(seat) = vm.bench.seat {
        let shared = host.shared(names.seat(seat))?;
        let is_mine = Seat::read(&shared.value).is_some_and(|there| there.id == id(vm));
        if let (true, Some(number)) = (is_mine, shared.number)
            && host.replace_shared(names.seat(seat), &written(vm, waiting, now), number)?
        {
            vm.bench.written = Some((ledger, waiting, now));
            return Ok(());
        }
        // Taken for gone, it was counted up to here.
        vm.bench.seat = None;
        vm.bench.base = ledger.settled();
        vm.bench.before += 1;
    }
    for seat in 0..SEATS {
        let shared = host.shared(names.seat(seat))?;
        let is_free = shared.value.is_empty() || shared.value == LEFT;
        if let (true, Some(number)) = (is_free, shared.number)
            && host.replace_shared(names.seat(seat), &written(vm, waiting, now), number)?
        {
            vm.bench.seat = Some(seat);
            vm.bench.written = Some((ledger, waiting, now));
            break;
        }
    }
    Ok(())
}

fn id(vm: &Vm) -> [u8; 20] {
    Seat::id(&vm.who, vm.bench.before)
}

fn waiting(vm: &Vm) -> Waiting {
    let queues = [&vm.captures.later, &vm.captures.ahead];
    Waiting {
        count: queues.iter().map(|queue| queue.count()).sum(),
        bytes: vm.captures.bytes(),
        oldest: queues
            .iter()
            .filter_map(|queue| queue.oldest())
            .min()
            .unwrap_or_default(),
    }
}

fn written(vm: &Vm, waiting: Waiting, now: MonoMillis) -> Vec<u8> {
    let seat = Seat {
        id: id(vm),
        beat: now,
        ledger: vm.captures.ledger.minus(&vm.bench.base),
        waiting,
    };
    seat.write()
}

/// Shows the sum of all ledgers; for one VM of the process only.
///
/// Atomic: what was shown is written before it is, by compare-and-set, so that of two VMs that both take themselves for
/// the one, one shows it.
///
/// # Errors
/// [`HostError`] if the host fails; nothing more is shown then.
pub fn show(host: &impl Host, vm: &mut Vm, now: MonoMillis, lease: Millis) -> Result<(), HostError> {
    let shared = host.shared(TALLY)?;
    let Some(number) = shared.number else {
        return Ok(());
    };
    let mut tally = Tally::read(&shared.value);
    let before = tally;
    let seats = seats(host, vm, &mut tally, now, lease)?;
    let Some(shown_before) = tally.show(&seats) else {
        return Ok(());
    };
    if tally != before && !host.replace_shared(TALLY, &tally.write(), number)? {
        return Ok(());
    }
    let ages = seats
        .iter()
        .map(|seat| seat.waiting.oldest)
        .filter(|oldest| oldest.0 > 0);
    let shown = Shown {
        before: shown_before,
        now: *tally.shown(),
        queue_depth: seats.iter().map(|seat| seat.waiting.count).sum(),
        queue_bytes: seats.iter().map(|seat| seat.waiting.bytes).sum(),
        queue_age_ms: ages.min().map_or(0, |oldest| now.since(oldest).0),
    };
    vm.metrics.show(host, &shown)
}

/// Reads all seats; clears the one that was taken over, or takes over one whose worker is gone.
fn seats(
    host: &impl SharedData,
    vm: &mut Vm,
    tally: &mut Tally,
    now: MonoMillis,
    lease: Millis,
) -> Result<Vec<Seat>, HostError> {
    let (mut seats, mut names) = (Vec::new(), Name::default());
    for at in 0..SEATS {
        let shared = host.shared(names.seat(at))?;
        let (Some(number), false) = (shared.number, shared.value.is_empty()) else {
            // Seats are taken from the front.
            break;
        };
        seats.extend(Seat::read(&shared.value).map(|seat| (at, number, seat)));
    }
    let folded = seats.iter().position(|(_, _, seat)| tally.has_folded(seat));
    let gone_after = Millis(lease.0.max(BEAT.0).saturating_add(lease.0 / 3));
    let is_gone = |seat: &Seat| now.since(seat.beat) > gone_after;
    let gone = seats
        .iter()
        .position(|(at, number, seat)| vm.bench.meet(*at, *number) >= MET_MIN && is_gone(seat));
    if let Some(place) = folded {
        let (at, number, _) = seats.remove(place);
        let _cleared_next_time = host.replace_shared(names.seat(at), LEFT, number)?;
    } else if let Some(place) = gone {
        let (_, _, seat) = seats.remove(place);
        tally.fold(&seat);
    }
    Ok(seats.into_iter().map(|(_, _, seat)| seat).collect())
}
