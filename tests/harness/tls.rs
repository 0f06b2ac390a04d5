//! Certificates that a test makes, an Envoy that wants them, and clients that show them.

use super::client::{Request, Response, read};
use super::wait::within;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The host that Envoy's own certificate is about.
const HOST: &str = "edge.test";

/// Somebody who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

/// A name in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// A URI, as SPIFFE has them.
    Uri(&'a str),
    /// A host.
    Dns(&'a str),
    /// An address of mail, which the filter cannot see.
    Mail(&'a str),
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Authority {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = params("an authority of tests", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate").der().clone();
        let issuer = Issuer::new(params, key);
        Self { issuer, root }
    }

    /// Signs a client's certificate: `subject` is its common name, `names` are all that it is an alternative for.
    #[must_use]
    pub fn certify(&self, subject: &str, names: &[Name<'_>]) -> Certificate {
        self.sign(params(subject, names), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Certificate {
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = vec![signed.der().clone()];
        Certificate { chain, key }
    }

    /// Writes its own certificate as Envoy reads it.
    #[must_use]
    pub fn trusted(&self) -> Value {
        json!({"inline_string": pem("CERTIFICATE", &self.root)})
    }

    /// Writes the transport socket of a listener that speaks TLS; `wants` is merged into its `DownstreamTlsContext`.
    #[must_use]
    pub fn socket(&self, wants: Value) -> Value {
        let server = self.sign(params(HOST, &[Name::Dns(HOST)]), ExtendedKeyUsagePurpose::ServerAuth);
        let mut context = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [{
                "certificate_chain": {"inline_string": pem("CERTIFICATE", &server.chain[0])},
                "private_key": {"inline_string": pem("PRIVATE KEY", &server.key.serialize_der())},
            }]},
        });
        super::merge(&mut context, wants);
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
    }

    /// Sends a request over TLS with this certificate, or none; status 0 if the connection ended before a response.
    pub async fn send(&self, request: &Request, shown: Option<&Certificate>) -> Response {
        let config = self.client(shown);
        within("a response over TLS", PATIENCE, exchange(request, config))
            .await
            .unwrap_or_default()
    }

    fn client(&self, shown: Option<&Certificate>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that the provider has")
            .with_root_certificates(roots);
        let Some(Certificate { chain, key }) = shown else {
            return config.with_no_client_auth();
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        config
            .with_client_auth_cert(chain.clone(), key)
            .expect("a key that fits")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// Gives the key's bytes, which nobody may log.
    #[must_use]
    pub fn secret(&self) -> String {
        STANDARD.encode(self.key.serialize_der())
    }
}

fn params(subject: &str, names: &[Name<'_>]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    let named = names.iter().map(|name| match name {
        Name::Uri(uri) => SanType::URI((*uri).try_into().expect("ASCII")),
        Name::Dns(host) => SanType::DnsName((*host).try_into().expect("ASCII")),
        Name::Mail(mail) => SanType::Rfc822Name((*mail).try_into().expect("ASCII")),
    });
    params.subject_alt_names = named.collect();
    params
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

async fn exchange(request: &Request, config: ClientConfig) -> Option<Response> {
    let stream = TcpStream::connect(request.address()).await.ok()?;
    let host = ServerName::try_from(HOST).ok()?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await.ok()?;
    // A server that wants another certificate says so after the handshake, to whoever reads.
    let _ = stream.write_all(&request.bytes()).await;
    let _ = stream.flush().await;
    Some(read(&mut stream, &mut Vec::new(), false).await)
}
