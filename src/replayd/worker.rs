//! Loops that run beside the listeners: each wakes, takes work, calls a use case, and stops when told.

pub(crate) mod replay;
pub(crate) mod restore;
pub(crate) mod retention;
