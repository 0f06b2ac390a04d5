//! A replay as people and programs write it.

use crate::app::filter::CaptureFilter;
use crate::config::OnEarly;
use reprise_core::replay::step;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be sent again, where to, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReplaySpec {
    /// What it is for.
    pub(crate) kind: Kind,
    /// A target's name in replayd.toml, or an `http://` or `https://` URL.
    pub(crate) target: String,
    /// In which order and how fast; not given = `causal` for a restore, `serial` for a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<Mode>,
    /// In mode `per_key`: `path` (default), `session`, `header:NAME` or `json:POINTER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// In mode `timed`: how many times as fast; not given = 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) speed: Option<f64>,
    /// In mode `timed`: longest pause, in milliseconds before the speed is applied; not given = as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_gap_ms: Option<u64>,
    /// In mode `rate`: requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Most requests at one time; not given = 1 for `serial`, else 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<u32>,
    /// Which captures.
    #[schema(value_type = Object)]
    pub(crate) query: CaptureFilter,
    /// Only the last so many of them, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// Only from this capture on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_from_id: Option<i64>,
    /// Paths that are left out: exact, or a prefix before a final `*`.
    pub(crate) excluded_urls: Vec<String>,
    /// Asks before every step.
    pub(crate) interactive: bool,
    /// What follows on a response that differs; not given = `stop` for a restore, `ignore` for a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_mismatch: Option<OnMismatch>,
    /// What follows on a request that got no response.
    pub(crate) on_error: OnError,
    /// In a restore: what follows if clients changed the new boot before it; not given = as the target's `on_early` says,
    /// and `stop` where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_early: Option<OnEarly>,
    /// What becomes of requests whose outcome is unknown; not given = those are sent again that cannot have a second
    /// effect, and the replay stops at the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_doubt: Option<OnDoubt>,
    /// Sends captures whose body is not whole, or of which a part was redacted, too.
    pub(crate) force: bool,
    /// Sends mutations to a target that is not allowed.
    pub(crate) yes: bool,
    /// Rules that replace values in every request, as `--map` has them; shown only as `…`.
    pub(crate) map: Vec<String>,
    /// Whether values that recorded responses showed first are replaced by those of the replayed responses; not given =
    /// in the modes `serial` and `causal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_map: Option<bool>,
    /// What of the responses is compared.
    pub(crate) compare: Compare,
    /// Separates this replay's idempotency keys from those of others; not given = one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// In a restore: the boot of the target, where neither it nor a proxy tells; any name that no other boot had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boot_id: Option<String>,
    /// How long a restore waits until its target is healthy, in milliseconds; not given = 60000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait_gate_ms: Option<u64>,
    /// How long one request may take, in milliseconds; not given = 30000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
}

impl ReplaySpec {
    /// Tells whether it brings back everything that `cluster` was asked: a restore that leaves nothing out by wish.
    pub(crate) fn is_whole_restore(&self, cluster: Option<&str>) -> bool {
        let own = CaptureFilter {
            cluster: cluster.map(Into::into).unwrap_or_default(),
            ..CaptureFilter::default()
        };
        self.kind == Kind::Restore
            && (self.query == CaptureFilter::default() || self.query == own)
            && self.count.is_none()
            && self.start_from_id.is_none()
            && self.excluded_urls.is_empty()
    }
}

/// What a replay is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// To see what happens: an error, a load, a new version.
    #[default]
    Replay,
    /// To bring back the state of a target that lost it: mutations only.
    Restore,
}

impl Kind {
    /// Names it as the API does.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Restore => "restore",
        }
    }
}

/// In which order and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// One after the other.
    Serial,
    /// What had ended before another began is answered before it is sent.
    Causal,
    /// One after the other for each key.
    PerKey,
    /// At the same distances in time.
    Timed,
    /// So many a second.
    Rate,
    /// As fast as it goes.
    Max,
}

/// What follows on a response that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnMismatch {
    /// The replay stops; it can be resumed.
    Stop,
    /// It is told at once, and the replay goes on.
    Skip,
    /// Somebody is asked.
    Ask,
    /// It is counted.
    Ignore,
}

/// What follows on a request that got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    /// The replay stops; it can be resumed.
    #[default]
    Stop,
    /// It is counted.
    Continue,
}

/// What becomes of requests whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDoubt {
    /// They are not sent again.
    Skip,
    /// They are sent again: an effect may come twice.
    Resend,
    /// Somebody is asked.
    Ask,
}

impl OnDoubt {
    /// Says what is meant.
    pub(crate) const fn meant(self) -> step::OnDoubt {
        match self {
            Self::Skip => step::OnDoubt::Skip,
            Self::Resend => step::OnDoubt::Resend,
            Self::Ask => step::OnDoubt::Ask,
        }
    }
}

/// What of the responses is compared, besides the status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Compare {
    /// Whether only the status is compared; not given = in a restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_only: Option<bool>,
    /// Headers.
    pub(crate) headers: Vec<String>,
    /// JSON pointers that are left out; a segment `*` stands for every item.
    pub(crate) ignore: Vec<String>,
    /// Sends each safe request twice, and leaves out what differs between the two responses.
    pub(crate) learn: bool,
    /// An earlier replay of the same captures: what differed there is left out here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) noise_from: Option<i64>,
}
