//! Replays: planned, started, shown, stopped. How the steps are sent is the worker's matter.

mod driving;
mod history;
mod kept;
mod live;
mod meant;
mod nothing;
mod place;
mod plan;
mod progress;
mod spec;
mod start;
mod target;
mod view;
mod withheld;

pub(crate) use driving::Course;
pub(crate) use history::{LastRestore, named};
pub(crate) use kept::without_rules;
pub(crate) use live::{Live, Order};
pub(crate) use meant::{CompareMeant, Meant};
pub(crate) use plan::{Chosen, Restoring, Selection, reason, select};
pub(crate) use progress::Progress;
pub(crate) use spec::{Kind, Mode, OnDoubt, OnError, OnMismatch, ReplaySpec};
pub(crate) use start::{refuse_restore, rules};
pub(crate) use target::{BOOT_ID, Look, look, origin, path, reach};
pub(crate) use view::{
    Answer, Bucket, Counts, Decision, PlanStep, PlanView, Question, ReplayPage, ReplayState, ReplayView, Spread,
    StepPage, StepState, StepView, Why,
};

pub(crate) use withheld::{kind as withheld_kind, told as withheld_told};

use super::boots::Boots;
use super::captures::Captures;
use super::filter::FilterProblem;
use crate::clock::Clock;
use crate::config::Targets;
use crate::connector::Connector;
use crate::store::captures::Captures as CaptureStore;
use crate::store::{ReplayChange, ReplayRow, ReplayStore, StepRow, StoreError, TargetBoot, cut, one_more};
use reprise_core::replay::step::Step;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

