//! One exchange: what each of its callbacks does. The first request is in [`crate::owner`], its repeats in
//! [`crate::duplicate`].

mod admission;
mod aside;
mod detached;
mod holds;
mod naming;
mod waits;

pub use self::aside::act;

use self::detached::Gathering;
use self::holds::Holds;
use crate::asked::Piece;
use crate::boots;
use crate::captures::{self, strip};
use crate::duplicate::Duplicate;
use crate::host::{Host, Side};
use crate::journal::Told;
use crate::manual::Manual;
use crate::owner::Owner;
use crate::reply::{Mend, respond};
use crate::root::Root;
use crate::signed::Unproven;
use crate::tape::Tape;
use crate::unnamed::Unnamed;
use crate::vm::Vm;
use crate::waiting::Waiting;
use reprise_core::http::Pairs;
use reprise_core::problem::{Dialect, Problem};
use std::rc::Rc;

/// What the host does next with what it showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Pass it on.
    Continue,
    /// Hold it.
    Pause,
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    root: Option<Rc<Root>>,
    id: u32,
    /// Whether this is the shell of an exchange that was put aside.
    is_aside: bool,
    /// Whether its request has trailers: a detached one could not carry them.
    has_trailers: bool,
    /// What its client reads.
    dialect: Dialect,
    stage: Stage,
    tape: Option<Box<Tape>>,
    holds: Option<Box<Holds>>,
    /// The request as far as it came, where it is to run detached.
    gathering: Option<Box<Gathering>>,
    /// The numbers of the captures that its halves wait for.
    begun: Option<u64>,
    ended: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    /// It is none of our business, or not yet known to be.
    Passing,
    /// It could have carried a key: what the upstream says to us alone is taken off.
    Unkeyed,
    /// It is signed, and held until its body proves to be what was signed.
    Unproven(Box<Unproven>),
    /// It is held until its key has a name.
    Unnamed(Box<Unnamed>),
    Owner(Box<Owner>),
    Duplicate(Box<Duplicate>),
    /// A repeat whose request has ended, and whose first request runs.
    Waiting(Box<Waiting>),
    /// A repeat that went on to an upstream that decides itself.
    Manual(Box<Manual>),
    /// Its request runs detached: its client waits for the answer.
    Detached,
    /// It has our answer, which is mended when it passes by.
    Replied(Mend),
}

impl Exchange {
    /// Begins an exchange; without a root's document nothing is done with it.
    #[must_use]
    pub const fn new(root: Option<Rc<Root>>, id: u32) -> Self {
        Self {
            root,
            id,
            is_aside: false,
            has_trailers: false,
            dialect: Dialect::Http,
            stage: Stage::Passing,
            tape: None,
            holds: None,
            gathering: None,
            begun: None,
            ended: None,
        }
    }

    /// Takes in a piece of the request's body; `len` bytes are in the host's buffer.
    pub fn request_body(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        self.come_back(vm);
        let flow = match self.prove(host, vm, len, ended) {
            Some(flow) => flow,
            None => match self.name(host, vm, len, ended) {
                Ok(len) => self.take_in(host, vm, len, ended),
                Err(flow) => flow,
            },
        };
        self.step_aside_to_wait(vm);
        flow
    }

    fn take_in(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        let before = self.buffered(Side::Request).min(len);
        let piece = Piece {
            len: len - before,
            ended,
        };
        let is_owner = matches!(self.stage, Stage::Owner(_));
        let is_taped = self.tape.as_ref().is_some_and(|tape| tape.wants(Side::Request));
        let bytes = ((is_owner || is_taped) && piece.len > 0)
            .then(|| host.body(Side::Request, before, piece.len).ok())
            .flatten();
        let bytes = self.keep(vm, (Side::Request, piece), bytes, is_owner);
        match &mut self.stage {
            Stage::Passing | Stage::Unkeyed | Stage::Manual(_) => self.hold_request(host, vm, len, ended),
            Stage::Owner(owner) => {
                let most = self
                    .root
                    .as_ref()
                    .map_or(0, |root| root.document.store.buffered_bytes_max);
                owner.request_body(vm, bytes, piece, most);
                if self.gathering.is_some() {
                    return self.gather(host, vm, len, ended);
                }
                if ended {
                    self.complete(host, vm);
                }
                self.hold_request(host, vm, len, ended)
            }
            Stage::Duplicate(duplicate) => {
                if let Some(root) = &self.root {
                    duplicate.request_body(host, vm, Piece { len, ended }, &root.document);
                }
                match ended {
                    true => self.settle(host, vm),
                    false => Flow::Pause,
                }
            }
            Stage::Replied(_) | Stage::Unproven(_) | Stage::Unnamed(_) | Stage::Waiting(_) | Stage::Detached => {
                Flow::Pause
            }
        }
    }

