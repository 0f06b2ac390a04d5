//! Cases of the specs against a real Envoy with the filter in it.
//!
//! Only what lower floors cannot see: wiring, bodies in pieces, disconnects, reloads. Most cases share one stack
//! ([`shared`]), with a key and a target of their own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, also in its helper functions, and says on the terminal what it skipped"
)]

mod answers;
mod body;
mod capture;
mod concurrency;
mod config;
mod crash;
mod detached;
mod doctor;
mod encoders;
mod host;
mod hostile;
mod identity;
mod limits;
mod load;
mod metadata;
mod metrics;
mod modes;
mod outcomes;
mod protocols;
mod reference;
mod reload;
mod replay;
mod retention;
mod robust;
mod shared;
mod verdict;
mod waiting;

use reprise_tests::harness::{Request, Response, Stack};
use shared::shared;
use verdict::{assert_answers, problem, verdict};

/// Gives the stack for the cases of [`reference`].
async fn reference_stack() -> Option<Stack> {
    Stack::start().await
}

/// Sends a request twice, one after the other.
async fn twice(request: &Request) -> (Response, Response) {
    (request.send().await, request.send().await)
}
