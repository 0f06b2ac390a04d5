//! The decisions of Reprise, pure: no clock, no I/O, shared by the filter and replayd.
//!
//! # Glossary
//!
//! One word per idea, everywhere:
//!
//! - **key**: the idempotency key that a client sends.
//! - **principal**: who sends it, as far as Reprise can tell; keys of two principals never meet.
//! - **tag**: the keyed hash that a key is looked up by.
//! - **encoder**: what names a key besides its caller, where that is more than the key: a digest of the request.
//! - **fingerprint**: what tells two requests with one key apart: a **head** digest and a **body** digest.
//! - **claim**: the right to run a request once. It has a **fence** (fencing token) and lives while its **lease** does.
//! - **slot**: a worker's row in the table of leases.
//! - **way**: one of the 32 places of a **bucket**, in which a claim or its end stands.
//! - **record**: the response kept for a key; a **tombstone** says that there was one, but it was not kept.
//! - **answer**: a recorded response given to a duplicate.
//! - **outcome**: what became of the first request: stored, released, unknown, or a tombstone.
//! - **exchange**: one request and what became of it, as the proxy saw it.
//! - **capture**: an exchange that is kept. It has two **halves**, request and response, and a **state**.
//! - **stream**: the captures of one VM's life, numbered by **seq**; its name is its **epoch**, 16 random bytes.
//! - **batch**: captures of one stream that travel together. **Ledger**: what became of every exchange that was seen.
//! - **replay**: captures sent again, as one durable thing. **Step**: one request that it sends. **Target**: where to.
//! - **restore**: a replay that brings a volatile system back. **Boot id**: what tells one life of it from the next.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "core decides; it may not wrap, truncate, panic or forget a state"
)]

extern crate alloc;

pub mod answer;
pub mod boot;
pub mod caller;
pub mod capture;
pub mod claim;
pub mod config;
pub mod detached;
pub mod encoder;
pub mod fingerprint;
pub mod gate;
pub mod http;
pub mod id;
mod json;
pub mod key;
pub mod outcome;
pub mod problem;
pub mod replay;
pub mod signature;
pub mod time;
pub mod wire;
