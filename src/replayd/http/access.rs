//! Who asks: below `/api` nobody comes in without a token that counts, and each handler names the role it needs.

use super::{Console, error};
use crate::app::access::Who;
use crate::problem::Problem;
use crate::store::access::Role;
use ::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Somebody who may read.
pub(super) struct Viewer;
/// Somebody who may replay, label and import.
pub(super) struct Operator(pub(super) Who);
/// Somebody who may delete, open boot gates, and give tokens.
pub(super) struct Admin(pub(super) Who);

/// Lets a request pass whose token counts.
///
/// Source: RFC 6750 §2.1, §3.
pub(super) async fn authenticate(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return challenge();
    };
    match console.access.who(token, console.clock.now()).await {
        Ok(Some(who)) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Ok(None) => challenge(),
        Err(error) => Problem::from(error).into_response(),
    }
}

fn challenge() -> Response {
    let mut response = error::unauthorized().into_response();
    let scheme = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

fn at_least(parts: &Parts, needs: Role) -> Result<Who, Problem> {
    let who = parts.extensions.get::<Who>().ok_or_else(error::unauthorized)?;
    if who.role < needs {
        return Err(error::forbidden(who.role, needs));
    }
    Ok(who.clone())
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        at_least(parts, Role::Viewer).map(|_| Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        at_least(parts, Role::Operator).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        at_least(parts, Role::Admin).map(Self)
    }
}
