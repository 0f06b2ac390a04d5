//! `replayd restore`: brings back the state of a target that lost it.

use super::api::{ApiArgs, runtime};
use super::filter::span;
use super::follow;
use super::output::Output;
use super::replay::{SendArgs, millis, word};
use super::{Diagnostic, Verdict};
use crate::clock;
use clap::{Args, ValueEnum};
use std::time::Duration;

/// Arguments of `replayd restore`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    send: SendArgs,
    /// What follows if clients changed the new boot before this [default: stop]
    #[arg(long, value_name = "WHAT")]
    on_early: Option<OnEarly>,
    /// The boot of the target, where neither it nor Envoy tells: any name that no other boot had
    #[arg(long, value_name = "NAME")]
    boot_id: Option<String>,
    /// How long to wait until the target is healthy, as in 30s, 5m [default: 60s]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    wait_gate: Option<Duration>,
    /// Most requests at one time
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnEarly {
    /// The restore is refused, and tells them
    Stop,
    /// They stay as they are, and the restore goes on
    Keep,
}

/// Restores, and waits for the end.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let send = &arguments.send;
    let mut spec = send.spec("restore", clock::now());
    spec.set("on_early", arguments.on_early.as_ref().map(word));
    spec.set("boot_id", arguments.boot_id.clone());
    spec.set("wait_gate_ms", millis(arguments.wait_gate));
    spec.set("concurrency", arguments.concurrency);
    let api = arguments.api.api()?;
    runtime()?.block_on(follow::start(&api, &spec, send.how()?, output))
}
