//! Captures at rest: what is kept of each, how they are found, and what a store of them promises.

mod ending;
mod ranges;

pub(crate) use ending::{add_labels, later};
pub(crate) use ranges::RangeSet;

use super::Pending;
use crate::clock::UnixMillis;
use reprise_core::capture::ending::NOT_SENT;
use reprise_core::wire::{Boot, Half, Ledger, Range, Sealed, State};

/// A capture's number in this installation: grows in the order of receipt, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CaptureId(pub(crate) i64);

/// A stream's name; shown as hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) [u8; 16]);

/// The name of a capture among those of all installations, which it keeps in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// The stream that it was seen in.
    pub(crate) epoch: Epoch,
    /// Its number there.
    pub(crate) seq: u64,
}

impl Origin {
    /// Gives it as bytes.
    ///
    /// Shape: `[u8; 16] epoch | u64be seq`.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.epoch.0[..], &self.seq.to_be_bytes()].concat()
    }

    /// Reads what [`Self::to_bytes`] gave.
    pub(crate) fn from_bytes(bytes: [u8; 24]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        let (epoch, seq) = bytes.split_at(16);
        Self {
            epoch: Epoch(number(epoch).to_be_bytes()),
            seq: u64::try_from(number(seq)).unwrap_or_default(),
        }
    }
}

/// Why an ending whose beginning did not come cannot be sent again.
pub(crate) const REQUEST_MISSING: &str = "request_missing";

/// One batch, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamBatch {
    /// Its stream.
    pub(crate) epoch: Epoch,
    /// The proxy's name.
    pub(crate) instance: String,
    /// The worker's slot.
    pub(crate) worker: u32,
    /// When replayd had it.
    pub(crate) received_at: UnixMillis,
    /// What became of every exchange of the stream until it was closed.
    pub(crate) ledger: Ledger,
    /// Boot ids that the upstreams showed last.
    pub(crate) boots: Vec<Boot>,
    /// Whether the stream ends with it.
    pub(crate) goodbye: bool,
    /// Its captures.
    pub(crate) captures: Vec<NewCapture>,
}

/// A capture on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewCapture {
    /// Its number in the stream.
    pub(crate) seq: u64,
    /// The number of the capture that it ends; 0 = none.
    pub(crate) exchange: u64,
    /// What is told of it.
    pub(crate) capture: Capture,
}

/// Tells whether a row says that its request never left.
pub(crate) fn is_refusal(row: &CaptureRow) -> bool {
    row.state == State::Aborted && row.reason == NOT_SENT
}

/// A capture, whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Capture {
    /// What lists show.
    pub(crate) row: CaptureRow,
    /// The request.
    pub(crate) request: Half,
    /// The response, if there was one.
    pub(crate) response: Option<Half>,
    /// What was redacted and is kept for replays; the values are encrypted at rest.
    pub(crate) sealed: Vec<Sealed>,
}

