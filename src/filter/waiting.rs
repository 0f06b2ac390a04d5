//! A duplicate that waits: what it finds each time it looks, and what follows from that.

use crate::claims::{self, Meeting, Moment, Place, StoreFailure};
use crate::duplicate::Duplicate;
use crate::host::Host;
use crate::root::Root;
use crate::slots::TRIES_MAX;
use crate::vm::Vm;
use crate::waiters::{self, Asker, Seat};
use reprise_core::claim::Effect;
use reprise_core::time::MonoMillis;

/// A duplicate whose request has ended, and whose first request runs.
#[derive(Debug)]
pub struct Waiting {
    /// The duplicate.
    pub duplicate: Box<Duplicate>,
    context: u32,
    until: MonoMillis,
    seat: Option<Seat>,
}

/// What a waiter does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It waits on.
    Wait,
    /// It runs: the claim is its own.
    Run(Place),
    /// It gets what is recorded, or hears why there is nothing.
    Settle,
    /// It is told that the first request runs, and after how many seconds a retry makes sense.
    Conflict(u8),
    /// There is no place for its claim.
    Full,
    /// The store does not answer.
    Unavailable,
}

impl Waiting {
    /// Begins to wait until `until` at most.
    #[must_use]
    pub const fn new(duplicate: Box<Duplicate>, context: u32, until: MonoMillis) -> Self {
        Self {
            duplicate,
            context,
            until,
            seat: None,
        }
    }

    /// Looks what became of the first request. Whoever waits on is written where the owner finds it.
    pub fn look(&mut self, host: &impl Host, vm: &mut Vm, root: &Root) -> Next {
        for _ in 0..TRIES_MAX {
            match self.try_look(host, vm, root) {
                Ok(Some(next)) => return next,
                Ok(None) => {}
                Err(StoreFailure) => return Next::Unavailable,
            }
        }
        Next::Unavailable
    }

    /// Looks once; none if it was written only now, and has to look again.
    fn try_look(&mut self, host: &impl Host, vm: &mut Vm, root: &Root) -> Result<Option<Next>, StoreFailure> {
        let now = host.now();
        let moment = Moment {
            now,
            limits: &root.document.store,
        };
        let (keyed, policy) = self.duplicate.asks();
        let met = match self.duplicate.is_kept() {
            true => claims::arrive(host, vm, keyed, policy, &moment)?,
            false => claims::peek(host, vm, keyed, policy, &moment)?,
        };
        Ok(match met {
            Meeting::Owner(place) => Some(Next::Run(place)),
            Meeting::Absent => Some(self.without_body(host, vm, now)?),
            Meeting::Full if !self.duplicate.is_kept() => Some(Next::Conflict(0)),
            Meeting::Full => Some(Next::Full),
            Meeting::Duplicate(_, Effect::RefuseInFlight) if self.until <= now => Some(Next::Conflict(1)),
            Meeting::Duplicate(place, Effect::RefuseInFlight) => self.sit(host, vm, &place, root)?,
            Meeting::Duplicate(place, effect) => {
                self.duplicate.found(place, effect);
                Some(Next::Settle)
            }
        })
    }

    /// The key is free, and this duplicate cannot run: another waiter may.
    fn without_body(&self, host: &impl Host, vm: &mut Vm, now: MonoMillis) -> Result<Next, StoreFailure> {
        let way = self.seat.map(|seat| seat.way).filter(|_| now < self.until);
        Ok(match way {
            Some(way) if waiters::has_heir(host, vm, way)? => Next::Wait,
            Some(_) | None => Next::Conflict(0),
        })
    }

    /// Takes a seat with the claim at `place`, unless it has one there.
    fn sit(&mut self, host: &impl Host, vm: &mut Vm, place: &Place, root: &Root) -> Result<Option<Next>, StoreFailure> {
        if self.seat.is_some_and(|seat| seat.way == (place.bucket, place.at)) {
            return Ok(Some(Next::Wait));
        }
        self.leave(host, vm);
        let asker = Asker {
            context: self.context,
            is_kept: self.duplicate.is_kept(),
            until: self.until,
        };
        self.seat = waiters::sit(host, vm, place, &asker, &root.document.store)?;
        Ok(self.seat.is_none().then_some(Next::Conflict(1)))
    }

    /// Waits no more.
    ///
    /// Again: does nothing.
    pub fn leave(&mut self, host: &impl Host, vm: &mut Vm) {
        if let Some(seat) = self.seat.take() {
            waiters::stand_up(host, vm, &seat);
        }
    }
}
