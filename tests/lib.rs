//! What the test targets share: a real Envoy, a demo upstream, raw clients.
//!
//! The tests themselves are in the targets `house` (the rules of the house) and `e2e` (cases of the specs).
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::missing_panics_doc,
    reason = "a harness that cannot do its work has to fail the test, and says so on the terminal"
)]

pub mod harness;
pub mod history;
pub mod upstream;
