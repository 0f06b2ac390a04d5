//! One request of a replay on its way: made from its capture, signed, sent, and its response judged.

use crate::app::captures::Captures;
use crate::app::replays::{BOOT_ID, CompareMeant, path};
use crate::clock::Clock;
use crate::config::{Credential, CredentialError, Target};
use crate::connector::{Answered, Connector, Outgoing as Body, SendError};
use crate::store::captures::{Capture, CaptureId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use reprise_core::http::Pairs;
use reprise_core::replay::compare::Place;
use reprise_core::replay::hidden::{Hidden, hidden};
use reprise_core::replay::key;
use reprise_core::replay::request::{Header, Outgoing};
use reprise_core::replay::variables::Variables;
use reprise_core::signature::{self, Kind, LIFE_MS, Line, Signed};
use reprise_core::wire::Sealed;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::RwLock;

/// Largest body that is signed: the proxy holds a request with a signed body until it has all of it.
const SIGNED_BODY_BYTES_MAX: usize = 1 << 20;

/// What all requests of one replay have in common.
pub(super) struct Sender {
    /// Dials.
    pub(super) connector: Connector,
    /// Where to.
    pub(super) target: Target,
    /// How long one request may take.
    pub(super) timeout: Duration,
    /// The replay's number.
    pub(super) replay: i64,
    /// The replay's scope.
    pub(super) scope: String,
    /// The key of signatures.
    pub(super) key: [u8; 32],
    /// Opens what is sealed.
    pub(super) sealed: Captures,
    /// Tells the time.
    pub(super) clock: Arc<dyn Clock>,
    /// The target's boot; empty if it does not matter.
    pub(super) boot: String,
    /// The credential's value.
    pub(super) secret: RwLock<Option<HeaderValue>>,
    /// What of the responses is compared.
    pub(super) compare: CompareMeant,
    /// What differs anyway, as an earlier replay showed.
    pub(super) noise: HashMap<CaptureId, Vec<Place>>,
    /// Whether requests go out with tokens in the place of what was redacted.
    pub(super) force: bool,
    /// Whether values are replaced.
    pub(super) maps: bool,
    /// Values that are others in this replay.
    pub(super) variables: Mutex<Variables>,
}

/// What came of one attempt.
#[derive(Debug)]
pub(super) enum Got {
    /// A response.
    Answer(Box<Answered>),
    /// Nothing reached the target.
    NotSent(String),
    /// It may have reached the target, and no response came.
    Lost(String),
    /// The capture cannot be sent at all.
    Unsendable(String),
}

/// Why no request can be made of a capture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unmade {
    /// What was redacted of its target or body is not known.
    Redacted(Hidden),
    /// Something else.
    Broken(String),
}

impl Sender {
    /// Reads the credential, and again if it changed.
    pub(super) async fn refresh(&self) -> Result<(), CredentialError> {
        let secret = match &self.target.credential {
            Some(credential) => Some(credential.read().await?),
            None => None,
        };
        *self.secret.write().await = secret;
        Ok(())
    }

    /// Tells whether there is a credential that could be refreshed.
    pub(super) const fn has_credential(&self) -> bool {
        self.target.credential.is_some()
    }

    /// Makes the request of a step, without what is only true of one attempt.
    pub(super) fn prepare(&self, capture: &Capture, step: u64) -> Result<Outgoing, Unmade> {
        let broken = || Unmade::Broken("the capture has no request line".to_owned());
        let mut out = Outgoing::read(&capture.request).ok_or_else(broken)?;
        capture.row.principal.as_bytes().clone_into(&mut out.caller);
        if self.maps {
            self.variables().apply(&mut out);
        }
        let why = hidden(&out, &capture.sealed, self.target.allowed).filter(|_| !self.force);
        if let Some(why) = why {
            return Err(Unmade::Redacted(why));
        }
        out.finish(&self.opened(capture)?);
        if key::own(Pairs::new(&capture.request.pairs)).is_none() {
            let made = key::derive(&self.scope, &self.name(capture, step));
            out.set_header(key::HEADER.as_bytes(), made.as_bytes());
        }
        Ok(out)
    }

    /// Opens what is sealed of a capture, if the configuration trusts the target; whoever asked for the replay does not count.
    fn opened(&self, capture: &Capture) -> Result<Vec<Sealed>, Unmade> {
        if !self.target.allowed {
            return Ok(Vec::new());
        }
        let opened = self.sealed.unseal(capture);
        opened.map_err(|error| Unmade::Broken(error.to_string()))
    }

    /// Names the headers that a request goes without, as what was redacted of them is not known.
    pub(super) fn headers_left_out(&self, out: &Outgoing) -> Vec<String> {
        let credential = self
            .target
            .credential
            .as_ref()
            .map(|credential| credential.header.as_str());
        let names = out
            .left_out
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        names.filter(|name| credential != Some(name)).collect()
    }

