//! Who asks, and under which name a key is looked up.

use crate::key::IdempotencyKey;
use core::hash::Hasher as _;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Rows of the table that counts keys by principal.
pub const PRINCIPAL_ROWS: u16 = 4096;

/// The keys of all hashes of one store: drawn once, never changed while records made with them live.
///
/// Shape: `[u8; 64]`: identity 16 | fingerprint 16 | long body 32.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Keys the hash of tags and principals.
    pub identity: [u8; 16],
    /// Keys the hash of heads and short bodies.
    pub fingerprint: [u8; 16],
    /// Keys the hash of long bodies.
    pub long_body: [u8; 32],
}

impl core::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secrets(hidden)")
    }
}

impl Secrets {
    /// Bytes of all keys together.
    pub const BYTES: usize = 64;

    /// Gives the key of redaction tokens for as long as replayd was never heard of.
    #[must_use]
    pub fn redaction_key(&self) -> [u8; 32] {
        *blake3::keyed_hash(&self.long_body, b"reprise redaction").as_bytes()
    }

    /// Reads the keys; none if `bytes` has another length.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (identity, rest) = bytes.split_first_chunk::<16>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<16>()?;
        let long_body: &[u8; 32] = rest.try_into().ok()?;
        Some(Self {
            identity: *identity,
            fingerprint: *fingerprint,
            long_body: *long_body,
        })
    }
}

/// The name of a key in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 16]);

impl Tag {
    /// Picks the tag's bucket among `buckets`; bucket 0 if there are none.
    #[must_use]
    pub fn bucket(&self, buckets: u32) -> u32 {
        let mut low = [0; 8];
        low.copy_from_slice(self.0.first_chunk::<8>().unwrap_or(&[0; 8]));
        let rest = u64::from_le_bytes(low)
            .checked_rem(u64::from(buckets))
            .unwrap_or_default();
        u32::try_from(rest).unwrap_or_default()
    }
}

/// A caller, as a keyed hash; callers without a name share [`Principal::ANONYMOUS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal([u8; 16]);

/// Which source named a principal; two sources never name the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The `authorization` header.
    Authorization,
    /// A trusted header.
    Header,
    /// A cookie.
    Cookie,
    /// A verified token.
    Jwt,
    /// A client's certificate.
    Mtls,
}

impl PrincipalKind {
    const fn number(self) -> u8 {
        match self {
            Self::Authorization => 1,
            Self::Header => 2,
            Self::Cookie => 3,
            Self::Jwt => 4,
            Self::Mtls => 5,
        }
    }
}

impl Principal {
    /// The caller that no source names.
    pub const ANONYMOUS: Self = Self([0; 16]);

    /// Hashes what a source says; a source of several header lines counts with all of them.
    ///
    /// Shape: SipHash-2-4-128 over `u8 version = 1 | u8 kind | lp(name of the source) | lp(value)…`.
    pub fn new<'a>(
        kind: PrincipalKind,
        source: &[u8],
        values: impl Iterator<Item = &'a [u8]>,
        secrets: &Secrets,
    ) -> Self {
        let mut hasher = SipHasher24::new_with_key(&secrets.identity);
        hasher.write(&[1, kind.number()]);
        write_lp(&mut hasher, source);
        for value in values {
            write_lp(&mut hasher, value);
        }
        Self(hasher.finish128().as_bytes())
    }

    /// The principal's row in the table that counts keys.
    #[must_use]
    pub fn row(&self) -> u16 {
        let low = u16::from_le_bytes(*self.0.first_chunk::<2>().unwrap_or(&[0; 2]));
        low.checked_rem(PRINCIPAL_ROWS).unwrap_or_default()
    }
}

/// What keeps the keys of two APIs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace<'a> {
    /// The document's name and the request's authority.
    Default {
        /// The document's name.
        name: &'a [u8],
        /// The authority as sent; case and the scheme's default port do not count.
        authority: &'a [u8],
        /// `https` or `http`.
        scheme: &'a [u8],
    },
    /// A name of the document's choice.
    Named(&'a [u8]),
}

/// The replay that a request belongs to: its keys never meet those of clients, or of a replay onto another boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayScope<'a> {
    /// The replay's scope.
    pub scope: &'a [u8],
    /// The upstream's boot id.
    pub boot: &'a [u8],
}

