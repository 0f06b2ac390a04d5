//! The claim protocol against a model: all interleavings of a few workers over one bucket.
//!
//! What decides is the core's own: the way's step, the bucket's places, the slots' leases. The model adds the edge: one
//! host call at a time, a clock that goes on between any two of them, workers that die. Waiters have a model of their own.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "the model is a test from end to end")]

mod bucket;
mod process;
mod worker;

use process::{Fault, Left, PASS, Plan, Process};
use reprise_core::claim::{Fence, State, Way};
use reprise_core::config::{OnFull, OnUnknown};
use stateright::{Checker as _, HasDiscoveries, Model, Property};
use worker::{Claim, Doing, Ending, Met, Task, Worker};

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// A request with this key comes to a worker.
    Arrive(usize, u8),
    /// A request that a worker owns ends.
    End(usize, Claim, Ending),
    /// A worker's tick renews its lease.
    Tick(usize),
    /// A worker sweeps the bucket.
    Sweep(usize),
    /// A worker makes its next host call.
    Step(usize),
    /// A worker dies; another VM takes its place.
    Crash(usize),
    /// The clock goes on.
    Pass,
}

impl Model for Plan {
    type State = Process;
    type Action = Action;

    fn init_states(&self) -> Vec<Process> {
        vec![Process::new(self)]
    }

    fn actions(&self, process: &Process, actions: &mut Vec<Action>) {
        for (at, worker) in process.workers.iter().enumerate() {
            self.offer(process, (at, worker), actions);
            if process.left.crashes > 0 && worker.has_begun() {
                actions.push(Action::Crash(at));
            }
        }
        if process.left.passes > 0 {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, process: &Process, action: Action) -> Option<Process> {
        let mut next = process.clone();
        let by = Fence::default();
        match action {
            Action::Arrive(at, key) => {
                next.left.arrivals -= 1;
                next.begin(at, Task::Arrive { key, by }, self);
            }
            Action::End(at, claim, ending) => next.begin(at, Task::end(claim, ending), self),
            Action::Tick(at) => {
                next.left.ticks -= 1;
                next.begin(at, Task::Tick, self);
            }
            Action::Sweep(at) => {
                next.left.sweeps -= 1;
                next.begin(at, Task::Sweep { wiped: 0 }, self);
            }
            Action::Step(at) => next.step(at, self),
            Action::Crash(at) => {
                next.left.crashes -= 1;
                next.workers[at] = Worker::NEW;
            }
            Action::Pass => {
                next.left.passes -= 1;
                next.now = next.now.plus(PASS);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SOUND, |_, process: &Process| process.wrong().is_none()),
            Property::sometimes("a repeat is answered", |_, process| met_by(process, Met::Answered)),
            Property::sometimes("an end is stale", |_, process| met_by(process, Met::Stale)),
            Property::sometimes("an outcome is unknown", |_, process: &Process| {
                process.ways.iter().any(|way| way.state == State::Unknown)
            }),
        ]
    }
}

/// What holds in every state.
const SOUND: &str = "one run a key without an unknown between, and every answer is its record";

impl Plan {
    const HOLD: Self = Self {
        workers: 2,
        keys: 1,
        ways: 1,
        on_unknown: OnUnknown::Hold,
        on_full: OnFull::Refuse,
        left: left([2, 3, 0, 1, 1]),
        fault: None,
    };
    const RELEASE: Self = Self {
        on_unknown: OnUnknown::Release,
        left: left([3, 2, 0, 0, 0]),
        ..Self::HOLD
    };

