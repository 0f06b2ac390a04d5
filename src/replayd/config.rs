//! replayd's configuration as meant; how it is written (flags, variables, file) is in the files below.

mod captures;
mod credential;
mod file;
mod options;
mod shape;
mod targets;

pub(crate) use captures::{CapturesConfig, CapturesView};
pub(crate) use credential::{Credential, CredentialError};
pub(crate) use options::{ConfigArgs, LogFormat, LogLevel};
pub(crate) use targets::{OnEarly, Target, Targets, base};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};
use options::Options;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// The commented file with every option and its default.
pub(crate) const DEFAULT_FILE: &str = include_str!("replayd.default.toml");

/// The file that is read if no other is named.
const PATH: &str = "replayd.toml";

/// What a daemon is told before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Directory of the database and the tokens.
    pub(crate) data_dir: PathBuf,
    /// Where Envoy calls; port 0 = any.
    pub(crate) ingest_address: SocketAddr,
    /// Where people and programs call; port 0 = any.
    pub(crate) console_address: SocketAddr,
    /// How long the daemon says that it will stop before it does.
    pub(crate) shutdown_delay: Duration,
    /// How long requests that have begun may take to end.
    pub(crate) shutdown_timeout: Duration,
    /// The least level that is logged.
    pub(crate) log_level: LogLevel,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// What is kept of captures, and how they are listed.
    pub(crate) captures: CapturesConfig,
    /// Where replays may go.
    pub(crate) targets: Targets,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./reprise-data"),
            ingest_address: (Ipv4Addr::LOCALHOST, 7380).into(),
            console_address: (Ipv4Addr::LOCALHOST, 7381).into(),
            shutdown_delay: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(10),
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            captures: CapturesConfig::default(),
            targets: Targets::new(),
        }
    }
}

impl Config {
    /// Reads the configuration: flags and variables over the file over the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Read`] if a file that was named, or one that exists, cannot be read; [`ConfigError::Wrong`] with
    /// every problem in it.
    pub(crate) fn load(args: &ConfigArgs) -> Result<Self, ConfigError> {
        let file = match &args.config {
            Some(path) => file::read(path)?,
            None if Path::new(PATH).exists() => file::read(Path::new(PATH))?,
            None => Options::default(),
        };
        Ok(Self::from_options(args.options.clone().over(file)))
    }

