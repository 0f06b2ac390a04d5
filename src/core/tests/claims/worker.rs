//! One worker: one host call a step, and what it makes of it by the core's decisions.

use crate::process::{Fault, LEASE, Plan, Process, Table};
use reprise_core::claim::slot::Held;
use reprise_core::claim::{Fence, Way};
use reprise_core::time::MonoMillis;

/// The slot that a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    at: u8,
    epoch: u16,
    end: MonoMillis,
}

/// One worker of the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) held: Option<Lease>,
    /// Its copy of the table.
    pub(crate) everybody: Table,
    seq: u32,
    /// When the callback that runs began; zero if none does.
    pub(crate) now: MonoMillis,
    pub(crate) doing: Doing,
    /// The record's place whose number it read, as long as that number stands.
    pub(crate) peeked: Option<usize>,
    /// Claims whose requests run.
    pub(crate) owned: Vec<Claim>,
}

/// A claim that a worker owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) key: u8,
    pub(crate) at: u8,
    pub(crate) fence: Fence,
}

/// How a claim's request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Store,
    Unknown,
    Release,
}

/// What one callback is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Arrive {
        key: u8,
        by: Fence,
    },
    End {
        claim: Claim,
        ending: Ending,
        recorded: bool,
    },
    Sweep {
        wiped: usize,
    },
    Tick,
}

impl Task {
    pub(crate) const fn end(claim: Claim, ending: Ending) -> Self {
        Self::End {
            claim,
            ending,
            recorded: false,
        }
    }
}

impl Task {
    /// Gives the first read towards the bucket: an owner asks for its record's number before.
    pub(crate) fn reads(self) -> Doing {
        match self {
            Self::End {
                claim,
                ending: Ending::Store | Ending::Release,
                recorded: false,
            } => Doing::Peek(self, usize::from(claim.at)),
            task => Doing::Read(task),
        }
    }
}

/// What a callback came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Met {
    Nothing,
    Answered,
    Refused,
    Stale,
    Full,
}

/// A bucket as it was read, and whether its number still stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Copied {
    pub(crate) ways: Vec<Way>,
    pub(crate) fresh: bool,
}

/// The next host call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Idle(Met),
    /// Reads the table, to renew or to take a slot.
    Slots {
        task: Task,
        take: bool,
    },
    /// Writes the table.
    Hold {
        task: Task,
        take: bool,
        lease: Lease,
        table: Table,
        fresh: bool,
    },
    /// Reads the number of the record's place.
    Peek(Task, usize),
    /// Reads the bucket.
    Read(Task),
    /// Reads what else it has to know, if anything.
    Ask(Task, Copied),
    /// Writes the bucket; `over` is what the record says of a way that ends within this second.
    Write {
        task: Task,
        copied: Copied,
        over: bool,
    },
    /// Reads a record whose way the sweep frees.
    Look(Copied, usize),
    /// Wipes it.
    Wipe {
        copied: Copied,
        at: usize,
        fresh: bool,
    },
    /// Reads the bucket again for a duplicate whose body has ended.
    Again {
        key: u8,
    },
    /// Reads the record for a duplicate.
    Fetch {
        key: u8,
        at: usize,
        fence: Fence,
        last: bool,
    },
}

impl Worker {
    pub(crate) const NEW: Self = Self {
        held: None,
        everybody: Table::NEW,
        seq: 0,
        now: MonoMillis(0),
        doing: Doing::Idle(Met::Nothing),
        peeked: None,
        owned: Vec::new(),
    };

    /// Tells whether it holds anything that a crash could lose.
    pub(crate) fn has_begun(&self) -> bool {
        self.held.is_some() || !matches!(self.doing, Doing::Idle(_))
    }

    /// Tells whether a third of its lease is gone.
    pub(crate) fn is_due(&self, now: MonoMillis) -> bool {
        self.held.is_some_and(|held| held.end.0 - LEASE.0 / 3 * 2 <= now.0)
    }

    pub(crate) fn idle(&mut self, met: Met) {
        self.now = MonoMillis(0);
        self.peeked = None;
        self.doing = Doing::Idle(met);
    }

    fn lapsed(&self) -> bool {
        self.held.is_some_and(|held| held.end <= self.now)
    }

