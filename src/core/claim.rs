//! The claim: who may run a request, and what became of it. One way, one table.
//!
//! Where ways stand is in [`bucket`], whose lease counts in [`slot`], what a response leaves behind in [`record`].

pub mod bucket;
pub mod geometry;
pub mod record;
pub mod slot;
pub mod usage;
pub mod waiters;

use crate::config::OnUnknown;
use crate::id::Tag;
use crate::time::MonoMillis;

/// Proves which claim is meant: no two claims of one store have the same fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fence {
    /// The worker's slot.
    pub slot: u8,
    /// The slot's epoch: who holds it now.
    pub epoch: u16,
    /// Counts the worker's claims.
    pub seq: u32,
}

/// What a way says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing.
    Free,
    /// The first request runs, as long as its holder lives.
    Running,
    /// The first response is recorded.
    Done,
    /// Nobody knows whether the first request took effect.
    Unknown,
    /// There was a response, which is not kept.
    Tombstone,
}

/// One place of a bucket.
///
/// Units: `expiry_s` counts seconds of the monotonic clock, rounded down; it means nothing while a way runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Way {
    /// The key that it is about.
    pub tag: Tag,
    /// What it says.
    pub state: State,
    /// Who wrote it.
    pub fence: Fence,
    /// When its record is absent again.
    pub expiry_s: u32,
    /// The row in which the key counts.
    pub principal_row: u16,
    /// 16 bits of the first request's head digest.
    pub head: u16,
}

/// Whether a way's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// It counts.
    Fresh,
    /// It ends within this very second: its record knows when.
    Ending,
    /// It is absent.
    Over,
}

/// A request that asks for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The key.
    pub tag: Tag,
    /// The fence that a claim would get.
    pub by: Fence,
    /// The row in which the key would count.
    pub principal_row: u16,
    /// 16 bits of the head digest.
    pub head: u16,
    /// What a repeat meets after an unknown outcome.
    pub on_unknown: OnUnknown,
    /// When an outcome that becomes unknown now is absent again.
    pub unknown_until: MonoMillis,
}

/// What happens to a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A request with the way's key arrives (or with another key, which found this way free or over).
    Arrive {
        /// The request.
        arrival: Arrival,
        /// Whether the holder of a claim lives; counts for running ways only.
        holder_lives: bool,
        /// Whether the way's time is over; counts for ways that are not running.
        over: bool,
    },
    /// The owner saw the end.
    Finish {
        /// The owner.
        by: Fence,
        /// Done, unknown or tombstone.
        end: End,
        /// When the record is absent again.
        expiry: MonoMillis,
    },
    /// The owner knows that nothing ran.
    Release {
        /// The owner.
        by: Fence,
    },
    /// The sweep comes by.
    Sweep {
        /// Whether the holder of a claim lives; counts for running ways only.
        holder_lives: bool,
        /// Whether the way's time is over; counts for ways that are not running.
        over: bool,
        /// When an outcome that becomes unknown now is absent again.
        unknown_until: MonoMillis,
    },
}

/// How a first request ended, as far as its key is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its response is recorded.
    Done,
    /// Nobody knows.
    Unknown,
    /// Its response was seen, and is not kept.
    Tombstone,
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The request runs: the claim is the arrival's, once the way is written.
    Forward,
    /// The first request still runs.
    RefuseInFlight,
    /// The first request's outcome is unknown.
    RefuseUnknown,
    /// The record has the answer, or says that it is not kept.
    Answer,
    /// The request's head is not the first one's.
    RefuseMismatch,
    /// The end is written.
    Keep,
    /// The claim is not the caller's any more: nothing may be written.
    Stale,
    /// Nothing is to do.
    Nothing,
}

impl Way {
    /// The way that says nothing.
    pub const FREE: Self = Self {
        tag: Tag([0; 16]),
        state: State::Free,
        fence: Fence {
            slot: 0,
            epoch: 0,
            seq: 0,
        },
        expiry_s: 0,
        principal_row: 0,
        head: 0,
    };

