//! Captures as JSON.

use crate::app::filter::STATES;
use crate::http::answer;
use crate::store::captures::{Capture, CaptureRow};
use ::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reprise_core::http::Pairs;
use reprise_core::wire::{Half, State};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Longest body that is shown beside its headers.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A capture, as lists show it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CaptureItem {
    /// Its number; later ones are greater.
    id: i64,
    /// When the request came: RFC 3339, UTC.
    created: String,
    /// The method.
    method: String,
    /// The host that was asked.
    host: String,
    /// The target up to its query.
    path: String,
    /// The target; bytes that are not UTF-8 are replaced.
    target: String,
    /// The response's status; null if there was none.
    status: Option<u16>,
    /// begun, forwarded, completed, aborted or unknown.
    state: &'static str,
    /// Why it was aborted; empty otherwise.
    reason: String,
    /// How long it took; null if nobody saw its end.
    latency_ms: Option<f64>,
    /// Its labels.
    labels: Vec<String>,
    /// The caller; empty if none is named.
    principal: String,
    /// The proxy's route.
    route: String,
    /// The upstream cluster.
    cluster: String,
    /// The client's address, as the proxy trusts it.
    client: String,
    /// The address at the other end of the connection.
    peer: String,
    /// `http` or `https`.
    scheme: String,
    /// `HTTP/1.1` …
    protocol: String,
    /// `x-request-id`.
    request_id: String,
    /// The boot id in the response; empty if none.
    boot_id: String,
    /// Why it cannot be sent again; empty if it can.
    not_replayable: String,
    /// Bytes of the request's body, as it was.
    request_bytes: u64,
    /// Bytes of the response's body, as it was.
    response_bytes: u64,
    /// Whether a body is not kept whole.
    truncated: bool,
    /// Whether anything was redacted.
    redacted: bool,
    /// How many redacted values are kept for replays; they are never shown.
    sealed: u64,
    /// When replayd had it: RFC 3339, UTC.
    received: String,
    /// Its stream and its number there, as `<32 hex digits>/<number>`; null if it was imported.
    stream: Option<String>,
}

/// A capture, whole.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CaptureDetail {
    #[serde(flatten)]
    item: CaptureItem,
    /// The request.
    request: HalfView,
    /// The response; null if there was none.
    response: Option<HalfView>,
}

/// A request or a response.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HalfView {
    /// All headers in order, pseudo-headers first.
    headers: Vec<HeaderView>,
    /// All trailers in order.
    trailers: Vec<HeaderView>,
    /// The body.
    body: BodyView,
    /// Whether it was seen to its end.
    ended: bool,
}

/// One header.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HeaderView {
    /// Its name, in lower case.
    name: String,
    /// Its value; bytes that are not UTF-8 are replaced.
    value: String,
    /// The value's bytes in base64, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// What is known of a body.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BodyView {
    /// How many bytes it had.
    bytes: u64,
    /// How many of them are kept.
    kept_bytes: usize,
    /// BLAKE3 of all of it where not all is kept, in hex digits; keyed where it was redacted.
    hash: Option<String>,
    /// Whether only the first bytes are kept.
    truncated: bool,
    /// What was redacted of it: empty, `parts` or `whole`.
    redacted: String,
    /// What is kept, where it is UTF-8 and at most 64 KiB.
    text: Option<String>,
}

impl CaptureItem {
    /// Shows a row.
    pub(super) fn of(row: &CaptureRow) -> Self {
        let took_us = row.ended_us.checked_sub(row.began_us).filter(|_| row.ended_us > 0);
        let epoch = row.epoch.map(|epoch| hex(&epoch.0));
        Self {
            id: row.id.0,
            created: row.began_at.to_rfc3339(),
            method: row.method.clone(),
            host: row.authority.clone(),
            path: row.target.split('?').next().unwrap_or_default().to_owned(),
            target: row.target.clone(),
            status: row.status,
            state: state(row.state),
            reason: row.reason.clone(),
            latency_ms: took_us.map(millis),
            labels: row.labels.clone(),
            principal: row.principal.clone(),
            route: row.route.clone(),
            cluster: row.cluster.clone(),
            client: row.client.clone(),
            peer: row.peer.clone(),
            scheme: row.scheme.clone(),
            protocol: row.protocol.clone(),
            request_id: row.request_id.clone(),
            boot_id: row.boot_id.clone(),
            not_replayable: row.not_replayable.clone(),
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            truncated: row.truncated,
            redacted: row.redacted,
            sealed: row.sealed,
            received: row.received_at.to_rfc3339(),
            stream: epoch.map(|epoch| format!("{epoch}/{}", row.seq)),
        }
    }

