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
}

impl Proofs {
    /// Reads what the document's sources need; nothing is asked for any other.
    #[must_use]
    pub fn read(host: &impl Host, document: &Document) -> Self {
        let wants = |source: PrincipalSource| document.principal.contains(&source);
        Self {
            jwt: wants(PrincipalSource::Jwt).then(|| token(host)).flatten(),
            mtls: wants(PrincipalSource::Mtls).then(|| certificate(host)).flatten(),
        }
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
fn token(host: &impl Host) -> Option<Vec<u8>> {
    let metadata = host.property(&METADATA).ok().flatten()?;
    let payloads = structs::from_metadata(&metadata, VERIFIER).ok().flatten()?;
    payloads.as_object()?.values().find_map(|payload| {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::as_bytes);
        Some(subject(text("iss").unwrap_or_default(), text("sub")?))
    })
}

fn certificate(host: &impl Host) -> Option<Vec<u8>> {
    let read = |path: &[&str; 2]| host.property(path).ok().flatten().filter(|name| !name.is_empty());
    NAMES.iter().find_map(read)
}
