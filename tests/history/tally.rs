//! What a history check has seen so far.

use super::client::{Key, Said};
use super::oracle::Finding;
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
        write!(to, " outlived {}; {} faults", self.outlived, self.faults())?;
        for (name, count) in &self.found {
            write!(to, ", {name} {count}")?;
        }
        for finding in &self.told {
            write!(to, "\n  {finding}")?;
        }
        Ok(())
    }
}

fn name(said: &Said) -> &'static str {
    match said {
        Said::Reply(reply) if reply.is_answer => "answers",
        Said::Reply(reply) if reply.echo.is_some() => "firsts",
        Said::Reply(reply) if reply.is("in-flight") => "in-flight",
        Said::Reply(reply) if reply.is("outcome-unknown") => "unknown",
        Said::Reply(reply) if reply.is("key-reused") => "reused",
        Said::Reply(reply) if reply.is_local() => "local",
        Said::Reply(_) => "other",
        Said::Broken => "broken",
        Said::Left => "left",
        Said::Nothing => "nothing",
    }
}