    /// Says what a worker may do: its next host call, or a new callback if none runs.
    fn offer(&self, process: &Process, (at, worker): (usize, &Worker), actions: &mut Vec<Action>) {
        if !matches!(worker.doing, Doing::Idle(_)) {
            actions.push(Action::Step(at));
            return;
        }
        let left = process.left;
        if left.arrivals > 0 {
            actions.extend((0..self.keys).map(|key| Action::Arrive(at, key)));
        }
        if left.ticks > 0 && worker.is_due(process.now) {
            actions.push(Action::Tick(at));
        }
        if left.sweeps > 0 && process.ways.iter().any(|way| *way != Way::FREE) {
            actions.push(Action::Sweep(at));
        }
        for claim in &worker.owned {
            let endings = [Ending::Store, Ending::Unknown, Ending::Release];
            actions.extend(endings.map(|ending| Action::End(at, *claim, ending)));
        }
    }
}

fn met_by(process: &Process, wanted: Met) -> bool {
    process.workers.iter().any(|worker| worker.doing == Doing::Idle(wanted))
}

/// Explores all that `plan` admits.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test says how much it saw")]
fn explore(name: &str, plan: Plan) {
    let checked = plan.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps deep",
        checked.unique_state_count(),
        checked.max_depth()
    );
    checked.assert_properties();
}

/// Checks that the model sees what `fault` breaks.
#[track_caller]
fn finds(fault: Fault, plan: Plan) {
    let plan = Plan {
        fault: Some(fault),
        ..plan
    };
    let failed = HasDiscoveries::AnyFailures;
    let checked = plan.checker().threads(2).finish_when(failed).spawn_bfs().join();
    assert!(checked.discovery(SOUND).is_some(), "{fault:?} is not found");
}

const fn left([arrivals, passes, ticks, sweeps, crashes]: [u8; 5]) -> Left {
    Left {
        arrivals,
        passes,
        ticks,
        sweeps,
        crashes,
    }
}

#[test]
fn one_key_runs_once_on_two_workers_of_which_one_dies() {
    explore("a crash and a sweep", Plan::HOLD);
}

#[test]
fn one_key_runs_once_where_slots_are_renewed_and_taken_over() {
    let left = left([2, 4, 1, 0, 0]);
    explore("a takeover", Plan { left, ..Plan::HOLD });
}

#[test]
fn one_key_runs_once_on_three_workers() {
    let left = left([2, 2, 0, 0, 0]);
    let workers = 3;
    explore(
        "three workers",
        Plan {
            workers,
            left,
            ..Plan::HOLD
        },
    );
}

#[test]
fn two_keys_that_share_one_way_never_share_a_record() {
    let plan = Plan {
        keys: 2,
        on_full: OnFull::Evict,
        left: left([2, 3, 0, 0, 0]),
        ..Plan::HOLD
    };
    explore("two keys, one way", plan);
}

#[test]
fn a_key_that_is_released_when_unknown_keeps_the_record_of_its_last_run() {
    explore("released when unknown", Plan::RELEASE);
}

#[test]
fn an_end_without_its_fence_is_found() {
    finds(Fault::EndWithoutFence, Plan::RELEASE);
}

#[test]
fn an_answer_without_its_fence_is_found() {
    let left = left([3, 3, 0, 0, 0]);
    finds(Fault::AnswerWithoutFence, Plan { left, ..Plan::HOLD });
}

#[test]
fn a_claim_that_is_free_once_its_holder_is_dead_is_found() {
    finds(Fault::DeadIsFree, Plan::HOLD);
}

#[test]
fn a_bucket_that_is_written_without_comparing_is_found() {
    finds(Fault::WriteWithoutCompare, Plan::HOLD);
}

#[test]
fn a_slot_that_keeps_its_epoch_is_found() {
    let left = left([2, 4, 0, 0, 0]);
    finds(
        Fault::TakeWithoutEpoch,
        Plan {
            left,
            keys: 2,
            ways: 2,
            ..Plan::HOLD
        },
    );
}

#[test]
fn a_record_that_is_wiped_without_looking_is_found() {
    let left = left([2, 3, 0, 1, 0]);
    finds(Fault::WipeWithoutCompare, Plan { left, ..Plan::HOLD });
}

#[test]
fn a_record_that_is_written_whatever_stands_there_is_found() {
    finds(Fault::RecordWithoutCompare, Plan::RELEASE);
}
