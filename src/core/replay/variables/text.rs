//! Words in texts, and texts in URLs.

use super::names::noun;
use super::{Context, Variables};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// What stands between values in a text.
const BETWEEN: [char; 13] = [' ', '\t', '\r', '\n', ',', ';', '"', '\'', '<', '>', '=', '&', '?'];
const fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-') || !char.is_ascii()
}

/// Replaces `from` wherever it stands as a word of its own; none if it does not.
pub(super) fn replace_word(text: &str, from: &str, to: &str) -> Option<String> {
    let mut out = String::new();
    let mut at = 0;
    let (first, last) = (from.chars().next()?, from.chars().next_back()?);
    for (start, _) in text.match_indices(from) {
        let end = start.saturating_add(from.len());
        let before = text.get(..start).and_then(|text| text.chars().next_back());
        let after = text.get(end..).and_then(|text| text.chars().next());
        let is_apart = |inner, outer: Option<char>| !(is_word(inner) && outer.is_some_and(is_word));
        if is_apart(first, before) && is_apart(last, after) {
            out.push_str(text.get(at..start)?);
            out.push_str(to);
            at = end;
        }
    }
    out.push_str(text.get(at..)?);
    (at > 0).then_some(out)
}

/// Replaces the parts of a text that are values of their own: what stands between spaces, commas, quotes and signs of
/// equality, and words; none if nothing is known.
pub(super) fn replace_parts(text: &str, variables: &Variables, context: &Context) -> Option<String> {
    let mut out = String::new();
    let mut is_new = false;
    for piece in text.split_inclusive(BETWEEN) {
        let bare = piece.trim_end_matches(BETWEEN);
        let now = variables
            .value(
                bare,
                &Context {
                    nouns: Vec::new(),
                    ..*context
                },
            )
            .map(String::from);
        let now = now.or_else(|| replace_words(bare, variables, context));
        is_new |= now.is_some();
        out.push_str(now.as_deref().unwrap_or(bare));
        out.push_str(piece.strip_prefix(bare).unwrap_or_default());
    }
    is_new.then_some(out)
}

fn replace_words(text: &str, variables: &Variables, context: &Context) -> Option<String> {
    let mut out = String::new();
    let mut is_new = false;
    // The word before a slash tells of what the word after it is the id.
    let (mut before, mut between) = ("", "");
    let mut rest = text;
    while !rest.is_empty() {
        let word_len = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_len);
        let gap_len = after.find(is_word).unwrap_or(after.len());
        let (gap, after) = after.split_at(gap_len);
        let nouns = if between == "/" {
            [noun(before)].into()
        } else {
            Vec::new()
        };
        let now = variables.value(word, &Context { nouns, ..*context });
        is_new |= now.is_some();
        out.push_str(now.unwrap_or(word));
        out.push_str(gap);
        (before, between, rest) = (word, gap, after);
    }
    is_new.then_some(out)
}

/// Gives the path of a URL or of a reference without host.
pub(super) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| {
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
    });
    rest.split(['?', '#']).next().unwrap_or_default()
}

/// Undoes percent-encoding; none if it is broken, or not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
    }
    let mut pieces = text.split('%');
    let mut bytes = Vec::from(pieces.next()?);
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes what may not stand in a segment of a path or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b',' | b'!' | b'*')
        {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    out
}
