//! What a worker makes of the bucket: what a request meets, how a claim ends, what the sweep frees.

use crate::process::{Actor, Fault, Plan, Process, RETAIN, Record, bucket, tag};
use crate::worker::{Claim, Copied, Doing, Ending, Met, Task};
use reprise_core::claim::{Age, Arrival, Effect, End, Event, Fence, State, Way};
use reprise_core::time::MonoMillis;

impl Process {
    /// Asks the record of a way that ends within this second, or the table about a holder that the copy calls dead.
    pub(crate) fn ask(&mut self, at: usize, task: Task, copied: Copied, plan: &Plan) {
        let (now, copy) = (self.workers[at].now, self.workers[at].everybody.slots());
        let asked: Vec<Way> = match task {
            Task::Arrive { key, .. } => seat(&copied.ways, key, now, plan)
                .map(|(_, way, _)| way)
                .into_iter()
                .collect(),
            Task::Sweep { .. } => copied.ways.clone(),
            Task::End { .. } | Task::Tick => Vec::new(),
        };
        let is_doubtful = |way: &Way| way.state == State::Running && !copy.lives(&way.fence, now);
        let is_ending = |way: &Way| way.age(now) == Age::Ending && matches!(way.state, State::Done | State::Tombstone);
        if asked.iter().any(is_doubtful) {
            self.workers[at].everybody = self.table;
            self.workers[at].doing = Doing::Write {
                task,
                copied,
                over: false,
            };
        } else if let (Task::Arrive { key, .. }, Some(true)) = (task, asked.first().map(is_ending)) {
            let place = seat(&copied.ways, key, now, plan).map(|(place, ..)| place);
            let record = place.and_then(|place| self.records[place]);
            let over = record.is_some_and(|record| record.fence == asked[0].fence && record.expiry <= now);
            self.workers[at].doing = Doing::Write { task, copied, over };
        } else if let Task::End {
            claim,
            ending,
            recorded: false,
        } = task
        {
            self.write_record(at, (claim, ending), copied, plan);
        } else {
            self.decide(at, task, (copied, false), plan);
        }
    }

    /// Writes the record of a claim that is still the worker's; the bucket comes next.
    fn write_record(&mut self, at: usize, (claim, ending): (Claim, Ending), copied: Copied, plan: &Plan) {
        let now = self.workers[at].now;
        let (_, effect) = step(copied.ways[usize::from(claim.at)], ending.event(claim.fence, now), plan);
        let task = Task::End {
            claim,
            ending,
            recorded: true,
        };
        if effect != Effect::Keep || ending == Ending::Unknown {
            self.decide(at, task, (copied, false), plan);
            return;
        }
        let place = usize::from(claim.at);
        if self.workers[at].peeked.is_none() && plan.fault != Some(Fault::RecordWithoutCompare) {
            self.workers[at].doing = Task::end(claim, ending).reads();
            return;
        }
        self.record(place, claim.record(ending, now));
        self.workers[at].doing = Doing::Write {
            task,
            copied,
            over: false,
        };
    }

    pub(crate) fn decide(&mut self, at: usize, task: Task, (copied, over): (Copied, bool), plan: &Plan) {
        match task {
            Task::Arrive { key, by } => self.arrive(at, (key, by), (&copied, over), plan),
            Task::End { claim, ending, .. } => self.end_claim(at, (claim, ending, task), &copied, plan),
            Task::Sweep { wiped } => self.sweep(at, copied, wiped, plan),
            Task::Tick => self.workers[at].idle(Met::Nothing),
        }
    }

