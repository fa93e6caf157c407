//! `limelight run`.

use std::process::ExitCode;

use super::{Global, RunArgs};

/// Runs.
pub async fn run(_global: &Global, _args: RunArgs) -> ExitCode {
    ExitCode::FAILURE
}
