//! The promises of [`Captures`] about what is kept, and for how long.

use super::captures::{Pins, all, five};
use super::samples::{capture, numbered};
use crate::clock::UnixMillis;
use crate::store::captures::{Captures, Retention};
use std::collections::BTreeSet;

async fn what_was_received_too_long_ago_goes_whenever_it_was(store: impl Pins) {
    store.append(numbered(1, 1..=3)).await.unwrap();
    let mut ancient = capture("/imported");
    ancient.row.began_at = UnixMillis(1);
    store.import(vec![ancient], UnixMillis(2001)).await.unwrap();
    store.pin_for(1, 2).await;
    let before = |before| Retention {
        before: Some(UnixMillis(before)),
        bytes_max: None,
        count_max: 100,
    };
    assert_eq!(store.retain(before(2000)).await.unwrap(), 0);
    assert_eq!(store.retain(before(2001)).await.unwrap(), 2);
    assert_eq!(all(&store).await, ["/2", "/imported"]);
}

/// Three streams of captures that are old, the third with one that is not.
async fn three_streams(store: &impl Captures) {
    for stream in [1, 2, 3] {
        store.append(numbered(stream, 1..=3)).await.unwrap();
    }
    let mut later = numbered(3, [4]);
    later.received_at = UnixMillis(3000);
    later.captures[0].capture.row.received_at = UnixMillis(3000);
    store.append(later).await.unwrap();
}

async fn streams(store: &impl Captures) -> BTreeSet<u8> {
    let stats = store.capture_stats().await.unwrap();
    stats.streams.iter().map(|stream| stream.epoch.0[15]).collect()
}

async fn a_stream_goes_when_all_of_it_is_too_old(store: impl Pins) {
    three_streams(&store).await;
    store.pin_for(1, 2).await;
    let retention = Retention {
        before: Some(UnixMillis(2001)),
        bytes_max: None,
        count_max: 8,
    };
    // There may be more to delete than one call does.
    assert_eq!(store.retain(retention).await.unwrap(), 8);
    assert_eq!(streams(&store).await, [1, 2, 3].into());
    assert_eq!(store.retain(retention).await.unwrap(), 0);
    assert_eq!(streams(&store).await, [1, 3].into());
    // What is forgotten begins anew.
    store.append(numbered(2, [2])).await.unwrap();
    assert_eq!(streams(&store).await, [1, 2, 3].into());
}

async fn what_is_pinned_does_not_drive_out_what_comes(store: impl Pins) {
    five(&store).await;
    let bytes = store.capture_stats().await.unwrap().bytes;
    for capture in [1, 2, 3] {
        store.pin_for(1, capture).await;
    }
    let at_most = |bytes_max| Retention {
        before: None,
        bytes_max: Some(bytes_max),
        count_max: 100,
    };
    assert_eq!(store.retain(at_most(bytes / 2)).await.unwrap(), 0);
    assert_eq!(store.retain(at_most(0)).await.unwrap(), 2);
    assert_eq!(all(&store).await.len(), 3);
}

async fn above_the_bytes_the_oldest_go(store: impl Pins) {
    five(&store).await;
    let bytes = store.capture_stats().await.unwrap().bytes;
    let at_most = |bytes_max, count_max| Retention {
        before: None,
        bytes_max: Some(bytes_max),
        count_max,
    };
    assert_eq!(store.retain(at_most(bytes, 100)).await.unwrap(), 0);
    assert_eq!(store.retain(at_most(bytes - 1, 100)).await.unwrap(), 1);
    assert_eq!(all(&store).await.first().unwrap(), "/a?q=1");
    assert_eq!(store.retain(at_most(0, 2)).await.unwrap(), 2);
    assert_eq!(store.retain(at_most(0, 100)).await.unwrap(), 2);
    let stats = store.capture_stats().await.unwrap();
    assert_eq!((stats.count, stats.bytes, stats.ids), (0, 0, None));
}

promises!(
    what_was_received_too_long_ago_goes_whenever_it_was,
    a_stream_goes_when_all_of_it_is_too_old,
    what_is_pinned_does_not_drive_out_what_comes,
    above_the_bytes_the_oldest_go,
);
