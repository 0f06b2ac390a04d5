//! `Replayd-Signature`: how replayd marks its own requests, and how the filter knows that nobody else made them.
//!
//! A copy of a signed request has a valid signature too: who takes one claims its kind, id and attempt, and refuses the
//! second. That is not here, and neither is the comparison of the body.

use crate::http::len_u32;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

/// The header's name, in lower case.
pub const HEADER: &str = "replayd-signature";
/// Longest header that is read, in bytes.
pub const HEADER_BYTES_MAX: usize = 4096;
/// How long a signature should last, in milliseconds.
pub const LIFE_MS: u64 = 10_000;

/// What a request of replayd's own is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A step of a replay.
    Replay,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
        }
    }

    fn read(name: &str) -> Option<Self> {
        (name == "replay").then_some(Self::Replay)
    }
}

/// What a signature says, apart from the request that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What the request is for.
    pub kind: Kind,
    /// Which one it is: the replay, a slash, the step.
    pub id: String,
    /// Which attempt at it; counts from 1.
    pub attempt: u32,
    /// The replay's scope: with `boot` it names the namespace of the request's idempotency key.
    pub scope: String,
    /// The boot id of the upstream; empty if it has none.
    pub boot: String,
    /// BLAKE3 of the body; none = the body is not signed.
    pub body: Option<[u8; 32]>,
    /// Until when it counts, in milliseconds since 1970; at that moment it is over.
    pub expires_unix_ms: u64,
}

/// The request that a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:authority`; case does not matter.
    pub authority: &'a [u8],
    /// `:path`, with the query.
    pub target: &'a [u8],
}

/// Why a signature does not count: the request is a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// It is not written as one.
    #[error("the signature is not written as one: see its field {field}")]
    Malformed {
        /// The field that is missing, at another place, or not as it should be.
        field: &'static str,
    },
    /// No key made it for this request.
    #[error("the signature was not made for this request with a key that counts")]
    Forged,
    /// It is over.
    #[error("the signature ended {late_ms} ms ago")]
    Expired {
        /// By how much, in milliseconds.
        late_ms: u64,
    },
}

/// Makes the header's value.
///
/// Shape: `v1;kind=K;id=I;attempt=N;scope=S;boot=B;body=H;expires=T;sig=M`, where all but letters, digits and `-._~/:` of
/// I, S and B is percent-encoded, H is 64 hex digits or `-`, and M the 64 hex digits of HMAC-SHA-256 over
/// `lp("v1") | lp(K) | lp(I) | u32be N | lp(S) | lp(B) | lp(method) | lp(authority, lower case) | lp(target) |
/// u8 has body hash | body hash | u64be T`, with `lp(x) = u32be length | x`.
#[must_use]
pub fn sign(key: &[u8; 32], signed: &Signed, line: &Line<'_>) -> String {
    let mut value = format!("v1;kind={};id=", signed.kind.name());
    push_escaped(&signed.id, &mut value);
    value.push_str(&format!(";attempt={};scope=", signed.attempt));
    push_escaped(&signed.scope, &mut value);
    value.push_str(";boot=");
    push_escaped(&signed.boot, &mut value);
    value.push_str(";body=");
    match &signed.body {
        Some(hash) => push_hex(hash, &mut value),
        None => value.push('-'),
    }
    value.push_str(&format!(";expires={};sig=", signed.expires_unix_ms));
    push_hex(&mac(key, signed, line).finalize().into_bytes(), &mut value);
    value
}

/// Reads the header's value and believes it only if one of `keys` made it for this request, and it is not over.
///
/// Keys of another length than 32 bytes count as none. The signature is compared in constant time.
///
/// # Errors
/// [`SignatureError`] if it does not count; what it says is not to be used then.
pub fn verify(
    keys: &[impl AsRef<[u8]>],
    value: &[u8],
    line: &Line<'_>,
    now_unix_ms: u64,
) -> Result<Signed, SignatureError> {
    let (signed, code) = read(value)?;
    let keys = keys.iter().filter_map(|key| <&[u8; 32]>::try_from(key.as_ref()).ok());
    let mut made = false;
    for key in keys {
        made |= mac(key, &signed, line).verify_slice(&code).is_ok();
    }
    if !made {
        return Err(SignatureError::Forged);
    }
    if now_unix_ms >= signed.expires_unix_ms {
        let late_ms = now_unix_ms.saturating_sub(signed.expires_unix_ms);
        return Err(SignatureError::Expired { late_ms });
    }
    Ok(signed)
}

