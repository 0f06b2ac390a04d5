//! One worker: the callback that it is in, one host call after the other.

use crate::process::{At, Fault, Process, Written, arrival, fence, waiter};
use reprise_core::claim::{Effect, End, Event, State, Way};
use reprise_core::time::MonoMillis;

/// What a callback still has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// A request looks what became of the first one.
    Look(usize),
    /// A request is written among the waiters.
    Sit(usize),
    /// A request that cannot run asks whether another one could.
    AskForHeir(usize),
    /// A request that waits on looks whether it is still written.
    Check(usize),
    /// A request is taken off the waiters.
    Leave(usize),
    /// A run ends, and its claim is released or not.
    End(usize, bool),
    /// A worker that was woken looks whether the way is still free.
    LookWhetherFree,
    /// Wakes who runs next.
    PassOn,
    /// Wakes all.
    WakeAll,
}

/// Where a worker is between two host calls. What was read tells whether it still stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Idle,
    ReadWay(Task),
    WriteWay(Task, Way, bool),
    ReadWaiters(Task),
    WriteWaiters(Task, Written, bool),
    Call(Vec<usize>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) lives: bool,
    pub(crate) doing: Doing,
    pub(crate) todo: Vec<Task>,
    /// Whether its queue has something for it.
    pub(crate) is_called: bool,
    pub(crate) ticks_left: u8,
}

impl Worker {
    pub(crate) const NEW: Self = Self {
        lives: true,
        doing: Doing::Idle,
        todo: Vec::new(),
        is_called: false,
        ticks_left: 0,
    };
}

impl Task {
    /// Who is woken after an end.
    pub(crate) const fn wakes(released: bool) -> Self {
        match released {
            true => Self::PassOn,
            false => Self::WakeAll,
        }
    }

    const fn begin(self) -> Doing {
        match self {
            Self::Look(_) | Self::End(..) | Self::LookWhetherFree => Doing::ReadWay(self),
            Self::Sit(_) | Self::Check(_) | Self::AskForHeir(_) | Self::Leave(_) | Self::PassOn | Self::WakeAll => {
                Doing::ReadWaiters(self)
            }
        }
    }
}

impl Process {
    /// Begins a callback.
    pub(crate) fn begin(&mut self, at: usize, tasks: Vec<Task>) {
        self.workers[at].todo = tasks;
        self.next(at);
    }

    fn next(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.doing = match worker.todo.is_empty() {
            true => Doing::Idle,
            false => worker.todo.remove(0).begin(),
        };
    }

    /// Goes on with `task` before all that is still to do.
    fn first(&mut self, at: usize, task: Task) {
        self.workers[at].doing = task.begin();
    }

    /// Makes the next host call of a worker.
    pub(crate) fn step(&mut self, at: usize, fault: Option<Fault>) {
        match self.workers[at].doing.clone() {
            Doing::Idle => {}
            Doing::ReadWay(task) => self.workers[at].doing = Doing::WriteWay(task, self.way, true),
            Doing::ReadWaiters(task) => {
                self.workers[at].doing = Doing::WriteWaiters(task, self.waiters.clone(), true);
            }
            Doing::WriteWay(task, way, fresh) => self.decide(at, task, (way, fresh), fault),
            Doing::WriteWaiters(task, waiters, fresh) => self.settle(at, task, (waiters, fresh), fault),
            Doing::Call(workers) => {
                for called in workers {
                    self.workers[called].is_called |= self.workers[called].lives;
                }
                self.next(at);
            }
        }
    }

    fn put_way(&mut self, at: usize, way: Way) {
        self.way = way;
        for (other, worker) in self.workers.iter_mut().enumerate() {
            if let (true, Doing::WriteWay(_, _, fresh)) = (other != at, &mut worker.doing) {
                *fresh = false;
            }
        }
    }

    fn put_waiters(&mut self, at: usize, waiters: Written) {
        self.waiters = waiters;
        for (other, worker) in self.workers.iter_mut().enumerate() {
            if let (true, Doing::WriteWaiters(_, _, fresh)) = (other != at, &mut worker.doing) {
                *fresh = false;
            }
        }
    }

    /// Decides by the way that was read, and writes it if it still stands.
    fn decide(&mut self, at: usize, task: Task, (way, fresh): (Way, bool), fault: Option<Fault>) {
        match task {
            Task::Look(request) => self.look(at, request, (way, fresh), fault),
            Task::End(request, released) => self.end(at, (request, released), (way, fresh), fault),
            _ if way.state == State::Free => self.first(at, Task::PassOn),
            _ => self.next(at),
        }
    }

