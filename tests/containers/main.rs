//! The reference configuration in containers: the same cases as without, and what only containers can suffer.
//!
//! `scripts/images.sh` builds the images. All cases share one compose project and take turns ([`project`]).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, also in its helper functions, and says on the terminal where the logs are"
)]

mod disk;
mod faults;
mod project;
#[path = "../e2e/reference.rs"]
mod reference;
#[path = "../e2e/verdict.rs"]
mod verdict;

use project::{Containers, containers};
use verdict::{assert_answers, problem, verdict};

/// Gives the stack for the cases of [`reference`].
async fn reference_stack() -> Option<Containers> {
    containers().await
}
