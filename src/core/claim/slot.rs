//! Worker slots: one lease a worker, whatever it holds.

use super::Fence;
use crate::time::{Millis, MonoMillis};
use alloc::vec;
use alloc::vec::Vec;

/// Slots of one store.
pub const SLOTS: usize = 256;
/// Bytes of one slot.
pub const SLOT_BYTES: usize = 16;

/// One worker's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// When the lease ends unless it is renewed.
    pub lease_end: MonoMillis,
    /// Counts the slot's holders; 0 = never held.
    pub epoch: u16,
    /// The lease's length, by the holder's document.
    pub lease: Millis,
}

/// The bytes of all slots.
///
/// Shape: 256 × (lease end ms u64 | epoch u16 | flags u16 = 0 | lease ms u32), little endian; no bytes = nothing held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots(Vec<u8>);

/// A slot that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its place in the table.
    pub at: u8,
    /// Its epoch.
    pub epoch: u16,
    /// When its lease ends.
    pub lease_end: MonoMillis,
}

impl Slots {
    /// Takes over the bytes of the table; another length counts as nothing held.
    #[must_use]
    pub fn read(bytes: Vec<u8>) -> Self {
        if bytes.len() == SLOTS.saturating_mul(SLOT_BYTES) {
            Self(bytes)
        } else {
            Self(vec![0; SLOTS.saturating_mul(SLOT_BYTES)])
        }
    }

    /// Shows the bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the slot at `at`.
    #[must_use]
    pub fn slot(&self, at: u8) -> Slot {
        let start = usize::from(at).saturating_mul(SLOT_BYTES);
        self.0
            .get(start..)
            .and_then(|rest| rest.first_chunk())
            .map_or_else(Slot::default, decode)
    }

    /// Tells whether the holder of `fence` lives: its epoch stands, and its lease is not over by more than a third.
    #[must_use]
    pub fn lives(&self, fence: &Fence, now: MonoMillis) -> bool {
        let slot = self.slot(fence.slot);
        let grace = Millis(slot.lease.0.checked_div(3).unwrap_or_default());
        slot.epoch == fence.epoch && slot.epoch != 0 && now <= slot.lease_end.plus(grace)
    }

    /// Takes a slot that nobody holds: never held, or dead for two leases.
    ///
    /// Again: takes another slot; a holder renews instead.
    pub fn take(&mut self, now: MonoMillis, lease: Millis) -> Option<Held> {
        let at = (0..=u8::MAX).find(|at| {
            let slot = self.slot(*at);
            slot.epoch == 0 || slot.lease_end.plus(Millis(slot.lease.0.saturating_mul(2))) < now
        })?;
        let epoch = match self.slot(at).epoch.wrapping_add(1) {
            0 => 1,
            epoch => epoch,
        };
        Some(self.hold(at, epoch, now, lease))
    }

    /// Renews the lease of `held`; none if another holder has the slot by now.
    ///
    /// A lease that lapsed is renewed all the same while its epoch stands: the claims under it live on.
    pub fn renew(&mut self, held: &Held, now: MonoMillis, lease: Millis) -> Option<Held> {
        (self.slot(held.at).epoch == held.epoch).then(|| self.hold(held.at, held.epoch, now, lease))
    }

    fn hold(&mut self, at: u8, epoch: u16, now: MonoMillis, lease: Millis) -> Held {
        let slot = Slot {
            lease_end: now.plus(lease),
            epoch,
            lease,
        };
        let start = usize::from(at).saturating_mul(SLOT_BYTES);
        if let Some(place) = self.0.get_mut(start..).and_then(|rest| rest.first_chunk_mut()) {
            encode(&slot, place);
        }
        Held {
            at,
            epoch,
            lease_end: slot.lease_end,
        }
    }
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Slot {
    let [end @ .., e0, e1, _f0, _f1, l0, l1, l2, l3] = bytes;
    Slot {
        lease_end: MonoMillis(u64::from_le_bytes(*end)),
        epoch: u16::from_le_bytes([*e0, *e1]),
        lease: Millis(u64::from(u32::from_le_bytes([*l0, *l1, *l2, *l3]))),
    }
}

fn encode(slot: &Slot, bytes: &mut [u8; SLOT_BYTES]) {
    let [end @ .., e0, e1, f0, f1, l0, l1, l2, l3] = bytes;
    *end = slot.lease_end.0.to_le_bytes();
    [*e0, *e1] = slot.epoch.to_le_bytes();
    [*f0, *f1] = [0, 0];
    [*l0, *l1, *l2, *l3] = u32::try_from(slot.lease.0).unwrap_or(u32::MAX).to_le_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const LEASE: Millis = Millis(300);

    fn fence(held: &Held) -> Fence {
        Fence {
            slot: held.at,
            epoch: held.epoch,
            seq: 1,
        }
    }

    #[test]
    fn a_fresh_table_gives_its_first_slot() {
        let mut slots = Slots::read(vec![]);
        let held = slots.take(MonoMillis(1000), LEASE).unwrap();
        assert_eq!(
            held,
            Held {
                at: 0,
                epoch: 1,
                lease_end: MonoMillis(1300)
            }
        );
        assert_eq!(slots.take(MonoMillis(1000), LEASE).unwrap().at, 1);
    }

    #[test]
    fn a_holder_lives_a_third_of_its_lease_longer() {
        let mut slots = Slots::read(vec![]);
        let held = slots.take(MonoMillis(1000), LEASE).unwrap();
        assert!(slots.lives(&fence(&held), MonoMillis(1400)));
        assert!(!slots.lives(&fence(&held), MonoMillis(1401)));
    }

    #[test]
    fn a_slot_is_taken_over_two_leases_after_its_end_with_the_next_epoch() {
        let mut slots = Slots::read(vec![]);
        let first = slots.take(MonoMillis(1000), LEASE).unwrap();
        assert_eq!(slots.take(MonoMillis(1900), LEASE).unwrap().at, 1);
        let second = slots.take(MonoMillis(1901), LEASE).unwrap();
        assert_eq!((second.at, second.epoch), (0, 2));
        assert!(!slots.lives(&fence(&first), MonoMillis(1901)));
        assert_eq!(slots.renew(&first, MonoMillis(1901), LEASE), None);
    }

    #[test]
    fn a_lapsed_lease_is_renewed_while_its_epoch_stands() {
        let mut slots = Slots::read(vec![]);
        let held = slots.take(MonoMillis(1000), LEASE).unwrap();
        let renewed = slots.renew(&held, MonoMillis(5000), LEASE).unwrap();
        assert_eq!(renewed.lease_end, MonoMillis(5300));
        assert!(slots.lives(&fence(&held), MonoMillis(5300)));
    }

    #[test]
    fn a_full_table_gives_nothing() {
        let mut slots = Slots::read(vec![]);
        for _ in 0..SLOTS {
            assert!(slots.take(MonoMillis(1000), LEASE).is_some());
        }
        assert_eq!(slots.take(MonoMillis(1000), LEASE), None);
    }

    #[test]
    fn an_epoch_never_becomes_the_one_that_means_never_held() {
        let mut slots = Slots::read(vec![]);
        let mut now = MonoMillis(1000);
        for _ in 0..=u32::from(u16::MAX) {
            assert_ne!(slots.take(now, LEASE).unwrap().epoch, 0);
            now = now.plus(Millis(1000));
        }
    }

    #[test]
    fn nobody_lives_in_a_table_that_is_not_there() {
        assert!(!Slots::default().lives(
            &Fence {
                slot: 0,
                epoch: 0,
                seq: 0
            },
            MonoMillis(0)
        ));
    }
}
