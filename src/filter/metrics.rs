//! Every number that people see of the filter, in one list.
//!
//! Counts are made in the VM and handed to the host on the tick: a host call costs more than the count is worth.

use crate::host::{HostError, Meter, MetricKind};
use reprise_core::capture::ledger::{Ledger, Reason};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $metric:literal,)+) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count {
            $($(#[doc = $doc])+ $name,)+
        }

        /// The metrics' names, in the order of [`Count`]; labels are written as the stats tags of the bootstrap read them.
        const NAMES: &[&str] = &[$($metric,)+];
    };
}

counters! {
    /// A first request: its key was claimed.
    Miss = "reprise_requests_outcome=.=miss;.;_total",
    /// A duplicate that got the recorded response.
    Answer = "reprise_requests_outcome=.=answer;.;_total",
    /// A duplicate that waited for the recorded response, and got it.
    Waited = "reprise_requests_outcome=.=waited;.;_total",
    /// A duplicate of a request that still runs.
    Conflict = "reprise_requests_outcome=.=conflict;.;_total",
    /// A key that belongs to another request.
    Mismatch = "reprise_requests_outcome=.=mismatch;.;_total",
    /// A key that had to be there and was not.
    Missing = "reprise_requests_outcome=.=missing;.;_total",
    /// A key that breaks a rule, or an upgrade where a key is required.
    Malformed = "reprise_requests_outcome=.=malformed;.;_total",
    /// A keyed request without a caller, where one is required.
    CallerMissing = "reprise_requests_outcome=.=caller_missing;.;_total",
    /// A duplicate that ran beside the first request: its route says so.
    Ran = "reprise_requests_outcome=.=ran;.;_total",
    /// A repeat that went on: its upstream decides about it.
    Manual = "reprise_requests_outcome=.=manual;.;_total",
    /// A duplicate of a request whose outcome is unknown.
    Unknown = "reprise_requests_outcome=.=unknown;.;_total",
    /// A duplicate of a request whose response was not kept.
    Tombstone = "reprise_requests_outcome=.=tombstone;.;_total",
    /// A request that the store could not serve.
    StoreError = "reprise_requests_outcome=.=store_error;.;_total",
    /// A request that found the store, or its caller's part, full.
    Capacity = "reprise_requests_outcome=.=capacity;.;_total",
    /// A request on a route whose settings do not parse, or a held duplicate that heard nothing of its body for 5 s.
    Misconfigured = "reprise_requests_outcome=.=misconfigured;.;_total",
    /// A first request whose response was recorded.
    EndStored = "reprise_completions_outcome=.=stored;.;_total",
    /// A first request that took no effect: its key is free.
    EndReleased = "reprise_completions_outcome=.=released;.;_total",
    /// A first request whose outcome is unknown.
    EndUnknown = "reprise_completions_outcome=.=unknown;.;_total",
    /// A first request whose response was not kept.
    EndTombstone = "reprise_completions_outcome=.=tombstone;.;_total",
    /// A completion that came after the claim was lost: it was refused.
    EndStale = "reprise_completions_outcome=.=stale;.;_total",
    /// A completion that could not be written: its outcome is unknown.
    EndStoreError = "reprise_completions_outcome=.=store_error;.;_total",
    /// A live record that went for a new key.
    Evicted = "reprise_evicted_total",
    /// A keyed request that no source names a caller of.
    Anonymous = "reprise_anonymous_total",
    /// A protected request that the proxy sent more than once.
    RetriedAttempts = "reprise_retried_attempts_total",
    /// A request on a route whose metadata do not parse.
    BadMetadata = "reprise_bad_metadata_total",
    /// A request or response that went on before its capture was on disk, although its route waits for that.
    CaptureLate = "reprise_capture_late_total",
    /// A request that was refused because its capture could not be put on disk.
    CaptureUnavailable = "reprise_requests_outcome=.=capture_unavailable;.;_total",
    /// A request that was refused because its body is longer than its route holds.
    TooLarge = "reprise_requests_outcome=.=body_too_large;.;_total",
    /// A request that was refused because its upstream is being restored.
    Restoring = "reprise_requests_outcome=.=restoring;.;_total",
    /// A request that replayd signed, and that went through.
    SignatureTaken = "reprise_signatures_outcome=.=taken;.;_total",
    /// A copy of a request that replayd signed: it was refused.
    SignatureUsed = "reprise_signatures_outcome=.=used;.;_total",
    /// A request with a signature that does not count: it is a client's.
    SignatureInvalid = "reprise_signatures_outcome=.=invalid;.;_total",
}

const COUNTERS: usize = NAMES.len();

/// Numbers that go up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// When the store was made, in seconds since 1970.
    pub store_started: u64,
    /// Whether this worker has replayd's policy.
    pub has_policy: bool,
    /// Ways that hold a key, ways that hold none, bytes of all records; none before the first pass of the sweep.
    pub counted: Option<[u64; 3]>,
}

/// The exchanges of all workers, as captures' metrics show them: before and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// What was shown before.
    pub before: Ledger,
    /// What is to be shown.
    pub now: Ledger,
    /// Captures that wait or travel.
    pub queue_depth: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// How long the oldest waits.
    pub queue_age_ms: u64,
}

/// How a counter is read off a ledger.
type Reading = fn(&Ledger) -> u64;

