//! The idempotency key: what a client may write, and what it means.

use crate::config::HeaderSyntax;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use thiserror::Error;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// A key that a client sent, without quotes, escapes and parameters: 1–255 visible ASCII bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey<'a>(Cow<'a, [u8]>);

/// Why a header's value is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Nothing is there.
    #[error("the key is empty; 1 to {KEY_BYTES_MAX} visible ASCII characters are allowed")]
    Empty,
    /// Longer than allowed.
    #[error("the key has {len} bytes; at most {KEY_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes of the key.
        len: usize,
    },
    /// A byte outside 0x21–0x7E.
    #[error("the byte at {at} is not a visible ASCII character (0x21 to 0x7E)")]
    NotVisible {
        /// Offset in the header's value.
        at: usize,
    },
    /// A quote where none may be, or one that is not closed.
    #[error("the quote at {at} is not part of one quoted string")]
    Quote {
        /// Offset in the header's value.
        at: usize,
    },
    /// A backslash that escapes neither a quote nor a backslash.
    #[error("the backslash at {at} may only stand before a quote or another backslash")]
    Escape {
        /// Offset in the header's value.
        at: usize,
    },
    /// More than one key.
    #[error("one key is allowed, and there are several")]
    Several,
    /// The bare form where only the structured one is allowed.
    #[error("the key must be a structured-field string, that is in double quotes")]
    Bare,
    /// A semicolon in the bare form.
    #[error("the semicolon at {at} may be part of the key or begin a parameter; put the key in double quotes")]
    Parameter {
        /// Offset in the header's value.
        at: usize,
    },
    /// Something other than parameters after the string.
    #[error("only parameters (;name=value) may follow the quoted string, see the byte at {at}")]
    Trailing {
        /// Offset in the header's value.
        at: usize,
    },
}

impl<'a> IdempotencyKey<'a> {
    /// Reads the value of a key header; parameters after a quoted string are ignored.
    ///
    /// Bare keys may hold characters that structured-field tokens may not (`/`, `:`, `=`), as those of Stripe's clients
    /// do. A comma outside quotes means a second key, because proxies join header lines so. A semicolon in a bare key is
    /// refused: taken for a parameter, `pay;1` and `pay;2` would be one key, and the second payment would never be made.
    ///
    /// # Errors
    /// [`KeyError`] names the rule that is broken and where.
    ///
    /// Source: RFC 9651 §3.3.3 (strings), draft-ietf-httpapi-idempotency-key-header-07 §2.1.
    pub fn parse(value: &'a [u8], syntax: HeaderSyntax) -> Result<Self, KeyError> {
        let start = value.iter().take_while(|byte| **byte == b' ').count();
        let value_kept = value.trim_ascii();
        match (value_kept.split_first(), syntax) {
            (None, _) => Err(KeyError::Empty),
            (Some((b'"', inner)), _) => Self::quoted(inner, start.saturating_add(1)),
            (Some(_), HeaderSyntax::Structured) => Err(KeyError::Bare),
            (Some(_), HeaderSyntax::Any) => Self::bare(value_kept, start),
        }
    }

    /// Shows the key's bytes. They are a secret of the client: for hashing, never for logs.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bare(key: &'a [u8], start: usize) -> Result<Self, KeyError> {
        for (at, byte) in key.iter().enumerate() {
            let place = start.saturating_add(at);
            match byte {
                b'"' => return Err(KeyError::Quote { at: place }),
                b',' => return Err(KeyError::Several),
                b';' => return Err(KeyError::Parameter { at: place }),
                0x21..=0x7e => {}
                _ => return Err(KeyError::NotVisible { at: place }),
            }
        }
        Self::bounded(Cow::Borrowed(key))
    }

    fn quoted(inner: &'a [u8], start: usize) -> Result<Self, KeyError> {
        let mut key = Vec::new();
        let mut escaped = false;
        for (at, byte) in inner.iter().enumerate() {
            let place = start.saturating_add(at);
            match (escaped, byte) {
                (true, b'"' | b'\\') => key.push(*byte),
                (true, _) => {
                    return Err(KeyError::Escape {
                        at: place.saturating_sub(1),
                    });
                }
                (false, b'"') => {
                    let rest = inner.get(at.saturating_add(1)..).unwrap_or_default();
                    check_parameters(rest, place.saturating_add(1))?;
                    return Self::bounded(Cow::Owned(key));
                }
                (false, b'\\') => {}
                (false, 0x21..=0x7e) => key.push(*byte),
                (false, _) => return Err(KeyError::NotVisible { at: place }),
            }
            escaped = !escaped && *byte == b'\\';
        }
        Err(KeyError::Quote {
            at: start.saturating_sub(1),
        })
    }

    fn bounded(key: Cow<'a, [u8]>) -> Result<Self, KeyError> {
        match key.len() {
            0 => Err(KeyError::Empty),
            1..=KEY_BYTES_MAX => Ok(Self(key)),
            len => Err(KeyError::TooLong { len }),
        }
    }
}

