//! Exchanges for which the root acts: each is put aside while it is held, and comes back with its next callback.

use super::Exchange;
use crate::host::Host;
use crate::vm::Vm;

impl Exchange {
    /// Puts the exchange aside: the root finds it in the VM from now on. What stays here is a shell.
    pub fn step_aside(&mut self, vm: &mut Vm) {
        let shell = Self {
            is_aside: true,
            ..Self::new(None, self.id)
        };
        let exchange = std::mem::replace(self, shell);
        vm.aside.insert(exchange.id, Box::new(exchange));
    }

    #[inline(never)]
    fn restore(&mut self, vm: &mut Vm) {
        if let Some(exchange) = vm.aside.remove(&self.id) {
            *self = *exchange;
        }
    }

    /// Comes back from where it was put aside, to its own callback.
    pub(super) fn come_back(&mut self, vm: &mut Vm) {
        if self.is_aside {
            self.restore(vm);
        }
    }
}

/// Acts for the exchange `id` in its own context, if it is there: a stream that is gone has come back for its end.
///
/// The caller enters the root's context again.
pub fn act(host: &impl Host, vm: &mut Vm, id: u32, act: impl FnOnce(&mut Exchange, &mut Vm)) -> bool {
    let Some(mut exchange) = vm.aside.remove(&id) else {
        return false;
    };
    if host.enter(id).is_ok() {
        act(&mut exchange, vm);
    }
    vm.aside.insert(id, exchange);
    true
}
