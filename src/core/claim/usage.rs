//! How full the store is, as the sweep counted it last.

use super::{State, Way};
use crate::id::PRINCIPAL_ROWS;
use crate::time::{Millis, MonoMillis};
use alloc::vec;
use alloc::vec::Vec;

/// What one pass of the sweep counted.
///
/// Shape: `[u8; 24]`: pass u64 | live u32 | free u32 | bytes u64, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Counts the passes; 0 = none yet.
    pub pass: u64,
    /// Ways that hold a key.
    pub live: u32,
    /// Ways that hold none.
    pub free: u32,
    /// Bytes of all records.
    pub bytes: u64,
}

impl Usage {
    /// Reads what a pass wrote; nothing counted if there is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(bytes): Result<&[u8; 24], _> = bytes.try_into() else {
            return Self::default();
        };
        let [
            pass @ ..,
            l0,
            l1,
            l2,
            l3,
            f0,
            f1,
            f2,
            f3,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ] = bytes;
        Self {
            pass: u64::from_le_bytes(*pass),
            live: u32::from_le_bytes([*l0, *l1, *l2, *l3]),
            free: u32::from_le_bytes([*f0, *f1, *f2, *f3]),
            bytes: u64::from_le_bytes([*b0, *b1, *b2, *b3, *b4, *b5, *b6, *b7]),
        }
    }

    /// Writes the count.
    #[must_use]
    pub fn write(&self) -> [u8; 24] {
        let mut out = [0; 24];
        let [
            pass @ ..,
            l0,
            l1,
            l2,
            l3,
            f0,
            f1,
            f2,
            f3,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ] = &mut out;
        *pass = self.pass.to_le_bytes();
        [*l0, *l1, *l2, *l3] = self.live.to_le_bytes();
        [*f0, *f1, *f2, *f3] = self.free.to_le_bytes();
        [*b0, *b1, *b2, *b3, *b4, *b5, *b6, *b7] = self.bytes.to_le_bytes();
        out
    }

    /// Counts one way and the bytes of its record.
    pub fn count(&mut self, way: &Way, record_bytes: usize) {
        match way.state {
            State::Free => self.free = self.free.saturating_add(1),
            State::Running | State::Done | State::Unknown | State::Tombstone => self.live = self.live.saturating_add(1),
        }
        self.bytes = self.bytes.saturating_add(u64::from(crate::http::len_u32(record_bytes)));
    }
}

/// Keys by row of principals.
///
/// Shape: 4,096 × u32, little endian; no bytes = no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principals(Vec<u8>);

impl Principals {
    /// Takes over the bytes of a count; another length counts as no keys.
    #[must_use]
    pub fn read(bytes: Vec<u8>) -> Self {
        let len = usize::from(PRINCIPAL_ROWS).saturating_mul(4);
        if bytes.len() == len {
            Self(bytes)
        } else {
            Self(vec![0; len])
        }
    }

    /// Shows the bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the count of a row.
    #[must_use]
    pub fn keys(&self, row: u16) -> u32 {
        let start = usize::from(row).saturating_mul(4);
        self.0
            .get(start..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Counts one key more in a row.
    pub fn add(&mut self, row: u16) {
        let keys = self.keys(row).saturating_add(1);
        let start = usize::from(row).saturating_mul(4);
        if let Some(place) = self.0.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *place = keys.to_le_bytes();
        }
    }
}

/// The lease of the VM that does what is done once in a process: 16 random bytes of it, its rank, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweeper {
    /// Who sweeps.
    pub who: [u8; 16],
    /// How well it is suited.
    pub rank: Rank,
    /// Until when nobody else does.
    pub until: MonoMillis,
}

/// How well a VM is suited for what is done once in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It has streams, which should not wait.
    Worker,
    /// It has seen no stream.
    Idle,
    /// It is the main thread's, where metrics are shown: nothing shows them while it changes them.
    Main,
}

/// How much longer a VM with streams waits for one without: the main thread has the time.
const DEFERENCE: Millis = Millis(3000);
/// How much longer others wait for the main thread's.
const DEFERENCE_TO_MAIN: Millis = Millis(60_000);

impl Rank {
    const fn number(self) -> u8 {
        match self {
            Self::Worker => 0,
            Self::Idle => 1,
            Self::Main => 2,
        }
    }

