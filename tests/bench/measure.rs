//! The method: short slices, each paired with its own adjacent slice of the base, in rotated order.
//!
//! A shared machine changes its speed within seconds. Two slices of 40 ms side by side meet the same speed; their ratio
//! stays, and the median over many rounds is what is reported.

use crate::load::{Generator, Load, Slice, Stop};
use crate::row::{Row, Variant};
use crate::stat::quantile;
use std::io;
use std::time::Duration;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Closed-loop pairs of each row.
    pub(crate) rounds: usize,
    /// Length of a closed-loop slice.
    pub(crate) slice: Duration,
    /// Fixed-rate pairs of each row.
    pub(crate) paced_rounds: usize,
    /// Length of a fixed-rate slice.
    pub(crate) paced_slice: Duration,
    /// Requests a second of a fixed-rate slice.
    pub(crate) rate_per_s: u32,
}

/// What the rounds of one row gave.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// CPU per request, a ratio for each round.
    pub(crate) cpu: Vec<f64>,
    /// Requests a second, a ratio for each round.
    pub(crate) throughput: Vec<f64>,
    /// Median latency at the fixed rate, a ratio for each round.
    pub(crate) p50: Vec<f64>,
    /// 99th percentile at the fixed rate, a ratio for each round.
    pub(crate) p99: Vec<f64>,
    /// The row's own absolute numbers.
    pub(crate) own: Absolute,
    /// The base's absolute numbers, in the slices beside the row's own.
    pub(crate) base: Absolute,
    /// Why the row does not count; nothing above is to be shown then.
    pub(crate) void: Option<String>,
}

/// Absolute numbers, one for each slice. They belong to this machine and this hour.
#[derive(Debug, Default)]
pub(crate) struct Absolute {
    /// CPU of the worker for each request, in microseconds.
    pub(crate) cpu_us: Vec<f64>,
    /// Requests a second, closed loop.
    pub(crate) per_s: Vec<f64>,
    /// Share of the slice in which the worker ran; far below 1 means that Envoy was not the bottleneck.
    pub(crate) busy: Vec<f64>,
    /// Share of the slice in which the worker waited for its core; far above 0 means that the machine was not idle.
    pub(crate) waited: Vec<f64>,
    /// Latencies at the fixed rate in microseconds, all slices together.
    pub(crate) latencies_us: Vec<f64>,
}

/// Runs all rounds of all rows; rows that are void already are left out.
pub(crate) fn run(
    generator: &mut Generator,
    rows: &mut [(Row, Findings)],
    variants: &[Variant],
    plan: Plan,
) -> io::Result<()> {
    let loads: Vec<(Load, Load)> = rows.iter().map(|(row, _)| row.loads(variants)).collect();
    let warm = Stop::After(Duration::from_millis(200));
    let mut rounds = Rounds { loads: &loads, rows };
    rounds.run(1, |load| generator.saturate(load, warm), Findings::ignore)?;
    rounds.run(
        plan.rounds,
        |load| generator.saturate(load, Stop::After(plan.slice)),
        Findings::saturated,
    )?;
    rounds.run(
        plan.paced_rounds,
        |load| generator.pace(load, plan.rate_per_s, plan.paced_slice),
        Findings::paced,
    )
}

/// The rows of a run, and what they found so far.
struct Rounds<'run> {
    loads: &'run [(Load, Load)],
    rows: &'run mut [(Row, Findings)],
}

impl Rounds<'_> {
    /// Every row once a round; the row that begins changes from round to round, and so does who is first in a pair.
    fn run(
        &mut self,
        rounds: usize,
        mut slice: impl FnMut(Load) -> io::Result<Slice>,
        record: impl Fn(&mut Findings, &Slice, &Slice),
    ) -> io::Result<()> {
        for round in 0..rounds {
            for step in 0..self.loads.len() {
                let at = (round + step) % self.loads.len();
                let (own, base) = self.loads[at];
                let (_, findings) = &mut self.rows[at];
                if findings.void.is_some() {
                    continue;
                }
                let (own, base) = if round % 2 == 0 {
                    let own = slice(own)?;
                    (own, slice(base)?)
                } else {
                    let base = slice(base)?;
                    (slice(own)?, base)
                };
                findings.void = own
                    .void
                    .clone()
                    .or_else(|| base.void.as_ref().map(|void| format!("base: {void}")));
                record(findings, &own, &base);
            }
        }
        Ok(())
    }
}

impl Findings {
    fn ignore(&mut self, _own: &Slice, _base: &Slice) {}

    fn saturated(&mut self, own: &Slice, base: &Slice) {
        self.own.saturated(own);
        self.base.saturated(base);
        self.cpu.extend(ratio(&self.own.cpu_us, &self.base.cpu_us));
        self.throughput.extend(ratio(&self.own.per_s, &self.base.per_s));
    }

    fn paced(&mut self, own: &Slice, base: &Slice) {
        let (own, base) = (latencies_us(own), latencies_us(base));
        for (share, ratios) in [(0.5, &mut self.p50), (0.99, &mut self.p99)] {
            let pair = quantile(&own, share).zip(quantile(&base, share));
            ratios.extend(pair.map(|(own, base)| own / base));
        }
        self.own.latencies_us.extend(own);
        self.base.latencies_us.extend(base);
    }
}

impl Absolute {
    fn saturated(&mut self, slice: &Slice) {
        let (requests, elapsed_ns) = (slice.requests as f64, slice.elapsed_ns as f64);
        let (ran_ns, waited_ns) = (slice.used.ran_ns as f64, slice.used.waited_ns as f64);
        self.cpu_us.push(ran_ns / requests / 1e3);
        self.per_s.push(requests / elapsed_ns * 1e9);
        self.busy.push(ran_ns / elapsed_ns);
        self.waited.push(waited_ns / elapsed_ns);
    }
}

fn latencies_us(slice: &Slice) -> Vec<f64> {
    slice.latencies_ns.iter().map(|latency| *latency as f64 / 1e3).collect()
}

/// The last of one by the last of the other.
fn ratio(own: &[f64], base: &[f64]) -> Option<f64> {
    own.last().zip(base.last()).map(|(own, base)| own / base)
}
