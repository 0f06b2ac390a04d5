//! Captures as entries of a log.

use super::CREATOR;
use super::entry::{Content, Entry, Marks, Nothing, Pair, PostData, Request, Response, Timings};
use crate::format::message::plain;
use crate::format::{Counts, Timeline, moment};
use crate::store::Capture;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reprise_core::http::Pairs;
use reprise_core::wire::{Half, State};
use std::io::{self, Write};

/// Writes what stands before the entries.
pub(in crate::format) fn begin(out: &mut impl Write) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    write!(
        out,
        r#"{{"log":{{"version":"1.2","creator":{{"name":"{CREATOR}","version":"{version}"}},"entries":["#
    )
}

/// Writes one capture.
pub(in crate::format) fn write(
    capture: &Capture,
    timeline: &mut Timeline,
    counts: &mut Counts,
    out: &mut impl Write,
) -> io::Result<()> {
    let row = &capture.row;
    if row.method.is_empty() || !row.target.starts_with('/') {
        // OPTIONS * and CONNECT have no URL.
        counts.miss("target");
        return Ok(());
    }
    let (began_us, ended_us) = timeline.place(row);
    let time = milliseconds(ended_us.saturating_sub(began_us));
    counts.miss_if(row.authority.is_empty(), "authority");
    let entry = Entry {
        started_date_time: moment::to_text(began_us),
        time,
        request: request(capture, counts),
        response: response(capture, counts),
        cache: Nothing {},
        timings: Timings {
            wait: time,
            ..Timings::default()
        },
        state: Some(state_name(row.state).to_owned()),
        reason: row.reason.clone(),
        not_replayable: row.not_replayable.clone(),
        labels: row.labels.clone(),
    };
    counts.miss_context(capture);
    out.write_all(if counts.captures == 0 { b"\n" } else { b",\n" })?;
    counts.captures = counts.captures.saturating_add(1);
    serde_json::to_writer(out, &entry).map_err(io::Error::from)
}

/// Writes what stands behind the entries; the counts are there for people.
pub(in crate::format) fn end(counts: &Counts, out: &mut impl Write) -> io::Result<()> {
    let comment = serde_json::to_string(&counts.to_string())?;
    writeln!(out, "\n],\"comment\":{comment}}}}}")
}

#[expect(clippy::cast_precision_loss, reason = "no exchange takes a hundred years")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

pub(super) const fn state_name(state: State) -> &'static str {
    match state {
        State::Begun => "begun",
        State::Forwarded => "forwarded",
        State::Completed => "completed",
        State::Aborted => "aborted",
        State::Unknown | State::Unspecified => "unknown",
    }
}

fn request(capture: &Capture, counts: &mut Counts) -> Request {
    let (row, half) = (&capture.row, &capture.request);
    let scheme = if row.scheme.is_empty() { "http" } else { &row.scheme };
    let authority = if row.authority.is_empty() {
        "localhost"
    } else {
        &row.authority
    };
    let headers = pairs(half, counts);
    let mime_type = value(&headers, "content-type");
    let post_data = (!half.body.is_empty()).then(|| {
        let (text, encoding) = text_of(&half.body);
        PostData {
            mime_type,
            params: Vec::new(),
            text,
            encoding: encoding.to_owned(),
        }
    });
    Request {
        method: row.method.clone(),
        url: format!("{scheme}://{authority}{}", row.target),
        http_version: row.protocol.clone(),
        cookies: Vec::new(),
        headers,
        query_string: query(&row.target),
        post_data,
        headers_size: -1,
        body_size: size(half),
        marks: marks(half),
    }
}

fn response(capture: &Capture, counts: &mut Counts) -> Response {
    let Some((half, status)) = capture.response.as_ref().zip(capture.row.status) else {
        return Response {
            status: 0,
            status_text: String::new(),
            http_version: String::new(),
            cookies: Vec::new(),
            headers: Vec::new(),
            content: Content::default(),
            redirect_url: String::new(),
            headers_size: -1,
            body_size: -1,
            marks: Marks::default(),
        };
    };
    let headers = pairs(half, counts);
    let (text, encoding) = text_of(&half.body);
    let content = Content {
        size: size(half),
        mime_type: value(&headers, "content-type"),
        text: (!half.body.is_empty()).then_some(text),
        encoding: encoding.to_owned(),
    };
    Response {
        status: i64::from(status),
        status_text: String::new(),
        http_version: capture.row.protocol.clone(),
        cookies: Vec::new(),
        redirect_url: value(&headers, "location"),
        headers,
        content,
        headers_size: -1,
        body_size: size(half),
        marks: marks(half),
    }
}

fn size(half: &Half) -> i64 {
    i64::try_from(half.body_len).unwrap_or(i64::MAX)
}

fn marks(half: &Half) -> Marks {
    Marks {
        truncated: half.truncated,
        redacted: half.redacted.clone(),
        unfinished: !half.ended,
    }
}

/// Headers as text; what is not text is replaced, and counted.
fn pairs(half: &Half, counts: &mut Counts) -> Vec<Pair> {
    counts.miss_if(!half.trailers.is_empty(), "trailers");
    counts.miss_if(!half.body_hash.is_empty(), "body_hash");
    let is_text = |(_, value): (&[u8], &[u8])| std::str::from_utf8(value).is_ok();
    counts.miss_if(!Pairs::new(&half.pairs).all(is_text), "header_bytes");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    plain(&half.pairs)
        .map(|(name, value)| Pair {
            name: text(name),
            value: text(value),
        })
        .collect()
}

fn value(headers: &[Pair], name: &str) -> String {
    let found = headers.iter().find(|pair| pair.name == name);
    found.map_or_else(String::new, |pair| pair.value.clone())
}

/// Text and its encoding.
fn text_of(body: &[u8]) -> (String, &'static str) {
    std::str::from_utf8(body).map_or_else(
        |_| (BASE64_STANDARD.encode(body), "base64"),
        |text| (text.to_owned(), ""),
    )
}

/// The query's parameters, as they were written.
fn query(target: &str) -> Vec<Pair> {
    let Some((_, query)) = target.split_once('?') else {
        return Vec::new();
    };
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Pair {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}
