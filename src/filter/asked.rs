//! What is handed on of a request: its head once, its body in pieces.

use reprise_core::config::Policy;
use reprise_core::gate::{Keyed, Request};
use std::rc::Rc;

/// A request that asks for its key.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its head.
    pub request: Request<'a>,
    /// Its key.
    pub keyed: Keyed,
    /// What its route asks for.
    pub policy: Rc<Policy>,
    /// Whether it ended with its head.
    pub ended: bool,
}

/// A piece of a body, as the host shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Bytes in the host's buffer.
    pub len: usize,
    /// Whether it is the last.
    pub ended: bool,
}
