//! Captures in files: what goes out and what comes in, in a format of our own and in those of others.
//!
//! Bytes in, bytes out: files, sockets and the store are elsewhere, and so is who may do it. What a format cannot carry is
//! counted; what comes in is taken as a whole or refused with the place of the fault.

mod curl;
mod django;
mod exchange;
mod gor;
mod har;
mod hide;
mod k6;
mod lack;
mod message;
mod moment;
mod ndjson;
#[cfg(test)]
mod testing;
mod timeline;
#[cfg(any(test, feature = "fuzzing"))]
mod trial;

#[cfg(feature = "fuzzing")]
pub use trial::try_any;

pub(crate) use lack::say;

use crate::store::captures::Origin;
use crate::store::{Capture, Epoch};
use exchange::{check_fields, check_request};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use timeline::Timeline;

/// Largest file that is taken in, in bytes: all of it is in memory until it is known to be right.
pub(crate) const IMPORT_BYTES_MAX: usize = 256 << 20;
/// Most captures that are taken in at once.
pub(crate) const IMPORT_CAPTURES_MAX: usize = 1_000_000;

/// Formats that captures go out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportFormat {
    /// JSON lines of our own: everything but sealed values.
    Ndjson,
    /// HTTP Archive 1.2, for browsers and proxies.
    Har,
    /// GoReplay's file, to be sent again with GoReplay.
    Gor,
    /// A shell script that calls curl.
    Curl,
    /// A script for k6.
    K6,
}

impl ExportFormat {
    /// Names the media type of a file.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Har => "application/json",
            Self::Gor => "application/octet-stream",
            Self::Curl => "application/x-sh",
            Self::K6 => "text/javascript",
        }
    }
}

/// Formats that captures come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImportFormat {
    /// JSON lines of our own.
    Ndjson,
    /// HTTP Archive 1.2.
    Har,
    /// GoReplay's file.
    Gor,
    /// The SQLite file of Django request replay.
    Django,
}

/// What went over, and what was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub(crate) struct Counts {
    /// Captures that are in the file, or came out of it.
    pub(crate) captures: u64,
    /// What the format, or this reader of it, does not carry, by a stable name, and how often it occurred.
    pub(crate) not_carried: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts one thing that is left behind.
    fn miss(&mut self, what: &'static str) {
        self.miss_if(true, what);
    }

    /// Counts one thing that is left behind, if it is there at all.
    fn miss_if(&mut self, there: bool, what: &'static str) {
        if there {
            let count = self.not_carried.entry(what).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Counts what is known about an exchange beside its messages, in a format that has no place for it.
    fn miss_about(&mut self, capture: &Capture) {
        self.miss_context(capture);
        self.miss_if(!capture.row.labels.is_empty(), "labels");
    }

    /// Counts where an exchange was seen and who was part of it, and secrets, which never go out.
    fn miss_context(&mut self, capture: &Capture) {
        let row = &capture.row;
        let about = [
            &row.route,
            &row.cluster,
            &row.principal,
            &row.client,
            &row.peer,
            &row.boot_id,
        ];
        self.miss_if(about.iter().any(|text| !text.is_empty()), "context");
        self.miss_if(!capture.sealed.is_empty(), "sealed");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let captures = if self.captures == 1 { "capture" } else { "captures" };
        write!(out, "{} {captures}", self.captures)?;
        match say(self.not_carried.iter().map(|(what, count)| (*what, *count))).as_str() {
            "" => Ok(()),
            said => write!(out, ". {said}"),
        }
    }
}

/// Tells why the capture's request cannot be sent from a file, if it cannot.
fn unsendable(capture: &Capture) -> Option<&'static str> {
    let request = &capture.request;
    let reasons = [
        (!capture.row.not_replayable.is_empty(), "not_replayable"),
        (request.redacted == "whole", "redacted"),
        (request.truncated, "truncated"),
        (!request.ended, "unfinished"),
        (
            check_request(&request.pairs).is_err() || check_fields(&request.trailers).is_err(),
            "malformed",
        ),
    ];
    reasons
        .into_iter()
        .find_map(|(applies, reason)| applies.then_some(reason))
}

/// Writes captures, one after the other, so that a file of any length never is in memory as a whole.
#[derive(Debug)]
pub(crate) struct Exporter {
    format: ExportFormat,
    begun: bool,
    counts: Counts,
    /// One clock for all streams.
    timeline: Timeline,
}

impl Exporter {
    /// Begins a file.
    pub(crate) fn new(format: ExportFormat) -> Self {
        Self {
            format,
            begun: false,
            counts: Counts::default(),
            timeline: Timeline::default(),
        }
    }

