//! One HTTP/1.1 message as bytes: written, and read by its own lengths.

use super::exchange::{Fields, show};
use reprise_core::http::Pairs;
use std::io::Write as _;

/// Most bytes of a head.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// How a body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the head says: a response to HEAD, 1xx, 204, 304, or a request without a length.
    Bodiless,
    /// It has so many bytes.
    Length(usize),
    /// It comes in chunks, and trailers may follow.
    Chunked,
    /// It goes on to the end of what it stands in.
    ToEnd,
}

/// Header fields of a half without its pseudo-headers.
pub(super) fn plain(pairs: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    Pairs::new(pairs).filter(|(name, _)| !name.starts_with(b":"))
}

/// Finds how the body behind these fields ends.
///
/// # Errors
/// If they contradict themselves, as they do where somebody smuggles a request.
pub(super) fn framing<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    unframed: Framing,
) -> Result<Framing, String> {
    let (mut length, mut chunked) = (None, false);
    for (name, value) in fields {
        match name {
            b"transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => chunked = true,
            b"transfer-encoding" => return Err(format!("transfer-encoding `{}` is not chunked", show(value))),
            b"content-length" => {
                let here = number(value).ok_or_else(|| format!("`{}` is not a length", show(value)))?;
                if length.replace(here).is_some_and(|before| before != here) {
                    return Err("two lengths differ".to_owned());
                }
            }
            _ => {}
        }
    }
    match (chunked, length) {
        (true, None) => Ok(Framing::Chunked),
        (true, Some(_)) => Err("a body has chunks or a length, not both".to_owned()),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(unframed),
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// Writes fields and the empty line behind them.
pub(super) fn write_fields<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, out: &mut Vec<u8>) {
    for (name, value) in fields {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a body in chunks, each of which ends inside every `apart` that it meets, and the trailers.
pub(super) fn write_chunks(body: &[u8], trailers: &[u8], apart: &[u8], out: &mut Vec<u8>) {
    let mut rest = body;
    while !rest.is_empty() {
        let found = rest.windows(apart.len()).position(|window| window == apart);
        let end = found.map_or(rest.len(), |at| at + apart.len() / 2);
        let (chunk, behind) = rest.split_at_checked(end).unwrap_or((rest, b""));
        // Writing to memory cannot fail.
        let _grows = write!(out, "{:x}\r\n", chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = behind;
    }
    out.extend_from_slice(b"0\r\n");
    write_fields(Pairs::new(trailers), out);
}

/// Reads what a message consists of, from the front.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    all: &'a [u8],
    /// The offset of what comes next.
    pub(super) at: usize,
}

/// Where and why a message cannot be read.
pub(super) type Fault = (usize, String);

impl<'a> Cursor<'a> {
    /// Begins at the front.
    pub(super) const fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// Shows what is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// Makes a fault at this place.
    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
        (self.at, problem.into())
    }

    /// Takes so many bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let taken = self.rest().get(..len).ok_or_else(|| {
            let problem = format!("{len} bytes were announced; {} are left", self.rest().len());
            self.fault(problem)
        })?;
        self.at += len;
        Ok(taken)
    }

    /// Takes a line without its end, which is LF or CR LF.
    pub(super) fn line(&mut self) -> Result<&'a [u8], Fault> {
        let searched = self.rest().get(..HEAD_BYTES_MAX).unwrap_or_else(|| self.rest());
        let end = searched.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| self.fault("a line has no end"))?;
        let line = self.take(end)?;
        self.at += 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Takes `what`, if it comes next.
    pub(super) fn skip(&mut self, what: &[u8]) -> bool {
        let here = self.rest().starts_with(what);
        self.at += if here { what.len() } else { 0 };
        here
    }

    /// Takes fields and the empty line behind them; names come in lower case.
    pub(super) fn fields(&mut self) -> Result<Fields, Fault> {
        let (begin, mut fields) = (self.at, Fields::new());
        loop {
            let here = self.clone();
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = colon
                .and_then(|colon| line.split_at_checked(colon))
                .ok_or_else(|| here.fault(format!("`{}` is not a header", show(line))))?;
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            fields.push((name.to_ascii_lowercase(), value.to_vec()));
            if self.at - begin > HEAD_BYTES_MAX {
                return Err(here.fault(format!("a head has more than {HEAD_BYTES_MAX} bytes")));
            }
        }
    }

    /// Takes a body and its trailers; `end` is what follows one that has no length.
    pub(super) fn body(&mut self, framing: Framing, end: &[u8]) -> Result<(Vec<u8>, Fields), Fault> {
        match framing {
            Framing::Bodiless => Ok((Vec::new(), Fields::new())),
            Framing::Length(len) => Ok((self.take(len)?.to_vec(), Fields::new())),
            Framing::Chunked => self.chunks(),
            Framing::ToEnd => {
                let found = self.rest().windows(end.len()).position(|window| window == end);
                let len = found.ok_or_else(|| self.fault("a body has no end"))?;
                Ok((self.take(len)?.to_vec(), Fields::new()))
            }
        }
    }

    fn chunks(&mut self) -> Result<(Vec<u8>, Fields), Fault> {
        let mut body = Vec::new();
        loop {
            let here = self.clone();
            let line = self.line()?;
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let plain = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
            let digits = plain.then(|| std::str::from_utf8(digits).ok()).flatten();
            let len = digits
                .and_then(|digits| usize::from_str_radix(digits, 16).ok())
                .ok_or_else(|| here.fault(format!("`{}` is not a chunk's length", show(line))))?;
            if len == 0 {
                return Ok((body, self.fields()?));
            }
            body.extend_from_slice(self.take(len)?);
            if !self.line()?.is_empty() {
                return Err(here.fault("a chunk is longer than it says"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::exchange::pack;
    use crate::format::testing::fields;

    #[track_caller]
    fn check(head: &[(&str, &str)], want: Result<Framing, &str>) {
        let pairs = pack(&fields(head));
        assert_eq!(framing(plain(&pairs), Framing::ToEnd), want.map_err(str::to_owned));
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        check(&[("content-length", "12")], Ok(Framing::Length(12)));
        check(&[("transfer-encoding", "Chunked")], Ok(Framing::Chunked));
        check(&[], Ok(Framing::ToEnd));
    }

    #[test]
    fn a_head_that_contradicts_itself_is_refused() {
        let length = ("content-length", "1");
        check(&[length, ("content-length", "2")], Err("two lengths differ"));
        check(&[("content-length", "+1")], Err("`+1` is not a length"));
        check(
            &[length, ("transfer-encoding", "chunked")],
            Err("a body has chunks or a length, not both"),
        );
        check(
            &[("transfer-encoding", "gzip")],
            Err("transfer-encoding `gzip` is not chunked"),
        );
    }

    fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, Fields), Fault> {
        Cursor::new(bytes).body(Framing::Chunked, b"")
    }

    #[test]
    fn chunks_are_read_by_their_lengths() {
        let read = chunked(b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n");
        assert_eq!(read, Ok((b"abc0123456789".to_vec(), fields(&[("t", "v")]))));
    }

    #[test]
    fn chunks_that_lie_are_refused_with_their_place() {
        assert_eq!(
            chunked(b"1\r\na\r\n-1\r\n"),
            Err((6, "`-1` is not a chunk's length".to_owned()))
        );
        assert_eq!(
            chunked(b"1\r\nab\r\n0\r\n\r\n"),
            Err((0, "a chunk is longer than it says".to_owned()))
        );
        assert_eq!(
            chunked(b"ff\r\na"),
            Err((4, "255 bytes were announced; 1 are left".to_owned()))
        );
        assert_eq!(chunked(b"fffffffffffffffff\r\n").unwrap_err().0, 0);
    }

    proptest::proptest! {
        #[test]
        fn any_chunks_read_back_without_what_is_kept_apart(body: Vec<u8>, cut in 0_usize..20) {
            let at = cut.min(body.len());
            let body = [&body[..at], b"<apart>", &body[at..], b"<apart><apart>"].concat();
            let trailers = fields(&[("x", "1")]);
            let mut out = Vec::new();
            write_chunks(&body, &pack(&trailers), b"<apart>", &mut out);
            proptest::prop_assert!(!out.windows(7).any(|window| window == b"<apart>"));
            proptest::prop_assert_eq!(chunked(&out), Ok((body, trailers)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _any = chunked(&bytes);
            let _any = Cursor::new(&bytes).fields();
        }
    }
}
