//! Captures in SQLite. How a batch gets in is in `append`, and a file in `import`; which rows are meant in `select`, and what goes in `retain`.

mod append;
mod import;
mod inserts;
mod retain;
mod rows;
mod select;
mod streams;
mod verify;

pub(super) use verify::problems;

use super::super::Pending;
use super::super::captures::{
    Appended, Capture, CaptureId, CaptureOrder, CaptureQuery, CaptureRow, CaptureStats, Captures, Cursor, Deleted,
    Page, Retention, StreamBatch, Taken,
};
use super::{SqliteStore, StoreError};
use crate::clock::UnixMillis;
use reprise_core::wire::{Half, Sealed};
use rusqlite::Connection;

/// Rows that one transaction deletes or labels, so that batches do not wait long behind it.
const ROWS_A_STEP: u64 = 4096;

/// Both halves of a capture at rest.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(message, optional, tag = "1")]
    request: Option<Half>,
    #[prost(message, optional, tag = "2")]
    response: Option<Half>,
    #[prost(message, repeated, tag = "3")]
    sealed: Vec<Sealed>,
}

impl Captures for SqliteStore {
    fn append(&self, batch: StreamBatch) -> Pending<'_, Appended> {
        Box::pin(async move {
            // Encoded here, so that the one thread that writes does nothing but write.
            let batch = append::Prepared::from_batch(batch);
            let (appended, _spent) = self.add(move |connection| batch.write(connection)).await?;
            Ok(appended)
        })
    }

    fn import(&self, captures: Vec<Capture>, now: UnixMillis) -> Pending<'_, Taken> {
        Box::pin(async move {
            let names = captures.iter().filter_map(|capture| capture.row.name()).collect();
            // Looked for beside the one thread that writes: what a stream brought has no index by its name.
            let here = self.read(move |connection| import::here(connection, &names)).await?;
            self.add(move |connection| import::import(connection, captures, here, now))
                .await
        })
    }

    fn capture(&self, id: CaptureId) -> Pending<'_, Option<Capture>> {
        Box::pin(self.read(move |connection| rows::whole(connection, id)))
    }

    fn captures(&self, ids: Vec<CaptureId>) -> Pending<'_, Vec<Capture>> {
        let all = move |connection: &Connection| {
            let found = ids.iter().map(|id| rows::whole(connection, *id));
            found.filter_map(Result::transpose).collect()
        };
        Box::pin(self.read(all))
    }

    fn page(
        &self,
        query: CaptureQuery,
        order: CaptureOrder,
        after: Option<Cursor>,
        limit: u32,
    ) -> Pending<'_, Page<CaptureRow>> {
        Box::pin(self.read(move |connection| select::page(connection, &query, order, after, limit)))
    }

    fn label(&self, query: CaptureQuery, add: Vec<String>, remove: Vec<String>) -> Pending<'_, u64> {
        Box::pin(async move {
            self.in_steps(query, move |connection, ids| {
                let mut done = 0_u64;
                for id in ids {
                    done = done.saturating_add(rows::label(connection, *id, &add, &remove)?.into());
                }
                Ok(done)
            })
            .await
        })
    }

    fn delete(&self, query: CaptureQuery) -> Pending<'_, Deleted> {
        Box::pin(async move {
            let deleted = self.in_steps(query.clone(), retain::delete).await?;
            let stays = self.read(move |connection| select::pinned(connection, &query)).await?;
            Ok(Deleted { deleted, ..stays })
        })
    }

    fn capture_stats(&self) -> Pending<'_, CaptureStats> {
        Box::pin(self.read(streams::stats))
    }

    fn retain(&self, retention: Retention) -> Pending<'_, u64> {
        Box::pin(async move {
            // Looked for beside the one thread that writes, as it may mean to look at many that are pinned.
            let ids = self
                .read(move |connection| retain::surplus(connection, retention))
                .await?;
            let is_last = (ids.len() as u64) < retention.count_max;
            let silent = retention.before.filter(|_| is_last);
            self.write(move |connection| {
                let deleted = retain::delete(connection, &ids)?;
                silent.map_or(Ok(()), |before| retain::forget_streams(connection, before))?;
                Ok(deleted)
            })
            .await
        })
    }

    fn give_up(&self, before: UnixMillis) -> Pending<'_, u64> {
        Box::pin(self.write(move |connection| streams::give_up(connection, before)))
    }
}

