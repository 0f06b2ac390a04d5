//! Which boot of each upstream is known, and whether its gate is closed: a new boot has lost what the one before it knew.

use crate::clock::UnixMillis;
use crate::store::{Boot, SqliteStore, StoreError};
use reprise_core::wire;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The boots of all upstream clusters; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Boots {
    store: SqliteStore,
    // One at a time: what is known decides what is written.
    turn: Arc<Mutex<()>>,
    known: watch::Sender<Arc<Vec<Boot>>>,
}

impl Boots {
    /// Remembers what is in `store`.
    pub(crate) async fn load(store: SqliteStore) -> Result<Self, StoreError> {
        let known = watch::Sender::new(Arc::new(store.boots().await?));
        Ok(Self {
            store,
            turn: Arc::default(),
            known,
        })
    }

    /// Hears that a proxy saw `told` of its upstream; tells whether that is news.
    ///
    /// The first boot of a cluster is open, as there is nothing to restore, unless the proxy knew one before it. Every
    /// later one is closed until [`Self::open`]. Again: a boot that was heard of is no news, also an old one.
    pub(crate) async fn seen(&self, told: &wire::Boot, now: UnixMillis) -> Result<bool, StoreError> {
        if !self.is_news(told) {
            return Ok(false);
        }
        let _turn = self.turn.lock().await;
        if !self.is_news(told) {
            return Ok(false);
        }
        let is_first = !self.known.borrow().iter().any(|boot| boot.cluster == told.cluster);
        let boot = Boot {
            cluster: told.cluster.clone(),
            boot_id: told.boot_id.clone(),
            seen_at: now,
            closed: !is_first || !told.before.is_empty(),
        };
        self.store.add_boot(boot.clone()).await?;
        tracing::info!(
            cluster = boot.cluster,
            boot_id = boot.boot_id,
            closed = boot.closed,
            "new boot"
        );
        self.known.send_modify(|known| Arc::make_mut(known).push(boot));
        Ok(true)
    }

    /// Opens the gate of a boot: it is restored, or there is nothing to restore.
    ///
    /// One that no proxy told of yet is known from now on, so that its gate does not close behind the restore.
    pub(crate) async fn open(&self, cluster: &str, boot_id: &str, now: UnixMillis) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let is_it = |boot: &Boot| boot.cluster == cluster && boot.boot_id == boot_id;
        if !self.known.borrow().iter().any(is_it) {
            let boot = Boot {
                cluster: cluster.to_owned(),
                boot_id: boot_id.to_owned(),
                seen_at: now,
                closed: false,
            };
            self.store.add_boot(boot.clone()).await?;
            self.known.send_modify(|known| Arc::make_mut(known).push(boot));
            return Ok(());
        }
        self.store.open_boot(cluster.to_owned(), boot_id.to_owned()).await?;
        self.known.send_modify(|known| {
            for boot in Arc::make_mut(known).iter_mut().filter(|boot| is_it(boot)) {
                boot.closed = false;
            }
        });
        Ok(())
    }

    /// Shows the newest boot of each cluster.
    pub(crate) fn newest(&self) -> Vec<Boot> {
        newest(&self.known.borrow())
    }

    /// Watches every boot that was heard of, oldest first; the last of a cluster counts.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Vec<Boot>>> {
        self.known.subscribe()
    }

    fn is_news(&self, told: &wire::Boot) -> bool {
        let is_it = |boot: &Boot| boot.cluster == told.cluster && boot.boot_id == told.boot_id;
        !told.boot_id.is_empty() && !self.known.borrow().iter().any(is_it)
    }
}

/// Picks the newest boot of each cluster, in the order of the clusters' names.
pub(crate) fn newest(known: &[Boot]) -> Vec<Boot> {
    let by_name = known.iter().map(|boot| (&boot.cluster, boot));
    let newest: std::collections::BTreeMap<_, _> = by_name.collect();
    newest.into_values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(boot_id: &str, before: &str) -> wire::Boot {
        wire::Boot {
            cluster: "upstream".into(),
            boot_id: boot_id.into(),
            before: before.into(),
        }
    }

    async fn boots(dir: &tempfile::TempDir) -> Boots {
        let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
        Boots::load(store).await.unwrap()
    }

    fn gate(boots: &Boots) -> Vec<(String, bool)> {
        let newest = boots.newest().into_iter();
        newest.map(|boot| (boot.boot_id, boot.closed)).collect()
    }

    #[tokio::test]
    async fn the_first_boot_is_open_and_a_later_one_closed_until_it_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let boots = boots(&dir).await;
        assert!(boots.seen(&told("b1", ""), UnixMillis(1)).await.unwrap());
        assert_eq!(gate(&boots), [("b1".into(), false)]);
        assert!(boots.seen(&told("b2", "b1"), UnixMillis(2)).await.unwrap());
        assert_eq!(gate(&boots), [("b2".into(), true)]);
        boots.open("upstream", "b2", UnixMillis(3)).await.unwrap();
        assert_eq!(gate(&boots), [("b2".into(), false)]);
    }

    #[tokio::test]
    async fn a_first_boot_that_the_proxy_saw_change_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let boots = boots(&dir).await;
        boots.seen(&told("b2", "b1"), UnixMillis(1)).await.unwrap();
        assert_eq!(gate(&boots), [("b2".into(), true)]);
    }

    #[tokio::test]
    async fn a_proxy_that_is_late_with_an_old_boot_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let boots = boots(&dir).await;
        for boot_id in ["b1", "b2"] {
            boots.seen(&told(boot_id, ""), UnixMillis(1)).await.unwrap();
        }
        assert!(!boots.seen(&told("b1", ""), UnixMillis(2)).await.unwrap());
        assert!(!boots.seen(&told("", ""), UnixMillis(2)).await.unwrap());
        assert_eq!(gate(&boots), [("b2".into(), true)]);
    }

    #[tokio::test]
    async fn a_boot_that_was_opened_before_a_proxy_told_of_it_stays_open() {
        let dir = tempfile::tempdir().unwrap();
        let boots = boots(&dir).await;
        boots.seen(&told("b1", ""), UnixMillis(1)).await.unwrap();
        boots.open("upstream", "b2", UnixMillis(2)).await.unwrap();
        assert!(!boots.seen(&told("b2", "b1"), UnixMillis(3)).await.unwrap());
        assert_eq!(gate(&boots), [("b2".into(), false)]);
    }

    #[tokio::test]
    async fn gates_outlive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        for boot_id in ["b1", "b2", "b3"] {
            let before = boots(&dir).await;
            before.seen(&told(boot_id, ""), UnixMillis(1)).await.unwrap();
        }
        boots(&dir).await.open("upstream", "b2", UnixMillis(2)).await.unwrap();
        assert_eq!(gate(&boots(&dir).await), [("b3".into(), true)]);
    }

    #[tokio::test]
    async fn whoever_watches_hears_of_a_new_boot() {
        let dir = tempfile::tempdir().unwrap();
        let boots = boots(&dir).await;
        let mut watch = boots.watch();
        boots.seen(&told("b1", ""), UnixMillis(1)).await.unwrap();
        watch.changed().await.unwrap();
        assert_eq!(watch.borrow().len(), 1);
    }
}
