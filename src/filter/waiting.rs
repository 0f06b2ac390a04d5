//! A duplicate that waits: what it finds each time it looks, and what follows from that.

use crate::claims::{self, Meeting, Moment, Place, StoreFailure};
use crate::duplicate::Duplicate;
use crate::host::Host;
use crate::queues::Way;
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
            Meeting::Absent => self.without_body(host, vm, now, root)?,
            Meeting::Full if !self.duplicate.is_kept() => Some(Next::Conflict(0)),
            Meeting::Full => Some(Next::Full),
            Meeting::Duplicate(_, Effect::RefuseInFlight) if self.until <= now => Some(Next::Conflict(1)),
            Meeting::Duplicate(place, Effect::RefuseInFlight) => self.sit(host, vm, (place.bucket, place.at), root)?,
            Meeting::Duplicate(place, effect) => {
                self.duplicate.found(place, effect, self.seat.is_some());
                Some(Next::Settle)
            }
        })
    }

    /// The key is free, and this duplicate cannot run: another waiter may.
    fn without_body(
        &mut self,
        host: &impl Host,
        vm: &mut Vm,
        now: MonoMillis,
        root: &Root,
    ) -> Result<Option<Next>, StoreFailure> {
        let way = self.seat.map(|seat| seat.way).filter(|_| now < self.until);
        match way {
            Some(way) if waiters::has_heir(host, vm, way)? => self.sit(host, vm, way, root),
            Some(_) | None => Ok(Some(Next::Conflict(0))),
        }
    }

    /// Takes a seat with the claim of a way, unless it has one there; none if it has to look again.
    fn sit(&mut self, host: &impl Host, vm: &mut Vm, way: Way, root: &Root) -> Result<Option<Next>, StoreFailure> {
        // Whoever woke all has taken it off; it may find another one running since.
        if let Some(seat) = self.seat.filter(|seat| seat.way == way)
            && waiters::is_written(host, &seat)?
        {
            return Ok(Some(Next::Wait));
        }
        self.leave(host, vm);
        let asker = Asker {
            context: self.context,
            is_kept: self.duplicate.is_kept(),
            until: self.until,
        };
        self.seat = waiters::sit(host, vm, way, &asker, &root.document.store)?;
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
