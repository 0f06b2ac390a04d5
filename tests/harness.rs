//! A real Envoy with the filter in it, and clients that see every byte.
//!
//! ```no_run
//! # async fn example() {
//! use reprise_tests::harness::Stack;
//!
//! let Some(stack) = Stack::builder().document(serde_json::json!({"name": "other"})).start().await else { return };
//! let first = stack.post("/any").key("k").body("{}").send().await;
//! assert_eq!(first.status, 201);
//! # }
//! ```

pub mod client;
mod control;
mod folder;
pub mod h2;
mod log;
mod process;
pub mod relay;
pub mod replayd;
mod settings;
mod stack;
pub mod stats;
pub mod tls;
pub mod wait;

pub use client::{Connection, Request, Response};
pub use control::UpstreamControl;
pub use h2::Http2;
pub use process::{
    Process, envoy_binary, filter_wasm, free_port, replayd_binary, required, root, skip, target, trap_wasm,
};
pub use relay::Relay;
pub use replayd::{Ran, Replayd};
pub use settings::{Settings, Wasm, merge};
pub use stack::Stack;
pub use stats::Stats;
pub use wait::{Stopwatch, eventually, monotonic_micros, within};
