//! One attempt at a node: runs the executor, and carries what it says to the store and the bus.
//!
//! Not an actor of its own: it lives and ends with its coordinator, and shows in the supervision
//! tree while it runs. It ends when every process it started is gone. A log line is shown once it is
//! stored, and all lines are stored, or given up ([`log`]), before the attempt's result is reported.

use std::{path::PathBuf, sync::Arc, time::Duration};

use limelight_engine::{Rendered, RenderedCommand, RenderedHttp};
use limelight_protocol::{ExecutionId, NodeId, event::LogLine};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::log::Log;

use crate::{
    clock,
    executor::{
        self, CommandJob, Context, Failure, HttpJob, OutputLimits, Purpose, Report, StopSignal,
        Success,
    },
    services::Services,
};

mod log;

/// Reports that wait between the executor and the store; then the executor waits too.
const REPORTS: usize = 256;
/// Progress is passed on four times a second at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Which attempt.
#[derive(Clone, Debug)]
pub struct AttemptId {
    /// Of which execution.
    pub execution: ExecutionId,
    /// At which node.
    pub node: NodeId,
    /// 1, 2, 3, ...
    pub attempt: u32,
}

/// Performs the work of an attempt. `progress` is called with what the attempt says of itself. Once it
/// is told to stop it ends within the grace that programs have and a few seconds; dropped, it kills all
/// its processes at once.
///
/// # Errors
/// When the attempt failed.
pub async fn perform(
    services: Arc<Services>,
    id: AttemptId,
    work: Rendered,
    stop: StopSignal,
    progress: impl Fn(f64, Option<String>),
) -> Result<Success, Failure> {
    let path = format!("executions/{}/{}#{}", id.execution, id.node, id.attempt);
    let _entry = services.supervision.registry.enter_scoped(path, "attempt");
    let (reports, received) = mpsc::channel(REPORTS);
    let log = Log::new(&services, &id, stop.clone());
    let relay = relay(log, id.attempt, received, progress);
    let run = run(&services, &id, work, reports, stop);
    let (result, ()) = tokio::join!(run, relay);
    result
}

async fn run(
    services: &Services,
    id: &AttemptId,
    work: Rendered,
    reports: mpsc::Sender<Report>,
    stop: StopSignal,
) -> Result<Success, Failure> {
    match work {
        Rendered::Noop => Ok(Success::default()),
        Rendered::Command(command) => {
            executor::run_command(command_job(services, id, command), reports, stop).await
        }
        Rendered::Http(request) => {
            let request = http_job(id, request);
            executor::run_http(&services.http_client, request, reports, stop).await
        }
    }
}

fn command_job(services: &Services, id: &AttemptId, command: RenderedCommand) -> CommandJob {
    let RenderedCommand {
        program,
        env,
        working_dir,
        commands,
    } = command;
    CommandJob {
        program,
        env,
        working_dir: working_dir.map_or_else(|| services.working_dir.clone(), PathBuf::from),
        read_commands: commands,
        context: Context {
            purpose: Purpose::Attempt {
                execution_id: id.execution,
                node_id: id.node.clone(),
                attempt: id.attempt,
            },
            server_mark: services.store.epoch().to_owned(),
        },
        limits: OutputLimits::default(),
        grace: services.grace,
    }
}

fn http_job(id: &AttemptId, request: RenderedHttp) -> HttpJob {
    let RenderedHttp {
        method,
        url,
        headers,
        body,
        expect_status,
    } = request;
    HttpJob {
        headers,
        body,
        expect_status,
        idempotency_key: Some(executor::idempotency_key(id.execution, &id.node)),
        ..HttpJob::new(&method, &url)
    }
}

/// Stores and publishes lines as they come, and passes progress on, newest first.
async fn relay(
    mut log: Log<'_>,
    attempt: u32,
    mut received: mpsc::Receiver<Report>,
    progress: impl Fn(f64, Option<String>),
) {
    let mut reports = Vec::with_capacity(REPORTS);
    let mut latest: Option<(f64, Option<String>)> = None;
    let mut due = Instant::now();
    loop {
        let count = tokio::select! {
            count = received.recv_many(&mut reports, REPORTS) => count,
            () = sleep_until(due), if latest.is_some() => {
                if let Some((percent, message)) = latest.take() {
                    progress(percent, message);
                    due = Instant::now() + PROGRESS_EVERY;
                }
                continue;
            }
        };
        if count == 0 {
            break;
        }
        let mut lines = Vec::new();
        for report in reports.drain(..) {
            match report {
                Report::Log { source, line } => {
                    let line = LogLine {
                        attempt,
                        source,
                        line,
                    };
                    lines.push((clock::now(), line));
                }
                Report::Progress { progress, message } => latest = Some((progress, message)),
                // The log says so itself.
                Report::Dropped { .. } => {}
            }
        }
        log.write(lines).await;
    }
    log.close().await;
    if let Some((percent, message)) = latest {
        progress(percent, message);
    }
}

#[cfg(test)]
mod tests;
