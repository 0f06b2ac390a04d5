//! One capture: whole, and its bodies.

use super::row::{self, CaptureDetail};
use crate::http::access::Viewer;
use crate::http::input::{Id, Query};
use crate::http::openapi::ProblemBody;
use crate::http::{Console, answer, error};
use crate::problem::Problem;
use crate::store::captures::{Capture, CaptureId};
use ::http::HeaderMap;
use axum::extract::State;
use axum::response::Response;

/// Shows one capture, whole; long bodies and those that are not text are left to the two addresses below it.
#[utoipa::path(get, path = "/api/v1/captures/{id}", tag = "captures", security(("token" = ["viewer"])),
    params(("id" = i64, Path)),
    responses((status = 200, body = CaptureDetail), (status = 304), (status = 404, body = ProblemBody)))]
pub(in crate::http) async fn show(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    Id(id): Id,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let capture = find(&console, id).await?;
    answer::json(&asked, &CaptureDetail::of(&capture))
}

/// Gives the request's body, byte for byte as it is kept.
#[utoipa::path(get, path = "/api/v1/captures/{id}/request", tag = "captures", security(("token" = ["viewer"])),
    params(("id" = i64, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 304),
        (status = 404, body = ProblemBody)))]
pub(in crate::http) async fn request(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    Id(id): Id,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let capture = find(&console, id).await?;
    Ok(row::body(&asked, id, "request", capture.request))
}

/// Gives the response's body, byte for byte as it is kept.
#[utoipa::path(get, path = "/api/v1/captures/{id}/response", tag = "captures", security(("token" = ["viewer"])),
    params(("id" = i64, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 304),
        (status = 404, body = ProblemBody)))]
pub(in crate::http) async fn response(
    _: Viewer,
    State(console): State<Console>,
    asked: HeaderMap,
    Id(id): Id,
    query: Query,
) -> Result<Response, Problem> {
    query.end()?;
    let capture = find(&console, id).await?;
    let half = capture.response;
    let half = half.ok_or_else(|| error::missing(format!("capture {id} has no response")))?;
    Ok(row::body(&asked, id, "response", half))
}

async fn find(console: &Console, id: i64) -> Result<Capture, Problem> {
    let found = console.captures.capture(CaptureId(id)).await?;
    found.ok_or_else(|| error::missing(format!("there is no capture {id}")))
}

#[cfg(test)]
mod tests {
    use crate::clock::UnixMillis;
    use crate::http::tests::{Daemon, capture};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_capture_is_shown_whole() {
        let daemon = Daemon::with(&["/a?x=1"]).await;
        let shown = daemon.ask("GET", "/api/v1/captures/1", None).await.json();
        assert_eq!((&shown["id"], &shown["state"]), (&json!(1), &json!("completed")));
        assert_eq!(
            shown["request"]["headers"][3],
            json!({"name": ":path", "value": "/a?x=1"})
        );
        assert_eq!(
            (&shown["request"]["body"]["bytes"], &shown["request"]["body"]["text"]),
            (&json!(4), &Value::Null)
        );
        assert_eq!(shown["response"]["body"]["text"], "ok");
        for path in ["/api/v1/captures/2", "/api/v1/captures/x", "/api/v1/captures/0"] {
            daemon.ask("GET", path, None).await.refused(404, "not-found");
        }
    }

    #[tokio::test]
    async fn a_body_is_given_byte_for_byte_and_never_shown() {
        let daemon = Daemon::with(&["/a"]).await;
        let body = daemon.ask("GET", "/api/v1/captures/1/request", None).await;
        assert_eq!(body.bytes, b"\xffask");
        let disposition = "attachment; filename=\"capture-1-request.bin\"";
        assert_eq!(body.headers["content-disposition"], disposition);
        assert_eq!(body.headers["x-content-type-options"], "nosniff");
        assert_eq!(body.headers["reprise-body-bytes"], "4");
        assert_eq!(
            daemon.ask("GET", "/api/v1/captures/1/response", None).await.bytes,
            b"ok"
        );
    }

    #[tokio::test]
    async fn a_capture_without_response_has_no_body_of_one() {
        let daemon = Daemon::start().await;
        let mut lost = capture("/a");
        lost.response = None;
        daemon.console.captures.import(vec![lost], UnixMillis(0)).await.unwrap();
        daemon
            .ask("GET", "/api/v1/captures/1/response", None)
            .await
            .refused(404, "not-found");
    }
}
