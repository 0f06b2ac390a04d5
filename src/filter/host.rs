//! THE SEAM: all that the filter asks of its host, and the only place that names host calls.
//!
//! Nothing above it may know that it runs as wasm. The real host is [`Proxy`], the one of the seam tests is in memory.

#[cfg(target_arch = "wasm32")]
mod proxy;

#[cfg(target_arch = "wasm32")]
pub use proxy::Proxy;

use reprise_core::time::{Millis, MonoMillis};

/// Which half of an exchange is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// A host call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError {
    /// What was asked.
    pub call: &'static str,
    /// What the host said, by the numbers of the proxy-wasm ABI.
    pub status: u32,
}

/// One value of shared data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shared {
    /// Its bytes; none if it is empty or was never made.
    pub value: Vec<u8>,
    /// The number to replace it by; none if it was never made.
    pub number: Option<u32>,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing once.
    Info,
    /// Somebody should look.
    Warn,
    /// Something is wrong.
    Error,
}

/// Kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// Data that all workers of one process share.
pub trait SharedData {
    /// Reads a value and its number.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn shared(&self, key: &str) -> Result<Shared, HostError>;

    /// Writes a value whatever stands there.
    ///
    /// # Errors
    /// [`HostError`] if the host fails; nothing is written then.
    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), HostError>;

    /// Writes a value if its number is still `number`; tells whether it was.
    ///
    /// Atomic: of several that replace the same number, one succeeds.
    ///
    /// # Errors
    /// [`HostError`] if the host fails; nothing is written then.
    fn replace_shared(&self, key: &str, value: &[u8], number: u32) -> Result<bool, HostError>;

    /// Makes a value unless it was ever made; tells whether it did.
    ///
    /// The host has no such call: on a key that was never made, replacing any number that is not zero inserts. Asked for
    /// first, because numbers wrap after 4.3 G writes, and on an existing key `u32::MAX` could then be its number.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn insert_shared(&self, key: &str, value: &[u8]) -> Result<bool, HostError> {
        if self.shared(key)?.number.is_some() {
            return Ok(false);
        }
        self.replace_shared(key, value, u32::MAX)
    }
}

/// The exchange whose callback runs.
pub trait Stream {
    /// Reads all headers in the host's serialised form; only within their callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError>;

    /// Reads the first value of one header; only within the headers' callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn header(&self, side: Side, name: &'static str) -> Result<Option<Vec<u8>>, HostError>;

    /// Reads all trailers in the host's serialised form; only within their callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn trailers(&self, side: Side) -> Result<Vec<u8>, HostError>;

    /// Takes off all headers of a name; only within their callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn remove_header(&self, side: Side, name: &[u8]) -> Result<(), HostError>;

    /// Adds a header behind all others of the request; only within the headers' callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;

    /// Adds a header behind all others of the response; only within the headers' callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn add_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;

    /// Reads `len` bytes of the body's buffer from `start`; only within the body's callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn body(&self, side: Side, start: usize, len: usize) -> Result<Vec<u8>, HostError>;

    /// Takes the first `len` bytes off the buffer of the request's body; only within its callback.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn drain_request(&self, len: usize) -> Result<(), HostError>;

    /// Answers the request; `pairs` in the host's serialised form. A client that reads gRPC gets `grpc_status`, and the
    /// body as its message; without one the host makes it of the status.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn respond(&self, status: u16, grpc_status: Option<u8>, pairs: &[u8], body: &[u8]) -> Result<(), HostError>;

    /// Reads a property of the exchange; none if it has none.
    ///
    /// # Errors
    /// [`HostError`] if the host fails, or cannot put the property into bytes.
    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError>;

    /// Lets a half go on that was held.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn resume(&self, side: Side) -> Result<(), HostError>;

    /// Acts for the context `id` from now on.
    ///
    /// # Errors
    /// [`HostError`] if there is no such context. Success does not prove that its client is there.
    fn enter(&self, id: u32) -> Result<(), HostError>;
}

/// A request that the filter makes itself.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The proxy's cluster.
    pub cluster: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// One header more: name and value.
    pub header: (&'a str, &'a str),
    /// Its body.
    pub body: &'a [u8],
    /// How long it may take.
    pub timeout: Millis,
}

/// Requests that the filter makes itself, and what wakes the worker; only from a root, which outlives every exchange.
pub trait Calls {
    /// Sends a request; gives its token.
    ///
    /// # Errors
    /// [`HostError`] if nothing was sent: no such cluster, or too many requests.
    fn call(&self, call: &Call<'_>) -> Result<u32, HostError>;

    /// Reads the first value of a header of the response whose callback runs; never of a call that failed.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn call_header(&self, name: &'static str) -> Result<Option<Vec<u8>>, HostError>;

    /// Reads the body of the response whose callback runs.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn call_body(&self, len: usize) -> Result<Vec<u8>, HostError>;

    /// Makes a queue that wakes this worker, and no other.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn queue(&self, name: &str) -> Result<u32, HostError>;

    /// Finds the queue that another worker made; none if nobody made it.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn find_queue(&self, name: &str) -> Result<Option<u32>, HostError>;

    /// Wakes the worker that made a queue, with a message that is not empty.
    ///
    /// # Errors
    /// [`HostError`] if there is no such queue.
    fn wake(&self, queue: u32, message: &[u8]) -> Result<(), HostError>;

    /// Takes one message off a queue; none if there is none.
    ///
    /// # Errors
    /// [`HostError`] if there is no such queue.
    fn take(&self, queue: u32) -> Result<Option<Vec<u8>>, HostError>;
}

/// What people see of the filter.
pub trait Meter {
    /// Names a metric; the same name gives the same metric in all workers.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError>;

    /// Adds to a counter; zero adds nothing.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn add(&self, metric: u32, count: u64) -> Result<(), HostError>;

    /// Sets a gauge, or counts a value in a histogram.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn record(&self, metric: u32, value: u64) -> Result<(), HostError>;

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);
}

/// Time and chance, and all of the above.
pub trait Host: SharedData + Stream + Calls + Meter {
    /// Reads the monotonic clock that all workers of the process share.
    fn now(&self) -> MonoMillis;

    /// Reads the same clock in microseconds.
    fn micros(&self) -> u64;

    /// Reads the wall clock, in seconds since 1970; for people only.
    fn wall_seconds(&self) -> u64;

    /// Reads the wall clock, in milliseconds since 1970; for people, and for signatures that end by it.
    fn wall_millis(&self) -> u64;

    /// Draws bytes that nobody can guess.
    ///
    /// # Errors
    /// [`HostError`] if the host has none.
    fn random(&self) -> Result<[u8; 64], HostError>;

    /// Asks for a tick every `period`.
    ///
    /// # Errors
    /// [`HostError`] if the host fails.
    fn tick_every(&self, period: Millis) -> Result<(), HostError>;
}
