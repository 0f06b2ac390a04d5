//! JSON as it was written: what each value says, and where it stands.
//!
//! Numbers stay text, so that none is rounded; duplicate keys stay, so that nothing is lost.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 128;

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node<'a> {
    /// Its bytes in the document, a string's quotes included.
    pub(super) span: Range<usize>,
    /// What it says.
    pub(super) value: Value<'a>,
}

/// What a value says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string, without quotes and escapes.
    Text(Cow<'a, str>),
    /// Items in order.
    Array(Vec<Node<'a>>),
    /// Members in order, duplicates included.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Reads a whole document; none if it is not JSON, or nested too deep.
pub(super) fn parse(bytes: &[u8]) -> Option<Node<'_>> {
    let text = core::str::from_utf8(bytes).ok()?;
    let mut reader = Reader { text, at: 0 };
    let node = reader.node(DEPTH_MAX)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(node)
}

/// Writes a string with quotes and escapes.
pub(super) fn quote(text: &str, out: &mut String) {
    use core::fmt::Write as _;
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a String cannot fail.
            control if control < ' ' => drop(write!(out, "\\u{:04x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

/// Tells whether two numbers are the same, however they are written: `1`, `1.0` and `10e-1`.
pub(super) fn is_same_number(one: &str, other: &str) -> bool {
    one == other || decimal(one).is_some_and(|number| Some(number) == decimal(other))
}

/// Tells whether `text` is a JSON number.
pub(super) fn is_number(text: &str) -> bool {
    let mut reader = Reader { text, at: 0 };
    reader.number().is_some() && reader.at == text.len()
}

/// Whether it is negative, its digits without zeros at either end, and the power of ten of the last of them.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let is_negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = whole.trim_start_matches('-').chars().chain(fraction.chars()).collect();
    let digits = all.trim_end_matches('0');
    let zeros = i64::try_from(all.len().saturating_sub(digits.len())).ok()?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some((false, String::new(), 0));
    }
    let exponent: i64 = exponent.parse().ok()?;
    let power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(zeros)?;
    Some((is_negative, digits.into(), power))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// Takes `word` if it is next.
    fn take(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word).then(|| self.step(word.len()))
    }

    /// Takes bytes while `is_part` says so; tells how many.
    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> usize {
        let count = self.rest().bytes().take_while(|byte| is_part(*byte)).count();
        self.step(count);
        count
    }

    fn skip_space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn node(&mut self, depth: usize) -> Option<Node<'a>> {
        let depth = depth.checked_sub(1)?;
        self.skip_space();
        let start = self.at;
        let value = match self.peek()? {
            b'n' => self.take("null").map(|()| Value::Null)?,
            b't' => self.take("true").map(|()| Value::Bool(true))?,
            b'f' => self.take("false").map(|()| Value::Bool(false))?,
            b'"' => Value::Text(self.string()?),
            b'[' => Value::Array(self.array(depth)?),
            b'{' => Value::Object(self.object(depth)?),
            _ => Value::Number(self.number()?),
        };
        Some(Node {
            span: start..self.at,
            value,
        })
    }

    fn array(&mut self, depth: usize) -> Option<Vec<Node<'a>>> {
        let mut items = Vec::new();
        self.list("[", "]", |reader| {
            items.push(reader.node(depth)?);
            Some(())
        })?;
        Some(items)
    }

    fn object(&mut self, depth: usize) -> Option<Vec<(Cow<'a, str>, Node<'a>)>> {
        let mut members = Vec::new();
        self.list("{", "}", |reader| {
            let name = reader.string()?;
            reader.skip_space();
            reader.take(":")?;
            members.push((name, reader.node(depth)?));
            Some(())
        })?;
        Some(members)
    }

    fn list(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        self.skip_space();
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            self.skip_space();
            item(self)?;
            self.skip_space();
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        let _minus = self.take("-");
        if self.take("0").is_none() && self.digits() == 0 {
            return None;
        }
        if self.take(".").is_some() && self.digits() == 0 {
            return None;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _sign = self.take("+").or_else(|| self.take("-"));
            if self.digits() == 0 {
                return None;
            }
        }
        self.text.get(start..self.at)
    }

    fn digits(&mut self) -> usize {
        self.take_while(|byte| byte.is_ascii_digit())
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take("\"")?;
        let start = self.at;
        self.take_while(|byte| byte != b'"' && byte != b'\\' && byte >= b' ');
        let plain = self.text.get(start..self.at)?;
        if self.take("\"").is_some() {
            return Some(Cow::Borrowed(plain));
        }
        let mut text = String::from(plain);
        while self.take("\"").is_none() {
            if self.take("\\").is_some() {
                text.push(self.escaped()?);
            } else {
                let char = self.rest().chars().next().filter(|char| *char >= ' ')?;
                self.step(char.len_utf8());
                text.push(char);
            }
        }
        Some(Cow::Owned(text))
    }

    fn escaped(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.step(1);
        Some(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.utf16()?,
            _ => return None,
        })
    }

    /// Reads four hex digits, and four more if they begin a pair; half a pair is the replacement character.
    fn utf16(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Some(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        let second = self.take("\\u").and_then(|()| self.unit());
        let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        if pair.is_none() {
            self.at = before;
        }
        Some(pair.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.rest().get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.step(4);
        is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check_text(written: &str, want: Option<&str>) {
        let node = parse(written.as_bytes());
        let want = want.map(|text| Value::Text(text.into()));
        assert_eq!(node.map(|node| node.value), want);
    }

    #[test]
    fn strings_are_read_without_their_escapes() {
        check_text(r#" "a" "#, Some("a"));
        check_text(r#""\"\\\/\b\f\n\r\tA""#, Some("\"\\/\u{8}\u{c}\n\r\tA"));
        check_text(r#""é😀""#, Some("é😀"));
        check_text(r#""x\ud83dy""#, Some("x\u{fffd}y"));
        check_text(r#""\ud83d\u0041""#, Some("\u{fffd}A"));
        check_text(r#""\udc00""#, Some("\u{fffd}"));
        for broken in [
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\n\"",
            "\"\\",
            "\"a\" b",
            "'a'",
        ] {
            check_text(broken, None);
        }
    }

    #[test]
    fn values_stand_where_they_were_written() {
        let text = br#" { "a" : [ 1.50 , "x" ] , "a" : null } "#;
        let node = parse(text).unwrap();
        let Value::Object(members) = &node.value else { panic!() };
        assert_eq!((members.len(), &members[1].1.value), (2, &Value::Null));
        let Value::Array(items) = &members[0].1.value else {
            panic!()
        };
        let raw: Vec<_> = items.iter().map(|item| &text[item.span.clone()]).collect();
        assert_eq!(raw, [&b"1.50"[..], b"\"x\""]);
        assert_eq!(items[0].value, Value::Number("1.50"));
    }

    #[test]
    fn what_is_not_json_is_none() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "1e",
            ".5",
            "+1",
            "nul",
            "[1 2]",
            "1 2",
            "\u{feff}1",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\"\xff\""), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_some());
        assert!(parse(nested(DEPTH_MAX + 1).as_bytes()).is_none());
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_none());
    }

    #[test]
    fn numbers_are_the_same_by_value() {
        for (one, other) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.5", "5E-1"),
            ("-0", "0"),
            ("0", "0e99"),
            ("-1.20", "-12e-1"),
            ("1e+2", "100.00"),
        ] {
            assert!(
                is_same_number(one, other) && is_same_number(other, one),
                "{one} {other}"
            );
        }
        for (one, other) in [
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.01"),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("1e99999999999999999999", "1e99999999999999999998"),
        ] {
            assert!(!is_same_number(one, other), "{one} {other}");
        }
        assert!(is_number("-1.5e3") && !is_number("1x") && !is_number(""));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, text in "[\\[\\]{}\",:\\\\u0-9a-f.eE+ -]{0,40}") {
            let _node = (parse(&bytes), parse(text.as_bytes()));
        }

        #[test]
        fn what_is_quoted_reads_back(text in ".{0,20}", control in "[\\x00-\\x1f\"\\\\]{0,5}") {
            let text = [text, control].concat();
            let mut quoted = String::new();
            quote(&text, &mut quoted);
            assert_eq!(parse(quoted.as_bytes()).unwrap().value, Value::Text(Cow::Borrowed(&text)));
        }

        #[test]
        fn what_another_reader_takes_is_taken_and_the_other_way_round(text in "[\\[\\]{}\",:\\\\nu0-9.e+ -]{0,12}") {
            let other: Result<serde_json::Value, _> = serde_json::from_str(&text);
            // The other one refuses half pairs and numbers beyond f64.
            if other.is_ok() || !text.contains(['e', '\\']) {
                assert_eq!(parse(text.as_bytes()).is_some(), other.is_ok());
            }
        }
    }
}
