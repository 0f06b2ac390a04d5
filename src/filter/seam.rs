//! The filter over the host in memory: what a real Envoy cannot show, or not often enough.

mod boots;
mod captures;
mod claims;
mod clocks;
mod detached;
mod encoders;
mod exchanges;
mod fingerprints;
mod interleaved;
mod journal;
mod policy;
mod routes;
mod signed;
mod store;
mod trailers;
mod turns;
mod waiters;
mod waits;

/// A store of 64 keys, and times that a test can pass.
pub(crate) const SMALL: &str = r#"{"version": 1, "idempotency": {"keys_max": 64, "retain_s": 2, "lease_ms": 300}}"#;

/// [`SMALL`] with more fields.
pub(crate) fn small(more: &str) -> String {
    SMALL.replace("\"keys_max\"", &format!("{more}, \"keys_max\""))
}

/// [`SMALL`] with these fields of capture.
pub(crate) fn capturing(capture: &str) -> String {
    SMALL.replace(
        "\"idempotency\"",
        &format!("\"capture\": {{{capture}}}, \"idempotency\""),
    )
}
