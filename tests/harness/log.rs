//! Envoy's log: lines that nobody expected fail the test.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What makes a line a complaint.
const COMPLAINTS: [&str; 4] = [
    "][error]",
    "][critical]",
    "][warning][wasm]",
    "Proxy-Wasm plugin in-VM backtrace",
];

/// The complaints of one Envoy, each told once.
#[derive(Debug)]
pub(super) struct Complaints {
    allowed: Vec<String>,
    told: AtomicUsize,
}

impl Complaints {
    pub(super) const fn new(allowed: Vec<String>) -> Self {
        Self {
            allowed,
            told: AtomicUsize::new(0),
        }
    }

    /// Reads the log; gives the complaints that are not allowed and were not given before.
    pub(super) fn fresh(&self, log: &Path) -> Vec<String> {
        let text = std::fs::read(log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let is_complaint = |line: &&str| COMPLAINTS.iter().any(|mark| line.contains(mark));
        let is_allowed = |line: &&str| self.allowed.iter().any(|known| line.contains(known));
        let all: Vec<_> = text
            .lines()
            .filter(is_complaint)
            .filter(|line| !is_allowed(line))
            .collect();
        let told = self.told.swap(all.len(), Ordering::Relaxed);
        all.into_iter().skip(told).map(str::to_owned).collect()
    }
}
