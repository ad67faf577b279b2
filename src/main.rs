//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use reprovision::{cli::Cli, commands};

fn main() -> ExitCode {
    ExitCode::from(commands::main(Cli::parse()).code())
}
