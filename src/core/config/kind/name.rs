//! Names of HTTP: headers, methods, and the headers that say who a caller is.

use super::{Kind, read_items};
use crate::config::error::{Place, Problems};
use crate::config::{Methods, PrincipalSource};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;

/// Headers that mean something else already.
const TAKEN: [&str; 9] = [
    "host",
    "authorization",
    "cookie",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
];
/// Methods that change nothing: a key on them is always ignored.
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
/// What headers begin with that are ours.
const OURS: &str = "reprise-";
const NEVER_SEEN: &str = "is never seen: clients' headers that begin with reprise- are removed";
/// Longest name of a header or method.
const NAME_BYTES_MAX: usize = 64;
/// Most sources of a principal.
const SOURCES_MAX: usize = 8;

fn is_token(text: &str) -> bool {
    let legal = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(legal)
}

/// Reads the name of a header in lower case; the form that WSGI gives it (`HTTP_X_KEY`) is the same name.
fn header(text: &str) -> String {
    let wsgi = text.strip_prefix("HTTP_").filter(|rest| !rest.contains('-'));
    wsgi.map_or_else(|| text.to_owned(), |rest| rest.replace('_', "-"))
        .to_ascii_lowercase()
}

fn header_problem(name: &str) -> Option<&'static str> {
    if !is_token(name) {
        return Some("is not the name of a header of 1 to 64 characters");
    }
    if TAKEN.contains(&name) {
        return Some("has a meaning of its own and cannot be used here");
    }
    name.starts_with(OURS).then_some(NEVER_SEEN)
}

fn read_header(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
    let Some(name) = value.as_str().map(header) else {
        problems.refuse(place, value, format_args!("is not the name of a header"));
        return None;
    };
    if let Some(problem) = header_problem(&name) {
        problems.refuse(place, value, format_args!("{problem}"));
        return None;
    }
    Some(name)
}

/// Takes the name of any header, in lower case.
pub(super) fn to_any_header(text: &str) -> Option<String> {
    Some(header(text)).filter(|name| is_token(name))
}

/// Reads the name of any header.
pub(super) fn read_any_header(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
    let found = value.as_str().and_then(to_any_header);
    if found.is_none() {
        problems.refuse(
            place,
            value,
            format_args!("is not the name of a header of 1 to {NAME_BYTES_MAX} characters"),
        );
    }
    found
}

/// Reads the name of a header that requests can have when they are looked at.
pub(super) fn read_seen_header(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
    let found = read_any_header(value, place, problems)?;
    if found.starts_with(OURS) {
        problems.refuse(place, value, format_args!("{NEVER_SEEN}"));
        return None;
    }
    Some(found)
}

/// The name of the header that carries the key.
pub(in crate::config) struct HeaderName;

