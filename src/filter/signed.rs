//! Requests that replayd signed: held until their body proves to be the one that was signed, and let through once.

use crate::claims::{self, Moment, StoreFailure};
use crate::host::{Host, Side};
use crate::metrics::Count;
use crate::policy;
use crate::vm::Vm;
use reprise_core::config::StoreLimits;
use reprise_core::gate::Request;
use reprise_core::id::signed_tag;
use reprise_core::signature::{HEADER, Line, SignatureError, Signed, verify};
use reprise_core::time::Millis;

/// A signed request whose body is not known yet.
#[derive(Debug)]
pub struct Unproven {
    signed: Signed,
    /// The request's head, as it came.
    pub map: Vec<u8>,
    hash: blake3::Hasher,
    read: usize,
}

/// What a request with a signature is, as far as its head says.
#[derive(Debug)]
pub enum Claimed {
    /// A client's.
    Client,
    /// replayd's.
    Replay(Signed),
    /// replayd's, if its body is the one that was signed.
    Unproven(Signed),
}

/// Takes the signature off a request, and reads it.
pub fn read(host: &impl Host, vm: &mut Vm, request: &Request<'_>, ended: bool) -> Claimed {
    let mut values = request.pairs.filter(|(name, _)| *name == HEADER.as_bytes());
    let (Some((_, value)), second) = (values.next(), values.next()) else {
        return Claimed::Client;
    };
    let _stays = host.remove_header(Side::Request, HEADER.as_bytes());
    let line = Line {
        method: request.method,
        authority: request.authority,
        target: request.target,
    };
    let signed = match verified(host, vm, value, &line) {
        Ok(signed) if second.is_none() => signed,
        Ok(_) | Err(_) => {
            vm.metrics.count(Count::SignatureInvalid);
            return Claimed::Client;
        }
    };
    match signed.body {
        None => Claimed::Replay(signed),
        Some(hash) if ended && hash == *blake3::hash(b"").as_bytes() => Claimed::Replay(signed),
        Some(_) if ended => {
            vm.metrics.count(Count::SignatureInvalid);
            Claimed::Client
        }
        Some(_) => Claimed::Unproven(signed),
    }
}

/// Verifies a signature, with the policy of now: another VM may have fetched it since this one's last tick.
fn verified(host: &impl Host, vm: &mut Vm, value: &[u8], line: &Line<'_>) -> Result<Signed, SignatureError> {
    let now = host.wall_millis();
    match verify(vm.policies.signature_keys(), value, line, now) {
        Err(SignatureError::Forged) => {
            // Without the store the policy that is known stands.
            let _read = policy::refresh(host, vm);
            verify(vm.policies.signature_keys(), value, line, now)
        }
        verified => verified,
    }
}

/// Claims a signed request; tells whether it is the first with its signature.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer; it does not go through then.
pub fn claim(host: &impl Host, vm: &mut Vm, signed: &Signed, limits: &StoreLimits) -> Result<bool, StoreFailure> {
    let secrets = &vm.store.as_ref().ok_or(StoreFailure)?.secrets;
    let tag = signed_tag(signed.id.as_bytes(), signed.attempt, secrets);
    let now = host.now();
    // Seconds are rounded down where it is kept: one more, so that it outlives the signature.
    let left = signed
        .expires_unix_ms
        .saturating_sub(host.wall_millis())
        .saturating_add(1000);
    let is_first = claims::take_once(host, vm, &tag, now.plus(Millis(left)), &Moment { now, limits })?;
    vm.metrics.count(if is_first {
        Count::SignatureTaken
    } else {
        Count::SignatureUsed
    });
    Ok(is_first)
}

impl Unproven {
    /// Begins to hold a request with its head.
    #[must_use]
    pub fn new(signed: Signed, map: Vec<u8>) -> Self {
        Self {
            signed,
            map,
            hash: blake3::Hasher::new(),
            read: 0,
        }
    }

    /// Takes in what is new in the host's buffer of `len` bytes; gives whether it could be read.
    pub fn body(&mut self, host: &impl Host, len: usize) -> bool {
        let fresh = len.saturating_sub(self.read);
        match host.body(Side::Request, self.read, fresh) {
            Ok(piece) => {
                self.hash.update(&piece);
                self.read = self.read.max(len);
                true
            }
            Err(_) => false,
        }
    }

    /// Counts the bytes that are held.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.read as u64
    }

    /// Gives what was signed, if the body was that too.
    #[must_use]
    pub fn proven(self) -> (Vec<u8>, Option<Signed>) {
        let is_same = self.signed.body == Some(*self.hash.finalize().as_bytes());
        (self.map, is_same.then_some(self.signed))
    }
}
