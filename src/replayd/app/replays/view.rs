//! Replays as they are shown.

use super::plan::Chosen;
use super::spec::{Kind, Mode, ReplaySpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A replay, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReplayView {
    /// Its number.
    pub(crate) id: i64,
    /// What it is for.
    pub(crate) kind: Kind,
    /// What becomes of it.
    pub(crate) state: ReplayState,
    /// Why it is in this state; empty if there is nothing to say.
    pub(crate) detail: String,
    /// The target's name, or its URL.
    pub(crate) target: String,
    /// The target's URL.
    pub(crate) url: String,
    /// In which order and how fast.
    pub(crate) mode: Mode,
    /// Who started it.
    pub(crate) by: String,
    /// When it was created, in milliseconds since 1970.
    pub(crate) created_ms: i64,
    /// When it began last; none before.
    pub(crate) started_ms: Option<i64>,
    /// When it came to rest; none while it runs.
    pub(crate) ended_ms: Option<i64>,
    /// The target's boot, where one is known.
    pub(crate) boot_id: String,
    /// Its steps, counted.
    pub(crate) counts: Counts,
    /// Responses a second, while it runs.
    pub(crate) rate: f64,
    /// Seconds that are left at this rate; none if nobody can tell.
    pub(crate) eta_s: Option<u64>,
    /// How much later than planned requests were sent, in microseconds.
    pub(crate) lateness: Spread,
    /// How long responses took, in microseconds from when the request was due.
    pub(crate) latency_intended: Spread,
    /// How long responses took, in microseconds from when the request was sent.
    pub(crate) latency: Spread,
    /// What somebody is asked, in the state `asking`.
    pub(crate) question: Option<Question>,
    /// Captures of mutations that clients made on the new boot before the restore.
    pub(crate) early: Vec<i64>,
    /// How many captures were left out of the plan, by reason.
    pub(crate) left_out: BTreeMap<String, u64>,
    /// Headers that were redacted and that answered requests went without, and how many did.
    pub(crate) headers_left_out: BTreeMap<String, u64>,
    /// The command's exit code: 0 match, 1 differ, 2 transport errors, 3 interrupted and resumable, 4 refused; none
    /// while it runs.
    pub(crate) exit_code: Option<u8>,
    /// What was asked for.
    pub(crate) spec: ReplaySpec,
}

/// What becomes of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplayState {
    /// It waits for its turn, or its steps are being worked out.
    Planned,
    /// It waits until the target is healthy.
    WaitingGate,
    /// It sends.
    Running,
    /// It waits for a decision.
    Asking,
    /// It stopped, and can be resumed.
    Interrupted,
    /// All its steps are done.
    Finished,
    /// Somebody ended it.
    Cancelled,
    /// It may not run; `detail` says why.
    Refused,
    /// It cannot go on; `detail` says why.
    Failed,
}

/// Steps, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Counts {
    /// All of them.
    pub(crate) planned: u64,
    /// Those that were sent at least once.
    pub(crate) sent: u64,
    /// Those that have a response.
    pub(crate) answered: u64,
    /// Those whose response is as it was.
    pub(crate) matched: u64,
    /// Those whose response differs, and in a restore those that could not be sent as they were.
    pub(crate) differed: u64,
    /// Those that were left out.
    pub(crate) skipped: u64,
    /// Those that were sent and whose outcome is unknown.
    pub(crate) in_doubt: u64,
    /// Attempts that got no response; after a resume those only that left their step out.
    pub(crate) errors: u64,
}

/// How a number is spread.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Spread {
    /// How many were measured.
    pub(crate) count: u64,
    /// Half of them are at most this, within 2 %.
    pub(crate) p50: u64,
    /// 99 % of them are at most this, within 2 %.
    pub(crate) p99: u64,
    /// The largest.
    pub(crate) max: u64,
    /// How many are at most `le` and above the bucket before.
    pub(crate) histogram: Vec<Bucket>,
}

/// One bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Bucket {
    /// Its upper end, included.
    pub(crate) le: u64,
    /// How many are in it.
    pub(crate) count: u64,
}

/// What somebody is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Question {
    /// Which step it is about.
    pub(crate) step: u64,
    /// Its capture.
    pub(crate) capture: i64,
    /// Its method.
    pub(crate) method: String,
    /// Its target, with query.
    pub(crate) target: String,
    /// Why it is asked.
    pub(crate) why: Why,
    /// How often the step was sent.
    #[serde(default)]
    pub(crate) attempt: u32,
    /// What happened, for people.
    pub(crate) detail: String,
}

