//! The gate: what a request's head asks for, before anything is looked up.

use crate::config::{Document, Methods, Mode, Policy, PrincipalSource};
use crate::fingerprint::{Digest, Head};
use crate::http::Pairs;
use crate::id::{Namespace, Principal, PrincipalKind, Secrets, Tag, tag};
use crate::key::{IdempotencyKey, KeyError};
use crate::problem::Problem;
use alloc::vec::Vec;

/// The parts of a request's head that decide its way.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// All headers.
    pub pairs: Pairs<'a>,
    /// `:method`; empty if there is none.
    pub method: &'a [u8],
    /// `:path` with its query; empty for CONNECT.
    pub target: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// Whether it asks for another protocol.
    pub upgrades: bool,
}

/// What is to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It is none of our business.
    Pass,
    /// It has no key, where a key would have protected it.
    PassUnkeyed,
    /// It does not go through.
    Refuse(Problem),
    /// Its key is to be claimed.
    Claim(Keyed),
}

/// A request with a key, ready for the look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyed {
    /// The key's name in the store.
    pub tag: Tag,
    /// The row in which it counts.
    pub principal_row: u16,
    /// Whether no source names the caller.
    pub anonymous: bool,
    /// The head's digest.
    pub head: Digest,
}

impl<'a> Request<'a> {
    /// Reads a request's headers in the host's serialised form.
    #[must_use]
    pub fn read(map: &'a [u8]) -> Self {
        let pairs = Pairs::new(map);
        let mut request = Self {
            pairs,
            method: b"",
            target: b"",
            authority: b"",
            scheme: b"",
            upgrades: false,
        };
        for (name, value) in pairs {
            match name {
                b":method" => request.method = value,
                b":path" => request.target = value,
                b":authority" => request.authority = value,
                b":scheme" => request.scheme = value,
                b"upgrade" => request.upgrades = true,
                _ => {}
            }
        }
        request.upgrades |= request.method == b"CONNECT";
        request
    }

    /// Tells whether nothing that a document can say concerns the request: it is safe, and stays HTTP.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        !self.upgrades && is_safe(self.method)
    }

    /// Shows the path without its query.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// Names the headers that a protected request must not carry: they would make Envoy send it again, or speak for us.
    #[must_use]
    pub fn forbidden(&self) -> Vec<Vec<u8>> {
        self.pairs
            .filter(|(name, _)| is_forbidden(name))
            .map(|(name, _)| name.to_vec())
            .collect()
    }
}

/// Tells whether a method is safe: a key means nothing to it.
#[must_use]
pub const fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

fn is_forbidden(name: &[u8]) -> bool {
    name.starts_with(b"reprise-")
        || matches!(
            name,
            b"x-envoy-retry-on"
                | b"x-envoy-retry-grpc-on"
                | b"x-envoy-max-retries"
                | b"x-envoy-hedge-on-per-try-timeout"
        )
}

/// Decides what is to do with `request` on a route with `policy`.
#[must_use]
pub fn gate(request: &Request<'_>, policy: &Policy, document: &Document, secrets: &Secrets) -> Gate {
    match policy.mode {
        Mode::Off => return Gate::Pass,
        Mode::Required if request.upgrades => return Gate::Refuse(Problem::NotProtectable),
        Mode::Optional | Mode::Required if request.upgrades || !is_covered(request.method, &policy.methods) => {
            return Gate::Pass;
        }
        Mode::Optional | Mode::Required => {}
    }
    match key(request, policy) {
        Ok(Some(key)) => Gate::Claim(keyed(request, &key, document, secrets)),
        Ok(None) if policy.mode == Mode::Optional => Gate::PassUnkeyed,
        Ok(None) => Gate::Refuse(Problem::KeyMissing {
            header: policy.header.clone(),
        }),
        Err(error) => Gate::Refuse(Problem::KeyMalformed {
            header: policy.header.clone(),
            error,
        }),
    }
}

fn is_covered(method: &[u8], methods: &Methods) -> bool {
    match methods {
        Methods::Unsafe => !is_safe(method),
        Methods::Listed(listed) => !is_safe(method) && listed.iter().any(|each| each.as_bytes() == method),
    }
}

fn key<'a>(request: &Request<'a>, policy: &Policy) -> Result<Option<IdempotencyKey<'a>>, KeyError> {
    let mut values = request.pairs.filter(|(name, _)| *name == policy.header.as_bytes());
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => IdempotencyKey::parse(value, policy.header_syntax).map(Some),
        (Some(_), Some(_)) => Err(KeyError::Several),
    }
}

fn keyed(request: &Request<'_>, key: &IdempotencyKey<'_>, document: &Document, secrets: &Secrets) -> Keyed {
    let principal = principal(request, document, secrets);
    let namespace = document.namespace.as_ref().map_or_else(
        || Namespace::Default {
            name: document.name.as_bytes(),
            authority: request.authority,
            scheme: request.scheme,
        },
        |name| Namespace::Named(name.as_bytes()),
    );
    let content_type = request.pairs.first(b"content-type").unwrap_or_default();
    let head = Head {
        method: request.method,
        target: request.target,
        content_type,
    };
    let caller = principal.unwrap_or(Principal::ANONYMOUS);
    Keyed {
        tag: tag(&namespace, &caller, key, secrets),
        principal_row: caller.row(),
        anonymous: principal.is_none(),
        head: head.digest(secrets),
    }
}

/// Finds the caller by the first source that is present; later ones are never tried.
fn principal(request: &Request<'_>, document: &Document, secrets: &Secrets) -> Option<Principal> {
    document.principal.iter().find_map(|source| {
        let (kind, name) = match source {
            PrincipalSource::Authorization => (PrincipalKind::Authorization, "authorization"),
            PrincipalSource::Header(name) => (PrincipalKind::Header, name.as_str()),
        };
        let mut values = request
            .pairs
            .filter(|(each, _)| *each == name.as_bytes())
            .map(|(_, value)| value)
            .peekable();
        values.peek()?;
        Some(Principal::new(kind, name.as_bytes(), values, secrets))
    })
}
