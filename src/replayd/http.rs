//! What people and programs call: the console's listener.

mod health;
mod scrape;

use crate::metrics::{self, Counted, Metrics};
use crate::phase::PhaseReader;
use crate::problem::Problem;
use crate::store::SqliteStore;
use ::http::{Method, Uri};
use axum::routing::get;
use axum::{Router, middleware};
use std::sync::Arc;

/// The listener's name in metrics.
const LISTENER: &str = "console";

/// What the handlers of this listener know.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    /// Where everything is kept.
    pub(crate) store: SqliteStore,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the daemon stops.
    pub(crate) phase: PhaseReader,
}

/// Builds the listener's routes.
pub(crate) fn router(console: Console) -> Router {
    console.metrics.announce(LISTENER);
    let counted = Counted {
        listener: LISTENER,
        metrics: Arc::clone(&console.metrics),
    };
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(scrape::metrics))
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(counted, metrics::count))
        .with_state(console)
}

async fn missing(uri: Uri) -> Problem {
    Problem::not_found(uri.path())
}

async fn wrong_method(method: Method) -> Problem {
    Problem::method_not_allowed(method.as_str())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::phase::Phase;
    use ::http::{Request, StatusCode, request};
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tokio::sync::watch;
    use tower::ServiceExt as _;

    /// Sends `request` to `routes` and reads the answer.
    pub(crate) async fn answer(routes: Router, request: request::Builder) -> (StatusCode, String) {
        let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The numbers of a daemon that was started two seconds into 1970.
    pub(crate) fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&crate::store::Instance {
            id: "0".repeat(32),
            created_at: UnixMillis(1000),
            last_started_at: UnixMillis(2000),
            version: "0.1.0".to_owned(),
        }))
    }

    /// A console over a store of its own.
    pub(crate) struct Daemon {
        pub(crate) console: Console,
        pub(crate) phase: watch::Sender<Phase>,
        _dir: tempfile::TempDir,
    }

    impl Daemon {
        pub(crate) fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
            let (phase, reader) = watch::channel(Phase::Serving);
            Self {
                console: Console {
                    store,
                    metrics: metrics(),
                    phase: reader,
                },
                phase,
                _dir: dir,
            }
        }

        pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
            answer(router(self.console.clone()), Request::get(path)).await
        }
    }

    #[tokio::test]
    async fn a_path_that_is_not_there_is_not_found() {
        let (status, body) = Daemon::start().get("/x").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("\"type\":\"urn:reprise:problem:not-found\""), "{body}");
    }

    #[tokio::test]
    async fn a_wrong_method_is_told_with_the_method() {
        let request = Request::delete("/metrics");
        let (status, body) = answer(router(Daemon::start().console), request).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(body.contains("DELETE is not allowed"), "{body}");
    }
}
