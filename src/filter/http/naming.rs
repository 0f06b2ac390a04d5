//! A request that is held until its key has a name, and then decided about as if it came now.

use super::{Exchange, Flow, Stage};
use crate::host::Host;
use crate::unnamed::Unnamed;
use crate::vm::Vm;
use reprise_core::config::Policy;
use reprise_core::gate::{Encoded, Request, encoding};
use reprise_core::signature::Signed;

impl Exchange {
    /// Holds a request whose body its key's name is made of.
    pub(super) fn hold_unnamed(&mut self, request: &Request<'_>, policy: &Policy, replay: Option<&Signed>) -> Flow {
        if let Some(encoding) = encoding(request, policy) {
            self.stage = Stage::Unnamed(Box::new(Unnamed::new(encoding, replay.cloned())));
        }
        Flow::Pause
    }

    /// Takes in a piece of the body of a request whose key has no name yet; gives what is in the host's buffer once the
    /// request goes on, or is held for another reason: it meets its body then as if it came now.
    ///
    /// # Errors
    /// What the host does, as long as the key has no name, or if the request does not go through.
    pub(super) fn name(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Result<usize, Flow> {
        let (Stage::Unnamed(unnamed), Some(root)) = (&mut self.stage, &self.root) else {
            return Ok(len);
        };
        // Trailers show nothing of the body that came before them.
        let len = len.max(unnamed.read());
        let broken = unnamed.body(host, vm, len, root);
        if broken.is_none() && !ended {
            return Err(Flow::Pause);
        }
        let Stage::Unnamed(mut unnamed) = std::mem::replace(&mut self.stage, Stage::Passing) else {
            return Ok(len);
        };
        unnamed.give_back(vm);
        let (map, replay, code) = unnamed.end();
        let flow = self.admit(host, vm, (map, false), (replay.as_ref(), broken.unwrap_or(code)));
        match self.stage {
            Stage::Replied(_) => Err(flow),
            _ => Ok(len),
        }
    }
}

/// What an encoder makes of a request without a body.
pub(super) fn bodiless(request: &Request<'_>, policy: &Policy) -> Encoded {
    encoding(request, policy).map_or(Encoded::Unread, |encoding| Encoded::Code(encoding.end()))
}
