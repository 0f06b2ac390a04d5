//! How captures of a file get in: each once, however often its file is taken.

use super::super::super::captures::{Capture, CaptureId, Epoch, Origin, Taken};
use super::StoreError;
use super::inserts::{Place, Ready};
use super::rows::{Rows, whole_u64};
use crate::clock::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Finds those of `names` that streams of this installation brought, and that are still here.
pub(super) fn here(connection: &Connection, names: &HashSet<Origin>) -> Result<HashSet<Origin>, StoreError> {
    let streams = streams(connection, names)?;
    if streams.is_empty() {
        return Ok(HashSet::new());
    }
    let mut read = connection.prepare_cached("SELECT stream, seq FROM captures WHERE stream IS NOT NULL")?;
    let rows = read.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    let mut found = HashSet::new();
    for row in rows {
        let (stream, seq) = row?;
        let name = streams.get(&stream).map(|epoch| Origin {
            epoch: *epoch,
            seq: whole_u64(seq),
        });
        found.extend(name.filter(|name| names.contains(name)));
    }
    Ok(found)
}

/// Finds the streams of `names` that were heard of, by their numbers.
fn streams(connection: &Connection, names: &HashSet<Origin>) -> Result<HashMap<i64, Epoch>, StoreError> {
    let mut find = connection.prepare_cached("SELECT id FROM streams WHERE epoch = ?1")?;
    let mut found = HashMap::new();
    for epoch in names.iter().map(|name| name.epoch).collect::<BTreeSet<_>>() {
        if let Some(id) = find.query_row([epoch.0], |row| row.get(0)).optional()? {
            found.insert(id, epoch);
        }
    }
    Ok(found)
}

/// Writes the captures of a file that are not among those that are `here`, nor imported already.
pub(super) fn import(
    connection: &Connection,
    captures: Vec<Capture>,
    mut here: HashSet<Origin>,
    now: UnixMillis,
) -> Result<Taken, StoreError> {
    let (mut rows, mut taken) = (Rows::new(connection)?, Taken::default());
    let mut imported = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM captures WHERE origin = ?1)")?;
    for mut capture in captures {
        let name = capture.row.name();
        if let Some(name) = name
            && (!here.insert(name) || imported.query_row([name.to_bytes()], |row| row.get(0))?)
        {
            taken.duplicates = taken.duplicates.saturating_add(1);
            continue;
        }
        (capture.row.origin, capture.row.received_at) = (name, now);
        let id = CaptureId(rows.insert(Place::default(), Ready::new(capture))?);
        taken.ids = Some((taken.ids.map_or(id, |(first, _)| first), id));
        taken.stored = taken.stored.saturating_add(1);
    }
    rows.finish()?;
    Ok(taken)
}
