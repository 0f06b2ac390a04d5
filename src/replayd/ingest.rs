//! What Envoy calls. Today that is the question whether replayd lives.

use crate::metrics::{self, Counted, Metrics};
use crate::problem::Problem;
use crate::token::Token;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use std::sync::Arc;

/// The listener's name in metrics.
const LISTENER: &str = "ingest";

/// Builds the listener's routes; all but `/healthz` ask for `token`.
pub(crate) fn router(token: Token, metrics: Arc<Metrics>) -> Router {
    metrics.announce(LISTENER);
    Router::new()
        .fallback(missing)
        .layer(middleware::from_fn_with_state(token, authorize))
        .route("/healthz", get(healthz).fallback(wrong_method))
        .layer(middleware::from_fn_with_state(
            Counted {
                listener: LISTENER,
                metrics,
            },
            metrics::count,
        ))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn missing(uri: Uri) -> Problem {
    Problem::not_found(uri.path())
}

async fn wrong_method(method: Method) -> Problem {
    Problem::method_not_allowed(method.as_str())
}

/// Lets a request pass that shows the token.
///
/// Source: RFC 6750 §2.1, §3.
async fn authorize(State(token): State<Token>, request: Request, next: Next) -> Result<Response, (Challenge, Problem)> {
    if bearer(request.headers()).is_some_and(|shown| token.is(shown)) {
        return Ok(next.run(request).await);
    }
    let problem = Problem {
        status: StatusCode::UNAUTHORIZED,
        slug: "unauthorized",
        title: "The ingest token is missing or wrong",
        detail: "send `authorization: Bearer <token>` with the token in <data_dir>/ingest-token".to_owned(),
    };
    Err(([(header::WWW_AUTHENTICATE, "Bearer")], problem))
}

type Challenge = [(header::HeaderName, &'static str); 1];

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .as_bytes()
        .split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::{answer, metrics};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    async fn ask(method: &str, path: &str, authorization: Option<&str>) -> (StatusCode, String) {
        let dir = tempfile::tempdir().unwrap();
        let path_of_token = dir.path().join("ingest-token");
        std::fs::write(&path_of_token, SECRET).unwrap();
        let routes = router(Token::load_or_draw(&path_of_token).unwrap(), metrics());
        let mut request = Request::builder().method(method).uri(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        answer(routes, request).await
    }

    #[tokio::test]
    async fn health_needs_no_token() {
        assert_eq!(ask("GET", "/healthz", None).await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn health_is_only_read() {
        assert_eq!(ask("POST", "/healthz", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_path_without_token_is_unauthorized() {
        let (status, body) = ask("POST", "/ingest/v1/batch", None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(body.contains("\"type\":\"urn:reprise:problem:unauthorized\""), "{body}");
    }

    #[tokio::test]
    async fn a_wrong_token_is_unauthorized() {
        let wrong = format!("Bearer {}0", &SECRET[..31]);
        for value in [&wrong, SECRET, "Bearer", "Bearer ", "Basic x"] {
            assert_eq!(
                ask("GET", "/x", Some(value)).await.0,
                StatusCode::UNAUTHORIZED,
                "{value}"
            );
        }
    }

    #[tokio::test]
    async fn a_path_that_is_not_there_is_not_found_with_the_token() {
        let (status, body) = ask("GET", "/x", Some(&format!("bearer {SECRET}"))).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("no resource has the path /x"), "{body}");
    }
}
