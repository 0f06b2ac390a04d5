//! HTTP Archive 1.2: what browsers and proxies write.
//!
//! Bytes that are not text stand in base64: in responses as the format says, in requests marked by `_encoding`, which is
//! ours. The state of a capture stands in `_state`, so that one that broke off does not come back as if it had not.
//!
//! Source: HAR 1.2 (softwareishard.com/blog/har-12-spec), read 2026-11; fields that begin with `_` are for applications.

mod entry;
mod read;
mod write;

pub(super) use read::read;
pub(super) use write::{begin, end, write};

/// Who wrote a file, if we did: sizes and bodies are exact then.
const CREATOR: &str = "Reprise";
