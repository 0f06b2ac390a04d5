//! Captures in files: what goes out is written while it is read, what comes in is taken whole or not at all.

use super::meant;
use crate::app::captures::Captures;
use crate::format::{ExportFormat, Exporter, IMPORT_BYTES_MAX, ImportError, ImportFormat, Imported};
use crate::http::access::{Operator, Viewer};
use crate::http::audit::Act;
use crate::http::input::{Query, whole};
use crate::http::{Console, answer, error};
use crate::problem::Problem;
use crate::store::access::Role;
use crate::store::captures::{CaptureId, CaptureOrder, CaptureQuery, CaptureRow, Page, Taken};
use ::http::header::{CONTENT_TYPE, TRAILER, X_CONTENT_TYPE_OPTIONS};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use clap::ValueEnum;
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use tokio::task;
use utoipa::ToSchema;

/// Rows that are looked up at once.
const ROWS: u32 = 500;
/// Bytes of bodies that are in memory at once, unless one capture has more.
const BYTES: u64 = 8 << 20;
/// Pieces that wait for the reader.
const PIECES: usize = 2;
/// How many captures were written, behind the body.
const WRITTEN: &str = "reprise-captures";
/// What the format could not carry, behind the body; JSON.
const NOT_CARRIED: &str = "reprise-not-carried";

/// What came in.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportView {
    /// How many captures are new.
    imported: u64,
    /// How many were here already, and were left out.
    duplicates: u64,
    /// The number of the first; null if there was none.
    first_id: Option<i64>,
    /// The number of the last; null if there was none.
    last_id: Option<i64>,
    /// What the file held and a capture cannot, by name.
    not_carried: BTreeMap<String, u64>,
}

/// Writes captures into a file, in the order of their numbers.
///
/// Behind the body, for whoever sends `TE: trailers`, stands how many there are and what the format could not carry.
#[utoipa::path(get, path = "/api/v1/captures/export", tag = "captures", security(("token" = ["viewer"])),
    params(super::FilterParams, ("format" = String, Query, description = "`har`, `gor`, `curl`, `k6` or `ndjson`")),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 400, body = crate::http::openapi::ProblemBody)))]
pub(in crate::http) async fn export(
    _: Viewer,
    State(console): State<Console>,
    mut query: Query,
) -> Result<Response, Problem> {
    let filter = query.filter();
    let format = format::<ExportFormat>(&mut query);
    query.end()?;
    let format = format.ok_or_else(|| error::invalid("format: is missing"))?;
    let meant = meant(&filter.unwrap_or_default())?;
    // The first page is read before anything is answered: a store that fails is told by the status.
    let first = console
        .captures
        .page(meant.clone(), CaptureOrder::default(), None, ROWS)
        .await?;
    let (sender, body) = Channel::new(PIECES);
    task::spawn(pour(console.captures, meant, first, Exporter::new(format), sender));
    let mut response = Body::new(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        TRAILER,
        HeaderValue::from_static("reprise-captures, reprise-not-carried"),
    );
    answer::hide(headers, &format!("captures.{}", name(&format)));
    Ok(response)
}

fn format<T: ValueEnum>(query: &mut Query) -> Option<T> {
    query.one("format", |text| {
        let names: Vec<_> = T::value_variants().iter().map(|format| name(format)).collect();
        T::from_str(text, false).map_err(|_| format!("`{text}` is not a format; allowed are {}", names.join(", ")))
    })
}

