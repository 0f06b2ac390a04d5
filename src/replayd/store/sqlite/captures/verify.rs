//! What does not fit together among captures, their payloads and their streams.

use super::super::verify::TOLD_MAX;
use super::{Payload, StoreError};
use prost::Message as _;
use rusqlite::Connection;

/// Queries that find nothing where all is well, and what a row of them means.
const RULES: [(&str, &str); 6] = [
    (
        "ranges of stream {} overlap",
        "SELECT stream FROM ranges WHERE first > last OR EXISTS (SELECT 1 FROM ranges AS other
         WHERE other.stream = ranges.stream AND other.first > ranges.first AND other.first <= ranges.last + 1)",
    ),
    (
        "capture {} is stored, but its stream says that it never came",
        "SELECT id FROM captures WHERE stream IS NOT NULL AND seq > coalesce((SELECT last FROM ranges
         WHERE ranges.stream = captures.stream AND first <= seq ORDER BY first DESC LIMIT 1), 0)",
    ),
    (
        "capture {} is stored more than once",
        "SELECT min(id) FROM captures WHERE stream IS NOT NULL GROUP BY stream, seq HAVING count(*) > 1",
    ),
    (
        "capture {} has no headers and bodies",
        "SELECT id FROM captures WHERE NOT EXISTS (SELECT 1 FROM payloads WHERE payloads.id = captures.id)",
    ),
    (
        "headers and bodies {} belong to no capture",
        "SELECT id FROM payloads WHERE NOT EXISTS (SELECT 1 FROM captures WHERE captures.id = payloads.id)",
    ),
    (
        "the sums over {} captures are wrong",
        "SELECT count FROM capture_totals WHERE count <> (SELECT count(*) FROM captures)
         OR bytes <> (SELECT coalesce(sum(bytes), 0) FROM captures)
         OR last_id < (SELECT coalesce(max(id), 0) FROM captures)",
    ),
];

/// Tells every problem, a few of each kind.
pub(in super::super) fn problems(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut told = Vec::new();
    for (meaning, query) in RULES {
        let mut read = connection.prepare(&format!("{query} LIMIT {TOLD_MAX}"))?;
        for id in read.query_map([], |row| row.get::<_, i64>(0))? {
            told.push(meaning.replace("{}", &id?.to_string()));
        }
    }
    told.extend(unreadable(connection)?);
    Ok(told)
}

fn unreadable(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut told = Vec::new();
    let mut read = connection.prepare("SELECT id, payload FROM payloads ORDER BY id")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()?
        && told.len() < TOLD_MAX
    {
        let payload = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        if let Err(problem) = Payload::decode(payload) {
            let id: i64 = row.get(0)?;
            told.push(format!(
                "the headers and bodies of capture {id} cannot be read: {problem}"
            ));
        }
    }
    Ok(told)
}
