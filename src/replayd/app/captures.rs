//! Captures: taken in, shown, labelled, deleted. Which are meant is in the filter's file.

use super::boots::Boots;
use super::seal::{SealError, SealKey};
use crate::clock::UnixMillis;
use crate::store::StoreError;
use crate::store::captures::{
    Appended, Capture, CaptureId, CaptureOrder, CaptureQuery, CaptureRow, CaptureStats, Captures as Store, Cursor,
    Deleted, Page, Retention, StreamBatch, Taken,
};
use reprise_core::wire::Sealed;
use std::sync::Arc;
use thiserror::Error;

/// The use cases of captures; clones are the same.
#[derive(Clone)]
pub(crate) struct Captures {
    store: Arc<dyn Store>,
    boots: Boots,
    seal: SealKey,
}

/// Why a batch was not taken in.
#[derive(Debug, Error)]
pub(crate) enum AppendError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be sealed could not be.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Captures {
    /// Works on `store`; what is sealed is encrypted with `seal`.
    pub(crate) fn new(store: Arc<dyn Store>, boots: Boots, seal: SealKey) -> Self {
        Self { store, boots, seal }
    }

    /// Takes a batch in; returns when it is on disk.
    ///
    /// Atomic: all of it, or nothing.
    /// Again: what is here is acknowledged and not stored again.
    pub(crate) async fn append(&self, mut batch: StreamBatch) -> Result<Appended, AppendError> {
        for new in &mut batch.captures {
            self.seal.seal(&mut new.capture.sealed)?;
        }
        let (boots, now) = (std::mem::take(&mut batch.boots), batch.received_at);
        let appended = self.store.append(batch).await?;
        for boot in &boots {
            self.boots.seen(boot, now).await?;
        }
        Ok(appended)
    }

    /// Stores captures that come from a file.
    ///
    /// Atomic: all or none.
    /// Again: what is here already is left out.
    pub(crate) async fn import(&self, captures: Vec<Capture>, now: UnixMillis) -> Result<Taken, StoreError> {
        self.store.import(captures, now).await
    }

    /// Shows one page of a list.
    pub(crate) async fn page(
        &self,
        query: CaptureQuery,
        order: CaptureOrder,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page<CaptureRow>, StoreError> {
        self.store.page(query, order, after, limit).await
    }

    /// Shows one capture, whole.
    pub(crate) async fn capture(&self, id: CaptureId) -> Result<Option<Capture>, StoreError> {
        self.store.capture(id).await
    }

    /// Shows many captures, whole, in the order of `ids`; those that are gone are left out.
    pub(crate) async fn captures(&self, ids: Vec<CaptureId>) -> Result<Vec<Capture>, StoreError> {
        self.store.captures(ids).await
    }

    /// Shows the key of what nobody may read at rest.
    pub(crate) const fn seal_key(&self) -> &SealKey {
        &self.seal
    }

    /// Opens what was sealed of a capture: each token, and what it stands for.
    pub(crate) fn unseal(&self, capture: &Capture) -> Result<Vec<Sealed>, SealError> {
        let open = |sealed: &Sealed| {
            Ok(Sealed {
                token: sealed.token.clone(),
                value: self.seal.open(sealed)?,
            })
        };
        capture.sealed.iter().map(open).collect()
    }

    /// Adds and takes labels; tells how many captures were meant.
    pub(crate) async fn label(
        &self,
        query: CaptureQuery,
        add: Vec<String>,
        remove: Vec<String>,
    ) -> Result<u64, StoreError> {
        self.store.label(query, add, remove).await
    }

    /// Deletes captures that are not pinned.
    pub(crate) async fn delete(&self, query: CaptureQuery) -> Result<Deleted, StoreError> {
        self.store.delete(query).await
    }

    /// Counts.
    pub(crate) async fn stats(&self) -> Result<CaptureStats, StoreError> {
        self.store.capture_stats().await
    }

    /// Deletes everything that `retention` does not keep, in steps that nobody waits long for; tells how much.
    pub(crate) async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        let mut sum = 0_u64;
        loop {
            let deleted = self.store.retain(retention).await?;
            sum = sum.saturating_add(deleted);
            if deleted < retention.count_max {
                return Ok(sum);
            }
        }
    }

    /// Takes what has begun in streams that were silent since `before` to the state unknown; tells how many.
    pub(crate) async fn give_up(&self, before: UnixMillis) -> Result<u64, StoreError> {
        self.store.give_up(before).await
    }
}
