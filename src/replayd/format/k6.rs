//! A script for k6: the requests as data, and a loop that sends them in order.
//!
//! All that came from a client stands in JSON strings of ASCII without `<`, so that neither JavaScript nor a page that
//! shows the script sees more in it than text; headers are pairs, because an object has names of its own.

use super::curl::{end_to_end, made_key, notes};
use super::{Counts, unsendable};
use crate::store::Capture;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reprise_core::http::Pairs;
use reprise_core::replay::key::HEADER;
use std::collections::HashSet;
use std::io::{self, Write};

/// Writes what stands before the requests.
pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    out.write_all(
        b"// Requests captured by Reprise, in order.\n\
          import http from 'k6/http';\n\
          import encoding from 'k6/encoding';\n\n\
          const base = __ENV.BASE_URL;\n\
          if (!base) throw new Error('BASE_URL says where to send, as in BASE_URL=http://localhost:8080');\n\n\
          // [method, target, headers, body]\n\
          const requests = [\n",
    )
}

/// Writes what stands behind the requests.
pub(super) fn end(counts: &Counts, out: &mut impl Write) -> io::Result<()> {
    out.write_all(
        b"];\n\n\
          export default function () {\n\
          \x20 for (const [method, target, headers, body] of requests) {\n\
          \x20   const bytes = body && body.base64 !== undefined ? encoding.b64decode(body.base64) : body;\n\
          \x20   const params = { headers: Object.fromEntries(headers), redirects: 0 };\n\
          \x20   http.request(method, base + target, bytes, params);\n\
          \x20 }\n\
          }\n",
    )?;
    writeln!(out, "\n// {counts}")
}

/// Writes one request.
pub(super) fn write(capture: &Capture, counts: &mut Counts, out: &mut impl Write) -> io::Result<()> {
    let target = Pairs::new(&capture.request.pairs).first(b":path").unwrap_or_default();
    let reason = unsendable(capture).or_else(|| (!target.starts_with(b"/")).then_some("target"));
    if let Some(reason) = reason {
        counts.miss(reason);
        return Ok(());
    }
    counts.miss_if(capture.response.is_some(), "responses");
    counts.miss_if(!capture.request.trailers.is_empty(), "trailers");
    counts.miss_about(capture);
    counts.captures = counts.captures.saturating_add(1);
    let method = Pairs::new(&capture.request.pairs).first(b":method").unwrap_or_default();
    let notes = notes(capture).into_iter().map(|note| format!("  // {note}\n"));
    let line = format!(
        "{}  [{}, {}, [{}], {}],\n",
        notes.collect::<String>(),
        text(method),
        text(target),
        headers(capture, counts),
        body(&capture.request.body),
    );
    out.write_all(line.as_bytes())
}

/// The headers as pairs; of those with one name the values are joined, because k6 takes one of each.
fn headers(capture: &Capture, counts: &mut Counts) -> String {
    let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
    for (name, _) in end_to_end(capture) {
        if !seen.insert(name) {
            continue;
        }
        let same = end_to_end(capture).filter(|(other, _)| *other == name);
        let values: Vec<_> = same.map(|(_, value)| value).collect();
        counts.miss_if(values.len() > 1, "repeated_headers");
        let value = values.join(&b", "[..]);
        counts.miss_if(std::str::from_utf8(&value).is_err(), "header_bytes");
        pairs.push(format!("[{}, {}]", text(name), text(&value)));
    }
    pairs.extend(made_key(capture).map(|made| format!("[\"{HEADER}\", \"{made}\"]")));
    pairs.join(", ")
}

fn body(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        _ if body.is_empty() => "null".to_owned(),
        Ok(_) => text(body),
        Err(_) => format!("{{ base64: \"{}\" }}", BASE64_STANDARD.encode(body)),
    }
}