fn mac(key: &[u8; 32], signed: &Signed, line: &Line<'_>) -> Hmac<Sha256> {
    // HMAC fills a short key up with zeros; done here, because a whole block cannot be refused.
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    update_lp(&mut mac, b"v1");
    update_lp(&mut mac, signed.kind.name().as_bytes());
    update_lp(&mut mac, signed.id.as_bytes());
    mac.update(&signed.attempt.to_be_bytes());
    update_lp(&mut mac, signed.scope.as_bytes());
    update_lp(&mut mac, signed.boot.as_bytes());
    update_lp(&mut mac, line.method);
    update_lp(&mut mac, &line.authority.to_ascii_lowercase());
    update_lp(&mut mac, line.target);
    mac.update(&[u8::from(signed.body.is_some())]);
    mac.update(signed.body.as_ref().map_or(&[], |hash| &hash[..]));
    mac.update(&signed.expires_unix_ms.to_be_bytes());
    mac
}

fn update_lp(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&len_u32(bytes.len()).to_be_bytes());
    mac.update(bytes);
}

/// Takes a header apart; there is one spelling of each, and all others are refused.
fn read(value: &[u8]) -> Result<(Signed, [u8; 32]), SignatureError> {
    let value = core::str::from_utf8(value).unwrap_or_default();
    let version = value.split_once(';').filter(|(version, _)| *version == "v1");
    let Some((_version, rest)) = version.filter(|_| value.len() <= HEADER_BYTES_MAX) else {
        return Err(SignatureError::Malformed { field: "v1" });
    };
    let mut fields = rest.split(';');
    let signed = Signed {
        kind: take(&mut fields, "kind", Kind::read)?,
        id: take(&mut fields, "id", unescape)?,
        attempt: take(&mut fields, "attempt", number)?,
        scope: take(&mut fields, "scope", unescape)?,
        boot: take(&mut fields, "boot", unescape)?,
        body: take(&mut fields, "body", body)?,
        expires_unix_ms: take(&mut fields, "expires", number)?,
    };
    let code = take(&mut fields, "sig", hash)?;
    if fields.next().is_some() {
        return Err(SignatureError::Malformed { field: "sig" });
    }
    Ok((signed, code))
}

fn take<'a, T>(
    fields: &mut impl Iterator<Item = &'a str>,
    field: &'static str,
    parse: impl FnOnce(&'a str) -> Option<T>,
) -> Result<T, SignatureError> {
    let (name, value) = fields
        .next()
        .and_then(|found| found.split_once('='))
        .unwrap_or_default();
    let value = (name == field).then(|| parse(value)).flatten();
    value.ok_or(SignatureError::Malformed { field })
}

fn body(text: &str) -> Option<Option<[u8; 32]>> {
    if text == "-" { Some(None) } else { hash(text).map(Some) }
}

/// Reads a number without sign or leading zeros.
fn number<N: core::str::FromStr>(text: &str) -> Option<N> {
    let is_plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    is_plain.then(|| text.parse().ok()).flatten()
}

const fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':')
}

