//! The history check: many clients, faults on every side, and an oracle that reads what the upstream ran.
//!
//! A round is a number of keys, each with a plan that follows from the seed. Clients work the plans off against a real
//! Envoy; then the oracle judges every key by what its clients were told and what the upstream ran. In every second
//! round VMs are killed; the others leave the filter no excuse.

mod client;
mod journal;
mod oracle;
mod plan;
mod random;
mod round;
mod stack;
mod tally;

pub use round::{Check, Size};
pub use stack::{VM_RELOADS, settings};
pub use tally::Tally;