impl Kind for HeaderName {
    type Out = String;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
        read_header(value, place, problems)
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

/// A list of methods.
pub(in crate::config) struct MethodNames;

fn read_method(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
    let upper = |method: &&str| is_token(method) && !method.chars().any(|char| char.is_ascii_lowercase());
    let found = value.as_str().filter(upper);
    if found.is_none() {
        problems.refuse(place, value, format_args!("is not a method in upper case"));
    }
    found.map(ToOwned::to_owned)
}

impl Kind for MethodNames {
    type Out = Vec<String>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Vec<String>> {
        let found = read_items(value, place, problems, read_method)?;
        if found.is_empty() {
            problems.add(place, format_args!("is an empty list"));
            return None;
        }
        // Sorted, so that the same methods in another order are the same. Lists are short, and a sort is 4 KB of code.
        let mut sorted: Vec<String> = Vec::new();
        for method in found {
            if let Err(at) = sorted.binary_search(&method) {
                sorted.insert(at, method);
            }
        }
        Some(sorted)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[^a-z ]{1,64}$"}})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Vec<String>) -> Option<Value> {
        Some(serde_json::json!(out))
    }
}

/// The methods that a key protects: `unsafe`, or a list without safe ones.
pub(in crate::config) struct ProtectedMethods;

impl Kind for ProtectedMethods {
    type Out = Methods;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Methods> {
        if value.as_str() == Some("unsafe") {
            return Some(Methods::Unsafe);
        }
        if !value.is_array() {
            problems.refuse(
                place,
                value,
                format_args!("is neither \"unsafe\" nor a list of methods"),
            );
            return None;
        }
        let found = MethodNames.read(value, place, problems)?;
        let wrong: Vec<&str> = SAFE
            .into_iter()
            .filter(|safe| found.iter().any(|method| method == safe))
            .collect();
        for safe in &wrong {
            problems.add(
                place,
                format_args!("{safe} is safe to repeat: a key on it is always ignored, so it cannot be protected"),
            );
        }
        wrong.is_empty().then_some(Methods::Listed(found))
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let safe = serde_json::json!({"not": {"contains": {"enum": SAFE}}});
        serde_json::json!({"anyOf": [{"const": "unsafe"}, {"allOf": [MethodNames.schema(), safe]}]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Methods) -> Option<Value> {
        Some(match out {
            Methods::Unsafe => "unsafe".into(),
            Methods::Listed(methods) => serde_json::json!(methods),
        })
    }
}

/// Where a caller's identity is read from, the first that is present.
pub(in crate::config) struct PrincipalSources;

fn read_source(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<PrincipalSource> {
    let object = value.as_object().filter(|object| object.len() == 1);
    let field = object.and_then(|object| object.iter().next());
    match (value.as_str(), field.map(|(name, value)| (name.as_str(), value))) {
        (Some("authorization"), _) => Some(PrincipalSource::Authorization),
        (_, Some(("header", name))) => read_header(name, &place.field("header"), problems).map(PrincipalSource::Header),
        (_, Some(("cookie", name))) => read_cookie(name, &place.field("cookie"), problems).map(PrincipalSource::Cookie),
        (Some("jwt"), _) => Some(PrincipalSource::Jwt),
        (Some("mtls"), _) => Some(PrincipalSource::Mtls),
        _ => {
            problems.refuse(place, value, format_args!("is not known; allowed: {ALLOWED_SOURCES}"));
            None
        }
    }
}

/// Reads the name of a cookie: case counts.
fn read_cookie(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<String> {
    let found = value.as_str().filter(|name| is_token(name));
    if found.is_none() {
        problems.refuse(
            place,
            value,
            format_args!("is not the name of a cookie of 1 to {NAME_BYTES_MAX} characters"),
        );
    }
    found.map(ToOwned::to_owned)
}

const ALLOWED_SOURCES: &str =
    "\"authorization\", \"jwt\", \"mtls\", {\"header\": \"x-user\"}, {\"cookie\": \"session\"}";

impl Kind for PrincipalSources {
    type Out = Vec<PrincipalSource>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out> {
        let found = read_items(value, place, problems, read_source)?;
        if !(1..=SOURCES_MAX).contains(&found.len()) {
            let len = found.len();
            problems.add(
                place,
                format_args!("{len} sources are given; 1 to {SOURCES_MAX} are allowed"),
            );
            return None;
        }
        Some(found)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let header = serde_json::json!({"type": "object", "additionalProperties": false, "required": ["header"],
            "properties": {"header": HeaderName.schema()}});
        let cookie = serde_json::json!({"type": "object", "additionalProperties": false, "required": ["cookie"],
            "properties": {"cookie": HeaderName.schema()}});
        let items = serde_json::json!({"anyOf": [{"enum": ["authorization", "jwt", "mtls"]}, header, cookie]});
        serde_json::json!({"type": "array", "minItems": 1, "maxItems": SOURCES_MAX, "items": items})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value> {
        let write = |source: &PrincipalSource| match source {
            PrincipalSource::Authorization => Value::from("authorization"),
            PrincipalSource::Jwt => Value::from("jwt"),
            PrincipalSource::Mtls => Value::from("mtls"),
            PrincipalSource::Header(name) => serde_json::json!({"header": name}),
            PrincipalSource::Cookie(name) => serde_json::json!({"cookie": name}),
        };
        Some(out.iter().map(write).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;
    use core::fmt::Debug;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check<K: Kind<Out: Debug + PartialEq>>(kind: &K, value: Value, want: Result<K::Out, &str>) {
        let mut problems = Problems::default();
        let read = kind.read(&value, &Place::Root.field("here"), &mut problems);
        let got = problems
            .or(read)
            .map(Option::unwrap)
            .map_err(|errors| errors.to_string());
        assert_eq!(got, want.map_err(ToOwned::to_owned));
    }

    #[test]
    fn a_header_is_read_in_lower_case() {
        check(&HeaderName, json!("X-My-Key"), Ok("x-my-key".into()));
    }

    #[test]
    fn a_header_in_wsgi_form_is_the_same_header() {
        let want = "x-custom-idempotency-header".into();
        check(&HeaderName, json!("HTTP_X_CUSTOM_IDEMPOTENCY_HEADER"), Ok(want));
    }

    #[test]
    fn a_header_with_another_meaning_is_refused() {
        let want = "here: \"Cookie\" has a meaning of its own and cannot be used here";
        check(&HeaderName, json!("Cookie"), Err(want));
        let want = "here: \"a b\" is not the name of a header of 1 to 64 characters";
        check(&HeaderName, json!("a b"), Err(want));
        let want = "here: \"Reprise-Key\" is never seen: clients' headers that begin with reprise- are removed";
        check(&HeaderName, json!("Reprise-Key"), Err(want));
    }

    #[test]
    fn methods_are_a_set() {
        let want = Methods::Listed(vec!["PATCH".into(), "POST".into()]);
        check(&ProtectedMethods, json!(["POST", "PATCH", "POST"]), Ok(want));
        check(&ProtectedMethods, json!("unsafe"), Ok(Methods::Unsafe));
    }

    #[test]
    fn a_safe_method_cannot_be_protected() {
        let want = "here: GET is safe to repeat: a key on it is always ignored, so it cannot be protected";
        check(&ProtectedMethods, json!(["POST", "GET"]), Err(want));
    }

    #[test]
    fn methods_in_lower_case_are_refused() {
        check(
            &ProtectedMethods,
            json!(["post"]),
            Err("here[0]: \"post\" is not a method in upper case"),
        );
        check(
            &ProtectedMethods,
            json!("all"),
            Err("here: \"all\" is neither \"unsafe\" nor a list of methods"),
        );
        check(&MethodNames, json!([]), Err("here: is an empty list"));
    }

    #[test]
    fn sources_are_read_in_order() {
        let want = vec![
            PrincipalSource::Header("x-user".into()),
            PrincipalSource::Authorization,
            PrincipalSource::Jwt,
            PrincipalSource::Mtls,
            PrincipalSource::Cookie("SID".into()),
        ];
        let sources = json!([{"header": "X-User"}, "authorization", "jwt", "mtls", {"cookie": "SID"}]);
        check(&PrincipalSources, sources, Ok(want));
    }

    #[test]
    fn other_sources_are_refused() {
        for source in [json!("JWT"), json!({"header": "x-user", "cookie": "sid"}), json!(1)] {
            let problem = format!("here[0]: {source} is not known; allowed: {ALLOWED_SOURCES}");
            check(&PrincipalSources, json!([source]), Err(problem.as_str()));
        }
        let problem = "here[0].cookie: \"a b\" is not the name of a cookie of 1 to 64 characters";
        check(&PrincipalSources, json!([{"cookie": "a b"}]), Err(problem));
    }

    #[test]
    fn no_source_at_all_is_refused() {
        check(
            &PrincipalSources,
            json!([]),
            Err("here: 0 sources are given; 1 to 8 are allowed"),
        );
    }
}
