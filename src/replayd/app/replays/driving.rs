//! What the worker asks and tells: which replays are to be driven, and how they come to rest.

use super::{Counts, Live, Order, Progress, ReplayError, ReplayState, Replays, exit, progress_of, to_json};
use crate::store::{ReplayChange, ReplayRow, TargetBoot};
use std::collections::btree_map::Entry;
use std::sync::PoisonError;
use tokio::sync::mpsc;

/// How a restore is, to whoever would have it go on without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It runs, or will.
    Runs,
    /// It broke off, as replayd stopped or its target was away: nobody and nothing decided against it.
    Broke,
    /// It stopped at what people have to look at, or they stopped it.
    Stopped,
    /// It is over.
    Over,
}

impl Course {
    fn of(state: ReplayState, progress: &Progress) -> Self {
        match state {
            ReplayState::Planned | ReplayState::WaitingGate | ReplayState::Running | ReplayState::Asking => Self::Runs,
            ReplayState::Interrupted if progress.is_cut || progress.exit_code == Some(exit::ERRORS) => Self::Broke,
            ReplayState::Interrupted | ReplayState::Cancelled => Self::Stopped,
            ReplayState::Finished | ReplayState::Refused | ReplayState::Failed => Self::Over,
        }
    }
}

impl Replays {
    /// Takes replays of an earlier process to rest: what they were doing is not known, and somebody has to resume them.
    pub(crate) async fn recover(&self) -> Result<(), ReplayError> {
        for row in self.parts.store.holding().await? {
            let mut progress = progress_of(&row);
            let tally = self.parts.store.tally(row.id).await?;
            progress.counts = Counts {
                planned: tally.planned,
                sent: tally.answered.saturating_add(tally.out),
                answered: tally.answered,
                matched: tally.matched,
                differed: tally.differed,
                skipped: tally.skipped,
                in_doubt: tally.out,
                errors: progress.counts.errors,
            };
            progress.detail = "replayd stopped while it ran".to_owned();
            progress.exit_code = Some(exit::INTERRUPTED);
            progress.ended_ms = Some(self.parts.clock.now().0);
            progress.question = None;
            progress.is_cut = true;
            self.rest(row.id, ReplayState::Interrupted, &progress).await?;
        }
        Ok(())
    }

    /// Tells how a restore is.
    pub(crate) async fn course(&self, id: i64) -> Result<Course, ReplayError> {
        Ok(self.course_of(&self.row(id).await?))
    }

    pub(super) fn course_of(&self, row: &ReplayRow) -> Course {
        Course::of(self.view(row).state, &progress_of(row))
    }

    /// Tells what a replay is for.
    pub(crate) fn kind(&self, row: &ReplayRow) -> &'static str {
        self.view(row).kind.name()
    }

    /// Waits until something may have to be driven.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes the replays that nobody drives yet; who takes one has to drive it.
    pub(crate) async fn take(&self) -> Result<Vec<(ReplayRow, Live, mpsc::UnboundedReceiver<Order>)>, ReplayError> {
        let mut taken = Vec::new();
        for row in self.parts.store.holding().await? {
            if let Entry::Vacant(free) = self.lock().entry(row.id) {
                let (live, orders) = Live::new(ReplayState::from_name(&row.replay.state), progress_of(&row));
                free.insert(live.clone());
                taken.push((row, live, orders));
            }
        }
        Ok(taken)
    }

    /// Lets replay `id` alone restore a boot until it is left, whatever URL leads there.
    ///
    /// # Errors
    /// [`ReplayError::Busy`] if another restores it.
    pub(crate) fn hold_boot(&self, id: i64, boot: &TargetBoot) -> Result<(), ReplayError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match *held.entry(boot.clone()).or_insert(id) {
            by if by == id => Ok(()),
            by => Err(ReplayError::Busy {
                target: format!("by its boot {}", boot.boot_id),
                by,
            }),
        }
    }

    /// Notes that nobody drives a replay any more.
    pub(crate) fn leave(&self, id: i64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, by| *by != id);
        drop(held);
        self.lock().remove(&id);
        // It may have been resumed while it was left.
        self.wake.notify_one();
    }

    /// Tells all replays that are driven to stop because replayd does, so that they can be resumed.
    pub(crate) fn drain_all(&self) {
        for live in self.lock().values() {
            live.order(Order::Drain);
        }
    }

    /// Writes down that a replay is in `state`.
    pub(crate) async fn rest(&self, id: i64, state: ReplayState, progress: &Progress) -> Result<(), ReplayError> {
        let change = ReplayChange {
            state: state.name().to_owned(),
            progress: to_json(progress)?,
            holds: state.holds(),
            pins: state.holds() || state == ReplayState::Interrupted,
        };
        Ok(self.parts.store.change(id, change).await?)
    }
}
