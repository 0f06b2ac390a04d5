//! Fields of features that are not built yet: their default is accepted, nothing else.

use crate::config::error::{Place, Problems};
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// Checks that `value` only repeats `default`, field by field where that has fields.
pub(in crate::config) fn later(default: &Value, value: &Value, place: &Place<'_>, problems: &mut Problems) {
    match (default.as_object(), value.as_object()) {
        (Some(fields), Some(written)) if !fields.is_empty() => {
            for (name, value) in written {
                check_field(fields, name, value, place, problems);
            }
        }
        _ if is_same(default, value) => {}
        _ => problems.refuse(
            place,
            value,
            format_args!("is not available yet, only {default} is accepted"),
        ),
    }
}

fn check_field(fields: &Map<String, Value>, name: &str, value: &Value, place: &Place<'_>, problems: &mut Problems) {
    match fields.get(name) {
        Some(default) => later(default, value, &place.field(name), problems),
        None => {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            let allowed = names.join(", ");
            problems.add(&place.field(name), format_args!("is not known; allowed: {allowed}"));
        }
    }
}

/// Compares two values as documents mean them: `5` and `5.0` are the same.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

/// Describes a value that only `default` may stand for.
#[cfg(feature = "schema")]
pub(in crate::config) fn schema(default: &Value) -> Value {
    match default.as_object() {
        Some(fields) if !fields.is_empty() => {
            let properties: Map<_, _> = fields
                .iter()
                .map(|(name, value)| (name.clone(), schema(value)))
                .collect();
            serde_json::json!({"type": "object", "additionalProperties": false, "properties": properties})
        }
        _ => serde_json::json!({"const": default, "default": default}),
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
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check(value: Value, want: &str) {
        let default =
            json!({"enabled": false, "sample": {"rate": 1.0, "by": null}, "statuses": {}, "methods": ["POST"]});
        let mut problems = Problems::default();
        later(&default, &value, &Place::Root.field("capture"), &mut problems);
        let got = problems.or(()).map_or_else(|errors| errors.to_string(), |()| "".into());
        assert_eq!(got, want);
    }

    #[test]
    fn defaults_may_be_repeated_in_part() {
        check(json!({}), "");
        check(json!({"sample": {"rate": 1}, "statuses": {}, "methods": ["POST"]}), "");
    }

    #[test]
    fn another_value_is_refused() {
        check(
            json!({"enabled": true}),
            "capture.enabled: true is not available yet, only false is accepted",
        );
        check(
            json!({"statuses": {"in-flight": 423}}),
            "capture.statuses: {\"in-flight\":423} is not available yet, only {} is accepted",
        );
        check(
            json!(5),
            "capture: 5 is not available yet, only {\"enabled\":false,\"methods\":[\"POST\"],\"sample\":{\"by\":null,\"rate\":1.0},\"statuses\":{}} is accepted",
        );
    }

    #[test]
    fn an_unknown_field_is_refused() {
        check(
            json!({"sample": {"rat": 1}}),
            "capture.sample.rat: is not known; allowed: by, rate",
        );
    }
}
