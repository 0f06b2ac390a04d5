//! The promises of [`Captures`] about exchanges that were written ahead.

use super::captures::{all, rows};
use super::samples::{batch_of, begun, ending, new, numbered, ranges};
use crate::store::captures::{CaptureId, CaptureQuery, Captures, NewCapture};
use reprise_core::wire::{Half, State};

/// The end of a request that was refused.
fn refusal(seq: u64, exchange: u64) -> NewCapture {
    let mut refusal = ending(seq, exchange);
    refusal.capture.row.state = State::Aborted;
    refusal.capture.row.reason = "not_sent".into();
    refusal.capture.response = None;
    refusal
}

async fn a_refusal_whose_beginning_never_came_is_acknowledged_and_not_shown(store: impl Captures) {
    let batch = batch_of(1, vec![refusal(900, 1), new(901, refusal(0, 0).capture)]);
    assert_eq!(store.append(batch).await.unwrap().ranges, ranges(&[(900, 901)]));
    assert_eq!(all(&store).await.len(), 1, "what stands for itself is shown");
    store.append(batch_of(1, vec![begun(1), begun(2)])).await.unwrap();
    assert_eq!(all(&store).await.len(), 2, "a beginning that comes late is over");
    store.append(numbered(1, [3])).await.unwrap();
    let stream = store.capture_stats().await.unwrap().streams.remove(0);
    assert_eq!(stream.received, ranges(&[(1, 3), (900, 901)]));
}

async fn a_refusal_ends_its_beginning(store: impl Captures) {
    store.append(batch_of(1, vec![begun(1)])).await.unwrap();
    store.append(batch_of(1, vec![refusal(2, 1)])).await.unwrap();
    let rows = rows(&store, CaptureQuery::default()).await;
    assert_eq!((rows.len(), rows[0].state), (1, State::Aborted));
}

async fn the_hash_of_a_request_comes_where_its_length_was_known(store: impl Captures) {
    let mut beginning = begun(1);
    beginning.capture.request.truncated = true;
    beginning.capture.request.body_len = 900;
    let mut end = ending(2, 1);
    end.capture.request = Half {
        body_len: 900,
        body_hash: vec![5; 32],
        truncated: true,
        ..Half::default()
    };
    store.append(batch_of(1, vec![beginning, end])).await.unwrap();
    let whole = store.capture(CaptureId(1)).await.unwrap().unwrap();
    assert_eq!((whole.request.body_len, whole.request.body_hash), (900, vec![5; 32]));
    assert!(whole.row.truncated);
}

async fn a_request_written_ahead_by_its_head_has_its_body_in_its_end(store: impl Captures) {
    let mut beginning = begun(1);
    beginning.capture.row.truncated = true;
    let head = &mut beginning.capture.request;
    (head.body, head.body_len, head.truncated, head.ended) = (vec![], 0, true, false);
    let mut end = ending(2, 1);
    end.capture.request = Half {
        body: b"frame".to_vec(),
        body_len: 5,
        redacted: "parts".into(),
        ended: true,
        ..Half::default()
    };
    store.append(batch_of(1, vec![beginning, end])).await.unwrap();
    let whole = store.capture(CaptureId(1)).await.unwrap().unwrap();
    let request = whole.request;
    assert_eq!((request.body, request.body_len), (b"frame".to_vec(), 5));
    assert_eq!((request.redacted.as_str(), request.ended), ("parts", true));
    assert_eq!((request.truncated, whole.row.truncated), (false, false));
    assert_eq!(request.pairs, vec![1, 0, 255]);
}

promises!(
    a_refusal_whose_beginning_never_came_is_acknowledged_and_not_shown,
    a_refusal_ends_its_beginning,
    the_hash_of_a_request_comes_where_its_length_was_known,
    a_request_written_ahead_by_its_head_has_its_body_in_its_end,
);
