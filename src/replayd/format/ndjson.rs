//! JSON lines of our own: a head, a capture a line, and a foot that tells how many there are.
//!
//! Shape: `{"head":{"version":1}}`, then `{"capture":{…}}` a line, then `{"foot":{"captures":N,"not_carried":{…}}}`. Bodies
//! and trailers are whole: base64, and pairs in order. Text that is not UTF-8 stands as `{"base64":"…"}`. Files may be
//! joined end to end. A file without its head or its foot is not whole, and refused: what is missing of it nobody knows.

use super::exchange::{Fields, assemble, check_fields, check_request, check_response, pack, show, what_json_says};
use super::moment::US_MAX;
use super::{Counts, IMPORT_CAPTURES_MAX, ImportError, Imported, Timeline};
use crate::clock::UnixMillis;
use crate::store::captures::Origin;
use crate::store::{Capture, Epoch};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reprise_core::http::Pairs;
use reprise_core::wire::{Half, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The last moment that is taken, in milliseconds since 1970.
const MS_MAX: i64 = i64::MAX / 1_000_000;
/// The version of the lines.
const VERSION: u32 = 1;
/// What a file says that does not begin where an export begins.
const NO_HEAD: &str = "the file is not whole: the line {\"head\":…} that an export begins with is missing";
/// What a file says that does not end where an export ends.
const CUT_OFF: &str = "the file is not whole: the line {\"foot\":…} that an export ends with is missing";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Head(Head),
    Capture(Box<CaptureLine>),
    Foot(Foot),
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Foot {
    captures: u64,
    #[serde(default)]
    not_carried: BTreeMap<String, u64>,
}

/// What travels of a [`Capture`]; what lists show of the request and response is read from their headers again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureLine {
    /// Its number where it was exported, for people.
    #[serde(default)]
    id: i64,
    /// Its stream's name, 32 hex digits; captures of one stream share a clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// Where it was seen first, and its number there: 32 hex digits, `/`, the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    state: StateName,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    began_unix_ms: i64,
    began_us: u64,
    ended_us: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    route: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    principal: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    client: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    peer: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    protocol: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    request_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    boot_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    not_replayable: String,
    /// Whether anything was redacted, also in headers.
    #[serde(default, skip_serializing_if = "is_false")]
    redacted: bool,
    request: HalfLine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<HalfLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HalfLine {
    headers: Vec<(Text, Text)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body_base64: String,
    /// Bytes that the body had, where that is not what stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_len: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body_hash_base64: String,
    #[serde(default, skip_serializing_if = "is_false")]
    truncated: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    redacted: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trailers: Option<Vec<(Text, Text)>>,
    #[serde(default, skip_serializing_if = "is_false")]
    ended: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Bytes that usually are text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Bytes { base64: String },
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Plain(text.to_owned()),
            Err(_) => Self::Bytes {
                base64: BASE64_STANDARD.encode(bytes),
            },
        }
    }

    fn into_bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(text) => Ok(text.into_bytes()),
            Self::Bytes { base64 } => unbase64(&base64),
        }
    }
}

fn unbase64(text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD.decode(text).map_err(|error| format!("base64: {error}"))
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateName {
    Begun,
    Forwarded,
    Completed,
    Aborted,
    Unknown,
}

impl From<State> for StateName {
    fn from(state: State) -> Self {
        match state {
            State::Begun => Self::Begun,
            State::Forwarded => Self::Forwarded,
            State::Completed => Self::Completed,
            State::Aborted => Self::Aborted,
            State::Unknown | State::Unspecified => Self::Unknown,
        }
    }
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Begun => Self::Begun,
            StateName::Forwarded => Self::Forwarded,
            StateName::Completed => Self::Completed,
            StateName::Aborted => Self::Aborted,
            StateName::Unknown => Self::Unknown,
        }
    }
}

/// Writes the head.
pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    write_line(&Line::Head(Head { version: VERSION }), out)
}

