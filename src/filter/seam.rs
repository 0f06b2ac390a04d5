//! The filter over the host in memory: what a real Envoy cannot show, or not often enough.

mod claims;
mod exchanges;
mod store;

/// A store of 64 keys, and times that a test can pass.
pub(crate) const SMALL: &str = r#"{"version": 1, "idempotency": {"keys_max": 64, "retain_s": 2, "lease_ms": 300}}"#;

/// [`SMALL`] with more fields.
pub(crate) fn small(more: &str) -> String {
    SMALL.replace("\"keys_max\"", &format!("{more}, \"keys_max\""))
}
