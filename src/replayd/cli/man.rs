//! `replayd man`: manual pages.

use super::output::Output;
use super::{Diagnostic, Failure, Verdict, command};
use clap::Args;
use clap_mangen::{Man, generate_to};
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `replayd man`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write one page a command into this directory instead
    dir: Option<PathBuf>,
}

/// Prints the main page, or writes all pages.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    match &arguments.dir {
        Some(dir) => write(dir)?,
        None => output.write(String::from_utf8_lossy(&page()?))?,
    }
    Ok(Verdict::Fine)
}

fn page() -> Result<Vec<u8>, Box<dyn Diagnostic>> {
    let mut page = Vec::new();
    Man::new(command())
        .render(&mut page)
        .map_err(|error| Failure::because("cannot render the page", error))?;
    Ok(page)
}

fn write(dir: &Path) -> Result<(), Box<dyn Diagnostic>> {
    let written = fs::create_dir_all(dir).and_then(|()| generate_to(command(), dir));
    written.map_err(|error| Failure::because(format!("cannot write manual pages to {}", dir.display()), error))
}