/// Writes one capture.
pub(super) fn write(capture: &Capture, counts: &mut Counts, out: &mut impl Write) -> io::Result<()> {
    // Secrets stay where they are encrypted.
    counts.miss_if(!capture.sealed.is_empty(), "sealed");
    counts.captures = counts.captures.saturating_add(1);
    write_line(&Line::Capture(Box::new(line_of(capture))), out)
}

/// Writes the foot.
pub(super) fn end(counts: &Counts, out: &mut impl Write) -> io::Result<()> {
    let not_carried = counts.not_carried.iter();
    let foot = Foot {
        captures: counts.captures,
        not_carried: not_carried.map(|(what, count)| ((*what).to_owned(), *count)).collect(),
    };
    write_line(&Line::Foot(foot), out)
}

fn write_line(line: &Line, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

fn line_of(capture: &Capture) -> CaptureLine {
    let row = &capture.row;
    CaptureLine {
        id: row.id.0,
        stream: row.epoch.map(|epoch| hex(&epoch.0)),
        origin: row.name().map(|name| format!("{}/{}", hex(&name.epoch.0), name.seq)),
        state: row.state.into(),
        reason: row.reason.clone(),
        began_unix_ms: row.began_at.0,
        began_us: row.began_us,
        ended_us: row.ended_us,
        route: row.route.clone(),
        cluster: row.cluster.clone(),
        principal: row.principal.clone(),
        client: row.client.clone(),
        peer: row.peer.clone(),
        protocol: row.protocol.clone(),
        request_id: row.request_id.clone(),
        labels: row.labels.clone(),
        boot_id: row.boot_id.clone(),
        not_replayable: row.not_replayable.clone(),
        redacted: row.redacted,
        request: half_line(&capture.request),
        response: capture.response.as_ref().map(half_line),
    }
}

fn half_line(half: &Half) -> HalfLine {
    let texts = |pairs| Pairs::new(pairs).map(|(name, value)| (Text::of(name), Text::of(value)));
    let is_whole = u64::try_from(half.body.len()).is_ok_and(|len| len == half.body_len);
    HalfLine {
        headers: texts(&half.pairs).collect(),
        body_base64: BASE64_STANDARD.encode(&half.body),
        body_len: (!is_whole).then_some(half.body_len),
        body_hash_base64: BASE64_STANDARD.encode(&half.body_hash),
        truncated: half.truncated,
        redacted: half.redacted.clone(),
        trailers: (!half.trailers.is_empty()).then(|| texts(&half.trailers).collect()),
        ended: half.ended,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Epoch> {
    let is_plain = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_plain.then(|| u128::from_str_radix(digits, 16).ok()).flatten()?;
    Some(Epoch(number.to_be_bytes()))
}

/// Reads the name of a capture.
fn origin(text: &str) -> Result<Origin, String> {
    let find = || {
        let (digits, number) = text.split_once('/')?;
        let seq = number.parse().ok().filter(|seq| i64::try_from(*seq).is_ok())?;
        Some(Origin {
            epoch: unhex(digits)?,
            seq,
        })
    };
    find().ok_or_else(|| {
        let shown = show(text.as_bytes());
        format!("`{shown}` is not an origin, which is 32 hex digits, `/` and a number")
    })
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let mut reader = Reader::default();
    let mut at = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            let place = || format!("line {}", index.saturating_add(1));
            reader
                .line(line)
                .map_err(|(column, problem)| ImportError::new(at + column, place(), problem))?;
        }
        at += line.len();
    }
    if reader.open.is_some() {
        return Err(ImportError::new(at, "", CUT_OFF));
    }
    Ok(reader.found)
}

#[derive(Default)]
struct Reader {
    found: Imported,
    timeline: Timeline,
    /// Captures behind the last head; none outside of head and foot.
    open: Option<u64>,
}

/// Where in the line, and what.
type Fault = (usize, String);

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let line = serde_json::from_slice(line)
            .map_err(|error| (error.column().saturating_sub(1).min(line.len()), what_json_says(&error)))?;
        self.take(line).map_err(|problem| (0, problem))
    }

    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Head(head) => self.head(&head),
            Line::Foot(foot) => self.foot(&foot),
            Line::Capture(line) => self.capture(*line),
        }
    }

    fn head(&mut self, head: &Head) -> Result<(), String> {
        if head.version != VERSION {
            return Err(format!("version {} is not known; {VERSION} is", head.version));
        }
        match self.open.replace(0) {
            None => Ok(()),
            Some(_) => Err(CUT_OFF.to_owned()),
        }
    }

    fn foot(&mut self, foot: &Foot) -> Result<(), String> {
        match self.open.take() {
            None => Err(NO_HEAD.to_owned()),
            Some(count) if count != foot.captures => Err(format!(
                "the foot tells of {} captures; {count} are here",
                foot.captures
            )),
            Some(_) => Ok(()),
        }
    }

    fn capture(&mut self, line: CaptureLine) -> Result<(), String> {
        if self.found.captures.len() >= IMPORT_CAPTURES_MAX {
            return Err(format!("more than {IMPORT_CAPTURES_MAX} captures"));
        }
        let count = self.open.ok_or(NO_HEAD)?;
        let capture = self.capture_of(line)?;
        self.found.captures.push(capture);
        self.found.counts.captures += 1;
        self.open = Some(count + 1);
        Ok(())
    }

    fn capture_of(&mut self, line: CaptureLine) -> Result<Capture, String> {
        let request = half_of(line.request).map_err(|problem| format!("request: {problem}"))?;
        check_request(&request.pairs)?;
        let response = line
            .response
            .map(half_of)
            .transpose()
            .map_err(|problem| format!("response: {problem}"))?;
        if let Some(response) = &response {
            check_response(&response.pairs)?;
        }
        let epoch = line.stream.map(|digits| {
            unhex(&digits).ok_or_else(|| format!("`{}` is not a stream's name", show(digits.as_bytes())))
        });
        let mut capture = assemble(request, response);
        let row = &mut capture.row;
        row.epoch = epoch.transpose()?;
        row.began_at = UnixMillis(line.began_unix_ms);
        (row.began_us, row.ended_us) = (line.began_us, line.ended_us);
        (row.began_us, row.ended_us) = self.timeline.place(row);
        let is_near = (0..=MS_MAX).contains(&row.began_at.0) && row.began_us.max(row.ended_us) <= US_MAX;
        if !is_near {
            return Err("it began or ended before 1970 or after 2261".to_owned());
        }
        row.epoch = None;
        row.origin = line.origin.as_deref().map(origin).transpose()?;
        row.state = line.state.into();
        row.reason = line.reason;
        row.route = line.route;
        row.cluster = line.cluster;
        row.principal = line.principal;
        row.client = line.client;
        row.peer = line.peer;
        row.protocol = line.protocol;
        row.request_id = line.request_id;
        row.labels = line.labels;
        row.labels.sort_unstable();
        row.labels.dedup();
        row.boot_id = line.boot_id;
        row.not_replayable = line.not_replayable;
        row.redacted |= line.redacted;
        Ok(capture)
    }
}

