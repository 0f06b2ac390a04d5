//! What a spec names that is not there: a replay of nothing is a mistake of whoever asked for it.

use super::meant::{Meant, invalid};
use super::{Kind, ReplayError, ReplaySpec, Replays, named};
use crate::store::captures::{CaptureColumn, CaptureId, CaptureOrder, CaptureQuery};
use std::collections::BTreeSet;

/// The order in which captures are looked for; any would do.
const ORDER: CaptureOrder = CaptureOrder {
    by: CaptureColumn::Id,
    descending: false,
};

impl Replays {
    /// Tells why a spec is about nothing; none if it is about something, or a restore that may have nothing to do.
    ///
    /// # Errors
    /// [`ReplayError::Invalid`] if the replay whose noise it takes is not there.
    pub(super) async fn about_nothing(&self, spec: &ReplaySpec, meant: &Meant) -> Result<Option<String>, ReplayError> {
        if let Some(id) = spec.compare.noise_from
            && self.parts.store.replay(id).await?.is_none()
        {
            return Err(invalid("compare.noise_from", format!("there is no replay {id}")));
        }
        let absent = self.absent(&meant.query.ids).await?;
        if let [_, others @ ..] = &*absent {
            let are = if others.is_empty() { "is no" } else { "are no" };
            return Ok(Some(format!("there {are} {}", named(&absent))));
        }
        let is_nothing = spec.kind == Kind::Replay && self.found(meant.query.clone(), 1).await?.is_empty();
        Ok(is_nothing.then(|| format!("no capture fits{}", asked(spec))))
    }

    /// Finds out which of these captures are not there.
    async fn absent(&self, ids: &[i64]) -> Result<Vec<i64>, ReplayError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = CaptureQuery {
            ids: ids.to_vec(),
            ..CaptureQuery::default()
        };
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let found: BTreeSet<_> = self.found(query, limit).await?.into_iter().collect();
        Ok(ids
            .iter()
            .copied()
            .filter(|id| !found.contains(&CaptureId(*id)))
            .collect())
    }

    async fn found(&self, query: CaptureQuery, limit: u32) -> Result<Vec<CaptureId>, ReplayError> {
        let page = self.parts.captures.page(query, ORDER, None, limit).await?;
        Ok(page.rows.into_iter().map(|row| row.id).collect())
    }
}

/// Tells which captures were asked for.
fn asked(spec: &ReplaySpec) -> String {
    let query = serde_json::to_string(&spec.query).unwrap_or_default();
    let filter = Some(query)
        .filter(|query| query != "{}")
        .map(|query| format!(" {query}"));
    let from = spec.start_from_id.map(|id| format!(" from capture {id} on"));
    let without = spec.excluded_urls.join(", ");
    let without = (!without.is_empty()).then(|| format!(" without {without}"));
    let parts: String = [filter, from, without].into_iter().flatten().collect();
    if parts.is_empty() {
        return ": nothing is captured yet".to_owned();
    }
    parts
}