impl SqliteStore {
    /// Does `step` with the rows that are meant and there now, a few in each transaction; gives the sum. They are looked
    /// for beside the one thread that writes.
    ///
    /// Atomic: each step; a crash leaves the later ones undone.
    async fn in_steps(
        &self,
        query: CaptureQuery,
        step: impl Fn(&Connection, &[i64]) -> Result<u64, StoreError> + Clone + Send + 'static,
    ) -> Result<u64, StoreError> {
        let last = self.read(|connection| Ok(rows::totals(connection)?.last_id)).await?;
        let (mut after, mut sum) = (0, 0_u64);
        loop {
            let (query, step) = (query.clone(), step.clone());
            let find = move |connection: &Connection| select::ids(connection, &query, after..last, ROWS_A_STEP);
            let ids = self.read(find).await?;
            let Some(end) = ids.last().copied() else {
                return Ok(sum);
            };
            let done = self.write(move |connection| step(connection, &ids)).await?;
            sum = sum.saturating_add(done);
            after = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::{Disk, RESERVE_BYTES};
    use super::*;
    use crate::store::contract::samples::{batch_of, begun, ending, numbered};
    use crate::store::verify;
    use reprise_core::wire::Range;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn database() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replayd.db");
        (dir, path)
    }

    async fn received(store: &SqliteStore) -> Vec<Range> {
        let streams = store.capture_stats().await.unwrap().streams;
        streams.into_iter().flat_map(|stream| stream.received).collect()
    }

    async fn pragma(store: &SqliteStore, name: &'static str, value: i64) -> i64 {
        let set =
            move |connection: &Connection| Ok(connection.pragma_update_and_check(None, name, value, |row| row.get(0))?);
        store.write(set).await.unwrap()
    }

    /// A disk with room for the reserve alone, until its owner puts `has_room` beside the database.
    const SMALL: Disk = Disk {
        free: |path| {
            let has_room = path.with_file_name("has_room").exists();
            Ok(if has_room { u64::MAX } else { RESERVE_BYTES })
        },
        allocate: |file, bytes| file.set_len(bytes),
    };

    async fn deleted(store: &SqliteStore, ids: std::ops::RangeInclusive<i64>) -> u64 {
        let query = CaptureQuery {
            ids: ids.collect(),
            ..CaptureQuery::default()
        };
        store.delete(query).await.unwrap().deleted
    }

    /// What is acknowledged stays readable on a disk that is full, what is refused leaves nothing behind, deleting makes
    /// room, and with a new disk it goes on.
    ///
    /// Case R19.
    #[tokio::test]
    async fn a_full_disk_refuses_whole_batches_heals_by_deleting_and_recovers() {
        let (dir, path) = database();
        let store = SqliteStore::open_on(&path, SMALL).unwrap();
        let reserve = path.with_extension("reserve");
        assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES);
        let pages = pragma(&store, "max_page_count", 1).await;
        pragma(&store, "max_page_count", pages + 20).await;
        let batch = |first: u64| numbered(1, first..first + 50);
        let mut last = 0;
        while store.append(batch(last + 1)).await.is_ok() {
            last += 50;
        }
        assert!(last > 0 && store.append(batch(last + 1)).await.unwrap_err().is_full());
        assert_eq!((reserve.exists(), store.commits().full.get()), (false, 1));
        assert_eq!(received(&store).await, [Range { first: 1, last }]);
        assert_eq!(store.capture_stats().await.unwrap().count, last);
        assert_eq!(verify(&path).unwrap(), Vec::<String>::new());
        assert_eq!(deleted(&store, 1..=100).await, 100);
        store.append(batch(last + 1)).await.unwrap();
        last += 50;
        while store.append(batch(last + 1)).await.is_ok() {
            last += 50;
        }
        assert_eq!((reserve.exists(), store.commits().full.get()), (false, 1));
        fs::write(dir.path().join("has_room"), []).unwrap();
        store.append(batch(last + 1)).await.unwrap();
        assert_eq!((reserve.exists(), store.commits().full.get()), (true, 0));
        assert_eq!(
            received(&store).await,
            [Range {
                first: 1,
                last: last + 50
            }]
        );
        assert_eq!(verify(&path).unwrap(), Vec::<String>::new());
    }

    /// A daemon starts on a full disk as well: how else would anything be deleted?
    #[tokio::test]
    async fn a_disk_that_is_full_at_the_start_leaves_its_room_to_the_log() {
        let (_dir, path) = database();
        let full = Disk {
            free: |_| Ok(RESERVE_BYTES - 1),
            ..SMALL
        };
        let store = SqliteStore::open_on(&path, full).unwrap();
        assert!(!path.with_extension("reserve").exists());
        store.start("1.0.0", UnixMillis(1)).await.unwrap();
        assert_eq!(store.commits().full.get(), 1);
    }

    /// Whoever looks after a full disk is written down, however many they are.
    #[tokio::test]
    async fn a_full_disk_keeps_the_books() {
        let (_dir, path) = database();
        let none = Disk {
            allocate: |_, _| Err(std::io::ErrorKind::StorageFull.into()),
            ..SMALL
        };
        let store = SqliteStore::open_on(&path, none).unwrap();
        let mut last = 0;
        while store.append(numbered(1, [last + 1])).await.is_ok() {
            last += 1;
        }
        for _ in 0..500 {
            let note = |connection: &Connection| {
                let insert = "INSERT INTO audit (at, actor, action, detail) VALUES (1, 'a', 'captures.delete', ?1)";
                Ok(connection.execute(insert, ["x".repeat(100)])?)
            };
            store.write(note).await.unwrap();
        }
        assert!(store.append(numbered(1, [last + 1])).await.unwrap_err().is_full());
    }

