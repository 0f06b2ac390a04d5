//! What a run prints: a table for people, JSON for machines.

use crate::figure::Figure;
use crate::measure::{Absolute, Findings, Plan};
use crate::ready::Ready;
use crate::row::Row;
use crate::stat::{Spread, quantile};
use crate::wrk::Check;
use serde_json::{Value, json};
use std::fmt::Write;

/// Everything that a run measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// How it was measured.
    pub(crate) plan: Plan,
    /// The comparisons.
    pub(crate) rows: Vec<(Row, Findings)>,
    /// The row `ready`, if asked for.
    pub(crate) ready: Option<Ready>,
    /// The row `wrk`, if asked for and possible.
    pub(crate) checks: Vec<Check>,
    /// The rows that are no comparison.
    pub(crate) figures: Vec<Figure>,
    /// What was left out or went wrong, in sentences.
    pub(crate) notes: Vec<String>,
    /// Size of `reprise.wasm`, if it is there.
    pub(crate) wasm_bytes: Option<u64>,
}

impl Report {
    /// False if a row is void.
    pub(crate) fn is_sound(&self) -> bool {
        let findings = self.rows.iter().all(|(_, findings)| findings.void.is_none());
        let checks = self.checks.iter().all(|check| check.void.is_none());
        findings && checks && self.figures.iter().all(|figure| figure.void.is_none())
    }

    /// The table, ready to paste.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() || !self.checks.is_empty() {
            self.table(&mut text);
        }
        if !self.figures.is_empty() {
            self.figures(&mut text);
        }
        if let Some((with, plain)) = self.ready.as_ref().and_then(spreads) {
            let text_of = |spread: Spread| format!("{:.0} ms [{:.0}–{:.0}]", spread.median, spread.low, spread.high);
            line(
                &mut text,
                &format!(
                    "Envoy is ready after {}; without the filter {}.",
                    text_of(with),
                    text_of(plain)
                ),
            );
        }
        if let Some(bytes) = self.wasm_bytes {
            line(&mut text, &format!("`reprise.wasm`: {} KiB.", bytes.div_ceil(1024)));
        }
        for note in self.notes.iter().chain(&self.plain_note()) {
            line(&mut text, note);
        }
        text
    }

    fn table(&self, text: &mut String) {
        let rate = self.plan.rate_per_s;
        let titles = format!("row | against | request | CPU | throughput | p50 at {rate}/s | p99 at {rate}/s | target");
        line(text, &format!("| {titles} |\n|---|---|---|---|---|---|---|---|"));
        for (row, findings) in &self.rows {
            line(text, &markdown_row(row, findings));
        }
        for check in &self.checks {
            line(text, &markdown_check(check));
        }
        line(text, "");
    }

    fn figures(&self, text: &mut String) {
        line(text, "| row | measured | target |\n|---|---|---|");
        for figure in &self.figures {
            let said = figure
                .void
                .as_ref()
                .map_or_else(|| figure.said.clone(), |void| format!("void: {void}"));
            line(text, &format!("| `{}` | {said} | {} |", figure.name, figure.target));
        }
        line(text, "");
    }

    /// Shape: `{"rows": [{"row", "against", "request", "cpu": {"median", "low", "high"}, "throughput", "p50", "p99", "own",
    /// "base"} | {"row", "void"}], "wasm_bytes", "notes"}`; `ready` has `ms` and `plain_ms`, `wrk` has `of`, and
    /// `ingest`, `list_page` and `replay_*` have `values`.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, findings)| json_row(row, findings));
        let checks = self.checks.iter().map(json_check);
        let figures = self
            .figures
            .iter()
            .map(|figure| json!({"row": figure.name, "values": figure.values, "void": figure.void}));
        let ready = self
            .ready
            .as_ref()
            .and_then(spreads)
            .map(|(with, plain)| json!({"row": "ready", "ms": spread_json(with), "plain_ms": spread_json(plain)}));
        json!({
            "rows": rows.chain(checks).chain(figures).chain(ready).collect::<Vec<_>>(),
            "wasm_bytes": self.wasm_bytes,
            "notes": self.notes,
            "rounds": self.plan.rounds,
            "slice_ms": self.plan.slice.as_secs_f64() * 1e3,
            "rate_per_s": self.plan.rate_per_s
        })
    }

    /// What the plain slices cost here, to judge the ratios by.
    fn plain_note(&self) -> Option<String> {
        let (row, findings) = self.rows.iter().rfind(|(_, findings)| findings.void.is_none())?;
        let base = &findings.base;
        let [cpu_us, per_s, busy, waited] =
            [&base.cpu_us, &base.per_s, &base.busy, &base.waited].map(|values| quantile(values, 0.5));
        Some(format!(
            "Median [quartiles] of {} pairs of {:.0} ms slices; `{}` took {:.1} us of CPU a request at {:.0}/s; \
             Envoy's worker ran {:.0} % of the time and waited for its core {:.0} %.",
            self.plan.rounds,
            self.plan.slice.as_secs_f64() * 1e3,
            row.base.name(),
            cpu_us?,
            per_s?,
            busy? * 100.0,
            waited? * 100.0
        ))
    }
}

