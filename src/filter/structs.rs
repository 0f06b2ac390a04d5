//! Structs as Envoy hands them over, in protobuf's own bytes, read as JSON values.

use prost::Message;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Deepest nesting that is read.
const DEPTH_MAX: u8 = 16;

/// Reads a `google.protobuf.Struct`; none if the bytes are not one.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Value> {
    object(Struct::decode(bytes).ok()?, DEPTH_MAX)
}

/// Reads the struct called `name` out of an `envoy.config.core.v3.Metadata`; none if there is none.
#[must_use]
pub fn from_metadata(bytes: &[u8], name: &str) -> Option<Value> {
    let mut metadata = Metadata::decode(bytes).ok()?;
    object(metadata.filter_metadata.remove(name)?, DEPTH_MAX)
}

fn object(fields: Struct, depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let members: Option<Map<_, _>> = fields
        .fields
        .into_iter()
        .map(|(name, each)| Some((name, value(each, depth)?)))
        .collect();
    members.map(Value::Object)
}

fn value(each: Any, depth: u8) -> Option<Value> {
    Some(match each.kind? {
        Kind::Null(_) => Value::Null,
        Kind::Number(number) => Value::from(number),
        Kind::Text(text) => Value::from(text),
        Kind::Flag(flag) => Value::from(flag),
        Kind::Struct(fields) => return object(fields, depth),
        Kind::List(list) => {
            let depth = depth.checked_sub(1)?;
            let values: Option<Vec<_>> = list.values.into_iter().map(|each| value(each, depth)).collect();
            Value::Array(values?)
        }
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(from_metadata(&bytes, "reprise"), Some(serde_json::json!({"a": "b"})));
        assert_eq!(from_metadata(&bytes, "absent"), None);
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

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _value = read(&bytes);
            let _value = from_metadata(&bytes, "reprise");
        }
    }
}
