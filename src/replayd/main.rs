//! The thin binary around the library: the only place that ends the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(replayd::cli::run(std::env::args_os()))
}
