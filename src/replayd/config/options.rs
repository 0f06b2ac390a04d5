//! Options as typed: each may be missing. Flags and variables are read here, the file beside this.

use super::captures::{CapturesView, bytes_max, retain_days, unknown_after_s};
use super::targets::Targets;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Longest delay or timeout of a stop, in milliseconds.
const SHUTDOWN_MS_MAX: u64 = 600_000;

/// Where the configuration comes from.
///
/// A variable that no option reads is no error: Kubernetes plants `REPLAYD_PORT` and others next to a service that is
/// called replayd.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file [default: ./replayd.toml if it exists]
    #[arg(long, env = "REPLAYD_CONFIG", value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// The options themselves.
    #[command(flatten)]
    pub(super) options: Options,
}

/// Every option of replayd, from one source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct Options {
    /// Directory of the database and the tokens [default: ./reprise-data]
    #[arg(long, env = "REPLAYD_DATA_DIR", value_name = "DIR", value_parser = directory)]
    pub(super) data_dir: Option<PathBuf>,
    /// Where Envoy calls [default: 127.0.0.1:7380]
    #[arg(long, env = "REPLAYD_INGEST_ADDRESS", value_name = "IP:PORT", value_parser = address)]
    pub(super) ingest_address: Option<SocketAddr>,
    /// Where people and programs call [default: 127.0.0.1:7381]
    #[arg(long, env = "REPLAYD_CONSOLE_ADDRESS", value_name = "IP:PORT", value_parser = address)]
    pub(super) console_address: Option<SocketAddr>,
    /// How long /readyz says 503 before the listeners close [default: 0]
    #[arg(long, env = "REPLAYD_SHUTDOWN_DELAY_MS", value_name = "MS", value_parser = shutdown_text)]
    pub(super) shutdown_delay_ms: Option<Duration>,
    /// How long requests that have begun may take to end [default: 10000]
    #[arg(long, env = "REPLAYD_SHUTDOWN_TIMEOUT_MS", value_name = "MS", value_parser = shutdown_text)]
    pub(super) shutdown_timeout_ms: Option<Duration>,
    /// The least level that is logged [default: info]
    #[arg(long, env = "REPLAYD_LOG_LEVEL", value_name = "LEVEL")]
    pub(super) log_level: Option<LogLevel>,
    /// How log lines look [default: text]
    #[arg(long, env = "REPLAYD_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// How many days captures are kept, from their receipt or import [default: 30]
    #[arg(long, env = "REPLAYD_CAPTURES_RETAIN_DAYS", value_name = "DAYS", value_parser = |text: &str| whole(text, retain_days))]
    pub(super) captures_retain_days: Option<Duration>,
    /// Bytes of captures above which the oldest go [default: 10737418240]
    #[arg(long, env = "REPLAYD_CAPTURES_BYTES_MAX", value_name = "BYTES", value_parser = |text: &str| whole(text, bytes_max))]
    pub(super) captures_bytes_max: Option<u64>,
    /// Seconds of silence after which an exchange's end is unknown [default: 300]
    #[arg(long, env = "REPLAYD_CAPTURES_UNKNOWN_AFTER_S", value_name = "S", value_parser = |text: &str| whole(text, unknown_after_s))]
    pub(super) captures_unknown_after_s: Option<Duration>,
    /// How captures are listed if nobody says; only the file says so.
    #[arg(skip)]
    pub(super) captures_view: Option<CapturesView>,
    /// Where replays may go; only the file says so.
    #[arg(skip)]
    pub(super) targets: Targets,
}

/// The least level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// What failed.
    Error,
    /// What will fail if nobody acts.
    Warn,
    /// What a person wants to know of a healthy daemon.
    Info,
    /// What helps to find a mistake.
    Debug,
    /// Everything.
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people; in colour on a terminal.
    Text,
    /// One object a line.
    Json,
}

impl ConfigArgs {
    /// Names the file and the directory, as commands do that serve nothing.
    pub(crate) fn of_data_dir(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> Self {
        Self {
            config,
            options: Options {
                data_dir,
                ..Options::default()
            },
        }
    }
}

impl Options {
    /// Fills what is missing here from `under`.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(under.data_dir),
            ingest_address: self.ingest_address.or(under.ingest_address),
            console_address: self.console_address.or(under.console_address),
            shutdown_delay_ms: self.shutdown_delay_ms.or(under.shutdown_delay_ms),
            shutdown_timeout_ms: self.shutdown_timeout_ms.or(under.shutdown_timeout_ms),
            log_level: self.log_level.or(under.log_level),
            log_format: self.log_format.or(under.log_format),
            captures_retain_days: self.captures_retain_days.or(under.captures_retain_days),
            captures_bytes_max: self.captures_bytes_max.or(under.captures_bytes_max),
            captures_unknown_after_s: self.captures_unknown_after_s.or(under.captures_unknown_after_s),
            captures_view: self.captures_view.or(under.captures_view),
            targets: if self.targets.is_empty() {
                under.targets
            } else {
                self.targets
            },
        }
    }

    /// Tells whether no option is missing.
    #[cfg(test)]
    pub(super) const fn is_complete(&self) -> bool {
        let Self {
            data_dir: Some(_),
            ingest_address: Some(_),
            console_address: Some(_),
            shutdown_delay_ms: Some(_),
            shutdown_timeout_ms: Some(_),
            log_level: Some(_),
            log_format: Some(_),
            captures_retain_days: Some(_),
            captures_bytes_max: Some(_),
            captures_unknown_after_s: Some(_),
            captures_view: Some(_),
            targets: _,
        } = self
        else {
            return false;
        };
        true
    }
}

/// Parses an address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an address; allowed is IP:PORT, as in 127.0.0.1:7380 or [::1]:7380"))
}

/// Parses the name of a directory.
pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the name of the directory is empty; allowed is a path, as in ./reprise-data".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Checks a delay or timeout of a stop.
pub(super) fn shutdown_ms(ms: i64) -> Result<Duration, String> {
    let allowed = u64::try_from(ms)
        .ok()
        .filter(|ms| *ms <= SHUTDOWN_MS_MAX)
        .map(Duration::from_millis);
    allowed.ok_or_else(|| format!("{ms} is not between 0 and {SHUTDOWN_MS_MAX} milliseconds"))
}

fn shutdown_text(text: &str) -> Result<Duration, String> {
    whole(text, shutdown_ms)
}

fn whole<T>(text: &str, mean: impl FnOnce(i64) -> Result<T, String>) -> Result<T, String> {
    let number = text.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
    mean(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_time_is_allowed_up_to_ten_minutes() {
        assert_eq!(shutdown_ms(600_000), Ok(Duration::from_secs(600)));
        assert!(shutdown_ms(600_001).is_err());
        assert!(shutdown_ms(-1).is_err());
    }

    #[test]
    fn an_address_without_port_is_refused_with_what_is_allowed() {
        assert!(address("localhost").unwrap_err().contains("127.0.0.1:7380"));
    }
}
