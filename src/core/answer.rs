//! The answer: which headers of the first response a duplicate gets.

use crate::claim::record::{Kind, Record};
use crate::http::{Connection, Pairs, is_hop_by_hop, write_pairs};
use alloc::string::ToString as _;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Marks an answer.
pub const MARK: &[u8] = b"idempotent-replayed";

/// Where an upstream that decides itself asks for the answer: `stored`.
pub const ASKED: &[u8] = b"reprise-answer";

/// Largest recorded body that such an upstream is shown.
const SHOWN_BYTES_MAX: usize = 4096;

/// Lists the request headers that tell such an upstream what is recorded; none = the key is new.
///
/// Shape: `reprise-key-exists: true|false`, and of what is recorded `reprise-key-status`, `reprise-key-response` (the
/// body in base64, up to 4 KiB) and `reprise-key-content-type`.
#[must_use]
pub fn known(record: Option<&Record<'_>>) -> Vec<(&'static str, Vec<u8>)> {
    let exists = if record.is_some() { "true" } else { "false" };
    let mut headers = alloc::vec![("reprise-key-exists", exists.into())];
    let Some(record) = record else { return headers };
    headers.push(("reprise-key-status", record.status.to_string().into()));
    if record.kind == Kind::Response && record.body.len() <= SHOWN_BYTES_MAX {
        headers.push(("reprise-key-response", STANDARD.encode(record.body).into()));
        let media = Pairs::new(record.pairs).first(b"content-type");
        headers.extend(media.map(|media| ("reprise-key-content-type", media.to_vec())));
    }
    headers
}

/// Tells whether a response's header is part of its answer.
///
/// Hop-by-hop headers belong to a connection, `set-cookie` to one caller's moment, the rest to one exchange.
fn is_kept(name: &[u8]) -> bool {
    !is_hop_by_hop(name)
        && !matches!(
            name,
            b"proxy-authenticate"
                | b"proxy-authorization"
                | b"content-length"
                | b"set-cookie"
                | b"date"
                | b"server"
                | b"x-request-id"
                | b"traceparent"
                | b"tracestate"
                | b"idempotent-replayed"
                | b""
        )
        && ![&b":"[..], b"x-envoy-", b"reprise-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Builds the headers of an answer out of the first response's: the kept ones in order and number, then the mark.
///
/// Where the response speaks CORS, the mark is exposed to the page that reads it.
///
/// Shape: in and out, the host's serialised form.
#[must_use]
pub fn pairs(response: &[u8]) -> Vec<u8> {
    let all = Pairs::new(response);
    let named = Connection::of(all);
    let exposed = exposed(all);
    let kept = all
        .filter(|(name, _)| is_kept(name) && !named.names(name))
        .filter(|(name, _)| exposed.is_none() || *name != EXPOSE)
        .chain(exposed.iter().map(|value| (EXPOSE, &value[..])))
        .chain([(MARK, &b"true"[..])]);
    // Decided once, written thrice: number, sizes, bytes.
    let kept: Vec<_> = kept.collect();
    let mut out = Vec::with_capacity(response.len());
    write_pairs(kept.into_iter(), &mut out);
    out
}

/// Keeps what a tombstone shows: `location` alone.
#[must_use]
pub fn tombstone_pairs(response: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_pairs(Pairs::new(response).filter(|(name, _)| *name == b"location"), &mut out);
    out
}

const EXPOSE: &[u8] = b"access-control-expose-headers";

/// Adds the mark to what the page may read; none where the response does not speak CORS or exposes everything.
fn exposed(all: Pairs<'_>) -> Option<Vec<u8>> {
    all.first(b"access-control-allow-origin")?;
    let mut value = Vec::new();
    for (_, each) in all.filter(|(name, _)| *name == EXPOSE) {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(each);
    }
    if crate::http::has_token(&value, MARK) {
        return None;
    }
    if !value.is_empty() {
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(b"Idempotent-Replayed");
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    type Header<'a> = (&'a str, &'a str);

    fn serialised(pairs: &[Header<'_>]) -> Vec<u8> {
        let mut out = vec![];
        write_pairs(
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
            &mut out,
        );
        out
    }

    #[track_caller]
    fn check(response: &[Header<'_>], want: &[Header<'_>]) {
        let answer = pairs(&serialised(response));
        let got: Vec<_> = Pairs::new(&answer)
            .map(|(name, value)| {
                (
                    core::str::from_utf8(name).unwrap(),
                    core::str::from_utf8(value).unwrap(),
                )
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn an_upstream_is_shown_what_is_small_enough() {
        let shown = |kind: Kind, body: &[u8]| {
            let record = Record {
                kind,
                status: 201,
                fence: crate::claim::Fence::default(),
                tag: crate::id::Tag([0; 16]),
                head: [0; 16],
                body_digest: [0; 16],
                expiry: crate::time::MonoMillis(0),
                pairs: &serialised(&[("content-type", "text/plain")]),
                body,
            };
            known(Some(&record))
        };
        let head = |exists: &str| ("reprise-key-exists", exists.as_bytes().to_vec());
        let status = ("reprise-key-status", b"201".to_vec());
        assert_eq!(known(None), [head("false")]);
        assert_eq!(
            shown(Kind::Response, b"paid"),
            [
                head("true"),
                status.clone(),
                ("reprise-key-response", b"cGFpZA==".to_vec()),
                ("reprise-key-content-type", b"text/plain".to_vec())
            ]
        );
        assert_eq!(shown(Kind::Response, &[0; 4097]), [head("true"), status.clone()]);
        assert_eq!(shown(Kind::Tombstone, b""), [head("true"), status]);
    }

    const MARKED: Header<'static> = ("idempotent-replayed", "true");

    #[test]
    fn kept_headers_keep_order_and_number() {
        let kept = [("link", "<a>"), ("etag", "\"1\""), ("link", "<b>"), ("location", "/x")];
        check(&kept, &[&kept[..], &[MARKED]].concat());
    }

    #[test]
    fn what_belongs_to_the_connection_or_one_exchange_goes() {
        let gone = [
            (":status", "201"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "2"),
            ("set-cookie", "a=1"),
            ("date", "now"),
            ("server", "envoy"),
            ("x-envoy-upstream-service-time", "1"),
            ("x-request-id", "1"),
            ("traceparent", "1"),
            ("reprise-effect", "full"),
            ("idempotent-replayed", "true"),
        ];
        check(&gone, &[MARKED]);
    }

    #[test]
    fn the_mark_is_exposed_where_cors_is_spoken() {
        let origin = ("access-control-allow-origin", "*");
        let expose = "access-control-expose-headers";
        check(&[origin], &[origin, (expose, "Idempotent-Replayed"), MARKED]);
        check(
            &[(expose, "a"), origin, (expose, "b")],
            &[origin, (expose, "a, b, Idempotent-Replayed"), MARKED],
        );
        check(
            &[origin, (expose, "idempotent-replayed")],
            &[origin, (expose, "idempotent-replayed"), MARKED],
        );
    }

    #[test]
    fn a_tombstone_keeps_the_location() {
        let kept = tombstone_pairs(&serialised(&[("etag", "1"), ("location", "/x"), ("link", "<a>")]));
        assert_eq!(Pairs::new(&kept).collect::<Vec<_>>(), [(&b"location"[..], &b"/x"[..])]);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_map_gives_a_marked_answer(response: Vec<u8>) {
            let answer = pairs(&response);
            assert_eq!(Pairs::new(&answer).last(), Some((MARK, &b"true"[..])));
        }
    }
}
