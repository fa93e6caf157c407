//! Runs a program as an attempt.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use limelight_protocol::event::LogSource;
use nix::{errno::Errno, sys::signal::Signal};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    CommandJob, Failure, Program, Report, StopSignal, Success, child::GroupLeader,
    family::reap_strays, lines::LineSplitter, output::Output, report_file::ReportFile,
};

/// What a program inherits from the server. All else the server knows, secrets above all, it does
/// not see.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "USER", "SHELL"];

/// How often the report file is looked at.
const REPORT_POLL: Duration = Duration::from_millis(250);

/// How long in all is waited for a pipe, once everybody has ended, until it is taken to be held open
/// by a process that could not be ended. What the program itself wrote is there at once.
const SILENCE: Duration = Duration::from_millis(250);

/// The most a pipe holds by default (`/proc/sys/fs/pipe-max-size`): what is read after the program's
/// end and beyond this was written by somebody else.
const PIPE_BYTES: usize = 1 << 20;

/// What is read of a pipe at once: all that one holds, as a rule.
const CHUNK_BYTES: usize = 64 << 10;

/// How long to wait before a program that could not be started for want of descriptors, processes or
/// memory is started again: first, and at most.
const SCARCE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Runs a program until it ends, or is ended by `stop`: asked with `SIGTERM`, killed after its
/// grace. What it leaves is killed in any case, also what left its process group; the future ends when
/// all of it is gone. While descriptors, processes or memory are short, it waits to be started.
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
    let mut output = Output::new(reports, limits, job.read_commands);
    let Started {
        mut leader,
        mut report_file,
    } = start(&job, &mut output, &mut stop).await?;
    let (stdout, stderr) = leader
        .take_stdout()
        .and_then(|stdout| Ok((stdout, leader.take_stderr()?)))
        .map_err(|error| spawn_failure(&job, &error))?;
    let mut stdout = Pipe::new(stdout, LogSource::Stdout, limits.max_line_bytes);
    let mut stderr = Pipe::new(stderr, LogSource::Stderr, limits.max_line_bytes);

    let (ended, mut has_ended) = oneshot::channel();
    let supervise = async {
        let reason = leader.until_ended(job.grace, &mut stop).await;
        // Whoever holds a pipe must go before the pipes are drained.
        let left = leader.end_the_rest().await;
        let _ = ended.send(());
        (reason, left)
    };
    let pump = async {
        let mut poll = interval(REPORT_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                read = stdout.read(), if stdout.is_open() => stdout.pass_on(read, &mut output).await,
                read = stderr.read(), if stderr.is_open() => stderr.pass_on(read, &mut output).await,
                _ = poll.tick() => {
                    read_report(&mut output, &mut report_file).await;
                    output.flush().await;
                    reap_strays();
                }
                _ = &mut has_ended => break,
            }
        }
        stdout.drain(&mut output).await;
        stderr.drain(&mut output).await;
        while report_file.has_more() {
            read_report(&mut output, &mut report_file).await;
        }
        if let Some(line) = report_file.finish() {
            output.report_line(line).await;
        }
        if let Some(limit) = report_file.exceeds() {
            output
                .note(format!("the report file was read up to {limit} bytes"))
                .await;
        }
    };
    let ((stopped, left), ()) = tokio::join!(supervise, pump);

    if left > 0 {
        let text = format!("{left} of its processes could not be ended");
        tracing::warn!(purpose = ?job.context.purpose, left, "processes of an attempt could not be ended");
        output.note(text).await;
    }
    output.close().await;
    let status = leader.reap();
    if let Some(reason) = stopped.map_err(|error| wait_failure(&error))? {
        return Err(reason.failure());
    }
    outcome(status.map_err(|error| wait_failure(&error))?)?;
    output.finish()
}

/// A program that runs, and the file it may report by.
struct Started {
    leader: GroupLeader,
    report_file: ReportFile,
}

