//! Which exchanges are captured: what a request's head says at once, and what only its end can say.
//!
//! What of them may be seen is in [`super::redact`].

use super::sample;
use crate::config::{CapturePolicy, Exclude, Only, StatusSet, path_fits, plain_path};
use crate::gate::Request;
use crate::time::Millis;
use alloc::string::String;

/// What capture makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Selected {
    /// Nobody asked for it: it is not even counted.
    Off,
    /// It was seen, and a rule leaves it out.
    Filtered,
    /// It was seen, and the sample leaves it out.
    SampledOut,
    /// It is captured, unless its end says otherwise; see [`at_end`].
    Keep,
}

/// What an exchange was when it had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The response's status; none if there was no response.
    pub status: Option<u16>,
    /// Bytes of both bodies.
    pub bytes: u64,
    /// The time from the request's head to the end.
    pub latency: Millis,
}

/// What a sample goes by, besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Chance<'a> {
    /// Places values in a sample: the same for all that have to agree, and unknown to clients.
    pub key: &'a [u8; 32],
    /// A random number.
    pub draw: u64,
    /// Names the caller; empty if no source does.
    pub principal: &'a [u8],
}

/// Decides by the request's head, allocating nothing for a path in its plainest spelling.
///
/// `route` is the name of the proxy's route and needed only where [`needs_route`] says so.
#[must_use]
pub fn at_request(
    policy: &CapturePolicy,
    request: &Request<'_>,
    route: Option<&[u8]>,
    chance: &Chance<'_>,
) -> Selected {
    if !policy.enabled || !policy.methods.iter().any(|name| name.as_bytes() == request.method) {
        return Selected::Off;
    }
    if is_excluded(&policy.exclude, request.path(), route) || !is_wanted(&policy.only, request) {
        return Selected::Filtered;
    }
    if sample::keeps(&policy.sample, request, chance) {
        Selected::Keep
    } else {
        Selected::SampledOut
    }
}

/// Tells whether [`at_request`] needs the name of the route.
#[must_use]
pub fn needs_route(policy: &CapturePolicy) -> bool {
    policy.enabled && policy.exclude.iter().any(|each| matches!(each, Exclude::Route(_)))
}

/// Decides by the end of an exchange whether it is still captured.
///
/// One without a response has no status, and is captured only where all statuses are.
#[must_use]
pub fn at_end(policy: &CapturePolicy, ended: &Ended) -> bool {
    let status_fits = ended.status.map_or_else(
        || policy.statuses == StatusSet::ALL,
        |status| policy.statuses.has(status),
    );
    let only = &policy.only;
    status_fits
        && only.bytes_max.is_none_or(|most| ended.bytes <= most)
        && only.latency_min.is_none_or(|least| ended.latency >= least)
}

fn is_excluded(exclude: &[Exclude], path: &[u8], route: Option<&[u8]>) -> bool {
    if exclude.is_empty() {
        return false;
    }
    let path = plain_path(path);
    exclude.iter().any(|each| match each {
        Exclude::Path(template) => path_fits(template, &path),
        Exclude::Route(name) => route == Some(name.as_bytes()),
    })
}

fn is_wanted(only: &Only, request: &Request<'_>) -> bool {
    let has = |wanted: &(String, String)| {
        let mut values = request.pairs.filter(|(name, _)| *name == wanted.0.as_bytes());
        values.any(|(_, value)| wanted.1 == "*" || value == wanted.1.as_bytes())
    };
    only.headers.iter().all(has) && has_media(&only.content_types, request)
}

