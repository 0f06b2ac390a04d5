//! A log's entries as captures.

use super::entry::{Entry, Marks, Pair, PostData, Request, Response};
use super::{CREATOR, write::state_name};
use crate::clock::UnixMillis;
use crate::format::exchange::{Fields, assemble, check_request, check_response, pack, show, what_json_says};
use crate::format::{Counts, IMPORT_CAPTURES_MAX, ImportError, Imported, moment};
use crate::store::Capture;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reprise_core::wire::{Half, State};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(default)]
    creator: Creator,
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Creator {
    #[serde(default)]
    name: String,
}

/// Reads a file.
pub(in crate::format) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let skipped = bytes.len() - text.len();
    let file: File<'_> = serde_json::from_slice(text).map_err(|error| {
        let at = offset(text, error.line(), error.column());
        ImportError::new(skipped + at, "", what_json_says(&error))
    })?;
    if file.log.entries.len() > IMPORT_CAPTURES_MAX {
        let problem = format!("more than {IMPORT_CAPTURES_MAX} entries");
        return Err(ImportError::new(bytes.len(), "log.entries", problem));
    }
    let mut reader = Reader {
        is_ours: file.log.creator.name == CREATOR,
        counts: Counts::default(),
    };
    let mut captures = Vec::new();
    for (index, raw) in file.log.entries.into_iter().enumerate() {
        let place = format!("log.entries[{index}]");
        // An entry is a part of the file's text.
        let begin = raw.get().as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
        let entry: Entry = serde_json::from_str(raw.get()).map_err(|error| {
            let at = offset(raw.get().as_bytes(), error.line(), error.column());
            ImportError::new(begin + at, &*place, what_json_says(&error))
        })?;
        if !is_http(&entry.request.url) {
            // Browsers list what they had from sockets, extensions and the page itself, too.
            reader.counts.miss("not_http");
            continue;
        }
        let capture = reader.capture(entry);
        captures.push(capture.map_err(|problem| ImportError::new(begin, place, problem))?);
    }
    captures.sort_by_key(|capture| capture.row.began_us);
    reader.counts.captures = u64::try_from(captures.len()).unwrap_or(u64::MAX);
    Ok(Imported {
        captures,
        counts: reader.counts,
    })
}

/// Finds a line and column, both from 1, in a text.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

struct Reader {
    /// Whether the file is one of ours: bodies and sizes are as they travelled.
    is_ours: bool,
    counts: Counts,
}

impl Reader {
    fn capture(&mut self, entry: Entry) -> Result<Capture, String> {
        let began_us = moment::from_text(&entry.started_date_time).ok_or_else(|| {
            format!(
                "startedDateTime: `{}` is not a moment",
                show(entry.started_date_time.as_bytes())
            )
        })?;
        let protocol = entry.request.http_version.clone();
        let request = self.request(entry.request);
        let request = request.map_err(|problem| format!("request: {problem}"))?;
        let response = self.response(entry.response);
        let response = response.map_err(|problem| format!("response: {problem}"))?;
        let state = match &entry.state {
            Some(name) => state_of(name).ok_or_else(|| format!("_state: `{}` is none", show(name.as_bytes())))?,
            None if response.is_some() => State::Completed,
            None => State::Unknown,
        };
        let is_over = response.is_some() || entry.time > 0.0;
        let mut capture = assemble(request, response);
        let row = &mut capture.row;
        row.began_at = UnixMillis(i64::try_from(began_us / 1000).unwrap_or(i64::MAX));
        row.began_us = began_us;
        let ended_us = began_us.saturating_add(microseconds(entry.time)).min(moment::US_MAX);
        row.ended_us = if is_over { ended_us } else { 0 };
        (row.state, row.reason) = (state, entry.reason);
        (row.protocol, row.not_replayable) = (protocol, entry.not_replayable);
        row.labels = entry.labels;
        row.labels.sort_unstable();
        row.labels.dedup();
        Ok(capture)
    }

