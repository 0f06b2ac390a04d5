//! Waiters: duplicates that wait for the first request of their key, on any worker, in the order in which they came.

use super::Fence;
use alloc::vec::Vec;

/// Bytes of one waiter.
pub const WAITER_BYTES: usize = 12;
/// Marks the way of a waiter that could run: its body is kept.
const KEPT: u8 = 0x80;

/// A duplicate that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The way of the claim that it waits for.
    pub at: u8,
    /// Whether it could run itself: its body is kept.
    pub is_kept: bool,
    /// Its worker's slot, and its own number there.
    pub by: Fence,
    /// Its exchange there.
    pub context: u32,
}

/// The waiters of one bucket, longest first.
///
/// Shape: n × (way u8, 0x80 = body kept | slot u8 | epoch u16 | seq u32 | context u32), little endian.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiters(Vec<Waiter>);

impl Waiters {
    /// Reads waiters; bytes behind the last whole one are left out.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        Self(bytes.as_chunks().0.iter().map(decode).collect())
    }

    /// Writes them to bytes that [`Waiters::read`] reads.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        self.0.iter().flat_map(encode).collect()
    }

    /// Adds a waiter behind all others; tells whether there was room for it among `per_way_max` of its way.
    #[must_use]
    pub fn push(&mut self, waiter: Waiter, per_way_max: u32) -> bool {
        let has_room = self.of(waiter.at).count() < usize::try_from(per_way_max).unwrap_or(usize::MAX);
        if has_room {
            self.0.push(waiter);
        }
        has_room
    }

    /// Takes the waiter `by` off; tells whether it was there.
    pub fn remove(&mut self, by: &Fence) -> bool {
        let before = self.0.len();
        self.0.retain(|waiter| waiter.by != *by);
        self.0.len() != before
    }

    /// Takes off all that wait for the claim of a way.
    pub fn take(&mut self, at: u8) -> Vec<Waiter> {
        let (taken, kept) = self.0.iter().partition(|waiter| waiter.at == at);
        self.0 = kept;
        taken
    }

    /// Shows those who wait for the claim of a way, longest first.
    pub fn of(&self, at: u8) -> impl Iterator<Item = &Waiter> {
        self.0.iter().filter(move |waiter| waiter.at == at)
    }

    /// Finds who runs if the claim of a way is released: the longest whose body is kept, and whose worker lives.
    #[must_use]
    pub fn heir(&self, at: u8, mut lives: impl FnMut(&Fence) -> bool) -> Option<&Waiter> {
        self.of(at).find(|waiter| waiter.is_kept && lives(&waiter.by))
    }
}

fn decode(bytes: &[u8; WAITER_BYTES]) -> Waiter {
    let [way, slot, e0, e1, s0, s1, s2, s3, context @ ..] = bytes;
    Waiter {
        at: way & !KEPT,
        is_kept: way & KEPT != 0,
        by: Fence {
            slot: *slot,
            epoch: u16::from_le_bytes([*e0, *e1]),
            seq: u32::from_le_bytes([*s0, *s1, *s2, *s3]),
        },
        context: u32::from_le_bytes(*context),
    }
}

fn encode(waiter: &Waiter) -> [u8; WAITER_BYTES] {
    let [e0, e1] = waiter.by.epoch.to_le_bytes();
    let [s0, s1, s2, s3] = waiter.by.seq.to_le_bytes();
    let [c0, c1, c2, c3] = waiter.context.to_le_bytes();
    let way = waiter.at | if waiter.is_kept { KEPT } else { 0 };
    [way, waiter.by.slot, e0, e1, s0, s1, s2, s3, c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn waiter(at: u8, seq: u32, is_kept: bool) -> Waiter {
        let slot = if seq.is_multiple_of(2) { 3 } else { 4 };
        Waiter {
            at,
            is_kept,
            by: Fence { slot, epoch: 9, seq },
            context: 70_000,
        }
    }

    fn waiters(all: &[Waiter]) -> Waiters {
        let mut waiters = Waiters::default();
        for each in all {
            assert!(waiters.push(*each, 64));
        }
        waiters
    }

    #[test]
    fn todays_bytes_have_the_promised_places() {
        let bytes = waiters(&[waiter(5, 2, true), waiter(31, 1, false)]).write();
        assert_eq!(bytes[..12], [0x85, 3, 9, 0, 2, 0, 0, 0, 0x70, 0x11, 1, 0]);
        assert_eq!(bytes[12..14], [31, 4]);
        assert_eq!(Waiters::read(&bytes).write(), bytes);
    }

    #[test]
    fn bytes_cut_short_leave_the_whole_ones() {
        let all = waiters(&[waiter(5, 2, true), waiter(5, 1, false)]);
        assert_eq!(Waiters::read(&all.write()[..23]), waiters(&[waiter(5, 2, true)]));
        assert_eq!(Waiters::read(b""), Waiters::default());
    }

    #[test]
    fn one_more_than_allowed_of_a_way_does_not_wait() {
        let mut all = waiters(&[waiter(5, 1, true), waiter(5, 2, true), waiter(6, 3, true)]);
        assert!(!all.push(waiter(5, 4, true), 2));
        assert!(all.push(waiter(6, 4, true), 2));
        assert_eq!((all.of(5).count(), all.of(6).count()), (2, 2));
    }

    #[test]
    fn the_longest_with_a_body_whose_worker_lives_is_the_heir() {
        let all = waiters(&[
            waiter(6, 1, true),
            waiter(5, 2, false),
            waiter(5, 3, true),
            waiter(5, 4, true),
        ]);
        assert_eq!(all.heir(5, |_| true), Some(&waiter(5, 3, true)));
        assert_eq!(all.heir(5, |by| by.slot == 3), Some(&waiter(5, 4, true)));
        assert_eq!(all.heir(5, |_| false), None);
        assert_eq!(all.heir(7, |_| true), None);
    }

    #[test]
    fn who_has_gone_waits_no_more() {
        let mut all = waiters(&[waiter(5, 1, true), waiter(6, 2, true), waiter(5, 3, true)]);
        assert!(all.remove(&waiter(6, 2, true).by));
        assert!(!all.remove(&waiter(6, 2, true).by));
        assert_eq!(all.take(5), [waiter(5, 1, true), waiter(5, 3, true)]);
        assert_eq!(all, Waiters::default());
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let whole: Vec<u8> = bytes.chunks_exact(WAITER_BYTES).flatten().copied().collect();
            proptest::prop_assert_eq!(Waiters::read(&bytes).write(), whole);
        }
    }
}
