//! Round after round: clients work, the oracle judges.

use super::client::{Client, Key, Queue};
use super::journal::{self, Journal};
use super::oracle::{Case, judge};
use super::stack::AREAS;
use super::tally::Tally;
use crate::harness::Stack;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::task::JoinSet;

/// How big a round is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Clients at work.
    pub clients: usize,
    /// Keys of a round; about four requests each.
    pub keys: u64,
    /// VMs that are killed in every second round.
    pub traps: u64,
}

/// A history check in progress.
#[derive(Debug)]
pub struct Check<'a> {
    stack: &'a Stack,
    seed: u64,
    size: Size,
    retain: Duration,
    round: u64,
    /// The last round: what its clients left behind may still run.
    last: Vec<Key>,
    journal: Journal,
    tally: Tally,
    sent: u64,
}

impl<'a> Check<'a> {
    /// Begins one; `retain` is how long the stack's records live.
    #[must_use]
    pub fn new(stack: &'a Stack, seed: u64, size: Size, retain: Duration) -> Self {
        Self {
            stack,
            seed,
            size,
            retain,
            round: 0,
            last: Vec::new(),
            journal: Journal::default(),
            tally: Tally::default(),
            sent: 0,
        }
    }

    /// Runs one round, and judges the one before.
    pub async fn round(&mut self) -> &Tally {
        let queue = Arc::new(Queue {
            edge: self.stack.address(),
            seed: self.seed,
            round: self.round,
            areas: &AREAS,
            keys: self.size.keys,
            traps: if self.is_dying(self.round) { self.size.traps } else { 0 },
            next: AtomicU64::new(0),
        });
        let mut clients = JoinSet::new();
        for _ in 0..self.size.clients {
            clients.spawn(Client::new(Arc::clone(&queue)).work());
        }
        let keys: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        self.judge_last().await;
        self.sent += keys.iter().map(|key| key.tried.len() as u64).sum::<u64>();
        self.last = keys;
        self.round += 1;
        &self.tally
    }

    /// Judges the last round too, once nothing runs any more.
    pub async fn finish(mut self) -> Tally {
        self.stack.gauge_is("cluster.upstream.upstream_rq_active", 0).await;
        self.judge_last().await;
        self.tally
    }

    /// Counts the requests that were sent, also those that are not judged yet.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Tells what was seen and judged so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    const fn is_dying(&self, round: u64) -> bool {
        self.size.traps > 0 && round % 2 == 1
    }

    async fn judge_last(&mut self) {
        journal::add(&mut self.journal, &self.stack.upstream().take().await);
        for key in std::mem::take(&mut self.last) {
            let mut ran = self.journal.remove(&(key.plan.round, key.plan.key)).unwrap_or_default();
            ran.sort_unstable_by_key(|ran| ran.n);
            let vms_die = self.is_dying(key.plan.round);
            let case = Case {
                key: &key,
                ran: &ran,
                vms_die,
                retain: self.retain,
            };
            self.tally.outlived += u64::from(case.is_outlived());
            let findings = judge(&case);
            self.tally.add(&key, ran.len(), findings);
        }
    }
}
