//! Captures to try formats with.

use super::exchange::{Fields, assemble, pack};
use super::{Counts, ExportFormat, Exporter, ImportError, ImportFormat, Imported, import};
use crate::clock::UnixMillis;
use crate::store::{Capture, CaptureId};
use proptest::collection::vec;
use proptest::prelude::*;
use reprise_core::wire::{Half, State};

/// A moment to begin at, in milliseconds since 1970.
pub(crate) const BEGAN_MS: i64 = 1_790_000_000_123;

/// Makes fields of text.
pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    let bytes = |text: &str| text.as_bytes().to_vec();
    pairs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

/// Makes a whole half.
pub(crate) fn half(fields: &Fields, body: &[u8]) -> Half {
    Half {
        pairs: pack(fields),
        body: body.to_vec(),
        body_len: body.len() as u64,
        ended: true,
        ..Half::default()
    }
}

/// Makes a request to `shop.example` with an answer of 201.
pub(crate) fn capture(method: &str, target: &str, body: &[u8]) -> Capture {
    let length = body.len().to_string();
    let mut head = fields(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", target),
    ]);
    if !body.is_empty() {
        head.extend(fields(&[
            ("content-length", &length),
            ("content-type", "application/json"),
        ]));
    }
    let answer = fields(&[(":status", "201"), ("content-length", "2")]);
    whole(half(&head, body), Some(half(&answer, b"ok")))
}

/// Puts a capture together as an import does.
pub(crate) fn whole(request: Half, response: Option<Half>) -> Capture {
    let mut capture = assemble(request, response);
    let row = &mut capture.row;
    row.id = CaptureId(7);
    row.began_at = UnixMillis(BEGAN_MS);
    row.began_us = BEGAN_MS.unsigned_abs() * 1000 + 42;
    if row.status.is_some() {
        row.state = State::Completed;
        row.ended_us = row.began_us + 1500;
    }
    capture
}

/// Writes a whole file.
pub(crate) fn export(format: ExportFormat, captures: &[Capture], out: &mut Vec<u8>) -> Counts {
    let mut exporter = Exporter::new(format);
    for capture in captures {
        exporter.push(capture, out).unwrap();
    }
    exporter.finish(out).unwrap()
}

/// Gives a file of these captures.
pub(crate) fn written(format: ExportFormat, captures: &[Capture]) -> Vec<u8> {
    let mut out = Vec::new();
    export(format, captures, &mut out);
    out
}

/// Reads a file that is right.
#[track_caller]
pub(crate) fn read(format: ImportFormat, file: &[u8]) -> Imported {
    import(format, file).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(file)))
}

/// Checks that every file that ends too early is refused, at a place inside of it, but for the lengths in `whole`.
#[track_caller]
pub(crate) fn check_cuts(format: ImportFormat, file: &[u8], whole: &[usize]) {
    for len in (0..file.len()).filter(|len| !whole.contains(len)) {
        let ImportError { at, problem, .. } = import(format, &file[..len]).expect_err(&format!("cut at {len}"));
        let at = at.expect("a place");
        assert!(at <= len && !problem.is_empty(), "cut at {len}: byte {at}: {problem}");
    }
}

/// Tells whether a program is here; if it is not, a test that needs it is skipped.
#[expect(clippy::print_stdout, reason = "a test says on the terminal what it skipped")]
pub(crate) fn here(program: &str) -> bool {
    let ran = std::process::Command::new(program).arg("--version").output();
    let here = ran.is_ok_and(|ran| ran.status.success());
    if !here {
        println!("skipped: no {program}");
    }
    here
}

/// The capture as an import gives it: without the number that the store gave.
pub(crate) fn fresh(mut capture: Capture) -> Capture {
    capture.row.id = CaptureId(0);
    capture
}

/// Any body, with a preference for what separates records elsewhere.
pub(crate) fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => vec(any::<u8>(), 0..40),
        1 => Just("\n🐵🙈🙉\n".as_bytes().to_vec()),
        1 => Just(b"1 00 5 0\nPOST /evil HTTP/1.1\r\nhost: evil\r\n\r\n".to_vec()),
        1 => Just(b"\r\n0\r\n\r\n".to_vec()),
        1 => Just(b"'; echo evil; $(evil) `evil` \"\\n%s%n".to_vec()),
        1 => Just(b"{\"capture\":{}}\n</script>${evil}`".to_vec()),
        1 => "\\PC{0,10}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let text = "[ -~]{0,12}".prop_map(|text| text.trim().as_bytes().to_vec());
    let bytes = vec(
        any::<u8>().prop_filter("no control", |byte| *byte > b' ' && *byte != 0x7f),
        0..8,
    );
    prop_oneof![3 => text, 1 => bytes]
}

fn any_fields() -> impl Strategy<Value = Fields> {
    let name = "x-[a-z0-9!#$%&'*+.^_`|~-]{1,8}|__proto__|constructor".prop_map(String::into_bytes);
    vec((name, any_value()), 0..4)
}

prop_compose! {
    /// Any request and response that HTTP allows.
    pub(crate) fn any_capture()(
        method in "GET|HEAD|POST|PUT|PATCH|DELETE|PROPFIND|M-SEARCH|a'b`c|\\$X",
        target in "/[!-~]{0,20}",
        headers in any_fields(),
        body in any_body(),
        status in 200_u16..=599,
        answered in any::<bool>(),
        answer_headers in any_fields(),
        answer_body in any_body(),
    ) -> Capture {
        let mut head = fields(&[
            (":method", &method),
            (":scheme", "http"),
            (":authority", "shop.example:8080"),
            (":path", &target),
        ]);
        head.extend(headers);
        if !body.is_empty() {
            head.extend(fields(&[("content-length", &body.len().to_string())]));
        }
        let bodiless = method == "HEAD" || status == 204 || status == 304;
        let answer_body = if bodiless { Vec::new() } else { answer_body };
        let mut answer = fields(&[(":status", &status.to_string())]);
        answer.extend(answer_headers);
        answer.extend(fields(&[("content-length", &answer_body.len().to_string())]));
        whole(half(&head, &body), answered.then(|| half(&answer, &answer_body)))
    }
}
