//! Replays at rest: their steps, who has a target, and what a boot of a target has already.

use super::Pending;
use super::captures::CaptureId;
use crate::clock::UnixMillis;
use reprise_core::replay::schedule::Item;
use reprise_core::replay::step::Step;

/// A replay that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewReplay {
    /// The origin of the target's URL: who else goes there has to wait.
    pub(crate) target: String,
    /// Its state.
    pub(crate) state: String,
    /// What was asked for, as JSON.
    pub(crate) spec: String,
    /// How far it is, as JSON.
    pub(crate) progress: String,
    /// Who started it.
    pub(crate) by: String,
    /// When it was created.
    pub(crate) created_at: UnixMillis,
}

/// A replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayRow {
    /// Its number; never used again.
    pub(crate) id: i64,
    /// Whether it has its target.
    pub(crate) holds: bool,
    /// The rest.
    pub(crate) replay: NewReplay,
}

/// What changes in a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayChange {
    /// Its state.
    pub(crate) state: String,
    /// How far it is, as JSON.
    pub(crate) progress: String,
    /// Whether it keeps its target; one that gives it up gives up its captures' pins too, unless it keeps them.
    pub(crate) holds: bool,
    /// Whether it may be resumed, so that its captures stay, and what the automatic mapping learned.
    pub(crate) pins: bool,
}

/// A step that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewStep {
    /// Its place; counts from 0.
    pub(crate) at: u64,
    /// Its capture.
    pub(crate) capture: CaptureId,
    /// The capture's method.
    pub(crate) method: String,
    /// The capture's target, with query.
    pub(crate) target: String,
    /// The status that was recorded.
    pub(crate) recorded_status: Option<u16>,
    /// When it is sent; its place in the order of receipt is its capture's number.
    pub(crate) item: Item,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepRow {
    /// What was planned.
    pub(crate) step: NewStep,
    /// How far it is.
    pub(crate) state: Step,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// The status that came.
    pub(crate) status: Option<u16>,
    /// Whether the response is as it was.
    pub(crate) matched: Option<bool>,
    /// How much later than planned it was sent, in microseconds.
    pub(crate) late_us: Option<u64>,
    /// How long the response took, in microseconds.
    pub(crate) latency_us: Option<u64>,
    /// What differs, why it was left out, or what went wrong.
    pub(crate) detail: Vec<String>,
}

/// What is written down of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepChange {
    /// Its place.
    pub(crate) at: u64,
    /// How far it is now.
    pub(crate) state: Step,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// What the automatic mapping learned; empty = nothing.
    pub(crate) binding: Vec<u8>,
    /// What the ledger says from now on.
    pub(crate) entry: Entry,
}

/// What the ledger of a target's boot says about a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Entry {
    /// What it said before.
    #[default]
    AsBefore,
    /// The boot may have it.
    Maybe(CaptureId),
    /// The boot has it.
    Sure(CaptureId),
    /// The boot does not have it.
    Not(CaptureId),
}

/// The ledger of a target's boot: captures by number, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BootLedger {
    /// What it has.
    pub(crate) sure: Vec<i64>,
    /// What it may have.
    pub(crate) maybe: Vec<i64>,
}

/// Steps, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// All of them.
    pub(crate) planned: u64,
    /// Those that were sent and have no response.
    pub(crate) out: u64,
    /// Those that have a response.
    pub(crate) answered: u64,
    /// Those whose response is as it was.
    pub(crate) matched: u64,
    /// Those whose response differs.
    pub(crate) differed: u64,
    /// Those that were left out.
    pub(crate) skipped: u64,
}

/// One boot of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TargetBoot {
    /// The origin of the target's URL; empty where the boot id names it alone.
    pub(crate) target: String,
    /// Its boot id.
    pub(crate) boot_id: String,
}

/// Where replays are kept.
///
/// What each function promises is in the contract suite.
pub(crate) trait ReplayStore: Send + Sync + 'static {
    /// Keeps a replay and gives it its target; gives its number, or that of the replay that has the target.
    fn create(&self, replay: NewReplay) -> Pending<'_, Result<i64, i64>>;

    /// Shows one replay.
    fn replay(&self, id: i64) -> Pending<'_, Option<ReplayRow>>;

    /// Shows replays with numbers below `before`, the newest first.
    fn replays(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<ReplayRow>>;

    /// Changes a replay.
    fn change(&self, id: i64, change: ReplayChange) -> Pending<'_, ()>;

    /// Gives a replay its target again; tells who has it if it is not free. Nothing is changed then.
    fn take_target(&self, id: i64, change: ReplayChange) -> Pending<'_, Result<(), i64>>;

    /// Adds steps to a plan, and pins their captures; the step at 0 begins the plan anew.
    fn add_steps(&self, id: i64, steps: Vec<NewStep>) -> Pending<'_, ()>;

    /// Shows steps from the place `from` on.
    fn steps(&self, id: i64, from: u64, limit: u32) -> Pending<'_, Vec<StepRow>>;

    /// Writes down what becomes of steps, and what the boot has of it.
    ///
    /// Atomic: all of it is on disk when it returns.
    fn journal(&self, id: i64, boot: TargetBoot, changes: Vec<StepChange>) -> Pending<'_, ()>;

    /// Counts steps.
    fn tally(&self, id: i64) -> Pending<'_, Tally>;

    /// Shows what the automatic mapping learned, in the order of the steps.
    fn bindings(&self, id: i64) -> Pending<'_, Vec<Vec<u8>>>;

    /// Shows what a boot has.
    fn restored(&self, boot: TargetBoot) -> Pending<'_, BootLedger>;

    /// Notes a boot, and tells when it was heard of first.
    fn boot_seen(&self, boot: TargetBoot, now: UnixMillis) -> Pending<'_, UnixMillis>;

    /// Shows the replays that have a target.
    fn holding(&self) -> Pending<'_, Vec<ReplayRow>>;
}