    const fn read(number: u8) -> Self {
        match number {
            2 => Self::Main,
            1 => Self::Idle,
            _ => Self::Worker,
        }
    }
}

impl Sweeper {
    /// Reads the lease; none if nobody ever swept.
    ///
    /// Shape: `[u8; 25]`: who 16 | until ms u64 | rank u8, little endian.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (who, rest) = bytes.split_first_chunk::<16>()?;
        let (until, rank) = rest.split_first_chunk::<8>()?;
        let [rank] = rank else { return None };
        Some(Self {
            who: *who,
            rank: Rank::read(*rank),
            until: MonoMillis(u64::from_le_bytes(*until)),
        })
    }

    /// Tells whether a VM may take the lease, or have it longer: one that is better suited at once, one that is not only
    /// after a while.
    #[must_use]
    pub fn yields_to(&self, who: &[u8; 16], rank: Rank, now: MonoMillis) -> bool {
        if rank > Rank::Worker && (self.who == *who || self.rank < rank) {
            return true;
        }
        let wait = match (self.rank, rank) {
            (Rank::Main, Rank::Worker | Rank::Idle) => DEFERENCE_TO_MAIN,
            (Rank::Worker | Rank::Idle, Rank::Worker) => DEFERENCE,
            (Rank::Worker | Rank::Idle, Rank::Idle) | (_, Rank::Main) => Millis(0),
        };
        self.until.plus(wait) < now
    }

    /// Writes the lease.
    #[must_use]
    pub fn write(&self) -> [u8; 25] {
        let mut out = [0; 25];
        let [who @ .., u0, u1, u2, u3, u4, u5, u6, u7, rank] = &mut out;
        *who = self.who;
        *rank = self.rank.number();
        [*u0, *u1, *u2, *u3, *u4, *u5, *u6, *u7] = self.until.0.to_le_bytes();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn usage_and_sweeper_read_back() {
        let usage = Usage {
            pass: 1,
            live: 2,
            free: 3,
            bytes: 4,
        };
        assert_eq!(Usage::read(&usage.write()), usage);
        assert_eq!(Usage::read(b"x"), Usage::default());
        let sweeper = Sweeper {
            who: [9; 16],
            rank: Rank::Main,
            until: MonoMillis(8),
        };
        assert_eq!(Sweeper::read(&sweeper.write()), Some(sweeper));
        assert_eq!(Sweeper::read(b""), None);
    }

    #[test]
    fn the_better_suited_has_the_lease_at_once_and_others_wait() {
        let ends = |rank| Sweeper {
            who: [9; 16],
            rank,
            until: MonoMillis(1000),
        };
        let may = |holder, who: u8, rank, now| ends(holder).yields_to(&[who; 16], rank, MonoMillis(now));
        assert!(may(Rank::Idle, 9, Rank::Idle, 0), "its own");
        assert!(!may(Rank::Worker, 9, Rank::Worker, 0), "a worker lets it lapse");
        assert!(may(Rank::Idle, 1, Rank::Main, 0) && may(Rank::Worker, 1, Rank::Idle, 0));
        assert!(!may(Rank::Idle, 1, Rank::Idle, 1000) && may(Rank::Idle, 1, Rank::Idle, 1001));
        assert!(!may(Rank::Idle, 1, Rank::Worker, 4000) && may(Rank::Idle, 1, Rank::Worker, 4001));
        assert!(!may(Rank::Main, 1, Rank::Idle, 61_000) && may(Rank::Main, 1, Rank::Idle, 61_001));
    }

    #[test]
    fn every_way_counts_as_live_or_free() {
        let mut usage = Usage::default();
        usage.count(&Way::FREE, 0);
        usage.count(
            &Way {
                state: State::Running,
                ..Way::FREE
            },
            0,
        );
        usage.count(
            &Way {
                state: State::Done,
                ..Way::FREE
            },
            10,
        );
        assert_eq!(
            usage,
            Usage {
                pass: 0,
                live: 2,
                free: 1,
                bytes: 10
            }
        );
    }

    #[test]
    fn keys_count_in_their_row_alone() {
        let mut principals = Principals::read(vec![]);
        principals.add(4095);
        principals.add(4095);
        principals.add(4096);
        assert_eq!(
            (principals.keys(4095), principals.keys(0), principals.keys(4096)),
            (2, 0, 0)
        );
        assert_eq!(Principals::read(principals.bytes().to_vec()), principals);
    }
}
