//! Test runner: one run of a suite.
//!
//! - Messages: [`CancelRun`] from callers; lines of output and the end of the command from its own
//!   tasks.
//! - It gives each case to the journal as it ends, and shows nothing itself.
//! - When it fails: a fresh one finds its run begun, cannot go on with a command that is gone, and
//!   records it as interrupted.
//! - Never: runs a suite that is not configured.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use limelight_protocol::{
    EventBody, Stream, TestRunId,
    testing::{
        CaseResult, Suite, SuiteFormat, TestRun, TestRunFinished, TestRunStarted, TestRunStatus,
    },
};
use tokio::sync::{mpsc, oneshot};

use super::{
    journal::append,
    supervisor::{Lease, Supervised},
};
use crate::{
    auth::Caller,
    clock,
    executor::{
        self, CommandJob, Failure, OutputLimits, Program, Purpose, Report, StopReason, StopSignal,
        Stopper,
    },
    services::Services,
    store::{Append, PendingEvent, ReadModel},
    testing,
};

/// Lines that wait between the command and the parser.
const LINES: usize = 256;

/// Most cases of a run that are recorded.
const MOST_CASES: usize = 20_000;

/// Cases that are given to the journal at once.
const CASES_AT_ONCE: usize = 100;

/// Its output is read, not kept, so more of it may be than of a node's.
const LIMITS: OutputLimits = OutputLimits {
    max_line_bytes: 16 << 10,
    max_log_lines: 1_000_000,
    max_log_bytes: 256 << 20,
    max_outputs_bytes: 256 << 10,
};

/// Where to answer once the begin is committed.
pub type Answer = oneshot::Sender<Result<TestRun, String>>;

/// The runner.
pub struct TestRunner {
    lease: Lease,
    services: Arc<Services>,
    suite: Option<Suite>,
    run: Option<TestRun>,
    answer: Option<Answer>,
    stop: Option<Stopper>,
    ending: Option<Ending>,
}

/// Why a run is ended before its command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Somebody called it off.
    Cancelled,
    /// The server stops.
    Halted,
}

impl TestRunner {
    /// A runner that begins `suite`, or (without one) that records `run` as interrupted.
    #[must_use]
    pub const fn new(
        lease: Lease,
        services: Arc<Services>,
        suite: Option<Suite>,
        run: TestRun,
        answer: Option<Answer>,
    ) -> Self {
        Self {
            lease,
            services,
            suite,
            run: Some(run),
            answer,
            stop: None,
            ending: None,
        }
    }
}

impl Supervised for TestRunner {
    const KIND: &'static str = "test-runner";
}

impl Actor for TestRunner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(run) = self.run.take() else { return };
        let (stop, signal) = Stopper::new();
        self.stop = Some(stop);
        let recorder = Recorder {
            services: Arc::clone(&self.services),
            run,
        };
        let work = perform(
            recorder,
            self.suite.take(),
            self.answer.take(),
            signal,
            ctx.address(),
        );
        ctx.spawn(work.into_actor(self).map(|result, this, ctx| {
            match result {
                Ok(()) => this.lease.finish(),
                Err(error) => this.lease.fail(error),
            }
            ctx.stop();
        }));
    }
}

/// Stops the command; the run ends as cancelled.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CancelRun;

impl Handler<CancelRun> for TestRunner {
    type Result = ();

    fn handle(&mut self, _: CancelRun, _: &mut Self::Context) {
        self.lease.beat();
        self.ending.get_or_insert(Ending::Cancelled);
        self.stop = None;
    }
}

/// The server stops: so does the command, and the runner ends when it has. The next start records the
/// run as interrupted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HaltRun;

impl Handler<HaltRun> for TestRunner {
    type Result = ();

    fn handle(&mut self, _: HaltRun, _: &mut Self::Context) {
        self.lease.beat();
        self.ending = Some(Ending::Halted);
        self.stop = None;
    }
}

/// Whether somebody ended the run.
#[derive(Message)]
#[rtype(result = "Option<Ending>")]
struct WasEnded;

impl Handler<WasEnded> for TestRunner {
    type Result = Option<Ending>;

    fn handle(&mut self, _: WasEnded, _: &mut Self::Context) -> Option<Ending> {
        self.ending
    }
}

async fn perform(
    mut recorder: Recorder,
    suite: Option<Suite>,
    answer: Option<Answer>,
    mut signal: StopSignal,
    runner: actix::Addr<TestRunner>,
) -> Result<(), String> {
    let Some(suite) = suite else {
        return recorder.interrupted().await;
    };
    let begun = recorder.begin().await;
    if let Some(answer) = answer {
        let _ = answer.send(begun.clone().map(|()| recorder.run.clone()));
    }
    begun?;
    let (reports, lines) = mpsc::channel(LINES);
    let limit = Duration::from_secs_f64(suite.timeout_s);
    let job = job(&suite, recorder.run.id, &recorder.services);
    // However the command is ended, this goes on until all its processes are gone.
    let (stopper, stop) = Stopper::new();
    let command = executor::run_command(job, reports, stop);
    let record = async {
        let recorded = recorder.record(suite.format, lines).await;
        if recorded.is_err() {
            stopper.stop(StopReason::Interrupted);
        }
        recorded
    };
    let end_early = async {
        let reason = tokio::select! {
            reason = signal.stopped() => reason,
            () = tokio::time::sleep(limit) => StopReason::TimedOut,
        };
        stopper.stop(reason);
        std::future::pending().await
    };
    let (outcome, recorded) = tokio::select! {
        both = async { tokio::join!(command, record) } => both,
        never = end_early => never,
    };
    let unread = recorded?;
    let failed_cases = recorder.run.counts.failed > 0;
    let (status, error) = match (runner.send(WasEnded).await.unwrap_or(None), outcome) {
        (Some(Ending::Halted), _) => return Ok(()),
        (Some(Ending::Cancelled), _) => (TestRunStatus::Cancelled, None),
        (None, Err(Failure { error, .. })) if error.code == "timeout" => (
            TestRunStatus::Failed,
            Some(format!("took longer than {} s", suite.timeout_s)),
        ),
        // What was not read may have failed.
        _ if unread.is_some() => (TestRunStatus::Failed, unread),
        // A command that fails without a failed case failed for a reason of its own.
        (None, Err(Failure { error, .. })) => (
            TestRunStatus::Failed,
            (!failed_cases).then_some(error.message),
        ),
        (None, Ok(_)) if failed_cases => (TestRunStatus::Failed, None),
        (None, Ok(_)) => (TestRunStatus::Passed, None),
    };
    recorder.finish(status, error).await
}

