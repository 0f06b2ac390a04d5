//! The promises of [`Captures`].

use super::samples::{batch_of, begun, capture, ending, new, numbered, ranges};
use crate::clock::UnixMillis;
use crate::store::captures::{
    Capture, CaptureColumn, CaptureId, CaptureOrder, CaptureQuery, CaptureRow, Captures, Cursor, Deleted, Epoch,
    Origin, REQUEST_MISSING, StreamBatch, Taken,
};
use crate::store::{MemoryStore, SqliteStore};
use reprise_core::wire::{Half, Ledger, State};

/// A store that can keep captures for a replay.
pub(super) trait Pins: Captures {
    async fn pin_for(&self, replay: i64, capture: i64);
}

impl Pins for MemoryStore {
    async fn pin_for(&self, replay: i64, capture: i64) {
        self.pin(replay, capture);
    }
}

impl Pins for SqliteStore {
    async fn pin_for(&self, replay: i64, capture: i64) {
        self.write(move |tx| Ok(tx.execute("INSERT INTO pins VALUES (?1, ?2)", (replay, capture))?))
            .await
            .unwrap();
    }
}

pub(super) async fn rows(store: &impl Captures, query: CaptureQuery) -> Vec<CaptureRow> {
    let page = store.page(query, CaptureOrder::default(), None, 1000).await.unwrap();
    assert_eq!(page.next, None);
    page.rows
}

async fn targets(store: &impl Captures, query: CaptureQuery) -> Vec<String> {
    rows(store, query).await.into_iter().map(|row| row.target).collect()
}

pub(super) async fn all(store: &impl Captures) -> Vec<String> {
    targets(store, CaptureQuery::default()).await
}

async fn a_capture_reads_back_as_it_was(store: impl Pins) {
    let stored = store
        .append(batch_of(7, vec![new(1, capture("/a?x=%20"))]))
        .await
        .unwrap();
    assert_eq!(
        (stored.ranges, stored.stored, stored.duplicates),
        (ranges(&[(1, 1)]), 1, 0)
    );
    let mut want = capture("/a?x=%20");
    (want.row.id, want.row.epoch, want.row.seq) = (CaptureId(1), Some(Epoch([7; 16])), 1);
    want.row.sealed = 1;
    assert_eq!(rows(&store, CaptureQuery::default()).await, [want.row.clone()]);
    assert_eq!(store.capture(CaptureId(1)).await.unwrap(), Some(want));
    assert_eq!(store.capture(CaptureId(2)).await.unwrap(), None);
}

/// Case R16.
async fn what_comes_again_is_acknowledged_again_and_stored_once(store: impl Pins) {
    store.append(numbered(1, [1, 2])).await.unwrap();
    assert_eq!(
        store.append(numbered(1, [1, 2, 3])).await.unwrap().ranges,
        ranges(&[(1, 3)])
    );
    assert_eq!(all(&store).await, ["/1", "/2", "/3"]);
    let stream = store.capture_stats().await.unwrap().streams.remove(0);
    assert_eq!(
        (stream.received, stream.missing, stream.duplicates),
        (ranges(&[(1, 3)]), vec![], 2)
    );
}

async fn a_number_twice_in_one_batch_is_stored_once(store: impl Pins) {
    assert_eq!(
        store.append(numbered(1, [1, 1])).await.unwrap().ranges,
        ranges(&[(1, 1)])
    );
    assert_eq!(all(&store).await, ["/1"]);
}

async fn batches_may_overtake_each_other(store: impl Pins) {
    assert_eq!(
        store.append(numbered(1, [5, 6])).await.unwrap().ranges,
        ranges(&[(5, 6)])
    );
    assert_eq!(
        store.append(numbered(1, [1, 2])).await.unwrap().ranges,
        ranges(&[(1, 2)])
    );
    let stats = store.capture_stats().await.unwrap();
    assert_eq!(stats.streams[0].missing, ranges(&[(3, 4)]));
    store.append(numbered(1, [3, 4])).await.unwrap();
    let stats = store.capture_stats().await.unwrap();
    assert_eq!((&stats.streams[0].received, stats.count), (&ranges(&[(1, 6)]), 6));
    assert!(stats.streams[0].missing.is_empty());
}

