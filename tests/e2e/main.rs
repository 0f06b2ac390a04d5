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
mod concurrency;
mod config;
mod crash;
mod host;
mod hostile;
mod identity;
mod limits;
mod metadata;
mod metrics;
mod modes;
mod outcomes;
mod protocols;
mod reference;
mod reload;
mod retention;
mod robust;
mod shared;

use reprise_tests::harness::{Request, Response};
use shared::shared;

/// Asserts that `repeat` is the recorded `first`: same status, same bytes, same headers but those that belong to one exchange.
#[track_caller]
fn assert_answers(first: &Response, repeat: &Response) {
    assert!(!first.is_answer(), "the first response carries no mark: {first:?}");
    assert!(repeat.is_answer(), "not an answer: {repeat:?}");
    assert_eq!(first.status, repeat.status);
    assert!(
        first.body == repeat.body,
        "the bodies differ: {} and {} bytes",
        first.body.len(),
        repeat.body.len()
    );
    assert_eq!(lasting(first), lasting(repeat));
}

/// Gives the headers that an answer repeats, in order.
fn lasting(response: &Response) -> Vec<&(String, String)> {
    const OF_ONE_EXCHANGE: [&str; 8] = [
        "connection",
        "content-length",
        "date",
        "idempotent-replayed",
        "server",
        "set-cookie",
        "transfer-encoding",
        "x-request-id",
    ];
    let lasts = |name: &str| !OF_ONE_EXCHANGE.contains(&name) && !name.starts_with("x-envoy-");
    response.headers.iter().filter(|(name, _)| lasts(name)).collect()
}

/// Sends a request twice, one after the other.
async fn twice(request: &Request) -> (Response, Response) {
    (request.send().await, request.send().await)
}

/// Gives status and problem, to compare both at once.
fn verdict(response: &Response) -> (u16, Option<String>) {
    (response.status, response.problem())
}

/// What [`verdict`] gives for a problem.
fn problem(status: u16, slug: &str) -> (u16, Option<String>) {
    (status, Some(slug.to_owned()))
}