/// Names a signed request in the store, so that a copy of it is known.
///
/// Shape: SipHash-2-4-128 over `u8 version = 1 | u8 kind of name = 4 | lp(id) | u32le attempt`.
#[must_use]
pub fn signed_tag(id: &[u8], attempt: u32, secrets: &Secrets) -> Tag {
    let mut hasher = SipHasher24::new_with_key(&secrets.identity);
    hasher.write(&[1, 4]);
    write_lp(&mut hasher, id);
    hasher.write(&attempt.to_le_bytes());
    Tag(hasher.finish128().as_bytes())
}

/// Names a replay's key in the store.
///
/// Shape: SipHash-2-4-128 over `u8 version = 1 | u8 kind of name = 3 | lp(scope) | lp(boot) | tag 16`, with the tag that a
/// client's key would have.
#[must_use]
pub fn replay_tag(client: &Tag, replay: &ReplayScope<'_>, secrets: &Secrets) -> Tag {
    let mut hasher = SipHasher24::new_with_key(&secrets.identity);
    hasher.write(&[1, 3]);
    write_lp(&mut hasher, replay.scope);
    write_lp(&mut hasher, replay.boot);
    hasher.write(&client.0);
    Tag(hasher.finish128().as_bytes())
}

/// Names a key on one path: on another path it is another key.
///
/// Shape: SipHash-2-4-128 over `u8 version = 1 | u8 kind of name = 5 | lp(path) | tag 16`, with the tag that the key would
/// have on all paths.
#[must_use]
pub fn endpoint_tag(key: &Tag, path: &[u8], secrets: &Secrets) -> Tag {
    let mut hasher = SipHasher24::new_with_key(&secrets.identity);
    hasher.write(&[1, 5]);
    write_lp(&mut hasher, path);
    hasher.write(&key.0);
    Tag(hasher.finish128().as_bytes())
}

/// Names a key by what an encoder makes of its request: another code is another key.
///
/// Shape: SipHash-2-4-128 over `u8 version = 1 | u8 kind of name = 6 | code 32 | tag 16`, with the tag that the key would
/// have by itself: namespace and caller keep keys apart as everywhere.
#[must_use]
pub fn encoded_tag(key: &Tag, code: &[u8; 32], secrets: &Secrets) -> Tag {
    let mut hasher = SipHasher24::new_with_key(&secrets.identity);
    hasher.write(&[1, 6]);
    hasher.write(code);
    hasher.write(&key.0);
    Tag(hasher.finish128().as_bytes())
}

/// Names a key in the store: keys of two namespaces or two principals never share a name.
///
/// Shape: SipHash-2-4-128 over `u8 version = 1 | u8 kind of namespace | lp(parts)… | principal 16 | lp(key)`.
#[must_use]
pub fn tag(namespace: &Namespace<'_>, principal: &Principal, key: &IdempotencyKey<'_>, secrets: &Secrets) -> Tag {
    let mut hasher = SipHasher24::new_with_key(&secrets.identity);
    match namespace {
        Namespace::Default {
            name,
            authority,
            scheme,
        } => {
            hasher.write(&[1, 1]);
            write_lp(&mut hasher, name);
            write_lp_lower(&mut hasher, without_default_port(authority, scheme));
        }
        Namespace::Named(name) => {
            hasher.write(&[1, 2]);
            write_lp(&mut hasher, name);
        }
    }
    hasher.write(&principal.0);
    write_lp(&mut hasher, key.bytes());
    Tag(hasher.finish128().as_bytes())
}

/// Writes `bytes` with their length before them, so that neighbours cannot flow into each other.
pub(crate) fn write_lp(hasher: &mut SipHasher24, bytes: &[u8]) {
    hasher.write(&crate::http::len_u32(bytes.len()).to_le_bytes());
    hasher.write(bytes);
}

/// As [`write_lp`], in lower case.
pub(crate) fn write_lp_lower(hasher: &mut SipHasher24, bytes: &[u8]) {
    hasher.write(&crate::http::len_u32(bytes.len()).to_le_bytes());
    for chunk in bytes.chunks(64) {
        let mut lower = [0; 64];
        if let Some(place) = lower.get_mut(..chunk.len()) {
            place.copy_from_slice(chunk);
            place.make_ascii_lowercase();
            hasher.write(place);
        }
    }
}

