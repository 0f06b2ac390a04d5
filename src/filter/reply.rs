//! Replies that the filter makes: sent, and mended when they pass by on their way to the client.

use crate::host::{Host, HostError, Level, Side};
use crate::root::Root;
use reprise_core::claim::record::Record;
use reprise_core::http::Pairs;
use reprise_core::problem::{Dialect, Problem, Reply};

/// Tells a problem; a client that cannot be told is gone, and held requests never pass.
pub fn respond(host: &impl Host, root: &Root, problem: &Problem, dialect: Dialect) -> Mend {
    let Reply {
        status,
        grpc_status,
        pairs,
        body,
    } = problem.reply(&root.document.problem, dialect);
    send(host, (status, grpc_status), &pairs, &body);
    Mend::Nothing
}

/// Answers the exchange; where the host refuses, the client waits for a timeout, and somebody should know.
pub fn send(host: &impl Host, (status, grpc_status): (u16, Option<u8>), pairs: &[u8], body: &[u8]) {
    if let Err(HostError { call, status }) = host.respond(status, grpc_status, pairs, body) {
        host.log(
            Level::Warn,
            &format!("reprise: a request could not be answered: {call} failed with status {status}"),
        );
    }
}

/// What the host changes about an answer, to be undone when the answer passes by: it gives every local reply with a body
/// a content type, and takes it off one without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Nothing.
    Nothing,
    /// The first response had no content type.
    TakeOff,
    /// The first response had one, among these headers: all go and come again, so that their order stays.
    PutBack(Vec<u8>),
}

impl Mend {
    /// Finds what the host changes about the answer of `record`.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Self {
        Self::new(record.pairs, record.body)
    }

    /// Finds what the host changes about an answer with these headers and this body.
    #[must_use]
    pub fn new(pairs: &[u8], body: &[u8]) -> Self {
        match (Pairs::new(pairs).first(b"content-type"), body.is_empty()) {
            (None, false) => Self::TakeOff,
            (Some(_), true) => Self::PutBack(pairs.to_vec()),
            (None, true) | (Some(_), false) => Self::Nothing,
        }
    }

    /// Undoes it, within the callback of the answer's headers.
    pub fn apply(&self, host: &impl Host) {
        // A content type too many does not make the answer wrong.
        let _changed = match self {
            Self::Nothing => Ok(()),
            Self::TakeOff => host.remove_header(Side::Response, b"content-type"),
            Self::PutBack(pairs) => put_back(host, Pairs::new(pairs)),
        };
    }
}

fn put_back(host: &impl Host, pairs: Pairs<'_>) -> Result<(), HostError> {
    for (name, _) in pairs {
        host.remove_header(Side::Response, name)?;
    }
    for (name, value) in pairs {
        host.add_response_header(&String::from_utf8_lossy(name), value)?;
    }
    Ok(())
}
