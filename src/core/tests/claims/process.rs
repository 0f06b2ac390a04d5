//! One process: what its workers share, and what really happened in it.

use crate::worker::Worker;
use reprise_core::claim::bucket::Bucket;
use reprise_core::claim::slot::{SLOT_BYTES, SLOTS, Slots};
use reprise_core::claim::{Fence, State, Way};
use reprise_core::config::{OnFull, OnUnknown};
use reprise_core::id::Tag;
use reprise_core::time::{Millis, MonoMillis};
use std::sync::LazyLock;

/// How long a slot lives without being renewed.
pub(crate) const LEASE: Millis = Millis(300);
/// When the process begins: so that a record ends in the middle of a second, and the second before a takeover.
const START: MonoMillis = MonoMillis(1_000_900);
/// How long every record lives.
pub(crate) const RETAIN: Millis = Millis(700);
/// What one step of the clock passes: beyond a lease with its third, below a takeover.
pub(crate) const PASS: Millis = Millis(450);
/// Slots of the table that the model keeps: more than it has lives of workers.
const ROWS: usize = 4;

/// The bounds of one model, and the fault that is planted in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) keys: u8,
    pub(crate) ways: usize,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) on_full: OnFull,
    pub(crate) left: Left,
    pub(crate) fault: Option<Fault>,
}

/// How often each thing may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) arrivals: u8,
    pub(crate) passes: u8,
    pub(crate) ticks: u8,
    pub(crate) sweeps: u8,
    pub(crate) crashes: u8,
}

/// A break of the protocol that the model has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An end counts whoever shows it.
    EndWithoutFence,
    /// A record answers whoever wrote it.
    AnswerWithoutFence,
    /// A claim whose holder is dead is free.
    DeadIsFree,
    /// A write does not compare.
    WriteWithoutCompare,
    /// A slot that is taken over keeps its epoch.
    TakeWithoutEpoch,
    /// The sweep wipes a record without looking at it.
    WipeWithoutCompare,
    /// An owner writes its record whatever stands there.
    RecordWithoutCompare,
}

/// The bytes of the first slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Table([u8; ROWS * SLOT_BYTES]);

impl Table {
    pub(crate) const NEW: Self = Self([0; ROWS * SLOT_BYTES]);

    pub(crate) fn of(slots: &Slots) -> Self {
        let mut rows = [0; ROWS * SLOT_BYTES];
        rows.copy_from_slice(&slots.bytes()[..ROWS * SLOT_BYTES]);
        Self(rows)
    }

    /// Gives a slot this epoch, whatever it had.
    pub(crate) fn set_epoch(&mut self, at: u8, epoch: u16) {
        let start = usize::from(at) * SLOT_BYTES + 8;
        self.0[start..start + 2].copy_from_slice(&epoch.to_le_bytes());
    }

    pub(crate) fn slots(&self) -> Slots {
        let mut bytes = [0; SLOTS * SLOT_BYTES];
        bytes[..ROWS * SLOT_BYTES].copy_from_slice(&self.0);
        Slots::read(bytes.to_vec())
    }
}

/// What stands in a record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) key: u8,
    pub(crate) fence: Fence,
    pub(crate) expiry: MonoMillis,
}

/// What really became of the last request that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Run {
    /// There was none, or what it left is over.
    None,
    /// Nobody has said yet.
    Open { by: Fence },
    /// Its response was kept.
    Kept { until: MonoMillis },
    /// It was called unknown.
    Doubted { until: MonoMillis },
}

/// A claim that was made, whatever became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Claimed {
    key: usize,
    fence: Fence,
    is_kept: bool,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// A key ran a second time, and nobody called the first time unknown.
    RanTwice,
    /// An answer was given that no kept end of its key stands behind.
    AnswerWithoutRecord,
    /// A claim was ended by another than its owner, or a second time.
    EndByAnother,
    /// Two claims have one fence.
    FenceTwice,
    /// A way says done, and its record is not there.
    DoneWithoutRecord,
}

/// One process, and the witness of what happens in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) now: MonoMillis,
    pub(crate) table: Table,
    pub(crate) ways: Vec<Way>,
    pub(crate) records: Vec<Option<Record>>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) runs: Vec<Run>,
    pub(crate) claims: Vec<Claimed>,
    pub(crate) left: Left,
    pub(crate) wrong: Option<Wrong>,
}

/// Who changes a bucket, as far as the witness is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actor {
    /// When its callback began.
    pub(crate) now: MonoMillis,
    /// The claim that it ends as its owner, if that is what it does.
    pub(crate) ends: Option<Fence>,
}

pub(crate) fn tag(key: u8) -> Tag {
    Tag([key + 1; 16])
}