/// Two proxies of one name have streams of their own.
///
/// Case R24.
async fn streams_of_one_name_are_told_apart(store: impl Pins) {
    for numbers in [[3, 4], [1, 2]] {
        store.append(numbered(1, numbers)).await.unwrap();
        store.append(numbered(2, numbers)).await.unwrap();
        store.append(numbered(2, numbers)).await.unwrap();
    }
    let stats = store.capture_stats().await.unwrap();
    let told: Vec<_> = stats
        .streams
        .iter()
        .map(|stream| (stream.instance.as_str(), &stream.received))
        .collect();
    let whole = ranges(&[(1, 4)]);
    assert_eq!(told, [("edge", &whole), ("edge", &whole)]);
    assert_eq!((stats.count, all(&store).await.len()), (8, 8));
}

async fn a_number_stays_known_after_its_capture_is_gone(store: impl Pins) {
    store.append(numbered(1, [1, 2])).await.unwrap();
    assert_eq!(store.delete(CaptureQuery::default()).await.unwrap().deleted, 2);
    store.append(numbered(1, [1, 2, 3])).await.unwrap();
    assert_eq!(all(&store).await, ["/3"]);
    assert_eq!(rows(&store, CaptureQuery::default()).await[0].id, CaptureId(3));
}

async fn an_ending_completes_its_beginning(store: impl Pins) {
    store.append(batch_of(1, vec![begun(1)])).await.unwrap();
    store.append(batch_of(1, vec![ending(2, 1)])).await.unwrap();
    let whole = store.capture(CaptureId(1)).await.unwrap().unwrap();
    assert_eq!(
        (whole.row.state, whole.row.status, whole.row.ended_us),
        (State::Completed, Some(201), 30)
    );
    assert_eq!(
        (whole.row.method.as_str(), whole.row.cluster.as_str()),
        ("POST", "upstream")
    );
    assert_eq!(whole.row.labels, ["a", "late"]);
    assert_eq!(
        (whole.request, whole.response),
        (capture("").request, capture("").response)
    );
    assert_eq!(
        (whole.sealed, all(&store).await),
        (capture("").sealed, vec!["/begun".to_owned()])
    );
}

async fn an_ending_tells_the_true_length_of_a_request_that_was_cut(store: impl Pins) {
    let mut beginning = begun(1);
    beginning.capture.request.truncated = true;
    store.append(batch_of(1, vec![beginning])).await.unwrap();
    let mut end = ending(2, 1);
    end.capture.row.request_bytes = 900;
    end.capture.request = Half {
        body_len: 900,
        body_hash: vec![5; 32],
        truncated: true,
        ..Half::default()
    };
    store.append(batch_of(1, vec![end])).await.unwrap();
    let request = store.capture(CaptureId(1)).await.unwrap().unwrap().request;
    assert_eq!(
        (request.body, request.body_len, request.body_hash),
        (b"\0\xff!".to_vec(), 900, vec![5; 32])
    );
    assert_eq!(rows(&store, CaptureQuery::default()).await[0].request_bytes, 900);
}

async fn an_ending_waits_for_its_beginning(store: impl Pins) {
    store.append(batch_of(1, vec![ending(2, 1)])).await.unwrap();
    assert_eq!(
        rows(&store, CaptureQuery::default()).await[0].not_replayable,
        REQUEST_MISSING
    );
    store.append(batch_of(1, vec![begun(1)])).await.unwrap();
    let rows = rows(&store, CaptureQuery::default()).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].state, rows[0].target.as_str(), rows[0].not_replayable.as_str()),
        (State::Completed, "/begun", "")
    );
}

async fn an_ending_of_a_capture_that_was_deleted_is_gone_too(store: impl Pins) {
    store.append(batch_of(1, vec![begun(1)])).await.unwrap();
    store.delete(CaptureQuery::default()).await.unwrap();
    assert_eq!(
        store.append(batch_of(1, vec![ending(2, 1)])).await.unwrap().ranges,
        ranges(&[(2, 2)])
    );
    assert!(all(&store).await.is_empty());
}

