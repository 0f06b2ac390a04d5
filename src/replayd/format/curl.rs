//! A shell script that sends each request with curl.
//!
//! Every byte that came from a client stands in single quotes, or as an octal escape in the format of `printf`, so that no
//! shell sees more in it than text. It has to be told where to send, so that nobody sends to where the requests came from
//! by mistake.

use super::message::plain;
use super::{Counts, unsendable};
use crate::store::Capture;
use reprise_core::capture::redact::has_token;
use reprise_core::http::Pairs;
use reprise_core::replay::key::{self, HEADER};
use reprise_core::replay::step::is_safe;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// Headers that curl makes itself: of the connection, of the body's length, of the host.
const OF_THE_CONNECTION: [&[u8]; 9] = [
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
];

/// Headers that curl adds unless they are given or refused.
const ADDED: [&str; 3] = ["accept", "content-type", "user-agent"];

/// Writes what stands before the requests.
pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    out.write_all(
        b"#!/bin/sh\n# Requests captured by Reprise, in order. It stops where one fails that did not fail then.\n\
          set -eu\n: \"${BASE_URL:?says where to send, as in BASE_URL=http://localhost:8080}\"\n",
    )
}

/// Writes what stands behind the requests.
pub(super) fn end(counts: &Counts, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n# {counts}")
}

/// Writes one request.
pub(super) fn write(capture: &Capture, counts: &mut Counts, out: &mut impl Write) -> io::Result<()> {
    if let Some(reason) = unsendable(capture) {
        counts.miss(reason);
        return Ok(());
    }
    counts.miss_if(capture.response.is_some(), "responses");
    counts.miss_if(!capture.request.trailers.is_empty(), "trailers");
    counts.miss_about(capture);
    counts.captures = counts.captures.saturating_add(1);
    let mut command = format!("\n# capture {}\n", capture.row.id.0).into_bytes();
    for note in notes(capture) {
        command.extend([b"# ", note.as_bytes(), b"\n"].concat());
    }
    let request = &capture.request;
    if !request.body.is_empty() {
        command.extend([b"printf ", &octal(&request.body)[..], b" | "].concat());
    }
    command.extend_from_slice(b"curl --silent --show-error --globoff");
    if capture.row.status.is_none_or(|status| status < 400) {
        command.extend_from_slice(b" --fail-with-body");
    }
    arguments(capture, &mut command);
    command.push(b'\n');
    out.write_all(&command)
}

/// Header fields that a client may choose, but for those whose value was redacted.
pub(super) fn end_to_end(capture: &Capture) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    of_the_client(capture).filter(|(_, value)| !has_token(value))
}

fn of_the_client(capture: &Capture) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    plain(&capture.request.pairs).filter(|(name, _)| !OF_THE_CONNECTION.contains(name))
}

/// Makes a key for a request that may act and has none, so that what is sent twice has one effect where keys are honoured.
pub(super) fn made_key(capture: &Capture) -> Option<String> {
    let name = capture.row.name().filter(|_| lacks_key(capture))?;
    Some(key::derive("script", &name.to_bytes()))
}

fn lacks_key(capture: &Capture) -> bool {
    let pairs = Pairs::new(&capture.request.pairs);
    !is_safe(pairs.first(b":method").unwrap_or_default()) && key::own(pairs).is_none()
}

/// What whoever reads a script has to know of a request. Names of headers are tokens, so that no line ends in them.
pub(super) fn notes(capture: &Capture) -> Vec<String> {
    let redacted = of_the_client(capture).filter(|(_, value)| has_token(value));
    let names: BTreeSet<_> = redacted.map(|(name, _)| String::from_utf8_lossy(name)).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let left_out = (!names.is_empty()).then(|| format!("left out, because they were redacted: {names}"));
    let target = Pairs::new(&capture.request.pairs).first(b":path").unwrap_or_default();
    let has_tokens = has_token(target) || has_token(&capture.request.body);
    let tokens = has_tokens.then(|| "tokens stand in the place of what was redacted of its target or body".to_owned());
    let keyless = lacks_key(capture) && capture.row.name().is_none();
    let repeats = keyless.then(|| "no idempotency-key: it acts again each time that it is sent".to_owned());
    left_out.into_iter().chain(tokens).chain(repeats).collect()
}

