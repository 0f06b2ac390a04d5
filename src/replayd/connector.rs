//! Everything that replayd dials: resolve, check every address, connect to the one that was checked.
//!
//! Redirects are never followed. Who may be dialled at all is the caller's decision; what an address is, is decided in
//! the file below.

mod address;
mod body;

pub(crate) use body::Outgoing;

use address::is_public;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time;
use tower_service::Service;

/// How long connecting to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: less than what servers usually wait before they close it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many bytes of a response's body are kept; the rest is read and counted.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Which addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only addresses of the public internet.
    Public,
    /// Also this machine and private networks: somebody who may decide it named the target.
    Anywhere,
}

/// A client that dials only what it may; clones share their connections.
#[derive(Clone)]
pub(crate) struct Connector {
    one: Client<HttpsConnector<Dialer>, Outgoing>,
    two: Client<HttpsConnector<Dialer>, Outgoing>,
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, or the first bytes of it.
    pub(crate) body: Bytes,
    /// How many bytes the body had.
    pub(crate) body_len: u64,
    /// Its trailers.
    pub(crate) trailers: HeaderMap,
    /// Whether it was seen to its end.
    pub(crate) ended: bool,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    /// Nobody was connected to: the request did not reach anybody.
    #[error("cannot connect: {cause}")]
    NotSent {
        /// The innermost reason.
        cause: String,
    },
    /// The connection ended without a response: the request may have had its effect.
    #[error("no response: {cause}")]
    Lost {
        /// The innermost reason.
        cause: String,
    },
    /// No response came in time: the request may have had its effect.
    #[error("no response within {} ms", after.as_millis())]
    TooLate {
        /// How long was waited.
        after: Duration,
    },
}

/// Why a host is not dialled.
#[derive(Debug, Error)]
#[error(
    "{host} is {address}, which is not on the public internet: name it in [targets.NAME] with `allowed = true`, or say --yes"
)]
struct Forbidden {
    host: String,
    address: SocketAddr,
}

/// Trusts the system's certificates; a system without any, such as a bare container, trusts no https target.
///
/// # Errors
/// If TLS cannot be set up.
pub(crate) fn tls() -> io::Result<HttpsConnectorBuilder<WantsSchemes>> {
    let provider = rustls::crypto::ring::default_provider();
    HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(provider.clone())
        .or_else(|_none| trusting_nobody(provider))
}

fn trusting_nobody(provider: rustls::crypto::CryptoProvider) -> io::Result<HttpsConnectorBuilder<WantsSchemes>> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config))
}

impl Connector {
    /// Makes a client.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(crate) fn new(reach: Reach) -> io::Result<Self> {
        let dialer = Dialer { reach };
        let one = tls()?.https_or_http().enable_http1().wrap_connector(dialer);
        let two = tls()?.https_or_http().enable_http2().wrap_connector(dialer);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1024);
        Ok(Self {
            one: builder.build(one),
            two: builder.http2_only(true).build(two),
        })
    }

    /// Sends one request over HTTP/1.1, or over HTTP/2 if its version says so, and reads the response.
    ///
    /// # Errors
    /// [`SendError`] if no response began; one that began and broke off is a response with `ended: false`.
    pub(crate) async fn send(&self, request: Request<Outgoing>, timeout: Duration) -> Result<Answered, SendError> {
        let client = if request.version() == http::Version::HTTP_2 {
            &self.two
        } else {
            &self.one
        };
        let mut late = pin!(time::sleep(timeout));
        let response = tokio::select! {
            response = client.request(request) => response.map_err(|error| failed(&error))?,
            () = &mut late => return Err(SendError::TooLate { after: timeout }),
        };
        let (head, body) = response.into_parts();
        let mut answered = Answered {
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            body_len: 0,
            trailers: HeaderMap::new(),
            ended: false,
        };
        answered.ended = tokio::select! {
            ended = read(body, &mut answered) => ended,
            () = late => false,
        };
        Ok(answered)
    }
}

