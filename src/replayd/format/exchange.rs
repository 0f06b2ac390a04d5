//! Putting a capture together from what a file says, and refusing what no HTTP message can be.

use crate::clock::UnixMillis;
use crate::store::{Capture, CaptureId, CaptureRow};
use reprise_core::http::{Pairs, write_pairs};
use reprise_core::wire::{Half, State};

/// Headers or trailers in order.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Writes fields as halves keep them.
pub(super) fn pack(fields: &Fields) -> Vec<u8> {
    let mut packed = Vec::new();
    write_pairs(fields.iter().map(|(name, value)| (&name[..], &value[..])), &mut packed);
    packed
}

/// Checks the pseudo-headers and headers of a request.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check_request(pairs: &[u8]) -> Result<(), String> {
    check_fields(pairs)?;
    let first = |name: &[u8]| Pairs::new(pairs).first(name).unwrap_or_default();
    if !is_token(first(b":method")) {
        return Err(format!("`{}` is not a method", show(first(b":method"))));
    }
    let target = first(b":path");
    if target.is_empty() || !target.iter().all(|byte| *byte > b' ' && *byte != 0x7f) {
        return Err(format!("`{}` is not a target", show(target)));
    }
    let authority = first(b":authority");
    if !authority.iter().all(|byte| is_authority(*byte)) {
        return Err(format!("`{}` is not a host", show(authority)));
    }
    match first(b":scheme") {
        b"" | b"http" | b"https" => Ok(()),
        other => Err(format!("`{}` is not http or https", show(other))),
    }
}

/// Checks the status and headers of a response.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check_response(pairs: &[u8]) -> Result<(), String> {
    check_fields(pairs)?;
    match status(pairs) {
        Some(100..=999) => Ok(()),
        _ => Err("a response has a :status of three digits".to_owned()),
    }
}

/// Checks names and values of headers or trailers.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check_fields(pairs: &[u8]) -> Result<(), String> {
    for (name, value) in Pairs::new(pairs) {
        let bare = name.strip_prefix(b":").unwrap_or(name);
        if !is_token(bare) || bare.iter().any(u8::is_ascii_uppercase) {
            return Err(format!("`{}` is not a header's name in lower case", show(name)));
        }
        if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(format!("the value of `{}` has a line break or a zero byte", show(name)));
        }
    }
    Ok(())
}

/// Tells whether `text` is a token of HTTP (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_part)
}

fn is_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]@".contains(&byte)
}

/// Shows bytes of a file in a message, shortened and without what a terminal acts on.
pub(super) fn show(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    let shown = bytes.get(..SHOWN_MAX).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_ascii())
}

/// Tells what is wrong with JSON, without the place, which is of a part of the file only.
pub(super) fn what_json_says(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.rsplit_once(" at line ")
        .map_or(said.as_str(), |(what, _)| what)
        .to_owned()
}

/// Reads `:status`.
pub(super) fn status(pairs: &[u8]) -> Option<u16> {
    let digits = Pairs::new(pairs).first(b":status")?;
    let is_status = digits.len() == 3 && digits.iter().all(u8::is_ascii_digit);
    is_status
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

/// Makes a capture of two halves; what only its finder knows is left empty.
pub(super) fn assemble(request: Half, response: Option<Half>) -> Capture {
    let first = |name: &[u8]| Pairs::new(&request.pairs).first(name).unwrap_or_default();
    let text = |name: &[u8]| String::from_utf8_lossy(first(name)).into_owned();
    let halves = || std::iter::once(&request).chain(&response);
    let row = CaptureRow {
        id: CaptureId(0),
        epoch: None,
        seq: 0,
        origin: None,
        state: State::Unknown,
        reason: String::new(),
        method: text(b":method"),
        scheme: text(b":scheme"),
        authority: text(b":authority"),
        target: text(b":path"),
        status: response.as_ref().and_then(|half| status(&half.pairs)),
        began_at: UnixMillis(0),
        began_us: 0,
        ended_us: 0,
        route: String::new(),
        cluster: String::new(),
        principal: String::new(),
        client: String::new(),
        peer: String::new(),
        protocol: String::new(),
        request_id: text(b"x-request-id"),
        labels: Vec::new(),
        boot_id: String::new(),
        not_replayable: String::new(),
        request_bytes: request.body_len,
        response_bytes: response.as_ref().map_or(0, |half| half.body_len),
        truncated: halves().any(|half| half.truncated),
        redacted: halves().any(|half| !half.redacted.is_empty()),
        sealed: 0,
        received_at: UnixMillis(0),
    };
    Capture {
        row,
        request,
        response,
        sealed: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], want: Result<(), &str>) {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let fields = fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        assert_eq!(check_request(&pack(&fields)), want.map_err(str::to_owned));
    }

    const POST: (&str, &str) = (":method", "POST");

    #[test]
    fn a_request_has_a_method_and_a_target() {
        check(&[POST, (":path", "/a?b=%20")], Ok(()));
        check(&[POST], Err("`` is not a target"));
        check(&[(":path", "/")], Err("`` is not a method"));
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_head() {
        check(
            &[(":method", "GET /x"), (":path", "/")],
            Err("`GET /x` is not a method"),
        );
        check(&[POST, (":path", "/ HTTP/1.1")], Err("`/ HTTP/1.1` is not a target"));
        check(
            &[POST, (":path", "/"), (":authority", "a b")],
            Err("`a b` is not a host"),
        );
        check(
            &[POST, (":path", "/"), (":scheme", "ftp")],
            Err("`ftp` is not http or https"),
        );
        check(
            &[POST, (":path", "/"), ("a", "b\r\nc: d")],
            Err("the value of `a` has a line break or a zero byte"),
        );
        check(
            &[POST, (":path", "/"), ("A", "b")],
            Err("`A` is not a header's name in lower case"),
        );
    }

    #[test]
    fn a_status_has_three_digits() {
        let of = |value: &str| status(&pack(&vec![(b":status".to_vec(), value.as_bytes().to_vec())]));
        assert_eq!(
            (of("204"), of("20"), of("+20"), of("2000")),
            (Some(204), None, None, None)
        );
    }
}
