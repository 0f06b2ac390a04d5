//! What goes out: JSON with the tag of its bytes, and bodies of captures that no browser may interpret.

use crate::problem::Problem;
use ::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use std::fmt::Write as _;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The rows.
    pub(super) items: Vec<T>,
    /// What to send as `cursor` for the next page; null on the last.
    pub(super) next: Option<String>,
}

/// Answers with `value`, or with 304 if the asker has it already.
pub(super) fn json(asked: &HeaderMap, value: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|error| super::error::internal(&error))?;
    Ok(tagged(asked, "application/json", bytes))
}

/// Answers with 201 or 202 and `value`.
pub(super) fn accepted(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let mut response = json(&HeaderMap::new(), value)?;
    *response.status_mut() = status;
    Ok(response)
}

/// Answers with bytes that somebody else made, to be kept as the file `name` and never shown.
pub(super) fn attachment(asked: &HeaderMap, name: &str, bytes: Vec<u8>) -> Response {
    let mut response = tagged(asked, "application/octet-stream", bytes);
    hide(response.headers_mut(), name);
    response
}

/// Says that the body is a file called `name`, and nothing to be shown.
pub(super) fn hide(headers: &mut HeaderMap, name: &str) {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let attachment = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    headers.insert(CONTENT_DISPOSITION, attachment);
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
}

fn tagged(asked: &HeaderMap, kind: &'static str, bytes: Vec<u8>) -> Response {
    let tag = tag(&bytes);
    let fresh = is_known(asked, &tag);
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(bytes).into_response()
    };
    let headers = response.headers_mut();
    if !fresh {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Makes the tag of `bytes`: half of their BLAKE3, in hex digits and quotes.
fn tag(bytes: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in blake3::hash(bytes).as_bytes().iter().take(16) {
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Tells whether the asker has what `tag` stands for.
///
/// Source: RFC 9110 §13.1.2.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let tags = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|tags| tags.split(',')).map(str::trim);
    tags.any(|each| each == "*" || each.strip_prefix("W/").unwrap_or(each) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tags: &str) -> HeaderMap {
        HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap())])
    }

    #[test]
    fn what_the_asker_has_is_not_sent_again() {
        let first = json(&HeaderMap::new(), &1).unwrap();
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        for tags in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            assert_eq!(
                json(&asked(&tags), &1).unwrap().status(),
                StatusCode::NOT_MODIFIED,
                "{tags}"
            );
        }
        assert_eq!(json(&asked(&tag), &2).unwrap().status(), StatusCode::OK);
    }

    #[test]
    fn a_captured_body_is_a_file_and_nothing_else() {
        let response = attachment(&HeaderMap::new(), "capture-1-request.bin", b"<script>".to_vec());
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(
            header("content-disposition"),
            "attachment; filename=\"capture-1-request.bin\""
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
}
