//! Redaction: any body under any content type comes out as it was, with tokens, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::capture::redact::{has_token, redact, unseal};
use reprise_core::config::Redact;
use reprise_core::http::write_pairs;
use reprise_core::wire::{Capture, Half};

const KEY: [u8; 32] = [7; 32];
const MEDIA: [&str; 6] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=B",
    "text/plain",
    "image/png",
    "",
];

fn rules(seal: bool) -> Redact {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let sealed: &[&str] = if seal { &["header:x-pin", "query:pin", "form:pin", "json:/pin", "json:/a/*/pin"] } else { &[] };
    let open = |names: &[&str]| if seal { Vec::new() } else { list(names) };
    Redact {
        headers: open(&["x-pin"]),
        query: open(&["pin"]),
        form: open(&["pin"]),
        json: open(&["/pin", "/a/*/pin"]),
        seal: list(sealed),
    }
}

/// Shape: the first byte says the media type and whether all is sealed; the rest is target, header and body.
fn half(media: usize, bytes: &[u8]) -> Half {
    let mut pairs = Vec::new();
    let media = MEDIA[media % MEDIA.len()].as_bytes();
    let all: [(&[u8], &[u8]); 4] = [(b":path", bytes), (b"x-pin", bytes), (b"location", bytes), (b"content-type", media)];
    write_pairs(all.into_iter(), &mut pairs);
    Half { pairs, body: bytes.to_vec(), body_len: bytes.len() as u64, ended: true, ..Half::default() }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    // What looks like a token already cannot be told from one.
    if has_token(rest) {
        return;
    }
    let (seal, before) = (first & 0x80 != 0, half(usize::from(first & 0x7f), rest));
    let mut capture = Capture { request: Some(before.clone()), ..Capture::default() };
    redact(&mut capture, &rules(seal), &KEY);
    let mut after = capture.request.unwrap_or_default();
    match after.redacted.as_str() {
        "" => assert_eq!(after.body, before.body),
        "parts" => {
            assert!(has_token(&after.body));
            let is_json = serde_json::from_slice::<serde_json::Value>(rest).is_ok();
            assert!(!is_json || serde_json::from_slice::<serde_json::Value>(&after.body).is_ok());
        }
        "whole" => assert!(after.body.is_empty()),
        other => panic!("{other}"),
    }
    assert_eq!(after.body_hash.is_empty(), after.redacted.is_empty());
    if seal && after.redacted != "whole" {
        unseal(&mut after, &capture.sealed);
        assert_eq!(after.body, before.body);
    }
});
