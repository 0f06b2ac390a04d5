//! Captures: which exchanges are kept, and what of them may be seen.
//!
//! What travels is in [`crate::wire`]; what a route asks for is in [`crate::config`].

pub mod arrival;
pub mod batch;
pub mod ending;
pub mod ledger;
pub mod redact;
mod sample;
pub mod select;
pub mod tally;
