//! Structs as Envoy hands them over, in protobuf's own bytes, read as JSON values.
//!
//! The reader is written out here: a generated one is several times its size, and the VM loads every byte.

use serde_json::{Map, Value};

/// Deepest nesting that is read.
const DEPTH_MAX: u8 = 16;

/// Reads a `google.protobuf.Struct`; none if the bytes are not one.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Value> {
    object(bytes, DEPTH_MAX)
}

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reads the struct called `name` out of an `envoy.config.core.v3.Metadata`; none if there is none.
///
/// # Errors
/// [`Malformed`] if the bytes are no metadata, or the struct nests deeper than 16 levels.
pub fn from_metadata(bytes: &[u8], name: &str) -> Result<Option<Value>, Malformed> {
    let mut found = None;
    for field in Fields(bytes) {
        if let (1, Content::Bytes(entry)) = field.ok_or(Malformed)? {
            let (key, value) = map_entry(entry).ok_or(Malformed)?;
            // The last of two entries with one key counts.
            found = if key == name { Some(value) } else { found };
        }
    }
    found
        .map(|fields| object(fields, DEPTH_MAX).ok_or(Malformed))
        .transpose()
}

/// Shape: `google.protobuf.Struct`, `{1: map<string, Value>}`.
fn object(bytes: &[u8], depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut members = Map::new();
    for field in Fields(bytes) {
        if let (1, Content::Bytes(entry)) = field? {
            let (name, member) = map_entry(entry)?;
            members.insert(name.to_owned(), value(member, depth)?);
        }
    }
    Some(Value::Object(members))
}

