//! What one route asks for of capture, checked.

use super::{Document, StatusSet};
use crate::gate::is_safe;
use crate::time::Millis;
use alloc::string::String;
use alloc::vec::Vec;

/// Everything that a route decides about capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturePolicy {
    /// Whether exchanges are captured.
    pub enabled: bool,
    /// The methods that are, in upper case.
    pub methods: Vec<String>,
    /// The statuses that are.
    pub statuses: StatusSet,
    /// Paths and routes that are not.
    pub exclude: Vec<Exclude>,
    /// What is captured only.
    pub only: Only,
    /// Which part of it.
    pub sample: Sample,
    /// When a capture has to be on disk.
    pub durability: Durability,
    /// What becomes of a request whose capture cannot be had.
    pub on_replayd_down: OnReplaydDown,
    /// Largest body that is kept whole, in bytes; of a larger one the first bytes are kept.
    pub body_bytes_max: u32,
    /// Labels of every capture.
    pub labels: Vec<String>,
    /// What nobody may see.
    pub redact: Redact,
}

/// What is not captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclude {
    /// Paths that fit a template, in the plain form of [`super::Routes`].
    Path(String),
    /// The proxy's route of this name.
    Route(String),
}

/// What is captured only; what is not given allows all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Only {
    /// Request headers, names in lower case, and the value that each must have; `*` = any.
    pub headers: Vec<(String, String)>,
    /// Media types of the request, without parameters; `application/*` fits all of them.
    pub content_types: Vec<String>,
    /// Largest sum of both bodies, in bytes.
    pub bytes_max: Option<u64>,
    /// Shortest time from request to end.
    pub latency_min: Option<Millis>,
}

/// Which part is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// How many of a million.
    pub per_million: u32,
    /// What is wholly in or wholly out; none = each exchange by itself.
    pub by: Option<SampleBy>,
}

/// What is wholly in or wholly out of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleBy {
    /// Requests with the same value of a header. Lower case.
    Header(String),
    /// Requests with the same value of a cookie.
    Cookie(String),
    /// Requests of one caller.
    Principal,
    /// Requests to one path.
    Path,
}

/// When a capture has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Soon after the exchange; nothing waits for it.
    Async,
    /// The request before it is forwarded.
    WriteAhead,
    /// The request before it is forwarded, the response before its last byte leaves.
    WriteAheadResponse,
}

/// What becomes of a request whose capture cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReplaydDown {
    /// It goes on, and is counted.
    Open,
    /// 503, and nothing ran.
    Closed,
}

/// What nobody may see, besides the headers that never show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redact {
    /// Headers, in lower case.
    pub headers: Vec<String>,
    /// Fields of queries: of the target, and of URLs in any header.
    pub query: Vec<String>,
    /// Fields of forms.
    pub form: Vec<String>,
    /// JSON pointers; a segment `*` stands for every item.
    pub json: Vec<String>,
    /// What is redacted as well, but kept for replays: `header:NAME`, `query:NAME`, `form:NAME`, `json:POINTER`.
    pub seal: Vec<String>,
}

/// Headers that never show: their values are tokens in every capture.
pub const REDACTED_HEADERS: [&str; 5] = [
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authorization",
    "x-api-key",
];

impl CapturePolicy {
    /// What counts where nothing is said: no capture.
    #[must_use]
    pub fn off() -> Self {
        Self {
            enabled: false,
            methods: ["DELETE", "PATCH", "POST", "PUT"].map(String::from).into(),
            statuses: StatusSet::ALL,
            exclude: Vec::new(),
            only: Only::default(),
            sample: Sample {
                per_million: 1_000_000,
                by: None,
            },
            durability: Durability::Async,
            on_replayd_down: OnReplaydDown::Open,
            body_bytes_max: 1 << 20,
            labels: Vec::new(),
            redact: Redact::default(),
        }
    }
}

impl Document {
    /// Tells whether the defaults or a rule turn capture on; a route's metadata may do so besides.
    ///
    /// Walks all rules: ask once.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.captured().any(|capture| capture.enabled)
    }

    /// Tells whether the defaults or a rule name a safe method, so that safe requests have to be looked at as well.
    ///
    /// Whether capture is on does not count: another rule, or a route's metadata, may turn it on. A safe method that is
    /// named in a route's metadata alone is not captured: such requests pass before anybody looks at their route. Walks
    /// all rules: ask once.
    #[must_use]
    pub fn captures_safe_methods(&self) -> bool {
        let names_safe = |capture: &CapturePolicy| capture.methods.iter().any(|name| is_safe(name.as_bytes()));
        self.captured().any(|capture| names_safe(&capture))
    }

    /// Lists what the defaults say, and what each rule makes of them by itself.
    fn captured(&self) -> impl Iterator<Item = CapturePolicy> {
        let defaults = core::iter::once(self.routes.defaults().capture.clone());
        defaults.chain(self.routes.rules().map(|(_, policy)| policy.capture))
    }
}
