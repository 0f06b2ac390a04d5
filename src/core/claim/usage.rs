//! How full the store is, as the sweep counted it last.

use super::{State, Way};
use crate::id::PRINCIPAL_ROWS;
use crate::time::MonoMillis;
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

/// The lease of the worker that sweeps: 16 random bytes of its VM, and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweeper {
    /// Who sweeps.
    pub who: [u8; 16],
    /// Until when nobody else does.
    pub until: MonoMillis,
}

impl Sweeper {
    /// Reads the lease; none if nobody ever swept.
    ///
    /// Shape: `[u8; 24]`: who 16 | until ms u64, little endian.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (who, until) = bytes.split_first_chunk::<16>()?;
        let until: &[u8; 8] = until.try_into().ok()?;
        Some(Self {
            who: *who,
            until: MonoMillis(u64::from_le_bytes(*until)),
        })
    }

    /// Writes the lease.
    #[must_use]
    pub fn write(&self) -> [u8; 24] {
        let mut out = [0; 24];
        let [who @ .., u0, u1, u2, u3, u4, u5, u6, u7] = &mut out;
        *who = self.who;
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
            until: MonoMillis(8),
        };
        assert_eq!(Sweeper::read(&sweeper.write()), Some(sweeper));
        assert_eq!(Sweeper::read(b""), None);
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