    /// Names a capture among those of all installations.
    fn name(&self, capture: &Capture, step: u64) -> Vec<u8> {
        let row = &capture.row;
        match row.name() {
            Some(origin) => origin.to_bytes(),
            None if row.id.0 > 0 => {
                let installation = blake3::derive_key("reprise 2026-11 name of an installation", &self.key);
                [&installation[..], &row.id.0.to_be_bytes()].concat()
            }
            None => step.to_be_bytes().to_vec(),
        }
    }

    /// Sends one attempt.
    pub(super) async fn send(&self, out: Outgoing, step: u64, attempt: u32) -> Got {
        let request = match self.request(out, step, attempt).await {
            Ok(request) => request,
            Err(why) => return Got::Unsendable(why),
        };
        match self.connector.send(request, self.timeout).await {
            Ok(answered) => Got::Answer(Box::new(answered)),
            Err(SendError::NotSent { cause }) => Got::NotSent(cause),
            Err(error @ (SendError::Lost { .. } | SendError::TooLate { .. })) => Got::Lost(error.to_string()),
        }
    }

    async fn request(&self, out: Outgoing, step: u64, attempt: u32) -> Result<Request<Body>, String> {
        let authority = self.target.url.authority().map(ToString::to_string).unwrap_or_default();
        let base = path(&self.target.url).as_bytes();
        let target = [base, &out.target].concat();
        let is_grpc = out
            .header(b"content-type")
            .is_some_and(|media| media.starts_with(b"application/grpc"));
        let line = Line {
            method: &out.method,
            authority: authority.as_bytes(),
            target: &target,
        };
        let signature = self.signature(&line, &out, step, attempt);
        let mut request = Request::new(Body::new(Bytes::from(out.body), Some(headers(&out.trailers)?)));
        *request.method_mut() = Method::from_bytes(&out.method).map_err(|_| "its method cannot be sent")?;
        *request.uri_mut() = self.uri(&authority, &target)?;
        let mut head = headers(&out.headers)?;
        if is_grpc {
            *request.version_mut() = Version::HTTP_2;
        } else {
            head.insert(http::header::HOST, value(authority.as_bytes())?);
        }
        head.insert(HeaderName::from_static(signature::HEADER), value(signature.as_bytes())?);
        if let (Some(credential), Some(secret)) = (&self.target.credential, &*self.secret.read().await) {
            let Credential { header, .. } = credential;
            head.insert(header.clone(), secret.clone());
        }
        *request.headers_mut() = head;
        Ok(request)
    }

    fn signature(&self, line: &Line<'_>, out: &Outgoing, step: u64, attempt: u32) -> String {
        let (body, caller) = (&out.body[..], blake3::hash(&out.caller).to_hex());
        let now = u64::try_from(self.clock.now().0).unwrap_or_default();
        let signed = Signed {
            kind: Kind::Replay,
            id: format!("{}/{}", self.replay, step.saturating_add(1)),
            attempt,
            // Callers whose credentials are redacted look alike to the proxy; their keys stay apart.
            scope: format!("{}/{}", self.scope, caller.get(..16).unwrap_or_default()),
            boot: self.boot.clone(),
            body: (body.len() <= SIGNED_BODY_BYTES_MAX).then(|| *blake3::hash(body).as_bytes()),
            expires_unix_ms: now.saturating_add(LIFE_MS),
        };
        signature::sign(&self.key, &signed, line)
    }

    fn uri(&self, authority: &str, target: &[u8]) -> Result<Uri, String> {
        let scheme = self.target.url.scheme_str().unwrap_or("http");
        let text = str::from_utf8(target).map_err(|_| "its target is not text, and cannot be sent")?;
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(text)
            .build()
            .map_err(|_| "its target cannot be sent")?;
        let same = uri.path_and_query().is_some_and(|sent| sent.as_str() == text);
        same.then_some(uri)
            .ok_or_else(|| "its target cannot be sent as it was".to_owned())
    }

    /// Shows what is known of values that are others in this replay.
    pub(super) fn variables(&self) -> MutexGuard<'_, Variables> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the boot id in a response.
pub(super) fn boot_of(answered: &Answered) -> String {
    let shown = answered.headers.get(BOOT_ID).and_then(|value| value.to_str().ok());
    shown.unwrap_or_default().to_owned()
}

fn headers(list: &[Header]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(list.len());
    for header in list {
        let name = HeaderName::from_bytes(&header.name).map_err(|_| "a header's name cannot be sent")?;
        map.append(name, value(&header.value)?);
    }
    Ok(map)
}

fn value(bytes: &[u8]) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(bytes).map_err(|_| "a header's value cannot be sent".to_owned())
}
