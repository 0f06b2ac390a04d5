//! The plugin, as the SDK calls it: each callback goes to the exchange or the root, with the VM's state.

use crate::detached;
use crate::host::{Level, Meter as _, Proxy};
use crate::http::{Exchange, Flow};
use crate::publisher;
use crate::queues;
use crate::root::{self, Root};
use crate::vm::Vm;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Plugin { id, root: None }));
}}

thread_local! {
    static VM: RefCell<Vm> = RefCell::default();
}

/// Runs `act` with the VM's state. The host never calls back while it runs, so nobody else has it.
fn with_vm<T>(act: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.with(|vm| vm.try_borrow_mut().ok().map(|mut vm| act(&mut vm)))
}

struct Plugin {
    id: u32,
    root: Option<Rc<Root>>,
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_len: usize, trailers: usize) {
        let sizes = (headers, body_len, trailers);
        let _in_use = with_vm(|vm| {
            if !detached::answered(&Proxy, vm, token, sizes, self.id) {
                publisher::answered(&Proxy, vm, token, (headers, body_len), self.id);
            }
        });
    }
}

impl Drop for Plugin {
    /// The host ends a root's calls with it, and nobody hears of them: a reload's last exchange is over.
    fn drop(&mut self) {
        let _in_use = with_vm(|vm| detached::lose(vm, self.id));
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match with_vm(|vm| root::configure(&Proxy, vm, &bytes)) {
            Some(Ok(root)) => {
                self.root = root;
                true
            }
            Some(Err(problems)) => {
                Proxy.log(
                    Level::Error,
                    &format!("reprise: the configuration is refused\n{problems}"),
                );
                false
            }
            None => false,
        }
    }

    fn on_tick(&mut self) {
        if let Some(root) = &self.root {
            let _in_use = with_vm(|vm| root.tick(&Proxy, vm, self.id));
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        let _in_use = with_vm(|vm| queues::woken(&Proxy, vm, queue, self.id));
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http(Exchange::new(self.root.clone(), id))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Http(Exchange);

fn action(flow: Option<Flow>) -> Action {
    match flow {
        Some(Flow::Continue) => Action::Continue,
        Some(Flow::Pause) | None => Action::Pause,
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, ended: bool) -> Action {
        #[cfg(feature = "trap")]
        trap::on_command(self.get_http_request_header_bytes(trap::HEADER).is_some());
        #[cfg(feature = "trap")]
        if let Some(asked) = self.get_http_request_header_bytes(probe::HEADER) {
            self.send_http_response(200, Vec::new(), Some(probe::answer(&asked).as_bytes()));
            return Action::Pause;
        }
        action(with_vm(|vm| self.0.request_headers(&Proxy, vm, ended)))
    }

    fn on_http_request_body(&mut self, len: usize, ended: bool) -> Action {
        action(with_vm(|vm| self.0.request_body(&Proxy, vm, len, ended)))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        action(with_vm(|vm| self.0.request_trailers(&Proxy, vm)))
    }

    fn on_http_response_headers(&mut self, _count: usize, ended: bool) -> Action {
        #[cfg(feature = "trap")]
        trap::on_command(self.get_http_response_header_bytes(trap::HEADER).is_some());
        action(with_vm(|vm| self.0.response_headers(&Proxy, vm, ended)))
    }

    fn on_http_response_body(&mut self, len: usize, ended: bool) -> Action {
        action(with_vm(|vm| self.0.response_body(&Proxy, vm, len, ended)))
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        action(with_vm(|vm| self.0.response_trailers(&Proxy, vm)))
    }

    fn on_log(&mut self) {
        let _in_use = with_vm(|vm| self.0.log(&Proxy, vm));
    }
}

/// Kills the VM when a header says so: the crash tests' build alone has this.
#[cfg(feature = "trap")]
mod trap {
    /// The header that commands it.
    pub(super) const HEADER: &str = "x-reprise-trap";

    pub(super) fn on_command(commanded: bool) {
        if commanded {
            std::process::abort();
        }
    }
}

/// Tells what the host really does, as JSON: the crash tests' build alone has this.
#[cfg(feature = "trap")]
mod probe {
    use crate::host::{Host as _, HostError, Proxy, SharedData as _};

    /// The header that asks: `clock`, `insert/KEY`, or `race/KEY/COUNT`.
    pub(super) const HEADER: &str = "x-reprise-probe";
    /// How long one side of a race waits for the other, in microseconds.
    const PATIENCE: u64 = 300_000;

    pub(super) fn answer(asked: &[u8]) -> String {
        let asked = String::from_utf8_lossy(asked);
        let words: Vec<_> = asked.split('/').collect();
        let told = match *words {
            ["insert", key] => insert(key),
            ["race", key, count] => race(key, count.parse().unwrap_or_default()),
            _ => Ok(format!(r#"{{"micros": [{}, {}]}}"#, Proxy.micros(), Proxy.micros())),
        };
        told.unwrap_or_else(|HostError { call, status }| format!(r#"{{"failed": "{call}", "status": {status}}}"#))
    }

    /// Inserts into an absent key, into the key that is there now, and into that key once it is emptied.
    fn insert(key: &str) -> Result<String, HostError> {
        let key = format!("probe/{key}");
        let absent = Proxy.shared(&key)?.number.is_none();
        let inserts = [
            Proxy.replace_shared(&key, b"first", u32::MAX)?,
            Proxy.replace_shared(&key, b"second", u32::MAX)?,
        ];
        let kept = Proxy.shared(&key)?.value == b"first";
        Proxy.set_shared(&key, b"")?;
        let emptied = Proxy.shared(&key)?;
        let has_number = emptied.value.is_empty() && emptied.number.is_some();
        let again = [
            Proxy.replace_shared(&key, b"third", u32::MAX)?,
            Proxy.insert_shared(&key, b"third")?,
        ];
        Ok(format!(
            r#"{{"absent": {absent}, "inserts": {inserts:?}, "kept": {kept}, "has_number": {has_number}, "again": {again:?}}}"#
        ))
    }

    /// Inserts `count` fresh keys, each at the moment when another worker does; tells which it met there, and which it won.
    fn race(key: &str, count: u32) -> Result<String, HostError> {
        let (mut met, mut won) = (0, Vec::new());
        for n in 0..count {
            if !meet(&format!("probe/{key}/{n}/met"))? {
                break;
            }
            met += 1;
            if Proxy.insert_shared(&format!("probe/{key}/{n}"), b"won")? {
                won.push(n);
            }
        }
        Ok(format!(r#"{{"met": {met}, "won": {won:?}}}"#))
    }

    /// Waits until two have come to `place`.
    fn meet(place: &str) -> Result<bool, HostError> {
        loop {
            let here = Proxy.shared(place)?;
            let more = [here.value, vec![b'x']].concat();
            if Proxy.replace_shared(place, &more, here.number.unwrap_or(u32::MAX))? {
                break;
            }
        }
        let until = Proxy.micros() + PATIENCE;
        while Proxy.shared(place)?.value.len() < 2 {
            if Proxy.micros() > until {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
