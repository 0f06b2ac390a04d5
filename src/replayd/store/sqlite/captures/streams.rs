//! Streams: who sent, what came, and what is missing.

use super::super::super::captures::{CaptureStats, Epoch, RangeSet, StreamBatch, StreamStats, later};
use super::StoreError;
use super::rows::{totals, whole_i64, whole_u64};
use crate::clock::UnixMillis;
use prost::Message as _;
use reprise_core::wire::{Ledger, Range};
use rusqlite::{Connection, OptionalExtension as _, Row};
use std::collections::BTreeMap;

/// Writes down that `batch` came; gives its stream's number.
pub(super) fn hear(connection: &Connection, batch: &StreamBatch) -> Result<i64, StoreError> {
    let read = "SELECT ledger FROM streams WHERE epoch = ?1";
    let known: Option<Vec<u8>> = connection
        .prepare_cached(read)?
        .query_row([batch.epoch.0], |row| row.get(0))
        .optional()?;
    let known = known.map(|bytes| Ledger::decode(&*bytes)).transpose();
    let known = known.map_err(|problem| broken(0, &problem))?;
    let ledger = later(known.unwrap_or_default(), batch.ledger.clone());
    let write = "INSERT INTO streams (epoch, instance, worker, first_at, last_at, ledger, duplicates, ended)
        VALUES (?1, ?2, ?3, ?4, ?4, ?5, 0, ?6)
        ON CONFLICT (epoch) DO UPDATE SET last_at = max(last_at, ?4), ledger = ?5, ended = max(ended, ?6)
        RETURNING id";
    let (bytes, received_at) = (ledger.encode_to_vec(), batch.received_at.0);
    let stream = (
        batch.epoch.0,
        &batch.instance,
        batch.worker,
        received_at,
        bytes,
        batch.goodbye,
    );
    Ok(connection.prepare_cached(write)?.query_row(stream, |row| row.get(0))?)
}

