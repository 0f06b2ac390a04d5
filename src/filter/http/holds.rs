//! What waits until its capture is on disk: a request before it is forwarded, a response before its last byte leaves.

use super::{Exchange, Flow, Stage};
use crate::captures;
use crate::host::{Host, Side};
use crate::journal::{self, Hold, Holder, Told, Why};
use crate::reply::Mend;
use crate::vm::Vm;
use reprise_core::config::Durability;
use std::cell::Cell;
use std::rc::Rc;

/// Where both halves of an exchange stand that is written ahead.
#[derive(Debug)]
pub(super) struct Holds {
    request: Held,
    response: Held,
    /// Whether the response waits as well.
    both: bool,
}

#[derive(Debug, Default)]
struct Held {
    hold: Rc<Cell<Hold>>,
    /// Bytes that were read, and are still in the host's buffer.
    buffered: usize,
}

impl Held {
    fn keep(&mut self, len: usize) -> Flow {
        self.buffered = self.buffered.max(len);
        Flow::Pause
    }

    fn let_go(&mut self) -> Flow {
        self.buffered = 0;
        Flow::Continue
    }
}

impl Exchange {
    /// Holds a request whose capture has to be on disk before it is forwarded.
    pub(super) fn hold_head(&mut self, host: &impl Host, vm: &mut Vm, ended: bool) -> Flow {
        let Some(tape) = &mut self.tape else {
            return Flow::Continue;
        };
        if ended {
            tape.end_request();
        }
        let durability = tape.policy().capture.durability;
        if durability == Durability::Async {
            return Flow::Continue;
        }
        let holds = Holds {
            request: Held::default(),
            response: Held::default(),
            both: durability == Durability::WriteAheadResponse,
        };
        holds.request.hold.set(Hold::Gathering);
        self.holds = Some(Box::new(holds));
        self.hold_request(host, vm, 0, ended)
    }

    /// Tells how much of a half's buffer was read before.
    pub(super) fn buffered(&self, side: Side) -> usize {
        if let (Side::Request, Some(gathering)) = (side, &self.gathering) {
            return gathering.len();
        }
        if let (Stage::Duplicate(duplicate), Side::Request) = (&self.stage, side) {
            return duplicate.read();
        }
        self.holds.as_ref().map_or(0, |holds| {
            let held = match side {
                Side::Request => &holds.request,
                Side::Response => &holds.response,
            };
            match held.hold.get() {
                Hold::Gathering | Hold::Waiting => held.buffered,
                Hold::Off | Hold::Released | Hold::Refused(..) => 0,
            }
        })
    }

    /// Holds a request on, as long as it has to wait; `len` bytes of its body are in the host's buffer.
    pub(super) fn hold_request(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        let Some(holds) = &mut self.holds else {
            return Flow::Continue;
        };
        if let (Hold::Gathering, Some(tape), Some(root)) = (holds.request.hold.get(), &mut self.tape, &self.root) {
            let kept_max = u64::from(tape.policy().capture.body_bytes_max).min(root.document.hold_bytes_max);
            if ended || tape.is_open_ended() || tape.request_len() > kept_max {
                let holder = Holder {
                    context: self.id,
                    hold: &holds.request.hold,
                    root,
                    dialect: self.dialect,
                };
                self.begun = journal::write_request(host, vm, tape, &holder);
            }
        }
        match holds.request.hold.get() {
            Hold::Off | Hold::Released => holds.request.let_go(),
            Hold::Gathering | Hold::Waiting => holds.request.keep(len),
            // It was told that already, unless there was no room even to ask.
            Hold::Refused(..) if matches!(self.stage, Stage::Replied(_)) => Flow::Pause,
            Hold::Refused(why, _) => self.refuse_held(host, vm, why),
        }
    }

    /// Refuses a request that was to be held: nothing ran, and its key is free.
    pub(super) fn refuse_held(&mut self, host: &impl Host, vm: &mut Vm, why: Why) -> Flow {
        self.undo(host, vm);
        vm.metrics.count(why.count());
        match self.root.clone() {
            Some(root) => self.refuse(host, &root, &why.problem()),
            None => Flow::Pause,
        }
    }

    /// Undoes what was begun for a request that was refused while it waited: it was not forwarded.
    pub(super) fn take_back(&mut self, host: &impl Host, vm: &mut Vm) {
        let hold = self.holds.as_ref().map(|holds| holds.request.hold.get());
        let Some(Hold::Refused(_, told)) = hold.filter(|_| !matches!(self.stage, Stage::Replied(_))) else {
            return;
        };
        if told != Told::Nothing
            && let Some(tape) = self.tape.take()
        {
            captures::finish_refused(host, vm, *tape, told);
        }
        self.undo(host, vm);
    }

    pub(super) fn undo(&mut self, host: &impl Host, vm: &mut Vm) {
        self.forget_wait(host, vm);
        self.run_inline(vm);
        if let Some(mut tape) = self.tape.take() {
            tape.give_back(vm);
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Replied(Mend::Nothing));
        if let (Stage::Owner(mut owner), Some(root)) = (stage, &self.root) {
            owner.release(host, vm, &root.document.store);
        }
    }

    /// Holds a response whose exchange has to be on disk before its last byte leaves.
    pub(super) fn hold_response(&mut self, host: &impl Host, vm: &mut Vm, len: usize) -> Flow {
        let (Some(holds), Some(root)) = (&mut self.holds, &self.root) else {
            return Flow::Continue;
        };
        let is_over = |tape: &mut Box<crate::tape::Tape>| tape.is_begun() && tape.is_complete();
        if holds.both
            && let Some(tape) = self.tape.take_if(is_over)
        {
            let holder = Holder {
                context: self.id,
                hold: &holds.response.hold,
                root,
                dialect: self.dialect,
            };
            self.ended = journal::write_response(host, vm, *tape, &holder);
        }
        match holds.response.hold.get() {
            Hold::Waiting => holds.response.keep(len),
            Hold::Off | Hold::Gathering | Hold::Released | Hold::Refused(..) => holds.response.let_go(),
        }
    }

    /// Tells whether the request never went on.
    pub(super) fn is_request_held(&self) -> bool {
        let is_held = |holds: &Holds| matches!(holds.request.hold.get(), Hold::Gathering | Hold::Waiting);
        self.gathering.is_some() || self.holds.as_ref().is_some_and(|holds| is_held(holds))
    }

    /// Forgets what waits: the exchange is over.
    pub(super) fn forget_waiting(&self, vm: &mut Vm) {
        for seq in [self.begun, self.ended].into_iter().flatten() {
            journal::forget(vm, seq);
        }
    }
}
