//! What a request can tell the upstream to do: the JSON object in its `x-script` header.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How one request is answered. What is left out is as an ordinary application would do it.
///
/// Shape: a JSON object in the request header `x-script`; an unknown field is answered with 500.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Status of the response; none = 201.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Added to the response, in this order; names may repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Body of the response; none = JSON with the execution's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Body of the response in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_hex: Option<String>,
    /// A body of this many patterned bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<usize>,
    /// Sends the body without `content-length`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub chunked: bool,
    /// Number of pieces that the body is sent in; 0 = 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub pieces: usize,
    /// Trailers of the response; they need HTTP/2, or a client that asks for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<(String, String)>,
    /// The request waits here after its execution, before anything is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// The response waits here after its first piece, or after its headers if it breaks off there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_gate: Option<String>,
    /// Answers at the request's headers; its body is never read, and nothing is executed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub early: bool,
    /// How long the application works before it answers, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Pause between two pieces of the body, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub piece_delay_ms: Option<u64>,
    /// Where the response breaks off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// One script for each execution of this target with this key; the last one stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Self>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Where a response breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// After the execution, before the response.
    Reset,
    /// After the response's headers.
    ResetAfterHeaders,
    /// After the first piece of the body.
    ResetMidBody,
    /// Before the request's body is read: nothing is executed.
    ResetUnread,
}

impl Script {
    /// Picks what the execution with this number (0 = the first one) does.
    #[must_use]
    pub fn step(&self, earlier: usize) -> &Self {
        let last = self.steps.len().saturating_sub(1);
        self.steps.get(earlier.min(last)).unwrap_or(self)
    }

    /// Gives the body's bytes, if the script has one.
    ///
    /// # Errors
    ///
    /// A message if `body_hex` is not a sequence of pairs of hexadecimal digits.
    pub fn bytes(&self) -> Result<Option<Bytes>, String> {
        if let Some(text) = &self.body {
            return Ok(Some(Bytes::copy_from_slice(text.as_bytes())));
        }
        if let Some(digits) = &self.body_hex {
            return unhex(digits).map(|bytes| Some(bytes.into()));
        }
        Ok(self.body_bytes.map(patterned))
    }
}

/// Makes `len` bytes that show a gap, a repeat or a swap when compared.
#[must_use]
pub fn patterned(len: usize) -> Bytes {
    (0..len)
        .map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap_or_default())
        .collect()
}

fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    if !digits.len().is_multiple_of(2) {
        return Err("body_hex has an odd number of digits".to_owned());
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| {
            let pair = digits.get(at..at + 2).unwrap_or("?");
            u8::from_str_radix(pair, 16).map_err(|error| format!("body_hex at {at}: {error}"))
        })
        .collect()
}
