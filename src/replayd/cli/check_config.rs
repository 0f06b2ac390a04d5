//! `replayd check-config`: the filter's document, or the Envoy configuration around it, before Envoy sees it.

use super::output::Output;
use super::{Diagnostic, Failure, Verdict};
use crate::check::{Report, check};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `replayd check-config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The filter's document (YAML or JSON), a whole Envoy configuration, or manifests that patch one
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks the file and prints what was found, errors first.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let report = read(&arguments.file)?;
    if arguments.json {
        output.write(format_args!("{:#}\n", serde_json::json!(report)))?;
    } else {
        output.write(&report)?;
    }
    Ok(if report.is_ok() {
        Verdict::Fine
    } else {
        Verdict::Findings
    })
}

/// Checks the file `path`.
///
/// # Errors
/// [`Failure`] if it cannot be read.
pub(super) fn read(path: &Path) -> Result<Report, Box<dyn Diagnostic>> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure::because(format!("cannot read {}", path.display()), error))?;
    Ok(check(&text, &path.display().to_string()))
}