    fn request(&mut self, request: Request) -> Result<Half, String> {
        let (scheme, authority, target) =
            split_url(&request.url).ok_or_else(|| format!("url: `{}` has no host", show(request.url.as_bytes())))?;
        let mut head = fields(&[
            (":method", &request.method),
            (":scheme", scheme),
            (":authority", authority),
            (":path", &target),
        ]);
        head.extend(headers(&request.headers).filter(|(name, _)| name != b"host"));
        let body = request
            .post_data
            .map_or_else(|| Ok(Vec::new()), |data| self.posted(data))?;
        let half = self.half(&head, body, request.body_size, request.marks)?;
        check_request(&half.pairs)?;
        Ok(half)
    }

    fn posted(&mut self, data: PostData) -> Result<Vec<u8>, String> {
        if !data.text.is_empty() || data.params.is_empty() {
            return body(data.text, &data.encoding);
        }
        let is_form = data.mime_type.starts_with("application/x-www-form-urlencoded");
        if !is_form || data.params.iter().any(|param| param.file_name.is_some()) {
            self.counts.miss("form_parts");
            return Ok(Vec::new());
        }
        let pairs = data
            .params
            .iter()
            .map(|param| format!("{}={}", param.name, param.value));
        Ok(pairs.collect::<Vec<_>>().join("&").into_bytes())
    }

    fn response(&mut self, response: Response) -> Result<Option<Half>, String> {
        if response.status <= 0 {
            return Ok(None);
        }
        let mut head = fields(&[(":status", &response.status.to_string())]);
        head.extend(headers(&response.headers));
        if !self.is_ours && head.iter().any(|(name, _)| name == b"content-encoding") {
            // Others write bodies as they are shown, not as they travelled.
            self.counts.miss("content_encoding");
            head.retain(|(name, _)| name != b"content-encoding");
        }
        let content = response.content;
        let body = body(content.text.unwrap_or_default(), &content.encoding)?;
        let half = self.half(&head, body, content.size, response.marks)?;
        check_response(&half.pairs)?;
        Ok(Some(half))
    }

    fn half(&self, head: &Fields, body: Vec<u8>, size: i64, marks: Marks) -> Result<Half, String> {
        if !["", "parts", "whole"].contains(&marks.redacted.as_str()) {
            return Err("_half.redacted is `parts` or `whole`".to_owned());
        }
        let here = u64::try_from(body.len()).unwrap_or(u64::MAX);
        // Browsers count the bytes of text in ways of their own; a body that is not there at all, they left out.
        let is_exact = self.is_ours || body.is_empty();
        let size = if is_exact {
            u64::try_from(size).unwrap_or_default()
        } else {
            here
        };
        Ok(Half {
            pairs: pack(head),
            body,
            body_len: size.max(here),
            truncated: marks.truncated || (size > here && marks.redacted != "whole"),
            redacted: marks.redacted,
            ended: !marks.unfinished,
            ..Half::default()
        })
    }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let bytes = |text: &str| text.as_bytes().to_vec();
    pairs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

/// Headers without pseudo-headers, which stand elsewhere; browsers put several values of one name onto lines.
fn headers(pairs: &[Pair]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let plain = pairs.iter().filter(|pair| !pair.name.starts_with(':'));
    plain.flat_map(|pair| {
        let name = pair.name.to_ascii_lowercase().into_bytes();
        let values = pair.value.split('\n').map(str::trim);
        values.map(move |value| (name.clone(), value.as_bytes().to_vec()))
    })
}

fn body(text: String, encoding: &str) -> Result<Vec<u8>, String> {
    if encoding != "base64" {
        return Ok(text.into_bytes());
    }
    BASE64_STANDARD.decode(text).map_err(|error| format!("base64: {error}"))
}

fn microseconds(milliseconds: f64) -> u64 {
    let us = (milliseconds * 1000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and what is no number becomes 0"
    )]
    let us = us as u64;
    us
}

fn state_of(name: &str) -> Option<State> {
    let states = [
        State::Begun,
        State::Forwarded,
        State::Completed,
        State::Aborted,
        State::Unknown,
    ];
    states.into_iter().find(|state| state_name(*state) == name)
}

fn is_http(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        let here = url.as_bytes().get(..scheme.len());
        here.is_some_and(|here| here.eq_ignore_ascii_case(scheme.as_bytes()))
    })
}

