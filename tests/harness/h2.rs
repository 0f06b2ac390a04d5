//! An HTTP/2 client with prior knowledge: many requests at once on one connection.

use super::client::{Request, Response};
use super::wait::within;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;

/// One connection.
#[derive(Debug, Clone)]
pub struct Http2(SendRequest<Body>);

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Http2 {
    /// Connects to `to`.
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to)
            .await
            .unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("an HTTP/2 peer");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request as a stream of this connection and reads its whole response; status 0 if HTTP/2 cannot carry it.
    pub async fn send(&self, request: &Request) -> Response {
        let Some(translated) = translate(request) else {
            return Response::default();
        };
        let mut sender = self.0.clone();
        let sent = within(
            "an HTTP/2 response",
            Duration::from_secs(30),
            sender.send_request(translated),
        )
        .await;
        match sent {
            Ok(response) => collect(response).await,
            Err(_) => Response::default(),
        }
    }

    /// Sends a request whose body is whole and never said to end; aborting the task resets its stream.
    pub fn send_without_end(&self, request: &Request) -> tokio::task::JoinHandle<()> {
        let mut sender = self.0.clone();
        let translated = translate(request).expect("a request that HTTP/2 can carry");
        let endless = Endless(request.body.clone().map(Bytes::from));
        let translated = translated.map(|_| endless.boxed_unsync());
        tokio::spawn(async move { drop(sender.send_request(translated).await) })
    }

    /// Sends `count` copies at once.
    pub async fn send_at_once(&self, request: &Request, count: usize) -> Vec<Response> {
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (client, request) = (self.clone(), request.clone());
            sending.spawn(async move { client.send(&request).await });
        }
        sending.join_all().await
    }
}

/// A body that never ends.
struct Endless(Option<Bytes>);

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .take()
            .map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

fn translate(request: &Request) -> Option<hyper::Request<Body>> {
    let bytes = Bytes::from(request.body.clone().unwrap_or_default());
    let pair = |(name, value): &(String, String)| Some((name.parse().ok()?, value.parse().ok()?));
    let trailers: HeaderMap = request.trailers.iter().filter_map(pair).collect();
    let trailers = (!trailers.is_empty()).then_some(Ok(trailers));
    let body = Full::new(bytes)
        .with_trailers(std::future::ready(trailers))
        .boxed_unsync();
    let mut builder = hyper::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://edge.test{}", request.target));
    for (name, value) in &request.headers {
        builder = builder.header(name, value.as_slice());
    }
    builder.body(body).ok()
}

async fn collect(response: hyper::Response<Incoming>) -> Response {
    let (parts, mut body) = response.into_parts();
    let mut collected = Response {
        status: parts.status.as_u16(),
        headers: pairs(&parts.headers),
        ..Response::default()
    };
    loop {
        match body.frame().await {
            None => break collected.complete = true,
            Some(Err(_)) => break,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => collected.body.extend_from_slice(&piece),
                Err(frame) => collected
                    .trailers
                    .extend(frame.trailers_ref().map(pairs).unwrap_or_default()),
            },
        }
    }
    collected
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect()
}
