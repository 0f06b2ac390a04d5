//! What of a captured request goes out again.
//!
//! Reading takes off what belonged to the connection, finishing puts sealed values back. Between the two, values may be
//! replaced by those of this replay. Signing and sending is not here.

use crate::capture::redact::{tokens, unsealed};
use crate::http::{Pairs, has_token as lists};
use crate::wire::{Half, Sealed};
use alloc::vec::Vec;

/// Headers that belong to one connection, or that whoever sends the request makes anew.
const OF_THE_CONNECTION: [&[u8]; 12] = [
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"http2-settings",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
];
/// Headers of the proxy's and of Reprise's own: what they said was said to those who had the request then.
const OF_THE_PROXY: [&[u8]; 3] = [b"replayd-signature", b"reprise-", b"x-envoy-"];
/// A request on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:path`, with the query.
    pub target: Vec<u8>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers, in order.
    pub trailers: Vec<Header>,
    /// Tokens that go out in the place of what was redacted, in target and body.
    pub tokens: usize,
    /// Names of headers that were left out because what was redacted of them is not known.
    pub left_out: Vec<Vec<u8>>,
    /// Who sent it, as the proxy named the caller; empty if nobody knows.
    pub caller: Vec<u8>,
}

/// One header or trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name, in lower case.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Outgoing {
    /// Reads a captured request, without what belonged to the connection; none if it has no method or no target.
    #[must_use]
    pub fn read(half: &Half) -> Option<Self> {
        let pairs = Pairs::new(&half.pairs);
        let named = named_by_connection(pairs);
        let mut out = Self {
            method: pairs.first(b":method")?.to_vec(),
            target: pairs.first(b":path")?.to_vec(),
            body: half.body.clone(),
            trailers: Pairs::new(&half.trailers).map(Header::from).collect(),
            ..Self::default()
        };
        for (name, value) in pairs.filter(|(name, _)| !name.starts_with(b":")) {
            let name = name.to_ascii_lowercase();
            if name == b"te" && lists(value, b"trailers") {
                // The one word of it that gRPC needs, and that HTTP/2 allows.
                out.headers.push(Header::from((&name[..], &b"trailers"[..])));
            } else if !is_of_the_way(&name) && !named.contains(&name) {
                let value = value.to_vec();
                out.headers.push(Header { name, value });
            }
        }
        Some(out)
    }

    /// Puts sealed values in the place of their tokens, and leaves out headers that still have one.
    ///
    /// A token in target or body that nothing is sealed for goes out as it is, and is counted.
    ///
    /// Again: changes nothing.
    pub fn finish(&mut self, sealed: &[Sealed]) {
        let left = |text: &mut Vec<u8>| {
            put_back(text, sealed);
            tokens(text)
        };
        self.tokens = left(&mut self.target).saturating_add(left(&mut self.body));
        for list in [&mut self.headers, &mut self.trailers] {
            list.retain_mut(|header| {
                let is_known = left(&mut header.value) == 0;
                if !is_known {
                    self.left_out.push(header.name.clone());
                }
                is_known
            });
        }
        self.announce_trailers();
    }

    /// Names the trailers in `trailer`: HTTP/1.1 clients send no others.
    fn announce_trailers(&mut self) {
        if self.trailers.is_empty() || self.header(b"trailer").is_some() {
            return;
        }
        let names: Vec<&[u8]> = self.trailers.iter().map(|header| &header.name[..]).collect();
        let value = names.join(&b", "[..]);
        self.set_header(b"trailer", &value);
    }

    /// Finds the first value of `name`, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        Some(&header.value)
    }

    /// Sets `name`, which is in lower case, to one value: at its first place, or at the end.
    pub fn set_header(&mut self, name: &[u8], value: &[u8]) {
        let mut is_set = false;
        self.headers.retain_mut(|header| {
            if header.name != name {
                return true;
            }
            header.value = value.to_vec();
            !core::mem::replace(&mut is_set, true)
        });
        if !is_set {
            self.headers.push(Header::from((name, value)));
        }
    }

    /// Tells whether the body is JSON: its media type says so, or there is none and it looks so.
    #[must_use]
    pub fn is_json(&self) -> bool {
        match self.header(b"content-type") {
            Some(value) => is_json_media(value),
            None => matches!(self.body.trim_ascii_start().first(), Some(b'{' | b'[')),
        }
    }
}