async fn what_begun_in_a_silent_stream_is_unknown_until_its_end_comes(store: impl Pins) {
    store.append(batch_of(1, vec![begun(1)])).await.unwrap();
    assert_eq!(store.give_up(UnixMillis(2000)).await.unwrap(), 0);
    assert_eq!(store.give_up(UnixMillis(2001)).await.unwrap(), 1);
    assert_eq!(rows(&store, CaptureQuery::default()).await[0].state, State::Unknown);
    store.append(batch_of(1, vec![ending(2, 1)])).await.unwrap();
    assert_eq!(rows(&store, CaptureQuery::default()).await[0].state, State::Completed);
}

async fn a_stream_remembers_its_latest_ledger_and_its_goodbye(store: impl Pins) {
    let at = |seen, pending, goodbye, received_at| StreamBatch {
        ledger: Ledger {
            seen,
            pending,
            ..Ledger::default()
        },
        goodbye,
        received_at: UnixMillis(received_at),
        ..batch_of(1, vec![])
    };
    for batch in [at(5, 2, false, 10), at(9, 0, true, 30), at(9, 3, false, 20)] {
        store.append(batch).await.unwrap();
    }
    let stream = store.capture_stats().await.unwrap().streams.remove(0);
    assert_eq!((stream.ledger.seen, stream.ledger.pending, stream.ended), (9, 0, true));
    assert_eq!((stream.first_at, stream.last_at), (UnixMillis(10), UnixMillis(30)));
    assert_eq!((stream.worker, stream.received), (3, vec![]));
}

async fn an_import_gets_numbers_of_its_own(store: impl Pins) {
    store.append(numbered(1, [1])).await.unwrap();
    let taken = store
        .import(vec![capture("/x"), capture("/y")], UnixMillis(9))
        .await
        .unwrap();
    assert_eq!((taken.ids, taken.stored), (Some((CaptureId(2), CaptureId(3))), 2));
    let imported = store.capture(CaptureId(3)).await.unwrap().unwrap();
    assert_eq!((imported.row.epoch, imported.row.received_at), (None, UnixMillis(9)));
    assert_eq!(store.import(vec![], UnixMillis(9)).await.unwrap(), Taken::default());
}

/// A capture as a file has it that was exported elsewhere.
fn named(epoch: u8, seq: u64) -> Capture {
    let mut capture = capture(&format!("/{seq}"));
    let epoch = Epoch([epoch; 16]);
    capture.row.origin = Some(Origin { epoch, seq });
    capture
}

async fn an_import_brings_each_capture_once(store: impl Pins) {
    store.append(numbered(1, [1, 2])).await.unwrap();
    let file = vec![named(1, 1), named(1, 3), named(2, 1), named(1, 3)];
    let first = store.import(file.clone(), UnixMillis(9)).await.unwrap();
    let ids = Some((CaptureId(3), CaptureId(4)));
    assert_eq!((first.ids, first.stored, first.duplicates), (ids, 2, 2));
    let again = store.import(file, UnixMillis(9)).await.unwrap();
    assert_eq!((again.ids, again.stored, again.duplicates), (None, 0, 4));
    assert_eq!(all(&store).await, ["/1", "/2", "/3", "/1"]);
    let kept = store.capture(CaptureId(4)).await.unwrap().unwrap().row;
    assert_eq!((kept.epoch, kept.origin), (None, named(2, 1).row.origin));
}

async fn what_was_deleted_may_be_imported_again(store: impl Pins) {
    store.append(numbered(1, [1])).await.unwrap();
    for seq in [1, 2] {
        store.import(vec![named(1, seq)], UnixMillis(9)).await.unwrap();
    }
    assert_eq!(store.delete(CaptureQuery::default()).await.unwrap().deleted, 2);
    let again = store
        .import(vec![named(1, 1), named(1, 2)], UnixMillis(9))
        .await
        .unwrap();
    assert_eq!((again.stored, again.duplicates), (2, 0));
}

async fn many_are_shown_in_the_order_asked_for(store: impl Pins) {
    store.append(numbered(1, [1, 2, 3])).await.unwrap();
    let found = store.captures([3, 9, 1].map(CaptureId).to_vec()).await.unwrap();
    assert_eq!(
        found.iter().map(|each| each.row.target.as_str()).collect::<Vec<_>>(),
        ["/3", "/1"]
    );
}

