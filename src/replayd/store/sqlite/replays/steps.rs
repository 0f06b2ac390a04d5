//! Steps in SQLite.

use super::super::StoreError;
use crate::store::captures::CaptureId;
use crate::store::replays::{BootLedger, Entry, NewStep, Outcome, StepChange, StepRow, Tally, TargetBoot};
use reprise_core::replay::schedule::Item;
use reprise_core::replay::step::Step;
use rusqlite::{Connection, Row, params};

/// Adds steps that were not sent, and pins their captures.
pub(super) fn add(connection: &Connection, id: i64, steps: &[NewStep]) -> Result<(), StoreError> {
    let insert = "INSERT INTO steps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0, 0, 0, -1, -1, '')";
    if steps.first().is_some_and(|step| step.at == 0) {
        connection
            .prepare_cached("DELETE FROM steps WHERE replay = ?1")?
            .execute([id])?;
    }
    let mut insert = connection.prepare_cached(insert)?;
    let mut pin = connection.prepare_cached("INSERT OR IGNORE INTO pins (replay, capture) VALUES (?1, ?2)")?;
    for step in steps {
        insert.execute(params![
            id,
            signed(step.at),
            step.capture.0,
            step.method,
            step.target,
            step.recorded_status.unwrap_or_default(),
            signed(step.item.began_us),
            signed(step.item.ended_us),
            step.item.stream,
            step.item.key.cast_signed()
        ])?;
        pin.execute((id, step.capture.0))?;
    }
    Ok(())
}

