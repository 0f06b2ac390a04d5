//! Whether the daemon lives, and whether it wants requests.

use super::Console;
use crate::phase::Phase;
use crate::problem::Problem;
use ::http::StatusCode;
use axum::extract::State;

/// Answers as long as the process does.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers 200 if the store answers and no stop has begun.
///
/// # Errors
/// 503 `stopping` or `store-unavailable`.
pub(super) async fn readyz(State(console): State<Console>) -> Result<&'static str, Problem> {
    if *console.phase.borrow() > Phase::Serving {
        return Err(unready("stopping", "replayd is stopping", "send requests elsewhere"));
    }
    match console.store.ping().await {
        Ok(()) => Ok("ready\n"),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store does not answer");
            Err(unready(
                "store-unavailable",
                "The store does not answer",
                "replayd's log says why",
            ))
        }
    }
}

fn unready(slug: &'static str, title: &'static str, detail: &str) -> Problem {
    Problem {
        status: StatusCode::SERVICE_UNAVAILABLE,
        slug,
        title,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::Daemon;

    #[tokio::test]
    async fn a_serving_daemon_is_ready() {
        assert_eq!(
            Daemon::start().await.get("/readyz").await,
            (StatusCode::OK, "ready\n".to_owned())
        );
    }

    #[tokio::test]
    async fn a_stopping_daemon_lives_but_is_not_ready() {
        let daemon = Daemon::start().await;
        daemon.phase.send_replace(Phase::Stopping);
        let (status, body) = daemon.get("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("urn:reprise:problem:stopping"), "{body}");
        assert_eq!(daemon.get("/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_daemon_without_its_table_is_not_ready() {
        let daemon = Daemon::start().await;
        daemon.console.store.lose_its_table().await;
        let (status, body) = daemon.get("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("urn:reprise:problem:store-unavailable"), "{body}");
    }
}
