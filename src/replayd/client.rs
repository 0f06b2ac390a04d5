//! HTTP as a client: what the commands ask of a running replayd and of Envoy.

mod api;

pub(crate) use api::{Api, ApiError};

use crate::connector::innermost;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::Duration;
use thiserror::Error;
use tokio::time;

/// How long one question may take, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read if no other size is said.
const BODY_BYTES_MAX: usize = 1 << 20;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body; bytes that are not UTF-8 are replaced.
    pub(crate) body: String,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// The address cannot be asked.
    #[error("`{url}` is not an http:// URL")]
    Url {
        /// The address as given.
        url: String,
    },
    /// Nobody answered, or not in HTTP.
    #[error("{url} does not answer: {cause}")]
    NoAnswer {
        /// Who was asked.
        url: String,
        /// The innermost reason.
        cause: String,
    },
    /// The answer did not come in time.
    #[error("{url} did not answer within {} s", TIMEOUT.as_secs())]
    TooLate {
        /// Who was asked.
        url: String,
    },
}

/// Asks `url` with GET; redirects are not followed.
///
/// # Errors
/// [`FetchError`] if there is no whole answer of at most 1 MiB within 5 s.
pub(crate) async fn fetch(url: &str) -> Result<Fetched, FetchError> {
    fetch_up_to(url, BODY_BYTES_MAX).await
}

/// Asks `url` with GET, for an answer of at most `bytes_max`; redirects are not followed.
///
/// # Errors
/// [`FetchError`] if there is no whole answer of that size within 5 s.
pub(crate) async fn fetch_up_to(url: &str, bytes_max: usize) -> Result<Fetched, FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Url { url: url.to_owned() })?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(FetchError::Url { url: url.to_owned() });
    }
    match time::timeout(TIMEOUT, exchange(uri, bytes_max)).await {
        Ok(Ok(fetched)) => Ok(fetched),
        Ok(Err(error)) => Err(FetchError::NoAnswer {
            url: url.to_owned(),
            cause: innermost(&*error),
        }),
        Err(_) => Err(FetchError::TooLate { url: url.to_owned() }),
    }
}

async fn exchange(uri: Uri, bytes_max: usize) -> Result<Fetched, Box<dyn Error + Send + Sync>> {
    let client: Client<HttpConnector, String> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(Request::get(uri).body(String::new())?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), bytes_max)
        .collect()
        .await?
        .to_bytes();
    Ok(Fetched {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_is_not_http_is_refused_by_name() {
        for url in ["https://127.0.0.1/", "127.0.0.1:7381", "/readyz", "http:///x"] {
            let error = fetch(url).await.unwrap_err();
            assert!(matches!(error, FetchError::Url { .. }), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_does_not_answer() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = fetch(&url).await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
