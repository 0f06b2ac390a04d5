//! Whether the running replayd answers.

use super::Check;
use crate::client::{FetchError, Fetched, fetch};
use crate::config::Config;
use crate::data_dir::{published, url_of};
use http::StatusCode;

/// Where the listeners are to be found from this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    ingest: String,
    pub(super) console: String,
}

impl Places {
    /// Finds the listeners: what was asked for, else what the running replayd wrote, else what is configured.
    pub(super) fn find(config: &Config, console: Option<&str>) -> Self {
        let told = published(&config.data_dir);
        let ingest = told.map_or(config.ingest_address, |told| told.ingest);
        let default = || url_of(told.map_or(config.console_address, |told| told.console));
        let console = console.map_or_else(default, |url| url.trim_end_matches('/').to_owned());
        Self {
            ingest: url_of(ingest),
            console,
        }
    }
}

/// Asks whether the ingest listener lives.
pub(super) async fn ingest(places: &Places) -> Check {
    let url = format!("{}/healthz", places.ingest);
    answered("ingest", &url, "lives", fetch(&url).await)
}

/// Asks whether the console says that replayd is ready.
pub(super) async fn console(places: &Places) -> Check {
    let url = format!("{}/readyz", places.console);
    answered("console", &url, "is ready", fetch(&url).await)
}

fn answered(name: &'static str, url: &str, fine: &str, answer: Result<Fetched, FetchError>) -> Check {
    match answer {
        Ok(Fetched {
            status: StatusCode::OK, ..
        }) => Check::ok(name, format!("{url}: replayd {fine}")),
        Ok(Fetched { status, body }) => Check::error(name, format!("{url} answers {status}: {}", body.trim())),
        Err(error) => Check::error(name, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::{Addresses, DataDir};

    #[test]
    fn a_running_daemon_is_found_where_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().to_owned(),
            ..Config::default()
        };
        let addresses = Addresses {
            ingest: ([0, 0, 0, 0], 1).into(),
            console: ([0; 8], 2).into(),
        };
        DataDir::open(dir.path()).unwrap().publish(&addresses).unwrap();
        let want = Places {
            ingest: "http://127.0.0.1:1".into(),
            console: "http://[::1]:2".into(),
        };
        assert_eq!(Places::find(&config, None), want);
    }

    #[test]
    fn a_daemon_that_says_nothing_is_looked_for_where_it_is_configured() {
        let config = Config {
            data_dir: "/nowhere".into(),
            ..Config::default()
        };
        let want = Places {
            ingest: "http://127.0.0.1:7380".into(),
            console: "http://a:1".into(),
        };
        assert_eq!(Places::find(&config, Some("http://a:1/")), want);
    }
}
