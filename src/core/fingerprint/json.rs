//! JSON, digested by what it says: the order of names and the space between words do not count.
//!
//! Numbers count as they are written (`1`, `1.0` and `1e0` are three), strings as they read (`"\u0061"` is `"a"`). What
//! readers would take for different things is not read at all: a name that is there twice, half of a surrogate pair.

use super::Digest;
use crate::id::Secrets;
use crate::json::{DEPTH_MAX, NotJson, Step, Text, go, unescape};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::Hasher as _;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Digests a document, or the values in it that `fields` point at; none if it is not JSON that all read alike.
///
/// No digest of bytes is ever equal to one of these, but by a chance of 2^-128: they have keys of their own.
///
/// Shape: SipHash-2-4-128, under a key that BLAKE3 derives, over `u32le number of pointers | lp(pointer)… | u8 found |
/// value 16`. A value is the same hash over `s` and the text, `w` and the word, `{` and the pairs of digests of names and
/// values in the order of the former, or `[` and pairs of `u64le number | value 16`.
pub(super) fn digest(body: &[u8], fields: &[String], secrets: &Secrets) -> Option<Digest> {
    let mut walk = Walk {
        text: Text::new(core::str::from_utf8(body).ok()?),
        key: own_key(secrets),
    };
    let sought = if fields.is_empty() {
        Sought::Whole
    } else {
        Sought::Parts(fields.iter().map(String::as_str).collect())
    };
    let found = walk.value(sought, DEPTH_MAX).ok()?;
    walk.text.skip_blanks();
    walk.text.end().ok()?;
    let mut hasher = SipHasher24::new_with_key(&walk.key);
    write(&mut hasher, &crate::http::len_u32(fields.len()).to_le_bytes());
    for pointer in fields {
        write(&mut hasher, &crate::http::len_u32(pointer.len()).to_le_bytes());
        write(&mut hasher, pointer.as_bytes());
    }
    write(&mut hasher, &[found.is_some().into()]);
    write(&mut hasher, &found.unwrap_or_default());
    Some(finish(&hasher))
}

fn own_key(secrets: &Secrets) -> [u8; 16] {
    super::first_half(blake3::keyed_hash(&secrets.long_body, b"reprise json").as_bytes())
}

/// What of a value counts.
#[derive(Debug, Clone)]
enum Sought<'a> {
    /// All of it.
    Whole,
    /// Where these pointers lead; nothing, if there are none.
    Parts(Vec<&'a str>),
}

impl Sought<'_> {
    /// Tells what counts of the value that was come to.
    fn here(self) -> Self {
        match self {
            Self::Parts(ref ways) if ways.iter().any(|rest| rest.is_empty()) => Self::Whole,
            Self::Whole | Self::Parts(_) => self,
        }
    }

    /// Tells what counts of what a step leads to.
    fn go(&self, step: Step<'_>) -> Self {
        match self {
            Self::Whole => Self::Whole,
            Self::Parts(ways) => Self::Parts(ways.iter().filter_map(|rest| go(rest, step)).collect()),
        }
    }

    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Parts(ways) if ways.is_empty())
    }

    const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }
}

/// The digest of a name, and that of its value; none if nothing of it is sought.
type Member = (Digest, Option<Digest>);

struct Walk<'a> {
    text: Text<'a>,
    key: [u8; 16],
}

/// What was found in a value; none if nothing that is sought.
type Found = Result<Option<Digest>, NotJson>;

impl<'a> Walk<'a> {
    fn value(&mut self, sought: Sought<'_>, depth: u32) -> Found {
        self.text.skip_blanks();
        let sought = sought.here();
        let deeper = depth.checked_sub(1).ok_or(NotJson);
        match self.text.peek() {
            Some(b'{') => self.object(&sought, deeper?),
            Some(b'[') => self.list(&sought, deeper?),
            _ => self.scalar(&sought),
        }
    }

    fn scalar(&mut self, sought: &Sought<'_>) -> Found {
        let begins = self.text.at();
        self.text.scalar()?;
        let word = self.text.slice(begins, self.text.at());
        let inside = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Ok(match inside {
            _ if !sought.is_whole() => None,
            Some(inside) => Some(self.said(b's', plain(inside)?.as_bytes())),
            None => Some(self.said(b'w', word.as_bytes())),
        })
    }

