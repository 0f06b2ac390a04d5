//! The log: the one place that installs a subscriber. Counters are not here but in the metrics.

use crate::config::{LogFormat, LogLevel};
use std::io::{self, IsTerminal as _};
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::fmt;

/// Sends what is logged from now on to standard error.
///
/// # Errors
/// [`SetGlobalDefaultError`] if this process logs already.
pub(crate) fn install(level: LogLevel, format: LogFormat) -> Result<(), SetGlobalDefaultError> {
    let log = fmt()
        .with_max_level(tracing::Level::from(level))
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => set_global_default(log.with_ansi(io::stderr().is_terminal()).finish()),
        LogFormat::Json => set_global_default(log.json().flatten_event(true).finish()),
    }
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