fn job(suite: &Suite, id: TestRunId, services: &Services) -> CommandJob {
    let folder = suite
        .working_dir
        .as_ref()
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    CommandJob {
        program: Program::Args(suite.command.clone()),
        env: BTreeMap::new(),
        working_dir: folder,
        read_commands: false,
        context: executor::Context {
            purpose: Purpose::TestRun(id),
            server_mark: services.store.epoch().to_owned(),
        },
        limits: LIMITS,
        grace: services.grace,
    }
}

fn too_many_cases() -> String {
    format!("it has more than {MOST_CASES} cases: the others were not recorded")
}

/// Carries a run into the journal.
struct Recorder {
    services: Arc<Services>,
    run: TestRun,
}

impl Recorder {
    async fn begin(&mut self) -> Result<(), String> {
        let body = EventBody::TestStarted(TestRunStarted {
            test_run_id: self.run.id,
            suite: self.run.suite.clone(),
            by: self.run.started_by.clone(),
        });
        self.append(vec![body], Vec::new()).await
    }

    /// Ends a run whose command is gone; one that never began needs no end.
    async fn interrupted(&mut self) -> Result<(), String> {
        let stored = self
            .services
            .store
            .get_test_run(&Caller::system(), self.run.id)
            .await;
        match stored.map_err(|error| error.to_string())? {
            Some(run) if run.status == TestRunStatus::Running => {
                self.run = run;
                let error = "the server stopped while it ran".to_owned();
                self.finish(TestRunStatus::Interrupted, Some(error)).await
            }
            _ => Ok(()),
        }
    }

    /// Records the cases as they come; says what was not read, if anything.
    async fn record(
        &mut self,
        format: SuiteFormat,
        mut lines: mpsc::Receiver<Report>,
    ) -> Result<Option<String>, String> {
        let mut parser = testing::parser(format);
        let mut reports = Vec::with_capacity(LINES);
        let mut unread = None;
        while lines.recv_many(&mut reports, LINES).await > 0 {
            let mut cases = Vec::new();
            for report in reports.drain(..) {
                match report {
                    Report::Log { source, line }
                        if testing::reads(format, source) && unread.is_none() =>
                    {
                        cases.extend(parser.line(&line));
                    }
                    Report::Dropped { lines, .. } => {
                        unread.get_or_insert(format!(
                            "its output is too long: {lines} lines were not read"
                        ));
                    }
                    _ => {}
                }
            }
            if !self.cases(cases).await? {
                unread.get_or_insert(too_many_cases());
            }
        }
        if !self.cases(parser.finish()).await? {
            unread.get_or_insert(too_many_cases());
        }
        Ok(unread)
    }

    /// Records cases as far as there is room for them; says whether there was.
    async fn cases(&mut self, mut cases: Vec<CaseResult>) -> Result<bool, String> {
        let counts = self.run.counts;
        let room = MOST_CASES - (counts.passed + counts.failed + counts.skipped) as usize;
        let fit = cases.len() <= room;
        cases.truncate(room);
        for cases in cases.chunks(CASES_AT_ONCE) {
            for case in cases {
                self.run.counts.add(case.status);
            }
            let bodies = cases.iter().cloned().map(EventBody::TestCase).collect();
            self.append(bodies, cases.to_vec()).await?;
            for case in cases {
                self.services.metrics.observe_case(case.status);
            }
        }
        Ok(fit)
    }

    async fn finish(&mut self, status: TestRunStatus, error: Option<String>) -> Result<(), String> {
        let now = clock::now();
        let duration_s = now.since_s(self.run.started_at);
        self.run.status = status;
        self.run.completed_at = Some(now);
        self.run.duration_s = Some(duration_s);
        self.run.error.clone_from(&error);
        let body = EventBody::TestFinished(TestRunFinished {
            test_run_id: self.run.id,
            status,
            counts: self.run.counts,
            duration_s,
            error,
        });
        self.append(vec![body], Vec::new()).await
    }

    async fn append(
        &mut self,
        bodies: Vec<EventBody>,
        cases: Vec<CaseResult>,
    ) -> Result<(), String> {
        let timestamp = clock::now();
        let first_seq = self.run.seq + 1;
        self.run.seq += bodies.len() as u64;
        let events = bodies
            .into_iter()
            .map(|body| PendingEvent {
                node_id: None,
                timestamp,
                body,
            })
            .collect();
        let run = Box::new(self.run.clone());
        let write = Append {
            stream: Stream::TestRun(self.run.id),
            workflow_id: None,
            execution_id: None,
            first_seq,
            events,
            fence: None,
            read_model: ReadModel::TestRun {
                run,
                new_cases: cases,
            },
        };
        let committed = append(self.services.journal.clone(), write).await;
        committed.map(drop).map_err(|error| error.to_string())
    }
}
