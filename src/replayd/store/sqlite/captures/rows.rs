//! A capture's rows: written, read back, and summed up.

use super::super::super::captures::{Capture, CaptureId, CaptureRow, Epoch, Origin, add_labels};
use super::inserts::{Inserts, Place, Ready, Spent};
use super::{Payload, StoreError};
use crate::clock::UnixMillis;
use prost::Message as _;
use reprise_core::wire::State;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

/// What is read of a row, in this order.
pub(super) const COLUMNS: &str = "id, (SELECT epoch FROM streams WHERE streams.id = captures.stream), seq, state, \
    reason, method, scheme, authority, target, status, began_at, began_us, ended_us, route, cluster, principal, client, \
    peer, protocol, request_id, labels, boot_id, not_replayable, request_bytes, response_bytes, truncated, redacted, \
    received_at, origin, sealed";

/// Sums over all captures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    pub(super) count: i64,
    pub(super) bytes: i64,
    pub(super) last_id: i64,
}

/// Reads the sums.
pub(super) fn totals(connection: &Connection) -> Result<Totals, StoreError> {
    let mut read = connection.prepare_cached("SELECT count, bytes, last_id FROM capture_totals")?;
    Ok(read.query_row([], |row| {
        Ok(Totals {
            count: row.get(0)?,
            bytes: row.get(1)?,
            last_id: row.get(2)?,
        })
    })?)
}

/// Writes captures, and their sums at the end.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    inserts: Inserts<'a>,
    totals: Totals,
}

impl<'a> Rows<'a> {
    /// Begins behind the last capture.
    pub(super) fn new(connection: &'a Connection) -> Result<Self, StoreError> {
        Ok(Self {
            connection,
            inserts: Inserts::new(connection),
            totals: totals(connection)?,
        })
    }

    /// Writes one capture at the end and gives its number; it is there after [`Self::flush`].
    pub(super) fn insert(&mut self, place: Place, ready: Ready) -> Result<i64, StoreError> {
        let id = self.totals.last_id.saturating_add(1);
        self.totals = Totals {
            count: self.totals.count.saturating_add(1),
            bytes: self.totals.bytes.saturating_add(ready.bytes()),
            last_id: id,
        };
        self.inserts.push(id, place, ready)?;
        Ok(id)
    }

    /// Makes sure that what was inserted can be found.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.inserts.flush()
    }

    /// Takes one capture away; one that is not there is fine.
    pub(super) fn remove(&mut self, id: i64) -> Result<(), StoreError> {
        let mut row = self
            .connection
            .prepare_cached("DELETE FROM captures WHERE id = ?1 RETURNING bytes")?;
        let Some(bytes) = row.query_row([id], |row| row.get::<_, i64>(0)).optional()? else {
            return Ok(());
        };
        self.connection
            .prepare_cached("DELETE FROM payloads WHERE id = ?1")?
            .execute([id])?;
        self.totals.count = self.totals.count.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Replaces what may change of the capture `id`.
    pub(super) fn replace(&mut self, id: i64, capture: Capture) -> Result<(), StoreError> {
        let (row, payload) = parted(capture);
        let (old, bytes): (i64, _) = (self.bytes(id)?, whole_i64(payload.len() as u64));
        let mut update = self.connection.prepare_cached(
            "UPDATE captures SET state = :state, reason = :reason, status = :status, ended_us = :ended_us, \
             route = :route, cluster = :cluster, principal = :principal, client = :client, peer = :peer, \
             protocol = :protocol, request_id = :request_id, labels = :labels, boot_id = :boot_id, \
             not_replayable = :not_replayable, request_bytes = :request_bytes, response_bytes = :response_bytes, \
             truncated = :truncated, redacted = :redacted, bytes = :bytes, sealed = :sealed WHERE id = :id",
        )?;
        update.execute(named_params! {
            ":id": id, ":state": i32::from(row.state), ":reason": row.reason, ":status": row.status.unwrap_or(0),
            ":ended_us": whole_i64(row.ended_us), ":route": row.route, ":cluster": row.cluster,
            ":principal": row.principal, ":client": row.client, ":peer": row.peer, ":protocol": row.protocol,
            ":request_id": row.request_id, ":labels": labels(&row.labels), ":boot_id": row.boot_id,
            ":not_replayable": row.not_replayable, ":request_bytes": whole_i64(row.request_bytes),
            ":response_bytes": whole_i64(row.response_bytes), ":truncated": row.truncated, ":redacted": row.redacted,
            ":bytes": bytes, ":sealed": whole_i64(row.sealed),
        })?;
        self.connection
            .prepare_cached("UPDATE payloads SET payload = ?2 WHERE id = ?1")?
            .execute((id, payload))?;
        self.totals.bytes = self.totals.bytes.saturating_sub(old).saturating_add(bytes);
        Ok(())
    }

    fn bytes(&self, id: i64) -> Result<i64, StoreError> {
        let mut read = self
            .connection
            .prepare_cached("SELECT bytes FROM captures WHERE id = ?1")?;
        Ok(read.query_row([id], |row| row.get(0))?)
    }

    /// Shows the sums as they are now.
    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Writes what waits and the sums; gives what was written.
    pub(super) fn finish(mut self) -> Result<Spent, StoreError> {
        self.inserts.flush()?;
        self.connection
            .prepare_cached("UPDATE capture_totals SET count = ?1, bytes = ?2, last_id = ?3")?
            .execute((self.totals.count, self.totals.bytes, self.totals.last_id))?;
        Ok(self.inserts.spent())
    }
}

