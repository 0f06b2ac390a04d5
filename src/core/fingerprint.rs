//! What tells two requests with one key apart: a head digest and a body digest.

use crate::config::Fingerprint;
use crate::id::{Secrets, write_lp, write_lp_lower};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::Hasher as _;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Bodies up to this length are digested by SipHash in one go, longer ones by BLAKE3 as they flow.
pub const SHORT_BODY_BYTES_MAX: usize = 16 * 1024;

/// 128 bits that stand for a head or a body.
pub type Digest = [u8; 16];

/// What a request's head says, apart from its key and its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The method, as sent.
    pub method: &'a [u8],
    /// The request target: path and query, as sent.
    pub target: &'a [u8],
    /// The value of `content-type`, empty if there is none.
    pub content_type: &'a [u8],
}

impl Head<'_> {
    /// Digests method, path, raw query and media type without its parameters.
    ///
    /// Shape: SipHash-2-4-128 over `lp(method) | lp(path) | u8 has query | lp(query) | lp(media type, lower case)`, where
    /// `lp(x) = u32le len(x) | x`.
    #[must_use]
    pub fn digest(&self, secrets: &Secrets) -> Digest {
        let mut hasher = SipHasher24::new_with_key(&secrets.fingerprint);
        let mut parts = self.target.splitn(2, |byte| *byte == b'?');
        write_lp(&mut hasher, self.method);
        write_lp(&mut hasher, parts.next().unwrap_or_default());
        let query = parts.next();
        hasher.write_u8(u8::from(query.is_some()));
        write_lp(&mut hasher, query.unwrap_or_default());
        let media = self.content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        write_lp_lower(&mut hasher, media.trim_ascii());
        hasher.finish128().as_bytes()
    }
}

/// A body's digest, made while the body flows past.
///
/// At most [`SHORT_BODY_BYTES_MAX`] bytes are held, whatever the body's length.
#[derive(Debug, Default)]
pub struct BodyHash {
    /// Whether bodies are not told apart.
    ignores: bool,
    held: Vec<u8>,
    long: Option<Box<blake3::Hasher>>,
    len: u64,
}

impl BodyHash {
    /// Begins with an empty body.
    #[must_use]
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self {
            ignores: fingerprint == Fingerprint::None,
            ..Self::default()
        }
    }

    /// Takes in the next piece.
    pub fn push(&mut self, piece: Vec<u8>, secrets: &Secrets) {
        if self.ignores {
            return;
        }
        self.len = self.len.saturating_add(u64::from(crate::http::len_u32(piece.len())));
        if let Some(long) = &mut self.long {
            long.update(&piece);
        } else if self.held.len().saturating_add(piece.len()) > SHORT_BODY_BYTES_MAX {
            let mut long = Box::new(blake3::Hasher::new_keyed(&secrets.long_body));
            long.update(&self.held).update(&piece);
            self.held = Vec::new();
            self.long = Some(long);
        } else if self.held.is_empty() {
            self.held = piece;
        } else {
            self.held.extend_from_slice(&piece);
        }
    }

    /// Counts the bytes that are held in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.capacity()
    }

    /// Digests all that came; zeros where bodies are not told apart.
    ///
    /// Shape: SipHash-2-4-128 (keyed BLAKE3, first 16 bytes, above [`SHORT_BODY_BYTES_MAX`]) over `body | u64le length`.
    #[must_use]
    pub fn digest(&self, secrets: &Secrets) -> Digest {
        if self.ignores {
            return Digest::default();
        }
        if let Some(long) = &self.long {
            let mut long = long.clone();
            long.update(&self.len.to_le_bytes());
            return first_half(long.finalize().as_bytes());
        }
        let mut hasher = SipHasher24::new_with_key(&secrets.fingerprint);
        hasher.write(&self.held);
        hasher.write(&self.len.to_le_bytes());
        hasher.finish128().as_bytes()
    }
}

fn first_half(bytes: &[u8; 32]) -> Digest {
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECRETS: Secrets = Secrets {
        identity: [1; 16],
        fingerprint: [2; 16],
        long_body: [3; 32],
    };

    const HEAD: Head<'static> = Head {
        method: b"POST",
        target: b"/a?x=1",
        content_type: b"application/json",
    };

    #[track_caller]
    fn differ(other: Head<'_>) {
        assert_ne!(HEAD.digest(&SECRETS), other.digest(&SECRETS));
    }

    #[test]
    fn method_path_query_and_media_type_tell_heads_apart() {
        differ(Head {
            method: b"PATCH",
            ..HEAD
        });
        differ(Head {
            target: b"/b?x=1",
            ..HEAD
        });
        differ(Head {
            target: b"/a?x=2",
            ..HEAD
        });
        differ(Head { target: b"/a", ..HEAD });
        differ(Head {
            content_type: b"text/plain",
            ..HEAD
        });
        assert_ne!(
            Head { target: b"/a", ..HEAD }.digest(&SECRETS),
            Head { target: b"/a?", ..HEAD }.digest(&SECRETS),
            "no query and an empty query are two targets"
        );
    }

    #[test]
    fn parameters_and_case_of_the_media_type_do_not_matter() {
        let other = Head {
            content_type: b"Application/JSON ; charset=utf-8",
            ..HEAD
        };
        assert_eq!(HEAD.digest(&SECRETS), other.digest(&SECRETS));
    }

    fn in_pieces(body: &[u8], piece: usize) -> Digest {
        let mut hash = BodyHash::default();
        for each in body.chunks(piece.max(1)) {
            hash.push(each.to_vec(), &SECRETS);
        }
        hash.digest(&SECRETS)
    }

    #[test]
    fn pieces_do_not_change_the_digest_on_either_side_of_the_bound() {
        for len in [
            0,
            1,
            SHORT_BODY_BYTES_MAX - 1,
            SHORT_BODY_BYTES_MAX,
            SHORT_BODY_BYTES_MAX + 1,
            100_000,
        ] {
            let body = vec![7; len];
            let whole = in_pieces(&body, len);
            for piece in [1000, SHORT_BODY_BYTES_MAX, SHORT_BODY_BYTES_MAX + 1] {
                assert_eq!(in_pieces(&body, piece), whole, "{len} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_body_and_the_body_with_one_more_zero_differ() {
        assert_ne!(in_pieces(&[0; 8], 8), in_pieces(&[0; 9], 9));
        assert_ne!(in_pieces(&[], 1), in_pieces(&[0], 1));
    }

    #[test]
    fn a_long_body_is_not_held() {
        let mut hash = BodyHash::default();
        for _ in 0..100 {
            hash.push(vec![0; 60_000], &SECRETS);
            assert!(hash.held_bytes() <= SHORT_BODY_BYTES_MAX);
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn other_bodies_have_other_digests(a: Vec<u8>, b: Vec<u8>) {
            assert_eq!(in_pieces(&a, 3) == in_pieces(&b, 5), a == b);
        }
    }
}
