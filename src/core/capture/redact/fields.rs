//! Fields as queries and forms write them: `a=1&b=2`.

use super::hider::{Fields, Hider, Kept, decode};
use alloc::vec::Vec;

/// How often a value is decoded when it is searched for a query in it.
const NESTED_MAX: u32 = 3;

/// Appends `text` to `out` with tokens in the place of hidden values; tells whether there were any.
///
/// Fields begin after `&` and, as some readers have it, after `;`. A hidden value goes on to the next `&` in any case. A
/// value that holds a hidden field itself, as a URL in a query does, is hidden as a whole.
pub(super) fn redact(text: &[u8], fields: Fields, hider: &mut Hider<'_>, out: &mut Vec<u8>) -> bool {
    let mut found = false;
    for (at, part) in text.split(|byte| *byte == b'&').enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        match hidden(part, fields, hider) {
            Some((open, secret, kept)) => {
                found = true;
                out.extend_from_slice(open);
                out.extend_from_slice(hider.hide(&decode(secret), secret, kept).bytes());
            }
            None => out.extend_from_slice(part),
        }
    }
    found
}

/// Writes the path of a URL to `out`, with tokens in the place of segments that hold a hidden field, as a URL in a path
/// does; tells whether there were any.
pub(super) fn redact_path(path: &[u8], hider: &mut Hider<'_>, out: &mut Vec<u8>) -> bool {
    let mut found = false;
    for (at, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if at > 0 {
            out.push(b'/');
        }
        let meaning = decode(segment);
        let is_encoded = segment.contains(&b'%');
        match is_encoded
            .then(|| mentions(&meaning, Fields::Query, hider, NESTED_MAX))
            .flatten()
        {
            Some(kept) => {
                found = true;
                out.extend_from_slice(hider.hide(&meaning, segment, kept).bytes());
            }
            None => out.extend_from_slice(segment),
        }
    }
    found
}

/// Splits what stands between two `&` where its secret begins, if it has one.
fn hidden<'a>(part: &'a [u8], fields: Fields, hider: &Hider<'_>) -> Option<(&'a [u8], &'a [u8], Kept)> {
    let mut begins = 0_usize;
    for field in part.split(|byte| *byte == b';') {
        let (name, value) = split_field(field);
        let value_begins = begins.saturating_add(name.map_or(0, |name| name.len().saturating_add(1)));
        let found = name.and_then(|name| named(name, fields, hider));
        if let Some(found) = found.or_else(|| mentions(value, fields, hider, NESTED_MAX)) {
            let (open, secret) = part.split_at_checked(value_begins)?;
            // A secret that nobody may see again is not kept with one that is sealed.
            let kept = least(Some(found), mentions(secret, fields, hider, NESTED_MAX));
            return Some((open, secret, kept.unwrap_or(found)));
        }
        begins = begins.saturating_add(field.len()).saturating_add(1);
    }
    None
}

/// Splits a field into its name and its value; without a `=` it is all value.
fn split_field(field: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let at = field.iter().position(|byte| *byte == b'=');
    let parts = at.and_then(|at| field.split_at_checked(at));
    parts.map_or((None, field), |(name, value)| {
        (Some(name), value.get(1..).unwrap_or_default())
    })
}

/// Tells whether a field of this name is hidden; in a URL's fragment a path and a `?` may stand before it.
fn named(name: &[u8], fields: Fields, hider: &Hider<'_>) -> Option<Kept> {
    let last = name.rsplit(|byte| *byte == b'?').next().unwrap_or_default();
    hider
        .field(fields, &decode(name))
        .or_else(|| hider.field(fields, &decode(last)))
}

/// Tells whether hidden fields stand in `text`, encoded up to `depth` times, and whether all of them are sealed.
pub(super) fn mentions(text: &[u8], fields: Fields, hider: &Hider<'_>, depth: u32) -> Option<Kept> {
    let ends = |byte: &u8| matches!(byte, b'?' | b'&' | b'#' | b';' | b'\r' | b'\n');
    let names = text.split(ends).filter_map(|field| split_field(field).0);
    let found = names.fold(None, |found, name| least(found, named(name, fields, hider)));
    let deeper = depth.checked_sub(1).filter(|_| text.contains(&b'%'));
    least(
        found,
        deeper.and_then(|depth| mentions(&decode(text), fields, hider, depth)),
    )
}