/// Five captures that differ in everything that can be asked for.
pub(super) async fn five(store: &impl Captures) {
    let mut captures: Vec<_> = ["/a", "/a?q=1", "/a/b", "/c'd", "/ä*"].map(capture).into();
    for (at, capture) in captures.iter_mut().enumerate() {
        let n = u16::try_from(at).unwrap();
        let row = &mut capture.row;
        row.method = ["GET", "POST", "PUT", "PATCH", "DELETE"][at].into();
        row.status = [Some(200), Some(201), Some(404), Some(500), None][at];
        row.began_at = UnixMillis([50, 40, 30, 30, 10][at]);
        (row.began_us, row.ended_us) = (100, [0, 150, 400, 120, 200][at]);
        row.authority = format!("h{n}");
        row.principal = format!("p{n}");
        row.route = format!("r{n}");
        row.cluster = format!("c{n}");
        row.request_id = format!("id{n}");
        row.labels = [vec![], vec!["x"], vec!["x", "y"], vec!["\"y"], vec!["x,y"]][at]
            .iter()
            .map(|label| (*label).to_owned())
            .collect();
        row.state = [
            State::Completed,
            State::Aborted,
            State::Unknown,
            State::Begun,
            State::Forwarded,
        ][at];
    }
    store.import(captures, UnixMillis(0)).await.unwrap();
}

async fn check(store: &impl Captures, say: impl FnOnce(&mut CaptureQuery), want: &[i64]) {
    let mut query = CaptureQuery::default();
    say(&mut query);
    let found: Vec<_> = rows(store, query.clone()).await.iter().map(|row| row.id.0).collect();
    assert_eq!(found, want, "{query:?}");
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn a_query_means_what_fits_its_texts(store: impl Pins) {
    five(&store).await;
    check(&store, |query| query.methods = texts(&["PUT", "GET"]), &[1, 3]).await;
    check(&store, |query| query.hosts = texts(&["h1", "h4"]), &[2, 5]).await;
    check(&store, |query| query.principals = texts(&["p3"]), &[4]).await;
    check(&store, |query| query.routes = texts(&["r0"]), &[1]).await;
    check(&store, |query| query.clusters = texts(&["c2"]), &[3]).await;
    check(&store, |query| query.request_id = Some("id4".into()), &[5]).await;
    check(&store, |query| query.text = Some("'".into()), &[4]).await;
}

async fn a_query_means_paths_by_their_prefixes(store: impl Pins) {
    five(&store).await;
    check(&store, |query| query.paths = texts(&["/a"]), &[1, 2]).await;
    check(&store, |query| query.paths = texts(&["/a*"]), &[1, 2, 3]).await;
    check(&store, |query| query.paths = texts(&["/c'd", "/ä**"]), &[4, 5]).await;
    check(&store, |query| query.paths_not = texts(&["/a", "/ä*"]), &[3, 4]).await;
}

async fn a_query_means_labels_as_a_whole(store: impl Pins) {
    five(&store).await;
    check(&store, |query| query.labels = texts(&["x"]), &[2, 3]).await;
    check(&store, |query| query.labels = texts(&["x", "y"]), &[3]).await;
    check(&store, |query| query.labels = texts(&["\"y"]), &[4]).await;
    check(&store, |query| query.labels = texts(&["x,y"]), &[5]).await;
}

async fn a_query_means_what_is_within_its_bounds(store: impl Pins) {
    five(&store).await;
    check(&store, |_| {}, &[1, 2, 3, 4, 5]).await;
    let ids = |query: &mut CaptureQuery| (query.id_min, query.id_max) = (Some(2), Some(3));
    check(&store, ids, &[2, 3]).await;
    check(&store, |query| query.ids = vec![5, 1, 77], &[1, 5]).await;
    let at = |millis| Some(UnixMillis(millis));
    let time = |query: &mut CaptureQuery| (query.since, query.until) = (at(30), at(50));
    check(&store, time, &[2, 3, 4]).await;
    check(&store, |query| query.latency_min_us = Some(100), &[3, 5]).await;
    check(
        &store,
        |query| query.statuses = vec![(200, 201), (500, 599)],
        &[1, 2, 4],
    )
    .await;
    check(&store, |query| query.statuses = vec![(0, 999)], &[1, 2, 3, 4]).await;
    check(
        &store,
        |query| query.states = vec![State::Begun, State::Aborted],
        &[2, 4],
    )
    .await;
}

async fn a_query_means_what_fits_all_of_it(store: impl Pins) {
    five(&store).await;
    let both = |method: &'static str| {
        move |query: &mut CaptureQuery| {
            query.text = Some("?q".into());
            query.methods = texts(&[method]);
        }
    };
    check(&store, both("POST"), &[2]).await;
    check(&store, both("PUT"), &[]).await;
}

