//! Replays: which captures are sent again, in which order, when, how, and what came of it.
//!
//! Nothing is sent here and no clock is read: the engine asks what to do next, does it, and tells what happened. What is
//! written down before and after is the engine's too.

pub mod clock;
pub mod compact;
pub mod compare;
pub mod hidden;
mod json;
pub mod key;
pub mod per_key;
mod pointer;
pub mod request;
pub mod schedule;
pub mod select;
pub mod step;
pub mod variables;

pub use pointer::Pointer;
