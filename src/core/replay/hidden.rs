//! Which redacted value of a request is not known, and where it stands.

use super::Pointer;
use super::json::{Node, Value, parse};
use super::request::Outgoing;
use crate::capture::redact::has_token;
use crate::wire::Sealed;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Why a request would go out with a token in the place of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    /// All of it is sealed, and what is sealed may not go there.
    Sealed,
    /// Nothing is sealed for the value at this place; none if the place has no name.
    Lost(Option<String>),
}

/// Tells why a request would go out with tokens in target or body; none if it would not. What is sealed is known where
/// `is_trusted`.
#[must_use]
pub fn hidden(out: &Outgoing, sealed: &[Sealed], is_trusted: bool) -> Option<Hidden> {
    let mut known = out.clone();
    known.finish(&[]);
    if known.tokens == 0 {
        return None;
    }
    // Any value would do; this one reads in every place.
    let blank = |each: &Sealed| Sealed {
        token: each.token.clone(),
        value: b"0".to_vec(),
    };
    let blanks: Vec<_> = sealed.iter().map(blank).collect();
    known.finish(&blanks);
    match known.tokens {
        0 if is_trusted => None,
        0 => Some(Hidden::Sealed),
        _ => Some(Hidden::Lost(place(&known))),
    }
}

/// Names the place of the first token: `query:NAME`, `json:/POINTER` or `form:NAME`.
fn place(out: &Outgoing) -> Option<String> {
    let query = out.target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
    if let Some(name) = field(query) {
        return Some(format!("query:{name}"));
    }
    if has_token(&out.target) {
        return None;
    }
    if let Some(root) = parse(&out.body) {
        let mut path = Vec::new();
        return in_json(&root, &mut path).then(|| format!("json:{}", Pointer::new(path)));
    }
    let is_form = out
        .header(b"content-type")
        .is_some_and(|media| media.starts_with(b"application/x-www-form-urlencoded"));
    let name = field(&out.body).filter(|_| is_form)?;
    Some(format!("form:{name}"))
}

/// Finds the name of the first field that has a token for its value.
fn field(pairs: &[u8]) -> Option<String> {
    pairs.split(|byte| *byte == b'&').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        has_token(value).then(|| String::from_utf8_lossy(name).into_owned())
    })
}

/// Leaves in `path` where the first token stands; tells whether there is one.
fn in_json(node: &Node<'_>, path: &mut Vec<String>) -> bool {
    let mut inside = |name: String, node: &Node<'_>| {
        path.push(name);
        let is_there = in_json(node, path);
        if !is_there {
            path.pop();
        }
        is_there
    };
    match &node.value {
        Value::Text(text) => has_token(text.as_bytes()),
        Value::Array(items) => items.iter().enumerate().any(|(at, item)| inside(at.to_string(), item)),
        Value::Object(members) => members.iter().any(|(name, member)| inside(name.to_string(), member)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::request::Header;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";
    const OTHER: &str = "rdt_bbcdefghijklmnopqrstuvwx27";

    fn out(target: &str, media: &str, body: &str) -> Outgoing {
        let text = |text: &str| text.replace("TOKEN", TOKEN).replace("OTHER", OTHER).into_bytes();
        Outgoing {
            target: text(target),
            body: text(body),
            headers: vec![Header {
                name: b"content-type".to_vec(),
                value: media.as_bytes().to_vec(),
            }],
            ..Outgoing::default()
        }
    }

    #[track_caller]
    fn lost(target: &str, media: &str, body: &str, want: Option<&str>) {
        let want = Hidden::Lost(want.map(Into::into));
        assert_eq!(hidden(&out(target, media, body), &[], true), Some(want));
    }

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_value_that_is_not_known_is_named_by_its_place() {
        lost("/a?x=1&pin=TOKEN", JSON, "{}", Some("query:pin"));
        lost(
            "/a",
            JSON,
            r#"{"a": 1, "b/c": [2, {"password": "TOKEN"}]}"#,
            Some("json:/b~1c/1/password"),
        );
        lost("/a", FORM, "a=1&pin=TOKEN", Some("form:pin"));
        lost("/TOKEN", JSON, "{}", None);
        lost("/a", "text/plain", "pin=TOKEN", None);
    }

    #[test]
    fn what_is_sealed_is_known_only_where_it_may_go() {
        let sealed = [Sealed {
            token: TOKEN.into(),
            value: b"cipher \"".to_vec(),
        }];
        let one = out("/a", JSON, r#"{"a": "TOKEN"}"#);
        assert_eq!(hidden(&one, &sealed, true), None);
        assert_eq!(hidden(&one, &sealed, false), Some(Hidden::Sealed));
        let two = out("/a", JSON, r#"{"a": "TOKEN", "b": "OTHER"}"#);
        for is_trusted in [true, false] {
            let want = Hidden::Lost(Some("json:/b".into()));
            assert_eq!(hidden(&two, &sealed, is_trusted), Some(want));
        }
        assert_eq!(hidden(&out("/a", JSON, "{}"), &[], false), None);
    }
}
