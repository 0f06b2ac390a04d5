//! Whether a batch that was not acknowledged may have arrived all the same.

/// Why the proxy itself answers 503 of a call of which nothing left, or nothing was taken.
///
/// Source: Envoy's `Http::Utility::resetReasonToString`, 1.40.0.
const UNSENT: [&[u8]; 4] = [
    b"connection failure",
    b"connection timeout",
    b"overflow",
    b"refused stream reset",
];
/// What the proxy says in front of the reason.
const RESET: &[u8] = b"reset reason:";

/// Tells whether replayd may have a batch to which this was the answer.
///
/// It says itself that nothing was stored, or the proxy that nothing was sent; all else leaves it open.
#[must_use]
pub fn may_have_arrived(status: u16, body: &[u8]) -> bool {
    let has = |part: &[u8]| body.windows(part.len()).any(|each| each == part);
    match status {
        503 => has(RESET) && !UNSENT.into_iter().any(has),
        300..=499 => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_replayd_refuses_is_not_there() {
        for status in [400, 401, 413, 415, 503] {
            assert!(!may_have_arrived(status, b"{\"type\": \"overloaded\"}"), "{status}");
        }
    }

    #[test]
    fn what_ends_without_its_answer_may_be_there() {
        for status in [200, 500, 502, 504] {
            assert!(may_have_arrived(status, b""), "{status}");
        }
    }

    #[test]
    fn a_503_of_the_proxy_says_whether_anything_left() {
        let told = |reason: &str| {
            let body = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
            may_have_arrived(503, body.as_bytes())
        };
        assert!(told("connection termination") && told("remote reset") && told("protocol error"));
        assert!(!told(
            "remote connection failure, transport failure reason: delayed connect error: Connection refused"
        ));
        assert!(!told("connection timeout") && !told("overflow") && !told("remote refused stream reset"));
        assert!(!may_have_arrived(503, b"no healthy upstream"));
    }
}
