//! One attempt at a node: runs the executor, and carries what it says to the store and the bus.
//!
//! Not an actor of its own: it lives and ends with its coordinator, and shows in the supervision
//! tree while it runs. A log line is shown once it is stored, and all lines are stored before the
//! attempt's result is reported.

use std::{path::PathBuf, sync::Arc, time::Duration};

use limelight_engine::{Rendered, RenderedCommand, RenderedHttp};
use limelight_protocol::{ExecutionId, NodeId, event::LogLine};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    clock,
    executor::{
        self, CommandJob, Context, Failure, HttpJob, OutputLimits, Purpose, Report, StopSignal,
        Success,
    },
    services::Services,
};

/// Reports that wait between the executor and the store; then the executor waits too.
const REPORTS: usize = 256;
/// Progress is passed on four times a second at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How long to wait before lines that could not be stored are tried again.
const STORE_RETRY: Duration = Duration::from_millis(500);

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

/// Performs the work of an attempt. `progress` is called with what the attempt says of itself.
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
    let relay = relay(&services, &id, received, progress);
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
            executor::run_http(&services.http_client, http_job(request), reports, stop).await
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

fn http_job(request: RenderedHttp) -> HttpJob {
    let RenderedHttp {
        method,
        url,
        headers,
        body,
        expect_status,
    } = request;
    let expect_status = expect_status.unwrap_or_default();
    HttpJob {
        headers,
        body,
        expect_status,
        ..HttpJob::new(&method, &url)
    }
}

/// Stores and publishes lines as they come, and passes progress on, newest first.
async fn relay(
    services: &Services,
    id: &AttemptId,
    mut received: mpsc::Receiver<Report>,
    progress: impl Fn(f64, Option<String>),
) {
    let mut log = Log {
        services,
        id,
        last_seq: None,
    };
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
                        attempt: id.attempt,
                        source,
                        line,
                    };
                    lines.push((clock::now(), line));
                }
                Report::Progress { progress, message } => latest = Some((progress, message)),
            }
        }
        log.write(&lines).await;
    }
    if let Some((percent, message)) = latest {
        progress(percent, message);
    }
}

struct Log<'a> {
    services: &'a Services,
    id: &'a AttemptId,
    last_seq: Option<u64>,
}

impl Log<'_> {
    /// Stores lines, then publishes them. Goes on trying: meanwhile the command waits.
    async fn write(&mut self, lines: &[(limelight_protocol::Timestamp, LogLine)]) {
        if lines.is_empty() {
            return;
        }
        loop {
            match self.try_write(lines).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(execution = %self.id.execution, node = %self.id.node, %error, "log lines wait for the store");
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn try_write(
        &mut self,
        lines: &[(limelight_protocol::Timestamp, LogLine)],
    ) -> Result<(), crate::store::StoreError> {
        let Services { store, bus, .. } = self.services;
        let last_seq = match self.last_seq {
            Some(seq) => seq,
            None => store.last_log_seq(self.id.execution, &self.id.node).await?,
        };
        let events = store
            .append_log(self.id.execution, &self.id.node, last_seq + 1, lines)
            .await?;
        self.last_seq = Some(last_seq + lines.len() as u64);
        bus.publish_live(&events);
        Ok(())
    }
}
