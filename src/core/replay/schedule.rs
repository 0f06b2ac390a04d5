//! When each request of a replay is sent: what has to be answered before, and which moment is its own.
//!
//! Time comes in as an argument, on any monotonic clock. Nothing here knows what is sent, and nothing waits.

mod causal;
mod order;
mod pace;

pub use order::{order, precedes};

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec;
use alloc::vec::Vec;
use causal::Causal;
use core::cmp::Reverse;
use pace::Pace;

/// What is known of one request that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Item {
    /// When it began, in microseconds of its clock. Mode `timed` compares these across clocks: give them as
    /// [`super::clock::Clock::unix_us`] tells them.
    pub began_us: u64,
    /// When it ended, by the same clock; 0 = nobody saw it, so that nothing has to wait for it.
    pub ended_us: u64,
    /// Its clock.
    pub stream: u32,
    /// Its place in the order of receipt; requests of one place are not ordered by it.
    pub received: u64,
    /// What mode `per_key` keeps in order.
    pub key: u64,
}

/// In which order, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One after the other.
    Serial,
    /// What had ended before another began is answered before the other is sent.
    Causal,
    /// One after the other for each key.
    PerKey,
    /// At the distances in time that they had, whatever the answers do.
    Timed {
        /// How many times as fast, in thousandths; 0 counts as 1.
        speed_milli: u64,
        /// Longest pause, in microseconds before the speed is applied; none = as it was.
        max_gap_us: Option<u64>,
    },
    /// So many a second, whatever the answers do.
    Rate {
        /// In thousandths; 0 counts as 1.
        per_second_milli: u64,
    },
    /// As fast as it goes.
    Max,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send this one, and ask again.
    Send {
        /// Which one: its place in the list that the schedule was made of.
        at: usize,
        /// When it should have been sent; never later than now.
        due_us: u64,
    },
    /// Nothing before this moment, unless an answer comes.
    Wait {
        /// The moment.
        until_us: u64,
    },
    /// Nothing before an answer comes.
    Await,
    /// All are answered.
    Done,
}

/// The order and the moments of a replay's requests.
///
/// Every call takes O(log n) time, amortised.
#[derive(Debug)]
pub struct Schedule {
    /// Places in the list, by rank.
    order: Vec<usize>,
    /// Ranks, by place in the list.
    ranks: Vec<usize>,
    states: Vec<State>,
    gate: Gate,
    pace: Pace,
    ready: BinaryHeap<Reverse<usize>>,
    in_flight: usize,
    in_flight_max: usize,
    ended: usize,
    start: Option<Start>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Something has to be answered before.
    Held,
    Ready,
    Sent,
    Ended,
}

/// What has to be answered before.
#[derive(Debug)]
enum Gate {
    /// Nothing.
    Free,
    /// The one before it: rank of the next, by rank.
    Chain(Vec<Option<usize>>),
    Causal(Causal),
}

#[derive(Debug, Clone, Copy)]
struct Start {
    now_us: u64,
    /// What [`Pace`] says of the first one.
    offset_us: u64,
}

impl Schedule {
    /// Plans `items`; at most `in_flight_max` are without answer at one time, and at least 1.
    #[must_use]
    pub fn new(mode: Mode, items: &[Item], in_flight_max: usize) -> Self {
        let order = match mode {
            Mode::Timed { .. } => order::by_begin(items),
            Mode::Serial | Mode::Causal | Mode::PerKey | Mode::Rate { .. } | Mode::Max => order(items),
        };
        let mut ranks = vec![0; items.len()];
        for (rank, at) in order.iter().enumerate() {
            if let Some(place) = ranks.get_mut(*at) {
                *place = rank;
            }
        }
        let ordered: Vec<Item> = order.iter().filter_map(|at| items.get(*at)).copied().collect();
        let mut schedule = Self {
            ranks,
            states: vec![State::Held; ordered.len()],
            gate: Gate::Free,
            pace: Pace::new(mode, &ordered),
            ready: BinaryHeap::new(),
            in_flight: 0,
            in_flight_max: in_flight_max.max(1),
            ended: 0,
            start: None,
            order,
        };
        schedule.set_gate(mode, &ordered);
        schedule
    }

    fn set_gate(&mut self, mode: Mode, ordered: &[Item]) {
        let mut first = Vec::new();
        self.gate = match mode {
            Mode::Serial => Gate::Chain(chain(ordered.iter().map(|_| 0), &mut first)),
            Mode::PerKey => Gate::Chain(chain(ordered.iter().map(|item| item.key), &mut first)),
            Mode::Causal => Gate::Causal(Causal::new(ordered, &mut first)),
            Mode::Timed { .. } | Mode::Rate { .. } | Mode::Max => {
                first.extend(0..ordered.len());
                Gate::Free
            }
        };
        self.release(first);
    }

