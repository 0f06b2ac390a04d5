//! The use cases: read, decide by the core, write. No HTTP and no SQL.

pub(crate) mod access;
pub(crate) mod boots;
pub(crate) mod captures;
pub(crate) mod filter;
pub(crate) mod listing;
pub(crate) mod policy;
pub(crate) mod replays;
pub(crate) mod seal;
