//! The outcome: what became of the first request, judged by what its stream saw.
//!
//! When in doubt, it is unknown.

use crate::config::{OnIncomplete, Policy};
use crate::time::Millis;

/// How a request's stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Whether the request was seen to its end.
    pub request_ended: bool,
    /// Whether all bytes that its `content-length` announced were seen: the upstream may have acted on them, end or no end.
    pub request_whole: bool,
    /// What was seen of the response; none if it never began.
    pub response: Option<Response>,
    /// Whether the response was seen to its end.
    pub response_ended: bool,
}

/// What a response's head says about its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Who made it.
    pub origin: Origin,
    /// Whether it has `Retry-After`.
    pub retry_after: bool,
    /// Whether the upstream said `Reprise-Effect: none`.
    pub effect_none: bool,
    /// Whether all of it can be kept: neither too large, nor an event stream, nor with trailers.
    pub keepable: bool,
}

/// How long an upstream wants its response to be kept (`Reprise-Retain`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// So long.
    For(Millis),
    /// Not at all: a repeat is told that there was one.
    NoStore,
}

impl Retain {
    /// Reads the header's value: seconds from 1 on, or `no-store`; none if it is neither, and does not count.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"no-store") {
            return Some(Self::NoStore);
        }
        let seconds: u64 = core::str::from_utf8(value).ok()?.parse().ok()?;
        (seconds > 0).then(|| Self::For(Millis::from_seconds(seconds)))
    }
}

/// Gives how long a record lives: as the upstream asks, at most `most`, else as its route says.
#[must_use]
pub fn retained(asked: Option<Retain>, policy: &Policy, most: Millis) -> Millis {
    match asked {
        Some(Retain::For(time)) => time.min(most),
        Some(Retain::NoStore) | None => policy.retain,
    }
}

/// Who made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The upstream.
    Upstream,
    /// Envoy, before anything of the request was sent.
    LocalNothingSent,
    /// Envoy, in any other case.
    Local,
}

/// What becomes of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The response is recorded.
    Store,
    /// The response is not kept, a tombstone is.
    Tombstone,
    /// Nothing ran: the key is free.
    Release,
    /// Nothing ran in the last attempt: the key is free if there was no other.
    ReleaseIfOnlyAttempt,
    /// Nobody knows whether it ran.
    Unknown,
}

/// Judges a stream that has ended.
#[must_use]
pub fn judge(ending: &Ending, policy: &Policy) -> Outcome {
    let sent = ending.request_ended || ending.request_whole;
    let Some(response) = ending.response else {
        return if sent { Outcome::Unknown } else { incomplete(policy) };
    };
    match response.origin {
        Origin::LocalNothingSent => Outcome::ReleaseIfOnlyAttempt,
        Origin::Local if sent => Outcome::Unknown,
        Origin::Local => incomplete(policy),
        Origin::Upstream if !ending.request_ended => Outcome::Unknown,
        Origin::Upstream => answered(&response, ending.response_ended, policy),
    }
}

/// Judges a release by the number of attempts, as Envoy counts them; none = Envoy does not say.
#[must_use]
pub const fn with_attempts(outcome: Outcome, attempts: Option<u64>) -> Outcome {
    match (outcome, attempts) {
        (Outcome::ReleaseIfOnlyAttempt, Some(0 | 1)) => Outcome::Release,
        (Outcome::ReleaseIfOnlyAttempt, _) => Outcome::Unknown,
        (other, _) => other,
    }
}

/// What the recorder knows of an exchange besides its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether the store has room for the record.
    pub fits: bool,
    /// Whether every piece of the request's body could be read: a record of another body could answer another request.
    pub body_is_whole: bool,
    /// Whether the response's head could be read.
    pub head_is_known: bool,
}

/// Judges an outcome by what of it could be recorded: without room a tombstone stays, without sight it is unknown.
#[must_use]
pub const fn with_record(outcome: Outcome, recorded: Recorded) -> Outcome {
    match (outcome, recorded) {
        (
            _,
            Recorded {
                head_is_known: false, ..
            },
        )
        | (
            Outcome::Store | Outcome::Tombstone,
            Recorded {
                body_is_whole: false, ..
            },
        ) => Outcome::Unknown,
        (Outcome::Store, Recorded { fits: false, .. }) => Outcome::Tombstone,
        (other, _) => other,
    }
}

