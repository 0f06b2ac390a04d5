//! New captures: many go in with one statement, so that they share what a statement costs.

use super::super::super::captures::{Capture, CaptureRow, Origin};
use super::rows::{labels, parted, whole_i64};
use crate::store::StoreError;
use rusqlite::{CachedStatement, Connection, Statement, ToSql, params};
use std::slice;

/// Captures that one statement writes, where so many wait.
const TOGETHER: usize = 32;

/// Where a capture comes from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Its stream; none if it was imported.
    pub(super) stream: Option<i64>,
    /// For an ending whose beginning did not come yet: the beginning's number.
    pub(super) exchange: u64,
}

/// A capture as it is written: nothing of it has to be encoded any more.
pub(super) struct Ready {
    pub(super) row: CaptureRow,
    labels: String,
    payload: Vec<u8>,
}

impl Ready {
    /// Encodes a capture.
    pub(super) fn new(capture: Capture) -> Self {
        let (row, payload) = parted(capture);
        Self {
            labels: labels(&row.labels),
            row,
            payload,
        }
    }

    /// Counts what of it is not in its row.
    pub(super) fn bytes(&self) -> i64 {
        whole_i64(self.payload.len() as u64)
    }
}

/// A capture that waits for others.
struct Waiting {
    id: i64,
    place: Place,
    ready: Ready,
}

/// Writes new captures.
pub(super) struct Inserts<'a> {
    connection: &'a Connection,
    one: Option<Statements<'a>>,
    many: Option<Statements<'a>>,
    waiting: Vec<Waiting>,
    spent: Vec<Waiting>,
}

/// Captures that were written: dropped where that holds nobody up.
pub(super) struct Spent {
    _waited: Vec<Waiting>,
}

impl<'a> Inserts<'a> {
    /// Begins with none.
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            one: None,
            many: None,
            waiting: Vec::new(),
            spent: Vec::new(),
        }
    }

    /// Takes in one, which is written now or by [`Self::flush`].
    pub(super) fn push(&mut self, id: i64, place: Place, ready: Ready) -> Result<(), StoreError> {
        self.waiting.push(Waiting { id, place, ready });
        if self.waiting.len() < TOGETHER {
            return Ok(());
        }
        let many = Statements::get(&mut self.many, self.connection, TOGETHER)?;
        many.write(&self.waiting)?;
        self.spent.append(&mut self.waiting);
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        for each in self.waiting.drain(..) {
            let one = Statements::get(&mut self.one, self.connection, 1)?;
            one.write(slice::from_ref(&each))?;
            self.spent.push(each);
        }
        Ok(())
    }

    /// Gives what was written.
    pub(super) fn spent(self) -> Spent {
        Spent { _waited: self.spent }
    }
}

/// Statements that write so many captures at once.
struct Statements<'a> {
    row: CachedStatement<'a>,
    payload: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    /// Gives those in `kept`, which are made at the first use.
    fn get<'k>(
        kept: &'k mut Option<Self>,
        connection: &'a Connection,
        count: usize,
    ) -> Result<&'k mut Self, StoreError> {
        if kept.is_none() {
            *kept = Some(Self {
                row: connection.prepare_cached(&insert("captures", COLUMNS, count))?,
                payload: connection.prepare_cached(&insert("payloads", 2, count))?,
            });
        }
        kept.as_mut().ok_or(StoreError::Gone)
    }

    fn write(&mut self, captures: &[Waiting]) -> Result<(), StoreError> {
        let (mut row_at, mut payload_at) = (1, 1);
        for each in captures {
            bind_row(&mut self.row, &mut row_at, each)?;
            let payload = params![each.id, each.ready.payload];
            bind(&mut self.payload, &mut payload_at, payload)?;
        }
        self.row.raw_execute()?;
        self.payload.raw_execute()?;
        Ok(())
    }
}

/// Columns of a row.
const COLUMNS: usize = 32;

/// Writes a statement for `count` rows. Parameters go by their places: SQLite would compare the name of each with those
/// of all. What fails is undone with all of its job, so that SQLite need not be able to undo one statement.
fn insert(table: &str, columns: usize, count: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("INSERT OR FAIL INTO {table} VALUES {}", vec![row; count].join(","))
}

fn bind_row(statement: &mut Statement<'_>, at: &mut usize, capture: &Waiting) -> Result<(), StoreError> {
    let Waiting { id, place, ready } = capture;
    let row = &ready.row;
    bind(
        statement,
        at,
        params![
            id,
            place.stream,
            whole_i64(row.seq),
            whole_i64(place.exchange),
            i32::from(row.state),
            row.reason,
            row.method,
            row.scheme,
            row.authority,
            row.target,
            row.status.unwrap_or(0),
            row.began_at.0,
            whole_i64(row.began_us),
            whole_i64(row.ended_us),
            row.route,
            row.cluster,
            row.principal,
            row.client,
            row.peer,
            row.protocol,
            row.request_id,
            ready.labels,
            row.boot_id,
            row.not_replayable,
            whole_i64(row.request_bytes),
            whole_i64(row.response_bytes),
            row.truncated,
            row.redacted,
            row.received_at.0,
            ready.bytes(),
            row.origin.map(Origin::to_bytes),
            whole_i64(row.sealed),
        ],
    )
}

fn bind(statement: &mut Statement<'_>, at: &mut usize, values: &[&dyn ToSql]) -> Result<(), StoreError> {
    for value in values {
        statement.raw_bind_parameter(*at, value)?;
        *at = at.saturating_add(1);
    }
    Ok(())
}