    /// Tells whether the way's time is over at `now`; a way that runs, or is free, has no time of its own.
    #[must_use]
    pub fn age(&self, now: MonoMillis) -> Age {
        match (self.state, self.expiry_s.cmp(&now.seconds())) {
            (State::Free | State::Running, _) | (_, core::cmp::Ordering::Greater) => Age::Fresh,
            (_, core::cmp::Ordering::Equal) => Age::Ending,
            (_, core::cmp::Ordering::Less) => Age::Over,
        }
    }

    /// Takes the way from what it says to what it says after `event`; the whole of the machine.
    ///
    /// Again: an end that comes a second time is stale, a release likewise.
    #[must_use]
    #[expect(
        clippy::too_many_lines,
        reason = "the machine is one table; split, a row could be missed"
    )]
    pub fn step(self, event: Event) -> (Self, Effect) {
        match (self.state, event) {
            (State::Free, Event::Arrive { arrival, .. })
            | (
                State::Done | State::Unknown | State::Tombstone,
                Event::Arrive {
                    arrival, over: true, ..
                },
            ) => (Self::claimed(&arrival), Effect::Forward),
            (
                State::Running,
                Event::Arrive {
                    arrival,
                    holder_lives: true,
                    ..
                },
            ) => (
                self,
                if self.head == arrival.head {
                    Effect::RefuseInFlight
                } else {
                    Effect::RefuseMismatch
                },
            ),
            (
                State::Running,
                Event::Arrive {
                    arrival,
                    holder_lives: false,
                    ..
                },
            ) => match arrival.on_unknown {
                OnUnknown::Hold => (self.unknown(arrival.unknown_until), self.refuse_unknown(&arrival)),
                OnUnknown::Release => (Self::claimed(&arrival), Effect::Forward),
            },
            (
                State::Unknown,
                Event::Arrive {
                    arrival, over: false, ..
                },
            ) => match arrival.on_unknown {
                OnUnknown::Hold => (self, self.refuse_unknown(&arrival)),
                OnUnknown::Release => (Self::claimed(&arrival), Effect::Forward),
            },
            (
                State::Done | State::Tombstone,
                Event::Arrive {
                    arrival, over: false, ..
                },
            ) => (
                self,
                if self.head == arrival.head {
                    Effect::Answer
                } else {
                    Effect::RefuseMismatch
                },
            ),
            (State::Running, Event::Finish { by, end, expiry }) if by == self.fence => (
                Self {
                    state: end.state(),
                    expiry_s: expiry.seconds(),
                    ..self
                },
                Effect::Keep,
            ),
            (State::Running, Event::Release { by }) if by == self.fence => (Self::FREE, Effect::Keep),
            (
                State::Free | State::Running | State::Done | State::Unknown | State::Tombstone,
                Event::Finish { .. } | Event::Release { .. },
            ) => (self, Effect::Stale),
            (
                State::Running,
                Event::Sweep {
                    holder_lives: false,
                    unknown_until,
                    ..
                },
            ) => (self.unknown(unknown_until), Effect::Keep),
            (State::Done | State::Unknown | State::Tombstone, Event::Sweep { over: true, .. }) => {
                (Self::FREE, Effect::Keep)
            }
            (State::Free | State::Running | State::Done | State::Unknown | State::Tombstone, Event::Sweep { .. }) => {
                (self, Effect::Nothing)
            }
        }
    }

    const fn claimed(arrival: &Arrival) -> Self {
        Self {
            tag: arrival.tag,
            state: State::Running,
            fence: arrival.by,
            expiry_s: 0,
            principal_row: arrival.principal_row,
            head: arrival.head,
        }
    }

    fn unknown(self, until: MonoMillis) -> Self {
        Self {
            state: State::Unknown,
            expiry_s: until.seconds(),
            ..self
        }
    }

    const fn refuse_unknown(&self, arrival: &Arrival) -> Effect {
        if self.head == arrival.head {
            Effect::RefuseUnknown
        } else {
            Effect::RefuseMismatch
        }
    }
}

