//! Names of what nobody may see: headers, fields of queries and forms, places in JSON.

use super::Kind;
use super::name::{read_any_header, to_any_header};
use crate::config::error::{Place, Problems};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use serde_json::Value;

/// Longest name of a field, and longest pointer.
const NAME_BYTES_MAX: usize = 512;

/// A header, in lower case.
pub(in crate::config) struct SecretHeader;

impl Kind for SecretHeader {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        read_any_header(value, place, problems)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "minLength": 1, "maxLength": 64})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

fn is_field(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A field of a query or a form, as it reads without its encoding.
pub(in crate::config) struct SecretField;

impl Kind for SecretField {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        let found = value.as_str().filter(|found| is_field(found));
        if found.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is not the name of a field, 1 to {NAME_BYTES_MAX} bytes"),
            );
        }
        found.map(ToOwned::to_owned)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

/// Tells whether `text` is a JSON pointer. Source: RFC 6901 §3.
fn is_pointer(text: &str) -> bool {
    let mut escapes = text.split('~').skip(1);
    (text.is_empty() || text.starts_with('/'))
        && text.len() <= NAME_BYTES_MAX
        && escapes.all(|after| after.starts_with(['0', '1']))
}

/// A JSON pointer.
pub(in crate::config) struct Pointer;

impl Kind for Pointer {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        let found = value.as_str().filter(|found| is_pointer(found));
        if found.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is not a JSON pointer such as \"/card/number\" or \"/items/*/pin\""),
            );
        }
        found.map(ToOwned::to_owned)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "maxLength": NAME_BYTES_MAX, "pattern": "^(/([^~]|~[01])*)?$"})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

/// What is kept for replays: the kind of its place, a colon, and its name there.
pub(in crate::config) struct Seal;

fn seal(text: &str) -> Option<String> {
    let (kind, name) = text.split_once(':')?;
    match kind {
        "header" => to_any_header(name).map(|name| format!("header:{name}")),
        "query" | "form" => is_field(name).then(|| text.to_owned()),
        "json" => is_pointer(name).then(|| text.to_owned()),
        _ => None,
    }
}

impl Kind for Seal {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        let found = value.as_str().and_then(seal);
        if found.is_none() {
            problems.refuse(
                place,
                value,
                format_args!(
                    "is not known; allowed: header:NAME, query:NAME, form:NAME, json:POINTER, as in \"json:/items/*/pin\""
                ),
            );
        }
        found
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "pattern": "^(header|query|form|json):"})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(kind: &impl Kind<Out = String>, text: &str, want: Option<&str>) {
        let mut problems = Problems::default();
        let read = kind.read(&json!(text), &Place::Root.field("here"), &mut problems);
        assert_eq!(problems.is_empty(), want.is_some(), "{text:?}");
        assert_eq!(read.as_deref(), want, "{text:?}");
    }

    #[test]
    fn any_header_may_be_secret() {
        check(&SecretHeader, "X-Pin", Some("x-pin"));
        check(&SecretHeader, "Reprise-Token", Some("reprise-token"));
        for wrong in ["", "a b", ":path", "é"] {
            check(&SecretHeader, wrong, None);
        }
    }

    #[test]
    fn a_field_is_any_text_without_controls() {
        for right in ["pin", "user[pin]", "Größe", "a b"] {
            check(&SecretField, right, Some(right));
        }
        for wrong in ["", "a\n"] {
            check(&SecretField, wrong, None);
        }
    }

    #[test]
    fn a_pointer_begins_with_a_slash_and_escapes_tildes() {
        for right in ["", "/", "/a/b", "/a~1b/~0", "/items/*/pin", "/ "] {
            check(&Pointer, right, Some(right));
        }
        for wrong in ["a", "/~", "/~2", "/a~"] {
            check(&Pointer, wrong, None);
        }
    }

    #[test]
    fn what_a_seal_may_be_is_told() {
        let mut problems = Problems::default();
        assert_eq!(
            Seal.read(&json!("/pin"), &Place::Root.field("seal"), &mut problems),
            None
        );
        let text = problems.or(()).unwrap_err().to_string();
        let want = "seal: \"/pin\" is not known; allowed: header:NAME, query:NAME, form:NAME, json:POINTER, \
                    as in \"json:/items/*/pin\"";
        assert_eq!(text, want);
    }

    #[test]
    fn a_seal_names_the_kind_of_its_place() {
        check(&Seal, "header:X-Pin", Some("header:x-pin"));
        for right in ["query:a:b", "form:pin", "json:/a/*", "json:"] {
            check(&Seal, right, Some(right));
        }
        for wrong in ["pin", "body:pin", "header:a b", "query:", "json:a"] {
            check(&Seal, wrong, None);
        }
    }
}