/// Shows steps from the place `from` on.
pub(super) fn list(connection: &Connection, id: i64, from: u64, limit: u32) -> Result<Vec<StepRow>, StoreError> {
    let query = "SELECT at, capture, method, target, recorded_status, state, attempt, status, matched, late_us,
                 latency_us, detail, began_us, ended_us, clock, keyed FROM steps WHERE replay = ?1 AND at >= ?2 ORDER BY at LIMIT ?3";
    let mut query = connection.prepare_cached(query)?;
    let rows = query.query_map((id, signed(from), limit), from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes down what becomes of steps, and what `boot` has of it.
pub(super) fn journal(
    connection: &Connection,
    id: i64,
    boot: &TargetBoot,
    changes: &[StepChange],
) -> Result<(), StoreError> {
    let update = "UPDATE steps SET state = ?3, attempt = ?4, status = ?5, matched = ?6, late_us = ?7, latency_us = ?8,
                  detail = ?9 WHERE replay = ?1 AND at = ?2";
    let mut update = connection.prepare_cached(update)?;
    let mut bind = connection.prepare_cached("INSERT OR REPLACE INTO bindings VALUES (?1, ?2, ?3)")?;
    let mut keep = connection.prepare_cached("INSERT OR REPLACE INTO restored VALUES (?1, ?2, ?3, ?4)")?;
    let forget = "DELETE FROM restored WHERE target = ?1 AND boot_id = ?2 AND capture = ?3";
    let mut forget = connection.prepare_cached(forget)?;
    for change in changes {
        let (state, attempt) = to_columns(change.state);
        update.execute(params![
            id,
            signed(change.at),
            state,
            attempt,
            change.outcome.status.unwrap_or_default(),
            matched(change.outcome.matched),
            micros(change.outcome.late_us),
            micros(change.outcome.latency_us),
            detail(&change.outcome.detail)
        ])?;
        if !change.binding.is_empty() {
            bind.execute(params![id, signed(change.at), change.binding])?;
        }
        if boot.boot_id.is_empty() {
            continue;
        }
        match change.entry {
            Entry::AsBefore => 0,
            Entry::Maybe(capture) => keep.execute((&boot.target, &boot.boot_id, capture.0, false))?,
            Entry::Sure(capture) => keep.execute((&boot.target, &boot.boot_id, capture.0, true))?,
            Entry::Not(capture) => forget.execute((&boot.target, &boot.boot_id, capture.0))?,
        };
    }
    Ok(())
}

/// Shows what a boot has.
pub(super) fn ledger(connection: &Connection, boot: &TargetBoot) -> Result<BootLedger, StoreError> {
    let wanted = "SELECT capture, is_sure FROM restored WHERE target = ?1 AND boot_id = ?2 ORDER BY capture";
    let mut query = connection.prepare_cached(wanted)?;
    let mut rows = query.query((&boot.target, &boot.boot_id))?;
    let mut ledger = BootLedger::default();
    while let Some(row) = rows.next()? {
        let list = if row.get(1)? {
            &mut ledger.sure
        } else {
            &mut ledger.maybe
        };
        list.push(row.get(0)?);
    }
    Ok(ledger)
}

/// Counts steps.
pub(super) fn tally(connection: &Connection, id: i64) -> Result<Tally, StoreError> {
    let groups = "SELECT state, matched, count(*) FROM steps WHERE replay = ?1 GROUP BY state, matched";
    let mut query = connection.prepare_cached(groups)?;
    let mut rows = query.query([id])?;
    let mut tally = Tally::default();
    while let Some(row) = rows.next()? {
        let count = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
        let add = |place: &mut u64| *place = place.saturating_add(count);
        add(&mut tally.planned);
        match from_columns(row.get(0)?, 0) {
            Step::Planned(_) => {}
            Step::Sent(_) | Step::Resent(_) | Step::InDoubt(_) => add(&mut tally.out),
            Step::Answered(_) => add(&mut tally.answered),
            Step::Skipped(_) | Step::Missing(_) => add(&mut tally.skipped),
        }
        match row.get(1)? {
            1 => add(&mut tally.matched),
            2 => add(&mut tally.differed),
            _ => {}
        }
    }
    Ok(tally)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StepRow> {
    let status = |column| row.get(column).map(|status: u16| (status > 0).then_some(status));
    let micros = |column| row.get(column).map(|micros: i64| u64::try_from(micros).ok());
    let detail: String = row.get(11)?;
    let matched = row.get::<_, u8>(8)?;
    Ok(StepRow {
        step: NewStep {
            at: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
            capture: CaptureId(row.get(1)?),
            method: row.get(2)?,
            target: row.get(3)?,
            recorded_status: status(4)?,
            item: Item {
                began_us: micros(12)?.unwrap_or_default(),
                ended_us: micros(13)?.unwrap_or_default(),
                stream: row.get(14)?,
                received: u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
                key: row.get::<_, i64>(15)?.cast_unsigned(),
            },
        },
        state: from_columns(row.get(5)?, row.get(6)?),
        outcome: Outcome {
            status: status(7)?,
            matched: (matched > 0).then_some(matched == 1),
            late_us: micros(9)?,
            latency_us: micros(10)?,
            detail: serde_json::from_str(&detail).unwrap_or_default(),
        },
    })
}

const fn to_columns(step: Step) -> (u8, u32) {
    match step {
        Step::Planned(attempt) => (0, attempt),
        Step::Sent(attempt) => (1, attempt),
        Step::Answered(attempt) => (2, attempt),
        Step::InDoubt(attempt) => (3, attempt),
        Step::Skipped(attempt) => (4, attempt),
        Step::Resent(attempt) => (5, attempt),
        Step::Missing(attempt) => (6, attempt),
    }
}

/// Reads a step's state; a number that no replayd writes reads as in doubt, so that nothing is sent twice.
const fn from_columns(state: u8, attempt: u32) -> Step {
    match state {
        0 => Step::Planned(attempt),
        1 => Step::Sent(attempt),
        2 => Step::Answered(attempt),
        4 => Step::Skipped(attempt),
        5 => Step::Resent(attempt),
        6 => Step::Missing(attempt),
        _ => Step::InDoubt(attempt),
    }
}

const fn matched(matched: Option<bool>) -> u8 {
    match matched {
        None => 0,
        Some(true) => 1,
        Some(false) => 2,
    }
}

fn micros(micros: Option<u64>) -> i64 {
    micros.map_or(-1, signed)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn detail(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    serde_json::to_string(lines).unwrap_or_default()
}
