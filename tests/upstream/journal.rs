//! What was executed, who waits, and which gates are open.

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Mutex;
use tokio::sync::watch;

/// One request as the upstream saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Number over all requests that were executed, from 1; 0 if this one was not.
    pub n: usize,
    /// The method.
    pub method: String,
    /// The target with its query.
    pub target: String,
    /// Headers in order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body that arrived.
    pub body_bytes: usize,
    /// Hash of the body's bytes that arrived.
    pub body_hash: u64,
    /// Whether the whole request arrived, which is when it counts as executed.
    pub ended: bool,
}

impl Execution {
    /// Gives the first value of the header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Hashes a body that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct BodyHash(DefaultHasher, pub(super) usize);

impl BodyHash {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.0.write(piece);
        self.1 = self.1.saturating_add(piece.len());
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finish()
    }
}

/// The upstream's memory.
#[derive(Debug)]
pub(super) struct Journal {
    inner: Mutex<Inner>,
    gates: watch::Sender<HashSet<String>>,
    waiting: Mutex<HashMap<String, usize>>,
    /// Tells one run of this process from the next.
    pub(super) boot_id: String,
    /// Whether only replays may change anything until the gate [`READY`] opens.
    waits: bool,
}

/// The gate that says that everything is restored.
const READY: &str = "ready";

#[derive(Debug, Default)]
struct Inner {
    log: Vec<Execution>,
    executed: usize,
    /// Executions by method, target and key.
    runs: HashMap<(String, String, Option<String>), usize>,
    commands: Vec<serde_json::Value>,
    numbered: usize,
}

impl Default for Journal {
    fn default() -> Self {
        let boot = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        Self {
            inner: Mutex::default(),
            gates: watch::channel(HashSet::new()).0,
            waiting: Mutex::default(),
            boot_id: format!("{boot:016x}"),
            waits: false,
        }
    }
}

impl Journal {
    /// Begins a life that is not ready before it is restored.
    pub(super) fn unready() -> Self {
        Self {
            waits: true,
            ..Self::default()
        }
    }

    /// Tells whether clients may change anything.
    pub(super) fn is_ready(&self) -> bool {
        !self.waits || self.gates.borrow().contains(READY)
    }

    /// Writes a request down; gives its number and how many with the same target and key were executed before it.
    pub(super) fn write(&self, mut seen: Execution) -> (usize, usize) {
        let mut inner = self.inner.lock().expect("no one panics with the journal open");
        let key = seen.header("idempotency-key").map(str::to_owned);
        let same = inner
            .runs
            .entry((seen.method.clone(), seen.target.clone(), key))
            .or_default();
        let earlier = *same;
        if seen.ended {
            *same += 1;
            inner.executed += 1;
            seen.n = inner.executed;
        }
        let n = seen.n;
        inner.log.push(seen);
        (n, earlier)
    }

    /// Copies the log.
    pub(super) fn log(&self) -> Vec<Execution> {
        self.inner
            .lock()
            .expect("no one panics with the journal open")
            .log
            .clone()
    }

    /// Takes the log out, and forgets how often what ran: who runs for days must not fill the memory.
    pub(super) fn take_log(&self) -> Vec<Execution> {
        let mut inner = self.inner.lock().expect("no one panics with the journal open");
        inner.runs.clear();
        std::mem::take(&mut inner.log)
    }

    /// Changes or reads the command queue.
    pub(super) fn commands<T>(&self, act: impl FnOnce(&mut Vec<serde_json::Value>) -> T) -> T {
        act(&mut self.inner.lock().expect("no one panics with the journal open").commands)
    }

    /// Adds a command to the queue; gives its entry there.
    pub(super) fn add_command(&self, command: &serde_json::Value) -> serde_json::Value {
        let mut inner = self.inner.lock().expect("no one panics with the journal open");
        inner.numbered += 1;
        let entry = serde_json::json!({"id": inner.numbered, "command": command});
        inner.commands.push(entry.clone());
        entry
    }

    /// Waits until the gate `name` is open; an open gate stays open until it is closed.
    pub(super) async fn pass(&self, name: &str) {
        let mut gates = self.gates.subscribe();
        let _counted = Waiting::enter(self, name);
        let _ = gates.wait_for(|open| open.contains(name)).await;
    }

    /// Opens the gate `name` for all who wait and all who come.
    pub(super) fn open(&self, name: &str) {
        self.gates.send_modify(|open| {
            open.insert(name.to_owned());
        });
    }

    /// Closes the gate `name` for all who come.
    pub(super) fn close(&self, name: &str) {
        self.gates.send_modify(|open| {
            open.remove(name);
        });
    }

    /// Counts those who wait at the gate `name`.
    pub(super) fn waiting(&self, name: &str) -> usize {
        let waiting = self.waiting.lock().expect("no one panics with the counts open");
        waiting.get(name).copied().unwrap_or_default()
    }
}

/// Counts a waiting request for as long as it waits, also if its client leaves.
struct Waiting<'a>(&'a Journal, &'a str);

impl<'a> Waiting<'a> {
    fn enter(journal: &'a Journal, name: &'a str) -> Self {
        let mut waiting = journal.waiting.lock().expect("no one panics with the counts open");
        *waiting.entry(name.to_owned()).or_default() += 1;
        Self(journal, name)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Ok(mut waiting) = self.0.waiting.lock()
            && let Some(count) = waiting.get_mut(self.1)
        {
            *count = count.saturating_sub(1);
        }
    }
}
