//! What a value's name says about it, and what a value's look does.

use crate::capture::redact::has_token;
use alloc::string::String;
use alloc::vec::Vec;

/// Last words of names whose values are ids.
const IDS: [&str; 5] = ["id", "ids", "uuid", "uuids", "guid"];
/// Last words of names whose values are made by the server and are no ids.
const MADE: [&str; 2] = ["token", "nonce"];
/// Words before an id that is new for every request and that nobody uses again.
const OF_ONE_REQUEST: [&str; 4] = ["request", "correlation", "trace", "span"];
/// Names of objects that say nothing about what is inside.
const WRAPPERS: [&str; 20] = [
    "attribute",
    "body",
    "content",
    "created",
    "data",
    "document",
    "entry",
    "item",
    "list",
    "model",
    "new",
    "node",
    "object",
    "payload",
    "record",
    "resource",
    "response",
    "result",
    "updated",
    "value",
];
/// Shortest value that is known again wherever it stands.
const BYTES_MIN: usize = 4;
/// From this length on letters alone are enough.
const LETTERS_MIN: usize = 16;
/// From this length on digits alone are enough.
const DIGITS_MIN: usize = 12;

/// What a name says about its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// They are ids of this kind of thing; empty if the name does not say of which.
    Id(String),
    /// The server makes them.
    Made(String),
    /// Nothing, but a reference to this kind of thing may have that name.
    Other(String),
    /// They are used once.
    Once,
}

impl Name {
    /// Reads a JSON member's, a field's or a header's name.
    pub(super) fn read(name: &str) -> Self {
        let mut words = words(name);
        let Some(last) = words.pop() else {
            return Self::Other(String::new());
        };
        let before = words.pop().unwrap_or_default();
        if IDS.contains(&&*last) {
            if OF_ONE_REQUEST.contains(&&*before) {
                return Self::Once;
            }
            return Self::Id(noun(&before));
        }
        let is_made = MADE.contains(&&*last);
        let noun = noun(&last);
        if is_made { Self::Made(noun) } else { Self::Other(noun) }
    }
}

/// Takes a name apart: `parent_orderId` is `parent`, `order`, `id`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for char in name.chars() {
        let begins = !before.is_alphanumeric() || (before.is_lowercase() && char.is_uppercase());
        before = char;
        if !char.is_alphanumeric() {
            continue;
        }
        match words.last_mut() {
            Some(word) if !begins => word.extend(char.to_lowercase()),
            _ => words.push(char.to_lowercase().collect()),
        }
    }
    words
}

/// Gives the last word of `name` as one of its kind: `orders` is `order`. Empty if it is a mere wrapper.
pub(super) fn noun(name: &str) -> String {
    let word = words(name).pop().unwrap_or_default();
    let one = match word.strip_suffix('s') {
        None => word,
        Some(stem) if stem.ends_with(['s', 'u', 'i']) => word,
        Some(stem) => match stem.strip_suffix("ie") {
            Some(stem) => [stem, "y"].concat(),
            None => match stem.strip_suffix('e') {
                Some(short) if short.ends_with(['s', 'x', 'z']) || short.ends_with("ch") || short.ends_with("sh") => {
                    short.into()
                }
                _ => stem.into(),
            },
        },
    };
    if WRAPPERS.contains(&&*one) { String::new() } else { one }
}

/// Gives the kind of thing whose `id` stands in an object named `parent`, in a request or response about `collection`.
pub(super) fn kind(parent: &str, collection: &str) -> String {
    let kind = noun(parent);
    if kind.is_empty() { collection.into() } else { kind }
}

/// Gives the kind of thing of an `id` in a response, `id` if nobody knows: two responses may differ in it, and no request
/// is told another.
pub(super) fn own_kind(parent: &str, collection: &str) -> String {
    let kind = kind(parent, collection);
    if kind.is_empty() { "id".into() } else { kind }
}