/// Shape: `google.protobuf.Value`, `{1: null, 2: double, 3: string, 4: bool, 5: Struct, 6: ListValue}`; the last counts.
fn value(bytes: &[u8], depth: u8) -> Option<Value> {
    let mut found = None;
    for field in Fields(bytes) {
        found = Some(match field? {
            (1, Content::Varint(_)) => Value::Null,
            (2, Content::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
            (3, Content::Bytes(text)) => Value::from(str::from_utf8(text).ok()?),
            (4, Content::Varint(flag)) => Value::from(flag != 0),
            (5, Content::Bytes(fields)) => object(fields, depth)?,
            (6, Content::Bytes(items)) => list(items, depth)?,
            (1..=6, _) => return None,
            _ => continue,
        });
    }
    found
}

/// Shape: `google.protobuf.ListValue`, `{1: repeated Value}`.
fn list(bytes: &[u8], depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut items = Vec::new();
    for field in Fields(bytes) {
        if let (1, Content::Bytes(item)) = field? {
            items.push(value(item, depth)?);
        }
    }
    Some(Value::Array(items))
}

/// Shape: an entry of a map, `{1: string key, 2: message value}`; what is not written is empty.
fn map_entry(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (mut key, mut value): (&str, &[u8]) = ("", &[]);
    for field in Fields(bytes) {
        match field? {
            (1, Content::Bytes(text)) => key = str::from_utf8(text).ok()?,
            (2, Content::Bytes(message)) => value = message,
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    Some((key, value))
}

/// What stands in one field of a message.
#[derive(Clone, Copy)]
enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, by their numbers; none for the first that is malformed, which is the last.
///
/// Shape: <https://protobuf.dev/programming-guides/encoding/>; groups are malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Content<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Content<'a>)> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => Content::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Content::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Content::Fixed32)?,
            _ => return None,
        };
        Some((tag >> 3, content)).filter(|(number, _)| *number != 0)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads up to ten bytes of seven bits each, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use std::collections::BTreeMap;

    // The messages as a generated reader knows them.

    /// Shape: `envoy.config.core.v3.Metadata`, its first field.
    #[derive(Clone, PartialEq, Message)]
    struct Metadata {
        #[prost(btree_map = "string, message", tag = "1")]
        filter_metadata: BTreeMap<String, Struct>,
    }

    /// Shape: `google.protobuf.Struct`.
    #[derive(Clone, PartialEq, Message)]
    struct Struct {
        #[prost(btree_map = "string, message", tag = "1")]
        fields: BTreeMap<String, Any>,
    }

    /// Shape: `google.protobuf.Value`.
    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
        kind: Option<Kind>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    enum Kind {
        #[prost(int32, tag = "1")]
        Null(i32),
        #[prost(double, tag = "2")]
        Number(f64),
        #[prost(string, tag = "3")]
        Text(String),
        #[prost(bool, tag = "4")]
        Flag(bool),
        #[prost(message, tag = "5")]
        Struct(Struct),
        #[prost(message, tag = "6")]
        List(List),
    }

    /// Shape: `google.protobuf.ListValue`.
    #[derive(Clone, PartialEq, Message)]
    struct List {
        #[prost(message, repeated, tag = "1")]
        values: Vec<Any>,
    }

    fn text(value: &str) -> Any {
        Any {
            kind: Some(Kind::Text(value.into())),
        }
    }

    fn fields(fields: &[(&str, Any)]) -> Struct {
        Struct {
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        }
    }

    fn number(value: f64) -> Any {
        Any {
            kind: Some(Kind::Number(value)),
        }
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let list = Any {
            kind: Some(Kind::List(List {
                values: vec![number(1.5), text("x")],
            })),
        };
        let null = Any {
            kind: Some(Kind::Null(0)),
        };
        let flag = Any {
            kind: Some(Kind::Flag(true)),
        };
        let inner = Any {
            kind: Some(Kind::Struct(fields(&[("a", text("b"))]))),
        };
        let bytes = fields(&[("l", list), ("n", null), ("f", flag), ("s", inner)]).encode_to_vec();
        let want = serde_json::json!({"l": [1.5, "x"], "n": null, "f": true, "s": {"a": "b"}});
        assert_eq!(read(&bytes), Some(want));
    }

    #[test]
    fn a_name_is_found_among_others() {
        let metadata = Metadata {
            filter_metadata: [("other", fields(&[])), ("reprise", fields(&[("a", text("b"))]))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        };
        let bytes = metadata.encode_to_vec();
        assert_eq!(
            from_metadata(&bytes, "reprise"),
            Ok(Some(serde_json::json!({"a": "b"})))
        );
        assert_eq!(from_metadata(&bytes, "absent"), Ok(None));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let mut value = text("deep");
        for _ in 0..40 {
            value = Any {
                kind: Some(Kind::Struct(fields(&[("a", value)]))),
            };
        }
        assert_eq!(read(&fields(&[("a", value)]).encode_to_vec()), None);
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        let mut bytes = fields(&[("a", text("b"))]).encode_to_vec();
        bytes.extend([0x10, 0x96, 0x01]);
        bytes.extend([0x19, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0x25, 1, 2, 3, 4]);
        bytes.extend([0x2a, 2, 0xff, 0xff]);
        assert_eq!(read(&bytes), Some(serde_json::json!({"a": "b"})));
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let bytes = fields(&[("a", text("b"))]).encode_to_vec();
        for end in 1..bytes.len() {
            assert_eq!(read(&bytes[..end]), None, "{end}");
        }
        assert_eq!(read(&[0x80; 11]), None);
        assert_eq!(read(b"\x0a\x05\x0a\x01\xff\x12\x00"), None);
    }

    #[test]
    fn the_last_of_two_entries_counts() {
        let entries = [text("one"), text("two")].map(|value| fields(&[("a", value)]).encode_to_vec());
        assert_eq!(read(&entries.concat()), Some(serde_json::json!({"a": "two"})));
    }

    fn any_value() -> impl proptest::strategy::Strategy<Value = Any> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Kind::Null(0)),
            any::<f64>().prop_map(Kind::Number),
            ".{0,9}".prop_map(Kind::Text),
            any::<bool>().prop_map(Kind::Flag)
        ];
        leaf.prop_map(|kind| Any { kind: Some(kind) })
            .prop_recursive(5, 40, 6, |inner| {
                let list = prop::collection::vec(inner.clone(), 0..6).prop_map(|values| Kind::List(List { values }));
                let object = prop::collection::btree_map(".{0,5}", inner, 0..6)
                    .prop_map(|fields| Kind::Struct(Struct { fields }));
                prop_oneof![list, object].prop_map(|kind| Any { kind: Some(kind) })
            })
    }

    fn json(any: &Any) -> Value {
        match any.kind.as_ref().unwrap() {
            Kind::Null(_) => Value::Null,
            Kind::Number(number) => Value::from(*number),
            Kind::Text(text) => Value::from(text.as_str()),
            Kind::Flag(flag) => Value::from(*flag),
            Kind::Struct(fields) => Value::Object(
                fields
                    .fields
                    .iter()
                    .map(|(name, value)| (name.clone(), json(value)))
                    .collect(),
            ),
            Kind::List(list) => list.values.iter().map(json).collect(),
        }
    }

    proptest::proptest! {
        #[test]
        fn what_another_writer_wrote_is_read(value in any_value()) {
            let object = fields(&[("a", value.clone())]);
            let metadata = Metadata { filter_metadata: [("x".to_owned(), object)].into() };
            let want = serde_json::json!({"a": json(&value)});
            proptest::prop_assert_eq!(from_metadata(&metadata.encode_to_vec(), "x"), Ok(Some(want)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _value = read(&bytes);
            let _value = from_metadata(&bytes, "reprise");
        }
    }
}
