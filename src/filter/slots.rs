//! The worker's slot: taken with its first claim, renewed on the tick.

use crate::host::{HostError, SharedData};
use crate::store::SLOTS;
use reprise_core::claim::Fence;
use reprise_core::claim::slot::{Held, Slots};
use reprise_core::time::{Millis, MonoMillis};

/// Tries of a compare-and-set before the store counts as unavailable; each loss means that another worker won.
pub const TRIES_MAX: u32 = 100;

/// The worker's lease and its copy of everybody's.
#[derive(Debug, Default)]
pub struct Lease {
    held: Option<Held>,
    everybody: Slots,
    seq: u32,
}

impl Lease {
    /// Gives the fence for a new claim under a lease that lives; none if every slot is held.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    pub fn fence(
        &mut self,
        host: &impl SharedData,
        now: MonoMillis,
        lease: Millis,
    ) -> Result<Option<Fence>, HostError> {
        Ok(self.hold(host, now, lease)?.map(|held| {
            self.seq = self.seq.wrapping_add(1);
            Fence {
                slot: held.at,
                epoch: held.epoch,
                seq: self.seq,
            }
        }))
    }

    /// Gives the worker's slot, under a lease that lives; none if every slot is held.
    ///
    /// Again: gives the same slot, unless it was lost meanwhile.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    pub fn hold(&mut self, host: &impl SharedData, now: MonoMillis, lease: Millis) -> Result<Option<Held>, HostError> {
        if self.held.is_none_or(|held| held.lease_end <= now) {
            self.renew(host, now, lease)?;
        }
        if self.held.is_none() {
            self.take(host, now, lease)?;
        }
        Ok(self.held)
    }

    /// Tells whether the claims of `fence` are still this worker's; asks the table if the lease may be over.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    pub fn owns(
        &mut self,
        host: &impl SharedData,
        fence: &Fence,
        now: MonoMillis,
        lease: Millis,
    ) -> Result<bool, HostError> {
        if self.held.is_some_and(|held| held.lease_end <= now) {
            self.renew(host, now, lease)?;
        }
        Ok(self.is_own(fence))
    }

    /// Tells whether a fence is of this worker's slot, as it holds it now.
    #[must_use]
    pub fn is_own(&self, fence: &Fence) -> bool {
        self.held
            .is_some_and(|held| held.at == fence.slot && held.epoch == fence.epoch)
    }

    /// Tells whether the holder of `fence` lives; where the copy says dead, the table itself is asked.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    pub fn lives(&mut self, host: &impl SharedData, fence: &Fence, now: MonoMillis) -> Result<bool, HostError> {
        if self.everybody.lives(fence, now) {
            return Ok(true);
        }
        self.everybody = Slots::read(host.shared(SLOTS)?.value);
        Ok(self.everybody.lives(fence, now))
    }

    /// Renews the lease once a third of it is gone; a slot that was lost is given up.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    pub fn tick(&mut self, host: &impl SharedData, now: MonoMillis, lease: Millis) -> Result<(), HostError> {
        let due = |held: Held| held.lease_end.0.saturating_sub(lease.0 - lease.0 / 3) <= now.0;
        if self.held.is_some_and(due) {
            self.renew(host, now, lease)?;
        }
        Ok(())
    }

    fn renew(&mut self, host: &impl SharedData, now: MonoMillis, lease: Millis) -> Result<(), HostError> {
        let Some(held) = self.held else {
            return Ok(());
        };
        self.held = self.change(host, |slots| slots.renew(&held, now, lease))?;
        Ok(())
    }

    fn take(&mut self, host: &impl SharedData, now: MonoMillis, lease: Millis) -> Result<(), HostError> {
        self.held = self.change(host, |slots| slots.take(now, lease))?;
        Ok(())
    }

    fn change(
        &mut self,
        host: &impl SharedData,
        change: impl Fn(&mut Slots) -> Option<Held>,
    ) -> Result<Option<Held>, HostError> {
        for _ in 0..TRIES_MAX {
            let shared = host.shared(SLOTS)?;
            let Some(number) = shared.number else {
                break;
            };
            let mut slots = Slots::read(shared.value);
            let Some(held) = change(&mut slots) else {
                self.everybody = slots;
                return Ok(None);
            };
            if host.replace_shared(SLOTS, slots.bytes(), number)? {
                self.everybody = slots;
                return Ok(Some(held));
            }
        }
        Err(HostError {
            call: "replace worker slot",
            status: 0,
        })
    }
}
