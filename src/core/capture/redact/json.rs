//! Places in JSON: one pass over the bytes, which keeps every byte that is not hidden.

use super::body::{Shown, Unreadable};
use super::hider::{Hider, Kept};
use crate::json::{DEPTH_MAX, NotJson, Step, Text, go, unescape};
use alloc::vec::Vec;

/// Tells whether `body` begins like an object or a list.
pub(super) fn begins(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start()
        .first()
        .is_some_and(|byte| matches!(byte, b'{' | b'['))
}

/// Tells whether anything could be found in `body` by a pointer, however it is read.
pub(super) fn may_hold(body: &[u8], hider: &Hider<'_>) -> bool {
    body.iter().any(|byte| matches!(byte, b'{' | b'[')) || hider.pointers().any(|(pointer, _)| pointer.is_empty())
}

/// Puts a JSON string with a token in the place of every value that is hidden.
///
/// # Errors
/// [`Unreadable`] if `body` is not JSON.
pub(super) fn redact(body: &[u8], hider: &mut Hider<'_>) -> Shown {
    let body_text = core::str::from_utf8(body).map_err(|_| Unreadable)?;
    let ways: Vec<Way<'_>> = hider.pointers().map(|(rest, kept)| Way { rest, kept }).collect();
    let mut scan = Scan {
        text: Text::new(body_text),
        hider,
        out: Vec::new(),
        copied: 0,
    };
    scan.value(&ways, DEPTH_MAX)?;
    scan.text.skip_blanks();
    scan.text.end()?;
    if scan.copied == 0 {
        return Ok(None);
    }
    scan.copy_to(body.len());
    Ok(Some(scan.out))
}

/// What is left of a pointer on the way to the value that it points at.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    rest: &'a str,
    kept: Kept,
}

impl Way<'_> {
    /// Goes a step, if the pointer does.
    fn go(&self, step: Step<'_>) -> Option<Self> {
        let rest = go(self.rest, step)?;
        Some(Self { rest, kept: self.kept })
    }
}

/// Walks a text, copying what is not hidden.
struct Scan<'a, 'h, 'r> {
    text: Text<'a>,
    hider: &'h mut Hider<'r>,
    out: Vec<u8>,
    /// Up to where the text stands in `out`; 0 = nothing was hidden yet.
    copied: usize,
}

