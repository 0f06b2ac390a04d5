//! Batches: captures wait, travel together, and wait again until they are on disk.
//!
//! The queue decides what is sent when; who sends is not here.

use super::ledger::Reason;
use crate::time::{Millis, MonoMillis};
use crate::wire::{self, Capture, Range, push_frame};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// When a batch is closed, and how many may travel at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Captures that close a batch.
    pub count_max: usize,
    /// Bytes that close it.
    pub bytes_max: usize,
    /// Time after which it is closed, however few it has.
    pub age_max: Millis,
    /// Batches that travel at once.
    pub flying_max: usize,
    /// Longest wait after a failure; the first is [`BACK_OFF`], and each further failure doubles it.
    pub back_off_max: Millis,
}

impl Limits {
    /// Those of captures that nothing waits for.
    pub const LATER: Self = Self {
        count_max: 256,
        bytes_max: 256 * 1024,
        age_max: Millis(10),
        flying_max: 4,
        back_off_max: Millis(2000),
    };
    /// Those of captures that a request or a response waits for: what came while others travel goes together.
    pub const AHEAD: Self = Self {
        count_max: 256,
        bytes_max: 4 * 1024 * 1024,
        age_max: Millis(0),
        flying_max: 2,
        back_off_max: Millis(200),
    };
}

/// After a failure the next try waits so long.
pub const BACK_OFF: Millis = Millis(50);

/// One capture in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// Whether its exchange ends with it: the ledger counts exchanges.
    pub settles: bool,
    /// Bytes of its frame.
    len: usize,
}

/// Captures that travel together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    id: u64,
    since: MonoMillis,
    entries: Vec<Entry>,
    frames: Vec<u8>,
}

impl Batch {
    /// Tells it from all others of its queue.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Shows the captures behind their lengths: what follows a head.
    #[must_use]
    pub fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// Shows what is in it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn split(&self) -> impl Iterator<Item = (Entry, &[u8])> {
        let mut rest = &self.frames[..];
        self.entries.iter().map(move |entry| {
            let (frame, behind) = rest.split_at_checked(entry.len).unwrap_or((rest, &[]));
            rest = behind;
            (*entry, frame)
        })
    }

    fn add(&mut self, entry: Entry, frame: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let before = self.frames.len();
        frame(&mut self.frames);
        let len = self.frames.len().saturating_sub(before);
        self.entries.push(Entry { len, ..entry });
        u64::from(crate::http::len_u32(len))
    }
}

/// How much of a capture there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// All of it.
    Whole,
    /// Its heads, without its bodies.
    Heads,
    /// Nothing.
    Nothing(Reason),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acked {
    /// The numbers that are on disk.
    pub seqs: Vec<u64>,
    /// How many exchanges ended with them.
    pub settled: u64,
}

/// Captures on their way to replayd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    limits: Limits,
    next_id: u64,
    open: Option<Batch>,
    closed: VecDeque<Batch>,
    flying: Vec<Batch>,
    bytes: u64,
    count: u64,
    failures: u32,
    retry_at: MonoMillis,
}

