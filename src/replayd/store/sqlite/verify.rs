//! Looks through a whole database for what does not fit together.

use super::captures::problems;
use super::{BUSY_TIMEOUT, StoreError, schema};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Most problems of one kind that are told.
pub(super) const TOLD_MAX: usize = 5;

/// Tells what does not fit together in the database in `path`: its pages, and its captures. Nothing is written.
///
/// # Errors
/// As [`super::SqliteStore::open`], and [`StoreError::Sqlite`] if there is no file, or if it cannot be read on.
pub(crate) fn verify(path: &Path) -> Result<Vec<String>, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if schema::check(&connection, path)? < schema::known() {
        return Ok(Vec::new());
    }
    // One state of the database, also while a daemon writes.
    let snapshot = connection.unchecked_transaction()?;
    let mut found = pages(&snapshot)?;
    if found.is_empty() {
        found = problems(&snapshot)?;
    }
    Ok(found)
}

fn pages(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut check = connection.prepare(&format!("PRAGMA quick_check({TOLD_MAX})"))?;
    let told = check.query_map([], |row| row.get(0))?;
    let told: Vec<String> = told.collect::<Result<_, _>>()?;
    Ok(told.into_iter().filter(|line| line != "ok").collect())
}
