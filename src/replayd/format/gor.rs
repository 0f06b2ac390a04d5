//! GoReplay's file: raw messages, each behind a line of its own and before a line of three monkeys.
//!
//! Shape: `<type> <id> <nanoseconds since 1970> <duration>\n`, the message as HTTP/1.1, `\n🐵🙈🙉\n`. Type 1 is a request, 2
//! its response, 3 the response to a replay. Messages are read by their own lengths, so that the separator in a body is a
//! part of the body; where a body has it, it is written in chunks that part it, because GoReplay searches for it.
//!
//! Source: GoReplay's wiki, "Saving and replaying from file", and the shape of its files, read 2026-11.

use super::exchange::{Fields, assemble, check_fields, check_request, check_response, pack, show, status};
use super::message::{Cursor, Fault, Framing, framing, plain, write_chunks, write_fields};
use super::moment::US_MAX;
use super::{Counts, IMPORT_CAPTURES_MAX, ImportError, Imported, Timeline, unsendable};
use crate::clock::UnixMillis;
use crate::store::Capture;
use reprise_core::http::Pairs;
use reprise_core::wire::{Half, State};
use std::collections::HashMap;
use std::io::{self, Write};

const SEPARATOR: &[u8] = "\n🐵🙈🙉\n".as_bytes();
/// What may not stand between two line ends, whoever wrote them: chunks have line ends of their own.
const MONKEYS: &[u8] = "🐵🙈🙉".as_bytes();

/// Writes one capture, if its request is whole.
pub(super) fn write(
    capture: &Capture,
    timeline: &mut Timeline,
    counts: &mut Counts,
    out: &mut impl Write,
) -> io::Result<()> {
    if let Some(reason) = unsendable(capture) {
        counts.miss(reason);
        return Ok(());
    }
    let row = &capture.row;
    let (began_us, ended_us) = timeline.place(row);
    let mut entry = format!("1 {:024x} {}000 0\n", row.id.0, began_us).into_bytes();
    request(capture, counts, &mut entry);
    entry.extend_from_slice(SEPARATOR);
    if let Some(response) = capture.response.as_ref().filter(|half| is_whole(half)) {
        entry.extend_from_slice(format!("2 {:024x} {}000 0\n", row.id.0, ended_us.max(began_us)).as_bytes());
        answer(response, is_bodiless(&capture.request, response), counts, &mut entry);
        entry.extend_from_slice(SEPARATOR);
    } else {
        counts.miss_if(capture.response.is_some(), "responses");
    }
    counts.miss_if(row.scheme == "https", "scheme");
    counts.miss_if(row.authority.is_empty(), "authority");
    counts.miss_if(!["", "HTTP/1.1"].contains(&row.protocol.as_str()), "protocol");
    counts.miss_about(capture);
    counts.captures = counts.captures.saturating_add(1);
    out.write_all(&entry)
}

fn is_whole(half: &Half) -> bool {
    half.ended && !half.truncated && half.redacted != "whole" && check_response(&half.pairs).is_ok()
}

fn is_bodiless(request: &Half, response: &Half) -> bool {
    let is_head = Pairs::new(&request.pairs).first(b":method") == Some(b"HEAD");
    is_head || has_no_body(&response.pairs)
}

fn request(capture: &Capture, counts: &mut Counts, out: &mut Vec<u8>) {
    let pairs = Pairs::new(&capture.request.pairs);
    let first = |name: &[u8]| pairs.first(name).unwrap_or_default();
    let authority = match first(b":authority") {
        b"" => b"localhost",
        named => named,
    };
    let line = [
        first(b":method"),
        b" ",
        first(b":path"),
        b" HTTP/1.1\r\nhost: ",
        authority,
        b"\r\n",
    ];
    out.extend(line.concat());
    let fields = plain(&capture.request.pairs).filter(|(name, _)| *name != b"host");
    body(fields, &capture.request, Framing::Bodiless, counts, out);
}

fn answer(response: &Half, bodiless: bool, counts: &mut Counts, out: &mut Vec<u8>) {
    let status = Pairs::new(&response.pairs).first(b":status").unwrap_or_default();
    out.extend([b"HTTP/1.1 ", status, b" \r\n"].concat());
    let fields = plain(&response.pairs);
    if bodiless {
        counts.miss_if(!response.trailers.is_empty(), "trailers");
        return write_fields(fields, out);
    }
    body(fields, response, Framing::ToEnd, counts, out);
}