    fn arrive(&mut self, at: usize, (key, by): (u8, Fence), (copied, over): (&Copied, bool), plan: &Plan) {
        let now = self.workers[at].now;
        let Some((place, way, evicts)) = seat(&copied.ways, key, now, plan) else {
            self.workers[at].idle(Met::Full);
            return;
        };
        let lives = way.state == State::Running && self.workers[at].everybody.slots().lives(&way.fence, now);
        let arrival = Arrival {
            tag: tag(key),
            by,
            principal_row: 0,
            head: 0,
            on_unknown: plan.on_unknown,
            unknown_until: now.plus(RETAIN),
        };
        let event = Event::Arrive {
            arrival,
            holder_lives: lives,
            over: over || way.age(now) == Age::Over,
        };
        let (next, effect) = step(if evicts { Way::FREE } else { way }, event, plan);
        if next != way && !self.replace((at, copied.fresh), (place, next), None, plan) {
            self.workers[at].doing = Doing::Read(Task::Arrive { key, by });
            return;
        }
        match effect {
            Effect::Forward => {
                let claim = Claim {
                    key,
                    at: u8::try_from(place).unwrap(),
                    fence: by,
                };
                self.workers[at].owned.push(claim);
                self.workers[at].idle(Met::Nothing);
            }
            Effect::Answer => {
                self.workers[at].doing = Doing::Fetch {
                    key,
                    at: place,
                    fence: next.fence,
                    last: false,
                }
            }
            _ => self.workers[at].doing = Doing::Again { key },
        }
    }

    fn end_claim(&mut self, at: usize, (claim, ending, task): (Claim, Ending, Task), copied: &Copied, plan: &Plan) {
        let now = self.workers[at].now;
        let place = usize::from(claim.at);
        let (next, effect) = step(copied.ways[place], ending.event(claim.fence, now), plan);
        if effect != Effect::Keep {
            self.workers[at].idle(Met::Stale);
            return;
        }
        if !self.replace((at, copied.fresh), (place, next), Some(claim.fence), plan) {
            self.workers[at].doing = task.reads();
            return;
        }
        self.workers[at].idle(Met::Nothing);
    }

    /// Sweeps all ways by one write; the records of those that are freed go before.
    fn sweep(&mut self, at: usize, copied: Copied, wiped: usize, plan: &Plan) {
        let now = self.workers[at].now;
        let slots = self.workers[at].everybody.slots();
        let swept = |way: &Way| {
            let holder_lives = way.state == State::Running && slots.lives(&way.fence, now);
            let over = way.age(now) == Age::Over;
            step(
                *way,
                Event::Sweep {
                    holder_lives,
                    over,
                    unknown_until: now.plus(RETAIN),
                },
                plan,
            )
            .0
        };
        let next: Vec<Way> = copied.ways.iter().map(swept).collect();
        let freed = |way: &usize| next[*way].state == State::Free && copied.ways[*way].state != State::Free;
        if let Some(way) = (wiped..next.len()).find(freed) {
            self.workers[at].doing = Doing::Look(copied, way);
            return;
        }
        if next != copied.ways && (copied.fresh || plan.fault == Some(Fault::WriteWithoutCompare)) {
            let actor = Actor { now, ends: None };
            for (place, next) in next
                .into_iter()
                .enumerate()
                .filter(|(place, next)| *next != copied.ways[*place])
            {
                self.put(place, next, actor, plan);
            }
            self.bucket_changed(at);
        }
        self.workers[at].idle(Met::Nothing);
    }

    pub(crate) fn look(&mut self, at: usize, copied: Copied, way: usize, plan: &Plan) {
        let is_blind = plan.fault == Some(Fault::WipeWithoutCompare);
        let over = is_blind || self.records[way].is_none_or(|record| record.expiry <= self.workers[at].now);
        self.workers[at].doing = if over {
            Doing::Wipe {
                copied,
                at: way,
                fresh: true,
            }
        } else {
            Doing::Write {
                task: Task::Sweep { wiped: way + 1 },
                copied,
                over: false,
            }
        };
    }

