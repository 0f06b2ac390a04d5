//! The bucket: 32 ways that stand or fall by one compare-and-set.

use super::{Age, Fence, State, Way};
use crate::config::OnFull;
use crate::id::Tag;
use crate::time::MonoMillis;
use alloc::vec;
use alloc::vec::Vec;

/// Ways of one bucket.
pub const WAYS: u8 = 32;
/// Bytes of one way.
pub const WAY_BYTES: usize = 32;
/// Bytes of one bucket.
pub const BUCKET_BYTES: usize = 1024;

/// The bytes of one bucket, as shared data holds them.
///
/// Shape: 32 × (tag 16 | seq u32 | expiry s u32 | epoch u16 | principal row u16 | head u16 | slot u8 | state u8), little
/// endian; no bytes at all = 32 free ways. State: 0 free, 1 running, 2 done, 3 unknown, 4 tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket(Vec<u8>);

/// The bytes are no bucket: something else wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt {
    /// Bytes that were there.
    pub len: usize,
}

impl Bucket {
    /// Takes over the bytes of a bucket.
    ///
    /// # Errors
    /// [`Corrupt`] if they are neither none nor [`BUCKET_BYTES`].
    pub fn read(bytes: Vec<u8>) -> Result<Self, Corrupt> {
        match bytes.len() {
            0 => Ok(Self(vec![0; BUCKET_BYTES])),
            BUCKET_BYTES => Ok(Self(bytes)),
            len => Err(Corrupt { len }),
        }
    }

    /// Shows the bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the way at `at`; free if there is none, or if its state is not one of ours.
    #[must_use]
    pub fn way(&self, at: u8) -> Way {
        let start = usize::from(at).saturating_mul(WAY_BYTES);
        self.0
            .get(start..)
            .and_then(|rest| rest.first_chunk())
            .map_or(Way::FREE, decode)
    }

    /// Writes the way at `at`.
    pub fn put(&mut self, at: u8, way: &Way) {
        let start = usize::from(at).saturating_mul(WAY_BYTES);
        if let Some(place) = self.0.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
            encode(way, place);
        }
    }

    /// Shows all ways with their places.
    pub fn ways(&self) -> impl Iterator<Item = (u8, Way)> + '_ {
        (0..WAYS).map(|at| (at, self.way(at)))
    }

    /// Finds the way of `tag`, whatever it says but free.
    #[must_use]
    pub fn find(&self, tag: &Tag) -> Option<(u8, Way)> {
        let at = self
            .0
            .chunks_exact(WAY_BYTES)
            .position(|way| way.starts_with(&tag.0) && !is_free(way))?;
        let at = u8::try_from(at).ok()?;
        Some((at, self.way(at)))
    }

    /// Finds a place for a new key: a free way, else one whose time is over, else what `on_full` gives up.
    ///
    /// A way that runs is never given up, nor is an unknown outcome before its time.
    #[must_use]
    pub fn place(&self, now: MonoMillis, on_full: OnFull) -> Option<Place> {
        let free = self
            .0
            .chunks_exact(WAY_BYTES)
            .position(is_free)
            .and_then(|at| u8::try_from(at).ok());
        let over = || self.ways().find(|(_, way)| way.age(now) == Age::Over).map(|(at, _)| at);
        if let Some(at) = free.or_else(over) {
            return Some(Place { at, evicts: false });
        }
        match on_full {
            OnFull::Refuse => None,
            OnFull::Evict => self.oldest_record().map(|at| Place { at, evicts: true }),
        }
    }

    fn oldest_record(&self) -> Option<u8> {
        self.ways()
            .filter(|(_, way)| matches!(way.state, State::Done | State::Tombstone))
            .min_by_key(|(_, way)| way.expiry_s)
            .map(|(at, _)| at)
    }
}

/// Where a new key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The way.
    pub at: u8,
    /// Whether a live record goes for it.
    pub evicts: bool,
}

fn is_free(way: &[u8]) -> bool {
    !matches!(way.last(), Some(1..=4))
}

fn decode(bytes: &[u8; WAY_BYTES]) -> Way {
    let [
        tag @ ..,
        s0,
        s1,
        s2,
        s3,
        x0,
        x1,
        x2,
        x3,
        e0,
        e1,
        p0,
        p1,
        h0,
        h1,
        slot,
        state,
    ] = bytes;
    let state = match state {
        1 => State::Running,
        2 => State::Done,
        3 => State::Unknown,
        4 => State::Tombstone,
        _ => return Way::FREE,
    };
    Way {
        tag: Tag(*tag),
        state,
        fence: Fence {
            slot: *slot,
            epoch: u16::from_le_bytes([*e0, *e1]),
            seq: u32::from_le_bytes([*s0, *s1, *s2, *s3]),
        },
        expiry_s: u32::from_le_bytes([*x0, *x1, *x2, *x3]),
        principal_row: u16::from_le_bytes([*p0, *p1]),
        head: u16::from_le_bytes([*h0, *h1]),
    }
}

