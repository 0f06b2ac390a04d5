//! Forms in parts.
//!
//! Strict: a body that two readers could take apart in two ways is not read, so that no reader finds more in it.
//!
//! Source: RFC 2046 §5.1, RFC 7578, read 2026-11.

use super::body::{Shown, Unreadable};
use super::hider::{Fields, Hider, Kept, decode};
use super::json;
use alloc::format;
use alloc::vec::Vec;

/// Puts a token in the place of the content of every part that is hidden.
///
/// # Errors
/// [`Unreadable`] if `body` is not parts between lines of `boundary`, or a part does not plainly say its name.
pub(super) fn redact(body: &[u8], boundary: Option<&str>, hider: &mut Hider<'_>) -> Shown {
    let delimiter = format!("\r\n--{}", boundary.ok_or(Unreadable)?);
    let delimiter = delimiter.as_bytes();
    let first = delimiter.get(2..).unwrap_or_default();
    let mut rest = body.strip_prefix(first).ok_or(Unreadable)?;
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(first);
    let mut found = false;
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let ends = find(part, delimiter).ok_or(Unreadable)?;
        let (part, after) = part.split_at_checked(ends).ok_or(Unreadable)?;
        out.extend_from_slice(b"\r\n");
        found |= redact_part(part, hider, &mut out)?;
        out.extend_from_slice(delimiter);
        rest = after.strip_prefix(delimiter).ok_or(Unreadable)?;
    }
    if !matches!(rest, b"--" | b"--\r\n") {
        return Err(Unreadable);
    }
    out.extend_from_slice(rest);
    Ok(found.then_some(out))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let (first, _) = wanted.split_first()?;
    let mut from = 0_usize;
    loop {
        let rest = text.get(from..)?;
        let at = from.checked_add(rest.iter().position(|byte| byte == first)?)?;
        if text.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        from = at.checked_add(1)?;
    }
}

/// Appends a part, hidden or not; tells whether something in it is.
fn redact_part(part: &[u8], hider: &mut Hider<'_>, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
    let at = find(part, b"\r\n\r\n").ok_or(Unreadable)?;
    let (head, content) = part.split_at_checked(at.saturating_add(4)).ok_or(Unreadable)?;
    let lines = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let part = Part::read(core::str::from_utf8(lines).map_err(|_| Unreadable)?)?;
    out.extend_from_slice(head);
    if let Some(kept) = part.is_hidden(hider) {
        out.extend_from_slice(hider.hide(content, content, kept).bytes());
        return Ok(true);
    }
    let reads_json = hider.pointers().next().is_some() && (part.is_json || json::begins(content));
    let shown = match (reads_json, part.is_encoded) {
        (false, _) => None,
        (true, true) => return Err(Unreadable),
        (true, false) => json::redact(content, hider)?,
    };
    out.extend_from_slice(shown.as_deref().unwrap_or(content));
    Ok(shown.is_some())
}

/// What the headers of a part say.
#[derive(Debug, Default)]
struct Part<'a> {
    /// Its field, as it stands between the quotes.
    name: Option<&'a str>,
    is_json: bool,
    is_encoded: bool,
}

