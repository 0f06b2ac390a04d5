//! Headers whose values never show, and URLs in the others.

use super::fields;
use super::hider::{Fields, Hider};
use crate::http::{Pairs, write_pairs};
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// Redacts a header map, writing it anew only if something in it is hidden.
pub(super) fn redact(map: &mut Vec<u8>, hider: &mut Hider<'_>) {
    let has_query = hider.has_fields(Fields::Query);
    let is_touched = |(name, value): (&[u8], &[u8])| hider.header(name).is_some() || (has_query && has_url(value));
    if !Pairs::new(map).any(is_touched) {
        return;
    }
    let pairs = Pairs::new(map).map(|(name, value)| (name, shown(name, value, hider)));
    let pairs: Vec<(&[u8], Cow<'_, [u8]>)> = pairs.collect();
    if pairs.iter().all(|(_, value)| matches!(value, Cow::Borrowed(_))) {
        return;
    }
    let mut written = Vec::with_capacity(map.len());
    write_pairs(pairs.iter().map(|(name, value)| (*name, value.as_ref())), &mut written);
    *map = written;
}

/// Gives a header's value as it may be seen.
fn shown<'a>(name: &[u8], value: &'a [u8], hider: &mut Hider<'_>) -> Cow<'a, [u8]> {
    if let Some(kept) = hider.header(name) {
        return Cow::Owned(hider.hide(value, value, kept).bytes().to_vec());
    }
    if !hider.has_fields(Fields::Query) {
        return Cow::Borrowed(value);
    }
    url(value, hider, name == b":path").map_or(Cow::Borrowed(value), Cow::Owned)
}

/// Tells whether something may be hidden in `value` as in a URL.
fn has_url(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'?' | b'#' | b'%'))
}

/// Redacts path, query and fragment of a URL, wherever it stands in `value`; none if nothing is hidden.
fn url(value: &[u8], hider: &mut Hider<'_>, is_target: bool) -> Option<Vec<u8>> {
    let at = value.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let (front, rest) = value.split_at_checked(at.unwrap_or(value.len()))?;
    let mut out = Vec::with_capacity(value.len());
    let mut found = fields::redact_path(front, hider, &mut out);
    let Some((mark, rest)) = rest.split_first() else {
        return found.then_some(out);
    };
    out.push(*mark);
    // A target has no fragment: whoever reads one there may take it for a part of the last value.
    for (at, part) in rest.split(|byte| *byte == b'#' && !is_target).enumerate() {
        if at > 0 {
            out.push(b'#');
        }
        found |= fields::redact(part, Fields::Query, hider, &mut out);
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::redact::token;
    use crate::config::Redact;
    use alloc::format;
    use alloc::string::{String, ToString};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];

    fn shown(rules: &Redact, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let (mut map, mut sealed) = (Vec::new(), Vec::new());
        write_pairs(
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        redact(&mut map, &mut Hider::new(rules, &KEY, &mut sealed));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Pairs::new(&map)
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    fn query() -> Redact {
        Redact {
            query: ["pin".into()].into(),
            ..Redact::default()
        }
    }

    #[track_caller]
    fn check(name: &str, value: &str, want: &str, secret: &str) {
        let token = format!("{:?}", token(secret.as_bytes(), &KEY));
        let shown = shown(&query(), &[(name, value)]);
        assert_eq!(shown, [(name.to_string(), want.replace('_', &token))], "{value}");
    }

    #[test]
    fn secrets_are_hidden_line_by_line_and_order_stays() {
        let pairs = [
            (":path", "/"),
            ("cookie", "a=1"),
            ("x", ""),
            ("cookie", "b=2"),
            ("X-Api-Key", ""),
            ("x", "y"),
        ];
        let shown = shown(&Redact::default(), &pairs);
        let hidden = |secret: &str| format!("{:?}", token(secret.as_bytes(), &KEY));
        let want = [
            "/".into(),
            hidden("a=1"),
            "".into(),
            hidden("b=2"),
            hidden(""),
            "y".into(),
        ];
        assert_eq!(shown.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>(), want);
        assert!(shown.iter().zip(pairs).all(|((name, _), (wanted, _))| name == wanted));
    }

    #[test]
    fn a_target_has_no_secret_in_its_query() {
        check(":path", "/a?x=1&pin=7", "/a?x=1&pin=_", "7");
        check(":path", "/a?pin=7#8", "/a?pin=_", "7#8");
        check(":path", "/pin=7", "/pin=7", "");
        check(":path", "/a?x=1#pin=7", "/a?x=_", "1#pin=7");
    }

    #[test]
    fn a_url_in_a_header_has_no_secret_in_query_and_fragment() {
        for name in ["location", "referer", "x-original-url", "content-location"] {
            check(name, "https://a/cb?pin=7&b=1#top", "https://a/cb?pin=_&b=1#top", "7");
            check(name, "https://a/cb#pin=7&b=1", "https://a/cb#pin=_&b=1", "7");
            check(name, "/cb#/in?pin=7", "/cb#/in?pin=_", "7");
            check(name, "/cb?a=1#b", "/cb?a=1#b", "");
        }
        check("refresh", "5; url=/cb?pin=7", "5; url=/cb?pin=_", "7");
    }

    #[test]
    fn a_url_in_a_path_has_no_secret_in_its_query() {
        let secret = "https://a/cb?x=1&pin=7";
        check(
            ":path",
            "/go/https%3A%2F%2Fa%2Fcb%3Fx%3D1%26pin%3D7/on",
            "/go/_/on",
            secret,
        );
        check(":path", "/go/a%20b%3Fx%3D1?y=2", "/go/a%20b%3Fx%3D1?y=2", "");
    }

    #[test]
    fn a_name_of_a_form_is_hidden_in_urls_too() {
        let rules = Redact {
            form: ["pin".into()].into(),
            seal: ["form:card".into()].into(),
            ..Redact::default()
        };
        let hidden = format!("{:?}", token(b"7", &KEY));
        for name in [":path", "referer", "location"] {
            let told = shown(&rules, &[(name, "/login?pin=7&a=1&card=8")]);
            let front = format!("/login?pin={hidden}&a=1&card=rdt_");
            assert!(told[0].1.starts_with(&front), "{}", told[0].1);
        }
    }

    #[test]
    fn a_map_without_secrets_keeps_its_bytes() {
        // More than the pairs: what is not walked stays too.
        let (mut map, mut sealed) = (Vec::new(), Vec::new());
        write_pairs([(&b":path"[..], &b"/a?x=1"[..])].into_iter(), &mut map);
        map.extend_from_slice(b"rest");
        let before = map.clone();
        redact(&mut map, &mut Hider::new(&query(), &KEY, &mut sealed));
        assert_eq!(map, before);
    }
}
