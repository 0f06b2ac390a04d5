//! What one route asks for, checked.

use crate::time::Millis;
use alloc::string::String;
use alloc::vec::Vec;

/// Everything that a route decides about keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether a key is wanted.
    pub mode: Mode,
    /// The methods that a key protects.
    pub methods: Methods,
    /// The header that carries the key. Lower case.
    pub header: String,
    /// Other headers that may carry it instead. Lower case.
    pub header_aliases: Vec<String>,
    /// Which forms of the key are allowed.
    pub header_syntax: HeaderSyntax,
    /// Replaces the default namespace (the document's name and the request's authority) if set.
    pub namespace: Option<String>,
    /// How far a key reaches.
    pub scope: Scope,
    /// What a key means without a caller.
    pub anonymous: Anonymous,
    /// What names a key besides its namespace and its caller.
    pub encoder: Encoder,
    /// What tells two requests with one key apart.
    pub fingerprint: Fingerprint,
    /// The values of a JSON body that count, as pointers; all, if there are none.
    pub fields: Vec<String>,
    /// Longest body that is read as JSON, in bytes.
    pub json_bytes_max: u64,
    /// What a duplicate meets while the first request runs.
    pub in_flight: InFlight,
    /// How long a duplicate waits at most.
    pub max_wait: Millis,
    /// How long a record lives, from completion.
    pub retain: Millis,
    /// How long unknown outcomes and tombstones live, from the moment they became so.
    pub unknown_retain: Millis,
    /// Statuses whose response is stored.
    pub store_on: StatusSet,
    /// Statuses that say that nothing ran.
    pub release_on: ReleaseOn,
    /// What a repeat meets after an unknown outcome.
    pub on_unknown: OnUnknown,
    /// What becomes of a request whose body never ended and that got no response.
    pub on_incomplete: OnIncomplete,
    /// The status of an answer; none = the recorded one.
    pub answer_status: Option<u16>,
    /// The status that tells a duplicate that the first request still runs.
    pub in_flight_status: u16,
    /// Who sends a first request to its upstream.
    pub execution: Execution,
    /// The cluster that leads to the internal listener of detached requests.
    pub detached_cluster: Option<String>,
    /// What is captured.
    pub capture: super::CapturePolicy,
}

/// Whether a key is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Keys mean nothing here.
    Off,
    /// A key protects; without one the request passes untouched.
    Optional,
    /// A request without a key is refused.
    Required,
    /// A key protects; a repeat goes on, and its upstream is told what is recorded.
    Manual,
}

/// The methods that a key protects; safe methods never are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// All but GET, HEAD, OPTIONS and TRACE.
    Unsafe,
    /// These, in upper case.
    Listed(Vec<String>),
}

/// Which forms of the key are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderSyntax {
    /// A structured-field string or a bare token; both are the same key.
    Any,
    /// A structured-field string only.
    Structured,
}

/// How far a key reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Over all paths: on another one it is in use.
    Principal,
    /// Over one path: on another one it is another key.
    Endpoint,
}

/// What a key means if no source names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// All such callers share their keys.
    Share,
    /// The request is refused.
    Refuse,
}

/// What names a key besides its namespace and its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoder {
    /// The key alone.
    Standard,
    /// What the middleware for Django digests: key, path, method, body, authorization.
    Django,
    /// These parts of the request, each once, in their order; the key is one of them.
    Parts(Vec<Part>),
}

impl Encoder {
    /// Tells whether the body belongs to the name, so that a request is held to its end.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        match self {
            Self::Standard => false,
            Self::Django => true,
            Self::Parts(parts) => parts.contains(&Part::Body),
        }
    }
}

/// A part of a request; the body is the last in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The key.
    Key,
    /// The method.
    Method,
    /// The path, as sent.
    Path,
    /// The query, as sent.
    Query,
    /// All lines of a header. Lower case.
    Header(String),
    /// The body's bytes.
    Body,
}

/// What tells two requests with one key apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// Method, path, query, media type and the body's bytes.
    Raw,
    /// Method, path, query, media type and what the body says, if it is JSON; its bytes, if it is not.
    Json,
    /// Nothing: whoever has the key has the answer.
    None,
}

/// What a duplicate meets while the first request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    /// A conflict.
    Conflict,
    /// It waits for the answer.
    Wait,
    /// It runs too, unprotected.
    Run,
}

/// Who sends a first request to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// The proxy: a client that hangs up aborts it.
    Inline,
    /// The filter, once the request has ended: it runs to its end.
    Detached,
}

/// What a repeat meets after an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// 409 until the record's time is over.
    Hold,
    /// It runs.
    Release,
}

/// What becomes of a request whose body never ended and that got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnIncomplete {
    /// Nothing can have run: the key is free again.
    Release,
    /// The upstream may act on half a body: the outcome is unknown.
    Unknown,
}

/// Statuses that say that nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseOn {
    /// Statuses that always say so.
    pub statuses: StatusSet,
    /// 503 says so if it carries `Retry-After`.
    pub retry_after_503: bool,
}

/// A set of HTTP statuses.
///
/// Shape: one bit a status, from 100 on; statuses outside 100–599 are never in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusSet([u64; 8]);

impl StatusSet {
    /// Every status from 100 to 599.
    pub const ALL: Self = Self([u64::MAX; 8]);
    /// No status.
    pub const NONE: Self = Self([0; 8]);

    fn place(status: u16) -> Option<(usize, u64)> {
        if !(100..=599).contains(&status) {
            return None;
        }
        let bit = usize::from(status).checked_sub(100)?;
        let mask = 1_u64.checked_shl(u32::try_from(bit.checked_rem(64)?).ok()?)?;
        Some((bit.checked_div(64)?, mask))
    }

    /// Tells whether `status` is in the set.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        Self::place(status).is_some_and(|(word, mask)| self.0.get(word).is_some_and(|bits| bits & mask != 0))
    }

    /// Adds `status`; one outside 100–599 changes nothing.
    #[must_use]
    pub fn with(mut self, status: u16) -> Self {
        if let Some((word, mask)) = Self::place(status)
            && let Some(bits) = self.0.get_mut(word)
        {
            *bits |= mask;
        }
        self
    }
}
