//! The store in memory, for tests of whoever uses one; it keeps the same promises, but for the disk.

mod access;
mod captures;
mod replays;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The store in memory; clones share what is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore {
    captures: Arc<Mutex<captures::Shelf>>,
    access: Arc<Mutex<access::Shelf>>,
    replays: Arc<Mutex<replays::Shelf>>,
    /// Replays and the captures that they still need.
    pins: Arc<Mutex<BTreeSet<(i64, i64)>>>,
}

impl MemoryStore {
    /// Keeps `capture` for `replay`.
    pub(crate) fn pin(&self, replay: i64, capture: i64) {
        lock(&self.pins).insert((replay, capture));
    }
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
