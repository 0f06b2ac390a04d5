//! A request's head: whose it is, whether its upstream takes it, and whether its key lets it through.

use super::detached::Gathering;
use super::naming::bodiless;
use super::{Exchange, Flow, Stage};
use crate::asked::Asked;
use crate::boots;
use crate::captures::{self, Uncaptured};
use crate::claims::{self, Meeting, Moment, Place, StoreFailure};
use crate::duplicate::Duplicate;
use crate::host::{Host, Side};
use crate::journal::Why;
use crate::manual::{self, Manual};
use crate::metadata::BadMetadata;
use crate::metrics::Count;
use crate::owner::Owner;
use crate::proofs::Proofs;
use crate::signed::{self, Claimed, Unproven};
use crate::vm::Vm;
use reprise_core::capture::select::Selected;
use reprise_core::claim::Effect;
use reprise_core::config::{BadExecution, Mode, Policy};
use reprise_core::gate::{Encoded, Gate, Keyed, Repeat, Request, gate, is_safe, repeat};
use reprise_core::id::{ReplayScope, Secrets, replay_tag};
use reprise_core::problem::Problem;
use reprise_core::signature::{HEADER, Signed};
use std::rc::Rc;

/// A request's head, and whose it is.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    request: Request<'a>,
    ended: bool,
    /// What replayd signed, if it is a step of a replay.
    replay: Option<&'a Signed>,
}

impl Exchange {
    /// Decides about a request by its head.
    pub fn request_headers(&mut self, host: &impl Host, vm: &mut Vm, ended: bool) -> Flow {
        let flow = self.meet_head(host, vm, ended);
        self.step_aside_to_wait(vm);
        flow
    }

    fn meet_head(&mut self, host: &impl Host, vm: &mut Vm, ended: bool) -> Flow {
        let Some(root) = self.root.clone() else {
            return Flow::Continue;
        };
        vm.has_streams = true;
        if ended && !root.captures_safe_methods && is_safe_by_method(host) && !is_signed(host, vm) {
            return Flow::Continue;
        }
        let Ok(map) = host.headers(Side::Request) else {
            vm.metrics.count(Count::StoreError);
            return self.refuse(host, &root, &Problem::StoreUnavailable);
        };
        let request = Request::read(&map);
        self.dialect = request.dialect();
        match signed::read(host, vm, &request, ended) {
            Claimed::Client => self.admit(host, vm, (map, ended), (None, Encoded::Not)),
            Claimed::Replay(signed) => self.admit_signed(host, vm, (map, ended), &signed),
            Claimed::Unproven(signed) => {
                self.stage = Stage::Unproven(Box::new(Unproven::new(signed, map)));
                Flow::Pause
            }
        }
    }

