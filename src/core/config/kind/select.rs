//! What a selection of exchanges names: paths, routes, headers, media types, what a sample goes by.

use super::Kind;
use super::name::read_seen_header;
use crate::config::error::{Place, Problems};
use crate::config::{Exclude, SampleBy, check_template};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;

/// Longest name of a route, value of a header, and template.
const TEXT_BYTES_MAX: usize = 1024;
/// Most headers that a selection may name.
const HEADERS_MAX: usize = 32;

/// Takes an object's one field.
fn only_field(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(name, value)| (name.as_str(), value))
}

fn is_plain_text(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A path template, or a route of the proxy.
pub(in crate::config) struct Excluded;

impl Kind for Excluded {
    type Out = Exclude;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Exclude> {
        if let Some(template) = value.as_str() {
            return match check_template(template) {
                Ok(template) => Some(Exclude::Path(template)),
                Err(problem) => {
                    problems.add(place, format_args!("{problem}"));
                    None
                }
            };
        }
        let name = only_field(value).filter(|(name, _)| *name == "route");
        let name = name
            .and_then(|(_, name)| name.as_str())
            .filter(|name| is_plain_text(name));
        if name.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is neither a path template such as \"/health\" nor {{\"route\": \"name\"}}"),
            );
        }
        name.map(|name| Exclude::Route(name.to_owned()))
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let text = serde_json::json!({"type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX});
        let route = serde_json::json!({"type": "object", "additionalProperties": false, "required": ["route"],
            "properties": {"route": text}});
        serde_json::json!({"anyOf": [{"type": "string", "pattern": r"^(\*|/.*)$"}, route]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Exclude) -> Option<Value> {
        Some(match out {
            Exclude::Path(template) => template.clone().into(),
            Exclude::Route(name) => serde_json::json!({"route": name}),
        })
    }
}

/// Headers, and the value that each must have.
pub(in crate::config) struct HeaderValues;

impl Kind for HeaderValues {
    type Out = Vec<(String, String)>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out> {
        let Some(object) = value.as_object().filter(|object| object.len() <= HEADERS_MAX) else {
            problems.refuse(
                place,
                value,
                format_args!("is not an object of at most {HEADERS_MAX} headers such as {{\"x-tenant\": \"*\"}}"),
            );
            return None;
        };
        let found = object.iter().filter_map(|(name, value)| {
            let here = place.field(name);
            let header = read_seen_header(&Value::from(name.as_str()), &here, problems)?;
            let text = value.as_str().filter(|text| text.len() <= TEXT_BYTES_MAX);
            if text.is_none() {
                problems.refuse(
                    &here,
                    value,
                    format_args!("is not the text of a header's value, or \"*\""),
                );
            }
            Some((header, text?.to_owned()))
        });
        let found: Self::Out = found.collect();
        (found.len() == object.len()).then_some(found)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let value = serde_json::json!({"type": "string", "maxLength": TEXT_BYTES_MAX});
        serde_json::json!({"type": "object", "maxProperties": HEADERS_MAX, "additionalProperties": value})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value> {
        let fields = out.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        Some(Value::Object(fields.collect()))
    }
}

/// A media type without parameters, or all of one family.
pub(in crate::config) struct MediaRange;

fn is_media_range(text: &str) -> bool {
    let legal = |char: char| char.is_ascii_alphanumeric() || "!#$&^_.+-".contains(char);
    let is_name = |name: &str| !name.is_empty() && name.chars().all(legal);
    let parts = text.split_once('/');
    parts.is_some_and(|(family, kind)| is_name(family) && (kind == "*" || is_name(kind))) && text.len() <= 255
}

impl Kind for MediaRange {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        let found = value.as_str().filter(|found| is_media_range(found));
        if found.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is not a media type such as application/json or text/*, without parameters"),
            );
        }
        found.map(str::to_ascii_lowercase)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "string", "maxLength": 255,
            "pattern": r"^[A-Za-z0-9!#$&^_.+-]+/(\*|[A-Za-z0-9!#$&^_.+-]+)$"})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &String) -> Option<Value> {
        Some(out.clone().into())
    }
}

/// What is wholly in or wholly out of a sample.
pub(in crate::config) struct SampledBy;

impl Kind for SampledBy {
    type Out = SampleBy;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<SampleBy> {
        match (value.as_str(), only_field(value)) {
            (Some("principal"), _) => Some(SampleBy::Principal),
            (Some("path"), _) => Some(SampleBy::Path),
            (_, Some(("header", name))) => {
                read_seen_header(name, &place.field("header"), problems).map(SampleBy::Header)
            }
            (_, Some(("cookie", Value::String(name)))) if is_plain_text(name) && !name.contains(['=', ';', ' ']) => {
                Some(SampleBy::Cookie(name.clone()))
            }
            _ => {
                problems.refuse(
                    place,
                    value,
                    format_args!(
                        "is not known; allowed: \"principal\", \"path\", {{\"header\": \"x-session\"}}, \
                         {{\"cookie\": \"sid\"}}"
                    ),
                );
                None
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let text = serde_json::json!({"type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX});
        let named = |name: &str| {
            serde_json::json!({"type": "object", "additionalProperties": false, "required": [name],
                "properties": {name: text}})
        };
        serde_json::json!({"anyOf": [{"enum": ["principal", "path"]}, named("header"), named("cookie")]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &SampleBy) -> Option<Value> {
        Some(match out {
            SampleBy::Principal => "principal".into(),
            SampleBy::Path => "path".into(),
            SampleBy::Header(name) => serde_json::json!({"header": name}),
            SampleBy::Cookie(name) => serde_json::json!({"cookie": name}),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Debug;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check<K: Kind<Out: Debug + PartialEq>>(kind: &K, value: Value, want: Option<K::Out>) {
        let mut problems = Problems::default();
        let read = kind.read(&value, &Place::Root.field("here"), &mut problems);
        assert_eq!(problems.is_empty(), want.is_some(), "{value}");
        assert_eq!(read, want, "{value}");
    }

    #[test]
    fn a_text_is_a_path_template_and_a_route_has_a_name() {
        check(&Excluded, json!("/v1/{id}/"), Some(Exclude::Path("/v1/{id}".into())));
        check(&Excluded, json!("*"), Some(Exclude::Path("*".into())));
        check(&Excluded, json!({"route": "ops"}), Some(Exclude::Route("ops".into())));
        for wrong in [
            json!("health"),
            json!("/a?b"),
            json!("/a//b"),
            json!("/{a"),
            json!("/{*a}/b"),
            json!({"route": ""}),
            json!({"route": 1}),
            json!({"path": "/a"}),
            json!({"route": "a", "path": "/a"}),
            json!(7),
        ] {
            check(&Excluded, wrong, None);
        }
    }

    #[test]
    fn headers_are_read_in_lower_case_with_their_values() {
        let want = [("x-a", "*"), ("x-b", "")].map(|(name, value)| (name.into(), value.into()));
        check(&HeaderValues, json!({"X-A": "*", "x-b": ""}), Some(want.into()));
        for wrong in [
            json!([]),
            json!({"a b": "*"}),
            json!({"x": 1}),
            json!({"Reprise-Key": "*"}),
            json!({":path": "*"}),
        ] {
            check(&HeaderValues, wrong, None);
        }
    }

    #[test]
    fn a_media_range_is_one_type_or_a_family() {
        check(&MediaRange, json!("Application/JSON"), Some("application/json".into()));
        check(
            &MediaRange,
            json!("application/vnd.a+json"),
            Some("application/vnd.a+json".into()),
        );
        check(&MediaRange, json!("text/*"), Some("text/*".into()));
        for wrong in [
            json!("*/*"),
            json!("json"),
            json!("text/"),
            json!("text/html; charset=utf-8"),
            json!(1),
        ] {
            check(&MediaRange, wrong, None);
        }
    }

    #[test]
    fn a_sample_goes_by_one_thing() {
        check(&SampledBy, json!("principal"), Some(SampleBy::Principal));
        check(&SampledBy, json!("path"), Some(SampleBy::Path));
        check(
            &SampledBy,
            json!({"header": "X-S"}),
            Some(SampleBy::Header("x-s".into())),
        );
        check(
            &SampledBy,
            json!({"cookie": "Sid"}),
            Some(SampleBy::Cookie("Sid".into())),
        );
        for wrong in [
            json!("session"),
            json!({"cookie": "a=b"}),
            json!({"cookie": ""}),
            json!({"header": "reprise-x"}),
            json!({"header": "a", "cookie": "b"}),
            json!(null),
        ] {
            check(&SampledBy, wrong, None);
        }
    }
}
