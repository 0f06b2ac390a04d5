//! The rules of the house, as tests: they read sources, manifests and the built filter.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, also in its helper functions, and says on the terminal what it skipped"
)]

mod cases;
mod edges;
mod imports;
mod manifests;
mod problems;
mod rooms;
mod sizes;
mod sources;
mod words;