/// Parts a URL into scheme, authority and target.
fn split_url(url: &str) -> Option<(&'static str, &str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = if scheme.eq_ignore_ascii_case("https") {
        "https"
    } else {
        "http"
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    (!authority.is_empty()).then(|| (scheme, authority, format!("{slash}{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::export;
    use crate::format::testing::{any_capture, capture, check_cuts, fresh, half, read, whole, written};
    use crate::format::{ExportFormat, ImportFormat};
    use reprise_core::http::Pairs;

    const OUT: ExportFormat = ExportFormat::Har;
    const IN: ImportFormat = ImportFormat::Har;

    #[track_caller]
    fn refused(file: &str, want: &str) {
        let error = crate::format::import(IN, file.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }

    fn log(entry: &str) -> String {
        format!(r#"{{"log":{{"version":"1.2","entries":[{entry}]}}}}"#)
    }

    fn entry(request: &str, response: &str) -> String {
        log(&format!(
            r#"{{"startedDateTime":"2026-11-21T16:14:08.5Z","time":1.5,
                "request":{{"method":"POST","url":"http://h/a","headers":[]{request}}},
                "response":{{"status":200{response}}}}}"#
        ))
    }

    #[test]
    fn a_file_is_an_archive_as_others_expect_it() {
        let file = written(OUT, &[capture("POST", "/a?b=%20&c", b"{}")]);
        let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let entry = &file["log"]["entries"][0];
        assert_eq!(file["log"]["version"], "1.2");
        assert_eq!(entry["startedDateTime"], "2026-09-21T14:13:20.123042Z");
        assert_eq!(entry["time"], 1.5);
        assert_eq!(entry["request"]["url"], "http://shop.example/a?b=%20&c");
        let query = serde_json::json!([{"name": "b", "value": "%20"}, {"name": "c", "value": ""}]);
        assert_eq!(entry["request"]["queryString"], query);
        assert_eq!(entry["request"]["postData"]["text"], "{}");
        assert_eq!(entry["response"]["content"]["size"], 2);
        // What a validator asks for has to be there.
        for field in ["cookies", "headers", "headersSize", "bodySize", "httpVersion"] {
            assert!(
                !entry["request"][field].is_null() && !entry["response"][field].is_null(),
                "{field}"
            );
        }
        assert!(!entry["cache"].is_null() && !entry["timings"]["receive"].is_null());
    }

    #[test]
    fn what_a_browser_writes_is_read() {
        let file = entry(
            r#","postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"a","value":"1"},{"name":"b"}]}"#,
            r#","headers":[{"name":"Set-Cookie","value":"a=1\nb=2"},{"name":"Content-Encoding","value":"br"}],
               "content":{"size":5,"text":"aGVsbG8=","encoding":"base64"}"#,
        );
        let imported = read(IN, format!("\u{feff}{file}").as_bytes());
        assert_eq!(imported.counts.not_carried, [("content_encoding", 1)].into());
        let capture = &imported.captures[0];
        assert_eq!(
            (&capture.request.body[..], &*capture.row.authority),
            (&b"a=1&b="[..], "h")
        );
        let response = capture.response.as_ref().unwrap();
        let cookies: Vec<_> = Pairs::new(&response.pairs).skip(1).map(|(_, value)| value).collect();
        assert_eq!(
            (cookies, &response.body[..]),
            (vec![&b"a=1"[..], b"b=2"], &b"hello"[..])
        );
        assert_eq!(capture.row.state, State::Completed);
    }

    #[test]
    fn an_upload_that_a_browser_left_out_is_no_whole_body() {
        let file = entry(
            r#","bodySize":77,"postData":{"mimeType":"multipart/form-data","params":[{"name":"f","fileName":"x"}]}"#,
            "",
        );
        let imported = read(IN, file.as_bytes());
        let request = &imported.captures[0].request;
        assert_eq!((request.truncated, request.body_len), (true, 77));
        assert_eq!(imported.counts.not_carried, [("form_parts", 1)].into());
    }

    #[test]
    fn what_is_not_http_is_left_out_and_counted() {
        let file = entry("", "").replace("http://h/a", "wss://h/a");
        let imported = read(IN, file.as_bytes());
        assert_eq!(
            (imported.captures.len(), imported.counts.not_carried),
            (0, [("not_http", 1)].into())
        );
    }

    #[test]
    fn a_capture_that_broke_off_comes_back_as_one() {
        let mut request = half(
            &fields(&[
                (":method", "PUT"),
                (":scheme", "https"),
                (":authority", "h"),
                (":path", "/"),
            ]),
            b"\xff",
        );
        (request.truncated, request.body_len) = (true, 90);
        let mut response = half(&fields(&[(":status", "200")]), b"");
        (response.redacted, response.body_len, response.ended) = ("whole".to_owned(), 12, false);
        let mut broken = whole(request, Some(response));
        (broken.row.state, broken.row.reason) = (State::Aborted, "upstream_reset".to_owned());
        (broken.row.protocol, broken.row.labels) = ("HTTP/2".to_owned(), vec!["a".to_owned()]);
        broken.row.not_replayable = "upgrade".to_owned();
        assert_eq!(read(IN, &written(OUT, &[broken.clone()])).captures, [fresh(broken)]);
    }

    #[test]
    fn what_cannot_be_carried_is_counted() {
        let mut rich = capture("POST", "/", b"{}");
        rich.row.route = "r".to_owned();
        rich.request.trailers = pack(&fields(&[("a", "b")]));
        rich.request.body_hash = vec![1; 32];
        rich.response = Some(half(
            &vec![(b":status".to_vec(), b"200".to_vec()), (b"x".to_vec(), vec![0xff])],
            b"",
        ));
        let counts = export(OUT, &[rich, capture("OPTIONS", "*", b"")], &mut Vec::new());
        let want = [
            ("body_hash", 1),
            ("context", 1),
            ("header_bytes", 1),
            ("target", 1),
            ("trailers", 1),
        ];
        assert_eq!((counts.captures, counts.not_carried), (1, want.into()));
        assert_eq!(read(IN, &written(OUT, &[])).captures, []);
    }

    /// Case R40.
    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let file = written(OUT, &[capture("POST", "/", b"{}"), capture("GET", "/", b"")]);
        // The line's end behind the last bracket may be missing.
        check_cuts(IN, &file, &[file.len() - 1]);
    }

    /// Case R40.
    #[test]
    fn garbage_is_refused_with_its_place() {
        refused("{\n}", "byte 2: missing field `log`");
        refused("{\"log\":{\"entries\":[\nx]}}", "byte 20: expected value");
        refused(
            &log("{}, 5"),
            "byte 36, log.entries[0]: missing field `startedDateTime`",
        );
        let at = |file: &str, want: &str| refused(file, &format!("byte 35, log.entries[0]: {want}"));
        at(
            &entry("", "").replace("2026", "x"),
            "startedDateTime: `x-11-21T16:14:08.5Z` is not a moment",
        );
        at(
            &entry("", "").replace("POST", "PO ST"),
            "request: `PO ST` is not a method",
        );
        at(
            &entry("", "").replace("http://h/a", "http:///a"),
            "request: url: `http:///a` has no host",
        );
        at(
            &entry("", r#","headers":[{"name":"a","value":"b\rc"}]"#),
            "response: the value of `a` has a line break or a zero byte",
        );
        at(
            &entry("", r#","content":{"text":"!","encoding":"base64"}"#),
            "response: base64: Invalid symbol 33, offset 0.",
        );
    }

    #[test]
    fn deep_nesting_is_skipped_without_deep_stacks() {
        let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let file = entry(&format!(",\"_x\":{nested}"), "");
        assert_eq!(read(IN, file.as_bytes()).captures.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn any_capture_comes_back(captures in proptest::collection::vec(any_capture(), 0..4)) {
            let back = read(IN, &written(OUT, &captures)).captures;
            let is_text = |half: &Half| Pairs::new(&half.pairs).all(|(_, value)| std::str::from_utf8(value).is_ok());
            proptest::prop_assert_eq!(back.len(), captures.len());
            for (back, sent) in back.into_iter().zip(captures) {
                proptest::prop_assert_eq!(&back.request.body, &sent.request.body);
                if is_text(&sent.request) && sent.response.as_ref().is_none_or(is_text) {
                    proptest::prop_assert_eq!(back, fresh(sent));
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, at: usize, by: u8) {
            let _any = super::read(&bytes);
            let mut file = written(OUT, &[capture("POST", "/", b"{}")]);
            let at = at % file.len();
            file[at] ^= by;
            file.splice(at..at, bytes);
            let _any = super::read(&file);
        }
    }
}