fn markdown_row(row: &Row, findings: &Findings) -> String {
    let begin = format!("| `{}` | `{}` | {} |", row.name, row.base.name(), row.method.name());
    findings.void.as_ref().map_or_else(
        || {
            let cells = [&findings.cpu, &findings.throughput, &findings.p50, &findings.p99].map(|ratios| cell(ratios));
            format!("{begin} {} | {} |", cells.join(" | "), row.target)
        },
        |void| format!("{begin} void: {void} | | | | {} |", row.target),
    )
}

fn markdown_check(check: &Check) -> String {
    let begin = format!(
        "| `{}` by wrk | `{}` | {} |",
        check.row.name,
        check.row.base.name(),
        check.row.method.name()
    );
    check.void.as_ref().map_or_else(
        || format!("{begin} {} | {} | | | |", cell(&check.cpu), cell(&check.throughput)),
        |void| format!("{begin} void: {void} | | | | |"),
    )
}

fn json_row(row: &Row, findings: &Findings) -> Value {
    let mut value = json!({"row": row.name, "against": row.base.name(), "request": row.method.name()});
    if let Some(void) = &findings.void {
        value["void"] = json!(void);
        return value;
    }
    let ratios = [
        ("cpu", &findings.cpu),
        ("throughput", &findings.throughput),
        ("p50", &findings.p50),
        ("p99", &findings.p99),
    ];
    for (name, ratios) in ratios {
        value[name] = json!(Spread::of(ratios).map(spread_json));
    }
    value["own"] = absolute_json(&findings.own);
    value["base"] = absolute_json(&findings.base);
    value
}

fn json_check(check: &Check) -> Value {
    let mut value = json!({"row": "wrk", "of": check.row.name, "against": check.row.base.name()});
    if let Some(void) = &check.void {
        value["void"] = json!(void);
        return value;
    }
    value["cpu"] = json!(Spread::of(&check.cpu).map(spread_json));
    value["throughput"] = json!(Spread::of(&check.throughput).map(spread_json));
    value
}

fn absolute_json(absolute: &Absolute) -> Value {
    let median = |values: &[f64]| quantile(values, 0.5).map(rounded);
    json!({
        "cpu_us": median(&absolute.cpu_us),
        "per_s": median(&absolute.per_s),
        "busy": median(&absolute.busy),
        "waited": median(&absolute.waited),
        "p50_us": median(&absolute.latencies_us),
        "p99_us": quantile(&absolute.latencies_us, 0.99).map(rounded)
    })
}

fn spread_json(spread: Spread) -> Value {
    json!({"median": rounded(spread.median), "low": rounded(spread.low), "high": rounded(spread.high)})
}

fn spreads(ready: &Ready) -> Option<(Spread, Spread)> {
    Spread::of(&ready.with_ms).zip(Spread::of(&ready.plain_ms))
}

fn cell(ratios: &[f64]) -> String {
    Spread::of(ratios).map_or_else(
        || "–".to_owned(),
        |spread| format!("{:.2} [{:.2}–{:.2}]", spread.median, spread.low, spread.high),
    )
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Writing to a string does not fail.
fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}