impl From<(&[u8], &[u8])> for Header {
    fn from((name, value): (&[u8], &[u8])) -> Self {
        Self {
            name: name.to_ascii_lowercase(),
            value: value.to_vec(),
        }
    }
}

/// Tells whether a `content-type` is one of JSON: `application/json`, `application/problem+json` …
#[must_use]
pub fn is_json_media(value: &[u8]) -> bool {
    let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let media = media.trim_ascii().to_ascii_lowercase();
    media.ends_with(b"/json") || media.ends_with(b"+json")
}

fn is_of_the_way(name: &[u8]) -> bool {
    let of_the_proxy = |prefix: &&[u8]| name.starts_with(prefix);
    OF_THE_CONNECTION.contains(&name) || OF_THE_PROXY.iter().any(of_the_proxy)
}

fn named_by_connection(pairs: Pairs<'_>) -> Vec<Vec<u8>> {
    let values = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
    let names = values.flat_map(|(_, value)| value.split(|byte| *byte == b','));
    names.map(|name| name.trim_ascii().to_ascii_lowercase()).collect()
}

/// Puts sealed values into `text`.
fn put_back(text: &mut Vec<u8>, sealed: &[Sealed]) {
    if tokens(text) > 0 {
        *text = unsealed(text, sealed).into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TOKEN: &str = "rdt_abcdefghijklmnopqrstuvwx27";

    fn half(headers: &[(&str, &str)], body: &str) -> Half {
        let head = [
            (":method", "POST"),
            (":authority", "api.test"),
            (":path", "/v1/a?x=1&y=%20z"),
        ];
        let pairs = head.iter().chain(headers);
        let mut bytes = vec![];
        write_pairs(
            pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut bytes,
        );
        Half {
            pairs: bytes,
            body: body.into(),
            ..Half::default()
        }
    }

    fn out(headers: &[(&str, &str)], body: &str) -> Outgoing {
        Outgoing::read(&half(headers, body)).unwrap()
    }

    #[track_caller]
    fn check(headers: &[(&str, &str)], want: &[(&str, &str)]) {
        let out = out(headers, "");
        let want: Vec<_> = want
            .iter()
            .map(|(name, value)| Header::from((name.as_bytes(), value.as_bytes())))
            .collect();
        assert_eq!(out.headers, want);
    }

    fn sealed(value: &str) -> Sealed {
        Sealed {
            token: TOKEN.into(),
            value: value.into(),
        }
    }

    #[track_caller]
    fn check_body(media: &str, body: &str, sealed: &[Sealed], want: &str, tokens: usize) {
        let mut out = out(&[("content-type", media)], &body.replace("TOKEN", TOKEN));
        out.finish(sealed);
        assert_eq!(
            String::from_utf8(out.body.clone()).unwrap(),
            want.replace("TOKEN", TOKEN)
        );
        assert_eq!(out.tokens, tokens);
        let once = out.clone();
        out.finish(&[]);
        assert_eq!(out, once);
    }

    #[test]
    fn target_headers_and_body_go_out_as_they_were() {
        let headers = [
            ("x-a", "1"),
            ("x-b", ""),
            ("x-a", "2, 3"),
            ("x-forwarded-for", "10.0.0.1"),
            ("cookie", "a=b"),
        ];
        check(&headers, &headers);
        let out = out(&headers, "{ \"a\" : 1.0 }");
        assert_eq!(out.method, b"POST");
        assert_eq!(
            (&out.target[..], &out.body[..]),
            (&b"/v1/a?x=1&y=%20z"[..], &b"{ \"a\" : 1.0 }"[..])
        );
    }

    #[test]
    fn what_belonged_to_the_connection_stays_behind() {
        for name in OF_THE_CONNECTION {
            check(
                &[("x-a", "1"), (core::str::from_utf8(name).unwrap(), "x")],
                &[("x-a", "1")],
            );
        }
        check(
            &[("connection", "close, X-Hop"), ("x-hop", "1"), ("x-end", "2")],
            &[("x-end", "2")],
        );
        check(&[("te", "gzip, trailers")], &[("te", "trailers")]);
    }

    #[test]
    fn what_was_said_to_the_proxy_stays_behind() {
        for name in [
            "replayd-signature",
            "reprise-key-id",
            "x-envoy-retry-on",
            "x-envoy-attempt-count",
        ] {
            check(&[(name, "1"), ("x-reprise", "2")], &[("x-reprise", "2")]);
        }
    }

    #[test]
    fn a_request_without_method_or_target_does_not_go_out() {
        assert_eq!(Outgoing::read(&Half::default()), None);
        let mut pairs = vec![];
        write_pairs([(&b":method"[..], &b"GET"[..])].into_iter(), &mut pairs);
        assert_eq!(
            Outgoing::read(&Half {
                pairs,
                ..Half::default()
            }),
            None
        );
    }

    #[test]
    fn a_redacted_header_goes_out_only_with_its_sealed_value() {
        let value = format!("Bearer {TOKEN}");
        let headers = [("authorization", &value[..]), ("x-a", "1")];
        let mut bare = out(&headers, "");
        bare.finish(&[]);
        assert_eq!(bare.headers.len(), 1);
        assert_eq!(bare.left_out, [b"authorization"]);
        let mut whole = out(&headers, "");
        whole.finish(&[sealed("s")]);
        assert_eq!(whole.header(b"authorization"), Some(&b"Bearer s"[..]));
        assert_eq!((whole.headers.len(), whole.left_out.len()), (2, 0));
    }

    #[test]
    fn sealed_values_come_back_as_they_stood() {
        let json = "application/json; charset=utf-8";
        check_body(json, r#"{"a": "TOKEN"}"#, &[sealed("42")], r#"{"a": 42}"#, 0);
        check_body(
            json,
            r#"{"a":"TOKEN"}"#,
            &[sealed(r#""\u0078""#)],
            r#"{"a":"\u0078"}"#,
            0,
        );
        check_body(json, r#"["Bearer TOKEN"]"#, &[sealed("x")], r#"["Bearer x"]"#, 0);
        let form = "application/x-www-form-urlencoded";
        check_body(form, "a=TOKEN&b=TOKEN", &[sealed("p%20w")], "a=p%20w&b=p%20w", 0);
        check_body(form, "a=TOKEN", &[], "a=TOKEN", 1);
    }

    #[test]
    fn tokens_in_the_target_are_counted() {
        let mut out = out(&[], "");
        out.target = format!("/a?key={TOKEN}&x={TOKEN}").into_bytes();
        out.finish(&[]);
        assert_eq!(out.tokens, 2);
        out.finish(&[sealed("k")]);
        assert_eq!((&out.target[..], out.tokens), (&b"/a?key=k&x=k"[..], 0));
    }

    #[test]
    fn trailers_are_announced_once() {
        let mut trailers = vec![];
        let pairs = [
            (&b"Grpc-Status"[..], &b"0"[..]),
            (b"x-sum", TOKEN.as_bytes()),
            (b"x-b", b"1"),
        ];
        write_pairs(pairs.into_iter(), &mut trailers);
        let mut out = Outgoing::read(&Half {
            trailers,
            ..half(&[], "")
        })
        .unwrap();
        out.finish(&[]);
        out.finish(&[]);
        assert_eq!(out.trailers.len(), 2);
        assert_eq!(out.headers, [Header::from((&b"trailer"[..], &b"grpc-status, x-b"[..]))]);
    }

    #[test]
    fn setting_a_header_leaves_one_of_its_name() {
        let mut out = out(&[("x-a", "1"), ("x-b", "2"), ("x-a", "3")], "");
        out.set_header(b"x-a", b"4");
        out.set_header(b"x-c", b"5");
        let names: Vec<_> = out.headers.iter().map(|header| &header.name[..]).collect();
        assert_eq!(names, [b"x-a", b"x-b", b"x-c"]);
        assert_eq!(out.header(b"x-a"), Some(&b"4"[..]));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn what_has_no_token_is_not_changed(body: Vec<u8>, value in "[ -~]{0,40}", media in "application/json|text/plain|") {
            let mut half = half(&[("content-type", &media), ("x-a", &value)], "");
            half.body = body;
            let mut out = Outgoing::read(&half).unwrap();
            let before = out.clone();
            out.finish(&[sealed("secret")]);
            assert_eq!(out, before);
        }

        #[test]
        fn no_token_is_left_that_something_is_sealed_for(parts in proptest::collection::vec("[a-z\"{ ]{0,4}", 1..6), value in "[A-Z\"]{0,8}", is_json: bool) {
            let media = if is_json { "application/json" } else { "text/plain" };
            let mut out = out(&[("content-type", media)], &parts.join(TOKEN));
            out.finish(&[sealed(&value)]);
            assert_eq!(tokens(&out.body), 0);
            assert_eq!(out.tokens, 0);
        }
    }
}
