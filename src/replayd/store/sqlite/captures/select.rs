//! Which captures are meant, and in which order they go.

use super::super::super::captures::{CaptureColumn, CaptureOrder, CaptureQuery, CaptureRow, Cursor, Deleted, Page};
use super::StoreError;
use super::rows::{COLUMNS, from_row, whole_i64, whole_u64};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::ops::Range;

/// The length of the exchange; -1 = its end was not seen.
const LATENCY: &str = "CASE WHEN ended_us > 0 THEN ended_us - began_us ELSE -1 END";

/// Rows that are few enough to be found first and put in order then.
const FEW: i64 = 2048;

/// How the columns with an index are named: a `+` keeps SQLite from looking rows up by them.
///
/// It knows nothing of how often a value occurs. Looked up by a status that a million rows have, they would all have to
/// be put in order for the first fifty; walked in order for a status that nearly none has, all would have to be looked at.
#[derive(Clone, Copy)]
struct Names {
    status: &'static str,
    began_at: &'static str,
}

const WALKED: Names = Names {
    status: "+status",
    began_at: "+began_at",
};

/// Conditions that all have to hold, and their values.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition on one value, which `?` stands for.
    fn with(&mut self, sql: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let place = format!("?{}", self.values.len());
        self.sql.push(sql.replace('?', &place));
    }

    /// Adds that `column` is one of `values`; no values mean any.
    fn one_of<T: serde::Serialize>(&mut self, column: &str, values: &[T]) {
        if !values.is_empty() {
            let list = serde_json::json!(values).to_string();
            self.with(&format!("{column} IN (SELECT value FROM json_each(?))"), list);
        }
    }

    fn meant_by(query: &CaptureQuery, names: Names) -> Self {
        let mut all = Self::default();
        let states: Vec<i32> = query.states.iter().map(|state| i32::from(*state)).collect();
        all.one_of("id", &query.ids);
        all.one_of("method", &query.methods);
        all.one_of("authority", &query.hosts);
        all.one_of("state", &states);
        all.one_of("principal", &query.principals);
        all.one_of("route", &query.routes);
        all.one_of("cluster", &query.clusters);
        for (sql, bound) in [("id >= ?", query.id_min), ("id <= ?", query.id_max)] {
            if let Some(bound) = bound {
                all.with(sql, bound);
            }
        }
        all.times(query, names.began_at);
        if let Some(least) = query.latency_min_us {
            all.with(&format!("{LATENCY} >= ?"), whole_i64(least));
        }
        if let Some(request_id) = &query.request_id {
            all.with("request_id = ?", request_id.clone());
        }
        if let Some(text) = &query.text {
            all.with("instr(target, ?) > 0", text.clone());
        }
        all.statuses(&query.statuses, names.status);
        all.paths(&query.paths, "");
        all.paths(&query.paths_not, "NOT ");
        for label in &query.labels {
            let has = "labels <> '[]' AND EXISTS (SELECT 1 FROM json_each(labels) WHERE value = ?)";
            all.with(has, label.clone());
        }
        all
    }

    fn times(&mut self, query: &CaptureQuery, began_at: &str) {
        if let Some(since) = query.since {
            self.with(&format!("{began_at} >= ?"), since.0);
        }
        if let Some(until) = query.until {
            self.with(&format!("{began_at} < ?"), until.0);
        }
    }

    fn statuses(&mut self, ranges: &[(u16, u16)], status: &str) {
        if !ranges.is_empty() {
            let within = |(first, last): &(u16, u16)| format!("{status} BETWEEN {first} AND {last}");
            let any: Vec<_> = ranges.iter().map(within).collect();
            self.sql.push(format!("{status} > 0 AND ({})", any.join(" OR ")));
        }
    }

    /// Tells whether only a few rows fulfil these conditions alone.
    fn mean_few(&self, connection: &Connection) -> Result<bool, StoreError> {
        if self.sql.is_empty() {
            return Ok(false);
        }
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM captures WHERE {} LIMIT {FEW})",
            self.sql()
        );
        let mut count = connection.prepare_cached(&sql)?;
        let found: i64 = count.query_row(params_from_iter(&self.values), |row| row.get(0))?;
        Ok(found < FEW)
    }

    fn paths(&mut self, paths: &[String], not: &str) {
        let (mut any, mut values) = (Vec::new(), Vec::new());
        for path in paths {
            let at = self.values.len() + values.len() + 1;
            match path.strip_suffix('*') {
                Some(prefix) => {
                    any.push(format!("substr(target, 1, {}) = ?{at}", prefix.chars().count()));
                    values.push(Value::from(prefix.to_owned()));
                }
                None => {
                    let len = path.chars().count() + 1;
                    any.push(format!("target = ?{at} OR substr(target, 1, {len}) = ?{at} || '?'"));
                    values.push(Value::from(path.clone()));
                }
            }
        }
        if !any.is_empty() {
            self.sql.push(format!("{not}({})", any.join(" OR ")));
            self.values.extend(values);
        }
    }

    fn sql(&self) -> String {
        if self.sql.is_empty() {
            return "1".to_owned();
        }
        self.sql.join(" AND ")
    }
}

