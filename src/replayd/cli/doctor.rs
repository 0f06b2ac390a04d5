//! `replayd doctor`: looks at an installation from outside and tells what is wrong with it.

mod counts;
mod envoy;
mod files;
mod gates;
mod reach;
mod running;

use super::output::Output;
use super::{Diagnostic, Failure, Verdict, check_config};
use crate::config::{Config, ConfigArgs};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use tokio::runtime::Builder;

/// Arguments of `replayd doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// replayd's configuration file [default: ./replayd.toml if it exists]
    #[arg(long, env = "REPLAYD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the database and the tokens [default: ./reprise-data]
    #[arg(long, env = "REPLAYD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only ask whether the running replayd is ready: exit code 0 or 1, for health checks
    #[arg(long, conflicts_with_all = ["envoy_admin", "envoy_config"])]
    ready: bool,
    /// Where the console listens [default: what the running replayd wrote into its data directory]
    #[arg(long, value_name = "URL")]
    console: Option<String>,
    /// Check this Envoy configuration, as `check-config` does
    #[arg(long, value_name = "FILE")]
    envoy_config: Option<PathBuf>,
    /// Look at the Envoy behind this admin interface (`http://IP:PORT`): its version, the configuration that it runs
    /// with, and what its filter counts; once for each Envoy
    #[arg(long, value_name = "URL")]
    envoy_admin: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What one check found.
///
/// Shape: `{"name": string, "status": "ok" | "note" | "warning" | "error", "message": string}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    message: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Note,
    Warning,
    Error,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            message: message.into(),
        }
    }

    fn note(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Note,
            message: message.into(),
        }
    }

    fn warning(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Warning,
            message: message.into(),
        }
    }

    fn error(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Error,
            message: message.into(),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, line: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (colour, status) = match self.status {
            Status::Ok => ("\x1b[32m", "ok"),
            Status::Note => ("\x1b[36m", "note"),
            Status::Warning => ("\x1b[33m", "warning"),
            Status::Error => ("\x1b[31m", "error"),
        };
        writeln!(line, "{colour}{status:<8}\x1b[0m {:<15} {}", self.name, self.message)
    }
}

/// Runs the checks and prints one line each.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let (file, data_dir) = (arguments.config.clone(), arguments.data_dir.clone());
    let config = Config::load(&ConfigArgs::of_data_dir(file, data_dir))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::because("cannot start the runtime", error))?;
    let mut checks = runtime.block_on(look(arguments, &config));
    if let Some(file) = &arguments.envoy_config {
        checks.extend(envoy::findings("envoy-config", &check_config::read(file)?));
    }
    if arguments.json {
        output.write(format_args!("{:#}\n", serde_json::json!({ "checks": checks })))?;
    } else {
        checks.iter().try_for_each(|check| output.write(check))?;
    }
    let is_wrong = checks.iter().any(|check| check.status == Status::Error);
    Ok(if is_wrong { Verdict::Findings } else { Verdict::Fine })
}

async fn look(arguments: &Arguments, config: &Config) -> Vec<Check> {
    let places = reach::Places::find(config, arguments.console.as_deref());
    if arguments.ready {
        return vec![reach::console(&places).await];
    }
    let mut checks = files::checks(&config.data_dir);
    checks.push(reach::ingest(&places).await);
    checks.push(reach::console(&places).await);
    checks.extend(gates::check(&places.console, &config.data_dir).await);
    checks.extend(running::checks(&arguments.envoy_admin).await);
    checks
}