/// Gives what a request to this path is about: its last segment that is no id.
pub(super) fn collection(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let is_name = |segment: &&str| !segment.is_empty() && !segment.contains(|char: char| char.is_ascii_digit());
    path.rsplit('/').find(is_name).map(noun).unwrap_or_default()
}

/// Tells whether a value can be known again wherever it stands.
///
/// Words, amounts and dates cannot: `pending` or `1000` is said by many who do not mean the same.
pub(super) fn is_distinctive(value: &str) -> bool {
    let has = |is: fn(char) -> bool| value.chars().any(is);
    let letters = has(|char| char.is_ascii_alphabetic());
    let digits = has(|char| char.is_ascii_digit());
    value.len() >= BYTES_MIN
        && !has(char::is_whitespace)
        && match (letters, digits) {
            (true, true) => !is_date(value) && !super::super::json::is_number(value),
            (true, false) => value.len() >= LETTERS_MIN,
            (false, true) => value.len() >= DIGITS_MIN && value.bytes().all(|byte| byte.is_ascii_digit()),
            (false, false) => false,
        }
}

/// Tells whether a value can be known again wherever it stands, or stands for one that nobody may see.
pub(super) fn is_certain(value: &str) -> bool {
    is_distinctive(value) || has_token(value.as_bytes())
}

/// Gives the names of a value and of what it is in; an item of an array is called as the array.
pub(super) fn of_path(path: &[String]) -> (&str, &str) {
    let mut names = path.iter().rev().filter(|name| name.parse::<usize>().is_err());
    let name = names.next().map_or("", |name| name);
    (name, names.next().map_or("", |name| name))
}

fn is_date(value: &str) -> bool {
    let date = value.as_bytes().iter().take(10);
    let fits = |(at, byte): (usize, &u8)| {
        if matches!(at, 4 | 7) {
            *byte == b'-'
        } else {
            byte.is_ascii_digit()
        }
    };
    value.len() >= 10 && date.enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(name: &str, want: &Name) {
        assert_eq!(Name::read(name), *want, "{name}");
    }

    #[test]
    fn names_say_what_their_values_are() {
        for name in ["id", "ID", "_id", "uuid", "data_id"] {
            check(name, &Name::Id("".into()));
        }
        for name in [
            "order_id",
            "orderId",
            "order-ids",
            "parentOrderID",
            "X-Order-Id",
            "orders_id",
        ] {
            check(name, &Name::Id("order".into()));
        }
        check("csrf_token", &Name::Made("token".into()));
        check("orders", &Name::Other("order".into()));
        check("paid", &Name::Other("paid".into()));
        check("", &Name::Other("".into()));
        for name in ["x-request-id", "traceId", "correlation_id"] {
            check(name, &Name::Once);
        }
    }

    #[test]
    fn nouns_are_one_of_their_kind() {
        for (many, one) in [
            ("orders", "order"),
            ("addresses", "address"),
            ("address", "address"),
            ("categories", "category"),
            ("boxes", "box"),
            ("bus", "bus"),
            ("line_items", ""),
            ("Data", ""),
        ] {
            assert_eq!(noun(many), one, "{many}");
        }
    }

    #[test]
    fn a_collection_is_the_last_name_of_a_path() {
        assert_eq!(collection("/v1/orders"), "order");
        assert_eq!(collection("/v1/orders/7?x=a/b"), "order");
        assert_eq!(collection("/v1/orders/7/lines/"), "line");
        assert_eq!(collection("/"), "");
    }

    #[test]
    fn only_values_that_nobody_says_by_chance_are_distinctive() {
        for value in [
            "a1b2",
            "ord-1234",
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
            "abcdefghijklmnop",
            "123456789012",
        ] {
            assert!(is_distinctive(value), "{value}");
        }
        for value in [
            "",
            "a1",
            "pending",
            "1000",
            "12345678901",
            "12.5e3",
            "2026-11-21T10:00:00Z",
            "room 12",
            "1,234,567,890",
        ] {
            assert!(!is_distinctive(value), "{value}");
        }
    }
}
