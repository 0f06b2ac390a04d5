//! What is captured, counted.

use super::tell;
use crate::cli::Diagnostic;
use crate::cli::api::{failed, listed};
use crate::cli::output::Output;
use crate::cli::table::{Rows, cell};
use crate::client::Api;
use crate::clock::{self, UnixMillis};
use serde_json::Value;

/// What is told of all captures.
const SUMS: [&str; 6] = ["count", "bytes", "first_id", "last_id", "missing", "duplicates"];
/// What is told of the ledger.
const LEDGER: [&str; 7] = [
    "seen",
    "stored",
    "pending",
    "tail_unknown",
    "filtered",
    "sampled_out",
    "dropped",
];
/// What is told of each stream.
const STREAM: [&str; 8] = [
    "instance",
    "worker",
    "epoch",
    "last",
    "received",
    "missing",
    "duplicates",
    "tail",
];
/// Digits of a stream's name that tell it apart from the others.
const EPOCH_DIGITS: usize = 8;

/// Counts.
pub(super) async fn show(api: &Api, json: bool, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let stats = api.get("/api/v1/captures/stats").await.map_err(failed)?;
    if json {
        return output.json(&stats);
    }
    tell(output, false, &stats, &SUMS)?;
    tell(output, false, stats.get("ledger").unwrap_or(&Value::Null), &LEDGER)?;
    let (mut rows, now) = (Rows::new(&STREAM, None), clock::now());
    for stream in listed(&stats, "streams") {
        rows.push(STREAM.iter().map(|name| field(stream, name, now)));
    }
    if rows.is_empty() { Ok(()) } else { output.write(rows) }
}

/// Writes a field of a stream: its name short, and since when it is silent.
fn field(stream: &Value, name: &str, now: UnixMillis) -> String {
    let value = stream.get(name).unwrap_or(&Value::Null);
    match (name, value.as_str()) {
        ("epoch", Some(digits)) => digits.chars().take(EPOCH_DIGITS).collect(),
        ("tail", Some("silent")) => {
            let last = stream.get("last").and_then(Value::as_str);
            let since = last.and_then(UnixMillis::from_rfc3339);
            since.map_or_else(
                || "silent".to_owned(),
                |since| format!("silent for {}", while_of(since, now)),
            )
        }
        _ => ranges(value),
    }
}

/// Writes how long ago something was, in its largest whole unit.
fn while_of(since: UnixMillis, now: UnixMillis) -> String {
    let seconds = now.0.saturating_sub(since.0).max(0) / 1000;
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let found = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = found.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// Writes lists of ranges as `1-5, 7-9`, and everything else as it is.
fn ranges(value: &Value) -> String {
    let ends = |range: &Value| Some(format!("{}-{}", range.get(0)?, range.get(1)?));
    match value.as_array().filter(|ranges| !ranges.is_empty()) {
        Some(ranges) => ranges.iter().filter_map(ends).collect::<Vec<_>>().join(", "),
        None => cell(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stream_is_told_apart_and_says_since_when_it_is_silent() {
        let stream = json!({
            "instance": "", "epoch": "0123456789abcdef0123456789abcdef", "last": "1970-01-01T00:00:01.000Z",
            "received": [[1, 5], [7, 9]], "missing": [], "tail": "silent",
        });
        let names = ["instance", "epoch", "received", "missing", "tail"];
        let shown = names.map(|name| field(&stream, name, UnixMillis(7_400_000)));
        assert_eq!(shown, ["-", "01234567", "1-5, 7-9", "-", "silent for 2h"]);
    }
}
