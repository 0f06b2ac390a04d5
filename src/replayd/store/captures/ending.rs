//! How the end of an exchange comes to its beginning, when both travelled apart.

use super::{Capture, CaptureRow};
use reprise_core::wire::{Half, Ledger};

impl Capture {
    /// Completes a beginning with its ending; what the ending does not tell stays.
    pub(crate) fn end(&mut self, ending: Self) {
        end_row(&mut self.row, ending.row);
        end_request(&mut self.request, ending.request);
        self.response = ending.response.or_else(|| self.response.take());
        // What was cut in the beginning may be whole by now.
        self.row.truncated = self.request.truncated || self.response.as_ref().is_some_and(|half| half.truncated);
        self.sealed.extend(ending.sealed);
    }
}

fn end_row(row: &mut CaptureRow, ending: CaptureRow) {
    row.state = ending.state;
    row.ended_us = ending.ended_us;
    row.status = ending.status.or(row.status);
    row.request_bytes = row.request_bytes.max(ending.request_bytes);
    row.response_bytes = ending.response_bytes;
    row.redacted |= ending.redacted;
    let told = [
        (&mut row.reason, ending.reason),
        (&mut row.route, ending.route),
        (&mut row.cluster, ending.cluster),
        (&mut row.principal, ending.principal),
        (&mut row.client, ending.client),
        (&mut row.peer, ending.peer),
        (&mut row.protocol, ending.protocol),
        (&mut row.request_id, ending.request_id),
        (&mut row.boot_id, ending.boot_id),
        (&mut row.not_replayable, ending.not_replayable),
    ];
    for (text, told) in told.into_iter().filter(|(_, told)| !told.is_empty()) {
        *text = told;
    }
    add_labels(&mut row.labels, ending.labels);
}

/// The true length and hash of a request whose first bytes were written ahead, or the body of one whose head was.
fn end_request(request: &mut Half, ending: Half) {
    let has_body = !ending.body.is_empty() || (ending.ended && !ending.truncated);
    if request.body.is_empty() && has_body {
        request.body = ending.body;
        request.redacted = ending.redacted;
        request.truncated = ending.truncated;
    }
    request.body_len = request.body_len.max(ending.body_len);
    if !ending.body_hash.is_empty() {
        request.body_hash = ending.body_hash;
    }
    if request.trailers.is_empty() {
        request.trailers = ending.trailers;
    }
    request.truncated |= ending.truncated;
    request.ended |= ending.ended;
}

/// Adds labels, each once; they stay in order.
pub(crate) fn add_labels(labels: &mut Vec<String>, more: Vec<String>) {
    labels.extend(more);
    labels.sort_unstable();
    labels.dedup();
}

/// Keeps the later of two ledgers of one stream: batches may overtake each other, but what was seen and what was settled
/// only grow.
pub(crate) fn later(one: Ledger, other: Ledger) -> Ledger {
    let age = |ledger: &Ledger| (ledger.seen, ledger.seen.saturating_sub(ledger.pending));
    let assigned = one.assigned.max(other.assigned);
    let later = if age(&other) >= age(&one) { other } else { one };
    Ledger { assigned, ..later }
}
