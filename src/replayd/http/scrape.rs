//! The page for Prometheus.

use super::Console;
use crate::metrics::CONTENT_TYPE;
use crate::problem::Problem;
use ::http::{StatusCode, header};
use axum::extract::State;
use axum::response::{IntoResponse, Response};

/// Answers with every number.
pub(super) async fn metrics(State(console): State<Console>) -> Result<Response, Problem> {
    console.metrics.tell_boots(&console.replays.parts().boots.newest());
    let page = console.metrics.text().map_err(|error| Problem {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        slug: "internal",
        title: "The page could not be written",
        detail: error.to_string(),
    })?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::Daemon;

    #[tokio::test]
    async fn a_scrape_counts_the_requests_before_it() {
        let daemon = Daemon::start().await;
        daemon.get("/x").await;
        let (status, page) = daemon.get("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let line = "replayd_http_requests_total{listener=\"console\",status=\"4xx\"} 1";
        assert!(page.contains(line), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