    /// Tells what to do at `now_us`. What it says to send counts as sent.
    pub fn next(&mut self, now_us: u64) -> Next {
        let Some(rank) = self.first_ready() else {
            return if self.ended == self.order.len() {
                Next::Done
            } else {
                Next::Await
            };
        };
        if self.in_flight >= self.in_flight_max {
            return Next::Await;
        }
        let due_us = self.due(rank, now_us);
        if due_us > now_us {
            return Next::Wait { until_us: due_us };
        }
        self.ready.pop();
        self.set(rank, State::Sent);
        self.in_flight = self.in_flight.saturating_add(1);
        self.pace.count();
        let at = self.order.get(rank).copied().unwrap_or_default();
        Next::Send { at, due_us }
    }

    /// Takes note that the item at `at` is answered, or that it never will be: skipped, given up, done in an earlier run.
    ///
    /// Again: nothing happens.
    pub fn answered(&mut self, at: usize) {
        let Some(rank) = self.ranks.get(at).copied() else {
            return;
        };
        let before = self.state(rank);
        if before == State::Ended {
            return;
        }
        self.set(rank, State::Ended);
        self.ended = self.ended.saturating_add(1);
        if before == State::Sent {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let mut released = Vec::new();
        match &mut self.gate {
            Gate::Free => {}
            Gate::Chain(_) if before == State::Held => {}
            Gate::Chain(after) => {
                let mut next = after.get(rank).copied().flatten();
                while let Some(rank) = next.filter(|rank| self.states.get(*rank) == Some(&State::Ended)) {
                    next = after.get(rank).copied().flatten();
                }
                released.extend(next);
            }
            Gate::Causal(causal) => causal.ended(rank, &self.states, &mut released),
        }
        self.release(released);
    }

    /// Counts the items that are sent and not answered.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn release(&mut self, ranks: Vec<usize>) {
        for rank in ranks {
            if self.state(rank) == State::Held {
                self.set(rank, State::Ready);
                self.ready.push(Reverse(rank));
            }
        }
    }

    /// Finds the first that nothing holds back, past those that ended without being sent.
    fn first_ready(&mut self) -> Option<usize> {
        while let Some(Reverse(rank)) = self.ready.peek().copied() {
            if self.state(rank) == State::Ready {
                return Some(rank);
            }
            self.ready.pop();
        }
        None
    }

    fn due(&mut self, rank: usize, now_us: u64) -> u64 {
        let Some(offset_us) = self.pace.offset(rank) else {
            return now_us;
        };
        let start = *self.start.get_or_insert(Start { now_us, offset_us });
        start.now_us.saturating_add(offset_us.saturating_sub(start.offset_us))
    }

    fn state(&self, rank: usize) -> State {
        self.states.get(rank).copied().unwrap_or(State::Ended)
    }

    fn set(&mut self, rank: usize, state: State) {
        if let Some(place) = self.states.get_mut(rank) {
            *place = state;
        }
    }
}