impl End {
    const fn state(self) -> State {
        match self {
            Self::Done => State::Done,
            Self::Unknown => State::Unknown,
            Self::Tombstone => State::Tombstone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TAG: Tag = Tag([7; 16]);
    const FIRST: Fence = Fence {
        slot: 1,
        epoch: 1,
        seq: 1,
    };
    const SECOND: Fence = Fence {
        slot: 2,
        epoch: 1,
        seq: 1,
    };
    const UNTIL: MonoMillis = MonoMillis(9_000);

    fn arrival() -> Arrival {
        Arrival {
            tag: TAG,
            by: SECOND,
            principal_row: 3,
            head: 5,
            on_unknown: OnUnknown::Hold,
            unknown_until: UNTIL,
        }
    }

    fn way(state: State) -> Way {
        Way {
            tag: TAG,
            state,
            fence: FIRST,
            expiry_s: 4,
            principal_row: 3,
            head: 5,
        }
    }

    fn claimed() -> Way {
        Way {
            tag: TAG,
            state: State::Running,
            fence: SECOND,
            expiry_s: 0,
            principal_row: 3,
            head: 5,
        }
    }

    fn arrive(arrival: Arrival, holder_lives: bool, over: bool) -> Event {
        Event::Arrive {
            arrival,
            holder_lives,
            over,
        }
    }

    #[track_caller]
    fn check(start: Way, event: Event, want: (Way, Effect)) {
        assert_eq!(start.step(event), want);
    }

    #[test]
    fn a_free_way_is_claimed() {
        check(Way::FREE, arrive(arrival(), false, false), (claimed(), Effect::Forward));
    }

    #[test]
    fn a_way_that_is_over_is_claimed_whatever_it_said() {
        for state in [State::Done, State::Unknown, State::Tombstone] {
            check(way(state), arrive(arrival(), false, true), (claimed(), Effect::Forward));
        }
    }

    #[test]
    fn a_running_way_never_ends_by_time_of_its_own() {
        check(
            way(State::Running),
            arrive(arrival(), true, true),
            (way(State::Running), Effect::RefuseInFlight),
        );
    }

    #[test]
    fn a_claim_whose_holder_is_dead_is_unknown_and_not_run_again() {
        let unknown = Way {
            state: State::Unknown,
            expiry_s: 9,
            ..way(State::Running)
        };
        check(
            way(State::Running),
            arrive(arrival(), false, false),
            (unknown, Effect::RefuseUnknown),
        );
        check(
            unknown,
            arrive(arrival(), false, false),
            (unknown, Effect::RefuseUnknown),
        );
    }

    #[test]
    fn an_unknown_outcome_runs_again_only_where_the_route_says_so() {
        let release = Arrival {
            on_unknown: OnUnknown::Release,
            ..arrival()
        };
        check(
            way(State::Unknown),
            arrive(release, false, false),
            (claimed(), Effect::Forward),
        );
        check(
            way(State::Running),
            arrive(release, false, false),
            (claimed(), Effect::Forward),
        );
        check(
            way(State::Running),
            arrive(release, true, false),
            (way(State::Running), Effect::RefuseInFlight),
        );
    }

    #[test]
    fn a_recorded_way_answers() {
        for state in [State::Done, State::Tombstone] {
            check(
                way(state),
                arrive(arrival(), false, false),
                (way(state), Effect::Answer),
            );
        }
    }

    #[test]
    fn another_head_is_a_mismatch_in_every_state_that_holds() {
        let other = Arrival { head: 6, ..arrival() };
        for state in [State::Running, State::Done, State::Unknown, State::Tombstone] {
            check(
                way(state),
                arrive(other, true, false),
                (way(state), Effect::RefuseMismatch),
            );
        }
    }

    #[test]
    fn only_the_owner_ends_a_claim() {
        let finish = |by| Event::Finish {
            by,
            end: End::Done,
            expiry: UNTIL,
        };
        let done = Way {
            state: State::Done,
            expiry_s: 9,
            ..way(State::Running)
        };
        check(way(State::Running), finish(FIRST), (done, Effect::Keep));
        check(
            way(State::Running),
            finish(SECOND),
            (way(State::Running), Effect::Stale),
        );
        check(
            way(State::Running),
            Event::Release { by: SECOND },
            (way(State::Running), Effect::Stale),
        );
        check(
            way(State::Running),
            Event::Release { by: FIRST },
            (Way::FREE, Effect::Keep),
        );
    }

    #[test]
    fn an_end_that_comes_late_changes_nothing() {
        for state in [State::Free, State::Done, State::Unknown, State::Tombstone] {
            let finish = Event::Finish {
                by: FIRST,
                end: End::Done,
                expiry: UNTIL,
            };
            check(way(state), finish, (way(state), Effect::Stale));
            check(way(state), Event::Release { by: FIRST }, (way(state), Effect::Stale));
        }
    }

    #[test]
    fn the_sweep_frees_what_is_over_and_doubts_what_is_dead() {
        let sweep = |holder_lives, over| Event::Sweep {
            holder_lives,
            over,
            unknown_until: UNTIL,
        };
        let unknown = Way {
            state: State::Unknown,
            expiry_s: 9,
            ..way(State::Running)
        };
        check(way(State::Running), sweep(false, true), (unknown, Effect::Keep));
        check(
            way(State::Running),
            sweep(true, true),
            (way(State::Running), Effect::Nothing),
        );
        for state in [State::Done, State::Unknown, State::Tombstone] {
            check(way(state), sweep(false, true), (Way::FREE, Effect::Keep));
            check(way(state), sweep(false, false), (way(state), Effect::Nothing));
        }
        check(Way::FREE, sweep(false, true), (Way::FREE, Effect::Nothing));
    }

    #[test]
    fn age_is_exact_but_for_the_second_in_which_the_time_ends() {
        let done = way(State::Done);
        assert_eq!(done.age(MonoMillis(3_999)), Age::Fresh);
        assert_eq!(done.age(MonoMillis(4_000)), Age::Ending);
        assert_eq!(done.age(MonoMillis(4_999)), Age::Ending);
        assert_eq!(done.age(MonoMillis(5_000)), Age::Over);
        assert_eq!(way(State::Running).age(MonoMillis(u64::MAX)), Age::Fresh);
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod model {
        use super::*;
        use proptest::prelude::*;

        fn fence() -> impl Strategy<Value = Fence> {
            (0_u8..3).prop_map(|slot| Fence { slot, epoch: 1, seq: 1 })
        }

        fn event() -> impl Strategy<Value = Event> {
            let hold = (fence(), any::<bool>()).prop_map(|(by, holder_lives)| Event::Arrive {
                arrival: Arrival { by, ..arrival() },
                holder_lives,
                over: false,
            });
            let end = prop_oneof![Just(End::Done), Just(End::Unknown), Just(End::Tombstone)];
            prop_oneof![
                hold,
                (fence(), end).prop_map(|(by, end)| Event::Finish { by, end, expiry: UNTIL }),
                fence().prop_map(|by| Event::Release { by }),
                any::<bool>().prop_map(|holder_lives| Event::Sweep {
                    holder_lives,
                    over: false,
                    unknown_until: UNTIL
                }),
            ]
        }

        proptest! {
            /// Between two runs stands a release: with `hold` nothing else lets a second request through.
            #[test]
            fn a_second_run_needs_a_release(events in prop::collection::vec(event(), 0..40)) {
                let mut way = Way::FREE;
                let mut free = true;
                for event in events {
                    let (next, effect) = way.step(event);
                    if effect == Effect::Forward {
                        prop_assert!(free, "ran twice");
                        free = false;
                    }
                    free |= next.state == State::Free;
                    way = next;
                }
            }
        }
    }
}