/// Why a replay cannot be planned, started or changed.
#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    /// No replay has this number.
    #[error("there is no replay {id}")]
    NotFound {
        /// What was asked for.
        id: i64,
    },
    /// The filter means nothing.
    #[error("the query cannot be meant")]
    Filter(Vec<FilterProblem>),
    /// A field of the spec means nothing, or contradicts another.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// It may not run.
    #[error("{why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// Another replay has the target.
    #[error("replay {by} has the target {target}: one at a time; wait, or cancel it")]
    Busy {
        /// The target's URL.
        target: String,
        /// Whose turn it is.
        by: i64,
    },
    /// What was asked does not fit the replay's state.
    #[error("replay {id} is {}: {allowed}", state.words())]
    WrongState {
        /// The replay.
        id: i64,
        /// Its state.
        state: ReplayState,
        /// In which states it can be done.
        allowed: &'static str,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the replays of an installation work with.
#[derive(Clone)]
pub(crate) struct Parts {
    /// Where replays are kept.
    pub(crate) store: Arc<dyn ReplayStore>,
    /// Where captures are kept.
    pub(crate) captures: Arc<dyn CaptureStore>,
    /// Opens what is sealed.
    pub(crate) sealed: Captures,
    /// Which boots the proxies saw.
    pub(crate) boots: Boots,
    /// Where replays may go.
    pub(crate) targets: Targets,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Dials public addresses only.
    pub(crate) outside: Connector,
    /// Dials any address.
    pub(crate) anywhere: Connector,
}

/// The use cases of replays; clones are the same.
///
/// One replay a target runs at a time; what runs is driven by the worker.
#[derive(Clone)]
pub(crate) struct Replays {
    parts: Arc<Parts>,
    /// Those that the worker drives.
    live: Arc<Mutex<BTreeMap<i64, Live>>>,
    /// The boots that are restored, and by which replay.
    held: Arc<Mutex<BTreeMap<TargetBoot, i64>>>,
    wake: Arc<Notify>,
}

impl Replays {
    /// Works with `parts`.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            live: Arc::default(),
            held: Arc::default(),
            wake: Arc::default(),
        }
    }

    /// Names the target that is meant where none is named: the only one that is allowed.
    ///
    /// # Errors
    /// [`ReplayError::Invalid`] if none is allowed, or more than one is.
    pub(crate) fn only_target(&self) -> Result<String, ReplayError> {
        let allowed = self.parts.targets.iter().filter(|(_, target)| target.allowed);
        match &*allowed.map(|(name, _)| name.as_str()).collect::<Vec<_>>() {
            [only] => Ok((*only).to_owned()),
            [] => Err(meant::invalid(
                "target",
                "is missing, and no target in replayd.toml is allowed".to_owned(),
            )),
            several => Err(meant::invalid(
                "target",
                format!("is missing; allowed are {}", several.join(", ")),
            )),
        }
    }

    /// Shows one replay.
    pub(crate) async fn replay(&self, id: i64) -> Result<ReplayView, ReplayError> {
        self.row(id).await.map(|row| self.view(&row))
    }

    /// Lists replays with numbers below `before`, the newest first.
    pub(crate) async fn list(&self, before: Option<i64>, limit: u32) -> Result<ReplayPage, ReplayError> {
        let mut rows = self.parts.store.replays(before, one_more(limit)).await?;
        let is_more = cut(&mut rows, limit);
        Ok(ReplayPage {
            next: rows.last().map(|row| row.id).filter(|_| is_more),
            replays: rows.iter().map(|row| self.view(row)).collect(),
        })
    }

    /// Lists the steps of a replay from the place `from` on; places count from 1.
    pub(crate) async fn steps(&self, id: i64, from: Option<u64>, limit: u32) -> Result<StepPage, ReplayError> {
        self.row(id).await?;
        let from = from.unwrap_or(1).saturating_sub(1);
        let mut rows = self.parts.store.steps(id, from, one_more(limit)).await?;
        let is_more = cut(&mut rows, limit);
        let steps: Vec<_> = rows.into_iter().map(step_view).collect();
        Ok(StepPage {
            next: steps.last().map(|step| step.at.saturating_add(1)).filter(|_| is_more),
            steps,
        })
    }

    /// Lets an interrupted replay go on; `in_doubt` decides on steps whose outcome is unknown, if given.
    ///
    /// Again: an answered step is never sent again.
    ///
    /// # Errors
    /// [`ReplayError::WrongState`], [`ReplayError::Refused`] or [`ReplayError::Busy`]; it stays as it is then.
    pub(crate) async fn resume(&self, id: i64, in_doubt: Option<OnDoubt>) -> Result<(), ReplayError> {
        let row = self.row(id).await?;
        let state = ReplayState::from_name(&row.replay.state);
        if state != ReplayState::Interrupted {
            let allowed = "only an interrupted one can be resumed";
            return Err(ReplayError::WrongState { id, state, allowed });
        }
        let mut progress = progress_of(&row);
        self.check_place(&row, &progress).await?;
        progress.in_doubt = in_doubt;
        (progress.ended_ms, progress.exit_code, progress.is_cut) = (None, None, false);
        let change = ReplayChange {
            state: ReplayState::Planned.name().to_owned(),
            progress: to_json(&progress)?,
            holds: true,
            pins: true,
        };
        let taken = self.parts.store.take_target(id, change).await?;
        taken.map_err(|by| ReplayError::Busy {
            target: row.replay.target,
            by,
        })?;
        self.wake.notify_one();
        Ok(())
    }

    /// Stops a replay so that it can be resumed; requests that are out are waited for.
    pub(crate) async fn interrupt(&self, id: i64) -> Result<(), ReplayError> {
        self.order(id, Order::Interrupt, "only one that runs can be interrupted")
            .await
    }

    /// Ends a replay for good; requests that are out are waited for.
    pub(crate) async fn cancel(&self, id: i64) -> Result<(), ReplayError> {
        let row = self.row(id).await?;
        if ReplayState::from_name(&row.replay.state) == ReplayState::Interrupted && !self.is_live(id) {
            let mut progress = progress_of(&row);
            progress.detail = "cancelled".to_owned();
            return self.rest(id, ReplayState::Cancelled, &progress).await;
        }
        self.order(id, Order::Cancel, "it is over").await
    }

    /// Answers the question that a replay waits for.
    ///
    /// Again: refused; the question is not open any more.
    ///
    /// # Errors
    /// [`ReplayError::WrongState`] if it asks nothing, or something else; nothing came of the answer then.
    pub(crate) async fn decide(&self, id: i64, answer: Answer) -> Result<(), ReplayError> {
        let allowed = "this question is not open (any more)";
        let state = self.view(&self.row(id).await?).state;
        if state != ReplayState::Asking {
            return Err(ReplayError::WrongState { id, state, allowed });
        }
        let (reply, heard) = oneshot::channel();
        self.order(id, Order::Decide(answer, reply), allowed).await?;
        match heard.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ReplayError::WrongState { id, state, allowed }),
        }
    }

    /// The same installation after its process died: what was only in memory is gone.
    #[cfg(test)]
    pub(crate) fn forgotten(&self) -> Self {
        Self {
            parts: Arc::clone(&self.parts),
            live: Arc::default(),
            held: Arc::default(),
            wake: Arc::default(),
        }
    }

    /// Shows what the use cases work with.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    async fn row(&self, id: i64) -> Result<ReplayRow, ReplayError> {
        self.parts.store.replay(id).await?.ok_or(ReplayError::NotFound { id })
    }

    fn view(&self, row: &ReplayRow) -> ReplayView {
        let live = self.lock().get(&row.id).cloned();
        let (state, progress) = match live.filter(|_| row.holds) {
            Some(live) => live.seen(),
            None => (ReplayState::from_name(&row.replay.state), progress_of(row)),
        };
        progress::view(row, state, progress)
    }

    async fn order(&self, id: i64, order: Order, allowed: &'static str) -> Result<(), ReplayError> {
        let row = self.row(id).await?;
        let state = ReplayState::from_name(&row.replay.state);
        if !row.holds {
            return Err(ReplayError::WrongState { id, state, allowed });
        }
        // One that waits for its turn is taken first, so that it hears.
        if let Some(live) = self.lock().get(&id) {
            live.order(order);
            return Ok(());
        }
        Err(ReplayError::WrongState { id, state, allowed })
    }

    fn is_live(&self, id: i64) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exit codes of the commands.