/// Writes fields and body so that any reader finds its end; counts where the head had to be changed for that.
fn body<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    half: &Half,
    unframed: Framing,
    counts: &mut Counts,
    out: &mut Vec<u8>,
) {
    let within = [b"\n", &half.body[..], b"\n"].concat();
    let must_part = within.windows(SEPARATOR.len()).any(|window| window == SEPARATOR);
    let must_chunk = must_part || !half.trailers.is_empty();
    let framing = framing(fields.clone(), unframed);
    let is_right = match framing {
        Ok(Framing::Chunked) => true,
        Ok(Framing::Length(len)) => !must_chunk && len == half.body.len(),
        Ok(Framing::ToEnd) => !must_chunk,
        Ok(Framing::Bodiless) => !must_chunk && half.body.is_empty(),
        Err(_) => false,
    };
    if is_right {
        write_fields(fields, out);
    } else {
        counts.miss("framing");
        let kept = fields.filter(|(name, _)| ![&b"content-length"[..], b"transfer-encoding"].contains(name));
        let kept: Vec<_> = kept.collect();
        let length = half.body.len().to_string();
        let added: (&[u8], &[u8]) = if must_chunk {
            (b"transfer-encoding", b"chunked")
        } else {
            (b"content-length", length.as_bytes())
        };
        write_fields(kept.into_iter().chain([added]), out);
    }
    if must_chunk || framing == Ok(Framing::Chunked) {
        write_chunks(&half.body, &half.trailers, MONKEYS, out);
    } else {
        out.extend_from_slice(&half.body);
    }
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(ImportError::new(
            0,
            "",
            "the file is compressed; unpack it with gunzip first",
        ));
    }
    let (mut cursor, mut reader) = (Cursor::new(bytes), Reader::default());
    while !cursor.rest().is_empty() {
        reader.entries += 1;
        let read = head(&mut cursor).and_then(|entry| reader.entry(&entry, &mut cursor));
        read.map_err(|(at, problem)| ImportError::new(at, format!("entry {}", reader.entries), problem))?;
    }
    Ok(reader.finish())
}

/// What stands before a message.
struct Entry<'a> {
    kind: u8,
    id: &'a [u8],
    us: u64,
    /// How long the message took, in microseconds.
    took_us: u64,
}

/// Reads an entry's own line.
fn head<'a>(cursor: &mut Cursor<'a>) -> Result<Entry<'a>, Fault> {
    let here = cursor.clone();
    let line = cursor.line()?;
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let (kind, id, at, took) = (word(), word(), word(), word());
    let us = |nanoseconds: &[u8]| {
        let plain = nanoseconds.iter().all(u8::is_ascii_digit);
        let number = plain.then(|| std::str::from_utf8(nanoseconds).ok()?.parse::<i64>().ok());
        number.flatten().map(|ns| ns.unsigned_abs() / 1000)
    };
    match (kind, us(at)) {
        ([kind @ b'1'..=b'3'], Some(us_at)) if !id.is_empty() => Ok(Entry {
            kind: *kind,
            id,
            us: us_at,
            took_us: us(took).unwrap_or_default(),
        }),
        _ => {
            let problem = format!("`{}` is not `<1, 2 or 3> <id> <nanoseconds>`", show(line));
            Err(here.fault(problem))
        }
    }
}

#[derive(Default)]
struct Reader<'a> {
    captures: Vec<Capture>,
    /// The last capture of each id.
    known: HashMap<&'a [u8], usize>,
    counts: Counts,
    entries: usize,
}

impl<'a> Reader<'a> {
    fn entry(&mut self, entry: &Entry<'a>, cursor: &mut Cursor<'a>) -> Result<(), Fault> {
        let here = cursor.clone();
        if entry.kind == b'1' {
            let capture = request_of(entry, cursor)?;
            if self.captures.len() >= IMPORT_CAPTURES_MAX {
                return Err(here.fault(format!("more than {IMPORT_CAPTURES_MAX} requests")));
            }
            self.known.insert(entry.id, self.captures.len());
            self.captures.push(capture);
        } else {
            self.response(entry, cursor)?;
        }
        if cursor.skip(SEPARATOR) {
            return Ok(());
        }
        Err(cursor.fault("a message is longer than it says, or its separator is missing"))
    }

