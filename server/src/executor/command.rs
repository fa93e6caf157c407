//! Runs a program as an attempt.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use limelight_protocol::event::LogSource;
use nix::{errno::Errno, sys::signal::Signal};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    CommandJob, Failure, Program, Report, StopReason, StopSignal, Success,
    child::GroupLeader,
    lines::{Line, LineSplitter},
    output::Output,
    report_file::ReportFile,
};

/// What a program inherits from the server. All else the server knows, secrets above all, it does
/// not see.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "USER", "SHELL"];

/// How often the report file is looked at.
const REPORT_POLL: Duration = Duration::from_millis(250);

/// How long a pipe may stay silent, once the program has ended, until it is taken to be held open
/// by a process that left the group. What the program itself wrote is there at once.
const SILENCE: Duration = Duration::from_millis(250);

/// The most a pipe holds by default (`/proc/sys/fs/pipe-max-size`): what is read after the program's
/// end and beyond this was written by somebody else.
const PIPE_BYTES: usize = 1 << 20;

/// Runs a program until it ends, or is ended by `stop`: asked with `SIGTERM`, killed after its
/// grace. What it leaves of its process group is killed in any case.
///
/// # Errors
/// `exit_code`, `signal` and the stop reasons tell how it ended, `spawn` that it could not be
/// started, `outputs_too_large` that it gave more than the limit.
pub async fn run_command(
    job: CommandJob,
    reports: mpsc::Sender<Report>,
    mut stop: StopSignal,
) -> Result<Success, Failure> {
    let limits = job.limits;
    let mark = &job.context.server_mark;
    let mut report_file = ReportFile::create(mark, limits.max_outputs_bytes, limits.max_log_bytes)
        .map_err(|error| Failure::passing("spawn", format!("no report file: {error}")))?;
    let mut command = command(&job, &report_file)?;
    let mut leader =
        GroupLeader::spawn(&mut command).map_err(|error| spawn_failure(&job, &error))?;
    let mut stdout = Pipe::new(leader.take_stdout(), limits.max_line_bytes);
    let mut stderr = Pipe::new(leader.take_stderr(), limits.max_line_bytes);
    let mut output = Output::new(reports, limits, job.read_commands);

    let (ended, mut has_ended) = oneshot::channel();
    let supervise = async {
        let reason = until_ended(&leader, job.grace, &mut stop).await;
        // Whoever of the group holds a pipe must go before the pipes are drained.
        leader.signal(Signal::SIGKILL);
        let _ = ended.send(());
        reason
    };
    let pump = async {
        let mut poll = interval(REPORT_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                lines = stdout.read(), if stdout.is_open() => {
                    log(&mut output, LogSource::Stdout, lines).await;
                }
                lines = stderr.read(), if stderr.is_open() => {
                    log(&mut output, LogSource::Stderr, lines).await;
                }
                _ = poll.tick() => read_report(&mut output, &mut report_file).await,
                _ = &mut has_ended => break,
            }
        }
        stdout.drain(&mut output, LogSource::Stdout).await;
        stderr.drain(&mut output, LogSource::Stderr).await;
        while report_file.has_more() {
            read_report(&mut output, &mut report_file).await;
        }
        if let Some(line) = report_file.finish() {
            output.report_line(line).await;
        }
    };
    let (stopped, ()) = tokio::join!(supervise, pump);

    let status = leader.reap().await;
    if let Some(reason) = stopped.map_err(|error| wait_failure(&error))? {
        return Err(reason.failure());
    }
    outcome(status.map_err(|error| wait_failure(&error))?)?;
    output.finish()
}