/// What lists show of a capture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CaptureRow {
    /// Its number; 0 before it is stored.
    pub(crate) id: CaptureId,
    /// Its stream; none if it was imported.
    pub(crate) epoch: Option<Epoch>,
    /// Its number in the stream.
    pub(crate) seq: u64,
    /// Where it was seen first, if it was imported; none if it was not, or if nobody knows.
    pub(crate) origin: Option<Origin>,
    /// What became of it.
    pub(crate) state: State,
    /// Why it was aborted; empty otherwise.
    pub(crate) reason: String,
    /// `:method`.
    pub(crate) method: String,
    /// `:scheme`.
    pub(crate) scheme: String,
    /// `:authority`.
    pub(crate) authority: String,
    /// `:path` with its query; bytes that are not UTF-8 are replaced here, and kept in the request's pairs.
    pub(crate) target: String,
    /// The response's status; none if there was none.
    pub(crate) status: Option<u16>,
    /// When the request came.
    pub(crate) began_at: UnixMillis,
    /// The same in microseconds of the proxy's monotonic clock: orders the captures of one proxy's life.
    pub(crate) began_us: u64,
    /// When the exchange ended, by that clock; 0 = not seen.
    pub(crate) ended_us: u64,
    /// The proxy's route.
    pub(crate) route: String,
    /// The upstream cluster.
    pub(crate) cluster: String,
    /// The caller; empty if none is named.
    pub(crate) principal: String,
    /// The client's address, as the proxy trusts it.
    pub(crate) client: String,
    /// The address at the other end of the connection.
    pub(crate) peer: String,
    /// `HTTP/1.1` …
    pub(crate) protocol: String,
    /// `x-request-id`.
    pub(crate) request_id: String,
    /// Labels, in order, each once.
    pub(crate) labels: Vec<String>,
    /// The boot id in the response; empty if none.
    pub(crate) boot_id: String,
    /// Why it cannot be sent again; empty if it can.
    pub(crate) not_replayable: String,
    /// Bytes of the request's body, as it was.
    pub(crate) request_bytes: u64,
    /// Bytes of the response's body, as it was.
    pub(crate) response_bytes: u64,
    /// Whether a body is not whole.
    pub(crate) truncated: bool,
    /// Whether anything was redacted.
    pub(crate) redacted: bool,
    /// How many redacted values are kept for replays; the store counts them.
    pub(crate) sealed: u64,
    /// When replayd had it.
    pub(crate) received_at: UnixMillis,
}

impl CaptureRow {
    /// Names it among the captures of all installations; none if nobody knows where it was seen.
    pub(crate) fn name(&self) -> Option<Origin> {
        let own = self.epoch.map(|epoch| Origin { epoch, seq: self.seq });
        own.or(self.origin)
    }
}

/// Which captures are meant; what is not given allows all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CaptureQuery {
    /// From this number on.
    pub(crate) id_min: Option<i64>,
    /// Up to this number.
    pub(crate) id_max: Option<i64>,
    /// Only these numbers.
    pub(crate) ids: Vec<i64>,
    /// Methods, in upper case.
    pub(crate) methods: Vec<String>,
    /// Ranges of statuses, both ends included.
    pub(crate) statuses: Vec<(u16, u16)>,
    /// Paths: exact, or a prefix before a final `*`.
    pub(crate) paths: Vec<String>,
    /// Paths that are left out: exact, or a prefix before a final `*`.
    pub(crate) paths_not: Vec<String>,
    /// Hosts, exact.
    pub(crate) hosts: Vec<String>,
    /// Labels; each has to be there.
    pub(crate) labels: Vec<String>,
    /// States.
    pub(crate) states: Vec<State>,
    /// Callers, exact.
    pub(crate) principals: Vec<String>,
    /// Routes, exact.
    pub(crate) routes: Vec<String>,
    /// Clusters, exact.
    pub(crate) clusters: Vec<String>,
    /// `x-request-id`, exact.
    pub(crate) request_id: Option<String>,
    /// Began at or after.
    pub(crate) since: Option<UnixMillis>,
    /// Began before.
    pub(crate) until: Option<UnixMillis>,
    /// At least so long, in microseconds.
    pub(crate) latency_min_us: Option<u64>,
    /// Occurs in the target.
    pub(crate) text: Option<String>,
}

/// In which order a list goes; ties go by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CaptureOrder {
    /// By what.
    pub(crate) by: CaptureColumn,
    /// Whether the largest comes first.
    pub(crate) descending: bool,
}

/// What captures can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CaptureColumn {
    /// By number: the order of receipt.
    #[default]
    Id,
    /// By the time when the request came (`created` in the API).
    BeganAt,
    /// By status.
    Status,
    /// By duration.
    Latency,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Numbers of the batch that are on disk, in order, not touching.
    pub(crate) ranges: Vec<Range>,
    /// How many of its captures are new.
    pub(crate) stored: u64,
    /// How many of them came again.
    pub(crate) duplicates: u64,
}

/// What became of a file's captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    /// The numbers of the first and the last that are new; none if none is.
    pub(crate) ids: Option<(CaptureId, CaptureId)>,
    /// How many are new.
    pub(crate) stored: u64,
    /// How many were here already.
    pub(crate) duplicates: u64,
}

