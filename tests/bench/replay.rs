//! What the replay engine reaches, directly at an upstream that answers at once.

use crate::batch::{Stream, fill};
use crate::clock;
use crate::daemon::Daemon;
use crate::load::Generator;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Captures that are sent again as fast as it goes.
const FAST: u64 = 100_000;

/// Captures that are sent again at their times, a millisecond apart.
const TIMED: u64 = 15_000;

/// Resources that the captures are about.
const PATHS: u64 = 1000;

/// How long a replay may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Replays in `mode`; gives what was found, in words and for machines.
///
/// # Errors
///
/// If not every request was answered as it was recorded.
pub(crate) fn measure(mode: &str, replayd: &Path) -> io::Result<(String, Value)> {
    let daemon = Daemon::start(replayd)?;
    let upstream = Upstream::start()?;
    let count = if mode == "timed" { TIMED } else { FAST };
    // Smaller streams share their bytes: each is a stream of its own, one after the other.
    let streams = if mode == "timed" { 1 } else { 10 };
    let stream = Stream::new(count / streams, Duration::from_millis(1), PATHS);
    fill(&daemon, &stream, streams, 1)?;
    let spec = json!({"target": format!("http://127.0.0.1:{}", upstream.port), "mode": mode, "yes": true});
    let view = daemon.ask("POST", "/api/v1/replays", &spec)?;
    let target = format!("/api/v1/replays/{}", view["id"]);
    let (began_cpu_s, mut polled) = (daemon.cpu_s()?, view);
    clock::eventually("the replay ends", PATIENCE, || {
        thread::park_timeout(Duration::from_millis(50));
        polled = daemon.ask("GET", &target, &Value::Null)?;
        Ok(polled["exit_code"].is_u64().then_some(()))
    })?;
    let cpu_us = (daemon.cpu_s()? - began_cpu_s) * 1e6 / count as f64;
    if polled["counts"]["matched"] != count || upstream.served() != count {
        let (counts, served) = (&polled["counts"], upstream.served());
        return Err(io::Error::other(format!(
            "{counts}; the upstream saw {served} of {count}; {}",
            polled["detail"]
        )));
    }
    let took_ms = polled["ended_ms"].as_f64().unwrap_or_default() - polled["started_ms"].as_f64().unwrap_or_default();
    let per_s = count as f64 * 1e3 / took_ms.max(1.0);
    let lateness = &polled["lateness"];
    let said = if mode == "timed" {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| lateness[name].as_f64().unwrap_or_default() / 1e3);
        format!(
            "{count} at 1,000/s: sent {p50:.2} ms (p99 {p99:.2}, at most {max:.1}) late; {}",
            bars(lateness)
        )
    } else {
        format!("{per_s:.0}/s for {count} requests; {cpu_us:.0} us of replayd's CPU for each")
    };
    Ok((said, json!({"per_s": per_s, "cpu_us": cpu_us, "lateness_us": lateness})))
}

/// The histogram in words: how many were at most so late.
fn bars(lateness: &Value) -> String {
    let bars = lateness["histogram"].as_array().into_iter().flatten();
    let edges_us: [u64; 5] = [100, 500, 1000, 2000, u64::MAX];
    let mut sums = [0; 5];
    for bar in bars {
        let (le, count) = (
            bar["le"].as_u64().unwrap_or_default(),
            bar["count"].as_u64().unwrap_or_default(),
        );
        let at = edges_us
            .iter()
            .position(|edge| le <= *edge)
            .unwrap_or(edges_us.len() - 1);
        sums[at] += count;
    }
    let [first, second, third, fourth, rest] = sums;
    format!("≤ 0.1 ms {first}, ≤ 0.5 ms {second}, ≤ 1 ms {third}, ≤ 2 ms {fourth}, later {rest}")
}

/// The generator's upstream, served by a thread of its own; it ends when dropped.
struct Upstream {
    port: u16,
    served: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Upstream {
    fn start() -> io::Result<Self> {
        let (served, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (told, port) = mpsc::channel();
        let (count, is_over) = (Arc::clone(&served), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut generator = Generator::new()?;
            let _ = told.send(generator.upstream_port()?);
            generator.serve_while(|so_far| {
                count.store(so_far, Ordering::Relaxed);
                Ok(!is_over.load(Ordering::Relaxed))
            })
        });
        let port = port.recv().map_err(io::Error::other)?;
        Ok(Self {
            port,
            served,
            stop,
            thread: Some(thread),
        })
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    /// An upstream that has ended with an error was found out by what it did not serve.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
