//! What tells two requests with one key apart: a head digest and a body digest.

mod json;

use crate::config::{Fingerprint, Policy};
use crate::gate::Request;
use crate::http::is_encoded;
use crate::id::{Secrets, write_lp, write_lp_lower};
use alloc::boxed::Box;
use alloc::string::String;
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
/// At most [`SHORT_BODY_BYTES_MAX`] bytes are held, whatever the body's length, or what the route reads of JSON.
#[derive(Debug, Default)]
pub struct BodyHash {
    /// Whether bodies are not told apart.
    ignores: bool,
    /// What is read if it is JSON.
    json: Option<Json>,
    held: Vec<u8>,
    long: Option<Box<blake3::Hasher>>,
    len: u64,
    /// The digest of a body that has ended.
    whole: Option<Digest>,
}

/// How JSON is read.
#[derive(Debug)]
struct Json {
    /// Longest body that is read.
    bytes_max: usize,
    /// What counts of it; all, if there are none.
    fields: Vec<String>,
}

impl BodyHash {
    /// Begins with an empty body of `request`, on a route with `policy`.
    #[must_use]
    pub fn new(policy: &Policy, request: &Request<'_>) -> Self {
        let is_read = policy.fingerprint == Fingerprint::Json && !is_encoded(request.pairs);
        Self {
            ignores: policy.fingerprint == Fingerprint::None,
            json: is_read.then(|| Json {
                bytes_max: usize::try_from(policy.json_bytes_max).unwrap_or(usize::MAX),
                fields: policy.fields.clone(),
            }),
            ..Self::default()
        }
    }

    /// Gives the most bytes that are held.
    fn held_max(&self) -> usize {
        let json = self.json.as_ref().map_or(0, |json| json.bytes_max);
        json.max(SHORT_BODY_BYTES_MAX)
    }

    /// Takes in the next piece.
    pub fn push(&mut self, piece: Vec<u8>, secrets: &Secrets) {
        if self.ignores {
            return;
        }
        self.len = self.len.saturating_add(u64::from(crate::http::len_u32(piece.len())));
        if let Some(long) = &mut self.long {
            long.update(&piece);
        } else if self.held.len().saturating_add(piece.len()) > self.held_max() {
            let mut long = Box::new(self.long_of_held(secrets));
            long.update(&piece);
            self.held = Vec::new();
            self.long = Some(long);
        } else if self.held.is_empty() {
            self.held = piece;
        } else {
            self.held.extend_from_slice(&piece);
        }
    }

    /// Tells whether all that comes is copied, because it may be JSON.
    #[must_use]
    pub const fn keeps_copy(&self) -> bool {
        self.json.is_some() && self.long.is_none()
    }

    /// Counts the bytes that are held in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.capacity()
    }

    /// Takes note that the body has ended: nothing of it is held any longer than its digest needs.
    pub fn end(&mut self, secrets: &Secrets) {
        self.whole = Some(self.digest(secrets));
        self.held = Vec::new();
        self.long = None;
    }

    /// Digests all that came; zeros where bodies are not told apart.
    ///
    /// Shape: SipHash-2-4-128 (keyed BLAKE3, first 16 bytes, above [`SHORT_BODY_BYTES_MAX`]) over `body | u64le length`.
    /// JSON that the route reads has a digest of its own kind, which never equals one of bytes.
    #[must_use]
    pub fn digest(&self, secrets: &Secrets) -> Digest {
        if self.ignores {
            return Digest::default();
        }
        self.whole
            .or_else(|| self.read(secrets))
            .unwrap_or_else(|| self.raw(secrets))
    }

    /// Digests what the body says; none if it is not JSON, or too long to be read.
    fn read(&self, secrets: &Secrets) -> Option<Digest> {
        let json = self.json.as_ref()?;
        let is_held = self.long.is_none() && self.held.len() <= json.bytes_max;
        is_held.then(|| json::digest(&self.held, &json.fields, secrets))?
    }

    fn raw(&self, secrets: &Secrets) -> Digest {
        let held = self.held.len() <= SHORT_BODY_BYTES_MAX;
        if let (None, true) = (&self.long, held) {
            let mut hasher = SipHasher24::new_with_key(&secrets.fingerprint);
            hasher.write(&self.held);
            hasher.write(&self.len.to_le_bytes());
            return hasher.finish128().as_bytes();
        }
        let mut long = self
            .long
            .as_deref()
            .map_or_else(|| self.long_of_held(secrets), Clone::clone);
        long.update(&self.len.to_le_bytes());
        first_half(long.finalize().as_bytes())
    }

    fn long_of_held(&self, secrets: &Secrets) -> blake3::Hasher {
        let mut long = blake3::Hasher::new_keyed(&secrets.long_body);
        long.update(&self.held);
        long
    }
}

fn first_half(bytes: &[u8; 32]) -> Digest {
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::http::write_pairs;
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

    fn json(route: &str, headers: &[(&str, &str)], body: &[u8]) -> BodyHash {
        let text = alloc::format!(r#"{{"version": 1, "idempotency": {{"fingerprint": "json"{route}}}}}"#);
        let document = Document::read(text.as_bytes()).unwrap().unwrap();
        let mut map = vec![];
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        write_pairs(headers, &mut map);
        let mut hash = BodyHash::new(document.routes.defaults(), &Request::read(&map));
        for piece in body.chunks(1000) {
            hash.push(piece.to_vec(), &SECRETS);
        }
        hash
    }

    #[test]
    fn json_is_digested_by_what_it_says_and_all_else_by_its_bytes() {
        let digest = |route: &str, body: &str| json(route, &[], body.as_bytes()).digest(&SECRETS);
        assert_eq!(digest("", r#"{"a":1,"b":2}"#), digest("", r#" {"b":2, "a":1}"#));
        assert_ne!(digest("", r#"{"a":1}"#), in_pieces(br#"{"a":1}"#, 9));
        assert_eq!(digest("", "a=1"), in_pieces(b"a=1", 9));
        assert_eq!(digest("", ""), in_pieces(b"", 9));
        let amount = r#", "fields": ["/amount"]"#;
        assert_eq!(
            digest(amount, r#"{"amount":1,"at":5}"#),
            digest(amount, r#"{"amount":1}"#)
        );
        assert_ne!(digest(amount, r#"{"amount":1}"#), digest("", r#"{"amount":1}"#));
    }

    #[test]
    fn a_body_that_is_encoded_is_digested_by_its_bytes() {
        let digest = |coding: &str| json("", &[("content-encoding", coding)], b"[1]").digest(&SECRETS);
        assert_eq!(digest("br"), in_pieces(b"[1]", 9));
        assert_ne!(digest("identity"), in_pieces(b"[1]", 9));
    }

    #[test]
    fn a_body_is_read_up_to_the_bound_of_its_route_and_held_no_longer() {
        for (max, len, is_read) in [
            (2048, 2048, true),
            (2048, 2049, false),
            (20_000, 20_000, true),
            (20_000, 20_001, false),
        ] {
            let body = alloc::format!("\"{}\"", "x".repeat(len - 2));
            let mut hash = json(&alloc::format!(r#", "json_bytes_max": {max}"#), &[], body.as_bytes());
            let digest = hash.digest(&SECRETS);
            assert_eq!(digest != in_pieces(body.as_bytes(), 999), is_read, "{len} of {max}");
            assert_eq!(hash.held_bytes() >= len, is_read || len <= SHORT_BODY_BYTES_MAX);
            hash.end(&SECRETS);
            assert_eq!((hash.digest(&SECRETS), hash.held_bytes()), (digest, 0));
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