fn name<T: ValueEnum>(format: &T) -> String {
    format
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// Writes page after page; whoever reads sees a body that breaks off if it fails.
async fn pour(
    captures: Captures,
    query: CaptureQuery,
    first: Page<CaptureRow>,
    exporter: Exporter,
    mut sender: Sender<Bytes, io::Error>,
) {
    if let Err(error) = pour_into(&captures, query, first, exporter, &mut sender).await {
        tracing::warn!(error = &*error, "an export broke off");
        sender.abort(io::Error::other("the export broke off"));
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn pour_into(
    captures: &Captures,
    query: CaptureQuery,
    first: Page<CaptureRow>,
    mut exporter: Exporter,
    sender: &mut Sender<Bytes, io::Error>,
) -> Result<(), Failed> {
    let mut page = first;
    loop {
        for ids in pieces(&page.rows) {
            let mut piece = Vec::new();
            for capture in captures.captures(ids).await? {
                exporter.push(&capture, &mut piece)?;
            }
            sender.send_data(piece.into()).await?;
        }
        let Some(after) = page.next else { break };
        page = captures
            .page(query.clone(), CaptureOrder::default(), Some(after), ROWS)
            .await?;
    }
    let mut rest = Vec::new();
    let counts = exporter.finish(&mut rest)?;
    sender.send_data(rest.into()).await?;
    let not_carried = json!(counts.not_carried).to_string();
    let trailers = [(WRITTEN, counts.captures.to_string()), (NOT_CARRIED, not_carried)];
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.insert(name, HeaderValue::try_from(value)?);
    }
    sender.send_trailers(map).await?;
    Ok(())
}

/// Cuts a page into pieces whose bodies fit into memory.
fn pieces(rows: &[CaptureRow]) -> Vec<Vec<CaptureId>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0_u64;
    for row in rows {
        let more = row.request_bytes.saturating_add(row.response_bytes);
        bytes = bytes.saturating_add(more);
        if bytes > BYTES && pieces.last().is_some_and(|piece| !piece.is_empty()) {
            pieces.push(Vec::new());
            bytes = more;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(row.id);
        }
    }
    pieces
}

/// Takes captures from a file: all of them, or none if anything in it is wrong.
///
/// What is here already is left out: a file that was exported here or imported already. Headers that never show, such as `authorization` and `cookie`, become tokens.
#[utoipa::path(post, path = "/api/v1/captures/import", tag = "captures", security(("token" = ["operator"])),
    params(("format" = String, Query, description = "`har`, `gor`, `ndjson` or `django`"),
        ("redact" = Option<bool>, Query, description = "`false` = secrets are kept as they are in the file; an admin may")),
    request_body(content_type = "application/octet-stream"),
    responses((status = 201, body = ImportView), (status = 400, body = crate::http::openapi::ProblemBody),
        (status = 413, body = crate::http::openapi::ProblemBody), (status = 422, body = crate::http::openapi::ProblemBody)))]
pub(in crate::http) async fn import(
    Operator(who): Operator,
    State(console): State<Console>,
    mut query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let format = format::<ImportFormat>(&mut query);
    let redact = query.parsed::<bool>("redact").unwrap_or(true);
    query.end()?;
    if !redact && who.role < Role::Admin {
        return Err(error::forbidden(who.role, Role::Admin));
    }
    let format = format.ok_or_else(|| error::invalid("format: is missing"))?;
    let file = whole(request.into_body(), IMPORT_BYTES_MAX).await?;
    let key = redact.then(|| *console.policy.redaction_key());
    let read = task::spawn_blocking(move || read(format, &file, key.as_ref())).await;
    let Imported { captures, counts } = read
        .map_err(|error| error::internal(&error))?
        .map_err(|error| refused(&error.to_string()))?;
    let act = Act {
        who: &who,
        action: "captures.import",
        detail: json!({ "format": name(&format), "captures": captures.len(), "redact": redact }),
    };
    let work = console.captures.import(captures, console.clock.now());
    let told = |taken: &Taken| format!("imported {}", taken.stored);
    let taken = console.audited(act, work, told).await?;
    let view = ImportView {
        imported: taken.stored,
        duplicates: taken.duplicates,
        first_id: taken.ids.map(|(first, _)| first.0),
        last_id: taken.ids.map(|(_, last)| last.0),
        not_carried: counts
            .not_carried
            .into_iter()
            .map(|(what, count)| (what.to_owned(), count))
            .collect(),
    };
    answer::accepted(StatusCode::CREATED, &view)
}

/// Reads a file; secrets are hidden with `key`, if there is one.
fn read(format: ImportFormat, file: &[u8], key: Option<&[u8; 32]>) -> Result<Imported, ImportError> {
    let mut imported = crate::format::import(format, file)?;
    if imported.captures.is_empty() {
        return Err(ImportError::new(None, "", "there is no capture in it"));
    }
    imported.name(file);
    if let Some(key) = key {
        imported.redact(key);
    }
    Ok(imported)
}

fn refused(problem: &str) -> Problem {
    error::problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "import-refused",
        "The file cannot be imported; nothing of it was",
        problem,
    )
}

#[cfg(test)]
mod tests {
    use crate::http::tests::{Answer, Daemon};
    use ::http::Request;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn an_export_says_behind_its_body_what_is_in_it() {
        let daemon = Daemon::five().await;
        let file = daemon
            .ask("GET", "/api/v1/captures/export?format=ndjson&id__gte=2", None)
            .await;
        assert_eq!(
            (file.status.as_u16(), &file.headers["content-disposition"]),
            (200, &"attachment; filename=\"captures.ndjson\"".parse().unwrap())
        );
        let trailers = file.trailers.as_ref().unwrap();
        assert_eq!(trailers["reprise-captures"], "4");
        let lines = file.text().lines().filter(|line| line.contains("\"/")).count();
        assert!(lines >= 4, "{}", file.text());
        daemon
            .ask("GET", "/api/v1/captures/export", None)
            .await
            .refused(400, "invalid-request");
        let detail = daemon
            .ask("GET", "/api/v1/captures/export?format=xml", None)
            .await
            .refused(400, "invalid-request");
        assert!(detail.contains("ndjson"), "{detail}");
    }

