//! Detached execution: which headers of a request the filter sends on, and which of what comes back its client gets.
//!
//! The request goes through an internal listener of the proxy, which says in headers of its own who made the response:
//! of a call nothing else is known.

use crate::gate::is_forbidden;
use crate::http::{Connection, Pairs, is_hop_by_hop, without, write_pairs};
use crate::signature;
use alloc::vec::Vec;

/// Where the internal listener says who made the response: Envoy's `RESPONSE_CODE_DETAILS`.
pub const DETAILS: &[u8] = b"reprise-details";
/// Where it says how often the request was sent: Envoy's `UPSTREAM_REQUEST_ATTEMPT_COUNT`.
pub const ATTEMPTS: &[u8] = b"reprise-attempts";
/// The details of a response that an upstream made.
const VIA_UPSTREAM: &[u8] = b"via_upstream";
/// Envoy's own proof of an upstream.
const SERVICE_TIME: &[u8] = b"x-envoy-upstream-service-time";

/// Writes the head of the request that is sent in the place of its client's; none if a header is no text, which a call
/// cannot send.
///
/// What belongs to the client's connection stays behind, and so does what the proxy writes anew on the way.
///
/// Shape: out, the host's serialised form.
#[must_use]
pub fn request(all: Pairs<'_>) -> Option<Vec<u8>> {
    let named = Connection::of(all);
    let kept = all.filter(|(name, _)| goes_on(name) && !named.names(name));
    let kept: Vec<_> = kept.collect();
    let is_text = |bytes: &[u8]| core::str::from_utf8(bytes).is_ok();
    if !kept.iter().all(|(name, value)| is_text(name) && is_text(value)) {
        return None;
    }
    let mut out = Vec::new();
    write_pairs(kept.into_iter(), &mut out);
    Some(out)
}

fn goes_on(name: &[u8]) -> bool {
    let is_made_anew =
        matches!(name, b"content-length" | b"expect" | b":scheme" | b"") || name.starts_with(b"x-envoy-");
    let is_ours = is_forbidden(name) || name == signature::HEADER.as_bytes();
    !is_made_anew && !is_hop_by_hop(name) && !is_ours
}

/// Reads who made the response, in Envoy's words; empty if the internal listener does not say.
#[must_use]
pub fn details(response: &[u8]) -> &[u8] {
    Pairs::new(response).first(DETAILS).unwrap_or_default()
}

/// Reads how often the request was sent; none if the internal listener does not say. What it cannot count was not sent.
#[must_use]
pub fn attempts(response: &[u8]) -> Option<u64> {
    let told = core::str::from_utf8(Pairs::new(response).first(ATTEMPTS)?).ok()?;
    if told == "-" { Some(0) } else { told.trim().parse().ok() }
}

/// Gives the head of a response as the client's own exchange would have shown it.
///
/// The call's own proof of an upstream is about the internal listener: it counts only where that says that an upstream
/// made the response.
#[must_use]
pub fn response(map: Vec<u8>) -> Vec<u8> {
    if details(&map) == VIA_UPSTREAM {
        return map;
    }
    without(&map, |name| name == SERVICE_TIME).unwrap_or(map)
}

/// Writes the headers that the client gets: all of the response but what the proxy or the connection makes anew.
///
/// Shape: in and out, the host's serialised form.
#[must_use]
pub fn answer(response: &[u8]) -> Vec<u8> {
    let all = Pairs::new(response);
    let named = Connection::of(all);
    let goes = |name: &[u8]| {
        let is_ours = name.starts_with(b":") || name.starts_with(b"reprise-") || name == b"content-length";
        !is_ours && !is_hop_by_hop(name) && !named.names(name)
    };
    without(response, |name| !goes(name)).unwrap_or_else(|| response.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    type Header<'a> = (&'a str, &'a str);

    fn map(headers: &[Header<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(pairs, &mut out);
        out
    }

    fn names(map: &[u8]) -> String {
        let names: Vec<_> = Pairs::new(map).map(|(name, _)| String::from_utf8_lossy(name)).collect();
        names.join(" ")
    }

    #[test]
    fn a_request_goes_on_without_what_is_its_connections() {
        let head = map(&[
            (":method", "POST"),
            (":path", "/pay?a=1"),
            (":authority", "api.test"),
            (":scheme", "https"),
            ("connection", "keep-alive, x-mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("expect", "100-continue"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-external-address", "1.2.3.4"),
            ("reprise-key-exists", "false"),
            ("replayd-signature", "v1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "7"),
            ("traceparent", "00-1"),
            ("authorization", "Bearer x"),
            ("proxy-authorization", "Basic x"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        assert_eq!(
            names(&request(Pairs::new(&head)).unwrap()),
            ":method :path :authority x-forwarded-for x-forwarded-proto x-request-id traceparent authorization \
             proxy-authorization cookie cookie"
        );
    }

    #[test]
    fn a_header_that_is_no_text_cannot_be_sent() {
        let mut head = Vec::new();
        write_pairs([(&b"x"[..], &b"caf\xe9"[..])].into_iter(), &mut head);
        assert_eq!(request(Pairs::new(&head)), None);
        let mut left_behind = Vec::new();
        write_pairs([(&b"te"[..], &b"caf\xe9"[..])].into_iter(), &mut left_behind);
        assert!(request(Pairs::new(&left_behind)).is_some());
    }

    #[test]
    fn the_calls_own_proof_of_an_upstream_counts_only_with_the_listeners_word() {
        let upstreams = map(&[
            ("x-envoy-upstream-service-time", "3"),
            ("reprise-details", "via_upstream"),
        ]);
        assert_eq!(response(upstreams.clone()), upstreams);
        for details in [&[][..], &[("reprise-details", "no_healthy_upstream")]] {
            let local = map(&[&[("x-envoy-upstream-service-time", "3"), ("a", "b")], details].concat());
            assert_eq!(Pairs::new(&response(local)).first(SERVICE_TIME), None, "{details:?}");
        }
    }

    #[test]
    fn attempts_are_counted_only_where_the_listener_says_so() {
        for (told, want) in [("1", Some(1)), ("3", Some(3)), ("-", Some(0)), ("", None), ("x", None)] {
            assert_eq!(attempts(&map(&[("reprise-attempts", told)])), want, "{told}");
        }
        assert_eq!(attempts(&map(&[("x-envoy-attempt-count", "1")])), None);
    }

    #[test]
    fn a_client_gets_all_headers_in_order_and_number() {
        let head = map(&[
            (":status", "201"),
            ("set-cookie", "a=1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("set-cookie", "b=2"),
            ("transfer-encoding", "chunked"),
            ("content-length", "2"),
            ("date", "now"),
            ("server", "app"),
            ("link", "</a>"),
            ("link", "</b>"),
            ("reprise-details", "via_upstream"),
            ("reprise-effect", "none"),
            ("x-envoy-upstream-service-time", "3"),
        ]);
        assert_eq!(
            names(&answer(&head)),
            "set-cookie set-cookie date server link link x-envoy-upstream-service-time"
        );
    }
}