/// Counters of captures; `seen` is the sum of all others and of what is pending.
const CAPTURE_COUNTERS: [(&str, Reading); 9] = [
    ("reprise_capture_seen_total", Ledger::seen),
    ("reprise_capture_outcome=.=stored;.;_total", Ledger::stored),
    ("reprise_capture_outcome=.=filtered;.;_total", Ledger::filtered),
    ("reprise_capture_outcome=.=sampled_out;.;_total", Ledger::sampled_out),
    ("reprise_capture_outcome=.=dropped_queue_full;.;_total", |ledger| {
        ledger.dropped(Reason::QueueFull)
    }),
    ("reprise_capture_outcome=.=dropped_too_large;.;_total", |ledger| {
        ledger.dropped(Reason::TooLarge)
    }),
    ("reprise_capture_outcome=.=dropped_memory;.;_total", |ledger| {
        ledger.dropped(Reason::Memory)
    }),
    ("reprise_capture_outcome=.=dropped_replayd_down;.;_total", |ledger| {
        ledger.dropped(Reason::ReplaydDown)
    }),
    ("reprise_capture_outcome=.=dropped_vm_restart;.;_total", |ledger| {
        ledger.dropped(Reason::VmRestart)
    }),
];

/// Gauges of captures: pending, and what waits of them.
const CAPTURE_GAUGES: [&str; 4] = [
    "reprise_capture_pending",
    "reprise_capture_queue_depth",
    "reprise_capture_queue_bytes",
    "reprise_capture_queue_age_ms",
];

/// The counts of one VM, and what the host calls them.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: [u64; COUNTERS],
    added: Vec<u64>,
    keyed: u32,
    ids: Option<Ids>,
    capture_ids: Option<([u32; 9], [u32; 4])>,
}

#[derive(Debug)]
struct Ids {
    counters: Vec<u32>,
    store_started: u32,
    has_policy: u32,
    gauges: [u32; 3],
    added: u32,
}

/// One keyed request in so many is timed.
const TIMED_ONE_IN: u32 = 16;
/// Longest list of times that waits for the tick; what comes on top is not recorded.
const ADDED_MAX: usize = 1024;

impl Metrics {
    /// Counts one.
    pub fn count(&mut self, what: Count) {
        if let Some(count) = self.counts.get_mut(what as usize) {
            *count += 1;
        }
    }

    /// Tells whether this keyed request is one of those that are timed: a clock costs more than a count.
    pub fn is_timed(&mut self) -> bool {
        self.keyed = self.keyed.wrapping_add(1);
        self.keyed.is_multiple_of(TIMED_ONE_IN)
    }

    /// Notes a time that the filter added to a request, in microseconds.
    pub fn added(&mut self, micros: u64) {
        if self.added.len() < ADDED_MAX {
            self.added.push(micros);
        }
    }

    /// Shows what is counted and not yet handed over.
    #[must_use]
    pub fn pending(&self, what: Count) -> u64 {
        self.counts.get(what as usize).copied().unwrap_or_default()
    }

    /// Hands all counts to the host.
    ///
    /// # Errors
    /// [`HostError`] if the host fails; what was not handed over stays.
    pub fn flush(&mut self, meter: &impl Meter, gauges: Option<&Gauges>) -> Result<(), HostError> {
        let ids = match self.ids.take() {
            Some(ids) => ids,
            None => Ids::define(meter)?,
        };
        for (count, id) in self.counts.iter_mut().zip(&ids.counters) {
            meter.add(*id, *count)?;
            *count = 0;
        }
        for micros in self.added.drain(..) {
            meter.record(ids.added, micros)?;
        }
        if let Some(gauges) = gauges {
            meter.record(ids.store_started, gauges.store_started)?;
            // Once one worker has it, all find it in shared data.
            if gauges.has_policy {
                meter.record(ids.has_policy, 1)?;
            }
            for (id, value) in ids.gauges.iter().zip(gauges.counted.into_iter().flatten()) {
                meter.record(*id, value)?;
            }
        }
        self.ids = Some(ids);
        Ok(())
    }
}

impl Metrics {
    /// Shows what became of the exchanges of all workers.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    pub fn show(&mut self, meter: &impl Meter, shown: &Shown) -> Result<(), HostError> {
        let (counters, gauges) = match self.capture_ids {
            Some(ids) => ids,
            None => capture_ids(meter)?,
        };
        self.capture_ids = Some((counters, gauges));
        for (id, (_, count)) in counters.into_iter().zip(CAPTURE_COUNTERS) {
            meter.add(id, count(&shown.now).saturating_sub(count(&shown.before)))?;
        }
        let values = [
            shown.now.pending(),
            shown.queue_depth,
            shown.queue_bytes,
            shown.queue_age_ms,
        ];
        for (id, value) in gauges.into_iter().zip(values) {
            meter.record(id, value)?;
        }
        Ok(())
    }
}

fn capture_ids(meter: &impl Meter) -> Result<([u32; 9], [u32; 4]), HostError> {
    let (mut counters, mut gauges) = ([0; 9], [0; 4]);
    for (id, (name, _)) in counters.iter_mut().zip(CAPTURE_COUNTERS) {
        *id = meter.metric(MetricKind::Counter, name)?;
    }
    for (id, name) in gauges.iter_mut().zip(CAPTURE_GAUGES) {
        *id = meter.metric(MetricKind::Gauge, name)?;
    }
    Ok((counters, gauges))
}

impl Ids {
    fn define(meter: &impl Meter) -> Result<Self, HostError> {
        let counters = NAMES
            .iter()
            .map(|name| meter.metric(MetricKind::Counter, name))
            .collect::<Result<_, _>>()?;
        let gauge = |name| meter.metric(MetricKind::Gauge, name);
        let gauges = [
            gauge("reprise_keys_live")?,
            gauge("reprise_ways_free")?,
            gauge("reprise_record_bytes")?,
        ];
        let store_started = gauge("reprise_store_started")?;
        let has_policy = gauge("reprise_has_policy")?;
        let added = meter.metric(MetricKind::Histogram, "reprise_added_microseconds")?;
        Ok(Self {
            counters,
            store_started,
            has_policy,
            gauges,
            added,
        })
    }
}