fn arguments(capture: &Capture, command: &mut Vec<u8>) {
    let pairs = Pairs::new(&capture.request.pairs);
    let (method, target) = (pairs.first(b":method"), pairs.first(b":path").unwrap_or_default());
    let has_body = !capture.request.body.is_empty();
    if method == Some(b"HEAD") && !has_body {
        command.extend_from_slice(b" --head");
    } else {
        argument(command, b"request", method.unwrap_or_default());
    }
    for (name, value) in end_to_end(capture) {
        let header = if value.is_empty() {
            [name, b";"].concat()
        } else {
            [name, b": ", value].concat()
        };
        argument(command, b"header", &header);
    }
    if let Some(made) = made_key(capture) {
        argument(command, b"header", format!("{HEADER}: {made}").as_bytes());
    }
    for name in ADDED.iter().filter(|name| pairs.first(name.as_bytes()).is_none()) {
        argument(command, b"header", format!("{name}:").as_bytes());
    }
    argument(command, b"header", b"expect:");
    if has_body {
        command.extend_from_slice(b" --data-binary @-");
    } else if pairs.first(b"content-length").is_some() {
        argument(command, b"header", b"content-length: 0");
    }
    if target.starts_with(b"/") && target.iter().all(is_plain) {
        command.extend([b" --path-as-is \\\n  --url \"$BASE_URL\"", &quote(target)[..]].concat());
    } else {
        argument(command, b"request-target", target);
        command.extend_from_slice(b" \\\n  --url \"$BASE_URL/\"");
    }
}

/// Tells whether curl sends this byte of a target as it is.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(byte)
}

fn argument(command: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    command.extend([b" \\\n  --", name, b" ", &quote(value)[..]].concat());
}

/// Quotes bytes without zeros as one word.
fn quote(bytes: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\'').collect();
    [b"'", &parts.join(&b"'\\''"[..])[..], b"'"].concat()
}

