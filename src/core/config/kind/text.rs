//! Short texts.

use super::Kind;
use crate::config::error::{Place, Problems};
use alloc::borrow::ToOwned;
use alloc::string::String;
use serde_json::Value;

/// A text of visible ASCII.
pub(in crate::config) struct Text {
    chars_max: usize,
    forbidden: &'static str,
}

/// Allows 1 to `chars_max` visible ASCII characters.
pub(in crate::config) const fn text(chars_max: usize) -> Text {
    Text {
        chars_max,
        forbidden: "",
    }
}

/// Allows 1 to `chars_max` characters that can stand in a URI and in a `Link` header.
pub(in crate::config) const fn uri(chars_max: usize) -> Text {
    Text {
        chars_max,
        forbidden: "<>\"\\^`{|}",
    }
}

impl Text {
    fn is_allowed(&self, found: &str) -> bool {
        let visible = found
            .chars()
            .all(|char| char.is_ascii_graphic() && !self.forbidden.contains(char));
        visible && (1..=self.chars_max).contains(&found.len())
    }
}

impl Kind for Text {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        let found = value.as_str().filter(|found| self.is_allowed(found));
        if found.is_none() {
            let but = if self.forbidden.is_empty() {
                ""
            } else {
                " that a URI may hold"
            };
            let chars_max = self.chars_max;
            problems.refuse(
                place,
                value,
                format_args!("is not a text of 1 to {chars_max} visible ASCII characters{but}"),
            );
        }
        found.map(ToOwned::to_owned)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "minLength": 1, "maxLength": self.chars_max, "pattern": "^[!-~]*$"})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

/// `*`, a host, a host with a port, or `*.` and a host; lower case.
pub(in crate::config) struct HostText;

impl HostText {
    fn is_allowed(found: &str) -> bool {
        let rest = found.strip_prefix("*.").unwrap_or(found);
        let legal = |char: char| char.is_ascii_alphanumeric() || "-._:[]".contains(char);
        found == "*" || (!rest.is_empty() && rest.len() <= 255 && rest.chars().all(legal))
    }
}

impl Kind for HostText {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        let found = value.as_str().filter(|found| Self::is_allowed(found));
        if found.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is not a host such as *, api.example.com, api.example.com:8443 or *.example.com"),
            );
        }
        found.map(str::to_ascii_lowercase)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "pattern": r"^(\*|(\*\.)?[A-Za-z0-9._:\[\]-]{1,255})$"})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check<K: Kind>(kind: &K, value: &str, allowed: bool) {
        let mut problems = Problems::default();
        let read = kind.read(&json!(value), &Place::Root, &mut problems);
        assert_eq!((read.is_some(), problems.is_empty()), (allowed, allowed), "{value}");
    }

    #[test]
    fn a_text_is_visible_and_bounded() {
        check(&text(3), "abc", true);
        for value in ["", "abcd", "a b", "é", "\u{7}"] {
            check(&text(3), value, false);
        }
    }

    #[test]
    fn a_uri_cannot_leave_its_link_header() {
        check(&uri(99), "https://docs.example.com/keys#why", true);
        check(&uri(99), "https://a>;rel=x", false);
    }

    #[test]
    fn a_host_is_a_name_or_a_wildcard() {
        for value in ["*", "Api.example.com", "*.example.com", "[::1]:80", "localhost:8080"] {
            check(&HostText, value, true);
        }
        for value in ["", "*.", "a*.com", "https://a", "a/b"] {
            check(&HostText, value, false);
        }
    }
}