impl Queue {
    /// Begins empty.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_id: 1,
            open: None,
            closed: VecDeque::new(),
            flying: Vec::new(),
            bytes: 0,
            count: 0,
            failures: 0,
            retry_at: MonoMillis(0),
        }
    }

    /// Counts the bytes that wait or travel.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts the captures that wait or travel.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Tells since when the oldest waits; none if nothing does.
    #[must_use]
    pub fn oldest(&self) -> Option<MonoMillis> {
        let all = self.flying.iter().chain(&self.closed).chain(&self.open);
        all.map(|batch| batch.since).min()
    }

    /// Tells whether the last call failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Tells how much of a capture of `heads` bytes and `bodies` bytes there is room for, where all queues hold `held`.
    ///
    /// Above three quarters of `held_max` only heads are taken, so that bodies go before captures do.
    #[must_use]
    pub fn room(&self, heads: u64, bodies: u64, held: u64, held_max: u64) -> Room {
        let full = if self.is_failing() {
            Reason::ReplaydDown
        } else {
            Reason::QueueFull
        };
        let most = u64::try_from(wire::BATCH_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_sub(HEAD_BYTES_MAX);
        let all = heads.saturating_add(bodies);
        let three_quarters = held_max.saturating_sub(held_max >> 2);
        if all <= most && held.saturating_add(all) <= three_quarters {
            Room::Whole
        } else if heads > most {
            Room::Nothing(Reason::TooLarge)
        } else if held.saturating_add(heads) <= held_max {
            Room::Heads
        } else {
            Room::Nothing(full)
        }
    }

    /// Takes in a capture.
    pub fn push(&mut self, capture: &Capture, settles: bool, now: MonoMillis) {
        let entry = Entry {
            seq: capture.seq,
            settles,
            len: 0,
        };
        self.add(entry, now, |frames| push_frame(capture, frames));
    }

    /// Takes over what another queue could not send, but for the numbers in `without`.
    pub fn take_over(&mut self, batch: &Batch, without: &[u64], now: MonoMillis) {
        let kept = batch.split().filter(|(entry, _)| !without.contains(&entry.seq));
        for (entry, frame) in kept {
            self.add(entry, now, |frames| frames.extend_from_slice(frame));
        }
    }

    fn add(&mut self, entry: Entry, now: MonoMillis, frame: impl FnOnce(&mut Vec<u8>)) {
        let next_id = &mut self.next_id;
        let open = self.open.get_or_insert_with(|| {
            let id = *next_id;
            *next_id = next_id.saturating_add(1);
            Batch {
                id,
                since: now,
                entries: Vec::new(),
                frames: Vec::new(),
            }
        });
        self.bytes = self.bytes.saturating_add(open.add(entry, frame));
        self.count = self.count.saturating_add(1);
        if open.entries.len() >= self.limits.count_max || open.frames.len() >= self.limits.bytes_max {
            self.closed.extend(self.open.take());
        }
    }

    /// Gives the next batch that is to be sent now; it travels until one of the calls below ends it.
    pub fn next(&mut self, now: MonoMillis) -> Option<&Batch> {
        let flying_max = if self.is_failing() { 1 } else { self.limits.flying_max };
        if self.flying.len() >= flying_max || (self.is_failing() && now < self.retry_at) {
            return None;
        }
        let is_due = |open: &Batch| open.since.plus(self.limits.age_max) <= now;
        let batch = self
            .closed
            .pop_front()
            .or_else(|| self.open.take_if(|open| is_due(open)))?;
        self.flying.push(batch);
        self.flying.last()
    }

    /// Takes note of what is on disk of a batch; what is not is sent again. None if there is no such batch.
    pub fn acknowledge(&mut self, id: u64, ranges: &[Range], now: MonoMillis) -> Option<Acked> {
        let batch = self.land(id)?;
        self.forget(&batch);
        let has = |entry: &Entry| {
            ranges
                .iter()
                .any(|range| (range.first..=range.last).contains(&entry.seq))
        };
        let mut acked = Acked::default();
        let mut left = Batch {
            id: batch.id,
            since: batch.since,
            entries: Vec::new(),
            frames: Vec::new(),
        };
        for (entry, frame) in batch.split() {
            if has(&entry) {
                acked.seqs.push(entry.seq);
                acked.settled = acked.settled.saturating_add(u64::from(entry.settles));
            } else {
                left.add(entry, |frames| frames.extend_from_slice(frame));
            }
        }
        if left.entries.is_empty() {
            self.failures = 0;
        } else {
            self.count_in(&left);
            self.fail(left, now);
        }
        Some(acked)
    }

    /// Takes note that a batch did not arrive, as far as is known: it is sent again as it is, after a while.
    pub fn retry(&mut self, id: u64, now: MonoMillis) {
        if let Some(batch) = self.land(id) {
            self.fail(batch, now);
        }
    }

    /// Gives back a batch that is not to be sent again from here.
    pub fn give_up(&mut self, id: u64, now: MonoMillis) -> Option<Batch> {
        let batch = self.land(id)?;
        self.forget(&batch);
        self.note_failure(now);
        Some(batch)
    }

    /// Gives back all that waits and does not travel.
    pub fn take_waiting(&mut self) -> Vec<Batch> {
        let waiting: Vec<_> = self.closed.drain(..).chain(self.open.take()).collect();
        waiting.iter().for_each(|batch| self.forget(batch));
        waiting
    }

    fn fail(&mut self, batch: Batch, now: MonoMillis) {
        self.note_failure(now);
        let place = self.closed.partition_point(|each| each.id < batch.id);
        self.closed.insert(place, batch);
    }

    fn note_failure(&mut self, now: MonoMillis) {
        let doubled = BACK_OFF.0.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.retry_at = now.plus(Millis(doubled.min(self.limits.back_off_max.0)));
        self.failures = self.failures.saturating_add(1).min(16);
    }

    fn land(&mut self, id: u64) -> Option<Batch> {
        let at = self.flying.iter().position(|batch| batch.id == id)?;
        Some(self.flying.swap_remove(at))
    }

    fn forget(&mut self, batch: &Batch) {
        self.bytes = self.bytes.saturating_sub(bytes_of(batch));
        self.count = self.count.saturating_sub(count_of(batch));
    }

    fn count_in(&mut self, batch: &Batch) {
        self.bytes = self.bytes.saturating_add(bytes_of(batch));
        self.count = self.count.saturating_add(count_of(batch));
    }
}

