//! A request whose key has no name yet: it is held until its body, which the name is made of, has ended.

use crate::host::{Host, Side};
use crate::root::Root;
use crate::vm::Vm;
use reprise_core::encoder::Encoding;
use reprise_core::gate::Encoded;
use reprise_core::signature::Signed;

/// A request that is held to its end, before anything is looked up.
#[derive(Debug)]
pub struct Unnamed {
    encoding: Encoding,
    /// What replayd signed, if it is a step of a replay.
    replay: Option<Signed>,
    /// The request's head, as it came.
    map: Vec<u8>,
    read: usize,
    counted: u64,
}

impl Unnamed {
    /// Begins to hold a request.
    #[must_use]
    pub const fn new(encoding: Encoding, replay: Option<Signed>) -> Self {
        Self {
            encoding,
            replay,
            map: Vec::new(),
            read: 0,
            counted: 0,
        }
    }

    /// Keeps the request's head for its end.
    pub fn keep(&mut self, map: Vec<u8>) {
        self.map = map;
    }

    /// Takes in what is new in the host's buffer of `len` bytes; tells why the request is held no longer, if it is not.
    ///
    /// What the host holds counts as this worker's: it is held because of us.
    pub fn body(&mut self, host: &impl Host, vm: &mut Vm, len: usize, root: &Root) -> Option<Encoded> {
        let fresh = len.saturating_sub(self.read);
        if len as u64 > root.document.hold_bytes_max {
            return Some(Encoded::TooLong);
        }
        if vm.held_bytes + fresh as u64 > root.document.store.buffered_bytes_max {
            return Some(Encoded::NoRoom);
        }
        if fresh > 0 {
            let Ok(piece) = host.body(Side::Request, self.read, fresh) else {
                return Some(Encoded::Unread);
            };
            self.encoding.push(&piece);
            self.read = len;
            vm.hold(&mut self.counted, len as u64);
        }
        None
    }

    /// Counts the bytes in the host's buffer that were read.
    #[must_use]
    pub const fn read(&self) -> usize {
        self.read
    }

    /// Gives back what it held.
    pub const fn give_back(&mut self, vm: &mut Vm) {
        vm.hold(&mut self.counted, 0);
    }

    /// Gives the request's head, what replayd signed of it, and its code.
    #[must_use]
    pub fn end(self) -> (Vec<u8>, Option<Signed>, Encoded) {
        (self.map, self.replay, Encoded::Code(self.encoding.end()))
    }
}
