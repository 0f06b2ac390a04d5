//! The cross-check: the same ratios by wrk, in interleaved rounds of 2 s, so that no error of this generator goes unseen.

use crate::key::{Keys, POOL_KEYS};
use crate::load::{Generator, Load};
use crate::message::{KEY_BYTES, Request};
use crate::row::{self, Row};
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{env, fs, process};

/// Pairs of runs for each row.
const ROUNDS: usize = 6;

/// The rows that are checked.
const ROWS: [&str; 2] = ["first_seen", "answer"];

/// What the rounds of one row gave.
#[derive(Debug)]
pub(crate) struct Check {
    /// The row that is checked.
    pub(crate) row: Row,
    /// CPU per request, a ratio for each round.
    pub(crate) cpu: Vec<f64>,
    /// Requests a second, a ratio for each round.
    pub(crate) throughput: Vec<f64>,
    /// Why the row does not count.
    pub(crate) void: Option<String>,
}

/// The rows of [`row::ROWS`] that wrk checks.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    row::ROWS.into_iter().filter(|row| ROWS.contains(&row.name))
}

/// True if there is a wrk to run.
pub(crate) fn is_installed() -> bool {
    Command::new("wrk")
        .arg("-v")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

impl Check {
    /// A check of `row` that has found nothing yet.
    pub(crate) const fn new(row: Row, void: Option<String>) -> Self {
        Self {
            row,
            cpu: Vec::new(),
            throughput: Vec::new(),
            void,
        }
    }
}

/// Runs all rounds; `ports` are the listeners' in the order of `variants`.
pub(crate) fn run(
    generator: &mut Generator,
    checks: &mut [Check],
    variants: &[row::Variant],
    ports: &[u16],
) -> io::Result<()> {
    let mut seed = 0;
    for _ in 0..ROUNDS {
        for check in checks.iter_mut().filter(|check| check.void.is_none()) {
            let (own, base) = check.row.loads(variants);
            let mut measured = |load: Load| {
                seed += 1;
                measure(generator, load, ports[load.listener], seed)
            };
            let (base, own) = (measured(base)?, measured(own)?);
            check.cpu.push(own.cpu_ns / base.cpu_ns);
            check.throughput.push(own.per_s / base.per_s);
            check.void = own.void.or(base.void);
        }
    }
    Ok(())
}

/// One run of wrk.
#[derive(Debug)]
struct Run {
    /// CPU time of Envoy's worker for each request, in nanoseconds.
    cpu_ns: f64,
    per_s: f64,
    void: Option<String>,
}

fn measure(generator: &mut Generator, load: Load, port: u16, seed: u32) -> io::Result<Run> {
    let script = Script::write(load, seed)?;
    let before = generator.worker_time()?;
    let mut child = Command::new("wrk")
        .args(["--threads", "1", "--connections", "32", "--duration", "2s", "--script"])
        .arg(&script.path)
        .arg(format!("http://127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    generator.serve_while(|_| Ok(child.try_wait()?.is_none()))?;
    let cpu_ns = generator.worker_time()?.since(before).ran_ns as f64;
    let said = output(&mut child)?;
    let number = |before: &str, after: &str| {
        let text = said.split(before).next()?.split(after).last()?;
        text.trim().parse::<f64>().ok()
    };
    let requests = number(" requests in ", "\n");
    let per_s = said
        .split("Requests/sec:")
        .nth(1)
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    let (Some(requests), Some(per_s)) = (requests, per_s) else {
        return Err(io::Error::other(format!("wrk said: {said}")));
    };
    let void = said
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
    Ok(Run {
        cpu_ns: cpu_ns / requests,
        per_s,
        void: void.map(|line| line.trim().to_owned()),
    })
}

fn output(child: &mut Child) -> io::Result<String> {
    let mut said = String::new();
    if let Some(stdout) = child.stdout.as_mut() {
        stdout.read_to_string(&mut said)?;
    }
    Ok(said)
}

/// The script of one run, removed when dropped.
struct Script {
    path: PathBuf,
}

impl Script {
    fn write(load: Load, seed: u32) -> io::Result<Self> {
        const MARK: [u8; KEY_BYTES] = [b'#'; KEY_BYTES];
        let mut request = Request::new(load.method);
        let text = String::from_utf8_lossy(request.with_key(MARK)).into_owned();
        let (head, tail) = text.split_once(&"#".repeat(KEY_BYTES)).unwrap_or((&text, ""));
        let pool = if load.keys == Keys::Pool { POOL_KEYS } else { 0 };
        let bytes = format!(
            "local HEAD, TAIL, POOL, SEED = {head:?}, {tail:?}, {pool}, {seed}\n{}",
            include_str!("wrk.lua")
        );
        let path = env::temp_dir().join(format!("reprise-bench-{}.lua", process::id()));
        fs::write(&path, bytes)?;
        Ok(Self { path })
    }
}

impl Drop for Script {
    /// One small file in the directory for such files, if it cannot be removed.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
