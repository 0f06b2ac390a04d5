//! The publisher: sends what waits to replayd, and hears what is on disk.
//!
//! What is sent when is decided by [`reprise_core::capture::batch`]. Calls are made from a root only, which outlives every
//! exchange; those of a root that is gone by then are given up by the clock.

use crate::host::{Call, Host, Level};
use crate::journal::{self, Told};
use crate::policy;
use crate::vm::Vm;
use hashbrown::HashMap;
use prost::Message as _;
use reprise_core::capture::arrival::may_have_arrived;
use reprise_core::capture::batch::Batch;
use reprise_core::capture::ledger::{Ledger, Reason};
use reprise_core::config::ReplaydPlace;
use reprise_core::time::{Millis, MonoMillis};
use reprise_core::wire::{self, Ack, BatchHead, push_frame};

/// How long a call may last beyond its own timeout before nobody waits for it any more.
const GRACE: Millis = Millis(1000);
/// How often replayd hears of a ledger that changed, at least.
const HEARTBEAT: Millis = Millis(2000);

/// What a VM keeps of its calls.
#[derive(Debug, Default)]
pub struct Publisher {
    /// Where replayd is, by the document that was configured last.
    pub place: Option<ReplaydPlace>,
    /// The proxy's name; read once.
    instance: Option<String>,
    calls: HashMap<u32, Calling>,
    /// The ledger that replayd heard of last, and when.
    told: (Ledger, MonoMillis),
    complained: bool,
}

#[derive(Debug, Clone, Copy)]
struct Calling {
    what: What,
    until: MonoMillis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A batch of captures that nothing waits for.
    Later(u64),
    /// A batch of captures that requests or responses wait for.
    Ahead(u64),
    /// An empty batch: the ledger alone.
    Ledger,
    /// The policy.
    Policy,
}

/// What came back of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its `etag`, read of a policy alone.
    pub etag: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads the answer whose callback runs; none if the call failed.
    fn read(host: &impl Host, what: What, (headers, body_len): (usize, usize)) -> Option<Self> {
        // Of a call that failed nothing may be read: the host would end the VM.
        if headers == 0 {
            return None;
        }
        let status = host.call_header(":status").ok().flatten()?;
        let etag = (what == What::Policy).then(|| host.call_header("etag").ok().flatten());
        Some(Self {
            status: std::str::from_utf8(&status).ok()?.parse().ok()?,
            etag: etag.flatten().unwrap_or_default(),
            body: host.call_body(body_len).unwrap_or_default(),
        })
    }

    fn ack(&self) -> Option<Ack> {
        (self.status == 200).then(|| Ack::decode(&self.body[..]).ok()).flatten()
    }

    /// Tells why replayd will never take this batch, if it will not.
    const fn refusal(&self) -> Option<Reason> {
        match self.status {
            413 => Some(Reason::TooLarge),
            400 => Some(Reason::ReplaydDown),
            _ => None,
        }
    }
}

/// Sends what is due, and looks after what waits too long.
pub fn tick(host: &impl Host, vm: &mut Vm, now: MonoMillis, root_context: u32) {
    give_up_late(host, vm, now, root_context);
    journal::give_up_late(host, vm, now, root_context);
    send(host, vm, now, root_context);
    let (told, at) = &vm.publisher.told;
    let is_idle = vm.publisher.calls.is_empty() && vm.captures.waiting() == 0;
    if vm.captures.ledger != *told && now.since(*at) >= HEARTBEAT && is_idle {
        let assigned = vm.captures.last_seq();
        let body = head(host, vm, assigned);
        let _silent = post(host, vm, What::Ledger, &body, now);
    }
}

/// Sends what is due: first what somebody waits for.
pub fn send(host: &impl Host, vm: &mut Vm, now: MonoMillis, root_context: u32) {
    while let Some((id, frames)) = vm.captures.ahead.next(now).map(contents) {
        let body = [head(host, vm, 0), frames].concat();
        if !post(host, vm, What::Ahead(id), &body, now) {
            journal::fail(host, vm, (id, Told::Nothing), (now, root_context));
        }
    }
    while let Some((id, frames)) = vm.captures.later.next(now).map(contents) {
        let body = [head(host, vm, 0), frames].concat();
        if !post(host, vm, What::Later(id), &body, now) {
            vm.captures.later.retry(id, now);
        }
    }
}

fn contents(batch: &Batch) -> (u64, Vec<u8>) {
    (batch.id(), batch.frames().to_vec())
}

/// Sends a batch; tells whether it went out.
fn post(host: &impl Host, vm: &mut Vm, what: What, body: &[u8], now: MonoMillis) -> bool {
    let path = match what {
        What::Ahead(_) => wire::JOURNAL_PATH,
        What::Later(_) | What::Ledger | What::Policy => wire::BATCH_PATH,
    };
    let header = ("content-type", wire::CONTENT_TYPE);
    let sent = call(host, vm, what, ("POST", path, header, body), now);
    if sent {
        vm.publisher.told = (vm.captures.ledger, now);
    }
    sent
}