fn command(job: &CommandJob, report_file: &ReportFile) -> Result<Command, Failure> {
    let mut command = match &job.program {
        Program::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            shell
        }
        Program::Args(args) => {
            let (program, args) = args
                .split_first()
                .ok_or_else(|| Failure::lasting("spawn", "there is no program to run"))?;
            let mut command = Command::new(program);
            command.args(args);
            command
        }
    };
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    command
        .env_clear()
        .envs(inherited)
        .envs(&job.env)
        .envs(job.context.variables())
        .env("LIMELIGHT_REPORT", report_file.path())
        .current_dir(&job.working_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Waits for the end of the leader and brings it about when told to; says why it was told to.
async fn until_ended(
    leader: &GroupLeader,
    grace: Duration,
    stop: &mut StopSignal,
) -> io::Result<Option<StopReason>> {
    let mut ended = std::pin::pin!(leader.ended());
    let reason = tokio::select! {
        biased;
        result = &mut ended => return result.map(|()| None),
        reason = stop.stopped() => reason,
    };
    leader.signal(Signal::SIGTERM);
    match timeout(grace, &mut ended).await {
        Ok(result) => result?,
        Err(_) => {
            leader.signal(Signal::SIGKILL);
            ended.await?;
        }
    }
    Ok(Some(reason))
}

async fn log(output: &mut Output, source: LogSource, lines: Vec<Line>) {
    for line in lines {
        output.line(source, line).await;
    }
}

async fn read_report(output: &mut Output, report_file: &mut ReportFile) {
    for line in report_file.read() {
        output.report_line(line).await;
    }
}

/// One of a program's output streams.
struct Pipe<R> {
    reader: Option<R>,
    lines: LineSplitter,
    buffer: Vec<u8>,
    read_bytes: usize,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: Option<R>, max_line_bytes: usize) -> Self {
        let lines = LineSplitter::new(max_line_bytes);
        Self {
            reader,
            lines,
            buffer: vec![0; 16 << 10],
            read_bytes: 0,
        }
    }

    const fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// The lines that came next; may be dropped without loss. Closes at the stream's end.
    async fn read(&mut self) -> Vec<Line> {
        let Some(reader) = &mut self.reader else {
            return Vec::new();
        };
        match reader.read(&mut self.buffer).await {
            Ok(0) | Err(_) => {
                self.reader = None;
                Vec::new()
            }
            Ok(read) => {
                self.read_bytes += read;
                self.lines.push(&self.buffer[..read])
            }
        }
    }

    /// Reads what is left when the program has ended.
    async fn drain(&mut self, output: &mut Output, source: LogSource) {
        let most = self.read_bytes + PIPE_BYTES;
        while self.is_open() && self.read_bytes < most {
            let Ok(lines) = timeout(SILENCE, self.read()).await else {
                break;
            };
            log(output, source, lines).await;
        }
        self.reader = None;
        log(output, source, self.lines.finish().into_iter().collect()).await;
    }
}

fn spawn_failure(job: &CommandJob, error: &io::Error) -> Failure {
    // The line of a shell may hold secrets, a program's name does not.
    let program = match &job.program {
        Program::Shell(_) => "/bin/sh",
        Program::Args(args) => args.first().map_or("", String::as_str),
    };
    let message = if job.working_dir.is_dir() {
        format!("cannot start {program}: {error}")
    } else {
        format!(
            "the working folder {} is not there",
            job.working_dir.display()
        )
    };
    let scarce = [
        Errno::EAGAIN,
        Errno::ENOMEM,
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ETXTBSY,
    ];
    if error
        .raw_os_error()
        .is_some_and(|code| scarce.contains(&Errno::from_raw(code)))
    {
        Failure::passing("spawn", message)
    } else {
        Failure::lasting("spawn", message)
    }
}

fn wait_failure(error: &io::Error) -> Failure {
    Failure::passing(
        "wait",
        format!("cannot tell how the program ended: {error}"),
    )
}

fn outcome(status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(match (status.code(), status.signal()) {
        (Some(code), _) => Failure::passing("exit_code", format!("exited with code {code}")),
        (None, Some(number)) => {
            let name = Signal::try_from(number).map_or("an unknown signal", Signal::as_str);
            Failure::passing("signal", format!("ended by {name} ({number})"))
        }
        (None, None) => Failure::passing("signal", "ended in an unknown way"),
    })
}

#[cfg(test)]
mod tests;