/// What became of captures that were to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Deleted {
    /// How many are gone.
    pub(crate) deleted: u64,
    /// How many stay, because replays need them.
    pub(crate) pinned: u64,
    /// Those replays: number and state, in order.
    pub(crate) replays: Vec<(i64, String)>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page<T> {
    /// Its rows.
    pub(crate) rows: Vec<T>,
    /// Where the next page begins; none if there is none.
    pub(crate) next: Option<Cursor>,
}

/// Where a page begins: behind the row with this value of the ordering column and this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The ordering column's value.
    pub(crate) value: i64,
    /// The row's number.
    pub(crate) id: i64,
}

/// How much there is, and from where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CaptureStats {
    /// Captures that are stored.
    pub(crate) count: u64,
    /// Bytes of their bodies and headers.
    pub(crate) bytes: u64,
    /// The first and last number.
    pub(crate) ids: Option<(i64, i64)>,
    /// Every stream that was heard of, the newest first.
    pub(crate) streams: Vec<StreamStats>,
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamStats {
    /// Its name.
    pub(crate) epoch: Epoch,
    /// The proxy's name.
    pub(crate) instance: String,
    /// The worker's slot.
    pub(crate) worker: u32,
    /// When it was heard of first.
    pub(crate) first_at: UnixMillis,
    /// When it was heard of last.
    pub(crate) last_at: UnixMillis,
    /// What its filter said last.
    pub(crate) ledger: Ledger,
    /// Numbers that are here.
    pub(crate) received: Vec<Range>,
    /// Numbers below the highest that never came.
    pub(crate) missing: Vec<Range>,
    /// Captures that came more than once.
    pub(crate) duplicates: u64,
    /// Whether it said goodbye; a stream that did not and is silent has an unknown tail.
    pub(crate) ended: bool,
}

/// How much is kept; what was received first goes first. Pinned captures stay, and their bytes do not count.
///
/// When the exchange was does not count: a file of last year that is imported today is new here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// What was received before goes.
    pub(crate) before: Option<UnixMillis>,
    /// Above these bytes the oldest go.
    pub(crate) bytes_max: Option<u64>,
    /// How many may go in one call, so that nobody waits long.
    pub(crate) count_max: u64,
}

/// Where captures are kept.
///
/// What each function promises is in the contract suite.
pub(crate) trait Captures: Send + Sync + 'static {
    /// Stores a batch.
    ///
    /// Atomic: on disk as a whole when it returns, or not at all.
    /// Again: what is here already is not stored again, and acknowledged again.
    fn append(&self, batch: StreamBatch) -> Pending<'_, Appended>;

    /// Stores captures that come from a file.
    ///
    /// Atomic: all or none.
    /// Again: what is here already by its name, imported or not, is left out.
    fn import(&self, captures: Vec<Capture>, now: UnixMillis) -> Pending<'_, Taken>;

    /// Shows one capture, whole.
    fn capture(&self, id: CaptureId) -> Pending<'_, Option<Capture>>;

    /// Shows many captures, whole, in the order of `ids`; those that are gone are left out.
    fn captures(&self, ids: Vec<CaptureId>) -> Pending<'_, Vec<Capture>>;

    /// Shows one page of a list.
    fn page(
        &self,
        query: CaptureQuery,
        order: CaptureOrder,
        after: Option<Cursor>,
        limit: u32,
    ) -> Pending<'_, Page<CaptureRow>>;

    /// Adds and takes labels; tells how many captures were meant.
    fn label(&self, query: CaptureQuery, add: Vec<String>, remove: Vec<String>) -> Pending<'_, u64>;

    /// Deletes captures that are not pinned.
    fn delete(&self, query: CaptureQuery) -> Pending<'_, Deleted>;

    /// Counts.
    fn capture_stats(&self) -> Pending<'_, CaptureStats>;

    /// Deletes what is too old or too much; tells how many. When nothing of that is left, streams that are silent for as
    /// long are forgotten.
    fn retain(&self, retention: Retention) -> Pending<'_, u64>;

    /// Takes captures that have begun, and whose stream was silent since `before`, to the state unknown.
    fn give_up(&self, before: UnixMillis) -> Pending<'_, u64>;
}
