//! JSON as it stands, read strictly: blanks, strings, numbers, literals, and the steps of pointers into it.
//!
//! What RFC 8259 does not allow is not JSON, so that no reader finds more in it than this one does.

use alloc::borrow::Cow;
use alloc::string::String;

/// Deepest nesting that is read.
pub(crate) const DEPTH_MAX: u32 = 128;

/// What was read is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotJson;

/// One step into a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// Into the field of this name, as it reads.
    Field(&'a str),
    /// Into the item of this number.
    Item(usize),
}

/// Goes a step along a pointer, if it leads there: gives what is left of it. Source: RFC 6901 §4; `*` is every step.
pub(crate) fn go<'a>(pointer: &'a str, step: Step<'_>) -> Option<&'a str> {
    let rest = pointer.strip_prefix('/')?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (segment, rest) = rest.split_at_checked(at)?;
    is_met(segment, step).then_some(rest)
}

fn is_met(segment: &str, step: Step<'_>) -> bool {
    match step {
        _ if segment == "*" => true,
        Step::Field(name) if segment.contains('~') => segment.replace("~1", "/").replace("~0", "~") == name,
        Step::Field(name) => segment == name,
        Step::Item(at) => {
            let is_number = segment == "0" || segment.starts_with(|first: char| matches!(first, '1'..='9'));
            is_number && segment.parse() == Ok(at)
        }
    }
}

/// A text that is read from the front.
#[derive(Debug, Clone)]
pub(crate) struct Text<'a> {
    all: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    pub(crate) const fn new(all: &'a str) -> Self {
        Self { all, at: 0 }
    }

    /// Tells how many bytes were read.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Shows the bytes between two places; nothing if they are none.
    pub(crate) fn slice(&self, begins: usize, ends: usize) -> &'a str {
        self.all.get(begins..ends).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.all.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Passes the blanks that JSON knows.
    pub(crate) fn skip_blanks(&mut self) {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.skip(self.rest().iter().take_while(is_blank).count());
    }

    /// Takes `wanted` after blanks, if it is there.
    pub(crate) fn takes(&mut self, wanted: u8) -> bool {
        self.skip_blanks();
        let is_there = self.peek() == Some(wanted);
        self.skip(is_there.into());
        is_there
    }

    /// Takes `wanted` after blanks.
    pub(crate) fn take(&mut self, wanted: u8) -> Result<(), NotJson> {
        if self.takes(wanted) { Ok(()) } else { Err(NotJson) }
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), NotJson> {
        if self.rest().is_empty() { Ok(()) } else { Err(NotJson) }
    }

    /// Takes a string, and gives what stands between its quotes.
    pub(crate) fn string(&mut self) -> Result<&'a str, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        self.skip(1);
        let begins = self.at;
        loop {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let at = self.rest().iter().position(special).ok_or(NotJson)?;
            self.skip(at);
            match self.peek() {
                Some(b'"') => {
                    let inside = self.slice(begins, self.at);
                    self.skip(1);
                    return Ok(inside);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(NotJson),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        let len = match self.rest() {
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'\\', b'u', digits @ ..] if four_hex(digits).is_some() => 6,
            _ => return Err(NotJson),
        };
        self.skip(len);
        Ok(())
    }

    /// Takes a string, a number or a literal.
    pub(crate) fn scalar(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'"') {
            return self.string().map(|_inside| ());
        }
        let word = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
        let len = word.count();
        let word = self.rest().get(..len).unwrap_or_default();
        if !matches!(word, b"true" | b"false" | b"null") && !is_number(word) {
            return Err(NotJson);
        }
        self.skip(len);
        Ok(())
    }
}

/// Tells whether `word` is a number. Source: RFC 8259 §6.
fn is_number(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let (whole, rest) = digits(word);
    let (fraction, rest) = rest.strip_prefix(b".").map_or((None, rest), |rest| {
        let (digits, rest) = digits(rest);
        (Some(digits), rest)
    });
    let power = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E"));
    let (power, rest) = power.map_or((None, rest), |rest| {
        let signed = rest.strip_prefix(b"+").or_else(|| rest.strip_prefix(b"-"));
        let (digits, rest) = digits(signed.unwrap_or(rest));
        (Some(digits), rest)
    });
    let is_whole = whole == b"0" || whole.first().is_some_and(|first| *first != b'0');
    let has_digits = |part: Option<&[u8]>| part.is_none_or(|digits| !digits.is_empty());
    is_whole && has_digits(fraction) && has_digits(power) && rest.is_empty()
}

fn digits(word: &[u8]) -> (&[u8], &[u8]) {
    let len = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    word.split_at_checked(len).unwrap_or((word, &[]))
}

fn four_hex(digits: &[u8]) -> Option<u16> {
    let four = digits.first_chunk::<4>()?;
    let text = core::str::from_utf8(four).ok().filter(|text| !text.starts_with('+'))?;
    u16::from_str_radix(text, 16).ok()
}

/// Reads what stands between a string's quotes; half of a surrogate pair is read as U+FFFD.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut plain = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        rest = unescape_one(escape, &mut plain);
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Appends what the escape at the front of `escape` stands for, and gives what follows it.
fn unescape_one<'a>(escape: &'a str, plain: &mut String) -> &'a str {
    let mut chars = escape.chars();
    let char = match chars.next() {
        Some('u') => return unescape_unit(chars.as_str(), plain),
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some(other) => other,
        None => '\\',
    };
    plain.push(char);
    chars.as_str()
}

fn unescape_unit<'a>(digits: &'a str, plain: &mut String) -> &'a str {
    let unit = |text: &str| four_hex(text.as_bytes());
    let after = |text: &'a str| text.get(4..).unwrap_or_default();
    let Some(first) = unit(digits) else {
        return digits;
    };
    let rest = after(digits);
    let second = rest
        .strip_prefix("\\u")
        .and_then(|rest| Some((unit(rest)?, after(rest))));
    let alone = char::decode_utf16([first]).next().and_then(Result::ok);
    let pair = second.and_then(|(second, rest)| Some((char::decode_utf16([first, second]).next()?.ok()?, rest)));
    let (char, rest) = match (alone, pair) {
        (Some(alone), _) => (alone, rest),
        (None, Some(pair)) => pair,
        (None, None) => (char::REPLACEMENT_CHARACTER, rest),
    };
    plain.push(char);
    rest
}