/// Links each rank to the next with the same key, and pushes the first of each key to `first`.
fn chain(keys: impl Iterator<Item = u64>, first: &mut Vec<usize>) -> Vec<Option<usize>> {
    let mut after: Vec<Option<usize>> = Vec::new();
    let mut last = BTreeMap::new();
    for (rank, key) in keys.enumerate() {
        match last.insert(key, rank) {
            None => first.push(rank),
            Some(before) => {
                if let Some(place) = after.get_mut(before) {
                    *place = Some(rank);
                }
            }
        }
        after.push(None);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// One request as a target with a manual clock saw it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Seen {
        at: usize,
        due_us: u64,
        sent_us: u64,
        answered_us: u64,
    }

    /// Runs a schedule to its end from `now_us` on; `answer_us` tells when a request is answered.
    fn run(schedule: &mut Schedule, mut now_us: u64, answer_us: impl Fn(usize, u64) -> u64) -> Vec<Seen> {
        let mut seen = vec![];
        let mut open = BinaryHeap::new();
        loop {
            let until_us = match schedule.next(now_us) {
                Next::Send { at, due_us } => {
                    let answered_us = answer_us(at, now_us);
                    open.push(Reverse((answered_us, at)));
                    seen.push(Seen {
                        at,
                        due_us,
                        sent_us: now_us,
                        answered_us,
                    });
                    continue;
                }
                Next::Wait { until_us } => until_us,
                Next::Await => u64::MAX,
                Next::Done => return seen,
            };
            match open.peek().copied() {
                Some(Reverse((answered_us, at))) if answered_us <= until_us => {
                    open.pop();
                    now_us = now_us.max(answered_us);
                    schedule.answered(at);
                }
                _ => {
                    assert!(
                        now_us < until_us && until_us < u64::MAX,
                        "nothing is open, and nothing comes: {schedule:?}"
                    );
                    now_us = until_us;
                }
            }
        }
    }

    fn ats(seen: &[Seen]) -> Vec<usize> {
        seen.iter().map(|each| each.at).collect()
    }

    fn between(began_us: u64, ended_us: u64) -> Item {
        Item {
            began_us,
            ended_us,
            ..Item::default()
        }
    }

    /// Numbers that look random and are the same in every run.
    fn shuffle(seed: u64, at: usize) -> u64 {
        u64::try_from(at)
            .unwrap_or_default()
            .wrapping_add(seed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            .rotate_left(23)
            >> 8
    }

    #[test]
    fn nothing_to_send_is_done() {
        for mode in [Mode::Serial, Mode::Causal, Mode::PerKey, Mode::Max] {
            assert_eq!(Schedule::new(mode, &[], 1).next(5), Next::Done);
        }
    }

    #[test]
    fn serial_sends_the_next_when_the_last_is_answered() {
        let items = [between(30, 31), between(10, 50), between(20, 21)];
        let mut schedule = Schedule::new(Mode::Serial, &items, 9);
        assert_eq!(schedule.next(7), Next::Send { at: 1, due_us: 7 });
        assert_eq!(schedule.next(7), Next::Await);
        schedule.answered(1);
        assert_eq!(schedule.next(9), Next::Send { at: 2, due_us: 9 });
        schedule.answered(2);
        assert_eq!(ats(&run(&mut schedule, 9, |_, now| now)), [0]);
    }

    #[test]
    fn no_more_are_without_answer_than_allowed() {
        let items = [between(1, 0); 5];
        let mut schedule = Schedule::new(Mode::Max, &items, 2);
        assert!(matches!(schedule.next(0), Next::Send { at: 0, .. }));
        assert!(matches!(schedule.next(0), Next::Send { at: 1, .. }));
        assert_eq!((schedule.next(0), schedule.in_flight()), (Next::Await, 2));
        schedule.answered(1);
        schedule.answered(1);
        assert!(matches!(schedule.next(0), Next::Send { at: 2, .. }));
        assert_eq!(schedule.next(0), Next::Await);
        assert_eq!(Schedule::new(Mode::Max, &items, 0).in_flight_max, 1);
    }

    #[test]
    fn what_was_answered_in_an_earlier_run_is_not_sent() {
        let items: Vec<_> = (0..6).map(|at| between(at * 10, at * 10 + 5)).collect();
        for mode in [
            Mode::Serial,
            Mode::Causal,
            Mode::PerKey,
            Mode::Rate { per_second_milli: 1000 },
            Mode::Max,
        ] {
            let mut schedule = Schedule::new(mode, &items, 9);
            for at in [3, 0, 1] {
                schedule.answered(at);
            }
            assert_eq!(ats(&run(&mut schedule, 0, |_, now| now)), [2, 4, 5], "{mode:?}");
        }
    }

    #[test]
    fn what_is_skipped_before_its_turn_frees_nothing() {
        let items: Vec<_> = (0..3).map(|at| between(at * 10, at * 10 + 5)).collect();
        for mode in [Mode::Serial, Mode::PerKey, Mode::Causal] {
            let mut schedule = Schedule::new(mode, &items, 9);
            assert_eq!(schedule.next(0), Next::Send { at: 0, due_us: 0 });
            schedule.answered(1);
            assert_eq!(schedule.next(0), Next::Await, "{mode:?}");
            schedule.answered(0);
            assert_eq!(schedule.next(0), Next::Send { at: 2, due_us: 0 });
        }
    }

    /// Case R25.
    #[test]
    fn per_key_keeps_the_order_of_each_key_and_runs_keys_side_by_side() {
        let item = |at: u64| Item {
            key: at % 10,
            ..between(at, at + 1)
        };
        let items: Vec<_> = (0..5_000).map(item).collect();
        for mode in [Mode::PerKey, Mode::Causal] {
            let mut schedule = Schedule::new(mode, &items, 32);
            let seen = run(&mut schedule, 0, |at, now| now + 1 + shuffle(0, at) % 1_000);
            assert_eq!(seen.len(), 5_000);
            let mut free_us = [0; 10];
            let mut last = [None; 10];
            for each in &seen {
                let key = each.at % 10;
                assert!(last[key] < Some(each.at), "{mode:?}: {} was overtaken", each.at);
                assert!(free_us[key] <= each.sent_us, "{mode:?}: two of one key at one time");
                (last[key], free_us[key]) = (Some(each.at), each.answered_us);
            }
            let is_beside = |pair: &[Seen]| pair[1].sent_us < pair[0].answered_us;
            assert!(seen.windows(2).any(is_beside) || mode == Mode::Causal);
        }
    }

    /// Case R26.
    #[test]
    fn what_had_ended_is_answered_before_what_began_after_it_is_sent() {
        for trial in 0..1_000 {
            let began = |at: usize| shuffle(trial * 64, at) % 1_000;
            let items: Vec<_> = (0..12)
                .map(|at| between(began(at), began(at) + 1 + shuffle(trial, at) % 300))
                .collect();
            let mut schedule = Schedule::new(Mode::Causal, &items, 32);
            let seen = run(&mut schedule, 0, |at, now| now + 1 + shuffle(trial * 7, at) % 100);
            for (a, b) in seen.iter().flat_map(|a| seen.iter().map(move |b| (a, b))) {
                if items[a.at].ended_us < items[b.at].began_us {
                    assert!(
                        a.answered_us <= b.sent_us,
                        "trial {trial}: {b:?} before the answer of {a:?}"
                    );
                }
            }
        }
    }

    /// Case R27.
    #[test]
    fn requests_that_overlapped_overlap_again() {
        let ms = |from: u64, to: u64| between(from * 1000, to * 1000);
        let items = [ms(0, 200), ms(50, 250), ms(150, 350), ms(260, 460)];
        let mut schedule = Schedule::new(Mode::Causal, &items, 32);
        let seen = run(&mut schedule, 0, |_, now| now + 200_000);
        let sent: Vec<_> = seen.iter().map(|each| (each.at, each.sent_us)).collect();
        assert_eq!(sent, [(0, 0), (1, 0), (2, 0), (3, 200_000)]);
    }

    /// Case R28.
    #[test]
    fn timed_sends_at_the_distances_that_were() {
        let items: Vec<_> = (0..5_000).map(|at| between(70_000 + at * 1000, 0)).collect();
        for (speed_milli, gap_us) in [(1_000, 1_000), (2_000, 500), (500, 2_000), (3_000, 333)] {
            let mode = Mode::Timed {
                speed_milli,
                max_gap_us: None,
            };
            let seen = run(&mut Schedule::new(mode, &items, 5_000), 1_000_000, |_, now| now + 10);
            assert_eq!(seen.len(), 5_000);
            for (at, each) in (0..).zip(&seen) {
                let plan_us = if gap_us == 333 { at * 1_000 / 3 } else { at * gap_us };
                assert_eq!((each.sent_us, each.due_us), (1_000_000 + plan_us, 1_000_000 + plan_us));
            }
        }
    }

    /// Case R29.
    #[test]
    fn a_target_that_stalls_moves_no_later_send() {
        let items: Vec<_> = (0..3_000).map(|at| between(at * 1000, 0)).collect();
        let mode = Mode::Timed {
            speed_milli: 1_000,
            max_gap_us: None,
        };
        let stalls = |_, now| {
            if (1_000_000..2_000_000).contains(&now) {
                2_000_000
            } else {
                now + 500
            }
        };
        let seen = run(&mut Schedule::new(mode, &items, 10_000), 0, stalls);
        assert!((0..).zip(&seen).all(|(at, each)| each.sent_us == at * 1000));
        // Where fewer may be open, what was late tells how late, and what follows is on time again.
        let seen = run(&mut Schedule::new(mode, &items, 100), 0, stalls);
        assert!((0..).zip(&seen).all(|(at, each)| each.due_us == at * 1000));
        assert_eq!(seen.iter().map(|each| each.sent_us - each.due_us).max(), Some(900_000));
        assert_eq!(seen[2_010].sent_us, 2_010_000);
    }

    #[test]
    fn long_pauses_are_cut_before_the_speed_counts() {
        let items = [
            between(0, 0),
            between(10_000, 0),
            between(1_000_000, 0),
            between(1_001_000, 0),
        ];
        let mode = Mode::Timed {
            speed_milli: 2_000,
            max_gap_us: Some(10_000),
        };
        let seen = run(&mut Schedule::new(mode, &items, 9), 0, |_, now| now);
        assert_eq!(
            seen.iter().map(|each| each.sent_us).collect::<Vec<_>>(),
            [0, 5_000, 10_000, 10_500]
        );
    }

    #[test]
    fn a_timed_replay_that_goes_on_begins_with_the_first_that_is_left() {
        let items: Vec<_> = (0..5).map(|at| between(at * 1000, 0)).collect();
        let mut schedule = Schedule::new(
            Mode::Timed {
                speed_milli: 1_000,
                max_gap_us: None,
            },
            &items,
            9,
        );
        for at in [0, 1, 3] {
            schedule.answered(at);
        }
        let seen = run(&mut schedule, 50, |_, now| now);
        assert_eq!(
            seen.iter().map(|each| (each.at, each.sent_us)).collect::<Vec<_>>(),
            [(2, 50), (4, 2_050)]
        );
    }

    #[test]
    fn a_rate_is_kept_from_the_first_send_on() {
        let items = [between(1, 0); 2_500];
        let mode = Mode::Rate {
            per_second_milli: 300_000,
        };
        let seen = run(&mut Schedule::new(mode, &items, 9_999), 77, |_, now| now + 5_000_000);
        assert!(
            (0..)
                .zip(&seen)
                .all(|(at, each)| each.sent_us == 77 + at * 1_000_000 / 300)
        );
        let slow = Mode::Rate { per_second_milli: 500 };
        let seen = run(&mut Schedule::new(slow, &items[..3], 9), 0, |_, now| now);
        assert_eq!(seen[2].sent_us, 4_000_000);
    }

    #[test]
    fn a_speed_or_rate_of_nothing_is_very_slow_and_never_a_panic() {
        let items = [between(0, 0), between(u64::MAX, 0)];
        for mode in [
            Mode::Timed {
                speed_milli: 0,
                max_gap_us: None,
            },
            Mode::Rate { per_second_milli: 0 },
        ] {
            let mut schedule = Schedule::new(mode, &items, 9);
            assert!(matches!(schedule.next(5), Next::Send { at: 0, .. }));
            assert!(matches!(schedule.next(5), Next::Wait { until_us } if until_us > 1_000_000_000));
        }
    }

    /// Case R30.
    #[test]
    fn max_sends_all_and_ends_by_itself() {
        let items: Vec<_> = (0..50_000).map(|at| between(at, 0)).collect();
        let mut schedule = Schedule::new(Mode::Max, &items, 64);
        let seen = run(&mut schedule, 0, |at, now| now + shuffle(0, at) % 500);
        let mut sent = ats(&seen);
        sent.sort_unstable();
        assert_eq!(sent, (0..50_000).collect::<Vec<_>>());
        assert_eq!((schedule.next(0), schedule.in_flight()), (Next::Done, 0));
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        const MODES: [Mode; 6] = [
            Mode::Serial,
            Mode::Causal,
            Mode::PerKey,
            Mode::Max,
            Mode::Rate { per_second_milli: 3 },
            Mode::Timed {
                speed_milli: 7,
                max_gap_us: Some(9),
            },
        ];

        prop_compose! {
            fn any_item()(began_us in 0..40_u64, ended_us in 0..60_u64, stream in 0..4_u32, received in 0..20_u64, key in 0..3_u64)
                -> Item { Item { began_us, ended_us, stream, received, key } }
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(2_000))]

            /// Whatever is skipped and however long answers take: all others are sent, once each, and it ends.
            #[test]
            fn every_item_is_sent_once_in_every_mode(
                items in prop::collection::vec(any_item(), 0..30),
                mode in prop::sample::select(&MODES[..]),
                in_flight_max in 0..5_usize,
                skipped in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
                seed: u64,
            ) {
                let mut schedule = Schedule::new(mode, &items, in_flight_max);
                let mut left: Vec<usize> = (0..items.len()).collect();
                for at in skipped.iter().filter(|_| !items.is_empty()).map(|index| index.index(items.len())) {
                    schedule.answered(at);
                    left.retain(|each| *each != at);
                }
                let slowly = |at: usize, now: u64| now.saturating_add(shuffle(seed, at) % 40);
                let mut sent = ats(&run(&mut schedule, 3, slowly));
                sent.sort_unstable();
                prop_assert_eq!(sent, left);
            }
        }
    }
}
