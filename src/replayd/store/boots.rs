//! Boots of upstreams: each life of a process that loses its state when it ends.

use crate::clock::UnixMillis;

/// One boot of an upstream cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot {
    /// The cluster.
    pub(crate) cluster: String,
    /// What `Reprise-Boot-Id` said.
    pub(crate) boot_id: String,
    /// When replayd heard of it.
    pub(crate) seen_at: UnixMillis,
    /// Whether unsafe client requests are refused, as it is not restored yet.
    pub(crate) closed: bool,
}
