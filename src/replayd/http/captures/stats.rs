//! How much was captured, and what is missing.

use super::row::hex;
use crate::clock::UnixMillis;
use crate::http::Console;
use crate::http::access::Viewer;
use crate::http::answer;
use crate::http::input::Query;
use crate::problem::Problem;
use crate::store::captures::{CaptureStats, StreamStats};
use ::http::HeaderMap;
use axum::extract::State;
use axum::response::Response;
use reprise_core::wire::{Ledger, Range};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A stream that was heard of within so long is alive.
const SILENT_MS: i64 = 60_000;

/// How much there is, and what every stream says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsView {
    /// Captures that are stored.
    count: u64,
    /// Bytes of their bodies and headers.
    bytes: u64,
    /// The first number; null if there is none.
    first_id: Option<i64>,
    /// The last number; null if there is none.
    last_id: Option<i64>,
    /// The sum over all streams.
    ledger: LedgerView,
    /// Numbers that never came, over all streams.
    missing: u64,
    /// Captures that came more than once, over all streams.
    duplicates: u64,
    /// Every stream, the newest first.
    streams: Vec<StreamView>,
}

/// What became of exchanges: `seen = stored + pending + tail_unknown + filtered + sampled_out + Σ dropped`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct LedgerView {
    /// Exchanges that capture was asked about.
    seen: u64,
    /// Those that are on disk.
    stored: u64,
    /// Those that run, wait or travel.
    pending: u64,
    /// Those that ran, waited or travelled when a stream was heard of last, which is silent since: some may be here.
    tail_unknown: u64,
    /// Those that a rule leaves out.
    filtered: u64,
    /// Those that the sample leaves out.
    sampled_out: u64,
    /// Those that were lost, by reason.
    dropped: BTreeMap<String, u64>,
}

/// The captures of one worker's life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamView {
    /// Its name: 32 hex digits.
    epoch: String,
    /// The proxy's name.
    instance: String,
    /// The worker's slot.
    worker: u32,
    /// When it was heard of first: RFC 3339, UTC.
    first: String,
    /// When it was heard of last: RFC 3339, UTC.
    last: String,
    /// What its filter said last.
    ledger: LedgerView,
    /// Numbers that are here: first and last of each range.
    received: Vec<[u64; 2]>,
    /// Numbers below the highest that never came.
    missing: Vec<[u64; 2]>,
    /// Captures that came more than once.
    duplicates: u64,
    /// How it ended.
    tail: Tail,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Tail {
    /// It said goodbye.
    Ended,
    /// It was heard of within a minute.
    Live,
    /// It was not, and had nothing pending then: it idles, or its worker is gone.
    Silent,
    /// It was not, and what was pending then may be lost.
    Unknown,
}

impl Tail {
    const fn of(stream: &StreamStats, now: UnixMillis) -> Self {
        let is_silent = now.0.saturating_sub(stream.last_at.0) >= SILENT_MS;
        match (stream.ended, is_silent, stream.ledger.pending) {
            (true, ..) => Self::Ended,
            (false, false, _) => Self::Live,
            (false, true, 0) => Self::Silent,
            (false, true, _) => Self::Unknown,
        }
    }
}

/// Counts.
#[utoipa::path(get, path = "/api/v1/captures/stats", tag = "captures", security(("token" = ["viewer"])),
    responses((status = 200, body = StatsView), (status = 304)))]
pub(in crate::http) async fn stats(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let stats = console.captures.stats().await?;
    answer::json(&asked, &StatsView::of(&stats, console.clock.now()))
}

impl StatsView {
    fn of(stats: &CaptureStats, now: UnixMillis) -> Self {
        let mut ledger = LedgerView::default();
        for stream in &stats.streams {
            ledger.add(&stream.ledger, Tail::of(stream, now));
        }
        let lengths = stats.streams.iter().flat_map(|stream| &stream.missing).map(length);
        Self {
            count: stats.count,
            bytes: stats.bytes,
            first_id: stats.ids.map(|(first, _)| first),
            last_id: stats.ids.map(|(_, last)| last),
            ledger,
            missing: lengths.fold(0, u64::saturating_add),
            duplicates: stats
                .streams
                .iter()
                .fold(0, |sum, stream| sum.saturating_add(stream.duplicates)),
            streams: stats.streams.iter().map(|stream| StreamView::of(stream, now)).collect(),
        }
    }
}