/// Reads the ranges that `numbers` may touch.
pub(super) fn near(
    connection: &Connection,
    stream: i64,
    numbers: impl Iterator<Item = u64> + Clone,
) -> Result<RangeSet, StoreError> {
    let (Some(first), Some(last)) = (numbers.clone().min(), numbers.max()) else {
        return Ok(RangeSet::default());
    };
    let read = "SELECT first, last FROM ranges
        WHERE stream = ?1 AND first <= ?3 AND first >=
            coalesce((SELECT max(first) FROM ranges WHERE stream = ?1 AND first < ?2), 0)
        ORDER BY first";
    let mut read = connection.prepare_cached(read)?;
    let bounds = (stream, whole_i64(first), whole_i64(last.saturating_add(1)));
    let found = read.query_map(bounds, range)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Writes `after` over `before`, both of one part of a stream.
pub(super) fn replace_ranges(
    connection: &Connection,
    stream: i64,
    before: &RangeSet,
    after: &RangeSet,
) -> Result<(), StoreError> {
    let mut remove = connection.prepare_cached("DELETE FROM ranges WHERE stream = ?1 AND first = ?2")?;
    for range in before.ranges().iter().filter(|range| !after.ranges().contains(range)) {
        remove.execute((stream, whole_i64(range.first)))?;
    }
    let mut write = connection.prepare_cached("INSERT INTO ranges VALUES (?1, ?2, ?3)")?;
    for range in after.ranges().iter().filter(|range| !before.ranges().contains(range)) {
        write.execute((stream, whole_i64(range.first), whole_i64(range.last)))?;
    }
    Ok(())
}

/// Tells whether the number came once.
pub(super) fn has(connection: &Connection, stream: i64, number: u64) -> Result<bool, StoreError> {
    let read = "SELECT EXISTS (SELECT 1 FROM ranges WHERE stream = ?1 AND first <= ?2 AND last >= ?2)";
    let mut read = connection.prepare_cached(read)?;
    Ok(read.query_row((stream, whole_i64(number)), |row| row.get(0))?)
}

/// Counts captures that came again.
pub(super) fn add_duplicates(connection: &Connection, stream: i64, count: u64) -> Result<(), StoreError> {
    if count > 0 {
        connection
            .prepare_cached("UPDATE streams SET duplicates = duplicates + ?2 WHERE id = ?1")?
            .execute((stream, whole_i64(count)))?;
    }
    Ok(())
}

/// The states in the words of the index over open captures: without it, all captures would be read.
const GIVE_UP: &str = "UPDATE captures SET state = 5 WHERE state IN (1, 2, 5) AND state <> 5
    AND stream IN (SELECT id FROM streams WHERE last_at < ?1)";

/// Takes what has begun in streams that were silent since `before` to the state unknown.
pub(super) fn give_up(connection: &Connection, before: UnixMillis) -> Result<u64, StoreError> {
    let changed = connection.prepare_cached(GIVE_UP)?.execute([before.0])?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// Counts everything.
pub(super) fn stats(connection: &Connection) -> Result<CaptureStats, StoreError> {
    let totals = totals(connection)?;
    let ids: (Option<i64>, Option<i64>) = connection.query_row(
        "SELECT (SELECT min(id) FROM captures), (SELECT max(id) FROM captures)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut received = received(connection)?;
    let mut read = connection.prepare_cached(
        "SELECT id, epoch, instance, worker, first_at, last_at, ledger, duplicates, ended
         FROM streams ORDER BY first_at DESC, id DESC",
    )?;
    let mut rows = read.query([])?;
    let mut streams = Vec::new();
    while let Some(row) = rows.next()? {
        let ranges = received.remove(&row.get(0)?).unwrap_or_default();
        streams.push(stream(row, ranges)?);
    }
    Ok(CaptureStats {
        count: whole_u64(totals.count),
        bytes: whole_u64(totals.bytes),
        ids: ids.0.zip(ids.1),
        streams,
    })
}

fn received(connection: &Connection) -> Result<BTreeMap<i64, RangeSet>, StoreError> {
    let mut read = connection.prepare_cached("SELECT first, last, stream FROM ranges ORDER BY stream, first")?;
    let mut found: BTreeMap<i64, Vec<Range>> = BTreeMap::new();
    for row in read.query_map([], |row| Ok((row.get(2)?, range(row)?)))? {
        let (stream, range) = row?;
        found.entry(stream).or_default().push(range);
    }
    let sets = found.into_iter();
    Ok(sets
        .map(|(stream, ranges)| (stream, ranges.into_iter().collect()))
        .collect())
}

fn stream(row: &Row<'_>, received: RangeSet) -> Result<StreamStats, StoreError> {
    let ledger: Vec<u8> = row.get(6)?;
    let ledger = Ledger::decode(&*ledger).map_err(|problem| broken(row.get(0).unwrap_or_default(), &problem))?;
    Ok(StreamStats {
        epoch: Epoch(row.get(1)?),
        instance: row.get(2)?,
        worker: row.get(3)?,
        first_at: UnixMillis(row.get(4)?),
        last_at: UnixMillis(row.get(5)?),
        missing: received.missing(ledger.assigned),
        ledger,
        received: received.into_ranges(),
        duplicates: whole_u64(row.get(7)?),
        ended: row.get(8)?,
    })
}

fn range(row: &Row<'_>) -> rusqlite::Result<Range> {
    Ok(Range {
        first: whole_u64(row.get(0)?),
        last: whole_u64(row.get(1)?),
    })
}

fn broken(id: i64, problem: &prost::DecodeError) -> StoreError {
    StoreError::Row {
        table: "streams",
        row: id,
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::SqliteStore;
    use super::*;

    /// However many captures there are, this runs every few seconds where captures are written.
    #[tokio::test]
    async fn what_is_given_up_is_found_by_its_index() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let plan = |connection: &Connection| {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {GIVE_UP}"))?;
            let steps = plan.query_map([1], |row| row.get::<_, String>(3))?;
            Ok(steps.collect::<Result<Vec<_>, _>>()?.join("; "))
        };
        let plan = store.read(plan).await.unwrap();
        assert!(plan.contains("SEARCH captures USING INDEX captures_open"), "{plan}");
    }
}
