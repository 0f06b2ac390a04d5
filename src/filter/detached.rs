//! Requests that run detached: the root sends them, so that no client that hangs up aborts them.
//!
//! How a request is held until then is in [`crate::http`], what became of it is judged by its owner, as of any other.

use crate::asked::Piece;
use crate::boots;
use crate::captures;
use crate::host::{Host, Side};
use crate::http;
use crate::metrics::Count;
use crate::owner::Owner;
use crate::root::Root;
use crate::tape::Tape;
use crate::vm::Vm;
use hashbrown::HashMap;
use reprise_core::detached::response;
use reprise_core::http::Pairs;
use reprise_core::problem::Problem;
use std::collections::VecDeque;
use std::rc::Rc;

/// The host's word for a cluster that is not there.
const BAD_ARGUMENT: u32 = 2;

/// A request that has ended, and what waits for its end.
#[derive(Debug)]
pub struct Job {
    /// The context of its client's exchange, which may be gone by now.
    pub context: u32,
    /// Its document.
    pub root: Rc<Root>,
    /// Its claim.
    pub owner: Box<Owner>,
    /// Its capture, if there is one.
    pub tape: Option<Box<Tape>>,
    /// The cluster of its upstream, by its route.
    pub upstream: String,
    /// The cluster that it is sent to.
    pub cluster: String,
    /// Its head.
    pub pairs: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
    /// Bytes that are counted for it in the VM's sum.
    pub counted: u64,
    /// Whether it is a step of a replay: no gate is closed to that.
    pub is_step: bool,
    /// Whether its response had trailers: it is not kept without them.
    pub has_trailers: bool,
}

/// What a VM keeps of requests that run detached.
#[derive(Debug, Default)]
pub struct Detached {
    /// Those that are not sent yet.
    waiting: VecDeque<Job>,
    /// Those that are under way, by token, each with the context of the root that sent it.
    under_way: HashMap<u32, (u32, Job)>,
    /// Those whose response nobody will hear of.
    lost: Vec<Job>,
}

impl Detached {
    /// Takes in a request; the root sends it as soon as it is woken.
    pub fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }
}

/// Sends what waits, in the context of a root.
#[cold]
pub fn send(host: &impl Host, vm: &mut Vm, root_context: u32) {
    while let Some(mut job) = vm.detached.waiting.pop_front() {
        let gated = job.root.document.boot_gate && !job.is_step;
        if gated && boots::has_closed(host, vm, &job.upstream) {
            vm.metrics.count(Count::Restoring);
            job.refuse(host, vm, &Problem::Restoring, root_context);
            continue;
        }
        match host.send(&job.cluster, &job.pairs, &job.body) {
            Ok(token) => {
                job.drop_request(vm);
                vm.detached.under_way.insert(token, (root_context, job));
            }
            Err(error) if error.status == BAD_ARGUMENT => {
                job.root.complain(host, &format!("there is no cluster {}", job.cluster));
                vm.metrics.count(Count::Misconfigured);
                job.refuse(host, vm, &Problem::Misconfigured, root_context);
            }
            Err(_) => {
                vm.metrics.count(Count::Capacity);
                job.refuse(host, vm, &Problem::Crowded, root_context);
            }
        }
    }
}

/// Sends what waits although nobody woke the root, and settles what was lost.
pub fn tick(host: &impl Host, vm: &mut Vm, root_context: u32) {
    send(host, vm, root_context);
    for job in std::mem::take(&mut vm.detached.lost) {
        job.fail(host, vm, root_context);
    }
}

/// Takes note that a root is gone, and the host has ended its calls: the next tick settles them.
pub fn lose(vm: &mut Vm, root_context: u32) {
    let gone = vm.detached.under_way.extract_if(|_, (root, _)| *root == root_context);
    let gone: Vec<_> = gone.map(|(_, (_, job))| job).collect();
    vm.detached.lost.extend(gone);
}

