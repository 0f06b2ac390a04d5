//! Captures of one worker: begun at a request's head, told when the exchange has ended, counted in between.
//!
//! How they travel is in [`crate::publisher`], what is kept of a running exchange in [`crate::tape`].

use crate::host::{Host, Side};
use crate::journal::Told;
use crate::proofs::Proofs;
use crate::root::Root;
use crate::scene::{ROUTE, Scene};
use crate::tape::{Tape, leave_out, take_body, text};
use crate::vm::Vm;
use reprise_core::caller::caller;
use reprise_core::capture::batch::{Limits, Queue, Room};
use reprise_core::capture::ending::NOT_SENT;
use reprise_core::capture::ledger::{Ledger, Reason};
use reprise_core::capture::redact::{hides, redact, token};
use reprise_core::capture::select::{self, Chance, Selected};
use reprise_core::config::{CapturePolicy, Durability, OnReplaydDown, Policy, PrincipalSource, SampleBy};
use reprise_core::gate::Request;
use reprise_core::wire::{Capture, Half, State};
use std::rc::Rc;

/// What a VM keeps of captures.
#[derive(Debug)]
pub struct Captures {
    /// What became of every exchange.
    pub ledger: Ledger,
    /// Captures that nothing waits for.
    pub later: Queue,
    /// Captures that a request or a response waits for.
    pub ahead: Queue,
    /// Bytes that both may hold.
    pub bytes_max: u64,
    /// Keys the tokens of what nobody may see, and the places in samples.
    pub redaction_key: [u8; 32],
    /// The wall clock's milliseconds when the monotonic one was at zero.
    pub wall_zero_ms: u64,
    seq: u64,
    chance: u64,
}

impl Default for Captures {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            later: Queue::new(Limits::LATER),
            ahead: Queue::new(Limits::AHEAD),
            bytes_max: 0,
            redaction_key: [0; 32],
            wall_zero_ms: 0,
            seq: 0,
            chance: 0,
        }
    }
}

impl Captures {
    /// Tells which number was given out last.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.seq
    }

    /// Compares the two clocks, so that a time of the one can be told as a date.
    pub fn set_clocks(&mut self, host: &impl Host) {
        self.wall_zero_ms = host.wall_millis().saturating_sub(host.now().0);
    }

    /// Takes note that a capture has the next number.
    const fn number(&mut self, capture: &Capture) {
        self.seq = capture.seq;
    }

    /// Counts an exchange as lost whose capture had no room: its number is a gap, which replayd sees.
    pub fn lose(&mut self, reason: Reason) {
        self.seq = self.seq.saturating_add(1);
        self.ledger.drop(reason, 1);
    }

    /// Draws a number for a sample: spread evenly, and nothing that has to be kept from anybody (`SplitMix64`).
    const fn draw(&mut self, who: &[u8; 16]) -> u64 {
        let [w0, w1, w2, w3, w4, w5, w6, w7, ..] = *who;
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.chance ^ u64::from_le_bytes([w0, w1, w2, w3, w4, w5, w6, w7]);
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    /// Counts the captures that wait or travel.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.later.count().saturating_add(self.ahead.count())
    }

    /// Counts the bytes that wait or travel.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.later.bytes().saturating_add(self.ahead.bytes())
    }
}

/// Decides about a request by its head.
pub fn select(host: &impl Host, vm: &mut Vm, root: &Root, policy: &CapturePolicy, request: &Request<'_>) -> Selected {
    if !policy.enabled {
        return Selected::Off;
    }
    let route = select::needs_route(policy)
        .then(|| host.property(&ROUTE).ok().flatten())
        .flatten();
    let principal = match policy.sample.by {
        Some(SampleBy::Principal) => principal(vm, root, policy, request),
        _ => String::new(),
    };
    let draw = vm.captures.draw(&vm.who);
    let chance = Chance {
        key: &vm.captures.redaction_key,
        draw,
        principal: principal.as_bytes(),
    };
    select::at_request(policy, request, route.as_deref(), &chance)
}

