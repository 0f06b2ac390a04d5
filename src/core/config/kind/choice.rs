//! One of a few words.

use super::Kind;
use crate::config::error::{Place, Problems};
use alloc::vec::Vec;
use serde_json::Value;

/// One of a few words, and those that are planned.
pub(in crate::config) struct Choice<T: 'static> {
    words: &'static [(&'static str, T)],
    planned: &'static [&'static str],
}

/// Allows `words`; those in `planned` are refused with the remark that they are not available yet.
pub(in crate::config) const fn choice<T>(
    words: &'static [(&'static str, T)],
    planned: &'static [&'static str],
) -> Choice<T> {
    Choice { words, planned }
}

/// Finds the place of `value` among `words`.
fn position(
    words: &[&str],
    planned: &[&str],
    value: &Value,
    place: &Place<'_>,
    problems: &mut Problems,
) -> Option<usize> {
    // Envoy's YAML reader turns a bare `off` into a boolean before the filter sees it.
    let written = if *value == Value::Bool(false) {
        Some("off")
    } else {
        value.as_str()
    };
    let is_written = |word: &&str| Some(*word) == written;
    let found = words.iter().position(is_written);
    if found.is_none() {
        let verdict = if planned.iter().any(is_written) {
            "is not available yet"
        } else {
            "is not known"
        };
        problems.refuse(place, value, format_args!("{verdict}; allowed: {}", words.join(", ")));
    }
    found
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Out = T;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<T> {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        let at = position(&words, self.planned, value, place, problems)?;
        self.words.get(at).map(|(_, meaning)| *meaning)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        serde_json::json!({"enum": words})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &T) -> Option<Value> {
        self.words
            .iter()
            .find(|(_, meaning)| meaning == out)
            .map(|(word, _)| (*word).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check(value: Value, want: Result<u8, &str>) {
        let mut problems = Problems::default();
        let kind = choice(&[("off", 0_u8), ("optional", 1)], &["manual"]);
        let read = kind.read(&value, &Place::Root, &mut problems);
        let got = problems
            .or(read)
            .map(Option::unwrap)
            .map_err(|errors| errors.to_string());
        assert_eq!(got, want.map_err(|problem| format!("document: {problem}")));
    }

    #[test]
    fn a_word_is_read() {
        check(json!("optional"), Ok(1));
    }

    #[test]
    fn a_bare_off_of_envoys_yaml_is_read() {
        check(json!(false), Ok(0));
        check(json!(true), Err("true is not known; allowed: off, optional"));
    }

    #[test]
    fn a_planned_word_is_refused_as_such() {
        check(
            json!("manual"),
            Err("\"manual\" is not available yet; allowed: off, optional"),
        );
    }

    #[test]
    fn an_unknown_word_is_refused() {
        check(
            json!("Optional"),
            Err("\"Optional\" is not known; allowed: off, optional"),
        );
    }
}
