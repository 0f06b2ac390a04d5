//! `replayd completions`: a shell's completion script.

use super::output::Output;
use super::{Diagnostic, Verdict, command};
use clap::Args;
use clap_complete::Shell;

/// Arguments of `replayd completions`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), "replayd", &mut script);
    output.write(String::from_utf8_lossy(&script))?;
    Ok(Verdict::Fine)
}