/// There is no capture of an exchange whose route asks for one before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncaptured;

/// Begins the capture of a request that goes on, or notes why there is none.
///
/// # Errors
/// [`Uncaptured`] if there is no memory for it, and the route says that nothing runs then.
pub fn begin(
    host: &impl Host,
    vm: &mut Vm,
    (root, policy): (&Root, &Rc<Policy>),
    (map, selected, proofs): (Vec<u8>, Selected, &Proofs),
    forwarded: bool,
) -> Result<Option<Box<Tape>>, Uncaptured> {
    let ledger = &mut vm.captures.ledger;
    match (selected, forwarded) {
        (Selected::Off, _) => return Ok(None),
        (Selected::SampledOut, true) => {
            ledger.sample_out();
            return Ok(None);
        }
        // What Reprise says itself is no exchange with the upstream.
        (Selected::Filtered, _) | (_, false) => {
            ledger.leave_out();
            return Ok(None);
        }
        (Selected::Keep, true) => ledger.begin(),
    }
    if vm.held_bytes >= root.document.store.buffered_bytes_max {
        vm.captures.ledger.drop(Reason::Memory, 1);
        let CapturePolicy {
            durability,
            on_replayd_down,
            ..
        } = policy.capture;
        let runs = durability == Durability::Async || on_replayd_down == OnReplaydDown::Open;
        return if runs { Ok(None) } else { Err(Uncaptured) };
    }
    let mut request = Request::read(&map);
    request.proven = proofs.shown();
    let principal = principal(vm, root, &policy.capture, &request);
    let mut tape = Box::new(Tape::new(Rc::clone(policy), map, principal, host.micros()));
    tape.count(vm);
    Ok(Some(tape))
}

/// Names the caller: the source, a colon, and its value, or a token of it where nobody may see it.
fn principal(vm: &Vm, root: &Root, policy: &CapturePolicy, request: &Request<'_>) -> String {
    let Some((name, value)) = caller(request, &root.document) else {
        return String::new();
    };
    let trusted = |source: &PrincipalSource| matches!(source, PrincipalSource::Header(header) if header == name);
    if !root.document.principal.iter().any(trusted) || hides(&policy.redact, name.as_bytes()) {
        return format!("{name}:{}", text(token(value, &vm.captures.redaction_key).bytes()));
    }
    format!("{name}:{}", text(value))
}

/// Tells replayd of an exchange that has ended, unless its end says that nobody wants it.
#[inline(never)]
pub fn finish(host: &impl Host, vm: &mut Vm, mut tape: Tape) {
    let is_wanted = tape.is_begun() || select::at_end(&tape.policy().capture, &tape.ended(host.micros()));
    if !is_wanted {
        tape.give_back(vm);
        vm.captures.ledger.filter();
        return;
    }
    let state = tape.state(host);
    let capture = ending(host, vm, tape, state);
    push_later(host, vm, capture);
}

/// Tells replayd that a request was refused which it may have heard of: nothing ran.
pub fn finish_refused(host: &impl Host, vm: &mut Vm, tape: Tape, told: Told) {
    let capture = ending(host, vm, tape, (State::Aborted, NOT_SENT));
    if told == Told::Begun {
        return push_later(host, vm, capture);
    }
    // The exchange is counted as lost by now; without room for its end, it stays begun there.
    let _no_room = push(host, vm, capture, false);
}

/// Puts the capture of an exchange that has ended into the queue that nothing waits for, or counts it as lost.
pub fn push_later(host: &impl Host, vm: &mut Vm, capture: Capture) {
    if let Err(reason) = push(host, vm, capture, true) {
        vm.captures.lose(reason);
    }
}

