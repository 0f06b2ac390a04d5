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
    /// Requests a second of the rounds above, if not as many as possible: half of the row's own highest rate.
    pub(crate) half_per_s: Option<u32>,
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
    rounds.run(1, |load, _| generator.saturate(load, warm), Findings::warmed)?;
    rounds.run(
        plan.rounds,
        |load, half_per_s| match half_per_s {
            Some(rate_per_s) => generator.pace(load, rate_per_s, plan.slice),
            None => generator.saturate(load, Stop::After(plan.slice)),
        },
        Findings::measured,
    )?;
    rounds.run(
        plan.paced_rounds,
        |load, _| generator.pace(load, plan.rate_per_s, plan.paced_slice),
        |_, findings, own, base| findings.paced(own, base),
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
        mut slice: impl FnMut(Load, Option<u32>) -> io::Result<Slice>,
        record: impl Fn(&Row, &mut Findings, &Slice, &Slice),
    ) -> io::Result<()> {
        for round in 0..rounds {
            for step in 0..self.loads.len() {
                let at = (round + step) % self.loads.len();
                let (own, base) = self.loads[at];
                let (row, findings) = &mut self.rows[at];
                if findings.void.is_some() {
                    continue;
                }
                let rate = findings.half_per_s;
                let (own, base) = if round % 2 == 0 {
                    let own = slice(own, rate)?;
                    (own, slice(base, rate)?)
                } else {
                    let base = slice(base, rate)?;
                    (slice(own, rate)?, base)
                };
                findings.void = own
                    .void
                    .clone()
                    .or_else(|| base.void.as_ref().map(|void| format!("base: {void}")));
                record(row, findings, &own, &base);
            }
        }
        Ok(())
    }
}

impl Findings {
    fn warmed(row: &Row, findings: &mut Self, own: &Slice, _base: &Slice) {
        if row.is_at_half() {
            let per_ms = own.requests * 1_000_000 / own.elapsed_ns.max(1);
            findings.half_per_s = u32::try_from(per_ms * 500).ok();
        }
    }

    fn measured(_row: &Row, findings: &mut Self, own: &Slice, base: &Slice) {
        findings.own.saturated(own);
        findings.base.saturated(base);
        findings.cpu.extend(ratio(&findings.own.cpu_us, &findings.base.cpu_us));
        if findings.half_per_s.is_none() {
            findings
                .throughput
                .extend(ratio(&findings.own.per_s, &findings.base.per_s));
        }
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