impl LedgerView {
    fn add(&mut self, ledger: &Ledger, tail: Tail) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.seen, ledger.seen);
        add(&mut self.stored, ledger.stored);
        match tail {
            Tail::Unknown => add(&mut self.tail_unknown, ledger.pending),
            Tail::Ended | Tail::Live | Tail::Silent => add(&mut self.pending, ledger.pending),
        }
        add(&mut self.filtered, ledger.filtered);
        add(&mut self.sampled_out, ledger.sampled_out);
        for dropped in &ledger.dropped {
            add(self.dropped.entry(dropped.reason.clone()).or_default(), dropped.count);
        }
    }
}

impl StreamView {
    fn of(stream: &StreamStats, now: UnixMillis) -> Self {
        let (mut ledger, tail) = (LedgerView::default(), Tail::of(stream, now));
        ledger.add(&stream.ledger, tail);
        Self {
            epoch: hex(&stream.epoch.0),
            instance: stream.instance.clone(),
            worker: stream.worker,
            first: stream.first_at.to_rfc3339(),
            last: stream.last_at.to_rfc3339(),
            ledger,
            received: stream.received.iter().map(ends).collect(),
            missing: stream.missing.iter().map(ends).collect(),
            duplicates: stream.duplicates,
            tail,
        }
    }
}

const fn ends(range: &Range) -> [u64; 2] {
    [range.first, range.last]
}

const fn length(range: &Range) -> u64 {
    range.last.saturating_sub(range.first).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::Daemon;
    use crate::store::Epoch;
    use serde_json::json;

    fn stream(ended: bool) -> StreamStats {
        StreamStats {
            epoch: Epoch([1; 16]),
            instance: "edge".into(),
            worker: 0,
            first_at: UnixMillis(0),
            last_at: UnixMillis(1000),
            ledger: Ledger {
                seen: 5,
                stored: 3,
                pending: 2,
                ..Ledger::default()
            },
            received: vec![],
            missing: vec![],
            duplicates: 0,
            ended,
        }
    }

    fn sums(stats: &CaptureStats, now: i64) -> (u64, u64) {
        let ledger = StatsView::of(stats, UnixMillis(now)).ledger;
        assert_eq!(ledger.seen, ledger.stored + ledger.pending + ledger.tail_unknown);
        (ledger.pending, ledger.tail_unknown)
    }

    #[test]
    fn what_was_pending_in_a_stream_that_fell_silent_is_its_unknown_tail() {
        let stats = CaptureStats {
            count: 6,
            bytes: 0,
            ids: None,
            streams: vec![stream(false), stream(true)],
        };
        assert_eq!(sums(&stats, 1000 + SILENT_MS - 1), (4, 0));
        assert_eq!(sums(&stats, 1000 + SILENT_MS), (2, 2));
    }

    #[test]
    fn a_stream_that_idles_is_silent_and_one_that_had_more_to_say_is_unknown() {
        let mut idle = stream(false);
        idle.ledger.pending = 0;
        let (before, after) = (UnixMillis(1000 + SILENT_MS - 1), UnixMillis(1000 + SILENT_MS));
        assert_eq!(
            (Tail::of(&idle, before), Tail::of(&idle, after)),
            (Tail::Live, Tail::Silent)
        );
        assert_eq!(Tail::of(&stream(false), after), Tail::Unknown);
        assert_eq!(Tail::of(&stream(true), after), Tail::Ended);
    }

    #[tokio::test]
    async fn stats_count_what_is_there() {
        let daemon = Daemon::five().await;
        let stats = daemon.ask("GET", "/api/v1/captures/stats", None).await.json();
        assert_eq!(
            (&stats["count"], &stats["first_id"], &stats["last_id"]),
            (&json!(5), &json!(1), &json!(5))
        );
        assert_eq!(stats["streams"], json!([]));
    }
}