    /// Keeps the named columns; no name means all.
    pub(super) fn only(&self, columns: &[String]) -> Result<Map<String, Value>, serde_json::Error> {
        let mut all: Map<String, Value> = serde_json::from_value(serde_json::to_value(self)?)?;
        if !columns.is_empty() {
            all.retain(|name, _| columns.iter().any(|column| column == name));
        }
        Ok(all)
    }
}

impl CaptureDetail {
    /// Shows a capture.
    pub(super) fn of(capture: &Capture) -> Self {
        Self {
            item: CaptureItem::of(&capture.row),
            request: HalfView::of(&capture.request),
            response: capture.response.as_ref().map(HalfView::of),
        }
    }
}

impl HalfView {
    fn of(half: &Half) -> Self {
        let text = (half.body.len() <= TEXT_BYTES_MAX).then(|| String::from_utf8(half.body.clone()).ok());
        Self {
            headers: headers(&half.pairs),
            trailers: headers(&half.trailers),
            body: BodyView {
                bytes: half.body_len,
                kept_bytes: half.body.len(),
                hash: (!half.body_hash.is_empty()).then(|| hex(&half.body_hash)),
                truncated: half.truncated,
                redacted: half.redacted.clone(),
                text: text.flatten(),
            },
            ended: half.ended,
        }
    }
}

fn headers(pairs: &[u8]) -> Vec<HeaderView> {
    let view = |(name, value): (&[u8], &[u8])| HeaderView {
        name: String::from_utf8_lossy(name).into_owned(),
        value: String::from_utf8_lossy(value).into_owned(),
        base64: std::str::from_utf8(value).is_err().then(|| STANDARD.encode(value)),
    };
    Pairs::new(pairs).map(view).collect()
}

/// Answers with the body of `half`, and says what of it is missing.
pub(super) fn body(asked: &HeaderMap, id: i64, which: &str, half: Half) -> Response {
    let (truncated, redacted) = (half.truncated, half.redacted);
    let mut response = answer::attachment(asked, &format!("capture-{id}-{which}.bin"), half.body);
    let headers = response.headers_mut();
    headers.insert("reprise-body-bytes", half.body_len.into());
    headers.insert(
        "reprise-body-truncated",
        HeaderValue::from_static(if truncated { "true" } else { "false" }),
    );
    if let Ok(redacted) = HeaderValue::try_from(redacted) {
        headers.insert("reprise-body-redacted", redacted);
    }
    response
}

/// Names a state.
fn state(state: State) -> &'static str {
    let found = STATES.iter().find(|(each, _)| *each == state);
    found.map_or("unknown", |(_, name)| *name)
}

/// Writes bytes as hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns microseconds into milliseconds: three digits, and no more where the number has no exact half.
fn millis(us: u64) -> f64 {
    (std::time::Duration::from_micros(us).as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::listing::COLUMNS;
    use crate::http::tests::capture;

    #[test]
    fn the_columns_are_the_fields() {
        let shown = CaptureItem::of(&capture("/a").row).only(&[]).unwrap();
        let mut fields: Vec<_> = shown.keys().map(String::as_str).collect();
        let mut columns = COLUMNS.to_vec();
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(fields, columns);
    }

    #[test]
    fn milliseconds_have_three_digits() {
        let shown = [3495, 1, 0, 86_400_000_001].map(|us| serde_json::json!(millis(us)).to_string());
        assert_eq!(shown, ["3.495", "0.001", "0.0", "86400000.001"]);
    }

    #[test]
    fn a_header_that_is_not_utf8_is_shown_with_its_bytes() {
        let mut pairs = vec![];
        let written: [(&[u8], &[u8]); 2] = [(b"x", b"\xff\x00"), (b"y", b"z")];
        reprise_core::http::write_pairs(written.into_iter(), &mut pairs);
        let shown = serde_json::to_value(headers(&pairs)).unwrap();
        let want =
            serde_json::json!([{"name": "x", "value": "\u{fffd}\u{0}", "base64": "/wA="}, {"name": "y", "value": "z"}]);
        assert_eq!(shown, want);
    }

    #[test]
    fn sealed_values_are_counted_and_not_shown() {
        let mut one = capture("/a");
        let (token, value) = (b"rdt_x".to_vec(), b"planted-secret".to_vec());
        one.sealed.push(reprise_core::wire::Sealed { token, value });
        one.row.sealed = 1;
        let shown = serde_json::to_string(&CaptureDetail::of(&one)).unwrap();
        assert!(shown.contains("\"sealed\":1") && !shown.contains("planted"), "{shown}");
    }
}