/// Starts the program; waits while descriptors, processes or memory are short.
async fn start(
    job: &CommandJob,
    output: &mut Output,
    stop: &mut StopSignal,
) -> Result<Started, Failure> {
    let (mut pause, longest) = SCARCE_PAUSE;
    let mut told = false;
    loop {
        if let Some(reason) = stop.reason() {
            return Err(reason.failure());
        }
        let error = match try_start(job) {
            Ok(started) => return Ok(started),
            Err(StartError::Scarce(error)) => error,
            Err(StartError::Failed(failure)) => return Err(failure),
        };
        if !told {
            told = true;
            tracing::warn!(purpose = ?job.context.purpose, %error, "a program waits to be started");
            output.note(format!("waits to be started: {error}")).await;
        }
        tokio::select! {
            reason = stop.stopped() => return Err(reason.failure()),
            () = sleep(pause) => pause = (pause * 2).min(longest),
        }
    }
}

enum StartError {
    /// It may start when others have ended.
    Scarce(io::Error),
    Failed(Failure),
}

fn try_start(job: &CommandJob) -> Result<Started, StartError> {
    let limits = job.limits;
    let report_file = ReportFile::create(
        &job.context.server_mark,
        limits.max_outputs_bytes,
        limits.max_log_bytes,
    );
    let report_file = report_file.map_err(|error| {
        StartError::of(error, |error| {
            Failure::passing("spawn", format!("no report file: {error}"))
        })
    })?;
    let mut command = command(job, &report_file).map_err(StartError::Failed)?;
    let leader = GroupLeader::spawn(&mut command)
        .map_err(|error| StartError::of(error, |error| spawn_failure(job, error)))?;
    Ok(Started {
        leader,
        report_file,
    })
}

impl StartError {
    fn of(error: io::Error, failure: impl Fn(&io::Error) -> Failure) -> Self {
        let scarce = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE];
        let code = error.raw_os_error().map(Errno::from_raw);
        if code.is_some_and(|code| scarce.contains(&code)) {
            Self::Scarce(error)
        } else {
            Self::Failed(failure(&error))
        }
    }
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

async fn read_report(output: &mut Output, report_file: &mut ReportFile) {
    for line in report_file.read() {
        output.report_line(line).await;
    }
}

/// One of a program's output streams.
struct Pipe<R> {
    reader: Option<R>,
    source: LogSource,
    lines: LineSplitter,
    buffer: Vec<u8>,
    read_bytes: usize,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: Option<R>, source: LogSource, max_line_bytes: usize) -> Self {
        Self {
            reader,
            source,
            lines: LineSplitter::new(max_line_bytes),
            buffer: vec![0; CHUNK_BYTES],
            read_bytes: 0,
        }
    }

    const fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// How many bytes came next, for [`Pipe::pass_on`]; 0 at the stream's end. May be dropped without
    /// loss.
    async fn read(&mut self) -> usize {
        match &mut self.reader {
            Some(reader) => reader.read(&mut self.buffer).await.unwrap_or(0),
            None => 0,
        }
    }

    /// Gives what was read to `output`, which may take its time. Closes at the stream's end.
    async fn pass_on(&mut self, read: usize, output: &mut Output) {
        if read == 0 {
            self.reader = None;
        }
        self.read_bytes += read;
        let chunk = &self.buffer[..read];
        output.chunk(self.source, &mut self.lines, chunk).await;
    }

    /// Reads what is left when the program has ended.
    async fn drain(&mut self, output: &mut Output) {
        let most = self.read_bytes + PIPE_BYTES;
        let mut patience = SILENCE;
        while self.is_open() && self.read_bytes < most {
            let begun = Instant::now();
            let Ok(read) = timeout(patience, self.read()).await else {
                break;
            };
            patience = patience.saturating_sub(begun.elapsed());
            self.pass_on(read, output).await;
        }
        self.reader = None;
        output.last_line(self.source, &mut self.lines).await;
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
    // Somebody is still writing the program's file.
    if error.raw_os_error() == Some(Errno::ETXTBSY as i32) {
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
