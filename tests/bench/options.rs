//! The command line.

use crate::figure;
use crate::measure::Plan;
use crate::row::ROWS;
use std::path::PathBuf;
use std::time::Duration;

/// How to call it.
pub(crate) const USAGE: &str = "\
usage: bench --envoy PROGRAM --wasm FILE --noop FILE --replayd PROGRAM [--json FILE] [--rounds N] [--slice-ms N]
             [--paced-rounds N] [--rate N] [ROW…]
rows: plain noop untouched lua_header noop_post first_seen first_seen_full detached answer first_seen_64k
      answer_64k growth_half growth_full tap capture_async capture_write_ahead ready wrk wait_wake ingest
      list_page replay_max replay_per_key replay_timed
      (default: all)";

/// Rows that are not comparisons in slices.
const OTHER_ROWS: [&str; 2] = ["ready", "wrk"];

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    /// The Envoy to measure.
    pub(crate) envoy: PathBuf,
    /// The replayd to measure.
    pub(crate) replayd: PathBuf,
    /// `reprise.wasm`.
    pub(crate) wasm: String,
    /// The filter that does nothing.
    pub(crate) noop: String,
    /// Where the JSON goes.
    pub(crate) json: Option<PathBuf>,
    /// How long and how often.
    pub(crate) plan: Plan,
    /// The rows asked for; empty = all.
    rows: Vec<String>,
}

impl Options {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    ///
    /// A sentence on the first argument that is unknown, lacks its value, or is missing.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            envoy: PathBuf::new(),
            replayd: PathBuf::new(),
            wasm: String::new(),
            noop: String::new(),
            json: None,
            plan: Plan {
                rounds: 160,
                slice: Duration::from_millis(40),
                paced_rounds: 30,
                paced_slice: Duration::from_millis(200),
                rate_per_s: 2000,
            },
            rows: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            if argument.starts_with("--") {
                let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
                options.set(&argument, &value)?;
            } else if is_row(&argument) {
                options.rows.push(argument);
            } else {
                return Err(format!("there is no row {argument}"));
            }
        }
        let programs = [&options.envoy, &options.replayd];
        let is_missing = programs.iter().any(|program| program.as_os_str().is_empty());
        if is_missing || options.wasm.is_empty() || options.noop.is_empty() {
            return Err("--envoy, --wasm, --noop and --replayd are needed".to_owned());
        }
        Ok(options)
    }

    /// True if the row was asked for, or none was.
    pub(crate) fn has(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|name| name == row)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--envoy" => self.envoy = PathBuf::from(value),
            "--replayd" => self.replayd = PathBuf::from(value),
            "--wasm" => value.clone_into(&mut self.wasm),
            "--noop" => value.clone_into(&mut self.noop),
            "--json" => self.json = Some(PathBuf::from(value)),
            "--rounds" => self.plan.rounds = number(name, value)?,
            "--slice-ms" => self.plan.slice = Duration::from_millis(number(name, value)?),
            "--paced-rounds" => self.plan.paced_rounds = number(name, value)?,
            "--rate" => self.plan.rate_per_s = number(name, value)?,
            _ => return Err(format!("there is no option {name}")),
        }
        Ok(())
    }
}

fn is_row(name: &str) -> bool {
    ROWS.iter().any(|row| row.name == name) || OTHER_ROWS.contains(&name) || figure::ROWS.contains(&name)
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name} {value}: not a number in its range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(
            format!("--envoy e --wasm w --noop n --replayd r {line}")
                .split_whitespace()
                .map(str::to_owned),
        )
    }

    #[test]
    fn every_row_is_meant_if_none_is_named() {
        let options = parse("").unwrap();
        assert!(options.has("first_seen") && options.has("wrk"));
    }

    #[test]
    fn only_the_rows_named_are_meant() {
        let options = parse("answer --rounds 9").unwrap();
        assert!(options.has("answer") && !options.has("ready"));
        assert_eq!(options.plan.rounds, 9);
    }

    #[test]
    fn the_usage_names_every_row() {
        let names = ROWS
            .map(|row| row.name)
            .into_iter()
            .chain(OTHER_ROWS)
            .chain(figure::ROWS);
        let named: Vec<_> = USAGE.split_whitespace().collect();
        let missing: Vec<_> = names.filter(|name| !named.contains(name)).collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn an_unknown_row_is_an_error() {
        assert_eq!(parse("anser").unwrap_err(), "there is no row anser");
    }
}
