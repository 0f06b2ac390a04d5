//! The ledger: what became of every exchange that capture was asked about.
//!
//! How the ledgers of all workers become one is in [`super::tally`].

use crate::wire;
use alloc::vec::Vec;

/// Bytes of a ledger.
pub const LEDGER_BYTES: usize = 80;

/// Why an exchange was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// More captures waited than may.
    QueueFull,
    /// It is larger than any batch may be.
    TooLarge,
    /// The worker held too many bytes.
    Memory,
    /// replayd could not be told, or refused it.
    ReplaydDown,
    /// Its worker's VM is gone.
    VmRestart,
}

impl Reason {
    /// All of them, in the order of their counts.
    pub const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::TooLarge,
        Self::Memory,
        Self::ReplaydDown,
        Self::VmRestart,
    ];

    /// Names it, as it travels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLarge => "too_large",
            Self::Memory => "memory",
            Self::ReplaydDown => "replayd_down",
            Self::VmRestart => "vm_restart",
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|each| *each == self).unwrap_or_default()
    }
}

/// What became of exchanges.
///
/// `seen = stored + pending + filtered + sampled_out + Σ dropped`: every change moves an exchange from one to another, or
/// lets one in on both sides, so that nothing can break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ledger {
    seen: u64,
    stored: u64,
    pending: u64,
    filtered: u64,
    sampled_out: u64,
    dropped: [u64; 5],
}

impl Ledger {
    /// Lets in an exchange that may be captured.
    pub const fn begin(&mut self) {
        self.seen = self.seen.saturating_add(1);
        self.pending = self.pending.saturating_add(1);
    }

    /// Lets in one that a rule leaves out.
    pub const fn leave_out(&mut self) {
        self.seen = self.seen.saturating_add(1);
        self.filtered = self.filtered.saturating_add(1);
    }

    /// Lets in one that the sample leaves out.
    pub const fn sample_out(&mut self) {
        self.seen = self.seen.saturating_add(1);
        self.sampled_out = self.sampled_out.saturating_add(1);
    }

    /// Leaves out one that had begun.
    pub fn filter(&mut self) {
        let moved = self.take(1);
        self.filtered = self.filtered.saturating_add(moved);
    }

    /// Takes note that `count` are on disk.
    pub fn store(&mut self, count: u64) {
        let moved = self.take(count);
        self.stored = self.stored.saturating_add(moved);
    }

    /// Takes note that `count` are lost.
    pub fn drop(&mut self, reason: Reason, count: u64) {
        let moved = self.take(count);
        if let Some(place) = self.dropped.get_mut(reason.place()) {
            *place = place.saturating_add(moved);
        }
    }

    fn take(&mut self, count: u64) -> u64 {
        let moved = count.min(self.pending);
        self.pending = self.pending.saturating_sub(moved);
        moved
    }

    /// Gives what is left of a ledger whose worker is gone: what was pending is lost.
    #[must_use]
    pub fn dead(mut self) -> Self {
        self.drop(Reason::VmRestart, self.pending);
        self
    }

    /// Gives the ledger without what is pending.
    #[must_use]
    pub const fn settled(mut self) -> Self {
        self.seen = self.seen.saturating_sub(self.pending);
        self.pending = 0;
        self
    }

    /// Adds up two ledgers.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Takes off an earlier one, of which nothing is pending.
    #[must_use]
    pub fn minus(&self, earlier: &Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    fn with(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let mut out = *self;
        for (place, other) in out.numbers_mut().into_iter().zip(other.numbers()) {
            *place = of(*place, other);
        }
        out
    }

    /// Tells whether nothing of `earlier` is less here; what is pending does not count.
    #[must_use]
    pub fn has_grown_from(&self, earlier: &Self) -> bool {
        let pairs = self.numbers().into_iter().zip(earlier.numbers());
        pairs.enumerate().all(|(at, (now, then))| at == PENDING || now >= then)
    }

    /// Counts those that capture was asked about.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Counts those on disk.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    /// Counts those that run, wait or travel.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        self.pending
    }

    /// Counts those that a rule leaves out.
    #[must_use]
    pub const fn filtered(&self) -> u64 {
        self.filtered
    }

    /// Counts those that the sample leaves out.
    #[must_use]
    pub const fn sampled_out(&self) -> u64 {
        self.sampled_out
    }

