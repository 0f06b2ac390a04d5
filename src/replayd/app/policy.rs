//! What replayd tells all filters: the keys of this installation, and the boot gates.

use super::boots::Boots;
use crate::clock::UnixMillis;
use crate::store::{Secrets, SqliteStore, StoreError};
use prost::Message as _;
use reprise_core::wire;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Bytes of a tag that tells policies apart.
const TAG_BYTES: usize = 16;

/// Makes the policy; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    secrets: Arc<Secrets>,
    boots: Boots,
}

/// A policy as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Tells it apart from every other; hex digits.
    pub(crate) tag: String,
    /// The message.
    pub(crate) bytes: Vec<u8>,
}

/// Why there is no policy.
#[derive(Debug, Error)]
pub(crate) enum PolicyError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random(#[source] io::Error),
}

impl Policy {
    /// Reads the keys of this installation; the first start draws them.
    ///
    /// Again: the keys are kept.
    pub(crate) async fn load(store: &SqliteStore, boots: Boots, now: UnixMillis) -> Result<Self, PolicyError> {
        let secrets = store
            .secrets(Secrets::draw().map_err(PolicyError::Random)?, now)
            .await?;
        Ok(Self {
            secrets: Arc::new(secrets),
            boots,
        })
    }

    /// Shows the key of tokens and hashes of what is redacted.
    pub(crate) fn redaction_key(&self) -> &[u8; 32] {
        &self.secrets.redaction
    }

    /// Shows the keys of `Replayd-Signature`, the newest first.
    pub(crate) fn signature_keys(&self) -> &[[u8; 32]] {
        &self.secrets.signatures
    }

    /// Encodes the policy as it is now.
    pub(crate) fn encoded(&self) -> Encoded {
        let gate = |boot: crate::store::Boot| wire::Gate {
            cluster: boot.cluster,
            boot_id: boot.boot_id,
            closed: boot.closed,
        };
        let policy = wire::Policy {
            redaction_key: self.secrets.redaction.to_vec(),
            signature_keys: self.secrets.signatures.iter().map(|key| key.to_vec()).collect(),
            gates: self.boots.newest().into_iter().map(gate).collect(),
        };
        let bytes = policy.encode_to_vec();
        let digest = blake3::hash(&bytes);
        let tag = digest.as_bytes().iter().take(TAG_BYTES);
        Encoded {
            tag: tag.map(|byte| format!("{byte:02x}")).collect(),
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn policy(dir: &tempfile::TempDir) -> Policy {
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        let boots = Boots::load(store.clone()).await.unwrap();
        Policy::load(&store, boots, UnixMillis(1)).await.unwrap()
    }

    #[tokio::test]
    async fn keys_are_drawn_once() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, elsewhere) = (policy(&dir).await, policy(&other).await);
        assert_eq!(first.encoded(), policy(&dir).await.encoded());
        assert_ne!(first.signature_keys(), elsewhere.signature_keys());
        let read = wire::Policy::decode(&*first.encoded().bytes).unwrap();
        assert_eq!((read.redaction_key.len(), read.signature_keys.len()), (32, 1));
        assert_ne!(read.redaction_key, read.signature_keys[0]);
    }

    #[tokio::test]
    async fn a_gate_that_changes_changes_the_tag() {
        let dir = tempfile::tempdir().unwrap();
        let policy = policy(&dir).await;
        let none = policy.encoded();
        let boot = wire::Boot {
            cluster: "upstream".into(),
            boot_id: "b2".into(),
            before: "b1".into(),
        };
        policy.boots.seen(&boot, UnixMillis(1)).await.unwrap();
        let closed = policy.encoded();
        policy.boots.open("upstream", "b2", UnixMillis(2)).await.unwrap();
        let open = policy.encoded();
        assert!(none.tag != closed.tag && closed.tag != open.tag && open.tag != none.tag);
        assert!(wire::Policy::decode(&*closed.bytes).unwrap().gates[0].closed);
    }
}
