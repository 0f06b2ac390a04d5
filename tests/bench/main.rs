//! Measures what the filter costs: CPU, throughput and latency as ratios to the same Envoy without it.
//!
//! One Envoy with one worker, pinned to one core, has a listener for each variant; this process, on another core, is load
//! generator and upstream. How slices are paired is in [`measure`]; what is compared with what is in [`row`].

mod batch;
mod client;
mod clock;
mod config;
mod daemon;
mod envoy;
mod figure;
mod http;
mod key;
mod load;
mod measure;
mod message;
mod options;
mod prime;
mod ready;
mod replay;
mod report;
mod row;
mod schedule;
mod stat;
mod upstream;
mod wake;
mod worker;
mod wrk;

use crate::config::{Modules, Place};
use crate::daemon::Daemon;
use crate::envoy::Envoy;
use crate::load::Generator;
use crate::measure::Findings;
use crate::options::{Options, USAGE};
use crate::report::Report;
use crate::row::{ROWS, Row, Variant};
use crate::worker::Cores;
use crate::wrk::Check;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => return fail(&format!("{problem}\n{USAGE}")),
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail("a row is void"),
        Err(error) => fail(&error.to_string()),
    }
}

/// A stderr that is gone is no reason to end otherwise.
fn fail(problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "bench: {problem}");
    ExitCode::FAILURE
}

/// Runs the rows asked for and reports; false if one of them is void.
fn run(options: &Options) -> io::Result<bool> {
    let taps = Taps::make()?;
    let mut modules = Modules {
        reprise: options.wasm.clone(),
        noop: options.noop.clone(),
        taps: taps.path.display().to_string(),
        replayd: None,
    };
    let mut report = Report {
        plan: options.plan,
        rows: Vec::new(),
        ready: None,
        checks: Vec::new(),
        figures: Vec::new(),
        notes: Vec::new(),
        wasm_bytes: fs::metadata(&options.wasm).ok().map(|file| file.len()),
    };
    if options.has("ready") {
        report.ready = Some(ready::measure(&options.envoy, &modules)?);
    }
    compare(options, &mut modules, &mut report)?;
    let figures = figure::ROWS.into_iter().filter(|row| options.has(row));
    report.figures = figures.map(|row| figure::measure(row, options, &modules)).collect();
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", report.json()))?;
    }
    io::stdout().write_all(report.markdown().as_bytes())?;
    Ok(report.is_sound())
}

/// Where Envoy's tap writes to: memory, so that no disk is measured. Removed when dropped.
struct Taps {
    path: PathBuf,
}

impl Taps {
    fn make() -> io::Result<Self> {
        let memory = PathBuf::from("/dev/shm");
        let memory = if memory.is_dir() { memory } else { env::temp_dir() };
        let path = memory.join(format!("reprise-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Taps {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Measures the rows that need a running Envoy, all with the same one.
fn compare(options: &Options, modules: &mut Modules, report: &mut Report) -> io::Result<()> {
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| options.has(row.name)).collect();
    let is_checked = options.has("wrk") && wrk::is_installed();
    if options.has("wrk") && !is_checked {
        report.notes.push("skipped: `wrk`, which is not in PATH.".to_owned());
    }
    let variants = variants(rows.iter().copied().chain(wrk::rows().filter(|_| is_checked)));
    if variants.is_empty() {
        return Ok(());
    }
    let cores = Cores::allowed()?;
    if !cores.are_enough() {
        report
            .notes
            .push("Envoy and the load generator shared one core: ratios are blunted.".to_owned());
    }
    let ports = envoy::free_ports(variants.len() + 1)?;
    let (admin, ports) = (ports[variants.len()], &ports[..variants.len()]);
    let places: Vec<Place> = variants
        .iter()
        .zip(ports)
        .map(|(variant, port)| Place {
            variant: *variant,
            port: *port,
        })
        .collect();
    let mut generator = Generator::new()?;
    let daemon = beside_the_generator(options, modules, &variants, &cores)?;
    let bootstrap = config::bootstrap(&places, modules, generator.upstream_port()?, admin)?;
    cores.take_envoys()?;
    let envoy = Envoy::start(&options.envoy, &bootstrap, admin)?;
    cores.take_own()?;
    generator.connect(ports, envoy.worker()?)?;
    let mute = prime::run(&mut generator, &rows, &variants)?;
    report.rows = rows
        .into_iter()
        .map(|row| {
            (
                row,
                Findings {
                    void: row.void(&mute),
                    ..Findings::default()
                },
            )
        })
        .collect();
    measure::run(&mut generator, &mut report.rows, &variants, options.plan)?;
    lost(admin, &mut report.rows)?;
    if is_checked {
        report.checks = wrk::rows().map(|row| Check::new(row, row.void(&mute))).collect();
        wrk::run(&mut generator, &mut report.checks, &variants, ports)?;
    }
    drop(daemon);
    cores.take_all()
}

/// Starts replayd on the generator's core, if a variant needs it.
fn beside_the_generator(
    options: &Options,
    modules: &mut Modules,
    variants: &[Variant],
    cores: &Cores,
) -> io::Result<Option<Daemon>> {
    if !variants.iter().any(|variant| variant.captures()) {
        return Ok(None);
    }
    cores.take_own()?;
    let daemon = Daemon::start(&options.replayd)?;
    modules.replayd = Some((daemon.ingest, daemon.ingest_token_file().display().to_string()));
    Ok(Some(daemon))
}

/// Makes the rows that capture void if anything was dropped.
fn lost(admin: u16, rows: &mut [(Row, Findings)]) -> io::Result<()> {
    let said = http::admin(admin, "/stats?filter=capture")?;
    let is_loss = |line: &&str| line.contains("dropped") && !line.trim_end().ends_with(" 0");
    let losses: Vec<_> = said.lines().filter(is_loss).collect();
    for (row, findings) in rows.iter_mut().filter(|(row, _)| row.own.captures()) {
        if findings.void.is_none() && !losses.is_empty() {
            findings.void = Some(format!(
                "captures were dropped, by {} or its like: {}",
                row.name,
                losses.join(", ")
            ));
        }
    }
    Ok(())
}

/// The listeners that `rows` need, each once.
fn variants(rows: impl Iterator<Item = Row>) -> Vec<Variant> {
    let mut variants = Vec::new();
    for variant in rows.flat_map(|row| [row.base, row.own]) {
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    variants
}