/// Writes any bytes as a format of `printf` that prints them.
fn octal(bytes: &[u8]) -> Vec<u8> {
    let mut format = vec![b'\''];
    for (at, byte) in bytes.iter().enumerate() {
        // A dash in front would be an option.
        let is_text = matches!(byte, b' '..=b'~') && !b"%\\'".contains(byte) && !(at == 0 && *byte == b'-');
        if is_text {
            format.push(*byte);
        } else {
            format.extend_from_slice(format!("\\{byte:03o}").as_bytes());
        }
    }
    format.push(b'\'');
    format
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ExportFormat;
    use crate::format::testing::export;
    use crate::format::testing::{any_body, any_capture, capture, fields, half, here, whole, written};
    use proptest::prelude::*;
    use std::fs;
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::path::Path;
    use std::process::Command;

    const OUT: ExportFormat = ExportFormat::Curl;

    /// Stands in for curl: writes what it gets, one argument behind each zero byte, and what it reads.
    const TELL: &str = "#!/bin/sh\nfor each; do printf '%s\\000' \"$each\"; done > \"$OUT/args\"\n\
                        for each; do [ \"$each\" != @- ] || cat > \"$OUT/body\"; done\n";

    /// Runs the script in a shell with a curl that tells what it was asked; gives its arguments and its input.
    fn run(shell: &str, script: &[u8], dir: &Path) -> (Vec<Vec<u8>>, Vec<u8>) {
        let file = dir.join("script");
        fs::write(&file, script).unwrap();
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
        let done = Command::new(shell)
            .arg(&file)
            .env("PATH", path)
            .env("OUT", dir)
            .env("BASE_URL", "http://b")
            .output();
        let done = done.unwrap();
        assert!(done.status.success() && done.stdout.is_empty(), "{shell}: {done:?}");
        let args = fs::read(dir.join("args")).unwrap();
        let args = args.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let body = fs::read(dir.join("body")).unwrap_or_default();
        let _gone = fs::remove_file(dir.join("body"));
        (args.filter(|arg| !arg.is_empty()).collect(), body)
    }

    fn with_a_curl_that_tells() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let curl = dir.path().join("curl");
        fs::write(&curl, TELL).unwrap();
        fs::set_permissions(&curl, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        dir
    }

    #[test]
    fn a_command_can_be_read() {
        let file = String::from_utf8(written(OUT, &[capture("POST", "/a?b", b"{\"it\":\"100%\"}\n")])).unwrap();
        let command = file.split("\n\n").nth(1).unwrap();
        let want = [
            "# capture 7",
            "# no idempotency-key: it acts again each time that it is sent",
            "printf '{\"it\":\"100\\045\"}\\012' | curl --silent --show-error --globoff --fail-with-body \\",
            "  --request 'POST' \\",
            "  --header 'content-type: application/json' \\",
            "  --header 'accept:' \\",
            "  --header 'user-agent:' \\",
            "  --header 'expect:' --data-binary @- --path-as-is \\",
            "  --url \"$BASE_URL\"'/a?b'",
        ];
        assert_eq!(command, want.join("\n"));
    }

    #[test]
    fn what_cannot_be_carried_is_counted() {
        let mut truncated = capture("POST", "/", b"{}");
        truncated.request.truncated = true;
        let mut labeled = capture("POST", "/", b"{}");
        labeled.row.labels = vec!["a\nb".to_owned()];
        let mut out = Vec::new();
        let counts = export(OUT, &[truncated, labeled], &mut out);
        assert_eq!(
            counts.not_carried,
            [("labels", 1), ("responses", 1), ("truncated", 1)].into()
        );
        let foot = "\n# 1 capture. left out: 1 whose body was cut. not carried: labels (of 1); responses (of 1)\n";
        assert!(out.ends_with(foot.as_bytes()), "{}", String::from_utf8_lossy(&out));
    }

    fn script(capture: Capture) -> String {
        String::from_utf8(written(OUT, &[capture])).unwrap()
    }

    #[test]
    fn what_was_redacted_is_left_out_and_named() {
        let token = "rdt_abcdefghijklmnopqrstuvwx27";
        let head = fields(&[
            (":method", "GET"),
            (":path", "/"),
            ("cookie", token),
            ("authorization", token),
            ("a", "1"),
        ]);
        let bare = script(whole(half(&head, b""), None));
        assert!(
            bare.contains("\n# left out, because they were redacted: authorization, cookie\n") && !bare.contains(token),
            "{bare}"
        );
        let told = script(whole(half(&head, token.as_bytes()), None));
        assert!(told.contains("\n# tokens stand in the place"), "{told}");
    }

    #[test]
    fn a_mutation_has_one_key_however_often_the_script_runs() {
        let mut named = capture("POST", "/", b"{}");
        named.row.origin = Some(crate::store::captures::Origin {
            epoch: crate::store::Epoch([7; 16]),
            seq: 9,
        });
        let key = "idempotency-key: 4d9fbdb5-ce33-80dd-a914-a977c9578f9e";
        let sent = script(named.clone());
        assert!(sent.contains(key), "{sent}");
        let own = fields(&[(":method", "POST"), (":path", "/"), ("idempotency-key", "mine")]);
        named.request = half(&own, b"");
        let sent = script(named.clone());
        assert!(
            sent.contains("'idempotency-key: mine'") && !sent.contains(key),
            "{sent}"
        );
        named.request = half(&fields(&[(":method", "GET"), (":path", "/")]), b"");
        assert!(!script(named).contains("idempotency-key"));
    }

    #[test]
    fn only_what_did_not_fail_then_stops_the_script() {
        let mut failed = capture("POST", "/", b"{}");
        assert!(script(failed.clone()).contains("--fail-with-body"));
        failed.row.status = Some(404);
        assert!(!script(failed).contains("--fail-with-body"));
    }

    #[test]
    fn a_script_has_to_be_told_where_to_send() {
        let dir = with_a_curl_that_tells();
        let file = dir.path().join("script");
        fs::write(&file, written(OUT, &[capture("GET", "/", b"")])).unwrap();
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell
            .arg(&file)
            .env("PATH", path)
            .env("OUT", dir.path())
            .env_remove("BASE_URL");
        let done = shell.output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            !done.status.success() && told.contains("BASE_URL=http://localhost:8080"),
            "{told}"
        );
        assert!(!dir.path().join("args").exists());
    }

    #[test]
    fn a_request_that_is_none_is_left_out() {
        let evil = fields(&[(":method", "GET"), (":path", "/"), ("a", "b\n'; evil")]);
        let counts = export(OUT, &[whole(half(&evil, b""), None)], &mut Vec::new());
        assert_eq!((counts.captures, counts.not_carried), (0, [("malformed", 1)].into()));
    }

    /// What curl puts on the wire, read until the body is there.
    fn sent(capture: &Capture) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("script");
        fs::write(&file, written(OUT, std::slice::from_ref(capture))).unwrap();
        let mut script = Command::new("sh");
        script
            .arg(file)
            .env("BASE_URL", format!("http://{address}"))
            .env("no_proxy", "*");
        let mut child = script.spawn().unwrap();
        let ends = std::thread::spawn(move || {
            let ended = child.wait().unwrap();
            // A script that ends before it has called lets nobody wait.
            let _call = std::net::TcpStream::connect(address);
            ended.success()
        });
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
        while !(seen.windows(4).any(|window| window == b"\r\n\r\n") && seen.ends_with(&capture.request.body)) {
            let len = stream.read(&mut piece).unwrap();
            assert!(len > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..len]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert!(ends.join().unwrap());
        seen
    }

    #[test]
    fn curl_sends_the_bytes_that_were_captured() {
        if !here("curl") {
            return;
        }
        let head = fields(&[
            (":method", "PUT"),
            (":authority", "elsewhere"),
            (":path", "/a/../b//c?x={1}&y=[z]#'|\\\u{e9}"),
            ("x-a", "1"),
            ("x-empty", ""),
            ("x-a", "'2' $HOME"),
        ]);
        let body: Vec<u8> = (0..=255).collect();
        let seen = sent(&whole(half(&head, &body), None));
        let text = String::from_utf8_lossy(&seen);
        assert!(
            text.starts_with("PUT /a/../b//c?x={1}&y=[z]#'|\\\u{e9} HTTP/1.1\r\nHost: 127.0.0.1:"),
            "{text}"
        );
        let rest = text
            .split_once("\r\n")
            .and_then(|(_, rest)| rest.split_once("\r\n"))
            .unwrap()
            .1;
        assert!(
            rest.starts_with("x-a: 1\r\nx-empty:\r\nx-a: '2' $HOME\r\nContent-Length: 256\r\n\r\n"),
            "{rest}"
        );
        assert!(seen.ends_with(&body));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_shell_sees_more_than_text(capture in any_capture(), bash in any::<bool>()) {
            let dir = with_a_curl_that_tells();
            let shell = if bash && here("bash") { "bash" } else { "sh" };
            let (args, body) = run(shell, &written(OUT, std::slice::from_ref(&capture)), dir.path());
            prop_assert_eq!(&body, &capture.request.body);
            let headers: Vec<_> = args.windows(2).filter(|pair| pair[0] == b"--header").map(|pair| pair[1].clone()).collect();
            let want = end_to_end(&capture).map(|(name, value)| {
                if value.is_empty() { [name, b";"].concat() } else { [name, b": ", value].concat() }
            });
            let want: Vec<_> = want.collect();
            prop_assert_eq!(&headers[..want.len()], &want[..]);
            let target = capture.row.target.as_bytes();
            let url = args.iter().skip_while(|arg| *arg != b"--url").nth(1).unwrap();
            let raw = args.iter().skip_while(|arg| *arg != b"--request-target").nth(1);
            let asked = raw.cloned().unwrap_or_else(|| url.strip_prefix(b"http://b").unwrap().to_vec());
            prop_assert_eq!(asked, target);
        }

        #[test]
        fn printf_prints_the_bytes(body in any_body(), bash in any::<bool>()) {
            let shell = if bash && here("bash") { "bash" } else { "sh" };
            let command = [b"printf ", &octal(&body)[..]].concat();
            let command = String::from_utf8(command).unwrap();
            let done = Command::new(shell).arg("-c").arg(command).output().unwrap();
            prop_assert_eq!(done.stdout, body);
            prop_assert!(done.stderr.is_empty());
        }
    }
}