/// Takes in what came back of the call `token`: how many headers, and how many bytes of a body; tells whether it was one
/// of these.
#[cold]
pub fn answered(
    host: &impl Host,
    vm: &mut Vm,
    token: u32,
    (headers, body_len, trailers): (usize, usize, usize),
    root_context: u32,
) -> bool {
    let Some((_, mut job)) = vm.detached.under_way.remove(&token) else {
        return false;
    };
    job.has_trailers = trailers > 0;
    // Of a call that failed nothing may be read: the host would end the VM.
    match (headers > 0).then(|| host.call_headers().ok()).flatten() {
        Some(map) => job.finish(host, vm, (response(map), body_len), root_context),
        None => job.fail(host, vm, root_context),
    }
    send(host, vm, root_context);
    true
}

impl Job {
    /// Gives up what the host has by now.
    fn drop_request(&mut self, vm: &mut Vm) {
        (self.pairs, self.body) = (Vec::new(), Vec::new());
        vm.hold(&mut self.counted, 0);
    }

    /// Gives the claim back: the request was not sent.
    #[cold]
    fn refuse(mut self, host: &impl Host, vm: &mut Vm, problem: &Problem, root_context: u32) {
        self.drop_request(vm);
        if let Some(mut tape) = self.tape.take() {
            tape.give_back(vm);
            vm.captures.ledger.filter();
        }
        let limits = &self.root.document.store;
        self.owner.release(host, vm, limits);
        self.tell_problem(host, vm, problem, root_context);
    }

    /// Completes the claim of a request that was sent, and of whose response nothing is known.
    #[cold]
    fn fail(mut self, host: &impl Host, vm: &mut Vm, root_context: u32) {
        self.settle(host, vm);
        self.tell_problem(host, vm, &Problem::NoResponse, root_context);
    }

    /// Completes the claim by the response, and gives it to the client, if that is there.
    #[cold]
    fn finish(mut self, host: &impl Host, vm: &mut Vm, (map, len): (Vec<u8>, usize), root_context: u32) {
        let limits = &self.root.clone().document.store;
        self.see_boot(host, vm, &map);
        let piece = Piece { len, ended: true };
        self.owner
            .response_headers(host, vm, limits, (Some(map.clone()), len == 0));
        let is_kept = self.owner.wants(vm, limits, len);
        let is_told = vm.aside.contains_key(&self.context);
        let body = match is_kept || is_told || self.tape.is_some() {
            true => host.call_body(len).ok().filter(|body| body.len() == len),
            false => None,
        };
        if let Some(tape) = &mut self.tape {
            tape.response_headers(&map, len == 0);
            tape.body(vm, Side::Response, piece, (body.clone(), limits.buffered_bytes_max));
        }
        let copy = if is_kept { body.clone() } else { None };
        self.owner.response_body(vm, copy, piece);
        if self.has_trailers {
            self.owner.response_trailers(vm);
        }
        self.settle(host, vm);
        let status = Pairs::new(&map).first(b":status").and_then(status);
        match (status, body) {
            (Some(status), Some(body)) => {
                self.tell(host, vm, root_context, |exchange| {
                    exchange.tell(host, status, (&map, &body))
                });
            }
            _ => self.tell_problem(host, vm, &Problem::NoResponse, root_context),
        }
    }

    fn see_boot(&self, host: &impl Host, vm: &mut Vm, map: &[u8]) {
        if let Some(boot_id) = Pairs::new(map).first(boots::HEADER.as_bytes()) {
            let gated = self.root.document.boot_gate;
            boots::see_at(host, vm, (&self.upstream, boot_id), gated);
        }
    }

    /// Completes claim and capture by what was seen.
    fn settle(&mut self, host: &impl Host, vm: &mut Vm) {
        self.owner.complete(host, vm, &self.root.document.store);
        if let Some(tape) = self.tape.take() {
            captures::finish(host, vm, *tape);
        }
    }

    fn tell_problem(&self, host: &impl Host, vm: &mut Vm, problem: &Problem, root_context: u32) {
        self.tell(host, vm, root_context, |exchange| exchange.tell_problem(host, problem));
    }

    fn tell(&self, host: &impl Host, vm: &mut Vm, root_context: u32, tell: impl FnOnce(&mut http::Exchange)) {
        if http::act(host, vm, self.context, |exchange, _| tell(exchange)) {
            let _root_is_there = host.enter(root_context);
        }
    }
}

fn status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
