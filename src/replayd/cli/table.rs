//! Tables for people: what was captured is hostile, so nothing of it reaches the terminal unescaped.

use super::output::Output;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use std::fmt::{self, Write as _};

/// Narrowest terminal whose tables are fitted to it.
const WIDTH_MIN: u16 = 60;

/// Rows under names.
pub(super) struct Rows {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    width_max: Option<usize>,
}

impl Rows {
    /// Begins a table; cells are cut after `width_max` characters.
    pub(super) fn new(head: &[&str], width_max: Option<usize>) -> Self {
        Self {
            head: head.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
            width_max,
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = String>) {
        let width_max = self.width_max.unwrap_or(usize::MAX);
        self.rows
            .push(row.into_iter().map(|cell| cut(&plain(&cell), width_max)).collect());
    }

    /// Adds what the fields of `item` hold that the head names.
    pub(super) fn add(&mut self, item: &Value) {
        let of = |name: &String| cell(item.get(name).unwrap_or(&Value::Null));
        let row: Vec<_> = self.head.iter().map(of).collect();
        self.push(row);
    }

    /// Tells whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tells how many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.set_header(&self.head).add_rows(&self.rows);
        if Output::is_terminal() {
            table.load_style(presets::UTF8_FULL_CONDENSED);
            // A terminal that does not know its width, or that is too narrow for columns, breaks lines by itself.
            if table.width().is_some_and(|width| width >= WIDTH_MIN) {
                table.set_content_arrangement(ContentArrangement::Dynamic);
            }
        } else {
            table.load_style(presets::NOTHING);
        }
        writeln!(out, "{}", table.trim_fmt())
    }
}

/// Escapes what would steer a terminal or turn its text round.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for each in text.chars() {
        if each.is_control() || is_format(each) {
            let _infallible = write!(out, "{}", each.escape_unicode());
        } else {
            out.push(each);
        }
    }
    out
}

/// Tells whether a character has no shape of its own but changes that of others: marks of direction, joiners.
const fn is_format(each: char) -> bool {
    matches!(each, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn cut(text: &str, width_max: usize) -> String {
    if text.chars().count() <= width_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Writes a JSON value as a cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{name} {}", cell(value));
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(plain("a\x1b[31m\u{202e}b\né"), "a\\u{1b}[31m\\u{202e}b\\u{a}é");
    }

    #[test]
    fn nothing_is_shown_as_a_dash() {
        let nothing = [Value::Null, Value::from(""), json!([]), json!({})];
        assert_eq!(nothing.each_ref().map(cell), ["-", "-", "-", "-"]);
    }

    #[test]
    fn a_cell_is_no_json() {
        assert_eq!(cell(&json!({"memory": 2, "queue_full": 1})), "memory 2, queue_full 1");
        assert_eq!(cell(&json!(["a", "b"])), "a, b");
    }

    #[test]
    fn a_long_cell_is_cut() {
        assert_eq!(
            (cut("abcd", 4), cut("abcde", 4)),
            ("abcd".to_owned(), "abc…".to_owned())
        );
    }
}
