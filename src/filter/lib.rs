//! The filter that runs inside Envoy: it translates between the host's callbacks and the decisions of `reprise-core`.
//!
//! Everything above [`host`] runs natively too, against a host in memory.

pub mod asked;
pub mod boots;
pub mod captures;
pub mod claims;
pub mod detached;
pub mod duplicate;
pub mod host;
pub mod http;
pub mod journal;
pub mod manual;
pub mod metadata;
pub mod metrics;
pub mod owner;
pub mod policy;
pub mod proofs;
pub mod publisher;
pub mod queues;
pub mod reply;
pub mod root;
pub mod scene;
pub mod signed;
pub mod slots;
pub mod store;
pub mod structs;
pub mod sweeper;
pub mod tally;
pub mod tape;
pub mod unnamed;
pub mod vm;
pub mod waiters;
pub mod waiting;

#[cfg(target_arch = "wasm32")]
mod plugin;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod seam;