    fn response(&mut self, entry: &Entry<'a>, cursor: &mut Cursor<'a>) -> Result<(), Fault> {
        let known = self.known.get(entry.id).and_then(|at| self.captures.get_mut(*at));
        let is_head = known.as_ref().is_some_and(|capture| capture.row.method == "HEAD");
        let half = response_of(is_head, cursor)?;
        match known {
            Some(capture) if entry.kind == b'2' && capture.response.is_none() => {
                let ended_us = entry.us.saturating_add(entry.took_us).min(US_MAX);
                let ended_us = ended_us.max(capture.row.began_us);
                let request = std::mem::take(&mut capture.request);
                let began_us = capture.row.began_us;
                *capture = timed(assemble(request, Some(half)), began_us, ended_us);
            }
            _ => self.counts.miss("responses"),
        }
        Ok(())
    }

    fn finish(mut self) -> Imported {
        // GoReplay plays by time, whatever the order in the file.
        self.captures.sort_by_key(|capture| capture.row.began_us);
        self.counts.captures = u64::try_from(self.captures.len()).unwrap_or(u64::MAX);
        Imported {
            captures: self.captures,
            counts: self.counts,
        }
    }
}

fn timed(mut capture: Capture, began_us: u64, ended_us: u64) -> Capture {
    let row = &mut capture.row;
    row.began_at = UnixMillis(i64::try_from(began_us / 1000).unwrap_or(i64::MAX));
    (row.began_us, row.ended_us) = (began_us, ended_us);
    row.protocol = "HTTP/1.1".to_owned();
    if row.status.is_some() {
        row.state = State::Completed;
    }
    capture
}

fn request_of(entry: &Entry<'_>, cursor: &mut Cursor<'_>) -> Result<Capture, Fault> {
    let here = cursor.clone();
    let line = cursor.line()?;
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(b"HTTP/1.1" | b"HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(here.fault(format!("`{}` is not the first line of a request", show(line))));
    };
    let fields = cursor.fields()?;
    let host = fields.iter().find(|(name, _)| name == b"host");
    let (scheme, authority, target) = split_target(target, host.map_or(&b""[..], |(_, value)| value));
    let mut head: Fields = [
        (":method", method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", target),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
    .into();
    let rest = fields.iter().filter(|(name, _)| name != b"host");
    head.extend(rest.cloned());
    let half = half_of(&head, Framing::Bodiless, cursor)?;
    check_request(&half.pairs).map_err(|problem| here.fault(problem))?;
    Ok(timed(assemble(half, None), entry.us, 0))
}

/// Parts a target that names its scheme and host, as a proxy is asked, from one that does not.
fn split_target<'a>(target: &'a [u8], host: &'a [u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
    for scheme in ["http", "https"] {
        let rest = target
            .strip_prefix(scheme.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"://"));
        if let Some(rest) = rest {
            let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, b""));
            let path = if path.is_empty() { b"/" } else { path };
            return (scheme.as_bytes(), authority, path);
        }
    }
    (b"http", host, target)
}

fn response_of(is_head: bool, cursor: &mut Cursor<'_>) -> Result<Half, Fault> {
    loop {
        let here = cursor.clone();
        let line = cursor.line()?;
        let status = line
            .strip_prefix(b"HTTP/1.1 ")
            .or_else(|| line.strip_prefix(b"HTTP/1.0 "))
            .and_then(|rest| rest.get(..3))
            .ok_or_else(|| here.fault(format!("`{}` is not the first line of a response", show(line))))?;
        let mut head = vec![(b":status".to_vec(), status.to_vec())];
        head.extend(cursor.fields()?);
        let pairs = pack(&head);
        check_response(&pairs).map_err(|problem| here.fault(problem))?;
        // An interim response, such as 100, stands before the final one.
        if status.starts_with(b"1") && cursor.rest().starts_with(b"HTTP/1.") {
            continue;
        }
        if is_head || has_no_body(&pairs) {
            return Ok(Half {
                pairs,
                ended: true,
                ..Half::default()
            });
        }
        return half_of(&head, Framing::ToEnd, cursor);
    }
}

fn has_no_body(pairs: &[u8]) -> bool {
    matches!(status(pairs), Some(100..200 | 204 | 304))
}