    fn object(&mut self, sought: &Sought<'_>, depth: u32) -> Found {
        let mut members = Vec::new();
        self.text.take(b'{')?;
        let mut goes_on = !self.text.takes(b'}');
        while goes_on {
            self.member(sought, depth, &mut members)?;
            goes_on = self.text.takes(b',');
            if !goes_on {
                self.text.take(b'}')?;
            }
        }
        sort(&mut members);
        // Readers do not agree on which of two counts.
        if members
            .windows(2)
            .any(|two| matches!(two, [(one, _), (other, _)] if one == other))
        {
            return Err(NotJson);
        }
        let mut hasher = SipHasher24::new_with_key(&self.key);
        write(&mut hasher, b"{");
        let mut is_found = sought.is_whole();
        for (name, value) in &members {
            if let Some(value) = value {
                write(&mut hasher, name);
                write(&mut hasher, value);
                is_found = true;
            }
        }
        Ok(is_found.then(|| finish(&hasher)))
    }

    fn member(&mut self, sought: &Sought<'_>, depth: u32, members: &mut Vec<Member>) -> Result<(), NotJson> {
        self.text.skip_blanks();
        let name = self.text.string()?;
        self.text.take(b':')?;
        if sought.is_nothing() {
            return self.value(Sought::Parts(Vec::new()), depth).map(|_nothing| ());
        }
        let name = plain(name)?;
        let inner = sought.go(Step::Field(&name));
        let counts = !inner.is_nothing();
        let value = self.value(inner, depth)?;
        if counts {
            members.push((self.said(b's', name.as_bytes()), value));
        }
        Ok(())
    }

    fn list(&mut self, sought: &Sought<'_>, depth: u32) -> Found {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        write(&mut hasher, b"[");
        let mut is_found = sought.is_whole();
        self.text.take(b'[')?;
        let mut goes_on = !self.text.takes(b']');
        let mut at = 0_usize;
        while goes_on {
            if let Some(value) = self.value(sought.go(Step::Item(at)), depth)? {
                write(&mut hasher, &u64::from(crate::http::len_u32(at)).to_le_bytes());
                write(&mut hasher, &value);
                is_found = true;
            }
            at = at.saturating_add(1);
            goes_on = self.text.takes(b',');
            if !goes_on {
                self.text.take(b']')?;
            }
        }
        Ok(is_found.then(|| finish(&hasher)))
    }

    fn said(&self, kind: u8, text: &[u8]) -> Digest {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        write(&mut hasher, &[kind]);
        write(&mut hasher, text);
        finish(&hasher)
    }
}

/// Reads what stands between a string's quotes; not where an escape stands for nothing that is text.
fn plain(inside: &str) -> Result<Cow<'_, str>, NotJson> {
    let text = unescape(inside);
    let is_broken = matches!(&text, Cow::Owned(text) if text.contains(char::REPLACEMENT_CHARACTER));
    if is_broken { Err(NotJson) } else { Ok(text) }
}

/// Puts members into the order of their names' digests.
///
/// A heap sort: as many steps for hostile names as for others. A sort of the library is 5 KB of code.
fn sort(members: &mut [Member]) {
    let len = members.len();
    for top in (0..len.div_euclid(2)).rev() {
        sink(members, top, len);
    }
    for end in (1..len).rev() {
        members.swap(0, end);
        sink(members, 0, end);
    }
}

/// Lets the member at `top` sink to its place in the heap of the first `len` members.
fn sink(members: &mut [Member], mut top: usize, len: usize) {
    let name = |members: &[Member], at: usize| members.get(at).filter(|_| at < len).map(|(name, _)| *name);
    loop {
        let left = top.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let larger = if name(members, left) < name(members, right) {
            right
        } else {
            left
        };
        if name(members, larger) <= name(members, top) {
            return;
        }
        members.swap(top, larger);
        top = larger;
    }
}