    fn from_options(options: Options) -> Self {
        let default = Self::default();
        Self {
            data_dir: options.data_dir.unwrap_or(default.data_dir),
            ingest_address: options.ingest_address.unwrap_or(default.ingest_address),
            console_address: options.console_address.unwrap_or(default.console_address),
            shutdown_delay: options.shutdown_delay_ms.unwrap_or(default.shutdown_delay),
            shutdown_timeout: options.shutdown_timeout_ms.unwrap_or(default.shutdown_timeout),
            log_level: options.log_level.unwrap_or(default.log_level),
            log_format: options.log_format.unwrap_or(default.log_format),
            captures: CapturesConfig {
                retain: options.captures_retain_days.unwrap_or(default.captures.retain),
                bytes_max: options.captures_bytes_max.unwrap_or(default.captures.bytes_max),
                unknown_after: options
                    .captures_unknown_after_s
                    .unwrap_or(default.captures.unknown_after),
                view: options.captures_view.unwrap_or(default.captures.view),
            },
            targets: options.targets,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    #[diagnostic(help("--config or REPLAYD_CONFIG names the file; `replayd config default` prints one to begin with"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, but cannot be used.
    #[error("the configuration {path} cannot be used")]
    #[diagnostic(help("`replayd config default` prints every option"))]
    Wrong {
        /// The file's name.
        path: String,
        /// Its text, for the snippets.
        #[source_code]
        text: NamedSource<String>,
        /// All problems, each at its place.
        #[label(collection)]
        problems: Vec<LabeledSpan>,
    },
}

/// One problem in the file.
#[derive(Debug)]
struct Problem {
    /// What is wrong and what is allowed.
    message: String,
    /// Where it is.
    span: SourceSpan,
}

impl Problem {
    /// Puts it where it is shown.
    fn label(self) -> LabeledSpan {
        LabeledSpan::new_with_span(Some(self.message), self.span)
    }
}

/// Reads the targets of a file.
#[cfg(test)]
pub(crate) fn targets_of(text: &str) -> Targets {
    file::parse(Path::new("replayd.toml"), text.to_owned()).unwrap().targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::filter::CaptureFilter;
    use crate::store::captures::{CaptureColumn, CaptureOrder};

    fn text(text: &str) -> Config {
        Config::from_options(file::parse(Path::new("replayd.toml"), text.to_owned()).unwrap())
    }

    #[test]
    fn the_default_file_holds_the_defaults() {
        assert_eq!(text(DEFAULT_FILE), Config::default());
    }

    #[test]
    fn the_default_file_holds_every_option() {
        let options = file::parse(Path::new("replayd.toml"), DEFAULT_FILE.to_owned()).unwrap();
        assert!(options.is_complete(), "{options:?}");
    }

    #[test]
    fn every_option_of_a_file_is_used() {
        let want = Config {
            data_dir: "/d".into(),
            ingest_address: ([0, 0, 0, 0], 1).into(),
            console_address: ([0, 0, 0, 0], 2).into(),
            shutdown_delay: Duration::from_millis(3),
            shutdown_timeout: Duration::from_millis(4),
            log_level: LogLevel::Trace,
            log_format: LogFormat::Json,
            captures: CapturesConfig {
                retain: Duration::from_hours(48),
                bytes_max: 5,
                unknown_after: Duration::from_secs(6),
                view: CapturesView {
                    filter: CaptureFilter {
                        status: "5xx".into(),
                        ..CaptureFilter::default()
                    },
                    order: CaptureOrder {
                        by: CaptureColumn::Status,
                        descending: true,
                    },
                    columns: vec!["id".into(), "status".into()],
                },
            },
            targets: Targets::new(),
        };
        let written = "data_dir = '/d'\nshutdown_delay_ms = 3\nshutdown_timeout_ms = 4\n
            ingest.address = '0.0.0.0:1'\nconsole.address = '0.0.0.0:2'\nlog.level = 'trace'\nlog.format = 'json'\n
            [captures]\nretain_days = 2\nbytes_max = 5\nunknown_after_s = 6\n
            view = {filter = {status = '5xx'}, order_by = '-status', columns = ['id', 'status']}";
        assert_eq!(text(written), want);
    }

    #[test]
    fn a_target_of_a_file_is_used() {
        let written = "[targets.shop]\nurl = 'http://127.0.0.1:8080'\nallowed = true\nhonours_keys = true\n
            gate = 'http://127.0.0.1:8080/ready'\nprobe = 'http://127.0.0.1:8080/boot'\ncluster = 'upstream'\n
            auto_restore = true\non_early = 'keep'\ncredential = {env = 'SHOP_TOKEN'}\nstate_only = ['/items/{id}']\n
            clear = [{method = 'DELETE', path = '/items', empties = '/items/{id}'}]";
        let targets = text(written).targets;
        let target = &targets["shop"];
        assert_eq!(target.url, "http://127.0.0.1:8080/");
        assert!(target.allowed && target.honours_keys && target.auto_restore);
        assert_eq!(target.on_early, OnEarly::Keep);
        assert_eq!(target.gate.as_ref().unwrap().path(), "/ready");
        assert_eq!(target.probe.as_ref().unwrap().path(), "/boot");
        assert_eq!(target.cluster.as_deref(), Some("upstream"));
        assert!(target.credential.is_some());
        assert_eq!(target.rules.len(), 2);
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replayd.toml");
        std::fs::write(&path, "data_dir = '/file'\nshutdown_delay_ms = 3").unwrap();
        let options = Options {
            data_dir: Some("/flag".into()),
            ..Options::default()
        };
        let config = Config::load(&ConfigArgs {
            config: Some(path),
            options,
        })
        .unwrap();
        assert_eq!(
            (config.data_dir, config.shutdown_delay),
            ("/flag".into(), Duration::from_millis(3))
        );
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        let args = ConfigArgs {
            config: Some("/nowhere/replayd.toml".into()),
            options: Options::default(),
        };
        assert!(matches!(Config::load(&args), Err(ConfigError::Read { .. })));
    }
}