fn has_media(wanted: &[String], request: &Request<'_>) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let Some(written) = request.pairs.first(b"content-type") else {
        return false;
    };
    let media = written
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    wanted.iter().any(|wanted| match wanted.strip_suffix('*') {
        Some(family) => media
            .get(..family.len())
            .is_some_and(|front| front.eq_ignore_ascii_case(family.as_bytes())),
        None => media.eq_ignore_ascii_case(wanted.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::http::write_pairs;
    use alloc::format;
    use alloc::vec;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn policy(capture: &str) -> CapturePolicy {
        let text = format!(r#"{{"version": 1, "capture": {{"enabled": true, {capture} "labels": []}}}}"#);
        let document = Document::read(text.as_bytes()).unwrap().unwrap();
        document.routes.defaults().capture.clone()
    }

    const fn chance(draw: u64) -> Chance<'static> {
        Chance {
            key: &[7; 32],
            draw,
            principal: b"",
        }
    }

    fn decided(policy: &CapturePolicy, headers: &[(&str, &str)], route: Option<&str>) -> Selected {
        let mut map = vec![];
        let all = [(":method", "POST"), (":path", "/v1/orders?x=1")];
        let pairs = all
            .iter()
            .filter(|(name, _)| !headers.iter().any(|(each, _)| each == name))
            .chain(headers);
        let pairs: Vec<_> = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        write_pairs(pairs.into_iter(), &mut map);
        at_request(policy, &Request::read(&map), route.map(str::as_bytes), &chance(0))
    }

    #[track_caller]
    fn check(capture: &str, headers: &[(&str, &str)], want: Selected) {
        assert_eq!(decided(&policy(capture), headers, None), want, "{capture} {headers:?}");
    }

    #[test]
    fn only_enabled_methods_are_seen() {
        check("", &[], Selected::Keep);
        check("", &[(":method", "GET")], Selected::Off);
        check(r#""methods": ["GET"],"#, &[(":method", "GET")], Selected::Keep);
        check(r#""methods": ["GET"],"#, &[], Selected::Off);
        assert_eq!(decided(&CapturePolicy::off(), &[], None), Selected::Off);
    }

    /// Case R09.
    #[test]
    fn a_client_cannot_switch_its_capture_off() {
        for target in ["/v1/orders?save=0", "/v1/orders?capture=off&save=false"] {
            check(
                "",
                &[(":path", target), ("x-save", "0"), ("cache-control", "no-store")],
                Selected::Keep,
            );
        }
    }

    #[test]
    fn excluded_paths_are_filtered_in_every_spelling() {
        let exclude = r#""exclude": ["/health", "/v1/{id}/logs"],"#;
        for path in ["/health", "/health?x", "//health/", "/%68ealth", "/v1/7/logs"] {
            check(exclude, &[(":path", path)], Selected::Filtered);
        }
        for path in ["/health/x", "/v1/logs", "/"] {
            check(exclude, &[(":path", path)], Selected::Keep);
        }
    }

    #[test]
    fn excluded_routes_are_filtered_by_their_name() {
        let policy = policy(r#""exclude": [{"route": "ops"}],"#);
        assert!(needs_route(&policy));
        assert_eq!(decided(&policy, &[], Some("ops")), Selected::Filtered);
        assert_eq!(decided(&policy, &[], Some("shop")), Selected::Keep);
        assert_eq!(decided(&policy, &[], None), Selected::Keep);
        let off = CapturePolicy {
            enabled: false,
            ..policy
        };
        assert!(!needs_route(&off) && !needs_route(&CapturePolicy::off()));
    }

    #[test]
    fn only_the_wanted_headers_are_kept() {
        let only = r#""only": {"headers": {"X-Tenant": "a", "x-any": "*"}},"#;
        check(only, &[("x-tenant", "a"), ("x-any", "")], Selected::Keep);
        check(
            only,
            &[("x-tenant", "b"), ("x-tenant", "a"), ("x-any", "z")],
            Selected::Keep,
        );
        check(only, &[("x-tenant", "b"), ("x-any", "z")], Selected::Filtered);
        check(only, &[("x-tenant", "a")], Selected::Filtered);
    }

    #[test]
    fn only_the_wanted_media_types_are_kept() {
        let only = r#""only": {"content_types": ["application/json", "text/*"]},"#;
        for media in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/plain",
            "TEXT/css",
        ] {
            check(only, &[("content-type", media)], Selected::Keep);
        }
        for media in ["application/jsonp", "application/xml", "tex", ""] {
            check(only, &[("content-type", media)], Selected::Filtered);
        }
        check(only, &[], Selected::Filtered);
    }

    #[test]
    fn what_a_rule_leaves_out_is_not_sampled() {
        let both = r#""exclude": ["/health"], "sample": {"rate": 0},"#;
        check(both, &[(":path", "/health")], Selected::Filtered);
        check(both, &[], Selected::SampledOut);
    }

    #[track_caller]
    fn ends(capture: &str, status: Option<u16>, bytes: u64, latency: u64, want: bool) {
        let latency = Millis(latency);
        assert_eq!(
            at_end(&policy(capture), &Ended { status, bytes, latency }),
            want,
            "{capture} {status:?}"
        );
    }

    /// Case R08.
    #[test]
    fn every_status_is_captured_by_default() {
        for status in [Some(200), Some(404), Some(500), Some(101), None] {
            ends("", status, 1 << 40, 0, true);
        }
    }

    #[test]
    fn statuses_sizes_and_latencies_are_judged_at_the_end() {
        let statuses = r#""statuses": ["2xx", 500],"#;
        ends(statuses, Some(204), 0, 0, true);
        ends(statuses, Some(500), 0, 0, true);
        ends(statuses, Some(404), 0, 0, false);
        ends(statuses, None, 0, 0, false);
        let only = r#""only": {"bytes_max": 10, "latency_min_ms": 5},"#;
        ends(only, Some(200), 10, 5, true);
        ends(only, Some(200), 11, 5, false);
        ends(only, Some(200), 10, 4, false);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_map_is_decided_without_a_panic(map: Vec<u8>, draw: u64) {
            let policy = policy(r#""exclude": ["/a/{b}"], "sample": {"rate": 0.5, "by": {"cookie": "c"}},"#);
            let _selected = at_request(&policy, &Request::read(&map), None, &chance(draw));
        }
    }
}