fn check_parameters(rest: &[u8], start: usize) -> Result<(), KeyError> {
    match rest.trim_ascii_start().first() {
        None => Ok(()),
        Some(b';') => check_one(rest),
        Some(b',') => Err(KeyError::Several),
        Some(_) => Err(KeyError::Trailing { at: start }),
    }
}

/// Refuses a comma outside quotes: it would begin a second key.
fn check_one(parameters: &[u8]) -> Result<(), KeyError> {
    let mut quoted = false;
    let mut escaped = false;
    for byte in parameters {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b',' if !quoted => return Err(KeyError::Several),
            _ => {}
        }
        escaped = quoted && !escaped && *byte == b'\\';
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(value: &[u8], want: Result<&[u8], KeyError>) {
        let key = IdempotencyKey::parse(value, HeaderSyntax::Any);
        assert_eq!(key.as_ref().map(IdempotencyKey::bytes).map_err(|error| *error), want);
    }

    #[test]
    fn a_bare_key_and_its_quoted_form_are_the_same() {
        check(
            b"8e03978e-40d5-43e8-bc93-6894a57f9324",
            Ok(b"8e03978e-40d5-43e8-bc93-6894a57f9324"),
        );
        check(
            b"\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
            Ok(b"8e03978e-40d5-43e8-bc93-6894a57f9324"),
        );
    }

    #[test]
    fn a_bare_key_may_hold_what_base64_and_urls_need() {
        check(b"a/b:c=d+e==", Ok(b"a/b:c=d+e=="));
    }

    #[test]
    fn parameters_and_outer_spaces_are_ignored() {
        check(b" k ", Ok(b"k"));
        check(b" \"k\";a=1;b=\"x,y\" ", Ok(b"k"));
        check(b"\"k\" ; a", Ok(b"k"));
    }

    #[test]
    fn a_semicolon_in_the_bare_form_is_refused_rather_than_cut_off() {
        check(b"pay;1", Err(KeyError::Parameter { at: 3 }));
        check(b";a=1", Err(KeyError::Parameter { at: 0 }));
    }

    #[test]
    fn escapes_are_taken_off_in_quotes() {
        check(br#""a\"b\\c""#, Ok(br#"a"b\c"#));
        check(br#""a\b""#, Err(KeyError::Escape { at: 2 }));
    }

    #[test]
    fn nothing_is_no_key() {
        for value in [&b""[..], b"  ", b"\"\""] {
            check(value, Err(KeyError::Empty));
        }
    }

    #[test]
    fn length_is_bounded_on_both_sides() {
        check(&[b'k'; 255], Ok(&[b'k'; 255]));
        check(&[b'k'; 256], Err(KeyError::TooLong { len: 256 }));
        let quoted: Vec<u8> = [vec![b'"'], vec![b'k'; 256], vec![b'"']].concat();
        check(&quoted, Err(KeyError::TooLong { len: 256 }));
    }

    #[test]
    fn bytes_that_are_not_visible_are_refused_with_their_place() {
        check(b"ab\x07", Err(KeyError::NotVisible { at: 2 }));
        check(b"\xc3", Err(KeyError::NotVisible { at: 0 }));
        check(b"\"a b\"", Err(KeyError::NotVisible { at: 2 }));
        check(b"a b", Err(KeyError::NotVisible { at: 1 }));
    }

    #[test]
    fn a_quote_that_is_not_closed_is_refused() {
        check(b"\"k", Err(KeyError::Quote { at: 0 }));
        check(b"k\"", Err(KeyError::Quote { at: 1 }));
        check(b"\"k\"x", Err(KeyError::Trailing { at: 3 }));
    }

    #[test]
    fn several_keys_are_refused() {
        for value in [&b"K1,K2"[..], b"\"K1\", \"K2\"", b"\"K1\";a=1,K2"] {
            check(value, Err(KeyError::Several));
        }
    }

    #[test]
    fn the_structured_syntax_refuses_the_bare_form() {
        assert_eq!(
            IdempotencyKey::parse(b"k", HeaderSyntax::Structured),
            Err(KeyError::Bare)
        );
        assert!(IdempotencyKey::parse(b"\"k\"", HeaderSyntax::Structured).is_ok());
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_value_gives_a_bounded_key_or_an_error(value: Vec<u8>) {
            if let Ok(key) = IdempotencyKey::parse(&value, HeaderSyntax::Any) {
                assert!((1..=KEY_BYTES_MAX).contains(&key.bytes().len()));
                assert!(key.bytes().iter().all(u8::is_ascii_graphic));
            }
        }

        #[test]
        fn any_visible_key_survives_quoting(key in "[!-~]{1,255}") {
            let mut quoted = vec![b'"'];
            for byte in key.bytes() {
                if matches!(byte, b'"' | b'\\') {
                    quoted.push(b'\\');
                }
                quoted.push(byte);
            }
            quoted.push(b'"');
            let parsed = IdempotencyKey::parse(&quoted, HeaderSyntax::Structured).unwrap();
            assert_eq!(parsed.bytes(), key.as_bytes());
        }
    }
}
