//! The root of one plugin: its document, the policies made of it, and its tick.

use crate::claims;
use crate::detached;
use crate::host::{Host, Level};
use crate::metadata::{BadMetadata, Metadata};
use crate::metrics::{Count, Gauges};
use crate::policy;
use crate::publisher;
use crate::queues;
use crate::reply::respond;
use crate::store::{self, Store};
use crate::structs;
use crate::sweeper::{self, Walk};
use crate::tally;
use crate::vm::{Parked, Vm};
use crate::waiters;
use hashbrown::HashMap;
use reprise_core::claim::usage::{Principals, Usage};
use reprise_core::config::{ConfigErrors, Document, Policy, Selection};
use reprise_core::gate::Request;
use reprise_core::problem::Problem;
use reprise_core::time::{Millis, MonoMillis};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The time between two ticks; shorter where a short lease asks for it.
const TICK: Millis = Millis(200);
/// The time between two ticks where captures wait to be sent.
const TICK_FAST: Millis = Millis(10);
/// How long a duplicate is held without hearing of its body.
const SILENCE_MAX: Millis = Millis(5000);
/// Policies kept ready; beyond it they are made anew, so that hostile routes cannot fill the memory.
const POLICIES_MAX: usize = 4096;

/// One plugin: a document and what was made of it.
#[derive(Debug)]
pub struct Root {
    /// The document.
    pub document: Document,
    /// Whether requests with a safe method are looked at.
    pub captures_safe_methods: bool,
    period: Cell<Millis>,
    /// Whether ticks come faster for the sake of those who wait.
    is_hurried: Cell<bool>,
    /// Whether the log says already what is wrong with a route's settings.
    has_complained: Cell<bool>,
    unknown_retain: Millis,
    metadata: RefCell<Metadata>,
    policies: RefCell<HashMap<(Selection, u32), Rc<Policy>>>,
}

/// Reads a plugin's document and opens its store; no document = pin the data, do nothing else.
///
/// # Errors
/// What is wrong, for the proxy's log: every problem of the document with its path, or why the store cannot be used.
pub fn configure(host: &impl Host, vm: &mut Vm, bytes: &[u8]) -> Result<Option<Rc<Root>>, String> {
    let Some(document) = document(bytes).map_err(|errors| errors.to_string())? else {
        // Only the bootstrap's plugin has none, and that runs on the main thread.
        vm.is_pinned = true;
        return Ok(None);
    };
    vm.baptise(host)
        .map_err(|error| format!("{} failed with status {}", error.call, error.status))?;
    let store = Store::open(host, document.store.keys_max).map_err(|error| error.to_string())?;
    if !vm.policies.is_known() {
        vm.captures.redaction_key = store.secrets.redaction_key();
    }
    vm.captures.set_clocks(host);
    vm.captures.bytes_max = document.capture_bytes_max;
    vm.publisher.place = Some(document.replayd.clone());
    vm.is_captured |= document.captures() || document.boot_gate;
    vm.is_gated |= document.boot_gate;
    vm.store = Some(store);
    queues::hand_over(host, vm);
    vm.counts_principals |= document.store.keys_per_principal_max.is_some();
    let root = Root::new(document);
    host.tick_every(root.period.get())
        .map_err(|error| format!("{} failed with status {}", error.call, error.status))?;
    Ok(Some(Rc::new(root)))
}

/// Reads the document as Envoy hands it over: JSON text from a string, protobuf's bytes from a struct.
fn document(bytes: &[u8]) -> Result<Option<Document>, ConfigErrors> {
    const FIRST_FIELD: u8 = 0x0a;
    // A struct's bytes begin like white space before JSON does, but are never JSON.
    if bytes.first() == Some(&FIRST_FIELD)
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err()
        && let Some(value) = structs::read(bytes)
    {
        return Document::from_value(&value);
    }
    Document::read(bytes)
}

impl Root {
    fn new(document: Document) -> Self {
        let unknown_retain = document.routes.defaults().unknown_retain;
        let period = if document.captures() {
            TICK_FAST
        } else {
            slow_tick(&document)
        };
        Self {
            captures_safe_methods: document.captures_safe_methods(),
            period: Cell::new(period),
            is_hurried: Cell::new(false),
            has_complained: Cell::new(false),
            document,
            unknown_retain,
            metadata: RefCell::default(),
            policies: RefCell::default(),
        }
    }

    /// Finds what the route of `request` asks for: its metadata over the path rules over the document's defaults.
    ///
    /// # Errors
    /// [`BadMetadata`] with what the document alone asks for, if the metadata do not parse.
    pub fn policy(&self, host: &impl Host, request: &Request<'_>) -> Result<Rc<Policy>, (BadMetadata, Rc<Policy>)> {
        let routes = &self.document.routes;
        let selection = if routes.is_empty() {
            Selection::NONE
        } else {
            routes.select(request.method, request.authority, request.path())
        };
        let found = self.metadata.borrow_mut().find(host);
        match found {
            Ok(id) => Ok(self.made(selection, id)),
            Err(BadMetadata) => Err((BadMetadata, self.made(selection, Metadata::NONE))),
        }
    }

    fn made(&self, selection: Selection, id: u32) -> Rc<Policy> {
        let mut policies = self.policies.borrow_mut();
        if let Some(policy) = policies.get(&(selection, id)) {
            return Rc::clone(policy);
        }
        let metadata = self.metadata.borrow();
        let policy = Rc::new(self.document.routes.policy(selection, metadata.overrides(id)));
        if policies.len() >= POLICIES_MAX {
            policies.clear();
        }
        policies.insert((selection, id), Rc::clone(&policy));
        policy
    }

