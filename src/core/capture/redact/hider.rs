//! Which names are hidden, and what is put in the place of their values.

use super::token::{Token, sealed_token, token};
use crate::config::{REDACTED_HEADERS, Redact};
use crate::wire::Sealed;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// Tells whether the values of a header never show.
#[must_use]
pub fn hides(rules: &Redact, header: &[u8]) -> bool {
    let is = |name: &str| header.eq_ignore_ascii_case(name.as_bytes());
    REDACTED_HEADERS.into_iter().any(is)
        || rules.headers.iter().any(|name| is(name))
        || sealed(rules, "header:").any(is)
}

/// Lists the names of one kind that are kept for replays.
fn sealed<'a>(rules: &'a Redact, kind: &'static str) -> impl Iterator<Item = &'a str> {
    rules.seal.iter().filter_map(move |each| each.strip_prefix(kind))
}

/// Whether a hidden value is kept for replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nobody ever sees it again.
    No,
    /// It is in [`crate::wire::Capture::sealed`].
    Sealed,
}

impl From<bool> for Kept {
    fn from(sealed: bool) -> Self {
        if sealed { Self::Sealed } else { Self::No }
    }
}

/// Where fields stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// In a query, where those of a form may stand as well.
    Query,
    /// In a form.
    Form,
}

/// Hides values, and keeps those that are sealed.
#[derive(Debug)]
pub(super) struct Hider<'a> {
    rules: &'a Redact,
    pub(super) key: &'a [u8; 32],
    sealed: &'a mut Vec<Sealed>,
}

impl<'a> Hider<'a> {
    pub(super) const fn new(rules: &'a Redact, key: &'a [u8; 32], sealed: &'a mut Vec<Sealed>) -> Self {
        Self { rules, key, sealed }
    }

    /// Tells whether a header is hidden.
    pub(super) fn header(&self, name: &[u8]) -> Option<Kept> {
        let is = |each: &str| name.eq_ignore_ascii_case(each.as_bytes());
        hides(self.rules, name).then(|| sealed(self.rules, "header:").any(is).into())
    }

    /// Tells whether a field is hidden; `name` as it reads without its encoding.
    pub(super) fn field(&self, fields: Fields, name: &[u8]) -> Option<Kept> {
        let is = |each: &str| is_field(name, each.as_bytes());
        let found = |(listed, kind): (&[String], _)| {
            let kept = sealed(self.rules, kind).any(is);
            (kept || listed.iter().any(|each| is(each))).then(|| kept.into())
        };
        self.listed(fields).find_map(found)
    }

    /// Tells whether any field is hidden.
    pub(super) fn has_fields(&self, fields: Fields) -> bool {
        let has = |(listed, kind): (&[String], _)| !listed.is_empty() || sealed(self.rules, kind).next().is_some();
        self.listed(fields).any(has)
    }

    /// Lists the names that count, and the kind of those that are sealed.
    fn listed(&self, fields: Fields) -> impl Iterator<Item = (&'a [String], &'static str)> + use<'a> {
        let query = (self.rules.query.as_slice(), "query:");
        let query = (fields == Fields::Query).then_some(query);
        query.into_iter().chain([(self.rules.form.as_slice(), "form:")])
    }

    /// Lists the pointers to what is hidden in JSON.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (&'a str, Kept)> + use<'a> {
        let listed = self.rules.json.iter().map(|each| (each.as_str(), Kept::No));
        listed.chain(sealed(self.rules, "json:").map(|each| (each, Kept::Sealed)))
    }

    /// Makes what stands in the place of a value: `raw` as it stands there, `meaning` as it reads.
    pub(super) fn hide(&mut self, meaning: &[u8], raw: &[u8], kept: Kept) -> Token {
        match kept {
            Kept::No => token(meaning, self.key),
            Kept::Sealed => self.seal(raw),
        }
    }

    /// Counts what is sealed.
    pub(super) const fn sealed_count(&self) -> usize {
        self.sealed.len()
    }

    /// Forgets what was sealed after the first `count`: it stood in a body that is left out.
    pub(super) fn forget_after(&mut self, count: usize) {
        self.sealed.truncate(count);
    }

    /// Keeps `raw` for replays.
    fn seal(&mut self, raw: &[u8]) -> Token {
        let token = sealed_token(raw, self.key);
        if !self.sealed.iter().any(|each| each.token == token.bytes()) {
            self.sealed.push(Sealed {
                token: token.bytes().to_vec(),
                value: raw.to_vec(),
            });
        }
        token
    }
}

/// Tells whether a field is `wanted`: in any case, with blanks around it, or as a list (`pin[]`, `pin[0]`).
fn is_field(name: &[u8], wanted: &[u8]) -> bool {
    let name = name.trim_ascii();
    let front = name.split_at_checked(wanted.len());
    front.is_some_and(|(front, rest)| front.eq_ignore_ascii_case(wanted) && (rest.is_empty() || rest.starts_with(b"[")))
}

/// Undoes percent-encoding, and `+` for a blank; what is no encoding stays.
pub(super) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => ((high << 4) | low, after),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            _ => (*first, after),
        };
        plain.push(byte);
        rest = after;
    }
    Cow::Owned(plain)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_field_is_met_in_any_case_and_as_a_list() {
        for name in ["pin", "PIN", " pin ", "pin[]", "pin[0]", "Pin[a][b]"] {
            assert!(is_field(name.as_bytes(), b"pin"), "{name}");
        }
        for name in ["pi", "pins", "xpin", "user[pin]", ""] {
            assert!(!is_field(name.as_bytes(), b"pin"), "{name}");
        }
    }

    #[test]
    fn what_is_no_encoding_stays() {
        for (text, want) in [
            ("%70in", "pin"),
            ("a+b%20c", "a b c"),
            ("%2", "%2"),
            ("%", "%"),
            ("%zz%70", "%zzp"),
            ("%%70", "%p"),
            ("%+1", "% 1"),
        ] {
            assert_eq!(decode(text.as_bytes()), want.as_bytes(), "{text}");
        }
    }

    #[test]
    fn default_headers_and_those_of_the_rules_are_hidden_in_any_case() {
        let rules = Redact {
            headers: ["x-pin".into()].into(),
            seal: ["header:x-seal".into()].into(),
            ..Redact::default()
        };
        for name in [
            "Authorization",
            "cookie",
            "set-cookie",
            "proxy-authorization",
            "X-API-Key",
            "X-PIN",
            "x-seal",
        ] {
            assert!(hides(&rules, name.as_bytes()), "{name}");
        }
        for name in ["x-pins", "content-type", ":path", ""] {
            assert!(!hides(&rules, name.as_bytes()), "{name}");
        }
    }
}