/// Names the columns so that rows are looked up by what only a few have, and else walked in the order asked for.
fn names(connection: &Connection, query: &CaptureQuery, by: CaptureColumn) -> Result<Names, StoreError> {
    let (mut statuses, mut times) = (Conditions::default(), Conditions::default());
    statuses.statuses(&query.statuses, "status");
    times.times(query, "began_at");
    let mut names = WALKED;
    if by == CaptureColumn::Status || statuses.mean_few(connection)? {
        names.status = "status";
    }
    if by == CaptureColumn::BeganAt || times.mean_few(connection)? {
        names.began_at = "began_at";
    }
    Ok(names)
}

/// Reads one page.
pub(super) fn page(
    connection: &Connection,
    query: &CaptureQuery,
    order: CaptureOrder,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Page<CaptureRow>, StoreError> {
    let mut all = Conditions::meant_by(query, names(connection, query, order.by)?);
    let by = match order.by {
        CaptureColumn::Id => "id",
        CaptureColumn::BeganAt => "began_at",
        CaptureColumn::Status => "status",
        CaptureColumn::Latency => LATENCY,
    };
    let (behind, direction) = if order.descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(Cursor { value, id }) = after {
        // A row value alone would not use the index on its first part.
        all.with(&format!("{by} {behind}= ?"), value);
        all.with(&format!("({by} {behind} {value} OR id {behind} ?)"), id);
    }
    let sql = format!(
        "SELECT {COLUMNS}, {by} FROM captures WHERE {} ORDER BY {by} {direction}, id {direction} LIMIT {}",
        all.sql(),
        u64::from(limit) + 1
    );
    let mut read = connection.prepare_cached(&sql)?;
    let found = read.query_map(params_from_iter(&all.values), |row| Ok((from_row(row)?, row.get(30)?)))?;
    let mut found: Vec<(CaptureRow, i64)> = found.collect::<Result<_, _>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = found.len() > limit;
    found.truncate(limit);
    let cursor = |(row, value): &(CaptureRow, i64)| Cursor {
        value: *value,
        id: row.id.0,
    };
    let next = found.last().map(cursor).filter(|_| is_more);
    let rows = found.into_iter().map(|(row, _)| row).collect();
    Ok(Page { rows, next })
}

/// Reads the next numbers behind `between.start`, up to and with `between.end`.
pub(super) fn ids(
    connection: &Connection,
    query: &CaptureQuery,
    between: Range<i64>,
    limit: u64,
) -> Result<Vec<i64>, StoreError> {
    let mut all = Conditions::meant_by(query, WALKED);
    all.with("id > ?", between.start);
    all.with("id <= ?", between.end);
    let sql = format!("SELECT id FROM captures WHERE {} ORDER BY id LIMIT {limit}", all.sql());
    let mut read = connection.prepare_cached(&sql)?;
    let found = read.query_map(params_from_iter(&all.values), |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Tells which captures that are meant are pinned, and by whom.
pub(super) fn pinned(connection: &Connection, query: &CaptureQuery) -> Result<Deleted, StoreError> {
    let all = Conditions::meant_by(query, WALKED);
    let meant = format!(
        "FROM pins WHERE capture IN (SELECT id FROM captures WHERE id IN (SELECT capture FROM pins) AND {})",
        all.sql()
    );
    let mut count = connection.prepare_cached(&format!("SELECT count(DISTINCT capture) {meant}"))?;
    let mut by = connection.prepare_cached(&format!(
        "SELECT id, state FROM replays WHERE id IN (SELECT replay {meant}) ORDER BY id"
    ))?;
    let replays = by.query_map(params_from_iter(&all.values), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Deleted {
        deleted: 0,
        pinned: whole_u64(count.query_row(params_from_iter(&all.values), |row| row.get(0))?),
        replays: replays.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::store::SqliteStore;
    use crate::store::captures::Captures as _;
    use crate::store::contract::samples::begun;

    /// A store with one capture of status 500 at moment 9, and many of status 201 at moment 1000.
    async fn store(dir: &tempfile::TempDir) -> SqliteStore {
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let mut captures: Vec<_> = (0..=FEW).map(|_| begun(1).capture).collect();
        for capture in &mut captures {
            capture.row.status = Some(201);
        }
        let first = &mut captures[0].row;
        (first.status, first.began_at) = (Some(500), UnixMillis(9));
        store.import(captures, UnixMillis(1)).await.unwrap();
        store
    }

    async fn named(query: CaptureQuery, by: CaptureColumn) -> (&'static str, &'static str) {
        let dir = tempfile::tempdir().unwrap();
        let look = move |connection: &Connection| names(connection, &query, by);
        let names = store(&dir).await.read(look).await.unwrap();
        (names.status, names.began_at)
    }

    #[tokio::test]
    async fn what_many_have_is_walked_and_what_few_have_is_looked_up() {
        let status = |status| CaptureQuery {
            statuses: vec![(status, status)],
            ..CaptureQuery::default()
        };
        assert_eq!(named(status(201), CaptureColumn::Id).await, ("+status", "+began_at"));
        assert_eq!(named(status(500), CaptureColumn::Id).await, ("status", "+began_at"));
        assert_eq!(named(status(201), CaptureColumn::Status).await, ("status", "+began_at"));
        let since = |since| CaptureQuery {
            since: Some(UnixMillis(since)),
            ..CaptureQuery::default()
        };
        assert_eq!(named(since(1000), CaptureColumn::Status).await, ("status", "+began_at"));
        assert_eq!(named(since(1001), CaptureColumn::Status).await, ("status", "began_at"));
        assert_eq!(
            named(since(1000), CaptureColumn::BeganAt).await,
            ("+status", "began_at")
        );
    }
}