/// Makes the capture of an exchange that has ended.
pub fn ending(host: &impl Host, vm: &mut Vm, mut tape: Tape, state: (State, &str)) -> Capture {
    tape.give_back(vm);
    let (policy, ahead, scene) = (Rc::clone(tape.policy()), tape.ahead(), tape.take_scene());
    let mut capture = tape.into_capture(state, host.micros());
    complete(vm, &mut capture, scene.unwrap_or_else(|| Scene::read(host)));
    redact(&mut capture, &policy.capture.redact, &vm.captures.redaction_key);
    if let (Some(ahead), Some(half)) = (ahead, &mut capture.request) {
        leave_out(half, ahead);
    }
    capture
}

/// Makes the capture of a request that is written ahead.
pub fn beginning(host: &impl Host, vm: &Vm, tape: &Tape) -> Capture {
    let mut capture = tape.begun();
    complete(vm, &mut capture, Scene::read(host));
    redact(&mut capture, &tape.policy().capture.redact, &vm.captures.redaction_key);
    capture
}

/// Puts a capture that somebody waits for into the queue; gives its number.
///
/// # Errors
/// [`Reason`] if there is no room for all of it; no number is used then.
pub fn push_ahead(host: &impl Host, vm: &mut Vm, capture: &mut Capture, settles: bool) -> Result<u64, Reason> {
    let captures = &mut vm.captures;
    capture.seq = captures.seq.saturating_add(1);
    let len = prost::Message::encoded_len(capture) as u64;
    match captures.ahead.room(len, 0, captures.bytes(), captures.bytes_max) {
        Room::Nothing(reason) => Err(reason),
        Room::Whole | Room::Heads => {
            captures.number(capture);
            captures.ahead.push(capture, settles, host.now());
            Ok(capture.seq)
        }
    }
}

/// Adds what the host alone knows.
fn complete(vm: &Vm, capture: &mut Capture, scene: Scene) {
    capture.route = scene.route;
    capture.cluster = scene.cluster;
    capture.client = scene.client;
    capture.protocol = scene.protocol;
    let forwarded = capture.request.as_ref().is_some_and(has_forwarded);
    if !forwarded {
        capture.peer.clone_from(&capture.client);
    }
    capture.began_unix_ms = vm.captures.wall_zero_ms.saturating_add(capture.began_us / 1000);
}

/// Tells whether somebody says for whom a request was sent on: the proxy's address of the client may be that one's then.
fn has_forwarded(half: &Half) -> bool {
    reprise_core::http::Pairs::new(&half.pairs)
        .first(b"x-forwarded-for")
        .is_some()
}

/// Puts a capture into the queue, as much of it as there is room for; without room it uses no number.
fn push(host: &impl Host, vm: &mut Vm, mut capture: Capture, settles: bool) -> Result<(), Reason> {
    let captures = &mut vm.captures;
    capture.seq = captures.seq.saturating_add(1);
    let halves = [&capture.request, &capture.response];
    let bodies: usize = halves.into_iter().flatten().map(|half| half.body.len()).sum();
    let heads = prost::Message::encoded_len(&capture).saturating_sub(bodies);
    match captures
        .later
        .room(heads as u64, bodies as u64, captures.bytes(), captures.bytes_max)
    {
        Room::Whole => {}
        Room::Heads => take_bodies(&mut capture),
        Room::Nothing(reason) => return Err(reason),
    }
    captures.number(&capture);
    captures.later.push(&capture, settles, host.now());
    Ok(())
}

/// Takes the bodies off a capture; their lengths and hashes stay.
fn take_bodies(capture: &mut Capture) {
    let halves = [&mut capture.request, &mut capture.response].into_iter().flatten();
    halves.filter(|half| !half.body.is_empty()).for_each(take_body);
}

/// Takes off a response what the upstream says to Reprise alone.
pub fn strip(host: &impl Host, map: &[u8]) {
    let names = reprise_core::http::Pairs::new(map).map(|(name, _)| name);
    for name in names.filter(|name| name.starts_with(b"reprise-")) {
        let _stays = host.remove_header(Side::Response, name);
    }
}
