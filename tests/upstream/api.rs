//! One request in, one scripted answer out.

use super::Pieces;
use super::journal::{BodyHash, Execution, Journal};
use super::pieces::{PiecesSender, pieces};
use super::script::{Fault, Script};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes of a request's body that are kept to be looked into.
const KEPT_BYTES_MAX: usize = 65_536;

/// A response in the making: what the application would say, before the script has its say.
struct Draft {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Draft {
    fn json(status: StatusCode, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self {
            status,
            headers,
            body: body.to_string().into(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Answers one request.
///
/// # Errors
///
/// If the script asks for a reset: the connection or stream ends without a response.
pub(super) async fn answer(request: Request<Incoming>, journal: Arc<Journal>) -> Result<Response<Pieces>, io::Error> {
    if request.headers().contains_key(header::UPGRADE) {
        return upgrade(request, &journal);
    }
    if let Some(draft) = control(&request, &journal) {
        return send(draft, &Script::default(), journal).await;
    }
    if !(journal.is_ready() || request.method().is_safe() || request.headers().contains_key("replayd-signature")) {
        let draft = Draft::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": "not restored yet"}));
        return send(
            draft.with("reprise-boot-id", &journal.boot_id),
            &Script::default(),
            journal,
        )
        .await;
    }
    let script = match script_of(request.headers()) {
        Ok(script) => script,
        Err(wrong) => {
            return send(
                Draft::json(StatusCode::INTERNAL_SERVER_ERROR, &json!(wrong)),
                &Script::default(),
                journal,
            )
            .await;
        }
    };
    if script.fault == Some(Fault::ResetUnread) {
        return Err(io::Error::other("reset by script"));
    }
    if script.early {
        return send(Draft::json(StatusCode::OK, &json!("early")), &script, journal).await;
    }
    let (seen, body) = receive(request).await;
    let (method, target, ended) = (seen.method.clone(), seen.target.clone(), seen.ended);
    let (n, earlier) = journal.write(seen);
    if !ended {
        return Err(io::Error::other("the request broke off"));
    }
    let step = script.step(earlier).clone();
    if let Some(gate) = &step.gate {
        journal.pass(gate).await;
    }
    if let Some(delay_ms) = step.delay_ms {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if step.fault == Some(Fault::Reset) {
        return Err(io::Error::other("reset by script"));
    }
    send(application(&method, &target, n, &body, &journal), &step, journal).await
}

fn script_of(headers: &HeaderMap) -> Result<Script, String> {
    let Some(value) = headers.get("x-script") else {
        return Ok(Script::default());
    };
    serde_json::from_slice(value.as_bytes()).map_err(|error| format!("x-script: {error}"))
}

/// Reads the whole request; gives what was seen and the beginning of its body.
async fn receive(request: Request<Incoming>) -> (Execution, Vec<u8>) {
    let (parts, mut incoming) = request.into_parts();
    let (mut hash, mut kept, mut ended) = (BodyHash::default(), Vec::new(), true);
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            ended = false;
            break;
        };
        let Some(piece) = frame.data_ref() else { continue };
        hash.add(piece);
        let room = KEPT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Execution {
        n: 0,
        method: parts.method.to_string(),
        target: parts
            .uri
            .path_and_query()
            .map_or_else(|| "*".to_owned(), ToString::to_string),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body_bytes: hash.1,
        body_hash: hash.value(),
        ended,
    };
    (seen, kept)
}

/// What tests and people ask the upstream itself; never counted as executed.
fn control(request: &Request<Incoming>, journal: &Journal) -> Option<Draft> {
    let path = request.uri().path();
    if path == "/_log" {
        let log = match *request.method() {
            Method::DELETE => journal.take_log(),
            _ => journal.log(),
        };
        return Some(Draft::json(StatusCode::OK, &json!(log)));
    }
    if let Some(name) = path.strip_prefix("/_gate/") {
        match *request.method() {
            Method::POST => journal.open(name),
            Method::DELETE => journal.close(name),
            _ => {}
        }
        return Some(Draft::json(StatusCode::OK, &json!({"waiting": journal.waiting(name)})));
    }
    None
}

/// The application proper.
fn application(method: &str, target: &str, n: usize, body: &[u8], journal: &Journal) -> Draft {
    let path = target.split('?').next().unwrap_or(target);
    match (method, path) {
        ("POST", "/api/payments") => made("payments", "pay", n, body),
        ("POST", "/api/orders") => made("orders", "order", n, body),
        ("GET", "/api/payments" | "/api/orders") => listed(path, journal),
        // Whoever looks whether it is there is told which life this is.
        ("GET", "/") => Draft::json(StatusCode::OK, &json!({})).with("reprise-boot-id", &journal.boot_id),
        (_, "/api/commands") => commands(method, body, journal),
        _ => Draft::json(StatusCode::CREATED, &json!({"n": n})),
    }
}

fn made(noun: &str, prefix: &str, n: usize, body: &[u8]) -> Draft {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Draft::json(StatusCode::BAD_REQUEST, &json!({"error": "the body is not JSON"}));
    };
    Draft::json(
        StatusCode::CREATED,
        &json!({"id": format!("{prefix}_{n}"), "n": n, "request": request}),
    )
    .with("location", &format!("/api/{noun}/{prefix}_{n}"))
    .with("etag", &format!("\"{n}\""))
    .with("cache-control", "no-store")
}

fn listed(path: &str, journal: &Journal) -> Draft {
    let of_this =
        |seen: &&Execution| seen.ended && seen.method == "POST" && seen.target.split('?').next() == Some(path);
    let log = journal.log();
    let all: Vec<_> = log
        .iter()
        .filter(of_this)
        .map(|seen| json!({"n": seen.n, "body_bytes": seen.body_bytes}))
        .collect();
    Draft::json(StatusCode::OK, &json!(all))
}

/// A queue that lives in memory and is gone after a restart.
/// Commands are numbered from 1 in each life of the process, whatever else it does.
fn commands(method: &str, body: &[u8], journal: &Journal) -> Draft {
    let draft = match method {
        "POST" => match serde_json::from_slice::<Value>(body)
            .ok()
            .and_then(|sent| sent.get("command").cloned())
        {
            Some(command) => Draft::json(StatusCode::CREATED, &journal.add_command(&command)),
            None => Draft::json(StatusCode::BAD_REQUEST, &json!({"error": "command is missing"})),
        },
        "GET" => Draft::json(StatusCode::OK, &json!(journal.commands(|queue| queue.clone()))),
        "DELETE" => {
            journal.commands(Vec::clear);
            Draft {
                status: StatusCode::NO_CONTENT,
                headers: Vec::new(),
                body: Bytes::new(),
            }
        }
        _ => Draft::json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "GET, POST or DELETE"})),
    };
    draft.with("reprise-boot-id", &journal.boot_id)
}

/// Sends `draft` as `script` wants it.
async fn send(mut draft: Draft, script: &Script, journal: Arc<Journal>) -> Result<Response<Pieces>, io::Error> {
    if let Some(status) = script.status {
        draft.status = StatusCode::from_u16(status).map_err(io::Error::other)?;
    }
    if let Some(body) = script.bytes().map_err(io::Error::other)? {
        draft.body = body;
        draft.headers.retain(|(name, _)| name != "content-type");
    }
    draft.headers.extend(script.headers.iter().cloned());
    let bodiless = matches!(draft.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !script.chunked && !bodiless && script.trailers.is_empty() {
        draft
            .headers
            .push(("content-length".to_owned(), draft.body.len().to_string()));
    }
    let (sender, body) = pieces();
    let mut response = Response::new(body);
    *response.status_mut() = draft.status;
    *response.headers_mut() = headers(&draft.headers)?;
    let content = if bodiless { Bytes::new() } else { draft.body };
    tokio::spawn(write(sender, content, script.clone(), journal));
    Ok(response)
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, io::Error> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        map.append(name, HeaderValue::from_str(value).map_err(io::Error::other)?);
    }
    Ok(map)
}

async fn write(sender: PiecesSender, content: Bytes, script: Script, journal: Arc<Journal>) {
    if script.fault == Some(Fault::ResetAfterHeaders) {
        if let Some(gate) = &script.body_gate {
            journal.pass(gate).await;
        }
        return sender.cut().await;
    }
    let size = content.len().div_ceil(script.pieces.max(1)).max(1);
    for (at, piece) in content.chunks(size).enumerate() {
        if at == 1 && script.fault == Some(Fault::ResetMidBody) {
            return sender.cut().await;
        }
        if at > 0
            && let Some(delay_ms) = script.piece_delay_ms
        {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        if !sender.data(content.slice_ref(piece)).await {
            return;
        }
        if at == 0
            && let Some(gate) = &script.body_gate
        {
            journal.pass(gate).await;
        }
    }
    if let Ok(trailers) = headers(&script.trailers)
        && !trailers.is_empty()
    {
        sender.trailers(trailers).await;
    }
}

/// Accepts any upgrade and sends back every byte that comes.
fn upgrade(request: Request<Incoming>, journal: &Journal) -> Result<Response<Pieces>, io::Error> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    journal.write(Execution {
        n: 0,
        method: request.method().to_string(),
        target: request.uri().path().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body_bytes: 0,
        body_hash: 0,
        ended: true,
    });
    let protocol = request.headers().get(header::UPGRADE).cloned();
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let (mut io, mut buffer) = (TokioIo::new(upgraded), [0_u8; 4096]);
        while let Ok(len @ 1..) = io.read(&mut buffer).await {
            if io.write_all(&buffer[..len]).await.is_err() {
                break;
            }
        }
    });
    let mut response = Response::new(pieces().1);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
        .headers_mut()
        .extend(protocol.map(|protocol| (header::UPGRADE, protocol)));
    Ok(response)
}