/// Writes text as a string of ASCII; what is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let mut literal = String::from("\"");
    for character in String::from_utf8_lossy(bytes).chars() {
        if matches!(character, '"' | '\\') {
            literal.extend(['\\', character]);
        } else if matches!(character, ' '..='~') && character != '<' {
            literal.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            literal.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ExportFormat;
    use crate::format::testing::export;
    use crate::format::testing::{any_capture, capture, fields, half, here, whole, written};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::fs;
    use std::process::{Command, Output};

    const OUT: ExportFormat = ExportFormat::K6;

    /// Stands in for k6: writes what it is asked to send.
    const HTTP: &str = "globalThis.__ENV = { BASE_URL: process.env.BASE_URL };
        const bytes = (body) => body === null ? null : Buffer.from(body).toString('base64');
        export default { request: (method, url, body, params) =>
            console.log(JSON.stringify([method, url, Object.entries(params.headers), bytes(body), params.redirects])) };";
    const ENCODING: &str =
        "export default { b64decode: (text) => Uint8Array.from(Buffer.from(text, 'base64')).buffer };";

    /// Runs a script in Node, with this environment.
    fn node(script: &[u8], env: &[(&str, &str)]) -> Output {
        let dir = tempfile::tempdir().unwrap();
        let k6 = dir.path().join("node_modules/k6");
        fs::create_dir_all(&k6).unwrap();
        let exports = json!({"type": "module", "exports": {"./http": "./http.js", "./encoding": "./encoding.js"}});
        fs::write(k6.join("package.json"), exports.to_string()).unwrap();
        fs::write(k6.join("http.js"), HTTP).unwrap();
        fs::write(k6.join("encoding.js"), ENCODING).unwrap();
        fs::write(dir.path().join("script.mjs"), script).unwrap();
        fs::write(dir.path().join("main.mjs"), "import run from './script.mjs';\nrun();\n").unwrap();
        let mut node = Command::new("node");
        node.arg(dir.path().join("main.mjs")).env_remove("BASE_URL");
        node.envs(env.iter().copied()).output().unwrap()
    }

    /// Runs a script and gives what it asked for.
    fn run(script: &[u8]) -> Vec<Value> {
        let done = node(script, &[("BASE_URL", "http://b")]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let lines = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn a_request_is_a_line_of_data() {
        let file = String::from_utf8(written(
            OUT,
            &[capture("POST", "/a?b", "{\"a\":\"</script>\u{2028}\"}".as_bytes())],
        ))
        .unwrap();
        let line = file.lines().find(|line| line.starts_with("  [\"POST\"")).unwrap();
        let want = r#"  ["POST", "/a?b", [["content-type", "application/json"]], "{\"a\":\"\u003c/script>\u2028\"}"],"#;
        assert_eq!(line, want);
    }

    #[test]
    fn a_script_has_to_be_told_where_to_send() {
        if here("node") {
            let done = node(&written(OUT, &[capture("POST", "/", b"")]), &[]);
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(
                !done.status.success() && told.contains("BASE_URL=http://localhost:8080"),
                "{told}"
            );
            assert!(done.stdout.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_carried_is_counted() {
        let mut head = fields(&[(":method", "POST"), (":path", "/"), ("a", "1"), ("a", "2")]);
        head.push((b"b".to_vec(), vec![0xff]));
        let star = capture("OPTIONS", "*", b"");
        let counts = export(OUT, &[whole(half(&head, b""), None), star], &mut Vec::new());
        let want = [("header_bytes", 1), ("repeated_headers", 1), ("target", 1)];
        assert_eq!((counts.captures, counts.not_carried), (1, want.into()));
    }

    /// What k6 has to be asked for.
    fn want(capture: &Capture) -> Value {
        let row = &capture.row;
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in end_to_end(capture) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            match headers.iter_mut().find(|(known, _)| *known == text(name)) {
                Some((_, all)) => *all = format!("{all}, {}", text(value)),
                None => headers.push((text(name), text(value))),
            }
        }
        let body = &capture.request.body;
        let body = (!body.is_empty()).then(|| BASE64_STANDARD.encode(body));
        let url = format!("http://b{}", row.target);
        json!([row.method, url, headers, body, 0])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn javascript_sees_no_more_than_text(mut captures in proptest::collection::vec(any_capture(), 20)) {
            if !here("node") {
                return Ok(());
            }
            // Joined values of bytes that are no text are replaced as a whole.
            captures.retain(|capture| end_to_end(capture).all(|(_, value)| std::str::from_utf8(value).is_ok()));
            let asked = run(&written(OUT, &captures));
            let wanted: Vec<_> = captures.iter().map(want).collect();
            prop_assert_eq!(asked, wanted);
        }
    }
}
