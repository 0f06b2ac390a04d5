//! One process: the way, who waits for it, and where each request stands.

use crate::Plan;
use crate::worker::{Doing, Task, Worker};
use reprise_core::claim::waiters::{Waiter, Waiters};
use reprise_core::claim::{Arrival, Event, Fence, State, Way};
use reprise_core::config::OnUnknown;
use reprise_core::id::Tag;
use reprise_core::time::MonoMillis;
use std::hash::{Hash, Hasher};

/// What a test leaves out of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A waiter does not look again once it is written.
    NoSecondLook,
    /// An owner reads who waits before it ends its claim.
    WaitersReadFirst,
    /// A worker that is woken for one who is gone leaves it at that.
    TurnIsNotPassedOn,
    /// A waiter that was woken and finds another run does not see that it was taken off.
    TakenUnseen,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// It has not come yet.
    Away,
    /// It is a duplicate, and may be written among the waiters.
    Looking { worker: usize, seated: bool },
    /// It owns the claim.
    Running { worker: usize },
    /// It was answered or refused, or its client or worker is gone.
    Gone,
}

/// The waiters, as the model compares states by them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Written(pub(crate) Waiters);

impl Hash for Written {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.write().hash(state);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) way: Way,
    pub(crate) waiters: Written,
    pub(crate) workers: Vec<Worker>,
    pub(crate) requests: Vec<At>,
    pub(crate) kept: Vec<bool>,
    pub(crate) releases_left: u8,
    pub(crate) hang_ups_left: u8,
    pub(crate) crashes_left: u8,
    /// How many were answered after they had waited.
    pub(crate) waited: u8,
}

impl Process {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            way: Way::FREE,
            waiters: Written::default(),
            workers: vec![Worker::NEW; plan.workers],
            requests: vec![At::Away; plan.requests.len()],
            kept: plan.requests.to_vec(),
            releases_left: plan.releases,
            hang_ups_left: plan.hang_ups,
            crashes_left: plan.crashes,
            waited: 0,
        }
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.workers.len()).filter(|at| self.workers[*at].lives)
    }

    pub(crate) fn lives(&self, by: &Fence) -> bool {
        self.workers[usize::from(by.slot)].lives
    }

    /// Shows the requests that run: their workers live.
    pub(crate) fn running(&self) -> impl Iterator<Item = &At> {
        self.requests
            .iter()
            .filter(|request| matches!(request, At::Running { .. }))
    }

    /// Tells whether somebody waits whom nobody will wake: nobody does anything, and the claim does not run.
    pub(crate) fn forgets(&self) -> bool {
        let is_at_rest = |at: usize| {
            let worker = &self.workers[at];
            worker.doing == Doing::Idle && !worker.is_called && worker.ticks_left == 0
        };
        let runs = self.way.state == State::Running && self.lives(&self.way.fence);
        let waits = |request: &At| matches!(request, At::Looking { .. });
        !runs && self.living().all(is_at_rest) && self.requests.iter().any(waits)
    }

    /// Gives the looks of all that wait at a worker, longest first.
    pub(crate) fn looks(&self, at: usize) -> Vec<Task> {
        let waits = |request: &usize| {
            self.requests[*request]
                == At::Looking {
                    worker: at,
                    seated: true,
                }
        };
        (0..self.requests.len()).filter(waits).map(Task::Look).collect()
    }

    /// A worker dies with all that it holds; its claim is not renewed.
    pub(crate) fn crash(&mut self, at: usize) {
        self.crashes_left -= 1;
        self.workers[at] = Worker {
            lives: false,
            ..Worker::NEW
        };
        for request in &mut self.requests {
            match *request {
                At::Looking { worker, .. } | At::Running { worker } if worker == at => *request = At::Gone,
                _ => {}
            }
        }
        for worker in &mut self.workers {
            worker.ticks_left = u8::from(worker.lives);
        }
    }
}

/// Gives the fence that a request's claim or seat has.
pub(crate) fn fence(worker: usize, request: usize) -> Fence {
    Fence {
        slot: u8::try_from(worker).unwrap(),
        epoch: 1,
        seq: u32::try_from(request).unwrap(),
    }
}

/// Makes the arrival of a request.
pub(crate) fn arrival(by: Fence, holder_lives: bool) -> Event {
    Event::Arrive {
        arrival: Arrival {
            tag: Tag([7; 16]),
            by,
            principal_row: 0,
            head: 0,
            on_unknown: OnUnknown::Hold,
            unknown_until: MonoMillis(1_000_000),
        },
        holder_lives,
        over: false,
    }
}

/// Makes the waiter that a request is.
pub(crate) fn waiter(by: Fence, is_kept: bool) -> Waiter {
    Waiter {
        at: 0,
        is_kept,
        by,
        context: by.seq,
    }
}
