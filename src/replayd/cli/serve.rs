//! `replayd serve`: the daemon in the foreground.

use super::output::Output;
use super::{Diagnostic, Failure, Verdict};
use crate::config::{Config, ConfigArgs};
use crate::data_dir::{ADMIN_TOKEN, INGEST_TOKEN};
use crate::run::{Daemon, VERSION};
use crate::{clock, telemetry};
use clap::Args;
use std::io;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `replayd serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let config = Config::load(&arguments.config)?;
    telemetry::install(config.log_level, config.log_format)
        .map_err(|error| Failure::because("cannot write a log", error))?;
    let runtime = Runtime::new().map_err(|error| Failure::because("cannot start the runtime", error))?;
    runtime.block_on(serve(&config, output))?;
    Ok(Verdict::Fine)
}

async fn serve(config: &Config, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let failed = |error| Failure::because("cannot wait for signals", error);
    let signals = (
        listen(SignalKind::terminate()).map_err(failed)?,
        listen(SignalKind::interrupt()).map_err(failed)?,
    );
    let cannot_serve = |error| Failure::because("replayd cannot serve", error);
    let daemon = Daemon::start(config, clock::now()).await.map_err(cannot_serve)?;
    greet(config, &daemon, output)?;
    daemon.serve(either(signals)).await.map_err(cannot_serve)
}

fn listen(kind: SignalKind) -> io::Result<Signal> {
    signal(kind)
}

async fn either((mut terminate, mut interrupt): (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Logs where everything is; shows the tokens to a terminal and to nothing else.
fn greet(config: &Config, daemon: &Daemon, output: &mut Output) -> Result<(), Box<dyn Diagnostic>> {
    let (ingest, admin) = (config.data_dir.join(INGEST_TOKEN), config.data_dir.join(ADMIN_TOKEN));
    tracing::info!(
        version = VERSION,
        ingest = %daemon.addresses.ingest,
        console = %daemon.addresses.console,
        ingest_token = %ingest.display(),
        admin_token = %admin.display(),
        "ready"
    );
    if Output::is_terminal() {
        output.write(format_args!("ingest token: {}\n", daemon.ingest_token.secret()))?;
        output.write(format_args!("admin token:  {}\n", daemon.admin_token.secret()))?;
    }
    Ok(())
}