fn without_default_port<'a>(authority: &'a [u8], scheme: &[u8]) -> &'a [u8] {
    let port: &[u8] = if scheme.eq_ignore_ascii_case(b"https") {
        b":443"
    } else {
        b":80"
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderSyntax;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECRETS: Secrets = Secrets {
        identity: [1; 16],
        fingerprint: [2; 16],
        long_body: [3; 32],
    };

    fn named(name: &str, authority: &str, principal: &Principal, key: &str) -> Tag {
        let namespace = Namespace::Default {
            name: name.as_bytes(),
            authority: authority.as_bytes(),
            scheme: b"http",
        };
        let key = IdempotencyKey::parse(key.as_bytes(), HeaderSyntax::Any).unwrap();
        tag(&namespace, principal, &key, &SECRETS)
    }

    fn caller(value: &str) -> Principal {
        Principal::new(
            PrincipalKind::Authorization,
            b"authorization",
            [value.as_bytes()].into_iter(),
            &SECRETS,
        )
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let one = named("edge", "a.test", &caller("x"), "k");
        assert_ne!(one, named("edg", "ea.test", &caller("x"), "k"));
        assert_ne!(one, named("edge", "b.test", &caller("x"), "k"));
        assert_ne!(one, named("edge", "a.test", &caller("y"), "k"));
        assert_ne!(one, named("edge", "a.test", &Principal::ANONYMOUS, "k"));
        assert_ne!(one, named("edge", "a.test", &caller("x"), "l"));
    }

    #[test]
    fn case_and_default_port_of_the_authority_do_not_count() {
        let anonymous = Principal::ANONYMOUS;
        let one = named("edge", "api.test", &anonymous, "k");
        assert_eq!(one, named("edge", "API.test:80", &anonymous, "k"));
        assert_ne!(one, named("edge", "api.test:8080", &anonymous, "k"));
    }

    #[test]
    fn two_sources_never_name_the_same_principal() {
        let values = || [&b"x"[..]].into_iter();
        let authorization = Principal::new(PrincipalKind::Authorization, b"authorization", values(), &SECRETS);
        let header = Principal::new(PrincipalKind::Header, b"x-user", values(), &SECRETS);
        let other = Principal::new(PrincipalKind::Header, b"x-team", values(), &SECRETS);
        assert!(authorization != header && header != other);
    }

    #[test]
    fn secrets_have_one_length_and_never_show() {
        let bytes: Vec<u8> = (0..64).collect();
        let secrets = Secrets::read(&bytes).unwrap();
        assert_eq!(secrets.long_body[31], 63);
        assert_eq!(alloc::format!("{secrets:?}"), "Secrets(hidden)");
        assert_eq!(Secrets::read(&bytes[..63]), None);
    }

    #[test]
    fn keys_of_a_replay_meet_neither_clients_nor_another_boot() {
        let client = named("edge", "a.test", &caller("x"), "k");
        let of = |scope: &str, boot: &str| {
            let replay = ReplayScope {
                scope: scope.as_bytes(),
                boot: boot.as_bytes(),
            };
            replay_tag(&client, &replay, &SECRETS)
        };
        assert!(of("r", "1") != client && of("r", "1") != of("r", "2") && of("r", "1") != of("r1", ""));
        assert_eq!(of("r", "1"), of("r", "1"));
    }

    #[test]
    fn each_attempt_of_a_signed_request_has_a_name_of_its_own() {
        assert_ne!(signed_tag(b"1/1", 1, &SECRETS), signed_tag(b"1/1", 2, &SECRETS));
        assert_ne!(signed_tag(b"1/1", 1, &SECRETS), signed_tag(b"1/2", 1, &SECRETS));
    }

    #[test]
    fn a_key_on_another_path_may_be_another_key() {
        let key = named("edge", "a.test", &caller("x"), "k");
        let on = |path: &str| endpoint_tag(&key, path.as_bytes(), &SECRETS);
        assert!(on("/a") != key && on("/a") != on("/b"));
        assert_eq!(on("/a"), on("/a"));
    }

    #[test]
    fn a_bucket_is_below_their_number() {
        let tag = Tag([0xff; 16]);
        assert_eq!(tag.bucket(0), 0);
        assert_eq!(tag.bucket(1), 0);
        assert!(tag.bucket(8192) < 8192);
    }
}
