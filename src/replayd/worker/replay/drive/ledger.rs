//! What the ledger of a target's boot says after a step.

use crate::connector::Answered;
use crate::store::Entry;
use crate::store::captures::CaptureId;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use reprise_core::replay::step::Step;
use serde_json::Value;

/// Problems of the filter's by which nothing ran, neither now nor before under the same key.
const NOTHING_RAN: [&str; 3] = ["capacity", "capture-unavailable", "restoring"];
/// Problems of the filter's by which the same request may have run before.
const MAY_HAVE_RUN: [&str; 6] = [
    "in-flight",
    "outcome-unknown",
    "response-not-retained",
    "signature-used",
    "store-unavailable",
    "misconfigured",
];

/// Where gRPC says how a call went: 0 = well.
const GRPC_STATUS: &str = "grpc-status";

/// Whether the target has what a capture was about, as its answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ran {
    /// It does.
    Sure,
    /// Nobody can tell: an answer that it failed may come after the effect.
    #[default]
    Maybe,
    /// It does not.
    Not,
}

impl Ran {
    /// Reads an answer, of which it is known whether it is as it was captured.
    pub(super) fn of(answered: &Answered, matched: bool) -> Self {
        let status = answered.status;
        let problem = problem(answered);
        let is_one_of = |known: &[&str]| problem.as_deref().is_some_and(|slug| known.contains(&slug));
        if matched || (status.is_success() && !is_grpc_error(answered)) {
            Self::Sure
        } else if is_one_of(&NOTHING_RAN) {
            Self::Not
        } else if is_one_of(&MAY_HAVE_RUN) || status == StatusCode::REQUEST_TIMEOUT || !status.is_client_error() {
            Self::Maybe
        } else {
            Self::Not
        }
    }
}

/// Tells whether a call of gRPC failed, or was not seen to its end: its status is 200 all the same.
fn is_grpc_error(answered: &Answered) -> bool {
    let media = answered.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let said = answered
        .headers
        .get(GRPC_STATUS)
        .or_else(|| answered.trailers.get(GRPC_STATUS));
    media.is_some_and(|media| media.starts_with(b"application/grpc")) && said.is_none_or(|said| said != "0")
}

/// Finds the last part of a problem's `type`.
fn problem(answered: &Answered) -> Option<String> {
    let media = answered.headers.get(CONTENT_TYPE)?;
    if !media.as_bytes().starts_with(b"application/problem+json") {
        return None;
    }
    let problem: Value = serde_json::from_slice(&answered.body).ok()?;
    let slug = problem.get("type")?.as_str()?.rsplit(['/', ':', '#']).next()?;
    Some(slug.to_owned())
}

/// Tells what the ledger says after a step: what was sent may be there until it is known that it is not.
pub(super) const fn entry(before: Step, after: Step, capture: CaptureId, ran: Ran) -> Entry {
    match (before, after) {
        (_, Step::Sent(_) | Step::Resent(_)) => Entry::Maybe(capture),
        (_, Step::Answered(_)) => match (ran, before) {
            (Ran::Sure, _) => Entry::Sure(capture),
            (Ran::Not, Step::Sent(_)) => Entry::Not(capture),
            // An attempt before this one may have run.
            (Ran::Maybe | Ran::Not, _) => Entry::Maybe(capture),
        },
        (Step::Sent(_), Step::Planned(_)) => Entry::Not(capture),
        // Whoever leaves it out says that it is there.
        (Step::InDoubt(_), Step::Skipped(_)) => Entry::Sure(capture),
        (_, Step::Planned(_) | Step::InDoubt(_) | Step::Skipped(_) | Step::Missing(_)) => Entry::AsBefore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn answered(status: u16, body: &str) -> Answered {
        let media = HeaderValue::from_static("application/problem+json");
        Answered {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, media)]),
            body: body.to_owned().into(),
            body_len: 0,
            trailers: HeaderMap::new(),
            ended: true,
        }
    }

    #[track_caller]
    fn check(status: u16, want: Ran) {
        assert_eq!(Ran::of(&answered(status, "{}"), false), want, "{status}");
    }

    #[test]
    fn an_answer_that_it_failed_may_come_after_the_effect() {
        for status in [302, 408, 500, 502, 503, 504] {
            check(status, Ran::Maybe);
        }
        for status in [400, 401, 404, 409, 422, 429] {
            check(status, Ran::Not);
        }
        check(204, Ran::Sure);
        assert_eq!(Ran::of(&answered(500, ""), true), Ran::Sure);
    }

    #[test]
    fn a_call_of_grpc_went_well_only_if_it_says_so() {
        let call = |in_headers: Option<&'static str>, in_trailers: Option<&'static str>| {
            let pair = |value: &'static str| ("grpc-status".parse().unwrap(), HeaderValue::from_static(value));
            let media = (CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
            let answered = Answered {
                headers: HeaderMap::from_iter(in_headers.map(pair).into_iter().chain([media])),
                trailers: HeaderMap::from_iter(in_trailers.map(pair)),
                ..answered(200, "")
            };
            Ran::of(&answered, false)
        };
        assert_eq!(call(None, Some("0")), Ran::Sure);
        for refused in [call(Some("14"), None), call(None, Some("2")), call(None, None)] {
            assert_eq!(refused, Ran::Maybe);
        }
    }

    #[test]
    fn the_filters_refusals_say_whether_something_ran() {
        let refused = |status, slug| Ran::of(&answered(status, &format!(r#"{{"type": "urn:x:{slug}"}}"#)), false);
        for slug in NOTHING_RAN {
            assert_eq!(refused(503, slug), Ran::Not, "{slug}");
        }
        for slug in MAY_HAVE_RUN {
            assert_eq!(refused(409, slug), Ran::Maybe, "{slug}");
        }
        // Whatever status the document gives it.
        assert_eq!(refused(429, "store-unavailable"), Ran::Maybe);
    }

    #[test]
    fn a_refusal_after_another_attempt_says_nothing_about_that() {
        let (answered, id) = (Step::Answered(2), CaptureId(7));
        assert_eq!(entry(Step::Resent(2), answered, id, Ran::Not), Entry::Maybe(id));
        // Of the first nothing left.
        assert_eq!(entry(Step::Sent(2), answered, id, Ran::Not), Entry::Not(id));
    }

    #[test]
    fn what_did_not_leave_is_not_there_unless_it_left_before() {
        let id = CaptureId(7);
        let of = |before, after| entry(before, after, id, Ran::default());
        assert_eq!(of(Step::Sent(1), Step::Planned(1)), Entry::Not(id));
        assert_eq!(of(Step::InDoubt(1), Step::Resent(2)), Entry::Maybe(id));
        assert_eq!(of(Step::Resent(2), Step::InDoubt(2)), Entry::AsBefore);
    }
}
