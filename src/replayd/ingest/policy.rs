//! The policy: what replayd tells all filters, told only if it changed.

use super::Intake;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use reprise_core::wire::CONTENT_TYPE;

/// Answers with the policy, or with 304 if the asker has it.
pub(super) async fn policy(State(intake): State<Intake>, headers: HeaderMap) -> Response {
    let policy = intake.policy.encoded();
    let etag = [(header::ETAG, format!("\"{}\"", policy.tag))];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| has_tag(known, &policy.tag)) {
        return (StatusCode::NOT_MODIFIED, etag).into_response();
    }
    (etag, [(header::CONTENT_TYPE, CONTENT_TYPE)], policy.bytes).into_response()
}

/// Source: RFC 9110 §13.1.2, with weak comparison.
fn has_tag(known: &str, tag: &str) -> bool {
    let mut all = known.split(',').map(str::trim);
    all.any(|each| each == "*" || each.trim_start_matches("W/").trim_matches('"') == tag)
}
