//! What mode `per_key` keeps in order: the requests of one resource, one session, or one value of the client's.

use super::Pointer;
use super::json::{Node, Value, parse};
use crate::http::{Pairs, len_u32};
use crate::wire::Half;
use alloc::string::{String, ToString};

/// What tells one row of requests from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerKey {
    /// The path, without the query.
    Path,
    /// The caller: the principal, else `authorization`, else `cookie`.
    Session,
    /// A header's values. Lower case.
    Header(String),
    /// A value in the JSON body: the first that the pointer stands for.
    Json(Pointer),
}

/// A captured request, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `:path`, with the query.
    pub target: &'a [u8],
    /// The caller; empty if none is named.
    pub principal: &'a str,
    /// The request itself, where it is needed.
    pub request: Option<&'a Half>,
}

impl PerKey {
    /// Reads `path`, `session`, `header:NAME` or `json:POINTER`; none if it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "path" => Some(Self::Path),
            None if text == "session" => Some(Self::Session),
            Some(("header", name)) if !name.is_empty() => Some(Self::Header(name.to_ascii_lowercase())),
            Some(("json", pointer)) => Pointer::parse(pointer).map(Self::Json),
            _ => None,
        }
    }

    /// Tells whether the whole request has to be looked at.
    #[must_use]
    pub const fn needs_request(&self) -> bool {
        !matches!(self, Self::Path)
    }

    /// Finds the row of a request. Requests that do not have the value stand in one row.
    #[must_use]
    pub fn row(&self, asked: &Asked<'_>) -> u64 {
        let pairs = Pairs::new(asked.request.map_or(&[], |request| &request.pairs));
        match self {
            Self::Path => hash(asked.target.split(|byte| *byte == b'?').take(1)),
            Self::Session if !asked.principal.is_empty() => hash([asked.principal.as_bytes()].into_iter()),
            Self::Session => match row_of(pairs, b"authorization") {
                0 => row_of(pairs, b"cookie"),
                row => row,
            },
            Self::Header(name) => row_of(pairs, name.as_bytes()),
            Self::Json(pointer) => {
                let body = asked.request.map_or(&[][..], |request| &request.body);
                let value = parse(body).and_then(|node| find(&node, pointer.segments()));
                hash(value.iter().map(String::as_bytes))
            }
        }
    }
}

fn row_of(pairs: Pairs<'_>, name: &[u8]) -> u64 {
    let values = pairs.filter(|(each, _)| each.eq_ignore_ascii_case(name));
    hash(values.map(|(_, value)| value))
}

/// Nothing is 0.
fn hash<'a>(values: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return 0;
    }
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&len_u32(value.len()).to_le_bytes()).update(value);
    }
    let first = hasher.finalize().as_bytes().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

fn find(node: &Node<'_>, path: &[String]) -> Option<String> {
    let Some((segment, rest)) = path.split_first() else {
        return scalar(node);
    };
    match &node.value {
        Value::Object(members) => {
            let mut fitting = members.iter().filter(|(name, _)| segment == "*" || name == segment);
            fitting.find_map(|(_, member)| find(member, rest))
        }
        Value::Array(items) if segment == "*" => items.iter().find_map(|item| find(item, rest)),
        Value::Array(items) => find(items.get(segment.parse::<usize>().ok()?)?, rest),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
    }
}

fn scalar(node: &Node<'_>) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.to_string()),
        Value::Number(number) => Some((*number).into()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn half(pairs: &[(&str, &str)], body: &str) -> Half {
        let mut bytes = vec![];
        let raw = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(raw, &mut bytes);
        Half {
            pairs: bytes,
            body: body.into(),
            ..Half::default()
        }
    }

    #[track_caller]
    fn check(per_key: &str, one: &Half, other: &Half, is_same: bool) {
        let per_key = PerKey::parse(per_key).unwrap();
        let row = |half: &Half| {
            let target = Pairs::new(&half.pairs).first(b":path").unwrap_or_default();
            let request = per_key.needs_request().then_some(half);
            per_key.row(&Asked {
                target,
                principal: "",
                request,
            })
        };
        assert_eq!(row(one) == row(other), is_same, "{per_key:?}");
    }

    #[test]
    fn a_resource_is_a_path_whatever_its_query() {
        let at = |target| half(&[(":path", target)], "");
        check("path", &at("/a/1?x"), &at("/a/1"), true);
        check("path", &at("/a/1"), &at("/a/2"), false);
    }

    #[test]
    fn a_session_is_told_by_credentials() {
        let by = |name, value| half(&[(name, value), ("x", value)], "");
        check("session", &by("authorization", "a"), &by("authorization", "b"), false);
        check("session", &by("cookie", "a"), &by("cookie", "a"), true);
        check("session", &by("cookie", "a"), &by("cookie", "b"), false);
        let both = half(&[("cookie", "a"), ("authorization", "t")], "");
        check("session", &both, &half(&[("authorization", "t")], ""), true);
        check("session", &by("x-b", "a"), &by("x-b", "b"), true);
        let named = |principal| {
            let request = Some(&both);
            PerKey::Session.row(&Asked {
                principal,
                request,
                ..Asked::default()
            })
        };
        assert!(named("jwt:a") != named("jwt:b") && named("jwt:a") != named(""));
    }

    #[test]
    fn headers_and_json_values_make_rows() {
        let by = |value| half(&[("x-user", value)], "");
        check("header:X-User", &by("a"), &by("b"), false);
        check("header:x-team", &by("a"), &by("b"), true);
        let json = |body| half(&[], body);
        check("json:/a/0", &json(r#"{"a":[1,2]}"#), &json(r#"{"a":["1"]}"#), true);
        check(
            "json:/a/*/id",
            &json(r#"{"a":[{"id":1}]}"#),
            &json(r#"{"a":[{"id":2}]}"#),
            false,
        );
        check("json:/a", &json(r#"{"b":1}"#), &json("no json"), true);
    }

    #[test]
    fn what_is_no_rule_is_none() {
        for text in ["", "paths", "header:", "header", "json:a", "cookie:a"] {
            assert_eq!(PerKey::parse(text), None, "{text}");
        }
    }
}
