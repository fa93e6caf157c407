//! The `limelight` program: reads the command line and hands over.

use std::process::ExitCode;

use clap::Parser;
use limelight_server::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run_main(Cli::parse())
}