/// Asks for the policy, unless it still has the tag `known`; tells whether it was asked.
pub fn ask_policy(host: &impl Host, vm: &mut Vm, known: &str, now: MonoMillis) -> bool {
    let quoted = format!("\"{known}\"");
    let header = match known {
        "" => ("accept", wire::CONTENT_TYPE),
        _ => ("if-none-match", quoted.as_str()),
    };
    call(host, vm, What::Policy, ("GET", wire::POLICY_PATH, header, b""), now)
}

/// Method, path, one header, body.
type Sent<'a> = (&'a str, &'a str, (&'a str, &'a str), &'a [u8]);

fn call(host: &impl Host, vm: &mut Vm, what: What, (method, path, header, body): Sent<'_>, now: MonoMillis) -> bool {
    let Some(place) = &vm.publisher.place else {
        return false;
    };
    let sent = host.call(&Call {
        cluster: &place.cluster,
        method,
        path,
        header,
        body,
        timeout: place.timeout,
    });
    let until = now.plus(place.timeout).plus(GRACE);
    match sent {
        Ok(token) => {
            vm.publisher.calls.insert(token, Calling { what, until });
            true
        }
        // Where nothing is captured there may be no replayd, and nobody misses it.
        Err(_) if what == What::Policy && !vm.is_captured => false,
        Err(error) => {
            complain(host, vm, &format!("{} failed with status {}", error.call, error.status));
            false
        }
    }
}

/// Writes what stands before the captures of every batch; `assigned` = the highest number, where nothing waits, or 0.
fn head(host: &impl Host, vm: &mut Vm, assigned: u64) -> Vec<u8> {
    let name = || host.property(&["xds", "node", "id"]).ok().flatten().unwrap_or_default();
    let instance = vm
        .publisher
        .instance
        .get_or_insert_with(|| crate::tape::text(&name()))
        .clone();
    let head = BatchHead {
        epoch: vm.who.to_vec(),
        instance,
        worker: vm.bench.seat().map_or(0, u32::from),
        ledger: Some(wire::Ledger {
            assigned,
            ..vm.captures.ledger.to_wire()
        }),
        boots: vm.boots.known.seen(),
        goodbye: false,
    };
    let mut out = Vec::new();
    push_frame(&head, &mut out);
    out
}

/// Takes in what came back of the call `token`: how many headers, and how many bytes of a body.
pub fn answered(host: &impl Host, vm: &mut Vm, token: u32, sizes: (usize, usize), root_context: u32) {
    let now = host.now();
    if let Some(calling) = vm.publisher.calls.remove(&token) {
        let answer = Answer::read(host, calling.what, sizes);
        settle(host, vm, calling.what, answer.as_ref(), (now, root_context));
        send(host, vm, now, root_context);
    }
}

fn settle(host: &impl Host, vm: &mut Vm, what: What, answer: Option<&Answer>, (now, root_context): (MonoMillis, u32)) {
    if what == What::Policy {
        return policy::answered(host, vm, answer);
    }
    let ack = answer.and_then(Answer::ack);
    match &ack {
        Some(ack) => {
            vm.publisher.complained = false;
            vm.policies.hear(&ack.policy_tag);
        }
        None => complain(host, vm, &told(answer)),
    }
    match (what, ack) {
        (What::Ledger | What::Policy, _) => {}
        (What::Later(id), Some(ack)) => {
            if let Some(acked) = vm.captures.later.acknowledge(id, &ack.ranges, now) {
                vm.captures.ledger.store(acked.settled);
            }
        }
        (What::Later(id), None) => match answer.and_then(Answer::refusal) {
            Some(reason) => {
                let refused = vm.captures.later.give_up(id, now);
                let count = refused.as_ref().map_or(0, exchanges);
                vm.captures.ledger.drop(reason, count);
            }
            None => vm.captures.later.retry(id, now),
        },
        (What::Ahead(id), Some(ack)) => journal::acknowledge(host, vm, id, &ack.ranges, (now, root_context)),
        (What::Ahead(id), None) => journal::fail(host, vm, (id, told_of(answer)), (now, root_context)),
    }
}

/// Tells what replayd may know of a batch that it did not acknowledge.
fn told_of(answer: Option<&Answer>) -> Told {
    match answer {
        Some(answer) if !may_have_arrived(answer.status, &answer.body) => Told::Nothing,
        Some(_) | None => Told::Perhaps,
    }
}

fn told(answer: Option<&Answer>) -> String {
    answer.map_or_else(
        || "it does not answer".to_owned(),
        |answer| format!("it answers with status {}", answer.status),
    )
}

fn exchanges(batch: &Batch) -> u64 {
    batch.entries().iter().filter(|entry| entry.settles).count() as u64
}

/// Gives up calls of which nothing was ever heard: their root is gone.
fn give_up_late(host: &impl Host, vm: &mut Vm, now: MonoMillis, root_context: u32) {
    let late = vm.publisher.calls.extract_if(|_, calling| calling.until < now);
    let late: Vec<_> = late.map(|(_, calling)| calling.what).collect();
    for what in late {
        settle(host, vm, what, None, (now, root_context));
    }
}

/// Says once that replayd cannot be told, until it can again.
fn complain(host: &impl Host, vm: &mut Vm, why: &str) {
    if !std::mem::replace(&mut vm.publisher.complained, true) {
        host.log(Level::Warn, &format!("reprise: replayd does not take captures: {why}"));
    }
}