fn half_of(head: &Fields, unframed: Framing, cursor: &mut Cursor<'_>) -> Result<Half, Fault> {
    let fields = head.iter().map(|(name, value)| (&name[..], &value[..]));
    let framing = framing(fields, unframed).map_err(|problem| cursor.fault(problem))?;
    let here = cursor.clone();
    let (body, trailers) = cursor.body(framing, SEPARATOR)?;
    let trailers = if trailers.is_empty() {
        Vec::new()
    } else {
        pack(&trailers)
    };
    check_fields(&trailers).map_err(|problem| here.fault(problem))?;
    Ok(Half {
        pairs: pack(head),
        body_len: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body,
        trailers,
        ended: true,
        ..Half::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{
        BEGAN_MS, any_capture, capture, check_cuts, fields, fresh, half, read, whole, written,
    };
    use crate::format::{ExportFormat, ImportFormat};

    const OUT: ExportFormat = ExportFormat::Gor;
    const IN: ImportFormat = ImportFormat::Gor;

    /// As it comes back: the file has no name of the protocol's version but one.
    fn back(mut capture: Capture) -> Capture {
        capture.row.protocol = "HTTP/1.1".to_owned();
        fresh(capture)
    }

    #[track_caller]
    fn counted(captures: &[Capture], want: &[(&'static str, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        let counts = crate::format::testing::export(OUT, captures, &mut out);
        assert_eq!(counts.not_carried, want.iter().copied().collect());
        out
    }

    #[track_caller]
    fn refused(file: &str, want: &str) {
        let error = crate::format::import(IN, file.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn a_file_looks_as_gor_writes_it() {
        let file = String::from_utf8(written(OUT, &[capture("POST", "/a?b", b"{}")])).unwrap();
        let began = format!("{BEGAN_MS}042000");
        assert_eq!(
            file,
            format!(
                "1 000000000000000000000007 {began} 0\nPOST /a?b HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 2\r\n\
                 content-type: application/json\r\n\r\n{{}}\n🐵🙈🙉\n2 000000000000000000000007 1790000000124542000 0\n\
                 HTTP/1.1 201 \r\ncontent-length: 2\r\n\r\nok\n🐵🙈🙉\n"
            )
        );
    }

    #[test]
    fn a_file_of_gor_is_read() {
        let file = "1 a1 1790000000123042001 5\nPUT http://h:1/x HTTP/1.1\r\nHost: other\r\nX:  1 \r\n\
                    Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\n🐵🙈🙉\n\
                    3 a1 1790000000124542000 7\nHTTP/1.1 200 OK\r\n\r\nreplayed\n🐵🙈🙉\n\
                    2 a1 1790000000124542000 7000\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end\n🐵🙈🙉\n";
        let mut imported = read(IN, file.as_bytes());
        assert_eq!(imported.counts.not_carried.get("responses"), Some(&1));
        let found = imported.captures.remove(0);
        let row = &found.row;
        assert_eq!(
            (&*row.method, &*row.authority, &*row.target, row.status),
            ("PUT", "h:1", "/x", Some(200))
        );
        assert_eq!(
            (row.began_us, row.ended_us),
            (1_790_000_000_123_042, 1_790_000_000_124_549)
        );
        assert_eq!(
            (&found.request.body[..], &found.response.unwrap().body[..]),
            (&b"ok"[..], &b"to the end"[..])
        );
    }

    /// Case R40.
    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let file = written(OUT, &[capture("POST", "/", b"{}"), capture("HEAD", "/", b"")]);
        let ends: Vec<_> = (0..file.len())
            .filter(|len| file[..*len].ends_with(SEPARATOR))
            .collect();
        check_cuts(IN, &file, &[&[0], &ends[..]].concat());
    }

    /// Case R40.
    #[test]
    fn garbage_is_refused_with_its_place() {
        refused(
            "hello\nworld\n",
            "byte 0, entry 1: `hello` is not `<1, 2 or 3> <id> <nanoseconds>`",
        );
        let entry = |head: &str, body: &str| format!("1 a 5\nPOST / HTTP/1.1\r\n{head}\r\n\r\n{body}\n🐵🙈🙉\n");
        let longer = "a message is longer than it says, or its separator is missing";
        refused(&entry("a: b", "x"), &format!("byte 31, entry 1: {longer}"));
        refused(
            &entry("content-length: 999", "x"),
            "byte 46, entry 1: 999 bytes were announced; 15 are left",
        );
        refused(&entry("no header", ""), "byte 23, entry 1: `no header` is not a header");
        refused(
            &entry("content-length: 1\r\ntransfer-encoding: chunked", "1\r\nx"),
            "byte 72, entry 1: a body has chunks or a length, not both",
        );
        refused(
            "1 a 5\nPOST /a b HTTP/1.1\r\n\r\n\n🐵🙈🙉\n",
            "byte 6, entry 1: `POST /a b HTTP/1.1` is not the first line of a request",
        );
        refused("\x1f", "byte 0, entry 1: a line has no end");
    }

    #[test]
    fn a_body_with_a_whole_entry_stays_one_capture_for_every_reader() {
        let evil = "🐵🙈🙉\n1 00 5 0\nDELETE /all HTTP/1.1\r\nhost: h\r\n\r\n\n🐵🙈🙉\n".as_bytes();
        let file = counted(&[capture("POST", "/", evil)], &[("framing", 1)]);
        // GoReplay cuts at lines that are the separator; two entries are a request and its response.
        let lines = file.split(|byte| *byte == b'\n').filter(|line| *line == MONKEYS);
        assert_eq!(lines.count(), 2);
        let found = read(IN, &file).captures;
        assert_eq!((found.len(), &found[0].request.body[..]), (1, evil));
        // A file of another hand may have it as it is.
        let entry = format!("1 a 5\nPOST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", evil.len());
        let plain = [entry.as_bytes(), evil, SEPARATOR].concat();
        assert_eq!(read(IN, &plain).captures[0].request.body, evil);
    }

    #[test]
    fn what_cannot_be_carried_is_counted() {
        let plain = || capture("POST", "/", b"{}");
        let mut truncated = plain();
        truncated.request.truncated = true;
        let mut redacted = plain();
        redacted.request.redacted = "whole".to_owned();
        let mut upgraded = plain();
        upgraded.row.not_replayable = "upgrade".to_owned();
        counted(
            &[truncated, redacted, upgraded],
            &[("not_replayable", 1), ("redacted", 1), ("truncated", 1)],
        );
        let mut rich = plain();
        (rich.row.scheme, rich.row.route) = ("https".to_owned(), "r".to_owned());
        (rich.row.labels, rich.row.protocol) = (vec!["a".to_owned()], "HTTP/2".to_owned());
        rich.response.as_mut().unwrap().truncated = true;
        let want = [
            ("context", 1),
            ("labels", 1),
            ("protocol", 1),
            ("responses", 1),
            ("scheme", 1),
        ];
        counted(&[rich], &want);
    }

    #[test]
    fn trailers_travel_in_chunks() {
        let mut request = half(&fields(&[(":method", "POST"), (":path", "/")]), b"abc");
        request.trailers = pack(&fields(&[("checksum", "1")]));
        let found = read(
            IN,
            &counted(&[whole(request.clone(), None)], &[("authority", 1), ("framing", 1)]),
        );
        let half = &found.captures[0].request;
        assert_eq!((&half.body, &half.trailers), (&request.body, &request.trailers));
    }

    #[test]
    fn interim_responses_do_not_nest() {
        let many = "HTTP/1.1 100 \r\n\r\n".repeat(200_000);
        refused(
            &format!("2 a 5\n{many}"),
            "byte 3400006, entry 1: a message is longer than it says, or its separator is missing",
        );
    }

    proptest::proptest! {
        #[test]
        fn any_capture_comes_back(captures in proptest::collection::vec(any_capture(), 0..4)) {
            let found = read(IN, &written(OUT, &captures)).captures;
            proptest::prop_assert_eq!(found.len(), captures.len());
            for (found, sent) in found.into_iter().zip(captures) {
                let bodies = |capture: &Capture| {
                    (capture.request.body.clone(), capture.response.as_ref().map(|half| half.body.clone()))
                };
                proptest::prop_assert_eq!(bodies(&found), bodies(&sent));
                let chunked = |pairs: &[u8]| Pairs::new(pairs).any(|(name, _)| name == b"transfer-encoding");
                let reframed = chunked(&found.request.pairs)
                    || found.response.as_ref().is_some_and(|half| chunked(&half.pairs));
                if !reframed {
                    proptest::prop_assert_eq!(found, back(sent));
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