/// Why somebody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// The replay is interactive: send this one?
    Interactive,
    /// Its response differs: go on?
    Mismatch,
    /// Its outcome is unknown: send it again?
    InDoubt,
}

/// The answer to one question, and to no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Which step was asked about.
    pub(crate) step: u64,
    /// Why it was asked.
    pub(crate) why: Why,
    /// How often the step was sent when it was asked; none = however often.
    pub(crate) attempt: Option<u32>,
    /// What becomes of the step.
    pub(crate) decision: Decision,
}

impl Answer {
    /// Tells whether `question` is what it answers.
    pub(crate) fn is_to(&self, question: &Question) -> bool {
        (self.step, self.why) == (question.step, question.why)
            && self.attempt.is_none_or(|attempt| attempt == question.attempt)
    }
}

/// What becomes of a step that somebody is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    /// Send it; after a mismatch: go on.
    Send,
    /// Leave it out, and go on.
    Skip,
    /// Stop; the replay can be resumed.
    Stop,
}

/// One page of replays, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReplayPage {
    /// The replays.
    pub(crate) replays: Vec<ReplayView>,
    /// `before` of the next page; none if this is the last.
    pub(crate) next: Option<i64>,
}

/// One page of steps, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StepPage {
    /// The steps.
    pub(crate) steps: Vec<StepView>,
    /// `from` of the next page; none if this is the last.
    pub(crate) next: Option<u64>,
}

/// One re-sent request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StepView {
    /// Its place; counts from 1.
    pub(crate) at: u64,
    /// Its capture.
    pub(crate) capture: i64,
    /// The capture's method.
    pub(crate) method: String,
    /// The capture's target, with query.
    pub(crate) target: String,
    /// The status that was recorded.
    pub(crate) recorded_status: Option<u16>,
    /// How far it is.
    pub(crate) state: StepState,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// The status that came.
    pub(crate) status: Option<u16>,
    /// Whether the response is as it was; none before it came.
    pub(crate) matched: Option<bool>,
    /// What differs, why it was left out, or what went wrong.
    pub(crate) detail: Vec<String>,
    /// How much later than planned it was sent, in microseconds.
    pub(crate) late_us: Option<u64>,
    /// How long the response took, in microseconds.
    pub(crate) latency_us: Option<u64>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepState {
    /// It was not sent.
    Planned,
    /// It was sent.
    Sent,
    /// Its response is here.
    Answered,
    /// It is left out.
    Skipped,
    /// It was sent, and its outcome is unknown.
    InDoubt,
}

/// What a replay would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PlanView {
    /// What it is for.
    pub(crate) kind: Kind,
    /// The target's name, or its URL.
    pub(crate) target: String,
    /// The target's URL.
    pub(crate) url: String,
    /// In which order and how fast.
    pub(crate) mode: Mode,
    /// The target's boot, where one is known.
    pub(crate) boot_id: String,
    /// How many captures were looked at.
    pub(crate) captures: u64,
    /// How many would be sent.
    pub(crate) sends: u64,
    /// How many of those change something.
    pub(crate) mutations: u64,
    /// How many would be left out, by reason.
    pub(crate) left_out: BTreeMap<String, u64>,
    /// Captures of mutations that clients made on the new boot before the restore.
    pub(crate) early: Vec<i64>,
    /// Why it would be refused; none if it would run.
    pub(crate) refusal: Option<String>,
    /// The first thousand of those that would be sent.
    pub(crate) steps: Vec<PlanStep>,
    /// The first thousand of those that could not be sent, because not all of them is known.
    pub(crate) withheld: Vec<Withheld>,
    /// The first of these, if the restore would stop there.
    pub(crate) stops_at: Option<i64>,
}

/// One request that could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Withheld {
    /// Its capture.
    pub(crate) capture: i64,
    /// What is not known of it.
    pub(crate) why: String,
}

impl From<(Chosen, String)> for Withheld {
    fn from((chosen, why): (Chosen, String)) -> Self {
        Self {
            capture: chosen.id.0,
            why,
        }
    }
}

/// One request that would be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PlanStep {
    /// Its capture.
    pub(crate) capture: i64,
    /// Its method.
    pub(crate) method: String,
    /// Its target, with query.
    pub(crate) target: String,
    /// The status that was recorded.
    pub(crate) status: Option<u16>,
}
