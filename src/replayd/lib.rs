//! The companion daemon and CLI of Reprise.
//!
//! Decisions about keys, captures and approvals are not here but in `reprise_core`; this package receives, stores and
//! shows. It is a library so that its tests reach every room; its users run the binary.

pub mod check;
pub mod cli;

mod app;
mod client;
mod clock;
mod config;
mod connector;
mod data_dir;
mod format;
mod http;
mod ingest;
mod metrics;
mod phase;
mod problem;
mod run;
mod store;
mod telemetry;
mod token;
mod worker;

#[cfg(feature = "fuzzing")]
pub use format::try_any;
