//! Captures and batches that the promises are about.

use crate::clock::UnixMillis;
use crate::store::captures::{Capture, CaptureId, CaptureRow, Epoch, NewCapture, StreamBatch};
use reprise_core::wire::{Half, Ledger, Range, Sealed, State};

/// A whole, completed exchange.
pub(crate) fn capture(target: &str) -> Capture {
    let half = |body: &[u8]| Half {
        pairs: vec![1, 0, 255],
        body: body.to_vec(),
        body_len: body.len() as u64,
        ended: true,
        ..Half::default()
    };
    Capture {
        row: CaptureRow {
            id: CaptureId(0),
            epoch: None,
            seq: 0,
            origin: None,
            state: State::Completed,
            reason: String::new(),
            method: "POST".into(),
            scheme: "http".into(),
            authority: "shop".into(),
            target: target.into(),
            status: Some(201),
            began_at: UnixMillis(1000),
            began_us: 10,
            ended_us: 30,
            route: "orders".into(),
            cluster: "upstream".into(),
            principal: "authorization:x".into(),
            client: "10.0.0.1".into(),
            peer: "10.0.0.2".into(),
            protocol: "HTTP/1.1".into(),
            request_id: "r-1".into(),
            labels: vec!["a".into()],
            boot_id: "b1".into(),
            not_replayable: String::new(),
            request_bytes: 3,
            response_bytes: 2,
            truncated: false,
            redacted: true,
            sealed: 0,
            received_at: UnixMillis(2000),
        },
        request: half(b"\0\xff!"),
        response: Some(half(b"ok")),
        sealed: vec![Sealed {
            token: b"rdt_x".to_vec(),
            value: vec![9, 0, 200],
        }],
    }
}

/// A capture with its number in the stream.
pub(crate) fn new(seq: u64, capture: Capture) -> NewCapture {
    NewCapture {
        seq,
        exchange: 0,
        capture,
    }
}

pub(crate) fn batch_of(epoch: u8, captures: Vec<NewCapture>) -> StreamBatch {
    StreamBatch {
        epoch: Epoch([epoch; 16]),
        instance: "edge".into(),
        worker: 3,
        received_at: UnixMillis(2000),
        ledger: Ledger::default(),
        boots: vec![],
        goodbye: false,
        captures,
    }
}

pub(crate) fn numbered(epoch: u8, seqs: impl IntoIterator<Item = u64>) -> StreamBatch {
    let captures = seqs.into_iter().map(|seq| new(seq, capture(&format!("/{seq}"))));
    batch_of(epoch, captures.collect())
}

pub(crate) fn begun(seq: u64) -> NewCapture {
    let mut beginning = capture("/begun");
    beginning.row.state = State::Begun;
    beginning.row.ended_us = 0;
    beginning.row.status = None;
    beginning.row.cluster.clear();
    beginning.response = None;
    beginning.sealed.clear();
    new(seq, beginning)
}

pub(crate) fn ending(seq: u64, exchange: u64) -> NewCapture {
    let mut ending = capture("");
    ending.row.method.clear();
    ending.row.labels = vec!["late".into()];
    ending.request = Half::default();
    NewCapture {
        seq,
        exchange,
        capture: ending,
    }
}

/// Ranges, from pairs of first and last.
pub(crate) fn ranges(pairs: &[(u64, u64)]) -> Vec<Range> {
    pairs
        .iter()
        .map(|(first, last)| Range {
            first: *first,
            last: *last,
        })
        .collect()
}