    #[tokio::test]
    async fn what_was_exported_is_imported_with_new_numbers() {
        let daemon = Daemon::five().await;
        let file = daemon
            .ask("GET", "/api/v1/captures/export?format=ndjson", None)
            .await
            .bytes;
        let import = |body: Vec<u8>| {
            let request = Request::post("/api/v1/captures/import?format=ndjson");
            daemon.send(
                request.header("authorization", format!("Bearer {}", daemon.admin())),
                body,
            )
        };
        let done = import(file.clone()).await;
        assert_eq!(done.status, 201, "{}", done.text());
        assert_eq!(
            done.json(),
            json!({"imported": 5, "duplicates": 0, "first_id": 6, "last_id": 10, "not_carried": {}})
        );
        let again = json!({"imported": 0, "duplicates": 5, "first_id": null, "last_id": null, "not_carried": {}});
        assert_eq!(import(file.clone()).await.json(), again);
        let cut = import(file[..file.len() - 20].to_vec())
            .await
            .refused(422, "import-refused");
        assert!(cut.contains("byte "), "{cut}");
        assert_eq!(daemon.ask("GET", "/api/v1/captures", None).await.ids().len(), 10);
    }

    /// A file of one capture.
    fn framed(line: &Value) -> Vec<u8> {
        let (head, foot) = (json!({"head": {"version": 1}}), json!({"foot": {"captures": 1}}));
        format!("{head}\n{line}\n{foot}\n").into_bytes()
    }

    /// A file that nobody redacted.
    fn unredacted() -> Vec<u8> {
        let headers = json!([[":method", "POST"], [":path", "/a"], ["authorization", "Bearer hush"]]);
        let line = json!({"capture": {
            "state": "completed", "began_unix_ms": 1500, "began_us": 1, "ended_us": 2,
            "request": {"headers": headers, "ended": true},
        }});
        framed(&line)
    }

    async fn import_as(daemon: &Daemon, token: &str, parameters: &str) -> Answer {
        let request = Request::post(format!("/api/v1/captures/import?format=ndjson{parameters}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        daemon.send(request, unredacted()).await
    }

    #[tokio::test]
    async fn secrets_of_a_file_are_hidden_on_their_way_in() {
        for parameters in ["", "&redact=true"] {
            let daemon = Daemon::start().await;
            let token = daemon.token(crate::store::access::Role::Operator).await;
            let done = import_as(&daemon, &token, parameters).await;
            assert_eq!(done.status, 201, "{}", done.text());
            let shown = daemon.ask("GET", "/api/v1/captures/1", None).await;
            assert!(!shown.text().contains("hush"), "{}", shown.text());
            let value = shown.json()["request"]["headers"][2]["value"].clone();
            assert!(value.as_str().unwrap().starts_with("rdt_"), "{value}");
            assert_eq!(shown.json()["redacted"], true);
        }
    }

    #[tokio::test]
    async fn a_file_without_captures_is_refused() {
        let daemon = Daemon::start().await;
        let whole = "{\"head\":{\"version\":1}}\n{\"foot\":{\"captures\":0}}\n";
        for (format, file) in [("gor", ""), ("ndjson", ""), ("ndjson", whole)] {
            let request = Request::post(format!("/api/v1/captures/import?format={format}"));
            let request = request.header("authorization", format!("Bearer {}", daemon.admin()));
            let told = daemon.send(request, file).await.refused(422, "import-refused");
            assert_eq!(told, "there is no capture in it", "{format}");
        }
    }

    #[tokio::test]
    async fn only_an_admin_keeps_the_secrets_of_a_file() {
        let daemon = Daemon::start().await;
        let operator = daemon.token(crate::store::access::Role::Operator).await;
        let refused = import_as(&daemon, &operator, "&redact=false").await;
        refused.refused(403, "forbidden");
        let done = import_as(&daemon, daemon.admin(), "&redact=false").await;
        assert_eq!(done.json()["imported"], 1, "{}", done.text());
        let shown = daemon.ask("GET", "/api/v1/captures/1", None).await;
        assert!(shown.text().contains("Bearer hush"), "{}", shown.text());
        let audit = daemon.ask("GET", "/api/v1/audit", None).await.json();
        assert_eq!(audit["items"][0]["detail"]["redact"], false, "{audit:#}");
    }
}