    /// Goes on once the lease is as the task needs it.
    fn leased(&mut self, task: Task) {
        match (task, self.held) {
            (Task::Arrive { .. }, None) => self.doing = Doing::Slots { task, take: true },
            (Task::Arrive { key, .. }, Some(held)) => {
                self.seq += 1;
                let by = Fence {
                    slot: held.at,
                    epoch: held.epoch,
                    seq: self.seq,
                };
                self.doing = Doing::Read(Task::Arrive { key, by });
            }
            (Task::End { claim, .. }, held) => {
                let owns = held.is_some_and(|held| held.at == claim.fence.slot && held.epoch == claim.fence.epoch);
                if owns {
                    self.doing = task.reads();
                } else {
                    self.idle(Met::Stale);
                }
            }
            (Task::Sweep { .. } | Task::Tick, _) => self.idle(Met::Nothing),
        }
    }
}

impl Process {
    /// Begins a callback of worker `at`, up to and with its first host call.
    pub(crate) fn begin(&mut self, at: usize, task: Task, plan: &Plan) {
        let now = self.now;
        let worker = &mut self.workers[at];
        worker.now = now;
        if let Task::End { claim, .. } = task {
            worker.owned.retain(|owned| *owned != claim);
        }
        match task {
            Task::Sweep { .. } => worker.doing = Doing::Read(task),
            Task::Tick if worker.is_due(now) => worker.doing = Doing::Slots { task, take: false },
            Task::Arrive { .. } | Task::End { .. } if worker.lapsed() => {
                worker.doing = Doing::Slots { task, take: false };
            }
            Task::Arrive { .. } | Task::End { .. } | Task::Tick => worker.leased(task),
        }
        self.step(at, plan);
    }

    /// Makes the next host call of worker `at`.
    pub(crate) fn step(&mut self, at: usize, plan: &Plan) {
        match self.workers[at].doing.clone() {
            Doing::Idle(_) => {}
            Doing::Slots { task, take } => self.read_slots(at, task, take, plan),
            Doing::Hold {
                task,
                take,
                lease,
                table,
                fresh,
            } => {
                if fresh || plan.fault == Some(Fault::WriteWithoutCompare) {
                    self.write_slots(at, table);
                    self.workers[at].held = Some(lease);
                    self.workers[at].everybody = table;
                    self.workers[at].leased(task);
                } else {
                    self.workers[at].doing = Doing::Slots { task, take };
                }
            }
            Doing::Peek(task, place) => {
                self.workers[at].peeked = Some(place);
                self.workers[at].doing = Doing::Read(task);
            }
            Doing::Read(task) => {
                let copied = Copied {
                    ways: self.ways.clone(),
                    fresh: true,
                };
                self.workers[at].doing = Doing::Ask(task, copied);
            }
            Doing::Ask(task, copied) => self.ask(at, task, copied, plan),
            Doing::Write { task, copied, over } => self.decide(at, task, (copied, over), plan),
            Doing::Look(copied, way) => self.look(at, copied, way, plan),
            Doing::Wipe { copied, at: way, fresh } => {
                if fresh || plan.fault == Some(Fault::WipeWithoutCompare) {
                    self.record(way, None);
                }
                self.workers[at].doing = Doing::Write {
                    task: Task::Sweep { wiped: way + 1 },
                    copied,
                    over: false,
                };
            }
            Doing::Again { key } => self.again(at, key),
            Doing::Fetch {
                key,
                at: way,
                fence,
                last,
            } => self.fetch(at, (key, way, fence), last, plan),
        }
    }

    fn read_slots(&mut self, at: usize, task: Task, take: bool, plan: &Plan) {
        let worker = &mut self.workers[at];
        let mut slots = self.table.slots();
        let changed = match worker.held {
            _ if take => slots.take(worker.now, LEASE),
            Some(Lease { at, epoch, end }) => slots.renew(
                &Held {
                    at,
                    epoch,
                    lease_end: end,
                },
                worker.now,
                LEASE,
            ),
            None => None,
        };
        let Some(Held {
            at: slot,
            epoch,
            lease_end: end,
        }) = changed
        else {
            worker.everybody = Table::of(&slots);
            worker.held = None;
            match task {
                Task::Arrive { .. } if take => worker.idle(Met::Full),
                _ => worker.leased(task),
            }
            return;
        };
        let mut lease = Lease { at: slot, epoch, end };
        let mut table = Table::of(&slots);
        if plan.fault == Some(Fault::TakeWithoutEpoch) && epoch > 1 {
            lease.epoch = 1;
            table.set_epoch(slot, 1);
        }
        worker.doing = Doing::Hold {
            task,
            take,
            lease,
            table,
            fresh: true,
        };
    }

    fn write_slots(&mut self, by: usize, table: Table) {
        self.table = table;
        for (at, worker) in self.workers.iter_mut().enumerate() {
            if let (Doing::Hold { fresh, .. }, true) = (&mut worker.doing, at != by) {
                *fresh = false;
            }
        }
    }
}
