//! Secrets of a file that was not redacted: headers that never show become tokens, as in what the proxies send.

use crate::store::Capture;
use reprise_core::capture::redact::{TOKEN_BYTES, has_token, hides, token};
use reprise_core::config::Redact;
use reprise_core::http::{Pairs, write_pairs};

/// Puts tokens in the place of the headers that never show, in both halves and their trailers.
///
/// Rules of routes are the proxies': fields of queries, forms and JSON stay as they are in the file.
/// Again: tokens stay as they are.
pub(super) fn hide(capture: &mut Capture, key: &[u8; 32]) {
    for half in std::iter::once(&mut capture.request).chain(&mut capture.response) {
        for map in [&mut half.pairs, &mut half.trailers] {
            capture.row.redacted |= hide_in(map, key);
        }
    }
}

/// Writes a header map anew if it holds a secret; tells whether it did.
fn hide_in(map: &mut Vec<u8>, key: &[u8; 32]) -> bool {
    let rules = Redact::default();
    let is_secret = |name: &[u8], value: &[u8]| hides(&rules, name) && !is_token(value);
    if !Pairs::new(map).any(|(name, value)| is_secret(name, value)) {
        return false;
    }
    let shown = |(name, value): (&[u8], &[u8])| {
        let hidden = is_secret(name, value).then(|| token(value, key).bytes().to_vec());
        (name.to_vec(), hidden.unwrap_or_else(|| value.to_vec()))
    };
    let pairs: Vec<_> = Pairs::new(map).map(shown).collect();
    map.clear();
    write_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)), map);
    true
}

/// Tells whether a value is a token and nothing else.
fn is_token(value: &[u8]) -> bool {
    value.len() == TOKEN_BYTES && has_token(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fields, half, whole};
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn hidden(secret: &str) -> String {
        format!("{:?}", token(secret.as_bytes(), &KEY))
    }

    fn values(map: &[u8], wanted: &str) -> Vec<String> {
        let named = Pairs::new(map).filter(|(name, _)| *name == wanted.as_bytes());
        named
            .map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
            .collect()
    }

    /// A capture as a browser's file has it.
    fn browsed() -> Capture {
        let request = fields(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "shop.example"),
            (":path", "/a?token=1"),
            ("cookie", "sid=1"),
            ("authorization", "Bearer hush"),
            ("accept", "*/*"),
            ("cookie", "theme=dark"),
        ]);
        let response = fields(&[(":status", "201"), ("set-cookie", "sid=2")]);
        whole(half(&request, b"{}"), Some(half(&response, b"ok")))
    }

    #[test]
    fn headers_that_never_show_become_tokens_in_their_places() {
        let mut capture = browsed();
        hide(&mut capture, &KEY);
        let request = &capture.request.pairs;
        assert_eq!(values(request, "cookie"), [hidden("sid=1"), hidden("theme=dark")]);
        assert_eq!(values(request, "authorization"), [hidden("Bearer hush")]);
        assert_eq!(values(request, "accept"), ["*/*"]);
        assert_eq!(
            Pairs::new(request).map(|(name, _)| name).collect::<Vec<_>>(),
            Pairs::new(&browsed().request.pairs)
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        );
        let response = capture.response.unwrap().pairs;
        assert_eq!(values(&response, "set-cookie"), [hidden("sid=2")]);
        assert!(capture.row.redacted);
    }

    #[test]
    fn a_secret_in_trailers_is_hidden() {
        let mut capture = browsed();
        let map = |pairs: &[(&str, &str)]| half(&fields(pairs), b"").pairs;
        capture.request = half(&fields(&[(":method", "POST")]), b"");
        capture.response = Some(half(&fields(&[(":status", "201")]), b""));
        capture.request.trailers = map(&[("x-api-key", "hush")]);
        hide(&mut capture, &KEY);
        assert_eq!(capture.request.trailers, map(&[("x-api-key", &hidden("hush"))]));
        assert!(capture.row.redacted);
    }

    #[test]
    fn what_is_hidden_already_stays() {
        let mut once = browsed();
        hide(&mut once, &KEY);
        let mut twice = once.clone();
        hide(&mut twice, &[8; 32]);
        assert_eq!(twice, once);
    }

    #[test]
    fn a_capture_without_secrets_is_not_touched() {
        let mut capture = super::super::testing::capture("POST", "/a?authorization=1", b"{}");
        let before = capture.clone();
        hide(&mut capture, &KEY);
        assert_eq!(capture, before);
    }
}