    /// Keeps a piece of a body on the tape, if there is one; gives back what the owner needs.
    fn keep(
        &mut self,
        vm: &mut Vm,
        (side, piece): (Side, Piece),
        bytes: Option<Vec<u8>>,
        is_owner: bool,
    ) -> Option<Vec<u8>> {
        let (Some(tape), Some(root)) = (&mut self.tape, &self.root) else {
            return bytes;
        };
        let (kept, given) = if is_owner {
            (bytes.clone(), bytes)
        } else {
            (bytes, None)
        };
        tape.body(vm, side, piece, (kept, root.document.store.buffered_bytes_max));
        given
    }

    /// Takes note of the request's trailers: its body has ended.
    pub fn request_trailers(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        self.come_back(vm);
        if let Some(tape) = &mut self.tape {
            tape.trailers(vm, host, Side::Request);
        }
        self.has_trailers = true;
        self.run_inline(vm);
        self.request_body(host, vm, 0, true)
    }

    fn settle(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        vm.parked.remove(&self.id);
        match (std::mem::replace(&mut self.stage, Stage::Passing), self.root.clone()) {
            (Stage::Duplicate(duplicate), Some(_)) if duplicate.may_wait() => self.wait(host, vm, duplicate),
            (Stage::Duplicate(mut duplicate), Some(root)) => {
                let mend = duplicate.settle(host, vm, &root);
                duplicate.give_back(vm);
                self.leave_out(host, vm);
                self.stage = Stage::Replied(mend);
                Flow::Pause
            }
            (stage, _) => {
                self.stage = stage;
                Flow::Pause
            }
        }
    }

    /// Takes note of a response's head.
    pub fn response_headers(&mut self, host: &impl Host, vm: &mut Vm, ended: bool) -> Flow {
        self.come_back(vm);
        self.take_back(host, vm);
        let is_read = self.tape.is_some() || matches!(self.stage, Stage::Owner(_) | Stage::Unkeyed | Stage::Manual(_));
        let map = is_read.then(|| host.headers(Side::Response).ok()).flatten();
        self.see_boot(host, vm, map.as_deref());
        if let Some(map) = &map {
            strip(host, map);
            if let Some(tape) = &mut self.tape {
                tape.response_headers(map, ended);
                tape.prove(host);
                tape.count(vm);
            }
        }
        match (&mut self.stage, &self.root) {
            (Stage::Manual(manual), Some(root)) => {
                let asked = map.and_then(|map| manual.response_headers(host, vm, root, &map));
                if let Some(mend) = asked {
                    self.stage = Stage::Replied(mend);
                    self.leave_out(host, vm);
                    return Flow::Pause;
                }
            }
            (Stage::Owner(owner), Some(root)) => {
                owner.response_headers(host, vm, &root.document.store, (map, ended));
                self.complete(host, vm);
            }
            (Stage::Replied(mend), _) => mend.apply(host),
            (
                Stage::Owner(_)
                | Stage::Manual(_)
                | Stage::Passing
                | Stage::Unkeyed
                | Stage::Duplicate(_)
                | Stage::Detached
                | Stage::Waiting(_)
                | Stage::Unnamed(_)
                | Stage::Unproven(_),
                _,
            ) => {}
        }
        if ended {
            self.hold_response(host, vm, 0)
        } else {
            Flow::Continue
        }
    }

    /// Captures nothing of a repeat that got the recorded answer: to send it again would run it.
    fn leave_out(&mut self, host: &impl Host, vm: &mut Vm) {
        match self.tape.take() {
            Some(tape) if tape.is_begun() => captures::finish_refused(host, vm, *tape, Told::Begun),
            Some(mut tape) => {
                tape.give_back(vm);
                vm.captures.ledger.filter();
            }
            None => {}
        }
    }

