//! What people change: labels, and what is kept at all.

use super::meant;
use crate::app::filter::{self, CaptureFilter};
use crate::http::access::{Admin, Operator};
use crate::http::audit::Act;
use crate::http::input::{Json, Query};
use crate::http::{Console, answer, error};
use crate::problem::Problem;
use crate::store::captures::{CaptureQuery, Deleted};
use ::http::HeaderMap;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// Labels that come and go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LabelRequest {
    /// Which captures: the parameters of the list.
    #[schema(value_type = Object)]
    filter: CaptureFilter,
    /// Labels that come.
    #[serde(default)]
    add: Vec<String>,
    /// Labels that go.
    #[serde(default)]
    remove: Vec<String>,
}

/// How many captures were meant.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Labelled {
    /// How many.
    labelled: u64,
}

/// What became of the captures that were meant.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DeletedView {
    /// How many are gone.
    deleted: u64,
    /// How many stay, because replays that run or can be resumed need them.
    pinned: u64,
    /// Those replays.
    replays: Vec<PinnedBy>,
}

/// A replay that needs captures.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PinnedBy {
    /// Its number.
    id: i64,
    /// Its state.
    state: String,
}

impl From<Deleted> for DeletedView {
    fn from(done: Deleted) -> Self {
        let replays = done.replays.into_iter();
        Self {
            deleted: done.deleted,
            pinned: done.pinned,
            replays: replays.map(|(id, state)| PinnedBy { id, state }).collect(),
        }
    }
}

/// Adds and takes labels.
#[utoipa::path(post, path = "/api/v1/captures/labels", tag = "captures", security(("token" = ["operator"])),
    request_body = LabelRequest,
    responses((status = 200, body = Labelled), (status = 400, body = crate::http::openapi::ProblemBody),
        (status = 422, body = crate::http::openapi::ProblemBody)))]
pub(in crate::http) async fn label(
    Operator(_): Operator,
    State(console): State<Console>,
    query: Query,
    Json(wish): Json<LabelRequest>,
) -> Result<Response, Problem> {
    query.end()?;
    let wrong = wish
        .add
        .iter()
        .chain(&wish.remove)
        .find_map(|label| filter::label(label).err());
    if let Some(problem) = wrong {
        return Err(error::unprocessable(problem));
    }
    if wish.add.is_empty() && wish.remove.is_empty() {
        return Err(error::unprocessable("neither `add` nor `remove` names a label"));
    }
    let labelled = console
        .captures
        .label(meant(&wish.filter)?, wish.add, wish.remove)
        .await?;
    answer::json(&HeaderMap::new(), &Labelled { labelled })
}

/// Deletes captures; those that a replay needs, which runs or can be resumed, stay.
///
/// Without a filter nothing is deleted, unless `all=true` says so.
#[utoipa::path(delete, path = "/api/v1/captures", tag = "captures", security(("token" = ["admin"])),
    params(super::FilterParams, ("all" = Option<bool>, Query, description = "`true` = everything, where no filter is given")),
    responses((status = 200, body = DeletedView), (status = 400, body = crate::http::openapi::ProblemBody)))]
pub(in crate::http) async fn delete(
    admin: Admin,
    State(console): State<Console>,
    mut query: Query,
) -> Result<Response, Problem> {
    let filter = query.filter();
    let all = query.parsed::<bool>("all").unwrap_or_default();
    query.end()?;
    let filter = match (filter, all) {
        (Some(_), true) => return Err(error::invalid("all: a filter is given as well; one of them is allowed")),
        (Some(filter), false) => filter,
        (None, true) => CaptureFilter::default(),
        (None, false) => return Err(error::invalid("no filter is given; `all=true` deletes everything")),
    };
    let meant = meant(&filter)?;
    remove(admin, &console, "captures.delete", &filter, meant).await
}

/// Deletes all captures, under the name that the seed gives them.
#[utoipa::path(delete, path = "/api/v1/requests-history/clear/", tag = "captures", security(("token" = ["admin"])),
    responses((status = 200, body = DeletedView), (status = 400, body = crate::http::openapi::ProblemBody)))]
pub(in crate::http) async fn clear(
    admin: Admin,
    State(console): State<Console>,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let (filter, meant) = (CaptureFilter::default(), CaptureQuery::default());
    remove(admin, &console, "captures.clear", &filter, meant).await
}

async fn remove(
    Admin(who): Admin,
    console: &Console,
    action: &'static str,
    filter: &CaptureFilter,
    meant: CaptureQuery,
) -> Result<Response, Problem> {
    let act = Act {
        who: &who,
        action,
        detail: json!({ "filter": filter }),
    };
    let work = console.captures.delete(meant);
    let done = console
        .audited(act, work, |done| format!("deleted {}", done.deleted))
        .await?;
    answer::json(&HeaderMap::new(), &DeletedView::from(done))
}

#[cfg(test)]
mod tests {
    use crate::http::tests::Daemon;
    use serde_json::json;

    #[tokio::test]
    async fn labels_come_and_go_where_they_are_meant() {
        let daemon = Daemon::five().await;
        let wish = json!({"filter": {"path": "/a*"}, "add": ["bug", "old"]});
        let done = daemon.ask("POST", "/api/v1/captures/labels", Some(wish)).await;
        assert_eq!(done.json(), json!({"labelled": 2}));
        let wish = json!({"filter": {"id": 3}, "remove": ["bug"]});
        daemon.ask("POST", "/api/v1/captures/labels", Some(wish)).await;
        assert_eq!(
            daemon.ask("GET", "/api/v1/captures?label=bug,old", None).await.ids(),
            [1]
        );
        assert_eq!(
            daemon.ask("GET", "/api/v1/captures?label=old", None).await.ids(),
            [1, 3]
        );
    }

    #[tokio::test]
    async fn a_label_that_cannot_be_asked_for_is_refused() {
        let daemon = Daemon::five().await;
        for wish in [
            json!({"filter": {}, "add": ["a,b"]}),
            json!({"filter": {}}),
            json!({"add": ["x"], "filtre": {}}),
        ] {
            daemon
                .ask("POST", "/api/v1/captures/labels", Some(wish))
                .await
                .refused(422, "invalid-content");
        }
    }

    #[tokio::test]
    async fn what_is_deleted_is_named_or_everything_and_audited() {
        let daemon = Daemon::five().await;
        daemon
            .ask("DELETE", "/api/v1/captures", None)
            .await
            .refused(400, "invalid-request");
        daemon
            .ask("DELETE", "/api/v1/captures?all=true&id=1", None)
            .await
            .refused(400, "invalid-request");
        daemon
            .ask("DELETE", "/api/v1/captures?all=1", None)
            .await
            .refused(400, "invalid-request");
        let some = daemon.ask("DELETE", "/api/v1/captures?path=/a*", None).await;
        assert_eq!(some.json(), json!({"deleted": 2, "pinned": 0, "replays": []}));
        let rest = daemon.ask("DELETE", "/api/v1/requests-history/clear/", None).await;
        assert_eq!(rest.json(), json!({"deleted": 3, "pinned": 0, "replays": []}));
        let audit = daemon.ask("GET", "/api/v1/audit", None).await.json();
        let row = |at: usize| {
            let row = &audit["items"][at];
            (row["actor"].clone(), row["action"].clone(), row["outcome"].clone())
        };
        assert_eq!(row(0), (json!("admin"), json!("captures.clear"), json!("deleted 3")));
        assert_eq!(row(1), (json!("admin"), json!("captures.delete"), json!("deleted 2")));
        assert_eq!(audit["items"][1]["detail"], json!({"filter": {"path": ["/a*"]}}));
    }
}
