//! Replays in memory.

use super::{MemoryStore, lock};
use crate::clock::UnixMillis;
use crate::store::Pending;
use crate::store::replays::{
    BootLedger, Entry, NewReplay, NewStep, Outcome, ReplayChange, ReplayRow, ReplayStore, StepChange, StepRow, Tally,
    TargetBoot,
};
use reprise_core::replay::step::Step;
use std::collections::BTreeMap;
use std::future::ready;

/// All replays, and what they wrote down.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    replays: BTreeMap<i64, ReplayRow>,
    steps: BTreeMap<(i64, u64), StepRow>,
    bindings: BTreeMap<(i64, u64), Vec<u8>>,
    /// What boots have, and whether that is sure.
    ledger: BTreeMap<(TargetBoot, i64), bool>,
    boots: BTreeMap<TargetBoot, UnixMillis>,
}

impl Shelf {
    fn holder(&self, target: &str) -> Option<i64> {
        let has = |row: &&ReplayRow| row.holds && row.replay.target == target;
        self.replays.values().find(has).map(|row| row.id)
    }

    fn change(&mut self, id: i64, to: ReplayChange) {
        if let Some(row) = self.replays.get_mut(&id) {
            row.holds = to.holds;
            (row.replay.state, row.replay.progress) = (to.state, to.progress);
        }
        if !to.pins {
            self.bindings.retain(|(replay, _), _| *replay != id);
        }
    }

    fn write(&mut self, id: i64, boot: &TargetBoot, change: StepChange) {
        if let Some(row) = self.steps.get_mut(&(id, change.at)) {
            (row.state, row.outcome) = (change.state, change.outcome);
        }
        if !change.binding.is_empty() {
            self.bindings.insert((id, change.at), change.binding);
        }
        if boot.boot_id.is_empty() {
            return;
        }
        match change.entry {
            Entry::AsBefore => {}
            Entry::Maybe(capture) => _ = self.ledger.insert((boot.clone(), capture.0), false),
            Entry::Sure(capture) => _ = self.ledger.insert((boot.clone(), capture.0), true),
            Entry::Not(capture) => _ = self.ledger.remove(&(boot.clone(), capture.0)),
        }
    }
}

impl MemoryStore {
    /// Tells a replay's state.
    pub(super) fn state(&self, id: i64) -> Option<String> {
        lock(&self.replays).replays.get(&id).map(|row| row.replay.state.clone())
    }

    fn shelf<T: Send + 'static>(&self, work: impl FnOnce(&mut Shelf) -> T) -> Pending<'_, T> {
        Box::pin(ready(Ok(work(&mut lock(&self.replays)))))
    }

    fn unpin(&self, id: i64) {
        lock(&self.pins).retain(|(replay, _)| *replay != id);
    }
}

impl ReplayStore for MemoryStore {
    fn create(&self, replay: NewReplay) -> Pending<'_, Result<i64, i64>> {
        self.shelf(|shelf| {
            if let Some(holder) = shelf.holder(&replay.target) {
                return Err(holder);
            }
            let id = shelf.replays.last_key_value().map_or(1, |(id, _)| id + 1);
            let holds = true;
            shelf.replays.insert(id, ReplayRow { id, holds, replay });
            Ok(id)
        })
    }

    fn replay(&self, id: i64) -> Pending<'_, Option<ReplayRow>> {
        self.shelf(|shelf| shelf.replays.get(&id).cloned())
    }

    fn replays(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<ReplayRow>> {
        self.shelf(|shelf| {
            let rows = shelf.replays.range(..before.unwrap_or(i64::MAX)).rev();
            rows.take(limit as usize).map(|(_, row)| row.clone()).collect()
        })
    }

    fn change(&self, id: i64, change: ReplayChange) -> Pending<'_, ()> {
        if !change.pins {
            self.unpin(id);
        }
        self.shelf(|shelf| shelf.change(id, change))
    }

    fn take_target(&self, id: i64, change: ReplayChange) -> Pending<'_, Result<(), i64>> {
        self.shelf(|shelf| {
            let target = shelf.replays.get(&id).map(|row| row.replay.target.clone());
            match target.and_then(|target| shelf.holder(&target)) {
                Some(holder) => Err(holder),
                None => {
                    shelf.change(id, change);
                    Ok(())
                }
            }
        })
    }

    fn add_steps(&self, id: i64, steps: Vec<NewStep>) -> Pending<'_, ()> {
        for step in &steps {
            self.pin(id, step.capture.0);
        }
        self.shelf(|shelf| {
            if steps.first().is_some_and(|step| step.at == 0) {
                shelf.steps.retain(|(replay, _), _| *replay != id);
            }
            for step in steps {
                let row = StepRow {
                    state: Step::NEW,
                    outcome: Outcome::default(),
                    step,
                };
                shelf.steps.insert((id, row.step.at), row);
            }
        })
    }

    fn steps(&self, id: i64, from: u64, limit: u32) -> Pending<'_, Vec<StepRow>> {
        self.shelf(|shelf| {
            let rows = shelf.steps.range((id, from)..=(id, u64::MAX));
            rows.take(limit as usize).map(|(_, row)| row.clone()).collect()
        })
    }

    fn journal(&self, id: i64, boot: TargetBoot, changes: Vec<StepChange>) -> Pending<'_, ()> {
        self.shelf(|shelf| {
            for change in changes {
                shelf.write(id, &boot, change);
            }
        })
    }

    fn tally(&self, id: i64) -> Pending<'_, Tally> {
        self.shelf(|shelf| {
            let mut tally = Tally::default();
            for (_, row) in shelf.steps.range((id, 0)..=(id, u64::MAX)) {
                tally.planned += 1;
                let is_out = matches!(row.state, Step::Sent(_) | Step::Resent(_) | Step::InDoubt(_));
                tally.out += u64::from(is_out);
                tally.answered += u64::from(matches!(row.state, Step::Answered(_)));
                tally.skipped += u64::from(matches!(row.state, Step::Skipped(_) | Step::Missing(_)));
                tally.matched += u64::from(row.outcome.matched == Some(true));
                tally.differed += u64::from(row.outcome.matched == Some(false));
            }
            tally
        })
    }

    fn bindings(&self, id: i64) -> Pending<'_, Vec<Vec<u8>>> {
        self.shelf(|shelf| {
            let rows = shelf.bindings.range((id, 0)..=(id, u64::MAX));
            rows.map(|(_, binding)| binding.clone()).collect()
        })
    }

    fn restored(&self, boot: TargetBoot) -> Pending<'_, BootLedger> {
        self.shelf(|shelf| {
            let mut ledger = BootLedger::default();
            for ((_, capture), is_sure) in shelf.ledger.iter().filter(|((of, _), _)| *of == boot) {
                let list = if *is_sure { &mut ledger.sure } else { &mut ledger.maybe };
                list.push(*capture);
            }
            ledger
        })
    }

    fn boot_seen(&self, boot: TargetBoot, now: UnixMillis) -> Pending<'_, UnixMillis> {
        self.shelf(|shelf| {
            let first = shelf.boots.entry(boot).or_insert(now);
            *first = now.min(*first);
            *first
        })
    }

    fn holding(&self) -> Pending<'_, Vec<ReplayRow>> {
        self.shelf(|shelf| shelf.replays.values().filter(|row| row.holds).cloned().collect())
    }
}
