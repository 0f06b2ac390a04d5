//! One exchange: what each of its callbacks does. The first request is in [`crate::owner`], its repeats in
//! [`crate::duplicate`].

use crate::asked::{Asked, Piece};
use crate::claims::{self, Meeting, Moment, StoreFailure};
use crate::duplicate::Duplicate;
use crate::host::{Host, Side};
use crate::metadata::BadMetadata;
use crate::metrics::Count;
use crate::owner::Owner;
use crate::reply::{Mend, respond};
use crate::root::Root;
use crate::vm::Vm;
use reprise_core::config::{Mode, Policy};
use reprise_core::gate::{Gate, Request, gate, is_safe};
use reprise_core::http::Pairs;
use reprise_core::problem::Problem;
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
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It is none of our business, or not yet known to be.
    Passing,
    /// It could have carried a key: what the upstream says to us alone is taken off.
    Unkeyed,
    Owner(Box<Owner>),
    Duplicate(Box<Duplicate>),
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
            stage: Stage::Passing,
        }
    }

    /// Decides about a request by its head.
    pub fn request_headers(&mut self, host: &impl Host, vm: &mut Vm, ended: bool) -> Flow {
        let Some(root) = self.root.clone() else {
            return Flow::Continue;
        };
        vm.has_streams = true;
        if ended && is_safe_by_method(host) {
            return Flow::Continue;
        }
        let Ok(map) = host.headers(Side::Request) else {
            vm.metrics.count(Count::StoreError);
            return self.refuse(host, &root, &Problem::StoreUnavailable);
        };
        let request = Request::read(&map);
        if request.is_safe() {
            return Flow::Continue;
        }
        let found = root.policy(host, &request);
        if found.is_err() {
            vm.metrics.count(Count::BadMetadata);
        }
        let bad_metadata = found.is_err();
        let policy = found.unwrap_or_else(|(BadMetadata, policy)| policy);
        let Some(secrets) = vm.store.as_ref().map(|store| store.secrets.clone()) else {
            vm.metrics.count(Count::StoreError);
            return self.refuse(host, &root, &Problem::StoreUnavailable);
        };
        let gate = gate(&request, &policy, &root.document, &secrets);
        if bad_metadata && is_protected(&policy, &gate) {
            vm.metrics.count(Count::Misconfigured);
            return self.refuse(host, &root, &Problem::Misconfigured);
        }
        match gate {
            Gate::Pass => Flow::Continue,
            Gate::PassUnkeyed => {
                self.stage = Stage::Unkeyed;
                Flow::Continue
            }
            Gate::Refuse(problem) => {
                vm.metrics.count(refusal(&problem));
                self.refuse(host, &root, &problem)
            }
            Gate::Claim(keyed) => self.claim(
                host,
                vm,
                &Asked {
                    request,
                    keyed,
                    policy,
                    ended,
                },
            ),
        }
    }

    fn claim(&mut self, host: &impl Host, vm: &mut Vm, asked: &Asked<'_>) -> Flow {
        let Some(root) = self.root.clone() else {
            return Flow::Continue;
        };
        let Asked {
            request,
            keyed,
            policy,
            ended,
        } = asked;
        if keyed.anonymous {
            vm.metrics.count(Count::Anonymous);
        }
        let began = vm.metrics.is_timed().then(|| host.micros());
        let now = host.now();
        match claims::arrive(
            host,
            vm,
            keyed,
            policy,
            &Moment {
                now,
                limits: &root.document.store,
            },
        ) {
            Ok(Meeting::Owner(place)) => {
                for name in request.forbidden() {
                    // A header that stays costs a retry that is counted, not a second run that is not.
                    let _stays = host.remove_header(Side::Request, &name);
                }
                if let Some(began) = began {
                    vm.metrics.added(host.micros().saturating_sub(began));
                }
                self.stage = Stage::Owner(Box::new(Owner::new(place, asked)));
                Flow::Continue
            }
            Ok(Meeting::Duplicate(place, effect)) => {
                let duplicate = Duplicate::new(place, effect, *keyed, Rc::clone(policy), (now, began.is_some()));
                self.hold(host, vm, duplicate, *ended)
            }
            Ok(Meeting::Full) => {
                vm.metrics.count(Count::Capacity);
                self.refuse(host, &root, &Problem::Capacity)
            }
            Err(StoreFailure) => {
                vm.metrics.count(Count::StoreError);
                self.refuse(host, &root, &Problem::StoreUnavailable)
            }
        }
    }

    fn hold(&mut self, host: &impl Host, vm: &mut Vm, duplicate: Duplicate, ended: bool) -> Flow {
        let Some(root) = &self.root else {
            return Flow::Pause;
        };
        if !ended && vm.held_bytes >= root.document.store.buffered_bytes_max {
            vm.metrics.count(Count::Conflict);
            let root = Rc::clone(root);
            return self.refuse(host, &root, &duplicate.in_flight_problem());
        }
        if ended {
            self.stage = Stage::Replied(duplicate.settle(host, vm, root));
        } else {
            vm.parked.insert(self.id, duplicate.parked(root));
            self.stage = Stage::Duplicate(Box::new(duplicate));
        }
        Flow::Pause
    }

    /// Takes in a piece of the request's body; `len` bytes are in the host's buffer.
    pub fn request_body(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        match &mut self.stage {
            Stage::Passing | Stage::Unkeyed => Flow::Continue,
            Stage::Owner(owner) => {
                owner.request_body(host, vm, Piece { len, ended });
                if ended {
                    self.complete(host, vm);
                }
                Flow::Continue
            }
            Stage::Duplicate(duplicate) => {
                duplicate.request_body(host, vm, len);
                if ended {
                    self.settle(host, vm);
                }
                Flow::Pause
            }
            Stage::Replied(_) => Flow::Pause,
        }
    }

    /// Takes note of the request's trailers: its body has ended.
    pub fn request_trailers(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        self.request_body(host, vm, 0, true)
    }

    fn settle(&mut self, host: &impl Host, vm: &mut Vm) {
        vm.parked.remove(&self.id);
        if let (Stage::Duplicate(duplicate), Some(root)) = (&mut self.stage, &self.root) {
            let mend = duplicate.settle(host, vm, root);
            duplicate.give_back(vm);
            self.stage = Stage::Replied(mend);
        }
    }

    /// Takes note of a response's head.
    pub fn response_headers(&mut self, host: &impl Host, vm: &mut Vm, ended: bool) -> Flow {
        match (&mut self.stage, &self.root) {
            (Stage::Owner(owner), Some(root)) => {
                owner.response_headers(host, vm, &root.document.store, ended);
                self.complete(host, vm);
            }
            (Stage::Unkeyed, _) => strip(host),
            (Stage::Replied(mend), _) => mend.apply(host),
            (Stage::Owner(_) | Stage::Passing | Stage::Duplicate(_), _) => {}
        }
        Flow::Continue
    }

    /// Takes in a piece of the response's body.
    pub fn response_body(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        if let (Stage::Owner(owner), Some(root)) = (&mut self.stage, &self.root) {
            owner.response_body(host, vm, &root.document.store, Piece { len, ended });
            if ended {
                self.complete(host, vm);
            }
        }
        Flow::Continue
    }

    /// Takes note of the response's trailers: they end it, and are not kept.
    pub fn response_trailers(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        if let Stage::Owner(owner) = &mut self.stage {
            owner.response_trailers(vm);
            self.complete(host, vm);
        }
        Flow::Continue
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
        match (std::mem::replace(&mut self.stage, Stage::Passing), &self.root) {
            (Stage::Owner(mut owner), Some(root)) => owner.complete(host, vm, &root.document.store),
            (Stage::Duplicate(mut duplicate), _) => {
                vm.parked.remove(&self.id);
                duplicate.give_back(vm);
            }
            (Stage::Owner(_) | Stage::Passing | Stage::Unkeyed | Stage::Replied(_), _) => {}
        }
    }

    fn refuse(&mut self, host: &impl Host, root: &Root, problem: &Problem) -> Flow {
        self.stage = Stage::Replied(respond(host, root, problem));
        Flow::Pause
    }
}

/// Tells whether a request would be protected, as far as is known where its route's metadata do not parse.
fn is_protected(policy: &Policy, gate: &Gate) -> bool {
    matches!(gate, Gate::Claim(_) | Gate::Refuse(_)) || policy.mode == Mode::Required
}

/// Tells whether a request that ended with its head is safe, by its method alone: most requests end here.
///
/// What asks for another protocol never ends with its head, and what has a body is seldom safe: those show all headers.
fn is_safe_by_method(host: &impl Host) -> bool {
    matches!(host.request_header(":method"), Ok(Some(method)) if is_safe(&method))
}

/// Takes off what the upstream says to Reprise alone.
fn strip(host: &impl Host) {
    let Ok(map) = host.headers(Side::Response) else {
        return;
    };
    for (name, _) in Pairs::new(&map).filter(|(name, _)| name.starts_with(b"reprise-")) {
        let _stays = host.remove_header(Side::Response, name);
    }
}

const fn refusal(problem: &Problem) -> Count {
    match problem {
        Problem::KeyMissing { .. } => Count::Missing,
        _ => Count::Malformed,
    }
}
