//! `replayd config`: replayd's own configuration.

use super::output::Output;
use super::{Diagnostic, Verdict};
use crate::config::DEFAULT_FILE;
use clap::{Args, Subcommand};

/// Arguments of `replayd config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a commented file with every option and its default
    Default,
}

/// Prints what is asked for.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    match arguments.what {
        What::Default => output.write(DEFAULT_FILE)?,
    }
    Ok(Verdict::Fine)
}
