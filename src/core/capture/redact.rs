//! What nobody may see: secrets leave the proxy as tokens, or not at all.
//!
//! Which exchanges are captured is in [`super::select`]; which fields are secret is in [`Redact`].

mod body;
mod fields;
mod headers;
mod hider;
mod json;
mod media;
mod multipart;
mod token;
mod unseal;

pub use hider::hides;
pub use token::{TOKEN_BYTES, Token, all_tokens, has_token, token, tokens};
pub use unseal::{unseal, unsealed};

use crate::config::Redact;
use crate::wire::Capture;
use hider::Hider;

/// Puts tokens in the place of everything in `capture` that `rules` hide, and leaves out bodies that cannot be read.
///
/// Hidden are: the default headers and those of the rules, in both halves and their trailers; fields of queries in every
/// header, the target first of all; fields of forms and places in JSON in the bodies. What the rules seal is hidden
/// too, and kept in `sealed`. A body to which a rule applies, and that is truncated, encoded or does not parse, is left
/// out. All other bytes stay as they were.
///
/// Again: tokens become tokens of tokens; so once only.
pub fn redact(capture: &mut Capture, rules: &Redact, key: &[u8; 32]) {
    let mut hider = Hider::new(rules, key, &mut capture.sealed);
    for half in [&mut capture.request, &mut capture.response].into_iter().flatten() {
        // The headers say how the body reads, so it comes first.
        body::redact(half, &mut hider);
        headers::redact(&mut half.pairs, &mut hider);
        headers::redact(&mut half.trailers, &mut hider);
    }
    if !capture.request_id.is_empty() && hides(rules, b"x-request-id") {
        capture.request_id = alloc::format!("{:?}", token(capture.request_id.as_bytes(), key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Pairs, write_pairs};
    use crate::wire::Half;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];

    fn rules() -> Redact {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Redact {
            headers: list(&["x-pin"]),
            query: list(&["pin"]),
            form: list(&["pin"]),
            json: list(&["/pin", "/cards/*/pin"]),
            seal: Vec::new(),
        }
    }

    fn map(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut map = Vec::new();
        write_pairs(
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut map,
        );
        map
    }

    fn half(media: &str, body: &[u8]) -> Half {
        Half {
            pairs: map(&[("content-type", media)]),
            body: body.to_vec(),
            body_len: u64::try_from(body.len()).unwrap(),
            ended: true,
            ..Half::default()
        }
    }

    fn redacted(half: Half, rules: &Redact) -> Half {
        let mut capture = Capture {
            request: Some(half),
            ..Capture::default()
        };
        redact(&mut capture, rules, &KEY);
        capture.request.unwrap()
    }

    fn hash(body: &[u8]) -> Vec<u8> {
        blake3::keyed_hash(&KEY, blake3::hash(body).as_bytes())
            .as_bytes()
            .to_vec()
    }

    #[track_caller]
    fn stays(media: &str, body: &str) {
        let before = half(media, body.as_bytes());
        assert_eq!(redacted(before.clone(), &rules()), before, "{media} {body}");
    }

    /// Tells what became of a body: its length stays, and its hash is keyed.
    #[track_caller]
    fn becomes(media: &str, body: &str, redacted_as: &str) -> String {
        let after = redacted(half(media, body.as_bytes()), &rules());
        assert_eq!(after.redacted, redacted_as, "{media} {body}");
        assert_eq!(after.body_hash, hash(body.as_bytes()));
        assert_eq!(after.body_len, u64::try_from(body.len()).unwrap());
        String::from_utf8(after.body).unwrap()
    }

    #[track_caller]
    fn parts(media: &str, body: &str) {
        let want = body.replace("SECRET", &alloc::format!("{:?}", token(b"SECRET", &KEY)));
        assert_eq!(becomes(media, body, "parts"), want);
    }

    #[track_caller]
    fn whole(media: &str, body: &str) {
        assert_eq!(becomes(media, body, "whole"), "");
    }

    /// Case R06.
    #[test]
    fn a_body_without_secrets_keeps_every_byte() {
        stays("application/json", "{ \"b\":1.0 ,\"a\" : [ ],\"b\":2e0}\n");
        stays("application/x-www-form-urlencoded", "a=1&b=%20&&c");
        stays(
            "multipart/form-data; boundary=B",
            "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n\u{0}\r\n--B--\r\n",
        );
        stays("text/plain", "Created");
        stays("image/png", "\u{89}PNG {[pin=1");
        stays("text/html", "<a href=\"?pin=1\">");
        stays("application/json", "");
    }

    #[test]
    fn secrets_in_bodies_are_tokens() {
        parts("application/json", "{\"cards\":[{\"pin\":\"SECRET\"}], \"a\":1.0}");
        parts("application/vnd.api+json; charset=utf-8", "{\"pin\":\"SECRET\"}");
        parts("application/x-www-form-urlencoded", "a=1&p%69n=SECRET&b=%20");
        let body = "--B\r\nContent-Disposition: form-data; name=\"pin\"\r\n\r\nSECRET\r\n--B--\r\n";
        parts("multipart/form-data; boundary=B", body);
    }

    #[test]
    fn json_is_read_under_any_name() {
        let media = [
            "",
            "text/plain",
            "text/html",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
        ];
        for media in media {
            parts(media, " {\"pin\":\"SECRET\"}");
            whole(media, " {\"pin\":\"SECRET\"");
        }
        let before = Half {
            pairs: Vec::new(),
            ..half("", b"{\"pin\":1}")
        };
        assert_eq!(redacted(before, &rules()).redacted, "parts");
    }

    #[test]
    fn a_body_that_cannot_be_read_is_left_out() {
        whole("application/json", "{\"pin\":\"SECRET\"");
        whole("application/json", "{\"pin\":\"SECRET\"}{}");
        whole("application/x-ndjson", "{\"pin\":\"SECRET\"}\n{\"pin\":\"SECRET\"}\n");
        whole("application/json", "pin=SECRET");
        whole(
            "multipart/form-data",
            "--B\r\nContent-Disposition: form-data; name=pin\r\n\r\nSECRET\r\n--B--",
        );
        whole("text/plain", "a\r\npin=SECRET\r\n");
        whole("", "a=1&%70in=SECRET");
        whole("application/octet-stream", ")]}',\n{\"pin\":\"SECRET\"}");
    }

    #[test]
    fn an_encoded_body_is_left_out_where_a_rule_applies() {
        let encoded = |media: &str, encoding: &str| Half {
            pairs: map(&[("content-type", media), ("content-encoding", encoding)]),
            ..half(media, b"\x1f\x8b")
        };
        for media in [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=B",
            "",
        ] {
            let after = redacted(encoded(media, "gzip"), &rules());
            assert_eq!(
                (after.redacted.as_str(), after.body.len(), after.body_len),
                ("whole", 0, 2),
                "{media}"
            );
        }
        assert_eq!(redacted(encoded("image/svg+xml", "gzip"), &rules()).redacted, "");
        assert_eq!(
            redacted(encoded("application/json", "gzip"), &Redact::default()).redacted,
            ""
        );
    }

    #[test]
    fn of_a_truncated_body_only_the_keyed_hash_of_the_whole_is_left() {
        let plain = blake3::hash(b"{\"pin\":\"SECRET\"}");
        let truncated = Half {
            truncated: true,
            body_len: 16,
            body_hash: plain.as_bytes().to_vec(),
            ..half("application/json", b"{\"pin\":\"SEC")
        };
        let after = redacted(truncated.clone(), &rules());
        assert_eq!(
            (after.redacted.as_str(), after.body.len(), after.body_len),
            ("whole", 0, 16)
        );
        assert_eq!(after.body_hash, hash(b"{\"pin\":\"SECRET\"}"));
        // The ending of a request that was written ahead has neither headers nor a body.
        let ending = Half {
            pairs: Vec::new(),
            body: Vec::new(),
            ..truncated.clone()
        };
        assert_eq!(redacted(ending, &rules()).body_hash, after.body_hash);
        let unhashed = Half {
            body_hash: Vec::new(),
            ..truncated.clone()
        };
        assert!(redacted(unhashed, &rules()).body_hash.is_empty());
        assert_eq!(redacted(truncated.clone(), &Redact::default()), truncated);
    }

    #[test]
    fn a_truncated_form_is_left_out_though_its_front_reads_well() {
        let form = half("application/x-www-form-urlencoded", b"a=1&pi");
        let marked = Half {
            truncated: true,
            ..form.clone()
        };
        let longer = Half { body_len: 100, ..form };
        for cut in [marked, longer] {
            let after = redacted(cut, &rules());
            assert_eq!(
                (after.redacted.as_str(), after.body.len(), after.body_hash.len()),
                ("whole", 0, 0)
            );
        }
    }

    #[test]
    fn headers_and_trailers_of_both_halves_are_hidden() {
        let half = || Half {
            pairs: map(&[(":path", "/?pin=1"), ("cookie", "SECRET"), ("x", "y")]),
            trailers: map(&[("x-pin", "SECRET")]),
            ..Half::default()
        };
        let mut capture = Capture {
            request: Some(half()),
            response: Some(half()),
            request_id: "SECRET".into(),
            ..Capture::default()
        };
        let hidden = Redact {
            headers: ["x-pin".into(), "x-request-id".into()].into(),
            ..Redact::default()
        };
        redact(&mut capture, &hidden, &KEY);
        let token = token(b"SECRET", &KEY);
        assert_eq!(capture.request_id.as_bytes(), token.bytes());
        for half in [capture.request.unwrap(), capture.response.unwrap()] {
            assert_eq!(Pairs::new(&half.pairs).first(b"cookie"), Some(&token.bytes()[..]));
            assert_eq!(Pairs::new(&half.pairs).first(b":path"), Some(&b"/?pin=1"[..]));
            assert_eq!(Pairs::new(&half.trailers).first(b"x-pin"), Some(&token.bytes()[..]));
        }
    }

    #[test]
    fn what_a_body_that_is_left_out_sealed_is_not_kept() {
        let mut capture = Capture {
            request: Some(half("application/json", b"{\"pin\":\"SECRET\", ")),
            ..Capture::default()
        };
        let seal = Redact {
            seal: ["json:/pin".into()].into(),
            ..Redact::default()
        };
        redact(&mut capture, &seal, &KEY);
        assert!(capture.sealed.is_empty() && capture.request.unwrap().redacted == "whole");
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use alloc::format;
        use alloc::vec;
        use proptest::prelude::*;
        use prost::Message as _;

        /// Ways to write `pin` in a query or a form.
        fn field() -> impl Strategy<Value = String> {
            let letter = |char: char| {
                let (lower, upper) = (char, char.to_ascii_uppercase());
                prop::sample::select(vec![
                    lower.to_string(),
                    upper.to_string(),
                    format!("%{:02x}", u32::from(lower)),
                    format!("%{:02X}", u32::from(upper)),
                ])
            };
            let end = prop::sample::select(&["", "[]", "[0]", "%5B%5d", "+", "%20"][..]);
            (letter('p'), letter('i'), letter('n'), end).prop_map(|(p, i, n, end)| format!("{p}{i}{n}{end}"))
        }

        /// Ways to write `pin` as a key of JSON.
        fn key() -> impl Strategy<Value = String> {
            let letter = |char: char| {
                prop::sample::select(vec![
                    char.to_string(),
                    format!("\\u{:04x}", u32::from(char)),
                    format!("\\u{:04X}", u32::from(char)),
                ])
            };
            (letter('p'), letter('i'), letter('n')).prop_map(|(p, i, n)| format!("{p}{i}{n}"))
        }

        fn query(secret: String) -> impl Strategy<Value = String> {
            (
                field(),
                "[a-z0-9=%+;]{0,6}",
                "[a-z0-9=%+;]{0,6}",
                prop::sample::select(&["&", ";", "&&", "&x=?"][..]),
            )
                .prop_map(move |(field, before, after, mark)| match mark {
                    // A semicolon may belong to a value before it, which is hidden then with all that follows.
                    "&x=?" => format!("{before}&x=?{field}={secret}&{after}"),
                    mark => format!("{before}{mark}{field}={secret}&{after}"),
                })
        }

        fn json(secret: &str) -> impl Strategy<Value = String> + use<> {
            let value = prop::sample::select(vec![
                format!("\"{secret}\""),
                format!("{{\"a\":[\"{secret}\",1]}}"),
                format!("[\"\\u0041{secret}\"]"),
            ]);
            (key(), value, "[ \t\n\r]{0,2}", any::<bool>()).prop_map(|(key, value, blank, deep)| {
                let object = format!("{blank}{{{blank}\"pin\":1,\"{key}\"{blank}:{blank}{value}{blank},\"b\":1.0}}");
                if deep {
                    format!("{{\"cards\":[{object},{object}]}}")
                } else {
                    object
                }
            })
        }

        fn multipart(secret: &str, name: &str) -> String {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{secret}\r\n--B--\r\n")
        }

        /// Bodies that hold the secret where rules hide it, with what is said of them.
        fn body(secret: &str) -> impl Strategy<Value = (&'static str, String)> + use<> {
            let media = |list: &'static [&'static str]| prop::sample::select(list);
            let any = media(&["", "text/plain", "application/octet-stream", "x/y"]);
            let forms = media(&[
                "application/x-www-form-urlencoded",
                "Application/X-WWW-Form-Urlencoded;charset=utf-8",
            ]);
            let jsons = media(&[
                "application/json",
                "application/a+json",
                "",
                "text/plain",
                "text/html",
                "application/x-www-form-urlencoded",
            ]);
            let parts = media(&[
                "multipart/form-data; boundary=B",
                "multipart/mixed;boundary=\"B\"",
                "multipart/form-data",
            ]);
            let plain = secret.to_string();
            prop_oneof![
                (forms, query(secret.to_string())),
                (any, query(secret.to_string())),
                (jsons.clone(), json(secret)),
                (jsons, json(secret), 1_usize..40).prop_map(|(media, text, cut)| {
                    let len = text.len().saturating_sub(cut).max(1);
                    (media, text.chars().take(len).collect())
                }),
                (parts, field()).prop_map(move |(media, name)| (media, multipart(&plain, &name))),
            ]
        }

        /// Headers that hold the secret where rules hide it.
        fn headers(secret: &str) -> impl Strategy<Value = Vec<(String, String)>> + use<> {
            let plain = secret.to_string();
            let secret_header = prop::sample::select(
                &[
                    "authorization",
                    "Cookie",
                    "set-cookie",
                    "proxy-authorization",
                    "X-API-KEY",
                    "x-pin",
                    "X-Pin",
                ][..],
            );
            let url =
                prop::sample::select(&["location", "referer", "Referer", "content-location", "x-original-url"][..]);
            let mark = prop::sample::select(&["?", "#", "?a#", "?a=/b?", "#/in?"][..]);
            let nested = prop::sample::select(&["%3F", "%253F", "?"][..]);
            let queries = (query(secret.to_string()), query(secret.to_string()), field());
            (secret_header, "Bearer |", url, mark, nested, queries).prop_map(
                move |(header, scheme, url, mark, nested, (target, query, field))| {
                    let pairs = [
                        (":path", format!("/p?{target}")),
                        (header, format!("{scheme}{plain}")),
                        (url, format!("https://h/p{mark}{query}")),
                        ("x-deep", format!("/p?next=%2Fq{nested}{field}={plain}")),
                    ];
                    pairs.map(|(name, value)| (name.into(), value)).into()
                },
            )
        }

        fn planted_half(secret: &str) -> impl Strategy<Value = Half> + use<> {
            let told = (any::<bool>(), any::<bool>());
            (headers(secret), body(secret), told).prop_map(|(mut headers, (media, body), (truncated, is_encoded))| {
                let trailers: Vec<(&str, &str)> = headers
                    .iter()
                    .skip(1)
                    .map(|(name, value)| (&name[..], &value[..]))
                    .collect();
                let trailers = map(&trailers);
                headers.push(("content-type".into(), media.into()));
                headers.push((
                    "content-encoding".into(),
                    if is_encoded { "gzip" } else { "identity" }.into(),
                ));
                let pairs: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
                Half {
                    pairs: map(&pairs),
                    trailers,
                    truncated,
                    ..half(media, body.as_bytes())
                }
            })
        }

        /// Captures with one secret in many places, and the text of the secret.
        fn planted() -> impl Strategy<Value = (Capture, String)> {
            "[A-Za-z0-9]{16,20}".prop_flat_map(|secret| {
                (planted_half(&secret), planted_half(&secret)).prop_map(move |(request, response)| {
                    let capture = Capture {
                        request: Some(request),
                        response: Some(response),
                        ..Capture::default()
                    };
                    (capture, secret.clone())
                })
            })
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(512))]

            /// Case R38.
            #[test]
            fn a_planted_secret_never_leaves((mut capture, secret) in planted()) {
                redact(&mut capture, &rules(), &KEY);
                let bytes = capture.encode_to_vec();
                let secret = secret.as_bytes();
                let at = bytes.windows(secret.len()).position(|each| each == secret);
                prop_assert!(at.is_none(), "{:?}\n{}", capture, String::from_utf8_lossy(&bytes));
            }
        }

        proptest! {
            #[test]
            fn any_capture_is_redacted_without_a_panic(
                pairs: Vec<u8>, body: Vec<u8>, media in "[a-z/;=+\"-]{0,30}", truncated: bool, hash: Vec<u8>,
            ) {
                for pairs in [pairs, map(&[("content-type", &media)])] {
                    let half = Half { pairs, body: body.clone(), truncated, body_hash: hash.clone(), ..Half::default() };
                    let _half = redacted(half, &rules());
                }
            }

            #[test]
            fn what_is_sealed_comes_back(
                pin in "[ -~é]{0,12}", number: i64, media in prop::sample::select(&["application/json", "text/plain"][..]),
            ) {
                let seal = Redact {
                    seal: ["header:x-pin", "query:pin", "json:/pin", "json:/number"].map(String::from).into(),
                    ..Redact::default()
                };
                let json = serde_json::json!({"pin": pin, "number": number, "other": pin}).to_string();
                let encoded: String = pin.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let target = format!("/?a=1&pin={encoded}&b");
                let before = Half {
                    pairs: map(&[(":path", &target), ("content-type", media), ("x-pin", &pin), ("cookie", "SECRET")]),
                    ..half(media, json.as_bytes())
                };
                let mut capture = Capture { request: Some(before.clone()), ..Capture::default() };
                redact(&mut capture, &seal, &KEY);
                let mut after = capture.request.unwrap();
                prop_assert_eq!(after.redacted.as_str(), "parts");
                unseal(&mut after, &capture.sealed);
                let cookie = format!("{:?}", token(b"SECRET", &KEY));
                let want = Half {
                    pairs: map(&[(":path", &target), ("content-type", media), ("x-pin", &pin), ("cookie", &cookie)]),
                    ..before
                };
                prop_assert_eq!(after, want);
            }
        }
    }
}