pub(crate) mod exit {
    /// Everything is as it was.
    pub(crate) const MATCH: u8 = 0;
    /// Something differs.
    pub(crate) const DIFFER: u8 = 1;
    /// Requests got no response.
    pub(crate) const ERRORS: u8 = 2;
    /// It stopped, and can be resumed.
    pub(crate) const INTERRUPTED: u8 = 3;
    /// It may not run.
    pub(crate) const REFUSED: u8 = 4;
}

fn progress_of(row: &ReplayRow) -> Progress {
    serde_json::from_str(&row.replay.progress).unwrap_or_default()
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, ReplayError> {
    serde_json::to_string(value).map_err(|error| meant::invalid("spec", error.to_string()))
}

fn step_view(row: StepRow) -> StepView {
    let state = match row.state {
        Step::Planned(_) => StepState::Planned,
        Step::Sent(_) | Step::Resent(_) => StepState::Sent,
        Step::Answered(_) => StepState::Answered,
        Step::InDoubt(_) => StepState::InDoubt,
        Step::Skipped(_) | Step::Missing(_) => StepState::Skipped,
    };
    StepView {
        at: row.step.at.saturating_add(1),
        capture: row.step.capture.0,
        method: row.step.method,
        target: row.step.target,
        recorded_status: row.step.recorded_status,
        state,
        attempts: row.state.attempt(),
        status: row.outcome.status,
        matched: row.outcome.matched,
        detail: row.outcome.detail,
        late_us: row.outcome.late_us,
        latency_us: row.outcome.latency_us,
    }
}

pub(crate) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