fn encode(way: &Way, bytes: &mut [u8; WAY_BYTES]) {
    let [
        tag @ ..,
        s0,
        s1,
        s2,
        s3,
        x0,
        x1,
        x2,
        x3,
        e0,
        e1,
        p0,
        p1,
        h0,
        h1,
        slot,
        state,
    ] = bytes;
    *tag = way.tag.0;
    [*s0, *s1, *s2, *s3] = way.fence.seq.to_le_bytes();
    [*x0, *x1, *x2, *x3] = way.expiry_s.to_le_bytes();
    [*e0, *e1] = way.fence.epoch.to_le_bytes();
    [*p0, *p1] = way.principal_row.to_le_bytes();
    [*h0, *h1] = way.head.to_le_bytes();
    *slot = way.fence.slot;
    *state = match way.state {
        State::Free => 0,
        State::Running => 1,
        State::Done => 2,
        State::Unknown => 3,
        State::Tombstone => 4,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: MonoMillis = MonoMillis(10_000);

    fn way(tag: u8, state: State, expiry_s: u32) -> Way {
        let fence = Fence {
            slot: 1,
            epoch: 2,
            seq: 3,
        };
        Way {
            tag: Tag([tag; 16]),
            state,
            fence,
            expiry_s,
            principal_row: 4,
            head: 5,
        }
    }

    fn full(state: State, expiry_s: impl Fn(u8) -> u32) -> Bucket {
        let mut bucket = Bucket::read(vec![]).unwrap();
        for at in 0..WAYS {
            bucket.put(at, &way(at, state, expiry_s(at)));
        }
        bucket
    }

    #[test]
    fn no_bytes_are_free_ways_and_other_lengths_are_refused() {
        assert!(Bucket::read(vec![]).unwrap().ways().all(|(_, way)| way == Way::FREE));
        assert_eq!(Bucket::read(vec![0; 1023]), Err(Corrupt { len: 1023 }));
    }

    #[test]
    fn a_free_way_is_not_found_by_the_tag_that_it_had() {
        let mut bucket = full(State::Done, |_| 20);
        assert_eq!(bucket.find(&Tag([7; 16])), Some((7, way(7, State::Done, 20))));
        bucket.put(
            7,
            &Way {
                state: State::Free,
                ..way(7, State::Done, 20)
            },
        );
        assert_eq!(bucket.find(&Tag([7; 16])), None);
    }

    #[test]
    fn a_new_key_goes_to_a_free_way_before_one_that_is_over() {
        let mut bucket = full(State::Done, |at| if at == 3 { 1 } else { 20 });
        assert_eq!(bucket.place(NOW, OnFull::Refuse), Some(Place { at: 3, evicts: false }));
        bucket.put(9, &Way::FREE);
        assert_eq!(bucket.place(NOW, OnFull::Refuse), Some(Place { at: 9, evicts: false }));
    }

    #[test]
    fn a_full_bucket_refuses_or_gives_up_its_oldest_record() {
        let bucket = full(State::Done, |at| 50 - u32::from(at));
        assert_eq!(bucket.place(NOW, OnFull::Refuse), None);
        assert_eq!(bucket.place(NOW, OnFull::Evict), Some(Place { at: 31, evicts: true }));
    }

    #[test]
    fn what_runs_or_is_unknown_is_never_given_up() {
        for state in [State::Running, State::Unknown] {
            assert_eq!(full(state, |_| 20).place(NOW, OnFull::Evict), None);
        }
        assert_eq!(full(State::Running, |_| 0).place(NOW, OnFull::Evict), None);
    }

    #[test]
    fn the_second_in_which_a_record_ends_is_not_over_for_another_key() {
        assert_eq!(full(State::Done, |_| 10).place(NOW, OnFull::Refuse), None);
        assert!(full(State::Done, |_| 9).place(NOW, OnFull::Refuse).is_some());
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_way_reads_back(at in 0..WAYS, tag: [u8; 16], n: (u32, u32, u16, u16, u16), slot: u8) {
            let mut bucket = Bucket::read(vec![]).unwrap();
            let fence = Fence { slot, epoch: n.2, seq: n.0 };
            let state = State::Tombstone;
            let way = Way { tag: Tag(tag), state, fence, expiry_s: n.1, principal_row: n.3, head: n.4 };
            bucket.put(at, &way);
            assert_eq!(bucket.way(at), way);
            assert_eq!(bucket.ways().filter(|(_, way)| *way != Way::FREE).count(), 1);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(0_u8.., BUCKET_BYTES)) {
            let bucket = Bucket::read(bytes).unwrap();
            let _place = bucket.place(NOW, OnFull::Evict);
            assert_eq!(bucket.ways().count(), usize::from(WAYS));
        }
    }
}