impl<'a> Scan<'a, '_, '_> {
    /// Reads a value; `ways` lead into it or end at it.
    fn value(&mut self, ways: &[Way<'_>], depth: u32) -> Result<(), NotJson> {
        self.text.skip_blanks();
        let begins = self.text.at();
        let mut ends = ways.iter().filter(|way| way.rest.is_empty()).peekable();
        if ends.peek().is_none() {
            return self.shape(ways, depth);
        }
        // A secret that nobody may see again is not kept with a value around it that is sealed.
        let has_other = || ways.iter().any(|way| !way.rest.is_empty() && way.kept == Kept::No);
        let kept = (ends.any(|way| way.kept == Kept::Sealed) && !has_other()).into();
        self.shape(&[], depth)?;
        self.hide(begins, kept);
        Ok(())
    }

    fn shape(&mut self, ways: &[Way<'_>], depth: u32) -> Result<(), NotJson> {
        let deeper = depth.checked_sub(1).ok_or(NotJson);
        match self.text.peek() {
            Some(b'{') => self.object(ways, deeper?),
            Some(b'[') => self.list(ways, deeper?),
            _ => self.text.scalar(),
        }
    }

    fn object(&mut self, ways: &[Way<'_>], depth: u32) -> Result<(), NotJson> {
        self.text.take(b'{')?;
        if self.text.takes(b'}') {
            return Ok(());
        }
        loop {
            self.text.skip_blanks();
            let name = self.text.string()?;
            self.text.take(b':')?;
            if ways.is_empty() {
                self.value(&[], depth)?;
            } else {
                let name = unescape(name);
                let met: Vec<Way<'_>> = ways.iter().filter_map(|way| way.go(Step::Field(&name))).collect();
                self.value(&met, depth)?;
            }
            if !self.text.takes(b',') {
                return self.text.take(b'}');
            }
        }
    }

    fn list(&mut self, ways: &[Way<'_>], depth: u32) -> Result<(), NotJson> {
        self.text.take(b'[')?;
        if self.text.takes(b']') {
            return Ok(());
        }
        let mut item = 0_usize;
        loop {
            let met: Vec<Way<'_>> = ways.iter().filter_map(|way| way.go(Step::Item(item))).collect();
            self.value(&met, depth)?;
            item = item.saturating_add(1);
            if !self.text.takes(b',') {
                return self.text.take(b']');
            }
        }
    }

    /// Hides the value that begins at `begins` and ends here.
    fn hide(&mut self, begins: usize, kept: Kept) {
        let raw = self.text.slice(begins, self.text.at());
        let inside = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let token = match inside {
            Some(inside) => self.hider.hide(unescape(inside).as_bytes(), raw.as_bytes(), kept),
            None => self.hider.hide(raw.as_bytes(), raw.as_bytes(), kept),
        };
        self.copy_to(begins);
        self.out.push(b'"');
        self.out.extend_from_slice(token.bytes());
        self.out.push(b'"');
        self.copied = self.text.at();
    }

    /// Copies what stands between what was copied last and `end`.
    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.text.slice(self.copied, end).as_bytes());
        self.copied = end;
    }
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

    fn shown(pointers: &[&str], text: &str) -> Result<Option<String>, Unreadable> {
        let rules = Redact {
            json: pointers.iter().map(ToString::to_string).collect(),
            ..Redact::default()
        };
        let mut sealed = Vec::new();
        let shown = redact(text.as_bytes(), &mut Hider::new(&rules, &KEY, &mut sealed))?;
        Ok(shown.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    /// In `want`, `<x>` stands for the token of `x`.
    #[track_caller]
    fn check(pointers: &[&str], text: &str, want: &str) {
        let mut whole = String::new();
        for (at, part) in want.split(['<', '>']).enumerate() {
            if at % 2 == 0 {
                whole.push_str(part);
            } else {
                whole.push_str(&format!("{:?}", token(part.as_bytes(), &KEY)));
            }
        }
        let shown = shown(pointers, text).map(|shown| shown.unwrap_or_else(|| text.into()));
        assert_eq!(shown, Ok(whole), "{pointers:?} {text}");
    }

    #[test]
    fn hidden_values_are_tokens_and_every_other_byte_stays() {
        let text = " {\t\"b\" : 1.0,\"pin\":\"7\" , \"b\": [ ] ,\r\n\"a\":{\"pin\":1e5}}\n";
        check(
            &["/pin"],
            text,
            " {\t\"b\" : 1.0,\"pin\":\"<7>\" , \"b\": [ ] ,\r\n\"a\":{\"pin\":1e5}}\n",
        );
        check(
            &["/a/pin"],
            text,
            " {\t\"b\" : 1.0,\"pin\":\"7\" , \"b\": [ ] ,\r\n\"a\":{\"pin\":\"<1e5>\"}}\n",
        );
        assert_eq!(shown(&["/c", "/pin/x", "/b/0"], text), Ok(None));
    }

    #[test]
    fn every_duplicate_of_a_key_is_hidden() {
        check(
            &["/pin"],
            r#"{"pin":1,"x":2,"pin":3}"#,
            r#"{"pin":"<1>","x":2,"pin":"<3>"}"#,
        );
    }

    #[test]
    fn a_key_is_known_in_every_spelling() {
        for key in [r"pin", r"\u0070in", r"p\u0069\u006e", r"\u0070\u0069\u006E"] {
            check(
                &["/pin"],
                &format!(r#"{{"{key}":7}}"#),
                &format!(r#"{{"{key}":"<7>"}}"#),
            );
        }
        check(
            &["/😀/é"],
            r#"{"\ud83d\uDE00":{"\u00e9":7}}"#,
            r#"{"\ud83d\uDE00":{"\u00e9":"<7>"}}"#,
        );
        check(&["/a~1b/~0"], r#"{"a\/b":{"~":7}}"#, r#"{"a\/b":{"~":"<7>"}}"#);
        check(&["/~01"], r#"{"~1":7,"/":8}"#, r#"{"~1":"<7>","/":8}"#);
        check(&["/"], r#"{"":7}"#, r#"{"":"<7>"}"#);
    }

    #[test]
    fn a_pointer_ends_at_any_kind_of_value() {
        for (value, secret) in [
            ("null", "null"),
            ("true", "true"),
            ("-0.5E+1", "-0.5E+1"),
            (r#""a\u0062\n""#, "ab\n"),
        ] {
            check(
                &["/a"],
                &format!(r#"{{"a": {value} }}"#),
                &format!(r#"{{"a": "<{secret}>" }}"#),
            );
        }
        check(
            &["/a"],
            r#"{"a":[1, {"b":2}],"c":3}"#,
            r#"{"a":"<[1, {"b":2}]>","c":3}"#,
        );
        check(&["/a", "/a/1/b"], r#"{"a":[1, {"b":2}]}"#, r#"{"a":"<[1, {"b":2}]>"}"#);
        check(&[""], " 7 ", " \"<7>\" ");
    }

    #[test]
    fn a_star_is_every_item_and_every_field() {
        check(
            &["/a/*/pin"],
            r#"{"a":[{"pin":1},{"pin":2,"x":3},4]}"#,
            r#"{"a":[{"pin":"<1>"},{"pin":"<2>","x":3},4]}"#,
        );
        check(
            &["/*/pin"],
            r#"{"a":{"pin":1},"b":{"pin":2}}"#,
            r#"{"a":{"pin":"<1>"},"b":{"pin":"<2>"}}"#,
        );
        check(&["/*"], "[1,[2]]", "[\"<1>\",\"<[2]>\"]");
    }

    #[test]
    fn items_are_counted_from_zero() {
        check(&["/1"], "[1,2,3]", "[1,\"<2>\",3]");
        for pointer in ["/3", "/01", "/+1", "/-", "/1/0", "/"] {
            assert_eq!(shown(&[pointer], "[1,2,3]"), Ok(None), "{pointer}");
        }
        check(&["/1"], r#"{"1":7}"#, r#"{"1":"<7>"}"#);
    }

    #[test]
    fn what_is_not_strictly_json_is_not_read() {
        for text in [
            "",
            " ",
            "{",
            "{}}",
            "{} {}",
            "{\"pin\":7",
            "{\"pin\":7,}",
            "[1,]",
            "[,1]",
            "{pin:7}",
            "{'pin':7}",
            "[1 2]",
            "{\"a\" 1}",
            "// c\n{}",
            "\u{feff}{}",
            "NaN",
            "tru",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "0x1",
            "\"a",
            "\"\t\"",
            r#""\x41""#,
            r#""\u00g0""#,
            r#""\u+041""#,
            "1\u{0}",
            "\u{a0}1",
            "{\"a\":1}\u{0}",
        ] {
            assert_eq!(shown(&["/pin"], text), Err(Unreadable), "{text:?}");
        }
        let mut sealed = Vec::new();
        let rules = Redact {
            json: ["/pin".into()].into(),
            ..Redact::default()
        };
        assert_eq!(
            redact(b"\"\xff\"", &mut Hider::new(&rules, &KEY, &mut sealed)),
            Err(Unreadable)
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(shown(&["/pin"], &nested(128)), Ok(None));
        assert_eq!(shown(&["/pin"], &nested(129)), Err(Unreadable));
        assert_eq!(shown(&["/pin"], &nested(100_000)), Err(Unreadable));
    }

    #[test]
    fn sealed_values_are_kept_as_json() {
        let rules = Redact {
            seal: ["json:/pin".into()].into(),
            json: ["/pin".into(), "/b".into()].into(),
            ..Redact::default()
        };
        let mut sealed = Vec::new();
        let shown = redact(
            br#"{"pin":"a\u0062","pin":12,"b":12}"#,
            &mut Hider::new(&rules, &KEY, &mut sealed),
        );
        let values: Vec<&[u8]> = sealed.iter().map(|each| each.value.as_slice()).collect();
        assert_eq!(values, [&br#""a\u0062""#[..], b"12"]);
        let text = |at: usize| String::from_utf8(sealed[at].token.clone()).unwrap();
        let want = format!(
            r#"{{"pin":"{}","pin":"{}","b":"{:?}"}}"#,
            text(0),
            text(1),
            token(b"12", &KEY)
        );
        assert_eq!(shown, Ok(Some(want.into_bytes())));
    }

    #[test]
    fn a_value_that_holds_another_secret_is_not_sealed() {
        let rules = Redact {
            seal: ["json:/a".into()].into(),
            json: ["/a/pin".into()].into(),
            ..Redact::default()
        };
        let mut sealed = Vec::new();
        let shown = redact(br#"{"a":{"pin":7}}"#, &mut Hider::new(&rules, &KEY, &mut sealed));
        assert!(shown.is_ok_and(|shown| shown.is_some()) && sealed.is_empty());
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;
        use serde_json::Value;

        fn json() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                "[a-c\"\\\\é😀\n]{0,4}".prop_map(Value::from)
            ];
            leaf.prop_recursive(4, 32, 4, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                    prop::collection::btree_map("[ab~/é*0-1]{0,2}", inner, 0..4)
                        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
                ]
            })
        }

        proptest! {
            #[test]
            fn what_a_pointer_finds_is_a_token_and_all_else_stays(
                value in json(), pointer in "(/([ab01é]|~0|~1){0,2}){0,3}", pretty: bool,
            ) {
                let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
                let shown = shown(&[&pointer], &text.unwrap()).unwrap();
                let mut want = value;
                let place = want.pointer_mut(&pointer);
                prop_assert_eq!(place.is_some(), shown.is_some());
                if let (Some(place), Some(shown)) = (place, shown) {
                    let raw = place.as_str().map_or_else(String::new, String::from);
                    let is_text = place.is_string();
                    let read: Value = serde_json::from_str(&shown).unwrap();
                    let token_there = read.pointer(&pointer).and_then(Value::as_str).unwrap().to_string();
                    let wanted = format!("{:?}", token(raw.as_bytes(), &KEY));
                    prop_assert!(!is_text || token_there == wanted);
                    *place = token_there.into();
                    prop_assert_eq!(read, want);
                }
            }

            #[test]
            fn it_is_json_here_where_it_is_json_elsewhere(text in r#"[\[\]{}",:\\u0-1+\-. tfna]{0,12}"#) {
                let elsewhere = serde_json::from_str::<Value>(&text).is_ok();
                prop_assert_eq!(shown(&["/a"], &text).is_ok(), elsewhere, "{}", text);
            }

            #[test]
            fn words_are_json_here_where_they_are_json_elsewhere(
                words in prop::collection::vec(prop::sample::select(&[
                    "{", "}", "[", "]", ",", ":", "\"a\"", "\"\"", "1", "-0.1e9", "true", "null", " ", "\"\\u0041\"",
                ][..]), 0..12),
            ) {
                let text = words.concat();
                let elsewhere = serde_json::from_str::<Value>(&text).is_ok();
                prop_assert_eq!(shown(&["/a"], &text).is_ok(), elsewhere, "{}", text);
            }
        }
    }
}