/// Reads a body; tells whether it was seen to its end.
async fn read(mut body: Incoming, into: &mut Answered) -> bool {
    let mut kept = BytesMut::new();
    let mut ended = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            ended = false;
            break;
        };
        match frame.into_data() {
            Ok(data) => {
                into.body_len = into
                    .body_len
                    .saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                let room = BODY_BYTES_MAX.saturating_sub(kept.len());
                kept.extend_from_slice(data.get(..room).unwrap_or(&data));
            }
            Err(frame) => into.trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    into.body = kept.freeze();
    ended
}

fn failed(error: &ClientError) -> SendError {
    let cause = innermost(error);
    if error.is_connect() {
        SendError::NotSent { cause }
    } else {
        SendError::Lost { cause }
    }
}

/// Gives the innermost reason of an error.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Connects to checked addresses only.
#[derive(Debug, Clone, Copy)]
struct Dialer {
    reach: Reach,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let reach = self.reach;
        Box::pin(async move {
            let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            let port = uri.port_u16().unwrap_or(usual);
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            dial(&host, port, reach).await
        })
    }
}

async fn dial(host: &str, port: u16, reach: Reach) -> io::Result<TokioIo<TcpStream>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    let addresses = lookup_host((host, port)).await;
    let unknown = |error: io::Error| io::Error::new(error.kind(), format!("no address of {host}: {error}"));
    for address in addresses.map_err(unknown)? {
        if reach == Reach::Public && !is_public(address.ip()) {
            let host = host.to_owned();
            last = io::Error::new(io::ErrorKind::PermissionDenied, Forbidden { host, address });
            continue;
        }
        match time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(stream));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(last)
}

impl fmt::Debug for Connector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Connector")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::{get, post};
    use tokio::net::TcpListener;

    async fn serve(routes: Router) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        address
    }

    async fn send(reach: Reach, url: &str) -> Result<Answered, SendError> {
        let request = Request::get(url).body(Outgoing::default()).unwrap();
        Connector::new(reach)
            .unwrap()
            .send(request, Duration::from_secs(5))
            .await
    }

    #[tokio::test]
    async fn a_private_address_is_not_dialled_without_leave() {
        let address = serve(Router::new().route("/", get(|| async { "here" }))).await;
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let error = send(Reach::Public, &format!("http://{host}:{}/", address.port()))
                .await
                .unwrap_err();
            let said = error.to_string();
            assert!(
                matches!(error, SendError::NotSent { .. }) && said.contains("public internet"),
                "{said}"
            );
        }
        let answered = send(Reach::Anywhere, &format!("http://{address}/")).await.unwrap();
        assert_eq!(&answered.body[..], b"here");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let to = || async { axum::response::Redirect::temporary("/elsewhere") };
        let address = serve(Router::new().route("/", get(to))).await;
        let answered = send(Reach::Anywhere, &format!("http://{address}/")).await.unwrap();
        assert_eq!(answered.status, StatusCode::TEMPORARY_REDIRECT);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_means_that_nothing_was_sent() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = send(Reach::Anywhere, &url).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_without_a_response_leaves_a_doubt() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            use tokio::io::AsyncReadExt as _;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
        });
        let error = send(Reach::Anywhere, &url).await.unwrap_err();
        assert!(matches!(error, SendError::Lost { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_body_with_trailers_arrives_with_them() {
        let echo = |request: axum::extract::Request| async {
            let whole = request.into_body().collect().await.unwrap();
            let sum = whole.trailers().and_then(|all| all.get("x-sum").cloned());
            let body = whole.to_bytes();
            format!("{} {:?}", String::from_utf8_lossy(&body), sum)
        };
        let address = serve(Router::new().route("/", post(echo))).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        let request = Request::post(format!("http://{address}/"))
            .header("trailer", "x-sum")
            .body(Outgoing::new(Bytes::from_static(b"abc"), Some(trailers)))
            .unwrap();
        let connector = Connector::new(Reach::Anywhere).unwrap();
        let answered = connector.send(request, Duration::from_secs(5)).await.unwrap();
        assert_eq!(&answered.body[..], b"abc Some(\"7\")");
    }
}