    #[tokio::test]
    async fn one_job_that_fails_does_not_undo_its_neighbours() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        let fails = |connection: &Connection| -> Result<(), StoreError> {
            connection.execute("DELETE FROM capture_totals", [])?;
            Err(StoreError::Gone)
        };
        let jobs = (
            store.append(numbered(1, [1])),
            store.write(fails),
            store.append(numbered(1, [2])),
        );
        let (one, failed, two) = tokio::join!(jobs.0, jobs.1, jobs.2);
        assert!(one.is_ok() && matches!(failed, Err(StoreError::Gone)) && two.is_ok());
        assert_eq!(store.capture_stats().await.unwrap().count, 2);
    }

    /// Copies a database as a crash would leave it, with `len` bytes of its log.
    fn crash(from: &Path, log: &[u8], len: usize) -> (tempfile::TempDir, PathBuf) {
        let (dir, path) = database();
        fs::copy(from, &path).unwrap();
        fs::write(path.with_extension("db-wal"), &log[..len]).unwrap();
        (dir, path)
    }

    #[tokio::test]
    async fn a_log_that_is_torn_anywhere_loses_whole_batches_from_its_end_only() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        for first in [1, 11, 21, 31] {
            store.append(numbered(1, first..first + 10)).await.unwrap();
        }
        let log = fs::read(path.with_extension("db-wal")).unwrap();
        let (mut counts, mut flipped) = (vec![], log.clone());
        for len in (0..=log.len()).rev().step_by(3777) {
            let (_dir, path) = crash(&path, &log, len);
            let Ok(torn) = SqliteStore::open(&path) else {
                panic!("cut at {len}")
            };
            let count = torn.capture_stats().await.unwrap().count;
            let whole = if count == 0 {
                vec![]
            } else {
                vec![Range { first: 1, last: count }]
            };
            assert_eq!((count % 10, received(&torn).await), (0, whole), "cut at {len}");
            drop(torn);
            assert_eq!(verify(&path).unwrap(), Vec::<String>::new(), "cut at {len}");
            counts.push(count);
        }
        assert_eq!((counts.first(), counts.last()), (Some(&40), Some(&0)));
        // A page that did not reach the disk although later ones did.
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let (_dir, path) = crash(&path, &flipped, flipped.len());
        let torn = SqliteStore::open(&path).unwrap();
        assert!(torn.capture_stats().await.unwrap().count < 40);
    }

    #[tokio::test]
    async fn a_sound_database_has_no_problems() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        store.append(numbered(1, [1, 2, 5])).await.unwrap();
        store
            .append(batch_of(2, vec![begun(1), ending(2, 1), ending(9, 7)]))
            .await
            .unwrap();
        store.import(vec![begun(1).capture], UnixMillis(1)).await.unwrap();
        store
            .delete(CaptureQuery {
                ids: vec![2],
                ..CaptureQuery::default()
            })
            .await
            .unwrap();
        assert_eq!(verify(&path).unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_does_not_fit_together_is_told() {
        let cases = [
            (
                "DELETE FROM payloads WHERE id = 2",
                "capture 2 has no headers and bodies",
            ),
            (
                "DELETE FROM captures WHERE id = 2",
                "headers and bodies 2 belong to no capture",
            ),
            (
                "UPDATE payloads SET payload = x'ff' WHERE id = 3",
                "of capture 3 cannot be read",
            ),
            (
                "UPDATE ranges SET last = 2",
                "capture 3 is stored, but its stream says that it never came",
            ),
            (
                "UPDATE captures SET seq = 1 WHERE id = 3",
                "capture 1 is stored more than once",
            ),
            ("INSERT INTO ranges VALUES (1, 3, 9)", "ranges of stream 1 overlap"),
            (
                "UPDATE capture_totals SET bytes = bytes + 1",
                "the sums over 3 captures are wrong",
            ),
        ];
        for (damage, told) in cases {
            let (_dir, path) = database();
            let store = SqliteStore::open(&path).unwrap();
            store.append(numbered(1, 1..=3)).await.unwrap();
            store
                .write(move |connection| Ok(connection.execute_batch(damage)?))
                .await
                .unwrap();
            let found = verify(&path).unwrap();
            assert!(
                found.iter().any(|problem| problem.contains(told)),
                "{damage}: {found:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_page_that_was_overwritten_is_told() {
        let (_dir, path) = database();
        let store = SqliteStore::open(&path).unwrap();
        store.append(numbered(1, 1..=300)).await.unwrap();
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        let (from, len) = (bytes.len() - 3 * 8192, bytes.len());
        bytes[from..len].fill(0xee);
        fs::write(&path, bytes).unwrap();
        let found = verify(&path);
        assert!(found.is_err() || !found.as_ref().unwrap().is_empty(), "{found:?}");
    }
}