    fn look(&mut self, at: usize, request: usize, (way, fresh): (Way, bool), fault: Option<Fault>) {
        let lives = way.state == State::Running && self.lives(&way.fence);
        let (next, effect) = way.step(arrival(fence(at, request), lives));
        let At::Looking { seated, .. } = self.requests[request] else {
            return self.next(at);
        };
        if effect == Effect::Forward && !self.kept[request] {
            return self.first(at, Task::AskForHeir(request));
        }
        if next != way {
            if !fresh {
                return self.first(at, Task::Look(request));
            }
            self.put_way(at, next);
        }
        self.requests[request] = match effect {
            Effect::Forward => At::Running { worker: at },
            Effect::RefuseInFlight if seated && fault == Some(Fault::TakenUnseen) => return self.next(at),
            Effect::RefuseInFlight if seated => return self.first(at, Task::Check(request)),
            Effect::RefuseInFlight => return self.first(at, Task::Sit(request)),
            _ => At::Gone,
        };
        self.waited += u8::from(effect == Effect::Answer && seated);
        match seated {
            true => self.first(at, Task::Leave(request)),
            false => self.next(at),
        }
    }

    fn end(&mut self, at: usize, (request, released): (usize, bool), (way, fresh): (Way, bool), fault: Option<Fault>) {
        let by = fence(at, request);
        let (end, expiry) = (End::Done, MonoMillis(1_000_000));
        let (next, effect) = way.step(match released {
            true => Event::Release { by },
            false => Event::Finish { by, end, expiry },
        });
        if effect != Effect::Keep {
            self.requests[request] = At::Gone;
            return self.next(at);
        }
        if !fresh {
            return self.first(at, Task::End(request, released));
        }
        self.put_way(at, next);
        self.requests[request] = At::Gone;
        match fault {
            Some(Fault::WaitersReadFirst) => self.next(at),
            _ => self.first(at, Task::wakes(released)),
        }
    }

    /// Decides by the waiters that were read, and writes them if they still stand.
    fn settle(&mut self, at: usize, task: Task, (mut waiters, fresh): (Written, bool), fault: Option<Fault>) {
        let own = |request| fence(at, request);
        let changes = match task {
            Task::Sit(request) => waiters.0.push(waiter(own(request), self.kept[request]), 64),
            Task::Check(request) => {
                let is_written = waiters.0.of(0).any(|waiter| waiter.by == own(request));
                return match is_written {
                    true => self.next(at),
                    false => self.first(at, Task::Sit(request)),
                };
            }
            Task::Leave(request) => waiters.0.remove(&own(request)),
            Task::WakeAll | Task::PassOn | Task::AskForHeir(_) => {
                return self.call(at, task, (waiters, fresh));
            }
            Task::Look(_) | Task::End(..) | Task::LookWhetherFree => false,
        };
        if changes && !fresh {
            return self.first(at, task);
        }
        if changes {
            self.put_waiters(at, waiters);
        }
        match task {
            Task::Sit(request) => {
                self.requests[request] = At::Looking {
                    worker: at,
                    seated: true,
                };
                match fault {
                    Some(Fault::NoSecondLook) => self.next(at),
                    _ => self.first(at, Task::Look(request)),
                }
            }
            _ => self.next(at),
        }
    }

    fn call(&mut self, at: usize, task: Task, (mut waiters, fresh): (Written, bool)) {
        let is_there = |by: &reprise_core::claim::Fence| {
            let (worker, request) = (usize::from(by.slot), usize::try_from(by.seq).unwrap());
            let waits = self.requests[request] == At::Looking { worker, seated: true };
            self.lives(by) && (worker != at || waits)
        };
        let heir = waiters.0.heir(0, is_there).map(|heir| usize::from(heir.by.slot));
        match (task, heir) {
            (Task::AskForHeir(request), Some(_)) => self.first(at, Task::Check(request)),
            (Task::AskForHeir(request), None) => {
                self.requests[request] = At::Gone;
                self.first(at, Task::Leave(request));
            }
            (Task::PassOn, Some(worker)) => self.workers[at].doing = Doing::Call(vec![worker]),
            (Task::PassOn, None) => self.first(at, Task::WakeAll),
            _ => {
                let mut called: Vec<_> = waiters.0.take(0).iter().map(|each| usize::from(each.by.slot)).collect();
                called.sort_unstable();
                called.dedup();
                if called.is_empty() {
                    return self.next(at);
                }
                if !fresh {
                    return self.first(at, task);
                }
                self.put_waiters(at, waiters);
                self.workers[at].doing = Doing::Call(called);
            }
        }
    }
}