fn half_of(line: HalfLine) -> Result<Half, String> {
    let fields = |texts: Vec<(Text, Text)>| -> Result<Fields, String> {
        let pair = |(name, value): (Text, Text)| Ok((name.into_bytes()?, value.into_bytes()?));
        texts.into_iter().map(pair).collect()
    };
    let body = unbase64(&line.body_base64)?;
    let here = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let body_len = line.body_len.unwrap_or(here);
    let is_whole = !line.truncated && line.redacted != "whole";
    if body_len < here || (is_whole && body_len != here) || i64::try_from(body_len).is_err() {
        return Err(format!("the body has {here} bytes, and body_len is {body_len}"));
    }
    if !["", "parts", "whole"].contains(&line.redacted.as_str()) {
        return Err(format!(
            "redacted is `parts` or `whole`, not `{}`",
            show(line.redacted.as_bytes())
        ));
    }
    let trailers = line
        .trailers
        .map(fields)
        .transpose()?
        .map_or_else(Vec::new, |all| pack(&all));
    check_fields(&trailers)?;
    Ok(Half {
        pairs: pack(&fields(line.headers)?),
        body,
        body_len,
        body_hash: unbase64(&line.body_hash_base64)?,
        truncated: line.truncated,
        redacted: line.redacted,
        trailers,
        ended: line.ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{any_capture, capture, check_cuts, fields, fresh, half, read, whole, written};
    use crate::format::{ExportFormat, ImportFormat};
    use crate::store::CaptureId;
    use reprise_core::wire::Sealed;

    const OUT: ExportFormat = ExportFormat::Ndjson;
    const IN: ImportFormat = ImportFormat::Ndjson;

    #[track_caller]
    fn refused(file: &str, want: &str) {
        let error = super::super::import(IN, file.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }

    /// A capture that has everything that there is.
    fn full() -> Capture {
        let mut request = half(&fields(&[(":method", "POST"), (":path", "/a"), ("x", "")]), b"first");
        (request.body_len, request.truncated, request.body_hash) = (9000, true, vec![9; 32]);
        let mut response = half(&fields(&[(":status", "200")]), b"");
        (response.body_len, response.redacted) = (12, "whole".to_owned());
        response.trailers = pack(&vec![(b"grpc-status".to_vec(), vec![0xff, 0xfe])]);
        let mut capture = whole(request, Some(response));
        let row = &mut capture.row;
        (row.state, row.reason) = (State::Aborted, "client_gone".to_owned());
        (row.route, row.cluster, row.boot_id) = ("r".to_owned(), "c".to_owned(), "b".to_owned());
        (row.principal, row.client, row.peer) =
            ("header:me".to_owned(), "10.0.0.1".to_owned(), "10.0.0.2:9".to_owned());
        (row.protocol, row.request_id) = ("HTTP/2".to_owned(), "id".to_owned());
        (row.labels, row.not_replayable) = (vec!["a".to_owned(), "b".to_owned()], "upgrade".to_owned());
        capture
    }

    #[test]
    fn everything_of_a_capture_comes_back() {
        let file = written(OUT, &[full(), capture("GET", "/", b"")]);
        let back = read(IN, &file);
        assert_eq!(back.captures, [fresh(full()), fresh(capture("GET", "/", b""))]);
        assert_eq!(back.counts.captures, 2);
    }

    #[test]
    fn sealed_values_stay_and_are_counted() {
        let mut sealed = capture("POST", "/", b"{}");
        sealed.sealed = vec![Sealed {
            token: b"rdt_x".to_vec(),
            value: b"hunter2".to_vec(),
        }];
        let mut out = Vec::new();
        let counts = crate::format::testing::export(OUT, &[sealed], &mut out);
        assert_eq!(counts.not_carried, BTreeMap::from([("sealed", 1)]));
        assert!(
            !String::from_utf8(out)
                .unwrap()
                .contains(&BASE64_STANDARD.encode("hunter2"))
        );
    }

    #[test]
    fn captures_of_a_stream_come_back_on_the_wall_clock() {
        let mut one = capture("POST", "/", b"");
        one.row.epoch = Some(Epoch([7; 16]));
        (one.row.began_us, one.row.ended_us) = (5, 25);
        let back = read(IN, &written(OUT, &[one])).captures.remove(0).row;
        assert_eq!(
            (back.began_us, back.ended_us),
            (1_790_000_000_123_000, 1_790_000_000_123_020)
        );
        assert_eq!((back.epoch, back.id), (None, CaptureId(0)));
    }

    #[test]
    fn a_capture_keeps_its_name_however_often_it_travels() {
        let mut one = capture("POST", "/", b"");
        let (epoch, seq) = (Epoch([7; 16]), 9);
        (one.row.epoch, one.row.seq) = (Some(epoch), seq);
        let once = read(IN, &written(OUT, &[one])).captures;
        assert_eq!((once[0].row.origin, once[0].row.seq), (Some(Origin { epoch, seq }), 0));
        assert_eq!(read(IN, &written(OUT, &once)).captures, once);
    }

    #[test]
    fn files_may_be_joined() {
        let file = written(OUT, &[full()]);
        assert_eq!(read(IN, &[&file[..], &file].concat()).captures.len(), 2);
    }

    #[test]
    fn a_file_without_its_head_or_its_foot_is_refused() {
        let file = String::from_utf8(written(OUT, &[full()])).unwrap();
        let lines: Vec<_> = file.split_inclusive('\n').collect();
        refused(lines[1], &format!("byte 0, line 1: {NO_HEAD}"));
        refused(lines[2], &format!("byte 0, line 1: {NO_HEAD}"));
        let headed = [lines[0], lines[1]].concat();
        refused(&headed, &format!("byte {}: {CUT_OFF}", headed.len()));
        let twice = [&headed, lines[0]].concat();
        refused(&twice, &format!("byte {}, line 3: {CUT_OFF}", headed.len()));
    }

    /// Case R40.
    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let file = written(OUT, &[full(), capture("GET", "/", b"")]);
        // Nothing at all is a file of no captures; a foot without its line's end is a foot.
        check_cuts(IN, &file, &[0, file.len() - 1]);
    }

    /// Case R40.
    #[test]
    fn garbage_is_refused_with_its_place() {
        refused("{\"head\":{\"version\":1}}\n!", "byte 23, line 2: expected value");
        refused(
            "{\"head\":{\"version\":2}}\n",
            "byte 0, line 1: version 2 is not known; 1 is",
        );
        refused(
            "{\"head\":{\"version\":1}}\n{\"evil\":1}\n",
            "byte 29, line 2: unknown variant `evil`, expected one of `head`, `capture`, `foot`",
        );
        let two = String::from_utf8(written(OUT, &[]))
            .unwrap()
            .replace("\"captures\":0", "\"captures\":2");
        refused(&two, "byte 23, line 2: the foot tells of 2 captures; 0 are here");
    }

    #[test]
    fn a_capture_that_no_proxy_can_have_seen_is_refused() {
        let file = String::from_utf8(written(OUT, &[capture("POST", "/", b"{}")])).unwrap();
        let check =
            |from: &str, to: &str, want: &str| refused(&file.replace(from, to), &format!("byte 23, line 2: {want}"));
        check("\"/\"", "\"/ HTTP/1.1\"", "`/ HTTP/1.1` is not a target");
        check(
            "shop.example",
            "a\\r\\nb",
            "the value of `:authority` has a line break or a zero byte",
        );
        check(
            "\"state\"",
            "\"origin\":\"7/1\",\"state\"",
            "`7/1` is not an origin, which is 32 hex digits, `/` and a number",
        );
        check("e30=", "e30", "request: base64: Invalid padding");
        check(
            "\"e30=\"",
            "\"e30=\",\"body_len\":3",
            "request: the body has 2 bytes, and body_len is 3",
        );
    }

    proptest::proptest! {
        #[test]
        fn any_capture_comes_back(captures in proptest::collection::vec(any_capture(), 0..4)) {
            let back = read(IN, &written(OUT, &captures)).captures;
            let want: Vec<_> = captures.into_iter().map(fresh).collect();
            proptest::prop_assert_eq!(back, want);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes: Vec<u8>, at: usize, by: u8) {
            let _any = super::read(&bytes);
            let mut file = written(OUT, &[full()]);
            let at = at % file.len();
            file[at] ^= by;
            bytes.extend(file);
            let _any = super::read(&bytes);
        }
    }
}
