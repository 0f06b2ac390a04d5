//! `/api/v1/captures`: what was captured, listed, shown, labelled, deleted.

mod change;
mod cursor;
mod files;
mod one;
mod row;
mod stats;

pub(super) use change::{__path_clear, __path_delete, __path_label, clear, delete, label};
pub(super) use files::{__path_export, __path_import, export, import};
pub(super) use one::{__path_request, __path_response, __path_show, request, response, show};
pub(super) use stats::{__path_stats, stats};

use super::access::Viewer;
use super::answer::{self, Page};
use super::input::Query;
use super::{Console, error};
use crate::app::filter::{CaptureFilter, FIELDS};
use crate::app::listing;
use crate::problem::Problem;
use crate::store::captures::CaptureQuery;
use ::http::HeaderMap;
use axum::extract::State;
use axum::response::Response;
use row::CaptureItem;
use serde_json::{Map, Value};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Array, ObjectBuilder, Required, Type};

/// Which captures, as parameters.
pub(super) struct FilterParams;

impl utoipa::IntoParams for FilterParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let param = |(name, what): &(&str, &str)| {
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(*what))
                .schema(Some(Array::new(text())))
                .build()
        };
        FIELDS.iter().map(param).collect()
    }
}

/// Lists captures.
///
/// Without any filter, order or columns those of `[captures.view]` count.
#[utoipa::path(get, path = "/api/v1/captures", tag = "captures", security(("token" = ["viewer"])),
    params(FilterParams,
        ("order_by" = Option<String>, Query, description = "`created`, `id`, `status` or `latency`; a `-` before it turns it round"),
        ("columns" = Option<String>, Query, description = "names of columns, separated by commas, or `__all__`"),
        ("limit" = Option<u32>, Query, description = "rows of the page: 1 to 500, 50 if not given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<CaptureItem>), (status = 304), (status = 400, body = super::openapi::ProblemBody)))]
pub(super) async fn list(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let page = page(&console, query).await?;
    answer::json(&asked, &page)
}

/// Lists captures, under the name that the seed gives them.
#[utoipa::path(get, path = "/api/v1/requests-history/", tag = "captures", security(("token" = ["viewer"])),
    params(FilterParams, ("order_by" = Option<String>, Query), ("columns" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Page<CaptureItem>), (status = 304), (status = 400, body = super::openapi::ProblemBody)))]
pub(super) async fn history(
    who: Viewer,
    console: State<Console>,
    asked: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    list(who, console, asked, query).await
}

async fn page(console: &Console, mut query: Query) -> Result<Page<Map<String, Value>>, Problem> {
    let view = &console.view;
    let filter = query.filter();
    let order = query.one("order_by", listing::order);
    let columns = query.one("columns", listing::columns);
    let limit = query.limit();
    let cursor = query.one("cursor", cursor::read);
    query.end()?;
    let order = match (order, &cursor) {
        (Some(order), Some((of, _))) if order != *of => {
            return Err(error::invalid("cursor: it belongs to a list in another order"));
        }
        (None, Some((of, _))) => *of,
        (order, _) => order.unwrap_or(view.order),
    };
    let meant = meant(filter.as_ref().unwrap_or(&view.filter))?;
    let after = cursor.map(|(_, place)| place);
    let found = console.captures.page(meant, order, after, limit).await?;
    let columns = columns.unwrap_or_else(|| view.columns.clone());
    let items: Result<Vec<_>, _> = found
        .rows
        .iter()
        .map(|row| CaptureItem::of(row).only(&columns))
        .collect();
    Ok(Page {
        items: items.map_err(|error| error::internal(&error))?,
        next: found.next.map(|place| cursor::write(order, place)),
    })
}

fn meant(filter: &CaptureFilter) -> Result<CaptureQuery, Problem> {
    filter.query().map_err(|problems| error::invalid_fields(&problems))
}

#[cfg(test)]
mod tests {
    use crate::http::tests::Daemon;
    use ::http::Request;
    use axum::body::Body;
    use serde_json::json;

