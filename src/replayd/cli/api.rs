//! Where the running replayd is, and who asks: shared by all commands that speak to it.

use super::filter::with_query;
use super::{Diagnostic, Failure};
use crate::client::{Api, ApiError};
use crate::config::{Config, ConfigArgs};
use crate::data_dir::{ADMIN_TOKEN, published, url_of};
use clap::Args;
use http::StatusCode;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tokio::runtime::{Builder, Runtime};

/// Which replayd is asked.
///
/// Without `--url` and `--token` it is the one that serves the data directory, in the name of its administrator.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which replayd")]
pub(super) struct ApiArgs {
    /// The console's address [default: what the running replayd wrote into its data directory]
    #[arg(long, env = "REPLAYD_URL", value_name = "URL", global = true)]
    url: Option<String>,
    /// Who asks [default: the administrator, by the token in the data directory]
    #[arg(
        long,
        env = "REPLAYD_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<String>,
    /// replayd's configuration file [default: ./replayd.toml if it exists]
    #[arg(long, env = "REPLAYD_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Directory of the database and the tokens [default: ./reprise-data]
    #[arg(long, env = "REPLAYD_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl ApiArgs {
    /// Finds the API.
    ///
    /// # Errors
    /// [`Failure`] that says what to give, if it cannot be found.
    pub(super) fn api(&self) -> Result<Api, Box<dyn Diagnostic>> {
        let places = ConfigArgs::of_data_dir(self.config.clone(), self.data_dir.clone());
        let data_dir = match (&self.url, &self.token) {
            (Some(_), Some(_)) => PathBuf::new(),
            _ => Config::load(&places)?.data_dir,
        };
        let url = match &self.url {
            Some(url) => url.clone(),
            None => published(&data_dir).map(|told| url_of(told.console)).ok_or_else(|| {
                Failure::told(format!(
                    "no replayd serves {}: start one with `replayd serve`, or say where it is with --data-dir or --url",
                    data_dir.display()
                ))
            })?,
        };
        let token = match &self.token {
            Some(token) => token.clone(),
            None => {
                let path = data_dir.join(ADMIN_TOKEN);
                let read = fs::read_to_string(&path);
                let told = || format!("cannot read {}: give --token or REPLAYD_TOKEN", path.display());
                read.map_err(|error| Failure::because(told(), error))?
                    .trim_end()
                    .to_owned()
            }
        };
        Api::new(&url, &token).map_err(failed)
    }
}

/// A list that is read page by page.
pub(super) struct Pages<'a> {
    api: &'a Api,
    path: &'a str,
    fields: Vec<(&'static str, String)>,
    /// Where the next page begins; null before the first, and after the last.
    pub(super) cursor: Value,
    is_over: bool,
}

impl<'a> Pages<'a> {
    /// Most rows of a page.
    pub(super) const ROWS_MAX: usize = 500;

    /// Begins the list at `path`, with these parameters.
    pub(super) const fn new(api: &'a Api, path: &'a str, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            api,
            path,
            fields,
            cursor: Value::Null,
            is_over: false,
        }
    }

    /// Begins it where another list ended, if that is told.
    pub(super) fn from(api: &'a Api, path: &'a str, fields: Vec<(&'static str, String)>, cursor: Option<&str>) -> Self {
        Self {
            cursor: cursor.map_or(Value::Null, Value::from),
            ..Self::new(api, path, fields)
        }
    }

    /// Reads the next page of at most so many rows; none after the last.
    pub(super) async fn next(&mut self, rows_max: usize) -> Result<Option<Vec<Value>>, Box<dyn Diagnostic>> {
        if self.is_over {
            return Ok(None);
        }
        let mut fields = self.fields.clone();
        fields.push(("limit", rows_max.min(Self::ROWS_MAX).to_string()));
        fields.extend(self.cursor.as_str().map(|cursor| ("cursor", cursor.to_owned())));
        let mut page = self.api.get(&with_query(self.path, &fields)).await.map_err(failed)?;
        self.cursor = page.get_mut("next").map(Value::take).unwrap_or_default();
        self.is_over = self.cursor.is_null();
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(rows)) => Ok(Some(rows)),
            _ => Ok(Some(Vec::new())),
        }
    }
}

/// Goes through the list of this name in an answer.
pub(super) fn listed<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    answer.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// What somebody does whose token does not count.
const NO_TOKEN: &str = "replayd does not accept this token: give one that counts with --token or REPLAYD_TOKEN, or give \
                        neither, and the one in the data directory (--data-dir) is used";

/// Turns the API's no into the command's.
pub(super) fn failed(error: ApiError) -> Box<dyn Diagnostic> {
    match error {
        ApiError::Refused(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Failure::told(NO_TOKEN),
        ApiError::Certificates(_) | ApiError::Write(_) => Failure::because("the request failed", error),
        _ => Failure::told(error.to_string()),
    }
}

/// Starts what the commands wait in.
pub(super) fn runtime() -> Result<Runtime, Box<dyn Diagnostic>> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::because("cannot start the runtime", error))
}
