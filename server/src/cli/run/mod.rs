//! `limelight run`: a client of a running server.
//!
//! Exit codes: 0 completed (or started, without `--follow`), 1 failed, 2 could not be started or
//! followed, 3 cancelled, 130 interrupted here while the execution goes on there.

mod client;
mod connection;
mod follower;
mod params;
mod target;
mod view;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use limelight_protocol::{Execution, ExecutionId, ExecutionStatus, workflow::Execute};

use self::{client::Client, follower::Follower, target::Target, view::View};
use super::{Global, RunArgs};
use crate::config::Settings;

const COMPLETED: u8 = 0;
const FAILED: u8 = 1;
const NOT_DONE: u8 = 2;
const CANCELLED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// Does what `args` say and tells by the exit code how it went.
pub async fn run(global: &Global, args: RunArgs) -> ExitCode {
    let code = perform(global, args).await.unwrap_or_else(|error| {
        say(&format!("limelight: {error:#}"));
        NOT_DONE
    });
    ExitCode::from(code)
}

/// A line on stderr. Nobody is left to tell when it is closed.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

async fn perform(global: &Global, args: RunArgs) -> anyhow::Result<u8> {
    let config = global.load(Settings::default())?;
    let client = Client::new(&config, args.server.as_deref())?;
    let target = Target::read(&args.target)?;
    let id = match target {
        Target::Execution(id) => {
            anyhow::ensure!(
                args.params.is_empty() && args.name.is_none(),
                "{id} has started already: it takes no --param and no --name"
            );
            id
        }
        Target::Workflow(workflow) => {
            let workflow = workflow.ensure(&client).await?;
            let body = Execute {
                params: params::typed(&args.params, &workflow.params)?,
                name: args.name.clone(),
                ..Execute::default()
            };
            let started = client.execute(workflow.workflow.id, &body).await?;
            if !args.follow {
                let line = if args.json {
                    serde_json::to_string(&started)?
                } else {
                    started.execution_id.to_string()
                };
                writeln!(io::stdout(), "{line}")?;
                return Ok(COMPLETED);
            }
            started.execution_id
        }
    };
    let execution = client.execution(id).await?;
    let again = again(id, global, &args);
    tokio::select! {
        ended = follow(&client, execution, args.json) => ended
            .map(exit_code)
            .with_context(|| format!("cannot follow any more, try again with {again}")),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            say(&format!("the execution goes on; follow it again with: {again}"));
            Ok(INTERRUPTED)
        }
    }
}

async fn follow(
    client: &Client,
    execution: Execution,
    json: bool,
) -> anyhow::Result<ExecutionStatus> {
    let mut view: Box<dyn View> = if json {
        Box::new(view::Json(io::stdout()))
    } else if io::stdout().is_terminal() && io::stderr().is_terminal() {
        Box::new(view::Bars::new())
    } else {
        Box::new(view::Plain(io::stdout()))
    };
    let mut follower = Follower::new(execution);
    connection::follow(client, &mut follower, view.as_mut()).await
}

fn exit_code(status: ExecutionStatus) -> u8 {
    match status {
        ExecutionStatus::Completed => COMPLETED,
        ExecutionStatus::Cancelled => CANCELLED,
        _ => FAILED,
    }
}

/// The command that follows the execution from here.
fn again(id: ExecutionId, global: &Global, args: &RunArgs) -> String {
    let mut command = format!("limelight run {id}");
    let options = [
        ("--server", args.server.clone()),
        (
            "--config",
            global
                .config
                .as_ref()
                .map(|path| path.display().to_string()),
        ),
        (
            "--data-dir",
            global
                .data_dir
                .as_ref()
                .map(|path| path.display().to_string()),
        ),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            command.push_str(&format!(" {name} {value}"));
        }
    }
    command
}

#[cfg(test)]
mod tests;