    /// Takes in a piece of the body of a request whose signature is about its body; tells whether it is decided by now.
    pub(super) fn prove(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Option<Flow> {
        let (Stage::Unproven(unproven), Some(root)) = (&mut self.stage, &self.root) else {
            return None;
        };
        let is_read = unproven.body(host, len);
        let hold_max = root.document.hold_bytes_max;
        if is_read && !ended && unproven.held() <= hold_max {
            return Some(Flow::Pause);
        }
        let Stage::Unproven(unproven) = std::mem::replace(&mut self.stage, Stage::Passing) else {
            return None;
        };
        let (map, signed) = unproven.proven();
        let flow = match signed.filter(|_| is_read && ended) {
            Some(signed) => self.admit_signed(host, vm, (map, false), &signed),
            None => {
                vm.metrics.count(Count::SignatureInvalid);
                self.admit(host, vm, (map, false), (None, Encoded::Not))
            }
        };
        // What goes on, or is held for another reason, meets its body as if it came now.
        matches!(self.stage, Stage::Replied(_)).then_some(flow)
    }

    fn admit_signed(&mut self, host: &impl Host, vm: &mut Vm, (map, ended): (Vec<u8>, bool), signed: &Signed) -> Flow {
        let Some(root) = self.root.clone() else {
            return Flow::Continue;
        };
        match signed::claim(host, vm, signed, &root.document.store) {
            Ok(true) => self.admit(host, vm, (map, ended), (Some(signed), Encoded::Not)),
            Ok(false) => self.refuse(host, &root, &Problem::SignatureUsed),
            Err(StoreFailure) => {
                vm.metrics.count(Count::StoreError);
                self.refuse(host, &root, &Problem::StoreUnavailable)
            }
        }
    }

    /// Decides about a request by its head, knowing whose it is, and what its route's encoder made of it.
    pub(super) fn admit(
        &mut self,
        host: &impl Host,
        vm: &mut Vm,
        (map, ended): (Vec<u8>, bool),
        (replay, encoded): (Option<&Signed>, Encoded),
    ) -> Flow {
        let mut request = Request::read(&map);
        let Some(root) = self.root.clone() else {
            return Flow::Continue;
        };
        if request.is_safe() && !root.captures_safe_methods {
            return Flow::Continue;
        }
        let proofs = Proofs::read(host, &root.document);
        request.proven = proofs.shown();
        request.is_step = replay.is_some();
        request.encoded = encoded;
        let found = root.policy(host, &request);
        if found.is_err() {
            vm.metrics.count(Count::BadMetadata);
        }
        let bad_metadata = found.is_err() || proofs.are_unread();
        let policy = found.unwrap_or_else(|(BadMetadata, policy)| policy);
        let selected = match replay {
            Some(_) => Selected::Off,
            None => captures::select(host, vm, &root, &policy.capture, &request),
        };
        let head = Head { request, ended, replay };
        let flow = if is_safe(request.method) && !request.upgrades {
            Flow::Continue
        } else if self.is_gated(host, vm, &head) {
            vm.metrics.count(Count::Restoring);
            self.refuse(host, &root, &Problem::Restoring)
        } else {
            self.protect(host, vm, &head, (Rc::clone(&policy), bad_metadata))
        };
        if let Stage::Unnamed(unnamed) = &mut self.stage {
            unnamed.keep(map);
            return flow;
        }
        let goes_on = flow == Flow::Continue || self.may_run();
        self.tape = match captures::begin(host, vm, (&root, &policy), (map, selected, &proofs), goes_on) {
            Ok(tape) => tape,
            Err(Uncaptured) => return self.refuse_held(host, vm, Why::Uncaptured),
        };
        match flow {
            Flow::Continue => self.hold_head(host, vm, ended),
            Flow::Pause if self.gathering.is_some() => self.gather(host, vm, 0, ended),
            Flow::Pause => Flow::Pause,
        }
    }

    /// Tells whether the upstream is being restored, and this is no step of that.
    fn is_gated(&self, host: &impl Host, vm: &mut Vm, head: &Head<'_>) -> bool {
        let has_gate = self.root.as_ref().is_some_and(|root| root.document.boot_gate);
        has_gate && head.replay.is_none() && !is_safe(head.request.method) && boots::is_closed(host, vm)
    }

    /// Decides whether a request that is not safe goes on, by its key.
    fn protect(
        &mut self,
        host: &impl Host,
        vm: &mut Vm,
        head: &Head<'_>,
        (policy, bad_metadata): (Rc<Policy>, bool),
    ) -> Flow {
        let Head {
            mut request,
            ended,
            replay,
        } = *head;
        let Some(root) = self.root.clone() else {
            return Flow::Continue;
        };
        let Some(secrets) = vm.store.as_ref().map(|store| store.secrets.clone()) else {
            vm.metrics.count(Count::StoreError);
            return self.refuse(host, &root, &Problem::StoreUnavailable);
        };
        let mut gated = gate(&request, &policy, &root.document, &secrets);
        if gated == Gate::Encode && ended {
            request.encoded = bodiless(&request, &policy);
            gated = gate(&request, &policy, &root.document, &secrets);
        }
        let bad_execution = policy.detached().err();
        if (bad_metadata || bad_execution.is_some()) && is_protected(&policy, &gated) {
            if let Some(BadExecution(problem)) = bad_execution {
                root.complain(host, problem);
            }
            vm.metrics.count(Count::Misconfigured);
            return self.refuse(host, &root, &Problem::Misconfigured);
        }
        if policy.mode == Mode::Manual {
            // What tells the application about its keys is ours alone.
            take_off(host, &request);
        }
        match gated {
            Gate::Encode => self.hold_unnamed(&request, &policy, replay),
            Gate::Pass => Flow::Continue,
            Gate::PassUnkeyed => {
                self.stage = Stage::Unkeyed;
                Flow::Continue
            }
            Gate::Refuse(problem) => {
                vm.metrics.count(refusal(&problem));
                self.refuse(host, &root, &problem)
            }
            Gate::Claim(client) => {
                let keyed = replay.map_or(client, |replay| of_replay(client, replay, &secrets));
                self.claim(
                    host,
                    vm,
                    &Asked {
                        request,
                        keyed,
                        policy,
                        ended,
                    },
                )
            }
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
                take_off(host, request);
                if policy.mode == Mode::Manual {
                    manual::tell_new(host);
                }
                if let Some(began) = began {
                    vm.metrics.added(host.micros().saturating_sub(began));
                }
                self.stage = Stage::Owner(Box::new(Owner::new(place, asked)));
                self.gathering = Gathering::begin(asked).filter(|_| !self.has_trailers);
                match self.gathering {
                    Some(_) => Flow::Pause,
                    None => Flow::Continue,
                }
            }
            Ok(Meeting::Duplicate(place, effect)) => {
                if let Some(flow) = self.go_on(host, vm, asked, (&place, effect)) {
                    return flow;
                }
                let duplicate = Duplicate::new(place, effect, asked, (now, began.is_some()));
                self.hold(host, vm, duplicate, *ended)
            }
            // Nothing is absent to who claims it.
            Ok(Meeting::Full | Meeting::Absent) => {
                vm.metrics.count(Count::Capacity);
                self.refuse(host, &root, &Problem::Capacity)
            }
            Err(StoreFailure) => {
                vm.metrics.count(Count::StoreError);
                self.refuse(host, &root, &Problem::StoreUnavailable)
            }
        }
    }