    /// Counts those that were lost for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped.get(reason.place()).copied().unwrap_or_default()
    }

    /// Puts the ledger into the form that travels.
    #[must_use]
    pub fn to_wire(&self) -> wire::Ledger {
        let dropped = Reason::ALL.into_iter().map(|reason| wire::Dropped {
            reason: reason.name().into(),
            count: self.dropped(reason),
        });
        wire::Ledger {
            seen: self.seen,
            stored: self.stored,
            pending: self.pending,
            filtered: self.filtered,
            sampled_out: self.sampled_out,
            dropped: dropped.filter(|each| each.count > 0).collect(),
            assigned: 0,
        }
    }

    /// Appends the ledger to `out`.
    ///
    /// Shape: 10 × u64, little endian: seen, stored, pending, filtered, sampled out, dropped by reason.
    pub fn write(&self, out: &mut Vec<u8>) {
        for number in self.numbers() {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads a ledger; none if the bytes are another number.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEDGER_BYTES] = bytes.try_into().ok()?;
        let (numbers, _none_left) = bytes.as_chunks::<8>();
        let mut ledger = Self::default();
        for (place, bytes) in ledger.numbers_mut().into_iter().zip(numbers) {
            *place = u64::from_le_bytes(*bytes);
        }
        Some(ledger)
    }

    const fn numbers(&self) -> [u64; 10] {
        let [full, large, memory, down, restart] = self.dropped;
        [
            self.seen,
            self.stored,
            self.pending,
            self.filtered,
            self.sampled_out,
            full,
            large,
            memory,
            down,
            restart,
        ]
    }

    const fn numbers_mut(&mut self) -> [&mut u64; 10] {
        let [full, large, memory, down, restart] = &mut self.dropped;
        [
            &mut self.seen,
            &mut self.stored,
            &mut self.pending,
            &mut self.filtered,
            &mut self.sampled_out,
            full,
            large,
            memory,
            down,
            restart,
        ]
    }
}

/// Where [`Ledger::numbers`] has what is pending.
const PENDING: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(ledger: &Ledger) {
        let lost: u64 = Reason::ALL.into_iter().map(|reason| ledger.dropped(reason)).sum();
        let kept = [
            ledger.stored(),
            ledger.pending(),
            ledger.filtered(),
            ledger.sampled_out(),
            lost,
        ];
        assert_eq!(ledger.seen(), kept.into_iter().sum::<u64>(), "{ledger:?}");
    }

    fn begun(count: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for _ in 0..count {
            ledger.begin();
        }
        ledger
    }

    #[test]
    fn what_is_not_pending_cannot_be_stored_or_lost() {
        let mut ledger = begun(2);
        ledger.store(3);
        ledger.drop(Reason::Memory, 1);
        ledger.filter();
        assert_eq!(ledger.stored(), 2);
        check(&ledger);
    }

    #[test]
    fn what_a_dead_worker_had_pending_is_lost() {
        let mut ledger = begun(3);
        ledger.store(1);
        let dead = ledger.dead();
        assert_eq!((dead.pending(), dead.dropped(Reason::VmRestart)), (0, 2));
        check(&dead);
    }

    #[test]
    fn a_ledger_reads_back_and_other_lengths_do_not() {
        let mut ledger = begun(7);
        ledger.drop(Reason::ReplaydDown, 2);
        let mut bytes = vec![];
        ledger.write(&mut bytes);
        assert_eq!(Ledger::read(&bytes), Some(ledger));
        assert_eq!(Ledger::read(&bytes[1..]), None);
        assert_eq!(ledger.to_wire().dropped[0].reason, "replayd_down");
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn no_order_of_events_breaks_the_equation(events: Vec<(u8, u8)>) {
            let mut ledger = Ledger::default();
            for (event, count) in events {
                let before = ledger;
                match event % 7 {
                    0 | 1 => ledger.begin(),
                    2 => ledger.leave_out(),
                    3 => ledger.sample_out(),
                    4 => ledger.filter(),
                    5 => ledger.store(u64::from(count)),
                    _ => ledger.drop(Reason::ALL[usize::from(count) % 5], u64::from(count)),
                }
                check(&ledger);
                check(&ledger.dead());
                check(&ledger.settled());
                check(&ledger.plus(&before));
                check(&ledger.minus(&before.settled()));
                assert!(ledger.has_grown_from(&before));
            }
        }
    }
}