    /// Writes one capture, or counts why it is left out.
    ///
    /// # Errors
    /// What `out` says.
    pub(crate) fn push(&mut self, capture: &Capture, out: &mut impl Write) -> io::Result<()> {
        self.begin(out)?;
        match self.format {
            ExportFormat::Ndjson => ndjson::write(capture, &mut self.counts, out),
            ExportFormat::Har => har::write(capture, &mut self.timeline, &mut self.counts, out),
            ExportFormat::Gor => gor::write(capture, &mut self.timeline, &mut self.counts, out),
            ExportFormat::Curl => curl::write(capture, &mut self.counts, out),
            ExportFormat::K6 => k6::write(capture, &mut self.counts, out),
        }
    }

    /// Ends the file and tells what became of the captures.
    ///
    /// # Errors
    /// What `out` says.
    pub(crate) fn finish(mut self, out: &mut impl Write) -> io::Result<Counts> {
        self.begin(out)?;
        match self.format {
            ExportFormat::Ndjson => ndjson::end(&self.counts, out)?,
            ExportFormat::Har => har::end(&self.counts, out)?,
            ExportFormat::Gor => {}
            ExportFormat::Curl => curl::end(&self.counts, out)?,
            ExportFormat::K6 => k6::end(&self.counts, out)?,
        }
        Ok(self.counts)
    }

    fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        match self.format {
            ExportFormat::Ndjson => ndjson::begin(out),
            ExportFormat::Har => har::begin(out),
            ExportFormat::Gor => Ok(()),
            ExportFormat::Curl => curl::begin(out),
            ExportFormat::K6 => k6::begin(out),
        }
    }
}

/// What came out of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Imported {
    /// The captures, in the order in which they are to be stored: without number and stream, and on the wall clock.
    pub(crate) captures: Vec<Capture>,
    /// What was in the file and is not in the captures.
    pub(crate) counts: Counts,
}

impl Imported {
    /// Names the captures that have no name after their file, so that the same file gives none twice.
    ///
    /// Shape: the first 16 bytes of BLAKE3 in its key derivation mode, context `reprise 2026-11 name of a file`, and the
    /// place of the capture, from 1.
    pub(crate) fn name(&mut self, file: &[u8]) {
        let (mut epoch, digest) = ([0; 16], blake3::derive_key("reprise 2026-11 name of a file", file));
        epoch.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        for (seq, capture) in (1..).zip(&mut self.captures) {
            let epoch = Epoch(epoch);
            capture.row.origin.get_or_insert(Origin { epoch, seq });
        }
    }

    /// Puts tokens in the place of headers that never show: nobody redacted what other tools wrote.
    ///
    /// Again: tokens stay as they are, also those of another installation.
    pub(crate) fn redact(&mut self, key: &[u8; 32]) {
        for capture in &mut self.captures {
            hide::hide(capture, key);
        }
    }
}

/// Why a file is refused, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportError {
    /// The offset, in bytes from the file's front; none where a place says more.
    pub(crate) at: Option<usize>,
    /// The same place in the format's own terms, such as `line 3`; empty if it has none.
    pub(crate) place: String,
    /// What is wrong there.
    pub(crate) problem: String,
}

impl ImportError {
    /// Tells of a problem, and where it is.
    pub(crate) fn new(at: impl Into<Option<usize>>, place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            place: place.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.map(|at| format!("byte {at}"));
        let place = Some(self.place.clone()).filter(|place| !place.is_empty());
        let places: Vec<_> = at.into_iter().chain(place).collect();
        match places.as_slice() {
            [] => out.write_str(&self.problem),
            places => write!(out, "{}: {}", places.join(", "), self.problem),
        }
    }
}

impl std::error::Error for ImportError {}

/// Reads a whole file.
///
/// Atomic: all captures or none.
///
/// # Errors
/// [`ImportError`] if the file is too large, cut off, or not what the format says.
pub(crate) fn import(format: ImportFormat, bytes: &[u8]) -> Result<Imported, ImportError> {
    if bytes.len() > IMPORT_BYTES_MAX {
        let problem = format!(
            "the file has {} bytes; at most {IMPORT_BYTES_MAX} are taken",
            bytes.len()
        );
        return Err(ImportError::new(IMPORT_BYTES_MAX, "", problem));
    }
    match format {
        ImportFormat::Ndjson => ndjson::read(bytes),
        ImportFormat::Har => har::read(bytes),
        ImportFormat::Gor => gor::read(bytes),
        ImportFormat::Django => django::read(bytes),
    }
}