    /// Lets a duplicate go on where its route says so.
    fn go_on(
        &mut self,
        host: &impl Host,
        vm: &mut Vm,
        asked: &Asked<'_>,
        (place, effect): (&Place, Effect),
    ) -> Option<Flow> {
        self.stage = match repeat(effect, &asked.policy, asked.request.is_step) {
            Repeat::Hold => return None,
            Repeat::Wait => {
                // Taken off now, as it may run later.
                take_off(host, &asked.request);
                return None;
            }
            Repeat::Run => {
                take_off(host, &asked.request);
                vm.metrics.count(Count::Ran);
                Stage::Unkeyed
            }
            Repeat::Tell => {
                let manual = Manual::begin(host, place, (&asked.keyed, &asked.policy), self.dialect)?;
                vm.metrics.count(Count::Manual);
                Stage::Manual(Box::new(manual))
            }
        };
        Some(Flow::Continue)
    }

    fn hold(&mut self, host: &impl Host, vm: &mut Vm, duplicate: Duplicate, ended: bool) -> Flow {
        let Some(root) = &self.root else {
            return Flow::Pause;
        };
        if !ended && vm.held_bytes >= root.document.store.buffered_bytes_max {
            vm.metrics.count(Count::Conflict);
            let root = Rc::clone(root);
            return self.refuse(host, &root, &duplicate.in_flight_problem(1));
        }
        if ended && duplicate.waits() {
            return self.wait(host, vm, Box::new(duplicate));
        }
        if ended {
            self.stage = Stage::Replied(duplicate.settle(host, vm, root));
        } else {
            vm.parked.insert(self.id, duplicate.parked(root));
            self.stage = Stage::Duplicate(Box::new(duplicate));
        }
        Flow::Pause
    }
}

/// Takes off what a protected request must not carry.
fn take_off(host: &impl Host, request: &Request<'_>) {
    for name in request.forbidden() {
        // A header that stays costs a retry that is counted, not a second run that is not.
        let _stays = host.remove_header(Side::Request, &name);
    }
}

/// Gives the name that the key of a replay's step has.
fn of_replay(client: Keyed, replay: &Signed, secrets: &Secrets) -> Keyed {
    let scope = ReplayScope {
        scope: replay.scope.as_bytes(),
        boot: replay.boot.as_bytes(),
    };
    Keyed {
        tag: replay_tag(&client.tag, &scope, secrets),
        ..client
    }
}

/// Tells whether a request would be protected, as far as is known where its route's metadata do not parse.
fn is_protected(policy: &Policy, gate: &Gate) -> bool {
    matches!(gate, Gate::Claim(_) | Gate::Encode | Gate::Refuse(_)) || policy.mode == Mode::Required
}

/// Tells whether a request that ended with its head is safe, by its method alone: most requests end here.
///
/// What asks for another protocol never ends with its head, and what has a body is seldom safe: those show all headers.
fn is_safe_by_method(host: &impl Host) -> bool {
    matches!(host.header(Side::Request, ":method"), Ok(Some(method)) if is_safe(&method))
}

/// Tells whether a request shows a signature; asked only where replayd may have made one.
fn is_signed(host: &impl Host, vm: &Vm) -> bool {
    (vm.is_captured || vm.policies.is_known()) && !matches!(host.header(Side::Request, HEADER), Ok(None))
}

/// Counts a request that is refused by its head, or while it is held.
pub(super) const fn refusal(problem: &Problem) -> Count {
    match problem {
        Problem::KeyMissing { .. } => Count::Missing,
        Problem::CallerMissing => Count::CallerMissing,
        Problem::BodyTooLarge { .. } => Count::TooLarge,
        Problem::Capacity | Problem::Crowded => Count::Capacity,
        Problem::StoreUnavailable => Count::StoreError,
        _ => Count::Malformed,
    }
}
