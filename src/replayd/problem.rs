//! The one shape in which both listeners tell what went wrong.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// An error as `application/problem+json`.
///
/// Shape: `{"type": "urn:reprise:problem:<slug>", "title": string, "status": u16, "detail": string}`.
///
/// Source: RFC 9457 §3.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The response's status.
    pub(crate) status: StatusCode,
    /// The last part of `type`; stable, for programs.
    pub(crate) slug: &'static str,
    /// What went wrong, the same each time.
    pub(crate) title: &'static str,
    /// What went wrong this time, and what is allowed.
    pub(crate) detail: String,
}

impl Problem {
    /// Tells that nothing lives under `path`.
    pub(crate) fn not_found(path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            slug: "not-found",
            title: "There is nothing here",
            detail: format!("no resource has the path {path}"),
        }
    }

    /// Tells that the path exists, but not for `method`.
    pub(crate) fn method_not_allowed(method: &str) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            slug: "method-not-allowed",
            title: "The method is not allowed here",
            detail: format!("{method} is not allowed; the header allow lists what is"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": format!("urn:reprise:problem:{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = HeaderValue::from_static("application/problem+json");
        (self.status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
    }
}
