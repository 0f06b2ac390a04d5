//! What goes: what people delete, and what is too old or too much.

use super::super::super::captures::Retention;
use super::StoreError;
use super::rows::{Rows, totals, whole_i64, whole_u64};
use crate::clock::UnixMillis;
use rusqlite::Connection;

/// Deletes those of `ids` that are not pinned; tells how many.
pub(super) fn delete(connection: &Connection, ids: &[i64]) -> Result<u64, StoreError> {
    let mut rows = Rows::new(connection)?;
    let before = rows.totals().count;
    let mut pinned = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM pins WHERE capture = ?1)")?;
    for id in ids {
        if !pinned.query_row([id], |row| row.get(0))? {
            rows.remove(*id)?;
        }
    }
    let deleted = before.saturating_sub(rows.totals().count);
    rows.finish()?;
    Ok(whole_u64(deleted))
}

/// Finds what is too old, then the oldest of what is too much; the age counts from the receipt, which numbers tell. What
/// is pinned is no part of what is too much: it would drive out everything that comes.
pub(super) fn surplus(connection: &Connection, retention: Retention) -> Result<Vec<i64>, StoreError> {
    let too_old = retention.before.map_or(i64::MIN, |before| before.0);
    let mut too_much = retention.bytes_max.map_or(Ok(0), |most| too_much(connection, most))?;
    let mut oldest = connection.prepare_cached(
        "SELECT id, received_at, bytes FROM captures
         WHERE NOT EXISTS (SELECT 1 FROM pins WHERE capture = captures.id) ORDER BY id LIMIT ?1",
    )?;
    let mut rows = oldest.query([whole_i64(retention.count_max)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (received_at, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
        if received_at >= too_old && too_much <= 0 {
            break;
        }
        too_much = too_much.saturating_sub(bytes);
        found.push(row.get(0)?);
    }
    Ok(found)
}

/// Tells how many bytes there are above `most`.
fn too_much(connection: &Connection, most: u64) -> Result<i64, StoreError> {
    let above = totals(connection)?.bytes.saturating_sub(whole_i64(most));
    if above <= 0 {
        return Ok(0);
    }
    let mut pinned = connection
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM captures WHERE id IN (SELECT capture FROM pins)")?;
    Ok(above.saturating_sub(pinned.query_row([], |row| row.get::<_, i64>(0))?))
}

/// Forgets streams that were silent since `before`, but those of pinned captures.
pub(super) fn forget_streams(connection: &Connection, before: UnixMillis) -> Result<(), StoreError> {
    let silent = "FROM streams WHERE last_at < ?1 AND id NOT IN
        (SELECT stream FROM captures WHERE stream IS NOT NULL AND id IN (SELECT capture FROM pins))";
    for statement in [
        format!("DELETE FROM ranges WHERE stream IN (SELECT id {silent})"),
        format!("DELETE {silent}"),
    ] {
        connection.prepare_cached(&statement)?.execute([before.0])?;
    }
    Ok(())
}