/// Of two finds, gives what may be kept of both together.
const fn least(one: Option<Kept>, other: Option<Kept>) -> Option<Kept> {
    match (one, other) {
        (Some(Kept::No), _) | (_, Some(Kept::No)) => Some(Kept::No),
        (Some(Kept::Sealed), _) | (_, Some(Kept::Sealed)) => Some(Kept::Sealed),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::redact::token;
    use crate::config::Redact;
    use alloc::format;
    use alloc::string::String;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];

    /// Redacts `pin` and `card no`, writing `<secret>` for a token.
    fn shown(text: &str) -> String {
        let (rules, mut sealed, mut out) = (rules(), Vec::new(), Vec::new());
        let found = redact(
            text.as_bytes(),
            Fields::Query,
            &mut Hider::new(&rules, &KEY, &mut sealed),
            &mut out,
        );
        let out = String::from_utf8(out).unwrap();
        assert_eq!(found, out != text);
        out
    }

    fn rules() -> Redact {
        Redact {
            query: ["pin".into(), "card no".into()].into(),
            ..Redact::default()
        }
    }

    #[track_caller]
    fn check(text: &str, want: &str, secret: &str) {
        let token = format!("{:?}", token(secret.as_bytes(), &KEY));
        assert_eq!(shown(text), want.replace('_', &token), "{text}");
    }

    #[test]
    fn hidden_values_are_tokens_and_all_else_stays() {
        check("a=1&pin=7&b=%20&&c", "a=1&pin=_&b=%20&&c", "7");
        check("pin=7", "pin=_", "7");
        check("a=pin&pin", "a=pin&pin", "");
        check("pin=", "pin=_", "");
        check("", "", "");
    }

    #[test]
    fn a_name_is_known_in_every_spelling() {
        for name in [
            "pin",
            "PIN",
            "%70in",
            "p%49n",
            "%70%69%6e",
            "pin[]",
            "pin%5B0%5D",
            "+pin",
        ] {
            check(&format!("{name}=7&a=1"), &format!("{name}=_&a=1"), "7");
        }
        for name in ["card+no", "card%20no", "CARD%20NO"] {
            check(&format!("{name}=7"), &format!("{name}=_"), "7");
        }
    }

    #[test]
    fn equal_secrets_have_equal_tokens_however_they_are_encoded() {
        for value in ["a b", "a+b", "a%20b", "%61%20%62"] {
            check(&format!("pin={value}"), "pin=_", "a b");
        }
    }

    #[test]
    fn a_semicolon_ends_a_field_but_never_a_secret() {
        check("a=1;pin=7;8&b=2", "a=1;pin=_&b=2", "7;8");
        check("a=1;b=2&c=3", "a=1;b=2&c=3", "");
    }

    #[test]
    fn a_value_that_holds_a_hidden_field_is_hidden_as_a_whole() {
        check("next=/cb?pin=7&a=1", "next=_&a=1", "/cb?pin=7");
        check("next=%2Fcb%3Fx%3D1%26pin%3D7", "next=_", "/cb?x=1&pin=7");
        check("next=%252Fcb%253Fpin%253D7", "next=_", "%2Fcb%3Fpin%3D7");
        check("pin%3D7&a=1", "_&a=1", "pin=7");
        check("next=%2Fcb%3Fspin%3D7", "next=%2Fcb%3Fspin%3D7", "");
    }

    #[test]
    fn sealed_values_are_kept_as_they_stand() {
        let rules = Redact {
            seal: ["query:pin".into()].into(),
            ..Redact::default()
        };
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        let mut hider = Hider::new(&rules, &KEY, &mut sealed);
        assert!(redact(
            b"pin=a%20b&PIN=a%20b&Pin=c",
            Fields::Query,
            &mut hider,
            &mut out
        ));
        let values: Vec<&[u8]> = sealed.iter().map(|each| each.value.as_slice()).collect();
        assert_eq!(values, [&b"a%20b"[..], b"c"]);
        assert!(out.starts_with(&[b"pin=", &sealed[0].token[..], b"&PIN=", &sealed[0].token[..]].concat()));
    }

    #[test]
    fn only_a_value_without_other_secrets_is_sealed() {
        let rules = Redact {
            query: ["card".into()].into(),
            seal: ["query:pin".into(), "query:next".into()].into(),
            ..Redact::default()
        };
        for (text, want) in [
            ("a=/x?pin=7", Some("/x?pin=7")),
            ("next=%2Fx%3Fpin%3D7", Some("%2Fx%3Fpin%3D7")),
            ("next=%2Fx%3Fcard%3D7", None),
            ("pin=7;card=8", None),
            ("a=/x?pin=7#card=8", None),
        ] {
            let (mut sealed, mut out) = (Vec::new(), Vec::new());
            let mut hider = Hider::new(&rules, &KEY, &mut sealed);
            assert!(redact(text.as_bytes(), Fields::Query, &mut hider, &mut out));
            let values: Vec<&[u8]> = sealed.iter().map(|each| each.value.as_slice()).collect();
            assert_eq!(values.first().copied(), want.map(str::as_bytes), "{text}");
        }
    }
}
