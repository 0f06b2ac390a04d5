//! The root of one plugin: its document, the policies made of it, and its tick.

use crate::claims;
use crate::host::{Host, Level};
use crate::metadata::{BadMetadata, Metadata};
use crate::metrics::{Count, Gauges};
use crate::store::{self, Store};
use crate::structs;
use crate::sweeper::{self, Walk};
use crate::vm::{Parked, Vm};
use hashbrown::HashMap;
use reprise_core::claim::usage::{Principals, Usage};
use reprise_core::config::{ConfigErrors, Document, Policy, Selection};
use reprise_core::gate::Request;
use reprise_core::problem::Problem;
use reprise_core::time::{Millis, MonoMillis};
use std::cell::RefCell;
use std::rc::Rc;

/// The time between two ticks; shorter where a short lease asks for it.
const TICK: Millis = Millis(200);
/// How long a duplicate is held without hearing of its body.
const SILENCE_MAX: Millis = Millis(5000);
/// Policies kept ready; beyond it they are made anew, so that hostile routes cannot fill the memory.
const POLICIES_MAX: usize = 4096;

/// One plugin: a document and what was made of it.
#[derive(Debug)]
pub struct Root {
    /// The document.
    pub document: Document,
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
        return Ok(None);
    };
    vm.baptise(host)
        .map_err(|error| format!("{} failed with status {}", error.call, error.status))?;
    let store = Store::open(host, document.store.keys_max).map_err(|error| error.to_string())?;
    vm.store = Some(store);
    vm.counts_principals |= document.store.keys_per_principal_max.is_some();
    let period = Millis((document.store.lease.0 / 6).clamp(50, TICK.0));
    host.tick_every(period)
        .map_err(|error| format!("{} failed with status {}", error.call, error.status))?;
    Ok(Some(Rc::new(Root::new(document))))
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
        Self {
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

    /// Does the VM's regular work: lease, late ends, held duplicates, sweep, counts.
    ///
    /// A failure of the host is met again at the next tick; nothing here may stop the rest.
    pub fn tick(&self, host: &impl Host, vm: &mut Vm, root_context: u32) {
        let now = host.now();
        if vm.ticked.is_some_and(|last| now.since(last) < Millis(20)) {
            return;
        }
        vm.ticked = Some(now);
        let limits = &self.document.store;
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
        let reply = problem.reply(&parked.root.document.problem);
        if host.enter(id).is_ok() && host.respond(reply.status, &reply.pairs, &reply.body).is_err() {
            host.log(Level::Warn, "reprise: a held duplicate could not be answered");
        }
        let _root_is_there = host.enter(root_context);
    }
}