/// Adds and takes labels of one capture; tells whether it is still there.
pub(super) fn label(connection: &Connection, id: i64, add: &[String], remove: &[String]) -> Result<bool, StoreError> {
    let mut read = connection.prepare_cached("SELECT labels FROM captures WHERE id = ?1")?;
    let text: Option<String> = read.query_row([id], |row| row.get(0)).optional()?;
    let Some(text) = text else { return Ok(false) };
    let mut all = parse_labels(&text).map_err(|problem| broken(id, &problem))?;
    add_labels(&mut all, add.to_vec());
    all.retain(|label| !remove.contains(label));
    connection
        .prepare_cached("UPDATE captures SET labels = ?2 WHERE id = ?1")?
        .execute((id, labels(&all)))?;
    Ok(true)
}

/// Reads the capture `id`, whole.
pub(super) fn whole(connection: &Connection, id: CaptureId) -> Result<Option<Capture>, StoreError> {
    let read = format!("SELECT {COLUMNS} FROM captures WHERE id = ?1");
    let row = connection
        .prepare_cached(&read)?
        .query_row([id.0], from_row)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let payload: Vec<u8> = connection
        .prepare_cached("SELECT payload FROM payloads WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))?;
    let payload = Payload::decode(&*payload).map_err(|problem| broken(id.0, &problem))?;
    Ok(Some(Capture {
        row,
        request: payload.request.unwrap_or_default(),
        response: payload.response,
        sealed: payload.sealed,
    }))
}

/// Parts a capture into its row and what lists do not show, encoded.
pub(super) fn parted(mut capture: Capture) -> (CaptureRow, Vec<u8>) {
    capture.row.sealed = u64::try_from(capture.sealed.len()).unwrap_or(u64::MAX);
    let payload = Payload {
        request: Some(capture.request),
        response: capture.response,
        sealed: capture.sealed,
    };
    (capture.row, payload.encode_to_vec())
}

/// Reads a row of [`COLUMNS`].
pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<CaptureRow> {
    let epoch: Option<[u8; 16]> = row.get(1)?;
    let origin: Option<[u8; 24]> = row.get(28)?;
    let status: u16 = row.get(9)?;
    let state: i32 = row.get(3)?;
    let labels: String = row.get(20)?;
    Ok(CaptureRow {
        id: CaptureId(row.get(0)?),
        epoch: epoch.map(Epoch),
        seq: whole_u64(row.get(2)?),
        origin: origin.map(Origin::from_bytes),
        state: State::try_from(state).map_err(|error| unreadable(3, Type::Integer, error))?,
        reason: row.get(4)?,
        method: row.get(5)?,
        scheme: row.get(6)?,
        authority: row.get(7)?,
        target: row.get(8)?,
        status: (status != 0).then_some(status),
        began_at: UnixMillis(row.get(10)?),
        began_us: whole_u64(row.get(11)?),
        ended_us: whole_u64(row.get(12)?),
        route: row.get(13)?,
        cluster: row.get(14)?,
        principal: row.get(15)?,
        client: row.get(16)?,
        peer: row.get(17)?,
        protocol: row.get(18)?,
        request_id: row.get(19)?,
        labels: parse_labels(&labels).map_err(|error| unreadable(20, Type::Text, error))?,
        boot_id: row.get(21)?,
        not_replayable: row.get(22)?,
        request_bytes: whole_u64(row.get(23)?),
        response_bytes: whole_u64(row.get(24)?),
        truncated: row.get(25)?,
        redacted: row.get(26)?,
        sealed: whole_u64(row.get(29)?),
        received_at: UnixMillis(row.get(27)?),
    })
}

/// SQLite has no unsigned numbers; what is larger than it can hold is its largest.
pub(super) fn whole_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a number that [`whole_i64`] wrote.
pub(super) fn whole_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Tells that a capture at rest is not what was written.
pub(super) fn broken(id: i64, problem: &dyn std::error::Error) -> StoreError {
    StoreError::Row {
        table: "captures",
        row: id,
        problem: problem.to_string(),
    }
}

/// Encodes labels.
pub(super) fn labels(labels: &[String]) -> String {
    serde_json::json!(labels).to_string()
}

fn parse_labels(text: &str) -> serde_json::Result<Vec<String>> {
    serde_json::from_str(text)
}

fn unreadable(column: usize, kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
