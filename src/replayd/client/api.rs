//! The API of a running replayd, as the commands ask it.

use crate::connector::innermost;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::io;
use std::io::Write;
use std::time::Duration;
use thiserror::Error;
use tokio::time;

/// How long replayd may take until it answers.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is read at once; files are read in pieces.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The API of one replayd.
pub(crate) struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    token: HeaderValue,
}

/// Why there is no good answer.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// The address cannot be asked.
    #[error("`{url}` is not an http:// or https:// URL")]
    Url {
        /// The address as given.
        url: String,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that no token has")]
    Token,
    /// The certificates of this system cannot be read.
    #[error("cannot read the certificates that this system trusts")]
    Certificates(#[source] io::Error),
    /// Nobody answered, or not in HTTP.
    #[error("{url} does not answer: {cause}")]
    NoAnswer {
        /// Who was asked.
        url: String,
        /// The innermost reason.
        cause: String,
    },
    /// replayd says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The answer is none of replayd.
    #[error("{url} does not speak replayd's API: {problem}")]
    Foreign {
        /// Who was asked.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// What came cannot be written.
    #[error("cannot write what was read")]
    Write(#[source] io::Error),
}

/// What replayd says when it says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// What kind of problem it is: the last part of its type.
    pub(crate) slug: String,
    /// What is wrong, the same each time.
    pub(crate) title: String,
    /// What is wrong this time.
    pub(crate) detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, line: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(line, "{} ({}): {}", self.title, self.status.as_u16(), self.detail)
    }
}

impl Api {
    /// Speaks to the replayd at `url`, with `token`.
    ///
    /// # Errors
    /// [`ApiError::Url`], [`ApiError::Token`] or [`ApiError::Certificates`]; nobody was asked yet.
    pub(crate) fn new(url: &str, token: &str) -> Result<Self, ApiError> {
        let refuse = || ApiError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| refuse())?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_web || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(refuse());
        }
        let mut shown = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ApiError::Token)?;
        shown.set_sensitive(true);
        let tls = crate::connector::tls();
        let connector = tls
            .map_err(ApiError::Certificates)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: url.trim_end_matches('/').to_owned(),
            token: shown,
        })
    }

    /// Reads what is at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::GET, path, None).await
    }

    /// Sends `body` to `path`.
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| self.foreign(&error))?;
        self.ask(Method::POST, path, Some(("application/json", body))).await
    }

    /// Sends the file `bytes` to `path`.
    pub(crate) async fn upload(&self, path: &str, bytes: Vec<u8>) -> Result<Value, ApiError> {
        self.ask(Method::POST, path, Some(("application/octet-stream", bytes)))
            .await
    }

    /// Removes what is at `path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::DELETE, path, None).await
    }

    /// Writes the file at `path` into `out`, piece by piece, and gives what stands behind it.
    ///
    /// # Errors
    /// [`ApiError::NoAnswer`] also if it breaks off; what came until then is written.
    pub(crate) async fn download(&self, path: &str, out: &mut (dyn Write + Send)) -> Result<HeaderMap, ApiError> {
        let response = self.send(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let mut body = response.into_body();
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(|error| self.no_answer(&error))?.into_data() {
                Ok(data) => out.write_all(&data).map_err(ApiError::Write)?,
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        out.flush().map_err(ApiError::Write)?;
        Ok(trailers)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<(&'static str, Vec<u8>)>) -> Result<Value, ApiError> {
        let response = self.send(method, path, body).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes = self.whole(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(&error))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Response<Incoming>, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, &self.token)
            .header(ACCEPT, "application/json, */*")
            .header(TE, "trailers");
        let bytes = body.map(|(kind, bytes)| {
            request
                .headers_mut()
                .map(|headers| headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind)));
            bytes
        });
        let request = request
            .body(Full::from(bytes.unwrap_or_default()))
            .map_err(|error| self.foreign(&error))?;
        match time::timeout(TIMEOUT, self.client.request(request)).await {
            Ok(answered) => answered.map_err(|error| self.no_answer(&error)),
            Err(late) => Err(self.no_answer(&late)),
        }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ApiError> {
        let whole = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        Ok(whole.map_err(|error| self.no_answer(&*error))?.to_bytes())
    }

    /// Reads a problem.
    async fn refusal(&self, response: Response<Incoming>) -> ApiError {
        let status = response.status();
        let Ok(bytes) = self.whole(response).await else {
            return self.foreign(&status);
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let slug = text("type").and_then(|kind| Some(kind.strip_prefix("urn:reprise:problem:")?.to_owned()));
        let (Some(slug), Some(title), Some(detail)) = (slug, text("title"), text("detail")) else {
            return self.foreign(&status);
        };
        ApiError::Refused(Refusal {
            status,
            slug,
            title,
            detail,
        })
    }

    fn no_answer(&self, error: &(dyn std::error::Error + 'static)) -> ApiError {
        ApiError::NoAnswer {
            url: self.url.clone(),
            cause: innermost(error),
        }
    }

    fn foreign(&self, problem: &dyn fmt::Display) -> ApiError {
        ApiError::Foreign {
            url: self.url.clone(),
            problem: problem.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_to_be_of_the_web() {
        for url in ["127.0.0.1:7381", "ftp://a", "http://", "/api", "http://a/?x"] {
            assert!(matches!(Api::new(url, "t"), Err(ApiError::Url { .. })), "{url}");
        }
        assert!(matches!(Api::new("https://a", "a\nb"), Err(ApiError::Token)));
        assert!(Api::new("https://a/replayd/", "t").is_ok());
    }
}
