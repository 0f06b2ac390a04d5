//! What is wrong with a document: every problem with the place where it stands.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// The field, as in `rules[1].idempotency.retain_s`; `document` for the whole of it.
    pub path: String,
    /// What is wrong, with the value that was given and what is allowed.
    pub problem: String,
}

/// Everything that is wrong with one document, in the order of its fields; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    /// Writes one problem a line.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{error}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigErrors {}

/// Collects problems while reading goes on.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<ConfigError>);

impl Problems {
    /// Notes a problem at `place`.
    #[cold]
    pub(super) fn add(&mut self, place: &Place<'_>, problem: fmt::Arguments<'_>) {
        self.0.push(ConfigError {
            path: place.to_string(),
            problem: problem.to_string(),
        });
    }

    /// Notes that `value` at `place` is not allowed: the value, and what is wrong with it.
    #[cold]
    pub(super) fn refuse(&mut self, place: &Place<'_>, value: &serde_json::Value, why: fmt::Arguments<'_>) {
        self.add(place, format_args!("{} {why}", quote(value)));
    }

    /// Gives `value` if nothing was wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, ConfigErrors> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ConfigErrors(self.0))
        }
    }

    /// Tells whether nothing was wrong so far.
    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A place in the document; costs nothing until it is written out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// The document.
    Root,
    /// A field of the place before it.
    Field(&'a Self, &'a str),
    /// An item of the list before it, from 0.
    Item(&'a Self, usize),
}

impl<'a> Place<'a> {
    /// Names the field `name` here.
    pub(super) const fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    /// Names the item `at` here.
    pub(super) const fn item(&'a self, at: usize) -> Self {
        Self::Item(self, at)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => out.write_str("document"),
            // Nothing would be no place.
            Self::Field(before, "") => write!(out, "{before}.\"\""),
            Self::Field(Self::Root, name) => out.write_str(name),
            Self::Field(before, name) => write!(out, "{before}.{name}"),
            Self::Item(before, at) => write!(out, "{before}[{at}]"),
        }
    }
}

/// Longest piece of a value that a problem quotes, in characters.
const QUOTE_CHARS_MAX: usize = 60;

/// Quotes a value in a problem, cut where it is long.
fn quote(value: &serde_json::Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((end, _)) => alloc::format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_place_is_written_with_dots_and_indexes() {
        let rules = Place::Root.field("rules");
        let first = rules.item(1);
        let options = first.field("idempotency");
        assert_eq!(options.field("mode").to_string(), "rules[1].idempotency.mode");
        assert_eq!(Place::Root.to_string(), "document");
        assert_eq!(Place::Root.field("").to_string(), "document.\"\"");
    }

    #[test]
    fn errors_are_one_a_line() {
        let error = |path: &str| ConfigError {
            path: path.into(),
            problem: "is missing".into(),
        };
        assert_eq!(
            ConfigErrors(vec![error("a"), error("b")]).to_string(),
            "a: is missing\nb: is missing"
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = "x".repeat(500);
        assert_eq!(quote(&serde_json::json!(long)).chars().count(), QUOTE_CHARS_MAX + 1);
    }
}