    /// Takes note of the boot id in a response, which nobody else gets to see.
    fn see_boot(&self, host: &impl Host, vm: &mut Vm, map: Option<&[u8]>) {
        let gated = self.root.as_ref().is_some_and(|root| root.document.boot_gate);
        if matches!(self.stage, Stage::Replied(_)) {
            return;
        }
        match map {
            Some(map) => {
                if let Some(boot_id) = Pairs::new(map).first(boots::HEADER.as_bytes()) {
                    boots::see(host, vm, boot_id, gated);
                }
            }
            // Nothing else is of interest there: one header is asked for.
            None if gated => {
                if let Ok(Some(boot_id)) = host.header(Side::Response, boots::HEADER) {
                    boots::see(host, vm, &boot_id, gated);
                    let _stays = host.remove_header(Side::Response, boots::HEADER.as_bytes());
                }
            }
            None => {}
        }
    }

    /// Takes in a piece of the response's body.
    pub fn response_body(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        self.come_back(vm);
        let before = self.buffered(Side::Response).min(len);
        let piece = Piece {
            len: len - before,
            ended,
        };
        let is_owned = match (&self.stage, &self.root) {
            (Stage::Owner(owner), Some(root)) => owner.wants(vm, &root.document.store, piece.len),
            _ => false,
        };
        let is_taped = self.tape.as_ref().is_some_and(|tape| tape.wants(Side::Response));
        let bytes = ((is_owned || is_taped) && piece.len > 0)
            .then(|| host.body(Side::Response, before, piece.len).ok())
            .flatten();
        let bytes = self.keep(vm, (Side::Response, piece), bytes, is_owned);
        if let Stage::Owner(owner) = &mut self.stage {
            owner.response_body(vm, bytes, piece);
            if ended {
                self.complete(host, vm);
            }
        }
        self.hold_response(host, vm, len)
    }

    /// Takes note of the response's trailers: they end it, and are not kept.
    pub fn response_trailers(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        self.come_back(vm);
        if let Some(tape) = &mut self.tape {
            tape.trailers(vm, host, Side::Response);
        }
        if let Stage::Owner(owner) = &mut self.stage {
            owner.response_trailers(vm);
            self.complete(host, vm);
        }
        self.hold_response(host, vm, 0)
    }

    /// Completes the claim once both halves have ended.
    fn complete(&mut self, host: &impl Host, vm: &mut Vm) {
        if let (Stage::Owner(owner), Some(root)) = (&mut self.stage, &self.root)
            && owner.has_ended()
        {
            owner.complete(host, vm, &root.document.store);
            self.stage = Stage::Passing;
        }
    }

    /// Ends the exchange, however it ended: a claim that is not complete is judged by what was seen.
    pub fn log(&mut self, host: &impl Host, vm: &mut Vm) {
        self.come_back(vm);
        self.take_back(host, vm);
        self.forget_waiting(vm);
        let never_ran = match &self.stage {
            Stage::Waiting(_) => true,
            Stage::Duplicate(duplicate) => duplicate.waits(),
            _ => false,
        };
        self.forget_wait(host, vm);
        if never_ran {
            self.leave_out(host, vm);
        }
        if let Some(tape) = self.tape.take() {
            captures::finish(host, vm, *tape);
        }
        let is_held = self.is_request_held();
        match (std::mem::replace(&mut self.stage, Stage::Passing), &self.root) {
            (Stage::Owner(mut owner), Some(root)) if is_held => owner.release(host, vm, &root.document.store),
            (Stage::Owner(mut owner), Some(root)) => owner.complete(host, vm, &root.document.store),
            (Stage::Duplicate(mut duplicate), _) => {
                vm.parked.remove(&self.id);
                duplicate.give_back(vm);
            }
            (Stage::Unnamed(mut unnamed), _) => unnamed.give_back(vm),
            (
                Stage::Owner(_)
                | Stage::Manual(_)
                | Stage::Passing
                | Stage::Unkeyed
                | Stage::Replied(_)
                | Stage::Detached
                | Stage::Waiting(_)
                | Stage::Unproven(_),
                _,
            ) => {}
        }
        self.run_inline(vm);
    }

    fn refuse(&mut self, host: &impl Host, root: &Root, problem: &Problem) -> Flow {
        self.stage = Stage::Replied(respond(host, root, problem, self.dialect));
        Flow::Pause
    }
}