async fn pages_go_on_where_the_last_ended_in_every_order(store: impl Pins) {
    five(&store).await;
    let orders = [
        (CaptureColumn::Id, [1, 2, 3, 4, 5]),
        (CaptureColumn::BeganAt, [5, 3, 4, 2, 1]),
        (CaptureColumn::Status, [5, 1, 2, 3, 4]),
        (CaptureColumn::Latency, [1, 4, 2, 5, 3]),
    ];
    for (by, mut want) in orders {
        for descending in [false, true] {
            let (mut found, mut after): (Vec<i64>, Option<Cursor>) = (vec![], None);
            loop {
                let order = CaptureOrder { by, descending };
                let page = store.page(CaptureQuery::default(), order, after, 2).await.unwrap();
                found.extend(page.rows.iter().map(|row| row.id.0));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, want, "{by:?} {descending}");
            want.reverse();
        }
    }
}

async fn a_full_last_page_has_no_next(store: impl Pins) {
    store.append(numbered(1, [1, 2])).await.unwrap();
    let page = store
        .page(CaptureQuery::default(), CaptureOrder::default(), None, 2)
        .await
        .unwrap();
    assert_eq!((page.rows.len(), page.next), (2, None));
}

async fn labels_are_added_and_taken_where_meant(store: impl Pins) {
    five(&store).await;
    let query = CaptureQuery {
        id_max: Some(2),
        ..CaptureQuery::default()
    };
    let changed = store
        .label(query, vec!["new".into(), "a".into()], vec!["x".into()])
        .await
        .unwrap();
    assert_eq!(changed, 2);
    let labels: Vec<_> = rows(&store, CaptureQuery::default())
        .await
        .into_iter()
        .map(|row| row.labels)
        .collect();
    assert_eq!(labels[..3], [vec!["a", "new"], vec!["a", "new"], vec!["x", "y"]]);
}

async fn what_is_deleted_is_gone_but_for_pins(store: impl Pins) {
    store.append(numbered(1, 1..=4)).await.unwrap();
    store.pin_for(1, 2).await;
    let query = CaptureQuery {
        id_max: Some(3),
        ..CaptureQuery::default()
    };
    let deleted = Deleted {
        deleted: 2,
        pinned: 1,
        replays: vec![],
    };
    assert_eq!(store.delete(query).await.unwrap(), deleted);
    assert_eq!(all(&store).await, ["/2", "/4"]);
    assert_eq!(store.capture(CaptureId(1)).await.unwrap(), None);
    let stats = store.capture_stats().await.unwrap();
    assert_eq!((stats.count, stats.ids), (2, Some((2, 4))));
}

promises!(
    a_capture_reads_back_as_it_was,
    what_comes_again_is_acknowledged_again_and_stored_once,
    a_number_twice_in_one_batch_is_stored_once,
    batches_may_overtake_each_other,
    streams_of_one_name_are_told_apart,
    a_number_stays_known_after_its_capture_is_gone,
    an_ending_completes_its_beginning,
    an_ending_tells_the_true_length_of_a_request_that_was_cut,
    an_ending_waits_for_its_beginning,
    an_ending_of_a_capture_that_was_deleted_is_gone_too,
    what_begun_in_a_silent_stream_is_unknown_until_its_end_comes,
    a_stream_remembers_its_latest_ledger_and_its_goodbye,
    an_import_gets_numbers_of_its_own,
    an_import_brings_each_capture_once,
    what_was_deleted_may_be_imported_again,
    many_are_shown_in_the_order_asked_for,
    a_query_means_what_fits_its_texts,
    a_query_means_paths_by_their_prefixes,
    a_query_means_labels_as_a_whole,
    a_query_means_what_is_within_its_bounds,
    a_query_means_what_fits_all_of_it,
    pages_go_on_where_the_last_ended_in_every_order,
    a_full_last_page_has_no_next,
    labels_are_added_and_taken_where_meant,
    what_is_deleted_is_gone_but_for_pins,
);
