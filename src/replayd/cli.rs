//! The command line: one file per subcommand, one writer for all of them.

mod api;
mod boots;
mod captures;
mod check_config;
mod completions;
mod config;
mod doctor;
mod filter;
mod follow;
mod man;
mod output;
mod progress;
mod replay;
mod replays;
mod restore;
mod serve;
mod steps;
mod table;
mod tokens;

use clap::{CommandFactory, Parser, Subcommand};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use output::Output;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use thiserror::Error;

/// The daemon and command line beside the Reprise filter: serves, and checks configurations and installations.
#[derive(Debug, Parser)]
#[command(name = "replayd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Arguments),
    /// Check the filter's document, or the Envoy configuration around it
    CheckConfig(check_config::Arguments),
    /// Show replayd's own configuration
    Config(config::Arguments),
    /// Look for what is wrong with an installation
    Doctor(doctor::Arguments),
    /// List, show, label, move and delete what was captured
    Captures(captures::Arguments),
    /// Send captured requests again
    Replay(replay::Arguments),
    /// Bring back the state of a target that lost it, from captured mutations
    Restore(restore::Arguments),
    /// List, show, resume, follow, interrupt and cancel replays
    Replays(replays::Arguments),
    /// Show which boots of upstreams are known, and open their gates
    Boots(boots::Arguments),
    /// Give and revoke tokens of the API
    Tokens(tokens::Arguments),
    /// Print a shell's completion script
    Completions(completions::Arguments),
    /// Print the manual page, or write one a command
    Man(man::Arguments),
}

/// What a command found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing is wrong.
    Fine,
    /// Something that was looked at is wrong.
    Findings,
    /// What became of a replay: 0 match, 1 differ, 2 transport errors, 3 interrupted and resumable, 4 refused.
    Replay(u8),
}

/// Why a command could not do its work.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
struct Failure {
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Runs the command that `arguments` ask for and tells the process's exit code.
///
/// Shape: 0 = fine, 1 = something that was looked at is wrong, 2 = the command could not do its work. Of a replay:
/// 0 = all responses match, 1 = some differ, 2 = transport errors, 3 = interrupted and resumable, 4 = refused.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut output = Output::new();
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command.run(&mut output),
        Err(error) if error.use_stderr() => return refuse(&mut output, &error.render().ansi()),
        Err(help) => output.write(help.render().ansi()).map(|()| Verdict::Fine),
    };
    match outcome {
        Ok(Verdict::Fine) => 0,
        Ok(Verdict::Findings) => 1,
        Ok(Verdict::Replay(code)) => code,
        Err(error) => refuse(&mut output, &rendered(&*error)),
    }
}

impl Command {
    fn run(self, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
        match self {
            Self::Serve(arguments) => serve::run(&arguments, output),
            Self::CheckConfig(arguments) => check_config::run(&arguments, output),
            Self::Config(arguments) => config::run(&arguments, output),
            Self::Doctor(arguments) => doctor::run(&arguments, output),
            Self::Captures(arguments) => captures::run(&arguments, output),
            Self::Replay(arguments) => replay::run(&arguments, output),
            Self::Restore(arguments) => restore::run(&arguments, output),
            Self::Replays(arguments) => replays::run(&arguments, output),
            Self::Boots(arguments) => boots::run(&arguments, output),
            Self::Tokens(arguments) => tokens::run(&arguments, output),
            Self::Completions(arguments) => completions::run(&arguments, output),
            Self::Man(arguments) => man::run(&arguments, output),
        }
    }
}

/// Describes the whole command line, for scripts and manual pages.
fn command() -> clap::Command {
    Cli::command()
}

fn refuse(output: &mut Output, text: &dyn fmt::Display) -> u8 {
    output.write_error(text);
    2
}

fn rendered(error: &dyn Diagnostic) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_wrap_lines(false);
    if handler.render_report(&mut text, error).is_err() {
        return format!("{error}\n");
    }
    text
}

impl Failure {
    /// Tells that `message` happened.
    fn told(message: impl Into<String>) -> Box<dyn Diagnostic> {
        Box::new(Self {
            message: message.into(),
            source: None,
        })
    }

    /// Tells that `message` happened because of `source`.
    fn because(message: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Box<dyn Diagnostic> {
        Box::new(Self {
            message: message.into(),
            source: Some(Box::new(source)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }
}
