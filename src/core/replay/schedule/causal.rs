//! What has to be answered before another is sent, because it was over before the other began.
//!
//! A request passes two doors. The first is that of its own clock: all that had ended before it began is answered. The
//! second is that of the other clocks: all that was received before it is answered.

use super::order::{by_stream, receipts};
use super::{Item, State};
use alloc::collections::{BTreeSet, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// The requests that are not answered, by clock.
#[derive(Debug)]
pub(super) struct Causal {
    times: Vec<Times>,
    lanes: Vec<Lane>,
    /// Of each lane the smallest receipt that is not answered.
    open: BTreeSet<(u64, usize)>,
    /// Of each lane the smallest receipt that waits at the second door.
    waiting: BTreeSet<(u64, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    began_us: u64,
    end_us: u64,
    receipt: u64,
    lane: usize,
}

/// The requests of one clock, as ranks.
#[derive(Debug, Default)]
struct Lane {
    by_begin: Walk,
    by_end: Walk,
    by_receipt: Walk,
    /// Those that are past the first door.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
}

/// A list of ranks that is walked once.
#[derive(Debug, Default)]
struct Walk {
    ranks: Vec<usize>,
    at: usize,
}

impl Walk {
    fn peek(&self) -> Option<usize> {
        self.ranks.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Goes on to the first that is not answered.
    fn skip_ended(&mut self, states: &[State]) {
        while self.peek().is_some_and(|rank| states.get(rank) == Some(&State::Ended)) {
            self.step();
        }
    }
}

impl Causal {
    /// Takes in all requests, in the order of their ranks; pushes to `first` those that nothing holds back.
    pub(super) fn new(ordered: &[Item], first: &mut Vec<usize>) -> Self {
        let receipts = receipts(ordered);
        let time = |(item, receipt): (&Item, u64)| Times {
            began_us: item.began_us,
            end_us: item.end_us(),
            receipt,
            lane: 0,
        };
        let mut causal = Self {
            times: ordered.iter().zip(receipts).map(time).collect(),
            lanes: Vec::new(),
            open: BTreeSet::new(),
            waiting: BTreeSet::new(),
        };
        for ranks in by_stream(ordered).into_values() {
            causal.add_lane(ranks);
        }
        for lane in 0..causal.lanes.len() {
            causal.pass_first_door(lane, &[]);
        }
        causal.pass_second_door(first);
        causal
    }

    fn add_lane(&mut self, ranks: Vec<usize>) {
        let number = self.lanes.len();
        for rank in &ranks {
            if let Some(times) = self.times.get_mut(*rank) {
                times.lane = number;
            }
        }
        let sorted = |by: fn(&Times) -> u64| {
            let mut ranks = ranks.clone();
            ranks.sort_by_key(|rank| self.times.get(*rank).map(by));
            Walk { ranks, at: 0 }
        };
        let lane = Lane {
            by_end: sorted(|times| times.end_us),
            by_receipt: sorted(|times| times.receipt),
            by_begin: Walk { ranks, at: 0 },
            waiting: BinaryHeap::new(),
        };
        self.open
            .extend(self.first_open(&lane).map(|receipt| (receipt, number)));
        self.lanes.push(lane);
    }

    fn first_open(&self, lane: &Lane) -> Option<u64> {
        let rank = lane.by_receipt.peek()?;
        self.times.get(rank).map(|times| times.receipt)
    }

    /// Takes note that `rank` is answered; pushes to `released` what it held back.
    pub(super) fn ended(&mut self, rank: usize, states: &[State], released: &mut Vec<usize>) {
        let Some(number) = self.times.get(rank).map(|times| times.lane) else {
            return;
        };
        let Some(lane) = self.lanes.get(number) else { return };
        let before = self.first_open(lane);
        if let Some(lane) = self.lanes.get_mut(number) {
            lane.by_end.skip_ended(states);
            lane.by_receipt.skip_ended(states);
        }
        let after = self.lanes.get(number).and_then(|lane| self.first_open(lane));
        if before != after {
            before.map(|receipt| self.open.remove(&(receipt, number)));
            self.open.extend(after.map(|receipt| (receipt, number)));
        }
        self.pass_first_door(number, states);
        self.pass_second_door(released);
    }

    fn pass_first_door(&mut self, number: usize, states: &[State]) {
        let Some(lane) = self.lanes.get_mut(number) else { return };
        let before = lane.waiting.peek().map(|Reverse((receipt, _))| *receipt);
        let end = lane.by_end.peek().and_then(|rank| self.times.get(rank));
        let end_us = end.map_or(u64::MAX, |times| times.end_us);
        while let Some((rank, times)) = lane
            .by_begin
            .peek()
            .and_then(|rank| Some((rank, self.times.get(rank)?)))
        {
            if times.began_us > end_us {
                break;
            }
            lane.by_begin.step();
            if states.get(rank) != Some(&State::Ended) {
                lane.waiting.push(Reverse((times.receipt, rank)));
            }
        }
        self.show_waiting(number, before);
    }

    /// Brings `waiting` up to date after a lane's heap has changed, whose smallest was `before`.
    fn show_waiting(&mut self, number: usize, before: Option<u64>) {
        let lane = self.lanes.get(number);
        let after = lane.and_then(|lane| lane.waiting.peek().map(|Reverse((receipt, _))| *receipt));
        if before != after {
            before.map(|receipt| self.waiting.remove(&(receipt, number)));
            self.waiting.extend(after.map(|receipt| (receipt, number)));
        }
    }

    fn pass_second_door(&mut self, released: &mut Vec<usize>) {
        // All lanes but one have the same bound. So only two can be the next to pass: the first that waits, and the lane
        // with another bound.
        while let Some(lane) = self.passable() {
            let Some(heap) = self.lanes.get_mut(lane).map(|lane| &mut lane.waiting) else {
                return;
            };
            let Some(Reverse((receipt, rank))) = heap.pop() else {
                return;
            };
            released.push(rank);
            self.show_waiting(lane, Some(receipt));
        }
    }

    fn passable(&self) -> Option<usize> {
        let (_, bounding) = *self.open.first()?;
        let (receipt, lane) = *self.waiting.first()?;
        if receipt <= self.bound(lane) {
            return Some(lane);
        }
        let heap = self.lanes.get(bounding).map(|lane| &lane.waiting)?;
        let Reverse((receipt, _)) = heap.peek()?;
        (*receipt <= self.bound(bounding)).then_some(bounding)
    }

    /// Tells the smallest receipt of all other lanes that is not answered.
    fn bound(&self, lane: usize) -> u64 {
        let other = self.open.iter().take(2).find(|(_, other)| *other != lane);
        other.map_or(u64::MAX, |(receipt, _)| *receipt)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::super::{Mode, Next, Schedule, order, precedes};
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// The rule of what precedes what, by its words: slow, and without the doors.
    fn preceding(items: &[Item]) -> Vec<Vec<usize>> {
        let clocks = items.iter().map(|item| item.stream).collect::<BTreeSet<_>>().len();
        let mut receipts: Vec<_> = items.iter().map(|item| item.received).collect();
        for _ in items {
            for (at, item) in items.iter().enumerate() {
                for (before, other) in items.iter().enumerate() {
                    if other.stream == item.stream && precedes(other, item) {
                        receipts[at] = receipts[at].max(receipts[before]);
                    }
                }
            }
        }
        let is_before = |a: usize, b: usize| {
            if items[a].stream == items[b].stream {
                precedes(&items[a], &items[b])
            } else {
                clocks > 1 && receipts[a] < receipts[b]
            }
        };
        let all = |b| (0..items.len()).filter(|a| is_before(*a, b)).collect();
        (0..items.len()).map(all).collect()
    }

    prop_compose! {
        fn any_item()(stream in 0..4_u32, began_us in 0..40_u64, lasts in 0..20_u64, is_seen: bool, received in 0..16_u64) -> Item {
            let ended_us = if is_seen { began_us.saturating_add(lasts) } else { 0 };
            Item { began_us, ended_us, stream, received, key: 0 }
        }
    }

    fn sendable(schedule: &mut Schedule) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        while let Next::Send { at, .. } = schedule.next(0) {
            assert!(found.insert(at));
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// At every moment exactly those are sent whose predecessors are all answered.
        #[test]
        fn a_request_is_sent_as_soon_as_and_not_before_all_that_precedes_it_is_answered(
            items in prop::collection::vec(any_item(), 1..24),
            answers in prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.1)), 24),
        ) {
            let preceding = preceding(&items);
            let mut schedule = Schedule::new(Mode::Causal, &items, items.len());
            let (mut answered, mut sent) = (vec![false; items.len()], BTreeSet::new());
            let mut answers = answers.into_iter();
            while answered.contains(&false) {
                sent.extend(sendable(&mut schedule));
                let is_free = |at: usize| preceding[at].iter().all(|before| answered[*before]);
                let is_due = |at: &usize| if answered[*at] { sent.contains(at) } else { is_free(*at) };
                let want: BTreeSet<_> = (0..items.len()).filter(is_due).collect();
                prop_assert_eq!(&sent, &want);
                let (index, is_skipped) = answers.next().unwrap();
                let open: Vec<_> = (0..items.len()).filter(|at| !answered[*at] && (is_skipped || sent.contains(at))).collect();
                prop_assert!(!open.is_empty());
                let at = open[index.index(open.len())];
                answered[at] = true;
                schedule.answered(at);
            }
            prop_assert_eq!(schedule.next(0), Next::Done);
        }

        #[test]
        fn nothing_stands_before_what_precedes_it(items in prop::collection::vec(any_item(), 0..24)) {
            let order = order(&items);
            let place = |at: usize| order.iter().position(|each| *each == at);
            for (at, before) in preceding(&items).iter().enumerate() {
                for before in before {
                    prop_assert!(place(*before) < place(at));
                }
            }
            prop_assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), items.len());
        }
    }
}
