//! An exchange that waits for the first request of its key, and what it does once it is woken.

use super::detached::Gathering;
use super::{Exchange, Flow, Stage};
use crate::boots;
use crate::claims::Place;
use crate::duplicate::Duplicate;
use crate::host::{Host, Side};
use crate::journal::Why;
use crate::manual::{self, Manual};
use crate::metrics::Count;
use crate::owner::Owner;
use crate::vm::Vm;
use crate::waiting::{Next, Waiting};
use reprise_core::config::Mode;
use reprise_core::problem::Problem;

impl Exchange {
    /// Lets a duplicate wait whose request has ended; tells whether it goes on at once.
    pub(super) fn wait(&mut self, host: &impl Host, vm: &mut Vm, duplicate: Box<Duplicate>) -> Flow {
        let until = host.now().plus(duplicate.asks().1.max_wait);
        self.stage = Stage::Waiting(Box::new(Waiting::new(duplicate, self.id, until)));
        self.go_by(host, vm)
    }

    /// Tells whether this exchange may be sent on later.
    pub(super) fn may_run(&self) -> bool {
        match &self.stage {
            Stage::Waiting(_) => true,
            Stage::Owner(_) => self.gathering.is_some(),
            Stage::Duplicate(duplicate) => duplicate.waits(),
            _ => false,
        }
    }

    /// Has the root act for an exchange that waits, from the end of this callback on.
    pub(super) fn step_aside_to_wait(&mut self, vm: &mut Vm) {
        if matches!(self.stage, Stage::Waiting(_) | Stage::Detached) {
            self.step_aside(vm);
        }
    }

    /// Looks what became of the first request, in the root's callback.
    pub fn look(&mut self, host: &impl Host, vm: &mut Vm) {
        if matches!(self.stage, Stage::Waiting(_)) && self.go_by(host, vm) == Flow::Continue {
            // A stream that is gone meanwhile has nothing to go on with.
            let _gone = host.resume(Side::Request);
        }
    }

    /// Goes by what is there now.
    fn go_by(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        let (Stage::Waiting(waiting), Some(root)) = (&mut self.stage, self.root.clone()) else {
            return Flow::Pause;
        };
        let next = waiting.look(host, vm, &root);
        if next == Next::Wait {
            root.hurry(host);
            return Flow::Pause;
        }
        let Stage::Waiting(mut waiting) = std::mem::replace(&mut self.stage, Stage::Passing) else {
            return Flow::Pause;
        };
        waiting.leave(host, vm);
        let duplicate = *waiting.duplicate;
        let problem = match next {
            Next::Wait | Next::Settle => return self.settle_now(host, vm, duplicate),
            Next::Run(place) => return self.take_over(host, vm, duplicate, place),
            Next::Conflict(retry_after_s) => {
                vm.metrics.count(Count::Conflict);
                duplicate.in_flight_problem(retry_after_s)
            }
            Next::Full => {
                vm.metrics.count(Count::Capacity);
                Problem::Capacity
            }
            Next::Unavailable => {
                vm.metrics.count(Count::StoreError);
                Problem::StoreUnavailable
            }
        };
        self.let_go(host, vm, duplicate);
        self.refuse(host, &root, &problem)
    }

    /// Gives a duplicate what is recorded; one whose upstream decides itself goes on.
    fn settle_now(&mut self, host: &impl Host, vm: &mut Vm, mut duplicate: Duplicate) -> Flow {
        let Some(root) = self.root.clone() else {
            return Flow::Pause;
        };
        if let Some(place) = duplicate.is_told() {
            let (keyed, policy) = duplicate.asks();
            if let Some(manual) = Manual::begin(host, &place, (keyed, policy), self.dialect) {
                vm.metrics.count(Count::Manual);
                duplicate.give_back(vm);
                self.stage = Stage::Manual(Box::new(manual));
                return self.hold_head(host, vm, true);
            }
        }
        let mend = duplicate.settle(host, vm, &root);
        self.let_go(host, vm, duplicate);
        self.stage = Stage::Replied(mend);
        Flow::Pause
    }

    /// Runs in the place of the first request, which took no effect.
    fn take_over(&mut self, host: &impl Host, vm: &mut Vm, duplicate: Duplicate, place: Place) -> Flow {
        let (is_step, mode) = (duplicate.is_step(), duplicate.asks().1.mode);
        let gathering = match self.has_trailers {
            true => None,
            false => Gathering::of_heir(host, vm, &duplicate),
        };
        let owner = Owner::heir(vm, duplicate, place);
        self.stage = Stage::Owner(Box::new(owner));
        self.gathering = gathering;
        let has_gate = self.root.as_ref().is_some_and(|root| root.document.boot_gate);
        if has_gate && !is_step && boots::is_closed(host, vm) {
            self.leave_out(host, vm);
            return self.refuse_held(host, vm, Why::Restoring);
        }
        if mode == Mode::Manual {
            manual::tell_new(host);
        }
        match self.gathering {
            Some(_) => self.detach(host, vm),
            None => self.hold_head(host, vm, true),
        }
    }

    fn let_go(&mut self, host: &impl Host, vm: &mut Vm, mut duplicate: Duplicate) {
        duplicate.give_back(vm);
        self.leave_out(host, vm);
    }

    /// Ends a wait whose client is gone.
    pub(super) fn forget_wait(&mut self, host: &impl Host, vm: &mut Vm) {
        if let Stage::Waiting(waiting) = &mut self.stage {
            waiting.leave(host, vm);
            waiting.duplicate.give_back(vm);
        }
    }
}
