//! Rows that are no comparison: absolute numbers of this machine.

use crate::batch::{Stream, fill};
use crate::clock::now_ns;
use crate::config::Modules;
use crate::daemon::Daemon;
use crate::http::Connection;
use crate::options::Options;
use crate::replay;
use crate::stat::{Spread, quantile};
use crate::wake;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The names of these rows.
pub(crate) const ROWS: [&str; 6] = [
    "wait_wake",
    "ingest",
    "list_page",
    "replay_max",
    "replay_per_key",
    "replay_timed",
];

/// What a row found.
#[derive(Debug)]
pub(crate) struct Figure {
    /// The row.
    pub(crate) name: &'static str,
    /// What was measured, in words with its numbers.
    pub(crate) said: String,
    /// The same for machines.
    pub(crate) values: Value,
    /// What is hoped for, in words.
    pub(crate) target: &'static str,
    /// Why the row does not count.
    pub(crate) void: Option<String>,
}

impl Figure {
    /// A row that does not count.
    pub(crate) fn void(name: &'static str, target: &'static str, why: &io::Error) -> Self {
        Self {
            name,
            said: String::new(),
            values: Value::Null,
            target,
            void: Some(why.to_string()),
        }
    }
}

/// Measures the row `name`.
pub(crate) fn measure(name: &'static str, options: &Options, modules: &Modules) -> Figure {
    let replayd = &options.replayd;
    let (target, found) = match name {
        "wait_wake" => ("p50 < 1 ms", wake::measure(&options.envoy, modules)),
        "ingest" => ("≥ 50,000/s", ingest(replayd)),
        "replay_max" => ("≥ 11,000/s", replay::measure("max", replayd)),
        "replay_per_key" => ("", replay::measure("per_key", replayd)),
        "replay_timed" => ("p99 < 2 ms", replay::measure("timed", replayd)),
        _ => ("< 20 ms", list_page(replayd)),
    };
    match found {
        Ok((said, values)) => Figure {
            name,
            said,
            values,
            target,
            void: None,
        },
        Err(error) => Figure::void(name, target, &error),
    }
}

/// Connections that send batches: as many as the two workers of an Envoy on two cores have in flight.
const SENDERS: u64 = 8;

/// How often the row `ingest` is measured.
const ROUNDS: u128 = 5;

/// Captures that each sender sends in a round.
const OF_SENDER: u64 = 51_200;

/// Captures of 1 KiB a second that are acknowledged, which is when they are on disk.
fn ingest(replayd: &Path) -> io::Result<(String, Value)> {
    let daemon = Daemon::start(replayd)?;
    let stream = Stream::new(OF_SENDER / 16, Duration::from_micros(100), 1000);
    let token = daemon.ingest_token()?;
    let (mut per_s, mut cpu_us) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (began_ns, began_cpu_s) = (now_ns(), daemon.cpu_s()?);
        let sent = thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|sender| {
                    let (stream, token, ingest) = (&stream, &token, daemon.ingest);
                    scope.spawn(move || {
                        let mut ingest = Connection::open(ingest)?;
                        (0..16_u128).try_fold(0, |sum, pass| {
                            let epoch = (round << 64) | (u128::from(sender) << 32) | (pass + 1);
                            Ok::<u64, io::Error>(sum + stream.send(&mut ingest, token, epoch)?)
                        })
                    })
                })
                .collect();
            senders.into_iter().try_fold(0, |sum, sender| {
                let sent = sender.join().map_err(|_| io::Error::other("a sender panicked"))??;
                Ok::<u64, io::Error>(sum + sent)
            })
        })?;
        let elapsed_s = (now_ns() - began_ns) as f64 / 1e9;
        per_s.push(sent as f64 / elapsed_s);
        cpu_us.push((daemon.cpu_s()? - began_cpu_s) * 1e6 / sent as f64);
    }
    let spread = Spread::of(&per_s).ok_or_else(|| io::Error::other("no round"))?;
    let cpu_us = quantile(&cpu_us, 0.5).unwrap_or_default();
    let said = format!(
        "{:.0}/s [{:.0}–{:.0}] captures with a body of 1 KiB, each on disk when acknowledged; {cpu_us:.1} us of replayd's CPU for each",
        spread.median, spread.low, spread.high
    );
    let values = json!({"per_s": spread.median, "low": spread.low, "high": spread.high, "cpu_us": cpu_us});
    Ok((said, values))
}

/// How often a page is read.
const READS: usize = 200;

/// A page of 50 with a thousand captures, and with a million.
fn list_page(replayd: &Path) -> io::Result<(String, Value)> {
    let daemon = Daemon::start(replayd)?;
    let thousand = Stream::new(1000, Duration::from_millis(1), 100);
    let (mut said, mut values) = (Vec::new(), json!({}));
    for (name, streams, epoch) in [("1 k", 1, 1), ("1 M", 999, 2)] {
        fill(&daemon, &thousand, streams, epoch)?;
        let found = daemon.ask("GET", "/api/v1/captures/stats", &Value::Null)?;
        for (order, query) in ORDERS {
            let ms = read_pages(&daemon, query)?;
            let (p50, p99) = (
                quantile(&ms, 0.5).unwrap_or_default(),
                quantile(&ms, 0.99).unwrap_or_default(),
            );
            said.push(format!("{name}, {order}: {p50:.1} ms (p99 {p99:.1})"));
            values[name][order] = json!({"p50_ms": p50, "p99_ms": p99});
        }
        values[name]["count"] = found["count"].clone();
    }
    Ok((
        format!("a page of 50 with so many captures; {}", said.join("; ")),
        values,
    ))
}

/// The orders and filters that pages are read with.
const ORDERS: [(&str, &str); 3] = [
    ("newest first", "order_by=-created"),
    ("by status", "order_by=status"),
    ("of one path", "order_by=-created&path=/v1/orders/7/payments"),
];

fn read_pages(daemon: &Daemon, query: &str) -> io::Result<Vec<f64>> {
    let (mut console, credential) = daemon.console()?;
    let (mut ms, mut cursor) = (Vec::new(), String::new());
    for _ in 0..READS {
        let target = format!("/api/v1/captures?limit=50&{query}{cursor}");
        let began_ns = now_ns();
        let (status, said) = console.ask("GET", &target, &[("authorization", &credential)], b"")?;
        ms.push((now_ns() - began_ns) as f64 / 1e6);
        if status != 200 {
            return Err(io::Error::other(format!("{target}: {status}")));
        }
        let page: Value = serde_json::from_slice(&said).map_err(io::Error::other)?;
        cursor = page["next"]
            .as_str()
            .map_or_else(String::new, |next| format!("&cursor={next}"));
    }
    Ok(ms)
}
