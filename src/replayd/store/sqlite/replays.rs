//! Replays in SQLite.

mod steps;

use super::super::Pending;
use super::super::replays::{
    BootLedger, NewReplay, NewStep, ReplayChange, ReplayRow, ReplayStore, StepChange, StepRow, Tally, TargetBoot,
};
use super::{SqliteStore, StoreError};
use crate::clock::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

const COLUMNS: &str = "id, target, holds, state, spec, progress, started_by, created_at";

impl ReplayStore for SqliteStore {
    fn create(&self, replay: NewReplay) -> Pending<'_, Result<i64, i64>> {
        Box::pin(self.write(move |connection| create(connection, &replay)))
    }

    fn replay(&self, id: i64) -> Pending<'_, Option<ReplayRow>> {
        Box::pin(self.read(move |connection| find(connection, id)))
    }

    fn replays(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<ReplayRow>> {
        let before = before.unwrap_or(i64::MAX);
        Box::pin(
            self.read(move |connection| list(connection, "id < ?1 ORDER BY id DESC LIMIT ?2", params![before, limit])),
        )
    }

    fn change(&self, id: i64, to: ReplayChange) -> Pending<'_, ()> {
        Box::pin(self.write(move |connection| change(connection, id, &to)))
    }

    fn take_target(&self, id: i64, to: ReplayChange) -> Pending<'_, Result<(), i64>> {
        Box::pin(self.write(move |connection| {
            let Some(row) = find(connection, id)? else {
                return Ok(Ok(()));
            };
            if let Some(holder) = holder(connection, &row.replay.target)? {
                return Ok(Err(holder));
            }
            change(connection, id, &to).map(Ok)
        }))
    }

    fn add_steps(&self, id: i64, new: Vec<NewStep>) -> Pending<'_, ()> {
        Box::pin(self.write(move |connection| steps::add(connection, id, &new)))
    }

    fn steps(&self, id: i64, from: u64, limit: u32) -> Pending<'_, Vec<StepRow>> {
        Box::pin(self.read(move |connection| steps::list(connection, id, from, limit)))
    }

    fn journal(&self, id: i64, boot: TargetBoot, changes: Vec<StepChange>) -> Pending<'_, ()> {
        Box::pin(self.write(move |connection| steps::journal(connection, id, &boot, &changes)))
    }

    fn tally(&self, id: i64) -> Pending<'_, Tally> {
        Box::pin(self.read(move |connection| steps::tally(connection, id)))
    }

    fn bindings(&self, id: i64) -> Pending<'_, Vec<Vec<u8>>> {
        Box::pin(self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT value FROM bindings WHERE replay = ?1 ORDER BY at")?;
            let rows = query.query_map([id], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        }))
    }

    fn restored(&self, boot: TargetBoot) -> Pending<'_, BootLedger> {
        Box::pin(self.read(move |connection| steps::ledger(connection, &boot)))
    }

    fn boot_seen(&self, boot: TargetBoot, now: UnixMillis) -> Pending<'_, UnixMillis> {
        Box::pin(self.write(move |connection| {
            let note = "INSERT INTO target_boots (target, boot_id, seen_at) VALUES (?1, ?2, ?3)
                        ON CONFLICT (target, boot_id) DO UPDATE SET seen_at = min(seen_at, ?3) RETURNING seen_at";
            let mut note = connection.prepare_cached(note)?;
            let first = note.query_row((&boot.target, &boot.boot_id, now.0), |row| row.get(0))?;
            Ok(UnixMillis(first))
        }))
    }

    fn holding(&self) -> Pending<'_, Vec<ReplayRow>> {
        Box::pin(self.read(move |connection| list(connection, "holds = 1 ORDER BY id", [])))
    }
}

fn create(connection: &Connection, replay: &NewReplay) -> Result<Result<i64, i64>, StoreError> {
    if let Some(holder) = holder(connection, &replay.target)? {
        return Ok(Err(holder));
    }
    let insert = "INSERT INTO replays (target, holds, state, spec, progress, started_by, created_at)
                  VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(insert)?.execute(params![
        replay.target,
        replay.state,
        replay.spec,
        replay.progress,
        replay.by,
        replay.created_at.0
    ])?;
    Ok(Ok(connection.last_insert_rowid()))
}

fn holder(connection: &Connection, target: &str) -> Result<Option<i64>, StoreError> {
    let mut query = connection.prepare_cached("SELECT id FROM replays WHERE target = ?1 AND holds = 1")?;
    Ok(query.query_row([target], |row| row.get(0)).optional()?)
}

fn find(connection: &Connection, id: i64) -> Result<Option<ReplayRow>, StoreError> {
    let mut found = list(connection, "id = ?1", [id])?;
    Ok(found.pop())
}

fn list(connection: &Connection, which: &str, of: impl rusqlite::Params) -> Result<Vec<ReplayRow>, StoreError> {
    let mut query = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM replays WHERE {which}"))?;
    let rows = query.query_map(of, from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn change(connection: &Connection, id: i64, to: &ReplayChange) -> Result<(), StoreError> {
    let update = "UPDATE replays SET state = ?2, progress = ?3, holds = ?4 WHERE id = ?1";
    connection
        .prepare_cached(update)?
        .execute(params![id, to.state, to.progress, to.holds])?;
    if !to.pins {
        for forget in [
            "DELETE FROM pins WHERE replay = ?1",
            "DELETE FROM bindings WHERE replay = ?1",
        ] {
            connection.prepare_cached(forget)?.execute([id])?;
        }
    }
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<ReplayRow> {
    Ok(ReplayRow {
        id: row.get(0)?,
        holds: row.get(2)?,
        replay: NewReplay {
            target: row.get(1)?,
            state: row.get(3)?,
            spec: row.get(4)?,
            progress: row.get(5)?,
            by: row.get(6)?,
            created_at: UnixMillis(row.get(7)?),
        },
    })
}