    /// Looks what stands at a duplicate's key by now.
    pub(crate) fn again(&mut self, at: usize, key: u8) {
        let found = bucket(&self.ways).find(&tag(key));
        match found {
            Some((place, way)) if matches!(way.state, State::Done | State::Tombstone) => {
                let at_place = usize::from(place);
                self.workers[at].doing = Doing::Fetch {
                    key,
                    at: at_place,
                    fence: way.fence,
                    last: true,
                };
            }
            _ => self.workers[at].idle(Met::Refused),
        }
    }

    pub(crate) fn fetch(&mut self, at: usize, (key, way, fence): (u8, usize, Fence), last: bool, plan: &Plan) {
        let compares = plan.fault != Some(Fault::AnswerWithoutFence);
        match self.records[way].filter(|record| record.fence == fence || !compares) {
            Some(record) => {
                self.answered(key, &record);
                self.workers[at].idle(Met::Answered);
            }
            None if last => self.workers[at].idle(Met::Refused),
            None => self.workers[at].doing = Doing::Again { key },
        }
    }

    /// Replaces one way, if the bucket's number still stands; tells whether it did.
    fn replace(
        &mut self,
        (by, fresh): (usize, bool),
        (place, next): (usize, Way),
        ends: Option<Fence>,
        plan: &Plan,
    ) -> bool {
        if !fresh && plan.fault != Some(Fault::WriteWithoutCompare) {
            return false;
        }
        let now = self.workers[by].now;
        self.put(place, next, Actor { now, ends }, plan);
        self.bucket_changed(by);
        true
    }

    fn bucket_changed(&mut self, by: usize) {
        for (at, worker) in self.workers.iter_mut().enumerate() {
            if let (
                true,
                Doing::Ask(_, copied)
                | Doing::Write { copied, .. }
                | Doing::Look(copied, _)
                | Doing::Wipe { copied, .. },
            ) = (at != by, &mut worker.doing)
            {
                copied.fresh = false;
            }
        }
    }

    pub(crate) fn record(&mut self, place: usize, record: Option<Record>) {
        self.records[place] = record;
        for worker in &mut self.workers {
            worker.peeked = worker.peeked.filter(|peeked| *peeked != place);
            if let Doing::Wipe { at, fresh, .. } = &mut worker.doing
                && *at == place
            {
                *fresh = false;
            }
        }
    }
}

/// Finds the way of `key`, else a place for it, and whether a record goes for it.
fn seat(ways: &[Way], key: u8, now: MonoMillis, plan: &Plan) -> Option<(usize, Way, bool)> {
    let bucket = bucket(ways);
    if let Some((at, way)) = bucket.find(&tag(key)) {
        return Some((usize::from(at), way, false));
    }
    let place = bucket.place(now, plan.on_full)?;
    Some((usize::from(place.at), bucket.way(place.at), place.evicts))
}

/// The core's step, but for the fault that is planted.
fn step(way: Way, event: Event, plan: &Plan) -> (Way, Effect) {
    match (plan.fault, event) {
        (Some(Fault::EndWithoutFence), Event::Finish { end, expiry, .. }) => way.step(Event::Finish {
            by: way.fence,
            end,
            expiry,
        }),
        (
            Some(Fault::DeadIsFree),
            Event::Arrive {
                holder_lives: false, ..
            },
        ) if way.state == State::Running => Way::FREE.step(event),
        _ => way.step(event),
    }
}

impl Claim {
    fn record(&self, ending: Ending, now: MonoMillis) -> Option<Record> {
        let expiry = now.plus(RETAIN);
        (ending == Ending::Store).then_some(Record {
            key: self.key,
            fence: self.fence,
            expiry,
        })
    }
}

impl Ending {
    fn event(self, by: Fence, now: MonoMillis) -> Event {
        let finish = |end| Event::Finish {
            by,
            end,
            expiry: now.plus(RETAIN),
        };
        match self {
            Self::Store => finish(End::Done),
            Self::Unknown => finish(End::Unknown),
            Self::Release => Event::Release { by },
        }
    }
}
