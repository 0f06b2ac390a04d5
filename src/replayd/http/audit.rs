//! `/api/v1/audit`: who did what.

use super::Console;
use super::access::Admin;
use super::answer::{self, Page};
use super::input::Query;
use super::openapi::ProblemBody;
use crate::app::access::Who;
use crate::problem::Problem;
use crate::store::access::AuditRow;
use crate::store::{cut, one_more};
use ::http::HeaderMap;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;
use utoipa::ToSchema;

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    /// Its number; later ones are greater.
    id: i64,
    /// When it began: RFC 3339, UTC.
    at: String,
    /// Who.
    actor: String,
    /// What: a noun and a verb, as in `captures.delete`.
    action: String,
    /// To what, and how.
    #[schema(value_type = Object)]
    detail: Value,
    /// What became of it; null if it runs, or if the daemon ended before it did.
    outcome: Option<String>,
}

/// Something that is about to be done.
pub(super) struct Act<'a> {
    /// Who does it.
    pub(super) who: &'a Who,
    /// What: a noun and a verb.
    pub(super) action: &'static str,
    /// To what, and how.
    pub(super) detail: Value,
}

impl Console {
    /// Does `work`; that it begins is written down before, and afterwards what `told` says of it.
    ///
    /// # Errors
    /// The work's; or that nothing can be written down, and then nothing was done.
    pub(super) async fn audited<T, E: Display + Into<Problem>>(
        &self,
        act: Act<'_>,
        work: impl Future<Output = Result<T, E>>,
        told: impl FnOnce(&T) -> String,
    ) -> Result<T, Problem> {
        let detail = act.detail.to_string();
        let begun = self.access.begin(act.who, act.action, detail, self.clock.now()).await?;
        let done = work.await;
        let outcome = match &done {
            Ok(done) => told(done),
            Err(error) => format!("failed: {error}"),
        };
        self.access.end(begun, outcome).await;
        done.map_err(Into::into)
    }
}

/// Lists what was done, the newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "access", security(("token" = ["admin"])),
    params(("limit" = Option<u32>, Query, description = "rows of the page: 1 to 500, 50 if not given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<AuditView>), (status = 304), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    Admin(_): Admin,
    State(console): State<Console>,
    asked: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.limit();
    let before = query.parsed::<i64>("cursor");
    query.end()?;
    let mut rows = console.access.audits(before, one_more(limit)).await?;
    let is_more = cut(&mut rows, limit);
    let next = rows.last().filter(|_| is_more).map(|row| row.id.to_string());
    let items = rows.into_iter().map(AuditView::from).collect();
    answer::json(&asked, &Page { items, next })
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at.to_rfc3339(),
            actor: row.actor,
            action: row.action,
            detail: serde_json::from_str(&row.detail).unwrap_or(Value::String(row.detail)),
            outcome: row.outcome,
        }
    }
}