/// Lays `ways` out as a bucket whose other ways are taken for good.
pub(crate) fn bucket(ways: &[Way]) -> Bucket {
    static TAKEN: LazyLock<Bucket> = LazyLock::new(|| {
        let mut bucket = Bucket::read(Vec::new()).unwrap();
        let way = Way {
            tag: Tag([0xFF; 16]),
            state: State::Unknown,
            expiry_s: u32::MAX,
            ..Way::FREE
        };
        for at in 0..reprise_core::claim::bucket::WAYS {
            bucket.put(at, &way);
        }
        bucket
    });
    let mut bucket = TAKEN.clone();
    for (at, way) in (0..).zip(ways) {
        bucket.put(at, way);
    }
    bucket
}

impl Process {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            now: START,
            table: Table::NEW,
            ways: vec![Way::FREE; plan.ways],
            records: vec![None; plan.ways],
            workers: vec![Worker::NEW; plan.workers],
            runs: vec![Run::None; usize::from(plan.keys)],
            claims: Vec::new(),
            left: plan.left,
            wrong: None,
        }
    }

    /// Writes the way at `at`, and has the witness compare with what really happened.
    pub(crate) fn put(&mut self, at: usize, next: Way, actor: Actor, plan: &Plan) {
        let was = std::mem::replace(&mut self.ways[at], next);
        let is_same_claim = was.state != State::Free && was.fence == next.fence && was.tag == next.tag;
        if is_same_claim && next.state != State::Free {
            self.end(&was, &next, actor);
            return;
        }
        if was.state != State::Free {
            self.leave(&was, &next, actor, plan);
        }
        if next.state == State::Running {
            self.forward(&next);
        }
    }

    fn forward(&mut self, next: &Way) {
        let run = &mut self.runs[key(next)];
        if *run != Run::None {
            self.wrong = Some(Wrong::RanTwice);
        }
        *run = Run::Open { by: next.fence };
        let (key, fence) = (key(next), next.fence);
        if self.claims.iter().any(|claim| claim.fence == fence) {
            self.wrong = Some(Wrong::FenceTwice);
        }
        self.claims.push(Claimed {
            key,
            fence,
            is_kept: false,
        });
    }

    /// What a way said is gone: only if its time is over, nothing ran, or the route or the store give it up.
    fn leave(&mut self, was: &Way, next: &Way, actor: Actor, plan: &Plan) {
        let is_own = next.tag == was.tag;
        let goes = match self.runs[key(was)] {
            Run::None => false,
            Run::Open { by } => actor.ends == Some(by) || plan.on_unknown == OnUnknown::Release && is_own,
            Run::Kept { until } => {
                until <= actor.now || plan.on_full == OnFull::Evict && !is_own && next.state == State::Running
            }
            Run::Doubted { until } => until <= actor.now || plan.on_unknown == OnUnknown::Release && is_own,
        };
        if !goes {
            self.wrong = Some(Wrong::RanTwice);
        }
        self.runs[key(was)] = Run::None;
    }

    fn end(&mut self, was: &Way, next: &Way, actor: Actor) {
        if was.state == next.state {
            return;
        }
        let run = &mut self.runs[key(next)];
        let is_open = matches!(*run, Run::Open { by } if by == next.fence);
        let is_owner = actor.ends == Some(next.fence);
        let is_doubt = next.state == State::Unknown && actor.ends.is_none();
        if !is_open || !(is_owner || is_doubt) {
            self.wrong = Some(Wrong::EndByAnother);
        }
        if next.state == State::Unknown {
            let over = u64::from(next.expiry_s) + 1;
            *run = Run::Doubted {
                until: MonoMillis::default().plus(Millis::from_seconds(over)),
            };
            return;
        }
        *run = Run::Kept {
            until: actor.now.plus(RETAIN),
        };
        for claim in self.claims.iter_mut().filter(|claim| claim.fence == next.fence) {
            claim.is_kept = true;
        }
    }

    /// Notes an answer that a duplicate of `key` got from `record`.
    pub(crate) fn answered(&mut self, key: u8, record: &Record) {
        let kept = Claimed {
            key: usize::from(key),
            fence: record.fence,
            is_kept: true,
        };
        if record.key != key || !self.claims.contains(&kept) {
            self.wrong = Some(Wrong::AnswerWithoutRecord);
        }
    }

    /// Tells what is wrong, if anything is.
    pub(crate) fn wrong(&self) -> Option<Wrong> {
        let lacks = |(at, way): (usize, &Way)| {
            let is_kept = matches!(self.runs.get(key(way)), Some(Run::Kept { until }) if self.now < *until);
            way.state == State::Done && is_kept && self.records[at].is_none_or(|record| record.fence != way.fence)
        };
        let lost = self
            .ways
            .iter()
            .enumerate()
            .filter(|(_, way)| way.state == State::Done)
            .any(lacks);
        self.wrong.or_else(|| lost.then_some(Wrong::DoneWithoutRecord))
    }
}

fn key(way: &Way) -> usize {
    usize::from(way.tag.0[0] - 1)
}
