//! What names a key: one of two words, or a list of parts.

use super::name::to_any_header;
use super::{Kind, read_items};
use crate::config::error::{Place, Problems};
use crate::config::{Encoder, Part};
use alloc::vec::Vec;
use serde_json::Value;

/// Most parts.
const PARTS_MAX: usize = 16;
const ALLOWED: &str = "standard, django, {\"parts\": [\"key\", …]}";
const ALLOWED_PARTS: &str = "key, method, path, query, body, header:NAME";

/// `standard`, `django` or an object with a list of parts.
pub(in crate::config) struct EncoderKind;

fn part(text: &str) -> Option<Part> {
    match text {
        "key" => Some(Part::Key),
        "method" => Some(Part::Method),
        "path" => Some(Part::Path),
        "query" => Some(Part::Query),
        "body" => Some(Part::Body),
        _ => to_any_header(text.strip_prefix("header:")?).map(Part::Header),
    }
}

fn read_part(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Part> {
    let found = value.as_str().and_then(part);
    if found.is_none() {
        problems.refuse(place, value, format_args!("is not known; allowed: {ALLOWED_PARTS}"));
    }
    found
}

/// Reads a list of parts. Their order does not count: they are put into one, the body last.
fn read_parts(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Vec<Part>> {
    let found = read_items(value, place, problems, read_part)?;
    if !(1..=PARTS_MAX).contains(&found.len()) || !found.contains(&Part::Key) {
        problems.add(
            place,
            format_args!(
                "1 to {PARTS_MAX} parts are allowed, and key is one of them: without it two operations would be one"
            ),
        );
        return None;
    }
    let mut sorted: Vec<Part> = Vec::new();
    for part in found {
        if let Err(at) = sorted.binary_search(&part) {
            sorted.insert(at, part);
        }
    }
    Some(sorted)
}

impl Kind for EncoderKind {
    type Out = Encoder;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Encoder> {
        let object = value.as_object().filter(|object| object.len() == 1);
        match (value.as_str(), object.and_then(|object| object.get("parts"))) {
            (Some("standard"), _) => Some(Encoder::Standard),
            (Some("django"), _) => Some(Encoder::Django),
            (_, Some(parts)) => read_parts(parts, &place.field("parts"), problems).map(Encoder::Parts),
            _ => {
                problems.refuse(place, value, format_args!("is not known; allowed: {ALLOWED}"));
                None
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let part = serde_json::json!({"type": "string", "pattern": "^(key|method|path|query|body|header:[^ ]{1,64})$"});
        let parts = serde_json::json!({"type": "array", "minItems": 1, "maxItems": PARTS_MAX, "items": part,
            "contains": {"const": "key"}});
        let object = serde_json::json!({"type": "object", "additionalProperties": false, "required": ["parts"],
            "properties": {"parts": parts}});
        serde_json::json!({"anyOf": [{"enum": ["standard", "django"]}, object]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Encoder) -> Option<Value> {
        match out {
            Encoder::Standard => Some("standard".into()),
            Encoder::Django => Some("django".into()),
            Encoder::Parts(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString as _};
    use alloc::vec;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check(value: Value, want: Result<Encoder, &str>) {
        let mut problems = Problems::default();
        let read = EncoderKind.read(&value, &Place::Root.field("here"), &mut problems);
        let got = problems.or(read).map(Option::unwrap);
        let want = want.map_err(String::from);
        assert_eq!(got.map_err(|errors| errors.to_string()), want);
    }

    #[test]
    fn words_and_parts_are_read() {
        check(json!("standard"), Ok(Encoder::Standard));
        check(json!("django"), Ok(Encoder::Django));
        let parts = json!({"parts": ["body", "header:X-User", "key", "path", "key"]});
        let want = vec![Part::Key, Part::Path, Part::Header("x-user".into()), Part::Body];
        check(parts, Ok(Encoder::Parts(want)));
    }

    #[test]
    fn what_is_no_encoder_is_refused() {
        check(
            json!("Django"),
            Err("here: \"Django\" is not known; allowed: standard, django, {\"parts\": [\"key\", …]}"),
        );
        let want = "here.parts[1]: \"header:\" is not known; allowed: key, method, path, query, body, header:NAME";
        check(json!({"parts": ["key", "header:"]}), Err(want));
    }

    #[test]
    fn parts_without_the_key_are_refused() {
        let want =
            "here.parts: 1 to 16 parts are allowed, and key is one of them: without it two operations would be one";
        check(json!({"parts": ["body"]}), Err(want));
        check(json!({"parts": []}), Err(want));
        check(json!({"parts": vec!["key"; 17]}), Err(want));
    }
}
