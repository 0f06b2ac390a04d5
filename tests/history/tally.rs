//! What a history check has seen so far.

use super::client::{Key, Reply, Said, Tried};
use super::oracle::Finding;
use super::plan::{Fate, Manner};
use super::stack::is_detached;
use std::collections::BTreeMap;
use std::fmt;

/// Findings that are told in full; the others are counted.
const TOLD_MAX: usize = 20;

/// Counts of all that was sent, told and found.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests, also those whose clients hung up.
    pub requests: u64,
    /// Keys, of one caller each.
    pub keys: u64,
    /// Requests that the upstream ran.
    pub executions: u64,
    /// Keys that were asked for after their records were over: only what holds then was judged.
    pub outlived: u64,
    /// Detached requests that worked on when their clients had left, and whose answers others got.
    pub outlasting: u64,
    /// What clients were told.
    said: BTreeMap<&'static str, u64>,
    /// What was wrong.
    found: BTreeMap<&'static str, u64>,
    told: Vec<String>,
}

impl Tally {
    /// Adds a key that was judged.
    pub(super) fn add(&mut self, key: &Key, executions: usize, findings: Vec<Finding>) {
        self.keys += 1;
        self.executions += executions as u64;
        for tried in &key.tried {
            self.requests += 1;
            *self.said.entry(name(&tried.said)).or_default() += 1;
            self.outlasting += u64::from(outlasts(key, tried));
        }
        for finding in findings {
            *self.found.entry(finding.fault.name()).or_default() += 1;
            if self.told.len() < TOLD_MAX {
                self.told.push(finding.to_string());
            }
        }
    }

    /// Tells how often clients were told this.
    #[must_use]
    pub fn said(&self, name: &str) -> u64 {
        self.said.get(name).copied().unwrap_or_default()
    }

    /// Counts what was wrong.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.found.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} requests, {} keys, {} executions;",
            self.requests, self.keys, self.executions
        )?;
        for (name, count) in &self.said {
            write!(to, " {name} {count},")?;
        }
        write!(
            to,
            " outlived {}, outlasting {}; {} faults",
            self.outlived,
            self.outlasting,
            self.faults()
        )?;
        for (name, count) in &self.found {
            write!(to, ", {name} {count}")?;
        }
        for finding in &self.told {
            write!(to, "\n  {finding}")?;
        }
        Ok(())
    }
}

/// Tells whether a detached request was answered to others although its client had left before its response.
fn outlasts(key: &Key, tried: &Tried) -> bool {
    let left_early = match (tried.plan.manner, tried.plan.fate) {
        (Manner::LeavesAfterUpload { ms: waited }, Fate::Works { ms: worked, .. }) => waited < worked,
        _ => false,
    };
    let is_its_answer = |reply: &Reply| reply.is_answer && reply.echo == Some(tried.plan.id);
    let mut all = key.tried.iter();
    let is_answered = all.any(|other| matches!(&other.said, Said::Reply(reply) if is_its_answer(reply)));
    is_detached(key.plan.area) && left_early && is_answered
}

fn name(said: &Said) -> &'static str {
    match said {
        Said::Reply(reply) if reply.is_answer => "answers",
        Said::Reply(reply) if reply.echo.is_some() => "firsts",
        Said::Reply(reply) if reply.is("in-flight") => "in-flight",
        Said::Reply(reply) if reply.is("outcome-unknown") => "unknown",
        Said::Reply(reply) if reply.is("key-reused") => "reused",
        Said::Reply(reply) if reply.is("no-response") => "no-response",
        Said::Reply(reply) if reply.is_local() => "local",
        Said::Reply(_) => "other",
        Said::Broken => "broken",
        Said::Left => "left",
        Said::Nothing => "nothing",
    }
}
