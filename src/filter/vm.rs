//! What one worker's VM keeps between requests, whatever its plugins and their reloads.

use crate::boots::KnownBoots;
use crate::captures::Captures;
use crate::host::{Host, HostError};
use crate::http::Exchange;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::policy::Policies;
use crate::publisher::Publisher;
use crate::queues::Queues;
use crate::slots::Lease;
use crate::store::Store;
use crate::sweeper::Sweep;
use crate::tally::Bench;
use crate::waiters::Waits;
use hashbrown::HashMap;
use reprise_core::claim::Fence;
use reprise_core::claim::usage::{Principals, Rank, Usage};
use reprise_core::time::MonoMillis;
use std::cell::Cell;
use std::rc::Rc;

/// The state of one VM. A reload's new root adopts it: claims and held duplicates live here.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that was configured or seen, or not"
)]
pub struct Vm {
    /// Tells this VM from all others; drawn at its first configuration.
    pub who: [u8; 16],
    /// The store, once it is made.
    pub store: Option<Store>,
    /// The worker's slot.
    pub lease: Lease,
    /// How it is woken, and wakes others.
    pub queues: Queues,
    /// Counters on their way to the host.
    pub metrics: Metrics,
    /// Duplicates that are held, by context.
    pub parked: HashMap<u32, Parked>,
    /// Exchanges for which the root acts, by context.
    pub aside: HashMap<u32, Box<Exchange>>,
    /// Duplicates that wait for the first request of their key.
    pub waits: Waits,
    /// Bytes of copies that this VM holds.
    pub held_bytes: u64,
    /// Ends that could not be written; the tick tries again.
    pub unwritten: Vec<Unwritten>,
    /// How many of them the log knows of.
    pub unwritten_told: usize,
    /// How full the store is.
    pub fill: Fill,
    /// The sweep, if this VM does it.
    pub sweep: Sweep,
    /// Whether any document bounds the keys of a principal, so that they are counted.
    pub counts_principals: bool,
    /// Whether a stream was ever seen: the main thread's VM sees none.
    pub has_streams: bool,
    /// Whether a root without a document was ever configured: it pins the data, on the main thread.
    pub is_pinned: bool,
    /// Captures.
    pub captures: Captures,
    /// How they travel.
    pub publisher: Publisher,
    /// Where their ledger is shown.
    pub bench: Bench,
    /// Halves that wait until they are on disk.
    pub journal: Journal,
    /// What replayd tells all filters.
    pub policies: Policies,
    /// Boots of upstreams.
    pub boots: KnownBoots,
    /// Whether replayd is known to be needed: something is captured, or gated.
    pub is_captured: bool,
    /// Whether any document closes gates.
    pub is_gated: bool,
    /// When the VM's own work was done last.
    pub ticked: Option<MonoMillis>,
}

/// A duplicate that is held until its body ends.
#[derive(Debug, Clone)]
pub struct Parked {
    /// When it was held, or heard of its body last.
    pub heard: Rc<Cell<MonoMillis>>,
    /// Set when the tick answered it: its stream has nothing more to do.
    pub answered: Rc<Cell<bool>>,
    /// How its problem is told.
    pub root: Rc<crate::root::Root>,
    /// The status for it.
    pub in_flight_status: u16,
    /// What its client reads.
    pub dialect: reprise_core::problem::Dialect,
}

/// An end that could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritten {
    /// The bucket.
    pub bucket: u32,
    /// The way.
    pub at: u8,
    /// The claim.
    pub fence: Fence,
    /// When its unknown outcome is absent again.
    pub expiry: MonoMillis,
}

/// How full the store is: what the sweep counted last, and what this worker added since.
#[derive(Debug, Default)]
pub struct Fill {
    /// The last count.
    pub usage: Usage,
    /// The last count by principals; read only where it is needed.
    pub principals: Option<Principals>,
    /// Keys that this worker added since, by row.
    pub added_keys: HashMap<u16, u32>,
    /// Bytes that this worker added since.
    pub added_bytes: u64,
}

impl Fill {
    /// Counts the keys of a principal's row.
    #[must_use]
    pub fn keys(&self, row: u16) -> u32 {
        let counted = self.principals.as_ref().map_or(0, |principals| principals.keys(row));
        counted.saturating_add(self.added_keys.get(&row).copied().unwrap_or_default())
    }

    /// Counts the bytes of all records.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        self.usage.bytes.saturating_add(self.added_bytes)
    }

    /// Takes over a new count; what was added before it is in it.
    pub fn renew(&mut self, usage: Usage, principals: Option<Principals>) {
        self.usage = usage;
        self.principals = principals;
        self.added_keys.clear();
        self.added_bytes = 0;
    }
}

impl Vm {
    /// Gives the VM its name, once.
    ///
    /// # Errors
    /// [`HostError`] if the host has no randomness.
    pub fn baptise(&mut self, host: &impl Host) -> Result<(), HostError> {
        if self.who == [0; 16] {
            let drawn = host.random()?;
            self.who.copy_from_slice(&drawn[..16]);
        }
        Ok(())
    }

    /// Tells how well the VM is suited for what is done once in a process.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        match (self.has_streams, self.is_pinned) {
            (true, _) => Rank::Worker,
            (false, false) => Rank::Idle,
            (false, true) => Rank::Main,
        }
    }

    /// Counts the bytes that somebody holds now, who held `counted` before, into the VM's sum.
    pub const fn hold(&mut self, counted: &mut u64, now: u64) {
        self.held_bytes = self.held_bytes.saturating_sub(*counted).saturating_add(now);
        *counted = now;
    }
}
