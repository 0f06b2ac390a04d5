//! What the proxy proved about a request's sender, read off the host where the document wants it.

use crate::host::Host;
use crate::structs;
use reprise_core::caller::{Proven, subject};
use reprise_core::config::{Document, PrincipalSource};
use serde_json::Value;

/// What the filters before this one left behind. A path into it would give pairs, and lose what is a text and what not.
const METADATA: [&str; 1] = ["metadata"];
/// Who leaves the payloads of tokens, with `payload_in_metadata`.
const VERIFIER: &str = "envoy.filters.http.jwt_authn";
/// Where the names in the client's certificate are, the one that counts first.
const NAMES: [[&str; 2]; 2] = [
    ["connection", "uri_san_peer_certificate"],
    ["connection", "dns_san_peer_certificate"],
];

/// What the proxy proved, and the document asks for.
#[derive(Debug, Default)]
pub struct Proofs {
    jwt: Option<Vec<u8>>,
    mtls: Option<Vec<u8>>,
    are_unread: bool,
}

/// There may be a proof, and it could not be read: its caller must not pass for somebody else.
struct Unread;

impl Proofs {
    /// Reads what the document's sources need; nothing is asked for any other.
    #[must_use]
    pub fn read(host: &impl Host, document: &Document) -> Self {
        let wants = |source: PrincipalSource| document.principal.contains(&source);
        let jwt = if wants(PrincipalSource::Jwt) {
            token(host)
        } else {
            Ok(None)
        };
        let mtls = if wants(PrincipalSource::Mtls) {
            certificate(host)
        } else {
            Ok(None)
        };
        Self {
            are_unread: jwt.is_err() || mtls.is_err(),
            jwt: jwt.unwrap_or_default(),
            mtls: mtls.unwrap_or_default(),
        }
    }

    /// Tells whether there may be one that could not be read.
    #[must_use]
    pub const fn are_unread(&self) -> bool {
        self.are_unread
    }

    /// Shows them as the core reads them.
    #[must_use]
    pub fn shown(&self) -> Proven<'_> {
        Proven {
            jwt: self.jwt.as_deref(),
            mtls: self.mtls.as_deref(),
        }
    }
}

/// Names the subject of the verified token; of several that of the payload whose name comes first.
fn token(host: &impl Host) -> Result<Option<Vec<u8>>, Unread> {
    let metadata = host.property(&METADATA).map_err(|_| Unread)?.unwrap_or_default();
    let payloads = structs::from_metadata(&metadata, VERIFIER).map_err(|_| Unread)?;
    let subjects = payloads.as_ref().and_then(Value::as_object).into_iter().flatten();
    let named = subjects.filter_map(|(_, payload)| {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_named = !text("sub").is_empty();
        is_named.then(|| subject(text("iss").as_bytes(), text("sub").as_bytes()))
    });
    Ok(named.into_iter().next())
}

fn certificate(host: &impl Host) -> Result<Option<Vec<u8>>, Unread> {
    for path in NAMES {
        let name = host.property(&path).map_err(|_| Unread)?.unwrap_or_default();
        if !name.is_empty() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