/// Bytes that a batch's head has at most.
const HEAD_BYTES_MAX: u64 = 1 << 20;

fn bytes_of(batch: &Batch) -> u64 {
    u64::from(crate::http::len_u32(batch.frames.len()))
}

fn count_of(batch: &Batch) -> u64 {
    u64::from(crate::http::len_u32(batch.entries.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Frames;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const LIMITS: Limits = Limits {
        count_max: 3,
        bytes_max: 100,
        age_max: Millis(10),
        flying_max: 2,
        back_off_max: Millis(2000),
    };

    fn capture(seq: u64) -> Capture {
        Capture {
            seq,
            ..Capture::default()
        }
    }

    fn filled(seqs: core::ops::RangeInclusive<u64>) -> Queue {
        let mut queue = Queue::new(LIMITS);
        for seq in seqs {
            queue.push(&capture(seq), true, MonoMillis(100));
        }
        queue
    }

    fn seqs(batch: &Batch) -> Vec<u64> {
        let mut frames = Frames::new(batch.frames());
        let mut seqs = vec![];
        while let Some(capture) = frames.next_message::<Capture>().unwrap() {
            seqs.push(capture.seq);
        }
        seqs
    }

    #[track_caller]
    fn sent(queue: &mut Queue, now: u64) -> (u64, Vec<u64>) {
        let batch = queue.next(MonoMillis(now)).expect("a batch");
        (batch.id(), seqs(batch))
    }

    const fn range(first: u64, last: u64) -> Range {
        Range { first, last }
    }

    #[test]
    fn a_batch_is_closed_by_count_and_by_age() {
        let mut queue = filled(1..=4);
        assert_eq!(sent(&mut queue, 100).1, [1, 2, 3]);
        assert_eq!(queue.next(MonoMillis(109)), None);
        assert_eq!(sent(&mut queue, 110).1, [4]);
    }

    #[test]
    fn a_batch_is_closed_by_bytes() {
        let mut queue = Queue::new(LIMITS);
        let large = Capture {
            route: "r".repeat(100),
            ..capture(1)
        };
        queue.push(&large, true, MonoMillis(100));
        assert_eq!(sent(&mut queue, 100).1, [1]);
    }

    #[test]
    fn no_more_travel_than_may() {
        let mut queue = filled(1..=9);
        let (first, _) = sent(&mut queue, 100);
        sent(&mut queue, 100);
        assert_eq!(queue.next(MonoMillis(100)), None);
        assert_eq!(
            queue
                .acknowledge(first, &[range(1, 3)], MonoMillis(100))
                .unwrap()
                .settled,
            3
        );
        assert_eq!(sent(&mut queue, 100).1, [7, 8, 9]);
    }

    #[test]
    fn a_failed_batch_comes_again_first_and_as_it_was_after_a_while() {
        let mut queue = filled(1..=6);
        let (first, seqs) = sent(&mut queue, 100);
        queue.retry(first, MonoMillis(100));
        assert!(queue.is_failing());
        assert_eq!(queue.next(MonoMillis(149)), None);
        assert_eq!(sent(&mut queue, 150), (first, seqs));
        assert_eq!(queue.next(MonoMillis(150)), None, "one try at a time");
        queue.acknowledge(first, &[range(1, 3)], MonoMillis(150)).unwrap();
        assert_eq!((queue.is_failing(), queue.count()), (false, 3));
        sent(&mut queue, 150);
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let mut queue = filled(1..=3);
        let mut now = 100;
        for wait in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            let (id, _) = sent(&mut queue, now);
            queue.retry(id, MonoMillis(now));
            assert_eq!(queue.next(MonoMillis(now + wait - 1)), None, "{wait}");
            now += wait;
        }
    }

    #[test]
    fn what_an_acknowledgement_leaves_out_is_sent_again_and_counted_once() {
        let mut queue = filled(1..=3);
        let (id, _) = sent(&mut queue, 100);
        let acked = queue.acknowledge(id, &[range(2, 2)], MonoMillis(100)).unwrap();
        assert_eq!((acked.seqs, acked.settled), (vec![2], 1));
        let (id, seqs) = sent(&mut queue, 150);
        assert_eq!(seqs, [1, 3]);
        assert_eq!(
            queue.acknowledge(id, &[range(1, 3)], MonoMillis(150)).unwrap().settled,
            2
        );
        assert_eq!((queue.bytes(), queue.count(), queue.oldest()), (0, 0, None));
        assert_eq!(queue.acknowledge(id, &[range(1, 3)], MonoMillis(150)), None, "too late");
    }

    #[test]
    fn another_queue_takes_over_what_is_left() {
        let mut ahead = filled(1..=3);
        let (id, _) = sent(&mut ahead, 100);
        let batch = ahead.give_up(id, MonoMillis(100)).unwrap();
        let mut later = Queue::new(LIMITS);
        later.take_over(&batch, &[2], MonoMillis(100));
        assert_eq!(sent(&mut later, 110).1, [1, 3]);
        assert_eq!((ahead.bytes(), ahead.count()), (0, 0));
    }

    #[test]
    fn what_waits_is_given_back_and_what_travels_stays() {
        let mut queue = filled(1..=7);
        let (first, _) = sent(&mut queue, 100);
        let waiting: Vec<_> = queue.take_waiting().iter().flat_map(seqs).collect();
        assert_eq!(waiting, [4, 5, 6, 7]);
        assert_eq!(
            queue
                .acknowledge(first, &[range(1, 3)], MonoMillis(100))
                .unwrap()
                .settled,
            3
        );
        assert_eq!((queue.bytes(), queue.count()), (0, 0));
    }

    #[test]
    fn bodies_go_before_captures_do() {
        let queue = Queue::new(LIMITS);
        let down = Queue {
            failures: 1,
            ..queue.clone()
        };
        assert_eq!(queue.room(10, 20, 45, 100), Room::Whole);
        assert_eq!(queue.room(10, 20, 46, 100), Room::Heads);
        assert_eq!(queue.room(10, 20, 90, 100), Room::Heads);
        assert_eq!(queue.room(10, 20, 91, 100), Room::Nothing(Reason::QueueFull));
        assert_eq!(down.room(10, 20, 91, 100), Room::Nothing(Reason::ReplaydDown));
        let huge = 64 << 20;
        assert_eq!(queue.room(10, huge, 0, u64::MAX), Room::Heads);
        assert_eq!(queue.room(huge, 0, 0, u64::MAX), Room::Nothing(Reason::TooLarge));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        /// Case R16.
        #[test]
        fn every_capture_arrives_whatever_is_lost_on_the_way(faults: Vec<u8>, count in 1_u64..40) {
            let mut queue = filled(1..=count);
            let mut faults = faults.into_iter();
            let (mut now, mut arrived, mut settled) = (100_u64, vec![], vec![]);
            while queue.count() > 0 {
                let Some(batch) = queue.next(MonoMillis(now)) else {
                    now = MonoMillis(now).plus(Millis(10)).0;
                    continue;
                };
                let (id, seqs) = (batch.id(), seqs(batch));
                match faults.next().unwrap_or(2) % 3 {
                    0 => queue.retry(id, MonoMillis(now)),
                    // It arrived, and the acknowledgement is lost.
                    1 => {
                        arrived.extend(seqs);
                        queue.retry(id, MonoMillis(now));
                    }
                    _ => {
                        let ranges: Vec<_> = seqs.iter().map(|seq| range(*seq, *seq)).collect();
                        arrived.extend(seqs);
                        let acked = queue.acknowledge(id, &ranges, MonoMillis(now)).unwrap();
                        settled.extend(acked.seqs);
                    }
                }
            }
            arrived.sort_unstable();
            arrived.dedup();
            assert_eq!(arrived, (1..=count).collect::<Vec<_>>());
            assert_eq!(queue.bytes(), 0);
            settled.sort_unstable();
            assert_eq!(settled, (1..=count).collect::<Vec<_>>(), "each is told of once");
        }
    }
}
