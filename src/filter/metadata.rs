//! Route metadata: what a route says of itself, read once and known again by its bytes.

use crate::host::{Host, Level};
use crate::root::BadMetadata;
use hashbrown::HashMap;
use prost::Message;
use reprise_core::config::Overrides;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where the host keeps it; the short path costs less, and nothing on routes without it.
const OURS: [&str; 4] = ["xds", "route_metadata", "filter_metadata", NAME];
const ALL: [&str; 2] = ["xds", "route_metadata"];
const NAME: &str = "reprise";
/// Routes' metadata kept ready; beyond it they are read anew.
const KNOWN_MAX: usize = 1024;
/// Deepest nesting that is read.
const DEPTH_MAX: u8 = 16;

/// All metadata that this root has met.
#[derive(Debug, Default)]
pub struct Metadata {
    known: HashMap<Vec<u8>, Result<u32, BadMetadata>>,
    read: Vec<Overrides>,
}

impl Metadata {
    /// The id of no metadata.
    pub const NONE: u32 = 0;

    /// Finds the metadata of the exchange's route.
    ///
    /// # Errors
    /// [`BadMetadata`] if they do not parse; the reason is logged once.
    pub fn find(&mut self, host: &impl Host) -> Result<u32, BadMetadata> {
        // What the host cannot put into bytes by the short path is known by the whole.
        let key = match host.property(&OURS) {
            Ok(None) => return Ok(Self::NONE),
            Ok(Some(bytes)) => bytes,
            Err(_) => host.property(&ALL).ok().flatten().unwrap_or_default(),
        };
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let found = self.read(host);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, found);
        found
    }

    /// Shows what the metadata of `id` ask for.
    #[must_use]
    pub fn overrides(&self, id: u32) -> Option<&Overrides> {
        self.read.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    fn read(&mut self, host: &impl Host) -> Result<u32, BadMetadata> {
        let bytes = host.property(&ALL).ok().flatten().unwrap_or_default();
        let value = ours(&bytes).ok_or(BadMetadata)?;
        let overrides = Overrides::read(&value).map_err(|errors| {
            host.log(
                Level::Error,
                &format!("reprise: route metadata (filter_metadata.reprise): {errors}"),
            );
            BadMetadata
        })?;
        let id = match self.read.iter().position(|each| *each == overrides) {
            Some(at) => at,
            None => {
                self.read.push(overrides);
                self.read.len() - 1
            }
        };
        u32::try_from(id + 1).map_err(|_| BadMetadata)
    }
}

/// Finds the struct of our name in the bytes of an `envoy.config.core.v3.Metadata`.
fn ours(bytes: &[u8]) -> Option<Value> {
    let mut metadata = AllMetadata::decode(bytes).ok()?;
    object(metadata.filter_metadata.remove(NAME)?, DEPTH_MAX)
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
struct AllMetadata {
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
