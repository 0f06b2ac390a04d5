//! An HTTP/1.1 client on a bare socket: it writes what it is told, byte by byte if need be, and reads what comes.

use super::wait::within;
use crate::upstream::Script;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a response may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request in the making, bound to an address.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) to: SocketAddr,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) trailers: Vec<(String, String)>,
    chunked: bool,
}

impl Request {
    /// Begins a request to `to`.
    #[must_use]
    pub fn new(to: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            to,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
            trailers: Vec::new(),
            chunked: false,
        }
    }

    /// Tells the target, with its query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Tells where it goes.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.to
    }

    /// Sends it to another address.
    #[must_use]
    pub const fn to(mut self, to: SocketAddr) -> Self {
        self.to = to;
        self
    }

    /// Sends it to another target.
    #[must_use]
    pub fn at(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Uses another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Takes all headers of that name off.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Adds an `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Adds a header; a second one of that name becomes a second line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Gives it a body, sent with `content-length`.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// Gives it a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Adds a trailer; sent over HTTP/2 only.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the body in chunks, without `content-length`.
    #[must_use]
    pub const fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Tells the demo upstream how to answer: a [`Script`] as JSON.
    #[must_use]
    pub fn script(self, script: &Value) -> Self {
        let checked: Script = serde_json::from_value(script.clone()).expect("a script that the upstream understands");
        self.header("x-script", serde_json::to_string(&checked).expect("a script is JSON"))
    }

    /// Gives the bytes up to the empty line.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.headers.iter().any(|(name, _)| name == "host") {
            bytes.extend_from_slice(b"host: edge.test\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        match &self.body {
            Some(_) if self.chunked => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Some(body) => bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes()),
            None if self.method == "GET" => {}
            None => bytes.extend_from_slice(b"content-length: 0\r\n"),
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// Gives the whole request as it goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        let body = self.body.as_deref().unwrap_or_default();
        if !self.chunked {
            bytes.extend_from_slice(body);
            return bytes;
        }
        for piece in body.chunks(16_000) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    /// Sends it on a connection of its own.
    pub async fn send(&self) -> Response {
        Connection::open(self.to).await.send(self).await
    }

    /// Sends it `count` times at once, each on a connection of its own.
    pub async fn send_at_once(&self, count: usize) -> Vec<Response> {
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..count {
            let request = self.clone();
            sending.spawn(async move { request.send().await });
        }
        sending.join_all().await
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status; 0 if the connection ended before one came.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, or as much of it as came.
    pub body: Vec<u8>,
    /// Whether the response came to its proper end.
    pub complete: bool,
    /// Trailers in order.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// Gives the first value of the header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Gives all values of the header `name`.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Tells whether this is a recorded answer.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Gives the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Gives the body as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Gives the last part of the problem's `type`; none if the response is not a problem.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let is_problem = self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/problem+json"));
        let kind = is_problem
            .then(|| self.json().get("type")?.as_str().map(str::to_owned))
            .flatten()?;
        kind.rsplit([':', '/']).next().map(str::to_owned)
    }
}

/// A connection that is kept alive until one of both sides ends it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects to `to`.
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to)
            .await
            .unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        stream.set_nodelay(true).expect("a TCP option");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Writes bytes as they are; a peer that has left already is no error.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Sends a request and reads its response, while it sends: the response may come first.
    pub async fn send(&mut self, request: &Request) -> Response {
        let bytes = request.bytes();
        let (mut reading, mut writing) = self.stream.split();
        let write = async {
            let _ = writing.write_all(&bytes).await;
            std::future::pending().await
        };
        let bodiless = request.method == "HEAD";
        tokio::select! {
            () = write => Response::default(),
            response = within("a response", PATIENCE, read(&mut reading, &mut self.unread, bodiless)) => response,
        }
    }

    /// Reads the next response.
    pub async fn read(&mut self) -> Response {
        within("a response", PATIENCE, read(&mut self.stream, &mut self.unread, false)).await
    }

    /// Reads until `count` bytes have come, or the end; gives what came.
    pub async fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let fill = async { while self.unread.len() < count && fill(&mut self.stream, &mut self.unread).await {} };
        within("bytes", PATIENCE, fill).await;
        let len = self.unread.len().min(count);
        self.unread.drain(..len).collect()
    }

    /// Reads up to and including `mark`; gives what came.
    pub async fn read_until(&mut self, mark: &str) -> String {
        let fill = async {
            loop {
                if let Some(at) = find(&self.unread, mark.as_bytes()) {
                    return at + mark.len();
                }
                if !fill(&mut self.stream, &mut self.unread).await {
                    return self.unread.len();
                }
            }
        };
        let len = within("a mark in the response", PATIENCE, fill).await;
        String::from_utf8_lossy(&self.unread.drain(..len).collect::<Vec<_>>()).into_owned()
    }

    /// Tells whether the peer has closed; a peer that says nothing has not.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0_u8; 1];
        tokio::select! {
            biased;
            count = self.stream.peek(&mut byte) => matches!(count, Ok(0) | Err(_)),
            () = tokio::task::yield_now() => false,
        }
    }

    /// Says that nothing more comes, and reads until the peer ends the connection too.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
        while fill(&mut self.stream, &mut self.unread).await {
            self.unread.clear();
        }
    }

    /// Ends the connection at once.
    pub fn hang_up(self) {
        drop(self.stream);
    }
}

type Reader<'a> = &'a mut (dyn tokio::io::AsyncRead + Unpin + Send);

async fn fill(stream: Reader<'_>, unread: &mut Vec<u8>) -> bool {
    unread.reserve(65_536);
    matches!(stream.read_buf(unread).await, Ok(1..))
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

async fn line(stream: Reader<'_>, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = find(unread, b"\r\n") {
            let line: Vec<u8> = unread.drain(..at + 2).collect();
            return Some(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        if !fill(stream, unread).await {
            return None;
        }
    }
}

async fn fields(stream: Reader<'_>, unread: &mut Vec<u8>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream, unread).await?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads one response; interim ones (100, 103) are passed over.
pub(super) async fn read(stream: Reader<'_>, unread: &mut Vec<u8>, bodiless: bool) -> Response {
    let mut response = Response::default();
    loop {
        let Some(status) = line(stream, unread).await else {
            return response;
        };
        response.status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_default();
        let Some(headers) = fields(stream, unread).await else {
            return response;
        };
        response.headers = headers;
        if response.status >= 200 || response.status == 101 {
            break;
        }
    }
    let length = response.header("content-length").and_then(|length| length.parse().ok());
    if bodiless || matches!(response.status, 101 | 204 | 304) {
        response.complete = true;
    } else if response.header("transfer-encoding") == Some("chunked") {
        chunks(stream, unread, &mut response).await;
    } else if let Some(length) = length {
        while unread.len() < length && fill(stream, unread).await {}
        response.complete = unread.len() >= length;
        response.body = unread.drain(..unread.len().min(length)).collect();
    } else {
        while fill(stream, unread).await {}
        response.complete = true;
        response.body = std::mem::take(unread);
    }
    response
}

async fn chunks(stream: Reader<'_>, unread: &mut Vec<u8>, response: &mut Response) {
    while let Some(size) = line(stream, unread).await {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            return;
        };
        if size == 0 {
            let trailers = fields(stream, unread).await;
            response.complete = trailers.is_some();
            response.trailers = trailers.unwrap_or_default();
            return;
        }
        while unread.len() < size + 2 && fill(stream, unread).await {}
        let len = unread.len().min(size);
        response.body.extend(unread.drain(..len));
        unread.drain(..unread.len().min(2));
    }
}