/// Hashes bytes; once in the built filter, as each place would be half a kilobyte.
#[inline(never)]
fn write(hasher: &mut SipHasher24, bytes: &[u8]) {
    hasher.write(bytes);
}

#[inline(never)]
fn finish(hasher: &SipHasher24) -> Digest {
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECRETS: Secrets = Secrets {
        identity: [1; 16],
        fingerprint: [2; 16],
        long_body: [3; 32],
    };

    fn of(fields: &[&str], body: &str) -> Option<Digest> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).into()).collect();
        digest(body.as_bytes(), &fields, &SECRETS)
    }

    #[track_caller]
    fn same(fields: &[&str], one: &str, other: &str) {
        let digest = of(fields, one);
        assert!(digest.is_some() && digest == of(fields, other), "{one} {other}");
    }

    #[track_caller]
    fn differ(fields: &[&str], one: &str, other: &str) {
        let (one_digest, other_digest) = (of(fields, one), of(fields, other));
        assert!(one_digest.is_some() && other_digest.is_some(), "{one} {other}");
        assert_ne!(one_digest, other_digest, "{one} {other}");
    }

    #[test]
    fn order_of_names_and_space_do_not_count() {
        same(
            &[],
            r#"{"a":1,"b":{"c":[1,2],"d":null}}"#,
            " {\n\"b\" : {\"d\":null, \"c\":[ 1 ,2]},\r\t\"a\":1} ",
        );
        differ(&[], "[1,2]", "[2,1]");
        differ(&[], r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#);
        differ(&[], r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#);
        differ(&[], "[[1],2]", "[[1,2]]");
        differ(&[], "{}", "[]");
    }

    #[test]
    fn numbers_count_as_written_and_strings_as_they_read() {
        for other in ["1.0", "1e0", "10e-1", "-1", "\"1\"", "12345678901234567890123"] {
            differ(&[], "1", other);
        }
        differ(&[], "12345678901234567890123", "12345678901234567890124");
        same(&[], r#"{"\u0061":"\u00e9\/\ud83d\ude00"}"#, r#"{"a":"é/😀"}"#);
        differ(&[], r#""a""#, r#""A""#);
        differ(&[], "null", "\"null\"");
    }

    #[test]
    fn what_readers_take_for_different_things_is_not_read() {
        for body in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"a":{"b":1,"c":1,"b":1}}]"#,
            r#""\ud800""#,
            r#"{"\udfff":1}"#,
            "",
            "{} {}",
            "{a:1}",
            "[1,]",
            "\u{feff}{}",
            "a=1&b=2",
        ] {
            assert_eq!(of(&[], body), None, "{body}");
        }
        assert_eq!(digest(b"\"\xff\"", &[], &SECRETS), None);
        same(&[], "\"\u{fffd}\"", "\"\u{fffd}\"");
    }

    #[test]
    fn members_are_put_in_order() {
        for count in 0..40_u8 {
            let mut members: Vec<Member> = (0..count).map(|at| ([at.wrapping_mul(83); 16], None)).collect();
            let mut want = members.clone();
            want.sort_unstable();
            sort(&mut members);
            assert_eq!(members, want);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for fields in [&[][..], &["/x"], &["/*/0"]] {
            let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(of(fields, &nested(128)).is_some());
            assert_eq!(of(fields, &nested(129)), None);
            assert_eq!(of(fields, &"[{\"a\":".repeat(40_000)), None);
        }
    }

    #[test]
    fn of_fields_only_their_values_count() {
        let fields = ["/amount", "/to/iban"];
        let one = r#"{"amount":5,"to":{"iban":"X","name":"a"},"at":1}"#;
        same(&fields, one, r#"{"to":{"name":"b","iban":"X"},"amount":5}"#);
        differ(&fields, one, r#"{"to":{"iban":"X"},"amount":6}"#);
        differ(&fields, one, r#"{"to":{"iban":5},"amount":"X"}"#);
        same(&["/a"], r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1},"b":0}"#);
        same(&["/a~1b/0"], r#"{"a/b":[1,2]}"#, r#"{"a\/b":[1]}"#);
        same(&["", "/a"], "[1]", " [1]");
    }

    #[test]
    fn a_field_that_is_not_there_is_a_value_of_its_own() {
        differ(&["/a"], "{}", r#"{"a":null}"#);
        differ(&["/a/b"], r#"{"a":{}}"#, r#"{"a":{"b":null}}"#);
        same(&["/a/b"], r#"{"a":{}}"#, r#"{"c":1}"#);
        same(&["/a/b"], r#"{"a":1}"#, "7");
    }

    #[test]
    fn a_star_is_every_item() {
        let fields = ["/items/*/id"];
        let one = r#"{"items":[{"id":1,"n":1},{"id":2}]}"#;
        same(&fields, one, r#"{"items":[{"id":1},{"id":2,"n":7}]}"#);
        differ(&fields, one, r#"{"items":[{"id":2},{"id":1}]}"#);
        differ(&fields, one, r#"{"items":[{"id":1}]}"#);
        differ(&fields, r#"{"items":[{},{"id":1}]}"#, r#"{"items":[{"id":1}]}"#);
    }

    #[test]
    fn a_field_that_is_there_twice_is_not_read() {
        assert_eq!(of(&["/a"], r#"{"a":1,"a":2}"#), None);
        assert_eq!(of(&["/a/b"], r#"{"a":1,"a":{"b":2}}"#), None);
        same(&["/a"], r#"{"a":1,"x":1,"x":2}"#, r#"{"a":1}"#);
    }

    #[test]
    fn other_fields_give_other_digests_of_one_value() {
        let digests = [
            of(&["/a"], r#"{"a":5}"#),
            of(&["/b"], r#"{"b":5}"#),
            of(&[], "5"),
            of(&[""], "5"),
        ];
        for (at, digest) in digests.iter().enumerate() {
            assert!(digest.is_some() && !digests[..at].contains(digest), "{at}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use alloc::string::ToString as _;
        use proptest::prelude::*;
        use serde_json::Value;

        fn json() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                (0..5_i64).prop_map(Value::from),
                "[ab\"\\\\é\n]{0,2}".prop_map(Value::from)
            ];
            leaf.prop_recursive(4, 24, 4, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                    prop::collection::btree_map("[ab~/é*0-1]{0,2}", inner, 0..4)
                        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
                ]
            })
        }

        /// Writes a value with its names in the opposite order.
        fn backwards(value: &Value) -> String {
            match value {
                Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(backwards).collect();
                    format!("[ {} ]", items.join(" ,\n"))
                }
                Value::Object(fields) => {
                    let fields = fields.iter().rev();
                    let fields: Vec<String> = fields
                        .map(|(name, value)| format!("{}:\t{}", Value::from(name.as_str()), backwards(value)))
                        .collect();
                    format!("{{{}}}", fields.join(", "))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
            }
        }

        proptest! {
            #[test]
            fn the_same_value_has_one_digest_in_any_order(value in json()) {
                let digest = of(&[], &value.to_string());
                prop_assert!(digest.is_some());
                prop_assert_eq!(digest, of(&[], &backwards(&value)));
            }

            #[test]
            fn other_values_have_other_digests(one in json(), other in json()) {
                prop_assert_eq!(of(&[], &one.to_string()) == of(&[], &other.to_string()), one == other);
            }

            #[test]
            fn a_field_counts_as_what_a_pointer_finds(
                one in json(), other in json(), pointer in "(/([abé01]|~0|~1){0,1}){1,2}",
            ) {
                let digest = |value: &Value| of(&[&pointer], &value.to_string());
                let same = one.pointer(&pointer) == other.pointer(&pointer);
                // A list and an object are told apart on the way to what both have at one place.
                prop_assert!(same || digest(&one) != digest(&other));
                prop_assert!(digest(&one).is_some());
            }

            #[test]
            fn any_bytes_are_read_or_not(body: Vec<u8>, text in r#"[\[\]{}",:\\u0-1+\-. tfna]{0,16}"#) {
                let _read = digest(&body, &["/a".into()], &SECRETS);
                let elsewhere = serde_json::from_str::<Value>(&text).is_ok();
                prop_assert!(of(&[], &text).is_none() || elsewhere, "{}", text);
            }
        }
    }
}