impl<'a> Part<'a> {
    fn read(head: &'a str) -> Result<Self, Unreadable> {
        let mut part = Self::default();
        for line in head.split("\r\n") {
            // A line that goes on in the next, or ends in the middle, is read in several ways.
            let (name, value) = line.split_once(':').ok_or(Unreadable)?;
            if name.is_empty() || name.contains([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
                return Err(Unreadable);
            }
            part.note(name, value.trim())?;
        }
        Ok(part)
    }

    fn note(&mut self, header: &str, value: &'a str) -> Result<(), Unreadable> {
        if header.eq_ignore_ascii_case("content-disposition") {
            let name = field_name(value)?;
            if self.name.replace(name).is_some() {
                return Err(Unreadable);
            }
        }
        if header.eq_ignore_ascii_case("content-type") {
            self.is_json |= value.to_ascii_lowercase().contains("json");
        }
        let plain = ["7bit", "8bit", "binary"];
        self.is_encoded |= header.eq_ignore_ascii_case("content-transfer-encoding")
            && !plain.into_iter().any(|each| value.eq_ignore_ascii_case(each));
        Ok(())
    }

    /// Tells whether the part is hidden: its name as it stands or, as browsers write a quote, percent-encoded.
    fn is_hidden(&self, hider: &Hider<'_>) -> Option<Kept> {
        let name = self.name?.as_bytes();
        hider
            .field(Fields::Form, name)
            .or_else(|| hider.field(Fields::Form, &decode(name)))
    }
}

/// Finds the field that a `content-disposition` names; it is empty where none is named.
fn field_name(value: &str) -> Result<&str, Unreadable> {
    let mut rest = value.find(';').and_then(|at| value.get(at..)).unwrap_or_default();
    let mut found = None;
    while let Some(parameter) = rest.strip_prefix(';') {
        let (name, after) = parameter.split_once('=').ok_or(Unreadable)?;
        let (text, after) = parameter_value(after)?;
        let name = name.trim();
        // RFC 7578 §4.2 forbids the extended form; who reads it finds another name there.
        if name.eq_ignore_ascii_case("name*") || name.is_empty() || name.contains(['"', ';', ' ']) {
            return Err(Unreadable);
        }
        if name.eq_ignore_ascii_case("name") && found.replace(text).is_some() {
            return Err(Unreadable);
        }
        rest = after;
    }
    if rest.is_empty() {
        Ok(found.unwrap_or_default())
    } else {
        Err(Unreadable)
    }
}

/// Takes a parameter's value, quoted or not, and what follows it.
fn parameter_value(text: &str) -> Result<(&str, &str), Unreadable> {
    let text = text.trim_start();
    let (value, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(Unreadable)?,
        None => text.split_at(text.find(';').unwrap_or(text.len())),
    };
    // A backslash escapes for some readers, and stands for itself for others.
    if value.contains('\\') {
        return Err(Unreadable);
    }
    Ok((value.trim(), rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::redact::token;
    use crate::config::Redact;
    use alloc::string::{String, ToString};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];

    fn shown(body: &[u8], boundary: Option<&str>) -> Shown {
        let rules = Redact {
            form: ["pin".into(), "a\"b".into()].into(),
            json: ["/pin".into()].into(),
            ..Redact::default()
        };
        let mut sealed = Vec::new();
        redact(body, boundary, &mut Hider::new(&rules, &KEY, &mut sealed))
    }

    fn part(head: &str, content: &str) -> String {
        format!("--B\r\n{head}\r\n\r\n{content}\r\n")
    }

    fn field(name: &str, content: &str) -> String {
        part(&format!("Content-Disposition: form-data; name=\"{name}\""), content)
    }

    fn whole(parts: &[String], end: &str) -> String {
        format!("{}{end}", parts.concat())
    }

    fn hidden(secret: &str) -> String {
        format!("{:?}", token(secret.as_bytes(), &KEY))
    }

    #[track_caller]
    fn check(parts: &[String], want: &[String]) {
        for end in ["--B--", "--B--\r\n"] {
            let (body, want) = (whole(parts, end), whole(want, end));
            let shown = shown(body.as_bytes(), Some("B")).map(|shown| shown.unwrap_or_else(|| body.clone().into()));
            assert_eq!(shown.map(|bytes| String::from_utf8(bytes).unwrap()), Ok(want), "{body}");
        }
    }

    #[track_caller]
    fn refused(body: &str) {
        assert_eq!(shown(body.as_bytes(), Some("B")), Err(Unreadable), "{body}");
    }

    #[test]
    fn hidden_parts_are_tokens_and_every_other_byte_stays() {
        let file = part(
            "content-disposition: form-data; name=file; filename=\"a; name=x\"\r\nX: y",
            "\u{0}\r\n--\r\n-B\u{7f}",
        );
        check(
            &[
                field("a", "1"),
                file.clone(),
                field("PIN", "7\r\n8"),
                field("pin[]", ""),
            ],
            &[
                field("a", "1"),
                file,
                field("PIN", &hidden("7\r\n8")),
                field("pin[]", &hidden("")),
            ],
        );
        check(&[field("a", "pin")], &[field("a", "pin")]);
        check(&[], &[]);
    }

    #[test]
    fn a_name_is_known_as_browsers_write_it() {
        for name in ["%70in", "a%22b", " pin "] {
            check(&[field(name, "7")], &[field(name, &hidden("7"))]);
        }
        let bare = |content: &str| part("CONTENT-DISPOSITION:form-data;NAME=pin", content);
        check(&[bare("7")], &[bare(&hidden("7"))]);
    }

    #[test]
    fn json_in_a_part_is_read() {
        let json = |content: &str| {
            part(
                "Content-Disposition: form-data; name=j\r\nContent-Type: application/json",
                content,
            )
        };
        let text = |secret: &str| format!("{{\"pin\":\"{secret}\"}}");
        check(&[json(&text("7"))], &[json(&text(&hidden("7")))]);
        check(&[field("j", &text("7"))], &[field("j", &text(&hidden("7")))]);
        refused(&whole(&[json("{\"pin\":")], "--B--"));
        let encoded =
            "Content-Disposition: form-data; name=j\r\nContent-Type: a/json\r\nContent-Transfer-Encoding: base64";
        refused(&whole(&[part(encoded, "eyJwaW4iOjd9")], "--B--"));
    }

    #[test]
    fn what_could_be_taken_apart_in_two_ways_is_not_read() {
        let end = "--B--\r\n";
        for body in [
            String::new(),
            end.replace("--\r\n", ""),
            field("pin", "7"),
            format!("preamble\r\n{}{end}", field("pin", "7")),
            format!("{}{end}epilogue", field("pin", "7")),
            whole(&[field("pin", "7")], end).replace("\r\n", "\n"),
            whole(&[field("pin", "7")], end).replace("--B\r\n", "--B \r\n"),
            format!("--B\r\nno head\r\n{end}"),
            whole(&[part("Content-Disposition: form-data;\r\n name=\"pin\"", "7")], end),
            whole(&[part("Content-Disposition: form-data; name=a; name=pin", "7")], end),
            part(
                "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=pin",
                "7",
            ) + end,
            whole(&[part("Content-Disposition: form-data; name*=utf-8''pin", "7")], end),
            whole(
                &[part(
                    "Content-Disposition: form-data; name=\"a\\\"; name=\\\"pin\"",
                    "7",
                )],
                end,
            ),
            whole(&[part("Content-Disposition: form-data; name=\"pin", "7")], end),
            whole(&[part("Content-Disposition : form-data; name=pin", "7")], end),
        ] {
            refused(&body);
        }
        assert_eq!(shown(b"--B--", None), Err(Unreadable));
    }

    #[test]
    fn a_part_without_a_name_is_no_field() {
        let part = part("Content-Type: text/plain", "pin");
        check(&[part.to_string()], &[part]);
    }
}