    /// Sends captures, and every now and then does the VM's regular work.
    pub fn tick(&self, host: &impl Host, vm: &mut Vm, root_context: u32) {
        let now = host.now();
        detached::tick(host, vm, root_context);
        publisher::tick(host, vm, now, root_context);
        waiters::tick(host, vm, now, root_context);
        // Several plugins may share the VM: whoever comes first does the work.
        let due_after = match self.period.get() == TICK_FAST || self.is_hurried.get() {
            true => Millis(slow_tick(&self.document).0.saturating_sub(TICK_FAST.0)),
            false => Millis(20),
        };
        if vm.ticked.is_none_or(|last| now.since(last) >= due_after) {
            vm.ticked = Some(now);
            self.slow_tick(host, vm, root_context, now);
        }
        // A route's metadata may turn capture on where the document does not.
        if self.period.get() > TICK_FAST && vm.captures.ledger.seen() > 0 && host.tick_every(TICK_FAST).is_ok() {
            self.period.set(TICK_FAST);
            vm.is_captured = true;
        }
        if self.is_hurried.get() && vm.waits.is_empty() && host.tick_every(self.period.get()).is_ok() {
            self.is_hurried.set(false);
        }
    }

    /// Says once what is wrong with settings that meet at a request only.
    pub fn complain(&self, host: &impl Host, problem: &str) {
        if !self.has_complained.replace(true) {
            host.log(
                Level::Warn,
                &format!("reprise: a route's settings, of rules and metadata together: {problem}"),
            );
        }
    }

    /// Has ticks come fast while somebody waits, so that nobody waits for longer than it may.
    pub fn hurry(&self, host: &impl Host) {
        let is_slow = self.period.get() > TICK_FAST && !self.is_hurried.get();
        if is_slow && host.tick_every(TICK_FAST).is_ok() {
            self.is_hurried.set(true);
        }
    }

    /// Does the VM's regular work: lease, late ends, held duplicates, sweep, counts.
    ///
    /// A failure of the host is met again at the next tick; nothing here may stop the rest.
    fn slow_tick(&self, host: &impl Host, vm: &mut Vm, root_context: u32, now: MonoMillis) {
        let limits = &self.document.store;
        vm.captures.set_clocks(host);
        if vm.lease.tick(host, now, limits.lease).is_err() {
            host.log(
                Level::Warn,
                "reprise: the worker's lease could not be renewed; the next tick tries again",
            );
        }
        claims::write_doubts(host, vm, limits);
        answer_overdue(host, vm, now, root_context);
        if sweeper::step(
            host,
            vm,
            &Walk {
                now,
                unknown_retain: self.unknown_retain,
            },
        )
        .is_err()
        {
            host.log(Level::Warn, "reprise: the sweep failed; the next tick tries again");
        }
        let shown = tally::sit(host, vm, now).and_then(|()| match vm.sweep.is_ours(now) {
            true => tally::show(host, vm, now, limits.lease),
            false => Ok(()),
        });
        if shown.is_err() {
            host.log(
                Level::Warn,
                "reprise: the tally of captures could not be written; the next tick tries again",
            );
        }
        if policy::tick(host, vm, now).is_err() {
            host.log(
                Level::Warn,
                "reprise: the policy could not be read; the next tick tries again",
            );
        }
        refresh_fill(host, vm);
        let gauges = gauges(vm);
        if vm.metrics.flush(host, gauges.as_ref()).is_err() {
            host.log(
                Level::Warn,
                "reprise: metrics could not be written; the next tick tries again",
            );
        }
    }
}

/// Tells how often a VM's regular work is done.
fn slow_tick(document: &Document) -> Millis {
    Millis((document.store.lease.0 / 6).clamp(50, TICK.0))
}

fn refresh_fill(host: &impl Host, vm: &mut Vm) {
    let Ok(shared) = host.shared(store::USAGE) else {
        return;
    };
    let usage = Usage::read(&shared.value);
    if usage.pass == vm.fill.usage.pass {
        return;
    }
    let principals = vm
        .counts_principals
        .then(|| host.shared(store::PRINCIPALS).ok())
        .flatten();
    vm.fill
        .renew(usage, principals.map(|shared| Principals::read(shared.value)));
}

fn gauges(vm: &Vm) -> Option<Gauges> {
    let store = vm.store.as_ref()?;
    let usage = vm.fill.usage;
    Some(Gauges {
        store_started: store.started_wall,
        has_policy: vm.policies.is_known(),
        counted: (usage.pass > 0).then_some([u64::from(usage.live), u64::from(usage.free), usage.bytes]),
    })
}

/// Answers held duplicates that hear nothing of their body: they would hang until a timeout of the proxy.
fn answer_overdue(host: &impl Host, vm: &mut Vm, now: MonoMillis, root_context: u32) {
    let overdue: Vec<(u32, Parked)> = vm
        .parked
        .iter()
        .filter(|(_, parked)| now.since(parked.heard.get()) >= SILENCE_MAX)
        .map(|(id, parked)| (*id, parked.clone()))
        .collect();
    for (id, parked) in overdue {
        vm.parked.remove(&id);
        parked.answered.set(true);
        vm.metrics.count(Count::Misconfigured);
        let problem = Problem::InFlight {
            status: parked.in_flight_status,
            retry_after_s: 1,
        };
        if host.enter(id).is_ok() {
            respond(host, &parked.root, &problem, parked.dialect);
        }
        let _root_is_there = host.enter(root_context);
    }
}