fn push_escaped(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if is_safe(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let upper = |byte: u8| (!byte.is_ascii_lowercase()).then(|| digit(byte)).flatten();
                let (high, low) = (upper(rest.next()?)?, upper(rest.next()?)?);
                let escaped = high.checked_shl(4)? | low;
                bytes.push((!is_safe(escaped)).then_some(escaped)?);
            }
            safe if is_safe(safe) => bytes.push(safe),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _written = write!(out, "{byte:02x}");
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut out = [0; 32];
    for (place, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        if high.is_ascii_uppercase() || low.is_ascii_uppercase() {
            return None;
        }
        *place = digit(*high)?.checked_shl(4)? | digit(*low)?;
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: [u8; 32] = [7; 32];
    const LINE: Line<'static> = Line {
        method: b"POST",
        authority: b"api.test:8080",
        target: b"/v1/orders?x=1",
    };

    fn signed() -> Signed {
        Signed {
            kind: Kind::Replay,
            id: "17/4".into(),
            attempt: 2,
            scope: "restore;1 =%".into(),
            boot: "b-1".into(),
            body: Some([0xab; 32]),
            expires_unix_ms: 10_000,
        }
    }

    #[track_caller]
    fn check(value: &[u8], line: Line<'_>, now: u64, want: &Result<Signed, SignatureError>) {
        assert_eq!(&verify(&[KEY], value, &line, now), want);
    }

    /// The bytes of today: a filter and a replayd of two versions have to understand each other.
    #[test]
    fn a_signature_is_written_as_it_always_was() {
        let want = "v1;kind=replay;id=17/4;attempt=2;scope=restore%3B1%20%3D%25;boot=b-1;\
            body=abababababababababababababababababababababababababababababababab;expires=10000;\
            sig=b63cf8f2a955bfa65d8c894d22f2658ed04ecb1b91859f3d9d0e6e323fd65bfe";
        assert_eq!(sign(&KEY, &signed(), &LINE), want);
        let plain = Signed {
            body: None,
            boot: "".into(),
            ..signed()
        };
        let want = "v1;kind=replay;id=17/4;attempt=2;scope=restore%3B1%20%3D%25;boot=;body=-;expires=10000;\
            sig=4459fb6100660b6e1f589473b0908d45af507e7234f6a5a4f17ee42bf99435a4";
        assert_eq!(sign(&KEY, &plain, &LINE), want);
    }

    #[test]
    fn a_signature_counts_until_the_moment_it_ends() {
        let value = sign(&KEY, &signed(), &LINE);
        check(value.as_bytes(), LINE, 0, &Ok(signed()));
        check(value.as_bytes(), LINE, 9_999, &Ok(signed()));
        for (now, late_ms) in [(10_000, 0), (10_007, 7)] {
            check(value.as_bytes(), LINE, now, &Err(SignatureError::Expired { late_ms }));
        }
    }

    #[test]
    fn a_signature_is_for_one_request() {
        let value = sign(&KEY, &signed(), &LINE);
        let others = [
            Line { method: b"PUT", ..LINE },
            Line {
                authority: b"api.test",
                ..LINE
            },
            Line {
                target: b"/v1/orders?x=2",
                ..LINE
            },
            // Neighbours do not flow into each other.
            Line {
                authority: b"api.test:808",
                target: b"0/v1/orders?x=1",
                ..LINE
            },
        ];
        for other in others {
            check(value.as_bytes(), other, 0, &Err(SignatureError::Forged));
        }
        let upper = Line {
            authority: b"API.Test:8080",
            ..LINE
        };
        check(value.as_bytes(), upper, 0, &Ok(signed()));
    }

    #[test]
    fn every_field_is_signed() {
        let value = sign(&KEY, &signed(), &LINE);
        for (from, to) in [
            ("id=17/4", "id=17/5"),
            ("attempt=2", "attempt=3"),
            ("scope=restore", "scope=other"),
            ("boot=b-1", "boot=b-2"),
            ("body=ab", "body=ac"),
            ("expires=10000", "expires=99999"),
            ("sig=", "sig=0"),
        ] {
            let forged = value.replace(from, to);
            assert_ne!(forged, value);
            assert!(verify(&[KEY], forged.as_bytes(), &LINE, 0).is_err(), "{forged}");
        }
        let plain = value.replace(&format!("body={}", "ab".repeat(32)), "body=-");
        check(plain.as_bytes(), LINE, 0, &Err(SignatureError::Forged));
    }

    #[test]
    fn older_keys_count_and_keys_of_another_length_do_not() {
        let value = sign(&KEY, &signed(), &LINE);
        let with = |keys: &[Vec<u8>]| verify(keys, value.as_bytes(), &LINE, 0);
        assert_eq!(with(&[vec![1; 32], KEY.to_vec()]), Ok(signed()));
        assert_eq!(with(&[vec![1; 32]]), Err(SignatureError::Forged));
        // HMAC fills up with zeros: an empty key and 32 zeros would be the same.
        let zeros = sign(&[0; 32], &signed(), &LINE);
        for keys in [&[][..], &[vec![]], &[vec![0; 31]], &[vec![0; 33]]] {
            assert_eq!(with(keys), Err(SignatureError::Forged));
            assert_eq!(verify(keys, zeros.as_bytes(), &LINE, 0), Err(SignatureError::Forged));
        }
    }

    #[test]
    fn another_spelling_of_a_signature_is_none() {
        let value = sign(&KEY, &signed(), &LINE);
        for (from, to, field) in [
            ("v1;", "v2;", "v1"),
            ("v1;", "", "v1"),
            ("kind=replay", "kind=apply", "kind"),
            (";id=17/4", "", "id"),
            ("id=17/4", "id=17%2F4", "id"),
            ("attempt=2", "attempt=02", "attempt"),
            ("attempt=2", "attempt=+2", "attempt"),
            ("attempt=2", "attempt=", "attempt"),
            ("attempt=2", "attempt=4294967296", "attempt"),
            ("%3B", "%3b", "scope"),
            ("%3B", ",", "scope"),
            ("%25;", "%2;", "scope"),
            ("%25;", "%FF;", "scope"),
            ("body=ab", "body=AB", "body"),
            ("body=ab", "body=", "body"),
            ("expires=", "expires=-", "expires"),
            (";sig=", ";sig=;sig=", "sig"),
            (";expires", ";boot=b-1;expires", "expires"),
        ] {
            let other = value.replacen(from, to, 1);
            assert_ne!(other, value);
            check(other.as_bytes(), LINE, 0, &Err(SignatureError::Malformed { field }));
        }
        for tail in [";", ";x=1", " "] {
            let field = "sig";
            let other = format!("{value}{tail}");
            check(other.as_bytes(), LINE, 0, &Err(SignatureError::Malformed { field }));
        }
    }

    #[test]
    fn a_header_beyond_the_bound_is_not_read() {
        let long = |len| Signed {
            scope: "s".repeat(len),
            ..signed()
        };
        let rest = sign(&KEY, &long(0), &LINE).len();
        let fits = long(HEADER_BYTES_MAX - rest);
        check(sign(&KEY, &fits, &LINE).as_bytes(), LINE, 0, &Ok(fits.clone()));
        let over = sign(&KEY, &long(HEADER_BYTES_MAX - rest + 1), &LINE);
        check(
            over.as_bytes(),
            LINE,
            0,
            &Err(SignatureError::Malformed { field: "v1" }),
        );
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        prop_compose! {
            fn any_signed()(
                id in ".{0,20}", attempt: u32, scope in ".{0,20}", boot in ".{0,20}",
                body: Option<[u8; 32]>, expires_unix_ms in 1..u64::MAX,
            ) -> Signed {
                Signed { kind: Kind::Replay, id, attempt, scope, boot, body, expires_unix_ms }
            }
        }

        proptest! {
            #[test]
            fn what_is_signed_reads_back(signed in any_signed(), key: [u8; 32], target: Vec<u8>) {
                let line = Line { target: &target, ..LINE };
                let value = sign(&key, &signed, &line);
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
                prop_assert_eq!(verify(&[key], value.as_bytes(), &line, 0), Ok(signed));
            }

            #[test]
            fn any_other_byte_makes_it_no_signature(signed in any_signed(), at: prop::sample::Index, byte: u8) {
                let mut value = sign(&KEY, &signed, &LINE).into_bytes();
                let at = at.index(value.len());
                prop_assume!(value[at] != byte);
                value[at] = byte;
                prop_assert!(verify(&[KEY], &value, &LINE, 0).is_err());
            }

            #[test]
            fn any_bytes_are_read_without_a_panic(value: Vec<u8>, text in "v1;kind=replay;id=[ -~]{0,40}") {
                prop_assert!(verify(&[KEY], &value, &LINE, 0).is_err());
                prop_assert!(verify(&[KEY], text.as_bytes(), &LINE, 0).is_err());
            }
        }
    }
}
