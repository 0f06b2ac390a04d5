//! How an exchange ended, as a capture tells it.

use crate::outcome::{Origin, origin};
use crate::wire::State;

/// Why an exchange is aborted whose request never left.
pub const NOT_SENT: &str = "not_sent";

/// What was seen of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen, or not")]
pub struct Seen {
    /// Whether the request was seen to its end.
    pub request_ended: bool,
    /// Whether the response was seen to its end.
    pub response_ended: bool,
    /// Whether the response proves by its headers that an upstream made it.
    pub from_upstream: bool,
    /// Whether the connection speaks another protocol by now: its halves have no ends.
    pub upgraded: bool,
}

/// Tells whether [`state`] needs the host's own words.
#[must_use]
pub const fn needs_details(seen: &Seen) -> bool {
    !(seen.from_upstream && (seen.upgraded || (seen.request_ended && seen.response_ended)))
}

/// Judges how an exchange ended, and why if it broke off; `details` are `response.code_details`.
#[must_use]
pub fn state(seen: &Seen, details: &[u8]) -> (State, &'static str) {
    let from_upstream = seen.from_upstream || details == b"via_upstream";
    if from_upstream && (seen.upgraded || (seen.request_ended && seen.response_ended)) {
        return (State::Completed, "");
    }
    (State::Aborted, reason(details))
}

/// Names what broke an exchange off.
///
/// Source: Envoy's `StreamInfo::ResponseCodeDetails`, 1.40.0.
fn reason(details: &[u8]) -> &'static str {
    const CLIENT: [&[u8]; 4] = [b"downstream_", b"http1.", b"http2.", b"http3."];
    let begins = |front: &[u8]| details.starts_with(front);
    if CLIENT.into_iter().any(begins) {
        "client_gone"
    } else if origin(details) == Origin::LocalNothingSent {
        NOT_SENT
    } else if details.windows(TIMEOUT.len()).any(|part| part == TIMEOUT) {
        "timeout"
    } else if begins(b"upstream_reset") {
        "upstream_reset"
    } else if details.is_empty() || details == b"via_upstream" {
        "unfinished"
    } else {
        "local_reply"
    }
}

const TIMEOUT: &[u8] = b"timeout";

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const WHOLE: Seen = Seen {
        request_ended: true,
        response_ended: true,
        from_upstream: true,
        upgraded: false,
    };

    #[test]
    fn both_halves_from_an_upstream_are_completed() {
        assert!(!needs_details(&WHOLE));
        assert_eq!(state(&WHOLE, b""), (State::Completed, ""));
        let silent = Seen {
            from_upstream: false,
            ..WHOLE
        };
        assert!(needs_details(&silent));
        assert_eq!(state(&silent, b"via_upstream"), (State::Completed, ""));
    }

    #[test]
    fn an_upgrade_is_completed_without_ends() {
        let upgraded = Seen {
            request_ended: false,
            response_ended: false,
            upgraded: true,
            ..WHOLE
        };
        assert_eq!(state(&upgraded, b""), (State::Completed, ""));
    }

    #[test]
    fn what_broke_off_has_a_reason() {
        let half = Seen {
            response_ended: false,
            from_upstream: false,
            ..WHOLE
        };
        for (details, reason) in [
            ("downstream_remote_disconnect", "client_gone"),
            ("http2.remote_reset", "client_gone"),
            (
                "upstream_reset_after_response_started{protocol_error}",
                "upstream_reset",
            ),
            ("upstream_reset_before_response_started{remote_reset}", "upstream_reset"),
            ("upstream_reset_before_response_started{overflow}", "not_sent"),
            ("no_healthy_upstream", "not_sent"),
            ("response_timeout", "timeout"),
            ("stream_idle_timeout", "timeout"),
            ("direct_response", "local_reply"),
            ("via_upstream", "unfinished"),
            ("", "unfinished"),
        ] {
            assert_eq!(state(&half, details.as_bytes()), (State::Aborted, reason), "{details}");
        }
    }

    #[test]
    fn a_local_reply_is_not_completed() {
        let local = Seen {
            from_upstream: false,
            ..WHOLE
        };
        assert_eq!(state(&local, b"direct_response"), (State::Aborted, "local_reply"));
    }
}
