//! The idempotency key of a step: the same however often the step is sent, and no other step's.

use crate::capture::redact::has_token;
use crate::http::{Pairs, len_u32};
use alloc::string::String;
use core::fmt::Write as _;

/// The header's name, in lower case.
pub const HEADER: &str = "idempotency-key";

/// Makes the key of the step that sends `capture` in a replay of `scope`.
///
/// `capture` has to name the capture among those of all installations that send to the target: two steps with one key
/// are one request to it. Capture ids alone are counted from 1 everywhere.
///
/// Shape: a UUID of version 8: the first 16 bytes of BLAKE3 in its key derivation mode, context
/// `reprise 2026-11 idempotency key of a step`, over `lp(scope) | lp(capture)`, with `lp(x) = u32le length | x`.
///
/// Source: RFC 9562 §5.8.
#[must_use]
pub fn derive(scope: &str, capture: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("reprise 2026-11 idempotency key of a step");
    for part in [scope.as_bytes(), capture] {
        hasher.update(&len_u32(part.len()).to_le_bytes());
        hasher.update(part);
    }
    let mut text = String::with_capacity(36);
    for (at, byte) in hasher.finalize().as_bytes().iter().take(16).enumerate() {
        let byte = match at {
            6 => byte & 0x0f | 0x80,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// Finds the key that the capture's request has of itself; one that was redacted is none.
#[must_use]
pub fn own(pairs: Pairs<'_>) -> Option<&[u8]> {
    let value = pairs.first(HEADER.as_bytes())?;
    (!has_token(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::write_pairs;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The keys of today: a replay that is resumed by a newer version has to go on with the same.
    #[test]
    fn a_key_is_what_it_always_was() {
        assert_eq!(derive("7", b"capture"), "c7813f35-12eb-8f64-959d-88e181a9337b");
    }

    #[test]
    fn scope_and_capture_both_count_and_do_not_flow_into_each_other() {
        let keys = [
            derive("a", b"b"),
            derive("ab", b""),
            derive("", b"ab"),
            derive("b", b"a"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key));
        }
    }

    #[track_caller]
    fn check_own(pairs: &[(&[u8], &[u8])], want: Option<&[u8]>) {
        let mut bytes = vec![];
        write_pairs(pairs.iter().copied(), &mut bytes);
        assert_eq!(own(Pairs::new(&bytes)), want);
    }

    #[test]
    fn a_request_keeps_its_own_key_unless_it_was_redacted() {
        check_own(&[(b"a", b"1"), (b"idempotency-key", b"\"k\"")], Some(b"\"k\""));
        check_own(&[(b"a", b"1")], None);
        check_own(&[(b"idempotency-key", b"rdt_abcdefghijklmnopqrstuvwxyz")], None);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn every_key_is_a_uuid_that_a_filter_takes(scope in ".{0,20}", capture in proptest::collection::vec(0_u8.., 0..40)) {
            use crate::config::HeaderSyntax;
            let key = derive(&scope, &capture);
            assert_eq!(key.len(), 36);
            assert_eq!((&key[14..15], key[8..9].contains('-')), ("8", true));
            assert!(crate::key::IdempotencyKey::parse(key.as_bytes(), HeaderSyntax::Any).is_ok());
        }
    }
}