const fn incomplete(policy: &Policy) -> Outcome {
    match policy.on_incomplete {
        OnIncomplete::Release => Outcome::ReleaseIfOnlyAttempt,
        OnIncomplete::Unknown => Outcome::Unknown,
    }
}

fn answered(response: &Response, ended: bool, policy: &Policy) -> Outcome {
    let release = &policy.release_on;
    let gone_for_a_while = response.status == 503 && response.retry_after;
    if response.effect_none || release.statuses.has(response.status) || (release.retry_after_503 && gone_for_a_while) {
        return Outcome::ReleaseIfOnlyAttempt;
    }
    match (response.status, ended) {
        (503, _) if !gone_for_a_while => Outcome::Unknown,
        (status, _) if !policy.store_on.has(status) => Outcome::ReleaseIfOnlyAttempt,
        (_, false) => Outcome::Unknown,
        (_, true) if response.keepable => Outcome::Store,
        (_, true) => Outcome::Tombstone,
    }
}

/// Reads `response.code_details` of a response that carries no proof of an upstream.
///
/// The list is pinned to Envoy 1.38–1.40: what is not on it counts as [`Origin::Local`], whose outcome is unknown.
///
/// Source: Envoy's `StreamInfo::ResponseCodeDetails` and `Http::Utility::resetReasonToString`, 1.40.0; each seen in a test.
#[must_use]
pub fn origin(details: &[u8]) -> Origin {
    const NOTHING_SENT: [&[u8]; 6] = [
        b"no_healthy_upstream",
        b"route_not_found",
        b"cluster_not_found",
        b"maintenance_mode",
        b"request_rate_limited",
        b"local_rate_limited",
    ];
    const RESET: &[u8] = b"upstream_reset_before_response_started{";
    const NOT_CONNECTED: [&[u8]; 4] = [
        b"remote_connection_failure",
        b"local_connection_failure",
        b"connection_timeout",
        b"overflow",
    ];
    if details == b"via_upstream" {
        return Origin::Upstream;
    }
    let reason = details.strip_prefix(RESET).map(|rest| {
        rest.split(|byte| matches!(byte, b'|' | b'}' | b','))
            .next()
            .unwrap_or_default()
    });
    if NOTHING_SENT.contains(&details) || reason.is_some_and(|reason| NOT_CONNECTED.contains(&reason)) {
        return Origin::LocalNothingSent;
    }
    Origin::Local
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Anonymous, Encoder, Execution, Fingerprint, HeaderSyntax, InFlight, Methods, Mode, OnUnknown, ReleaseOn, Scope,
        StatusSet,
    };
    use alloc::string::String;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn policy() -> Policy {
        let statuses = [401, 403, 407, 408, 421, 425, 429]
            .into_iter()
            .fold(StatusSet::NONE, StatusSet::with);
        Policy {
            mode: Mode::Optional,
            methods: Methods::Unsafe,
            header: String::from("idempotency-key"),
            header_aliases: Vec::new(),
            header_syntax: HeaderSyntax::Any,
            namespace: None,
            scope: Scope::Principal,
            anonymous: Anonymous::Share,
            encoder: Encoder::Standard,
            fingerprint: Fingerprint::Raw,
            fields: Vec::new(),
            json_bytes_max: 0,
            in_flight: InFlight::Conflict,
            max_wait: Millis(10_000),
            retain: Millis(900_000),
            unknown_retain: Millis(900_000),
            store_on: StatusSet::ALL,
            release_on: ReleaseOn {
                statuses,
                retry_after_503: true,
            },
            on_unknown: OnUnknown::Hold,
            on_incomplete: OnIncomplete::Release,
            answer_status: None,
            in_flight_status: 409,
            execution: Execution::Inline,
            detached_cluster: None,
            capture: crate::config::CapturePolicy::off(),
        }
    }

    #[test]
    fn an_upstream_says_how_long_its_response_is_kept() {
        let second = Retain::For(Millis(1000));
        let cases = [
            ("1", Some(second)),
            (" No-Store ", Some(Retain::NoStore)),
            ("0", None),
            ("soon", None),
            ("", None),
        ];
        for (value, want) in cases {
            assert_eq!(Retain::read(value.as_bytes()), want, "{value}");
        }
        let most = Millis(5000);
        assert_eq!(retained(Some(second), &policy(), most), Millis(1000));
        assert_eq!(retained(Some(Retain::For(Millis(9000))), &policy(), most), most);
        assert_eq!(
            retained(None, &policy(), most),
            policy().retain,
            "the route's is not the upstream's"
        );
    }

    fn response(status: u16) -> Response {
        Response {
            status,
            origin: Origin::Upstream,
            retry_after: false,
            effect_none: false,
            keepable: true,
        }
    }

    fn ended(response: Response) -> Ending {
        Ending {
            request_ended: true,
            request_whole: true,
            response: Some(response),
            response_ended: true,
        }
    }

    #[track_caller]
    fn check(ending: Ending, want: Outcome) {
        assert_eq!(judge(&ending, &policy()), want);
    }

    #[test]
    fn every_upstream_answer_but_the_named_ones_is_stored() {
        for status in [200, 201, 204, 301, 304, 400, 404, 409, 422, 500, 502, 504] {
            check(ended(response(status)), Outcome::Store);
        }
    }

    #[test]
    fn a_status_that_says_nothing_ran_releases() {
        for status in [401, 403, 407, 408, 421, 425, 429] {
            check(ended(response(status)), Outcome::ReleaseIfOnlyAttempt);
        }
    }

    #[test]
    fn a_bare_503_is_unknown_and_one_with_retry_after_releases() {
        check(ended(response(503)), Outcome::Unknown);
        check(
            ended(Response {
                retry_after: true,
                ..response(503)
            }),
            Outcome::ReleaseIfOnlyAttempt,
        );
    }

    #[test]
    fn no_effect_releases_whatever_the_status() {
        for status in [200, 500, 503] {
            check(
                ended(Response {
                    effect_none: true,
                    ..response(status)
                }),
                Outcome::ReleaseIfOnlyAttempt,
            );
        }
    }

    #[test]
    fn a_response_that_is_not_kept_leaves_a_tombstone() {
        check(
            ended(Response {
                keepable: false,
                ..response(201)
            }),
            Outcome::Tombstone,
        );
    }

    #[test]
    fn a_response_cut_short_is_unknown() {
        check(
            Ending {
                response_ended: false,
                ..ended(response(200))
            },
            Outcome::Unknown,
        );
    }

    #[test]
    fn a_response_to_a_request_that_never_ended_is_unknown() {
        for status in [200, 401, 413] {
            check(
                Ending {
                    request_ended: false,
                    request_whole: false,
                    ..ended(response(status))
                },
                Outcome::Unknown,
            );
        }
    }

    #[test]
    fn half_a_request_without_a_response_is_what_the_route_says() {
        let half = Ending {
            request_ended: false,
            request_whole: false,
            response: None,
            response_ended: false,
        };
        check(half, Outcome::ReleaseIfOnlyAttempt);
        let unknown = Policy {
            on_incomplete: OnIncomplete::Unknown,
            ..policy()
        };
        assert_eq!(judge(&half, &unknown), Outcome::Unknown);
        let local = Response {
            origin: Origin::Local,
            ..response(408)
        };
        check(
            Ending {
                response: Some(local),
                ..half
            },
            Outcome::ReleaseIfOnlyAttempt,
        );
    }

    #[test]
    fn all_announced_bytes_without_an_end_are_a_whole_request() {
        let whole = Ending {
            request_ended: false,
            request_whole: true,
            response: None,
            response_ended: false,
        };
        check(whole, Outcome::Unknown);
        let local = Response {
            origin: Origin::Local,
            ..response(504)
        };
        check(
            Ending {
                response: Some(local),
                ..whole
            },
            Outcome::Unknown,
        );
    }

    #[test]
    fn a_whole_request_without_a_response_is_unknown() {
        check(
            Ending {
                request_ended: true,
                request_whole: true,
                response: None,
                response_ended: false,
            },
            Outcome::Unknown,
        );
    }

    #[test]
    fn a_local_reply_is_unknown_unless_nothing_was_sent() {
        check(
            ended(Response {
                origin: Origin::Local,
                ..response(503)
            }),
            Outcome::Unknown,
        );
        check(
            ended(Response {
                origin: Origin::Local,
                ..response(200)
            }),
            Outcome::Unknown,
        );
        check(
            ended(Response {
                origin: Origin::LocalNothingSent,
                ..response(503)
            }),
            Outcome::ReleaseIfOnlyAttempt,
        );
    }

    #[test]
    fn a_status_outside_store_on_is_released() {
        let only = Policy {
            store_on: StatusSet::NONE.with(207),
            ..policy()
        };
        assert_eq!(judge(&ended(response(201)), &only), Outcome::ReleaseIfOnlyAttempt);
        assert_eq!(judge(&ended(response(207)), &only), Outcome::Store);
    }

    #[test]
    fn more_than_one_attempt_or_no_count_makes_a_release_unknown() {
        assert_eq!(with_attempts(Outcome::ReleaseIfOnlyAttempt, Some(0)), Outcome::Release);
        assert_eq!(with_attempts(Outcome::ReleaseIfOnlyAttempt, Some(1)), Outcome::Release);
        assert_eq!(with_attempts(Outcome::ReleaseIfOnlyAttempt, Some(2)), Outcome::Unknown);
        assert_eq!(with_attempts(Outcome::ReleaseIfOnlyAttempt, None), Outcome::Unknown);
        assert_eq!(with_attempts(Outcome::Store, Some(3)), Outcome::Store);
    }

    #[test]
    fn what_could_not_be_recorded_is_a_tombstone_or_unknown() {
        let whole = Recorded {
            fits: true,
            body_is_whole: true,
            head_is_known: true,
        };
        let no_room = Recorded { fits: false, ..whole };
        let half = Recorded {
            body_is_whole: false,
            ..whole
        };
        let blind = Recorded {
            head_is_known: false,
            ..whole
        };
        for outcome in [Outcome::Store, Outcome::Tombstone, Outcome::Release, Outcome::Unknown] {
            assert_eq!(with_record(outcome, whole), outcome);
            assert_eq!(with_record(outcome, blind), Outcome::Unknown);
        }
        assert_eq!(with_record(Outcome::Store, no_room), Outcome::Tombstone);
        assert_eq!(with_record(Outcome::Release, no_room), Outcome::Release);
        assert_eq!(with_record(Outcome::Store, half), Outcome::Unknown);
        assert_eq!(with_record(Outcome::Tombstone, half), Outcome::Unknown);
        assert_eq!(with_record(Outcome::Release, half), Outcome::Release);
    }

    #[test]
    fn details_tell_what_was_sent() {
        for nothing in [
            "no_healthy_upstream",
            "route_not_found",
            "cluster_not_found",
            "upstream_reset_before_response_started{overflow}",
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
            "upstream_reset_before_response_started{connection_timeout}",
        ] {
            assert_eq!(origin(nothing.as_bytes()), Origin::LocalNothingSent, "{nothing}");
        }
        for doubt in [
            "",
            "direct_response",
            "response_timeout",
            "upstream_reset_before_response_started{connection_termination}",
            "upstream_reset_before_response_started{remote_reset}",
            "upstream_reset_before_response_started{remote_connection_failure_of_another_kind}",
        ] {
            assert_eq!(origin(doubt.as_bytes()), Origin::Local, "{doubt}");
        }
        assert_eq!(origin(b"via_upstream"), Origin::Upstream);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn nothing_is_stored_that_was_not_seen_to_its_ends(
            status in 100_u16..600, request_ended: bool, response_ended: bool, local: bool, effect_none: bool,
        ) {
            let origin = if local { Origin::Local } else { Origin::Upstream };
            let response = Some(Response { origin, effect_none, ..response(status) });
            let outcome = judge(&Ending { request_ended, request_whole: request_ended, response, response_ended }, &policy());
            if matches!(outcome, Outcome::Store | Outcome::Tombstone) {
                assert!(request_ended && response_ended && !local);
            }
        }
    }
}
