//! How far a replay is: what changes while it runs, as it is kept and as it is shown.

use super::kept::without_rules;
use super::spec::{Mode, ReplaySpec};
use super::view::{Counts, Question, ReplayState, ReplayView, Spread};
use crate::store::ReplayRow;
use serde::de::{IntoDeserializer as _, value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What changes while a replay runs.
///
/// Shape: JSON in the store; fields that are missing have their defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub(crate) detail: String,
    pub(crate) url: String,
    pub(crate) started_ms: Option<i64>,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) boot_id: String,
    pub(crate) counts: Counts,
    pub(crate) rate: f64,
    pub(crate) eta_s: Option<u64>,
    pub(crate) lateness: Spread,
    pub(crate) latency_intended: Spread,
    pub(crate) latency: Spread,
    pub(crate) question: Option<Question>,
    pub(crate) early: Vec<i64>,
    pub(crate) left_out: BTreeMap<String, u64>,
    /// Redacted headers that answered requests went without, and how many did.
    pub(crate) headers_left_out: BTreeMap<String, u64>,
    pub(crate) exit_code: Option<u8>,
    /// Steps without an answer that the target lacks, or may lack, at the end.
    pub(crate) missing: u64,
    /// What becomes of steps in doubt, as whoever resumed it said.
    pub(crate) in_doubt: Option<super::spec::OnDoubt>,
    /// Whether all steps are written down; a plan that broke off is made anew.
    pub(crate) is_planned: bool,
    /// Whether it was interrupted only because replayd stopped: nobody and nothing decided against it.
    pub(crate) is_cut: bool,
}

impl ReplayState {
    /// Names the state as the store has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::WaitingGate => "waiting_gate",
            Self::Running => "running",
            Self::Asking => "asking",
            Self::Interrupted => "interrupted",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Names the state as people read it.
    pub(crate) fn words(self) -> String {
        self.name().replace('_', " ")
    }

    /// Reads a name; one that no replayd writes is a failure.
    pub(crate) fn from_name(name: &str) -> Self {
        let read: Result<Self, value::Error> = Self::deserialize(name.into_deserializer());
        read.unwrap_or(Self::Failed)
    }

    /// Tells whether it goes on without being asked again, and so has its target.
    pub(crate) const fn holds(self) -> bool {
        matches!(self, Self::Planned | Self::WaitingGate | Self::Running | Self::Asking)
    }
}

/// Shows a replay.
pub(super) fn view(row: &ReplayRow, state: ReplayState, progress: Progress) -> ReplayView {
    let spec = without_rules(serde_json::from_str(&row.replay.spec).unwrap_or_default());
    ReplayView {
        id: row.id,
        kind: spec.kind,
        state,
        detail: progress.detail,
        target: spec.target.clone(),
        url: progress.url,
        mode: spec.mode(),
        by: row.replay.by.clone(),
        created_ms: row.replay.created_at.0,
        started_ms: progress.started_ms,
        ended_ms: progress.ended_ms,
        boot_id: progress.boot_id,
        counts: progress.counts,
        rate: progress.rate,
        eta_s: progress.eta_s,
        lateness: progress.lateness,
        latency_intended: progress.latency_intended,
        latency: progress.latency,
        question: progress.question,
        early: progress.early,
        left_out: progress.left_out,
        headers_left_out: progress.headers_left_out,
        exit_code: progress.exit_code,
        spec,
    }
}

impl ReplaySpec {
    /// Tells the mode that is meant.
    pub(crate) fn mode(&self) -> Mode {
        let usual = match self.kind {
            super::Kind::Restore => Mode::Causal,
            super::Kind::Replay => Mode::Serial,
        };
        self.mode.unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_by_the_name_that_is_shown() {
        let names = [
            "planned",
            "waiting_gate",
            "running",
            "asking",
            "interrupted",
            "finished",
            "cancelled",
            "refused",
            "failed",
        ];
        for name in names {
            assert_eq!(ReplayState::from_name(name).name(), name);
        }
        assert_eq!(ReplayState::WaitingGate.words(), "waiting gate");
        assert_eq!(ReplayState::from_name("paused"), ReplayState::Failed);
    }
}
