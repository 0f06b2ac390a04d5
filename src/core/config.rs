//! The filter's document, checked: holding a [`Document`] is the proof that it is sound.
//!
//! Reading (raw → checked, all problems at once) is in the files below; what the filter does with it is not here.

mod capture;
mod detached;
mod error;
mod fields;
mod kind;
mod overrides;
mod policy;
mod preset;
mod rate;
mod read;
mod routes;
#[cfg(feature = "schema")]
mod schema;
mod table;

pub use capture::{
    CapturePolicy, Durability, Exclude, OnReplaydDown, Only, REDACTED_HEADERS, Redact, Sample, SampleBy,
};
pub use detached::BadExecution;
pub use error::{ConfigError, ConfigErrors};
pub use overrides::Overrides;
pub use policy::{
    Anonymous, Encoder, Execution, Fingerprint, HeaderSyntax, InFlight, Methods, Mode, OnIncomplete, OnUnknown, Part,
    Policy, ReleaseOn, Scope, StatusSet,
};
pub use rate::Rate;
pub use routes::{Routes, Selection};
pub(crate) use routes::{check_template, path_fits, plain_path};
#[cfg(feature = "schema")]
pub use schema::schema;

use crate::time::Millis;
use alloc::string::String;
use alloc::vec::Vec;

/// The whole document of one filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Names this layer; part of the default namespace.
    pub name: String,
    /// Sources of the principal; the first that is present counts.
    pub principal: Vec<PrincipalSource>,
    /// How problems are told to clients.
    pub problem: ProblemStyle,
    /// The store of keys.
    pub store: StoreLimits,
    /// What each path wants of keys and captures.
    pub routes: Routes,
    /// Where replayd is.
    pub replayd: ReplaydPlace,
    /// Bytes of captures that one worker holds at once, those that travel included; above it captures are dropped.
    pub capture_bytes_max: u64,
    /// Largest request that is held whole, in bytes.
    pub hold_bytes_max: u64,
    /// Whether a new boot id of an upstream closes the gate of its cluster.
    pub boot_gate: bool,
}

/// Where replayd is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaydPlace {
    /// The proxy's cluster.
    pub cluster: String,
    /// How long a call may take.
    pub timeout: Millis,
}

/// Where a caller's identity is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalSource {
    /// The value of `authorization`, hashed.
    Authorization,
    /// A header that the connection manager removes from external clients. Lower case.
    Header(String),
    /// A cookie, hashed.
    Cookie(String),
    /// The issuer and subject of a token that the proxy's `jwt_authn` has verified.
    Jwt,
    /// The name in the client's certificate: its first URI, else its first DNS name.
    Mtls,
}

/// How problems are told to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemStyle {
    /// What a problem's `type` begins with.
    pub base: String,
    /// The page that `Link` points at; none = no `Link`.
    pub docs_url: Option<String>,
    /// Statuses that problems have instead of their own, by the last part of their `type`.
    pub statuses: Vec<(String, u16)>,
}

/// The size and the times of the store in shared data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLimits {
    /// Keys that the store can hold: 32 ways a bucket; a multiple of 32, 32 to 16,777,216.
    pub keys_max: u32,
    /// Keys that one principal may hold; none = no bound.
    pub keys_per_principal_max: Option<u32>,
    /// What a new key meets in a full bucket.
    pub on_full: OnFull,
    /// Longest time that an upstream may ask a record to live.
    pub retain_max: Millis,
    /// How long a worker's slot lives without being renewed.
    pub lease: Millis,
    /// Largest stored response body, in bytes.
    pub response_bytes_max: u32,
    /// Largest sum of stored responses, in bytes; above it completions leave tombstones.
    pub response_bytes_total_max: u64,
    /// Bytes of copies that one worker may hold at once; above it completions leave tombstones.
    pub buffered_bytes_max: u64,
    /// Duplicates that one worker lets wait at once.
    pub waiters_max: u32,
    /// Duplicates of one key that wait at once, in all workers.
    pub waiters_per_key_max: u32,
}

/// What a new key meets in a full bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// 503 `capacity`; nothing live is lost.
    Refuse,
    /// The bucket's oldest done record goes.
    Evict,
}
