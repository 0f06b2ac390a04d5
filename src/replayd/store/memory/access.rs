//! Tokens and audit rows in memory, for tests of what stands above the store.

use super::{MemoryStore, lock};
use crate::clock::UnixMillis;
use crate::store::Pending;
use crate::store::access::{Access, AuditRow, Digest, NewAudit, NewToken, TokenRow};

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    tokens: Vec<(Digest, TokenRow)>,
    tokens_made: i64,
    audits: Vec<AuditRow>,
}

fn ready<'a, T: Send + 'a>(value: T) -> Pending<'a, T> {
    Box::pin(async move { Ok(value) })
}

impl Access for MemoryStore {
    fn add_token(&self, token: NewToken) -> Pending<'_, Option<TokenRow>> {
        let mut kept = lock(&self.access);
        if kept.tokens.iter().any(|(_, row)| row.name == token.name) {
            return ready(None);
        }
        kept.tokens_made = kept.tokens_made.saturating_add(1);
        let row = TokenRow {
            id: kept.tokens_made,
            name: token.name,
            role: token.role,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            used_at: None,
        };
        kept.tokens.push((token.digest, row.clone()));
        ready(Some(row))
    }

    fn tokens(&self) -> Pending<'_, Vec<TokenRow>> {
        let mut rows: Vec<_> = lock(&self.access).tokens.iter().map(|(_, row)| row.clone()).collect();
        rows.sort_by(|one, two| one.name.cmp(&two.name));
        ready(rows)
    }

    fn token(&self, digest: Digest) -> Pending<'_, Option<TokenRow>> {
        let kept = lock(&self.access);
        let found = kept.tokens.iter().find(|(each, _)| *each == digest);
        ready(found.map(|(_, row)| row.clone()))
    }

    fn use_token(&self, id: i64, at: UnixMillis) -> Pending<'_, ()> {
        let mut kept = lock(&self.access);
        if let Some((_, row)) = kept.tokens.iter_mut().find(|(_, row)| row.id == id) {
            row.used_at = Some(at);
        }
        ready(())
    }

    fn revoke_token(&self, name: String) -> Pending<'_, bool> {
        let mut kept = lock(&self.access);
        let before = kept.tokens.len();
        kept.tokens.retain(|(_, row)| row.name != name);
        ready(kept.tokens.len() < before)
    }

    fn audit(&self, row: NewAudit) -> Pending<'_, i64> {
        let mut kept = lock(&self.access);
        let id = kept.audits.last().map_or(1, |last| last.id.saturating_add(1));
        kept.audits.push(AuditRow {
            id,
            at: row.at,
            actor: row.actor,
            action: row.action.to_owned(),
            detail: row.detail,
            outcome: None,
        });
        ready(id)
    }

    fn end_audit(&self, id: i64, outcome: String) -> Pending<'_, ()> {
        let mut kept = lock(&self.access);
        if let Some(row) = kept.audits.iter_mut().find(|row| row.id == id) {
            row.outcome = Some(outcome);
        }
        ready(())
    }

    fn audits(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<AuditRow>> {
        let kept = lock(&self.access);
        let newest = kept.audits.iter().rev();
        let older = newest.filter(|row| before.is_none_or(|before| row.id < before));
        ready(
            older
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .cloned()
                .collect(),
        )
    }
}
