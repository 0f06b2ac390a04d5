//! Waiting against a model: all interleavings of a few workers, one host call at a time, over one way and its waiters.
//!
//! What decides is the core's own: the way's step, the waiters, their heir. Leases and records are in the other model.
#![cfg(not(target_arch = "wasm32"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "the model is a test from end to end, and small"
)]

mod process;
mod worker;

use process::{At, Fault, Process};
use reprise_core::claim::State;
use stateright::{Checker as _, HasDiscoveries, Model, Property};
use worker::{Doing, Task};

/// What is explored.
#[derive(Debug, Clone, Copy)]
struct Plan {
    workers: usize,
    /// Of each request, whether its body is kept while it waits.
    requests: &'static [bool],
    /// How many runs may take no effect.
    releases: u8,
    /// How many clients may hang up while they wait.
    hang_ups: u8,
    /// How many workers may die; each of the others has one tick after that.
    crashes: u8,
    fault: Option<Fault>,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// A request comes to a worker.
    Arrive(usize, usize),
    /// A request that runs ends, and its claim is released or not.
    End(usize, usize, bool),
    /// The client of a request that waits hangs up.
    HangUp(usize, usize),
    /// A worker's root is called for what is in its queue.
    Wake(usize),
    /// A worker's tick has all look that wait there.
    Tick(usize),
    /// A worker makes its next host call.
    Step(usize),
    /// A worker dies.
    Crash(usize),
}

impl Model for Plan {
    type State = Process;
    type Action = Action;

    fn init_states(&self) -> Vec<Process> {
        vec![Process::new(self)]
    }

    fn actions(&self, process: &Process, actions: &mut Vec<Action>) {
        for at in process.living() {
            if process.workers[at].doing == Doing::Idle {
                self.offer(process, at, actions);
            } else {
                actions.push(Action::Step(at));
            }
            if process.crashes_left > 0 && process.living().count() > 1 {
                actions.push(Action::Crash(at));
            }
        }
    }

    fn next_state(&self, process: &Process, action: Action) -> Option<Process> {
        let mut next = process.clone();
        match action {
            Action::Arrive(at, request) => {
                next.requests[request] = At::Looking {
                    worker: at,
                    seated: false,
                };
                next.begin(at, vec![Task::Look(request)]);
            }
            Action::End(at, request, released) => {
                next.releases_left -= u8::from(released);
                let mut tasks = vec![Task::End(request, released)];
                if self.fault == Some(Fault::WaitersReadFirst) {
                    tasks.insert(0, Task::wakes(released));
                }
                next.begin(at, tasks);
            }
            Action::HangUp(at, request) => {
                next.hang_ups_left -= 1;
                next.requests[request] = At::Gone;
                next.begin(at, vec![Task::Leave(request)]);
            }
            Action::Wake(at) => {
                next.workers[at].is_called = false;
                let mut tasks = next.looks(at);
                tasks.extend((self.fault != Some(Fault::TurnIsNotPassedOn)).then_some(Task::LookWhetherFree));
                next.begin(at, tasks);
            }
            Action::Tick(at) => {
                next.workers[at].ticks_left -= 1;
                let tasks = next.looks(at);
                next.begin(at, tasks);
            }
            Action::Step(at) => next.step(at, self.fault),
            Action::Crash(at) => next.crash(at),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, process: &Process| process.running().count() <= 1),
            Property::always(REMEMBERED, |_, process: &Process| !process.forgets()),
            Property::sometimes("a waiter is answered", |_, process: &Process| {
                process.way.state == State::Done && process.waited > 0
            }),
        ]
    }
}

/// What holds in every state.
const ONCE: &str = "no two run at once";
const REMEMBERED: &str = "no waiter is forgotten";

impl Plan {
    const TWO: Self = Self {
        workers: 2,
        requests: &[true, true, true],
        releases: 1,
        hang_ups: 0,
        crashes: 0,
        fault: None,
    };

    fn offer(&self, process: &Process, at: usize, actions: &mut Vec<Action>) {
        // Requests are told apart by nothing but their bodies: they arrive in one order.
        if let Some(next) = process.requests.iter().position(|request| *request == At::Away) {
            actions.push(Action::Arrive(at, next));
        }
        for (request, place) in process.requests.iter().enumerate() {
            match *place {
                At::Running { worker } if worker == at => {
                    actions.push(Action::End(at, request, false));
                    if process.releases_left > 0 {
                        actions.push(Action::End(at, request, true));
                    }
                }
                At::Looking { worker, seated: true } if worker == at && process.hang_ups_left > 0 => {
                    actions.push(Action::HangUp(at, request));
                }
                _ => {}
            }
        }
        if process.workers[at].is_called {
            actions.push(Action::Wake(at));
        }
        if process.workers[at].ticks_left > 0 {
            actions.push(Action::Tick(at));
        }
    }
}

/// Explores all that `plan` admits.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test says how much it saw")]
fn explore(name: &str, plan: Plan) {
    let checked = plan.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states", checked.unique_state_count());
    checked.assert_properties();
}

/// Checks that the model sees what `fault` breaks.
#[track_caller]
fn finds(fault: Fault, plan: Plan, property: &'static str) {
    let plan = Plan {
        fault: Some(fault),
        ..plan
    };
    let checked = plan
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    assert!(checked.discovery(property).is_some(), "{fault:?} is not found");
}

#[test]
fn three_requests_on_two_workers() {
    explore("a release", Plan::TWO);
}

#[test]
fn four_requests_on_two_workers_of_which_one_hangs_up() {
    let requests = &[true, true, true, true];
    explore(
        "a release, and a client that hangs up",
        Plan {
            requests,
            hang_ups: 1,
            ..Plan::TWO
        },
    );
}

#[test]
fn three_workers_and_a_body_that_is_not_kept() {
    let requests = &[true, false, true];
    explore(
        "three workers",
        Plan {
            workers: 3,
            requests,
            ..Plan::TWO
        },
    );
}

#[test]
fn a_worker_dies() {
    explore(
        "a crash",
        Plan {
            crashes: 1,
            ..Plan::TWO
        },
    );
}

#[test]
fn a_waiter_that_does_not_look_again_is_found() {
    finds(Fault::NoSecondLook, Plan::TWO, REMEMBERED);
}

#[test]
fn an_owner_that_reads_who_waits_before_its_end_is_found() {
    finds(Fault::WaitersReadFirst, Plan::TWO, REMEMBERED);
}

#[test]
fn a_turn_that_is_not_passed_on_is_found() {
    let requests = &[true, true, true];
    finds(
        Fault::TurnIsNotPassedOn,
        Plan {
            hang_ups: 1,
            requests,
            ..Plan::TWO
        },
        REMEMBERED,
    );
}

#[test]
fn a_waiter_that_does_not_see_that_it_was_taken_off_is_found() {
    finds(Fault::TakenUnseen, Plan::TWO, REMEMBERED);
}
