//! What the upstream says that it ran.

use super::plan::{TRY, TryId};
use crate::upstream::Execution;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

/// A request that ran, as the upstream saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) id: TryId,
    /// Its place in the order of all that ran.
    pub(super) n: usize,
    pub(super) name: String,
    pub(super) caller: String,
    pub(super) body_hash: u64,
}

/// All that ran, by round and key, in order.
pub(super) type Journal = HashMap<(u64, u64), Vec<Ran>>;

/// Adds what the upstream ran; a request that broke off did not run.
pub(super) fn add(journal: &mut Journal, log: &[Execution]) {
    for ran in log.iter().filter(|seen| seen.ended).filter_map(ran) {
        journal.entry((ran.id.round, ran.id.key)).or_default().push(ran);
    }
}

fn ran(seen: &Execution) -> Option<Ran> {
    let header = |name| seen.header(name).unwrap_or_default().to_owned();
    Some(Ran {
        id: TryId::read(seen.header(TRY)?)?,
        n: seen.n,
        name: header("idempotency-key"),
        caller: header("authorization"),
        body_hash: seen.body_hash,
    })
}

/// Hashes a body as the upstream does.
pub(super) fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}