    /// Case R11.
    #[tokio::test]
    async fn nobody_lists_or_clears_without_a_token() {
        let daemon = Daemon::five().await;
        for (method, path) in [
            ("GET", "/api/v1/captures"),
            ("DELETE", "/api/v1/captures?all=true"),
            ("GET", "/api/v1/requests-history/"),
            ("DELETE", "/api/v1/requests-history/clear/"),
            ("GET", "/api/v1/what-is-not-there"),
        ] {
            for token in [None, Some("Bearer x"), Some("Basic x")] {
                let mut request = Request::builder().method(method).uri(path);
                request = token
                    .into_iter()
                    .fold(request, |request, token| request.header("authorization", token));
                let answer = daemon.send(request, Body::empty()).await;
                answer.refused(401, "unauthorized");
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
        }
        assert_eq!(daemon.ask("GET", "/api/v1/captures", None).await.ids().len(), 5);
    }

    #[tokio::test]
    async fn a_list_is_read_page_by_page_in_its_order() {
        let daemon = Daemon::five().await;
        let mut path = "/api/v1/captures?order_by=-id&limit=2".to_owned();
        let mut seen = Vec::new();
        loop {
            let answer = daemon.ask("GET", &path, None).await;
            seen.push(answer.ids());
            let Some(next) = answer.json()["next"].as_str().map(str::to_owned) else {
                break;
            };
            path = format!("/api/v1/captures?limit=2&cursor={next}");
        }
        assert_eq!(seen, [vec![5, 4], vec![3, 2], vec![1]]);
    }

    #[tokio::test]
    async fn the_seeds_name_lists_from_a_number_on() {
        let daemon = Daemon::five().await;
        let answer = daemon.ask("GET", "/api/v1/requests-history/?id__gte=3", None).await;
        assert_eq!(answer.ids(), [3, 4, 5]);
    }

    #[tokio::test]
    async fn a_list_has_the_columns_asked_for() {
        let daemon = Daemon::with(&["/a?x=1"]).await;
        let answer = daemon
            .ask("GET", "/api/v1/captures?columns=path,status,latency_ms,created", None)
            .await;
        let want = json!({"path": "/a", "status": 201, "latency_ms": 2.5, "created": "1970-01-01T00:00:01.500Z"});
        assert_eq!(answer.json()["items"], json!([want]));
    }

    #[tokio::test]
    async fn every_problem_of_a_query_is_told_at_once() {
        let daemon = Daemon::five().await;
        let path = "/api/v1/captures?limit=501&order_by=size&colums=id&status=2xx&cursor=x";
        let detail = daemon.ask("GET", path, None).await.refused(400, "invalid-request");
        for words in [
            "limit: `501`",
            "order_by: `size`",
            "colums: unknown parameter; known are cluster, columns, cursor",
            "cursor: ",
        ] {
            assert!(detail.contains(words), "no `{words}` in {detail}");
        }
        let detail = daemon
            .ask("GET", "/api/v1/captures?status=9xx&since=x", None)
            .await
            .refused(400, "invalid-request");
        assert!(detail.contains("status: ") && detail.contains("since: "), "{detail}");
    }

    #[tokio::test]
    async fn a_cursor_of_another_order_is_refused() {
        let daemon = Daemon::five().await;
        let first = daemon.ask("GET", "/api/v1/captures?order_by=id&limit=1", None).await;
        let next = first.json()["next"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/captures?order_by=-id&cursor={next}");
        daemon.ask("GET", &path, None).await.refused(400, "invalid-request");
    }

    #[tokio::test]
    async fn a_view_counts_where_nothing_is_asked() {
        let mut daemon = Daemon::five().await;
        let view = crate::config::CapturesView {
            filter: serde_json::from_value(json!({"path": "/a*"})).unwrap(),
            order: crate::app::listing::order("-id").unwrap(),
            columns: vec!["id".to_owned()],
        };
        daemon.console.view = view.into();
        let answer = daemon.ask("GET", "/api/v1/captures", None).await;
        assert_eq!(answer.json()["items"], json!([{"id": 3}, {"id": 1}]));
        assert_eq!(daemon.ask("GET", "/api/v1/captures?path=/b", None).await.ids(), [2]);
    }

    #[tokio::test]
    async fn a_list_that_did_not_change_is_not_sent_again() {
        let daemon = Daemon::five().await;
        let first = daemon.ask("GET", "/api/v1/captures", None).await;
        let token = daemon.token(crate::store::access::Role::Viewer).await;
        let again = Request::get("/api/v1/captures")
            .header("authorization", format!("Bearer {token}"))
            .header("if-none-match", &first.headers["etag"]);
        assert_eq!(daemon.send(again, Body::empty()).await.status, 304);
    }
}
