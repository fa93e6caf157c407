use std::{collections::BTreeMap, fs, path::Path};

use limelight_protocol::{ExecutionId, NodeId};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::executor::{Context, OutputLimits, Purpose, StopReason, Stopper};

mod endings;

/// Longer than any test may take: what must end earlier is ended by what is tested.
const FOREVER: Duration = Duration::from_secs(600);

fn job(program: Program) -> CommandJob {
    CommandJob {
        program,
        env: BTreeMap::new(),
        working_dir: "/".into(),
        read_commands: true,
        context: Context {
            purpose: Purpose::Attempt {
                execution_id: ExecutionId(Uuid::nil()),
                node_id: NodeId::new("build").unwrap(),
                attempt: 2,
            },
            server_mark: "mark".into(),
        },
        limits: OutputLimits::default(),
        grace: FOREVER,
    }
}

fn shell(line: &str) -> CommandJob {
    job(Program::Shell(line.into()))
}

fn args(args: &[&str]) -> CommandJob {
    job(Program::Args(
        args.iter().map(|&arg| arg.to_owned()).collect(),
    ))
}

const NO_LINES: [&str; 0] = [];

/// What came of an attempt that nobody stopped.
struct Done {
    result: Result<Success, Failure>,
    reports: Vec<Report>,
}

impl Done {
    fn lines(&self, wanted: LogSource) -> Vec<&str> {
        let line = |report| match report {
            &Report::Log { source, ref line } if source == wanted => Some(line.as_str()),
            _ => None,
        };
        self.reports.iter().filter_map(line).collect()
    }

    fn failure(&self) -> (&str, bool) {
        let failure = self.result.as_ref().unwrap_err();
        (&failure.error.code, failure.retryable)
    }
}

async fn done(job: CommandJob) -> Done {
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        let mut reports = Vec::new();
        while let Some(report) = receiver.recv().await {
            reports.push(report);
        }
        reports
    };
    let (result, reports) = tokio::join!(run_command(job, sender, stop), listen);
    Done { result, reports }
}

/// Waits for a line of standard output.
async fn heard(reports: &mut mpsc::Receiver<Report>) -> String {
    match reports.recv().await {
        Some(Report::Log {
            source: LogSource::Stdout,
            line,
        }) => line,
        other => panic!("wanted a line, got {other:?}"),
    }
}

/// Waits until nobody has the named pipe open for writing any more.
async fn abandoned(pipe: tokio::net::unix::pipe::Receiver) {
    let mut pipe = pipe;
    assert_eq!(pipe.read(&mut [0; 1]).await.unwrap(), 0);
}

/// A named pipe that processes of the test hold open, so that their end can be waited for.
fn lifeline(dir: &TempDir) -> tokio::net::unix::pipe::Receiver {
    let path = dir.path().join("lifeline");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    tokio::net::unix::pipe::OpenOptions::new()
        .open_receiver(path)
        .unwrap()
}

#[tokio::test]
async fn output_comes_line_by_line_with_its_source() {
    let done = done(shell("echo one; echo two >&2; printf 'no end'")).await;
    assert_eq!(done.result, Ok(Success::default()));
    assert_eq!(done.lines(LogSource::Stdout), ["one", "no end"]);
    assert_eq!(done.lines(LogSource::Stderr), ["two"]);
}

#[tokio::test]
async fn arguments_reach_the_program_without_a_shell() {
    let done = done(args(&["printf", "%s\n", "$HOME; echo *", "two words"])).await;
    assert_eq!(
        done.lines(LogSource::Stdout),
        ["$HOME; echo *", "two words"]
    );
}

#[tokio::test]
async fn the_program_sees_its_own_variables_and_none_of_the_servers() {
    let mut job = args(&["env"]);
    job.env = BTreeMap::from([
        ("GREETING".into(), "hello".into()),
        ("LIMELIGHT_ATTEMPT".into(), "forged".into()),
    ]);
    let done = done(job).await;
    let lines = done.lines(LogSource::Stdout);
    for line in [
        "GREETING=hello",
        "LIMELIGHT_ATTEMPT=2",
        "LIMELIGHT_EXECUTION_ID=00000000-0000-0000-0000-000000000000",
        "LIMELIGHT_IDEMPOTENCY_KEY=00000000-0000-0000-0000-000000000000/build",
        "LIMELIGHT_NODE_ID=build",
        "LIMELIGHT_SERVER_MARK=mark",
    ] {
        assert!(lines.contains(&line), "{line} is missing in {lines:?}");
    }
    let known = |line: &&&str| {
        let name = line.split('=').next().unwrap();
        !(INHERITED.contains(&name) || name.starts_with("LIMELIGHT_") || name == "GREETING")
    };
    assert_eq!(
        lines.iter().filter(known).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
}

#[tokio::test]
async fn commands_on_standard_output_are_obeyed_and_not_logged() {
    let done = done(shell(
        r#"echo '::progress 40 compiling'; echo '::output {"a": 1}'; echo '::output {"b": [true]}'
        echo '::quality 0.93'; echo '::artifact out/app'; echo '::progress 400'; echo '::group::x'"#,
    ))
    .await;
    let success = done.result.as_ref().unwrap();
    assert_eq!(
        success.outputs,
        json!({"a": 1, "b": [true]}).as_object().cloned().unwrap()
    );
    assert_eq!(
        (success.quality, success.artifacts.as_slice()),
        (Some(0.93), &["out/app".to_owned()][..])
    );
    let progress = Report::Progress {
        progress: 40.0,
        message: Some("compiling".into()),
    };
    assert_eq!(done.reports[0], progress);
    assert_eq!(
        done.lines(LogSource::Stdout),
        ["::progress 400", "::group::x"]
    );
    assert_eq!(
        done.lines(LogSource::System),
        ["ignored: progress goes from 0 to 100, not 400"]
    );
}

#[tokio::test]
async fn commands_are_ordinary_output_where_they_are_not_trusted() {
    let mut job = shell("echo '::quality 1'");
    job.read_commands = false;
    let done = done(job).await;
    assert_eq!(done.result, Ok(Success::default()));
    assert_eq!(done.lines(LogSource::Stdout), ["::quality 1"]);
}

#[tokio::test]
async fn the_report_file_is_read_while_the_program_runs() {
    let dir = TempDir::new().unwrap();
    let gate = dir.path().join("gate");
    let mut job = shell(
        r#"echo '{"progress": 10}' >> "$LIMELIGHT_REPORT"; until [ -e "$GATE" ]; do sleep 0.01; done
        printf '{"output": {"a": 1}}\nnonsense\n{"quality": 0.5}' >> "$LIMELIGHT_REPORT""#,
    );
    job.env.insert("GATE".into(), gate.display().to_string());
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        let first = receiver.recv().await.unwrap();
        assert_eq!(
            first,
            Report::Progress {
                progress: 10.0,
                message: None
            }
        );
        fs::write(&gate, "").unwrap();
        receiver.recv().await.unwrap()
    };
    let (result, complaint) = tokio::join!(run_command(job, sender, stop), listen);
    assert!(
        matches!(
            complaint,
            Report::Log {
                source: LogSource::System,
                ..
            }
        ),
        "{complaint:?}"
    );
    let success = result.unwrap();
    assert_eq!(
        (success.outputs["a"].as_i64(), success.quality),
        (Some(1), Some(0.5))
    );
}

#[tokio::test]
async fn how_a_program_ends_tells_whether_the_attempt_failed() {
    let exit = done(shell("exit 3")).await;
    assert_eq!(exit.failure(), ("exit_code", true));
    assert_eq!(exit.result.unwrap_err().error.message, "exited with code 3");
    let killed = done(shell("kill -KILL $$")).await;
    assert_eq!(killed.failure(), ("signal", true));
    assert_eq!(
        killed.result.unwrap_err().error.message,
        "ended by SIGKILL (9)"
    );
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_not_tried_again() {
    assert_eq!(
        done(args(&["/no/such/program"])).await.failure(),
        ("spawn", false)
    );
    assert_eq!(
        done(args(&["/etc/passwd"])).await.failure(),
        ("spawn", false)
    );
    assert_eq!(done(args(&[])).await.failure(), ("spawn", false));
    assert_eq!(
        done(args(&["echo", "a\0b"])).await.failure(),
        ("spawn", false)
    );
    let mut elsewhere = args(&["true"]);
    elsewhere.working_dir = "/no/such/folder".into();
    let elsewhere = done(elsewhere).await;
    assert_eq!(elsewhere.failure(), ("spawn", false));
    let message = elsewhere.result.unwrap_err().error.message;
    assert_eq!(message, "the working folder /no/such/folder is not there");
}

#[tokio::test]
async fn output_beyond_the_limit_is_dropped_and_counted_and_the_program_ends_well() {
    let mut job = shell("yes 'a line of output' | head -n 200000; echo '::output {\"ok\": true}'");
    job.limits.max_log_bytes = 1000;
    let done = done(job).await;
    let [full, dropped] = done.lines(LogSource::System)[..] else {
        panic!("{:?}", done.lines(LogSource::System))
    };
    assert_eq!(
        full,
        "the log is full: an attempt's holds 100000 lines and 1000 bytes"
    );
    assert_eq!(
        dropped,
        "dropped after the log was full: 199942 lines, 3399014 bytes"
    );
    let kept: usize = done
        .lines(LogSource::Stdout)
        .iter()
        .map(|line| line.len() + 1)
        .sum();
    assert!((900..=1000).contains(&kept), "{kept} bytes were kept");
    assert_eq!(done.result.unwrap().outputs["ok"], json!(true));
}

#[tokio::test]
async fn all_of_a_large_output_arrives() {
    let done = done(shell("seq 1 100000")).await;
    assert_eq!(done.lines(LogSource::System), NO_LINES);
    let lines = done.lines(LogSource::Stdout);
    assert_eq!(
        (lines.len(), lines[0], lines[99_999]),
        (100_000, "1", "100000")
    );
}

#[tokio::test]
async fn binary_output_does_no_harm() {
    let done = done(shell(
        "head -c 300000 /dev/urandom; printf '\\n\\000\\377end\\n' >&2",
    ))
    .await;
    assert_eq!(done.result, Ok(Success::default()));
    assert_eq!(done.lines(LogSource::Stderr), ["", "\u{fffd}\u{fffd}end"]);
    for line in done.lines(LogSource::Stdout) {
        assert!(!line.contains('\0'), "a NUL came through");
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_cut_with_a_mark() {
    let mut job = shell("printf '%050d\\n' 7; echo after");
    job.limits.max_line_bytes = 10;
    let done = done(job).await;
    let expected = ["0000000000 … [cut at 10 bytes]", "after"];
    assert_eq!(done.lines(LogSource::Stdout), expected);
}

#[tokio::test]
async fn outputs_beyond_the_limit_fail_the_attempt() {
    let mut job = shell(r#"echo '::output {"a": "0123456789"}'"#);
    job.limits.max_outputs_bytes = 10;
    assert_eq!(done(job).await.failure(), ("outputs_too_large", false));
}

#[tokio::test]
async fn a_program_that_is_asked_to_stop_may_clean_up() {
    // The shell may remark on standard error that its sleep was terminated.
    let line = "exec 2>/dev/null; trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let (stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        assert_eq!(heard(&mut receiver).await, "ready");
        stopper.stop(StopReason::Cancelled);
        assert_eq!(heard(&mut receiver).await, "cleaned");
    };
    let (result, ()) = tokio::join!(run_command(shell(line), sender, stop), listen);
    assert_eq!(result.unwrap_err(), StopReason::Cancelled.failure());
}

#[tokio::test]
async fn a_group_that_ignores_the_request_to_stop_is_killed_to_the_last_grandchild() {
    let dir = TempDir::new().unwrap();
    let lifeline = lifeline(&dir);
    let mut job = shell(
        "trap '' TERM; exec 3> lifeline
        sh -c 'trap \"\" TERM; while :; do sleep 600; done' & echo ready; while :; do sleep 600; done",
    );
    job.working_dir = dir.path().into();
    job.grace = Duration::from_millis(50);
    let (stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    let listen = async {
        assert_eq!(heard(&mut receiver).await, "ready");
        stopper.stop(StopReason::TimedOut);
    };
    let (result, ()) = tokio::join!(run_command(job, sender, stop), listen);
    assert_eq!(result.unwrap_err(), StopReason::TimedOut.failure());
    abandoned(lifeline).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_in_its_group_is_killed() {
    let dir = TempDir::new().unwrap();
    let lifeline = lifeline(&dir);
    let mut job = shell("exec 3> lifeline; sleep 600 & echo done");
    job.working_dir = dir.path().into();
    let done = done(job).await;
    assert_eq!(done.result, Ok(Success::default()));
    assert_eq!(done.lines(LogSource::Stdout), ["done"]);
    abandoned(lifeline).await;
}

#[tokio::test]
async fn a_process_that_left_the_group_and_holds_the_pipe_does_not_hold_the_attempt() {
    let dir = TempDir::new().unwrap();
    let mut job = shell(
        "setsid sh -c 'touch left; while :; do sleep 600; done' &
        until [ -e left ]; do sleep 0.01; done; echo done",
    );
    job.working_dir = dir.path().into();
    let done = done(job).await;
    assert_eq!(done.result, Ok(Success::default()));
    assert_eq!(done.lines(LogSource::Stdout), ["done"]);
}

#[tokio::test]
async fn dropping_the_attempt_kills_its_group() {
    let dir = TempDir::new().unwrap();
    let lifeline = lifeline(&dir);
    let mut job = shell("trap '' TERM; exec 3> lifeline; sleep 600 & echo ready; wait");
    job.working_dir = dir.path().into();
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(4);
    tokio::select! {
        result = run_command(job, sender, stop) => panic!("it ended by itself: {result:?}"),
        line = heard(&mut receiver) => assert_eq!(line, "ready"),
    }
    abandoned(lifeline).await;
}

#[tokio::test]
async fn a_program_waits_while_nobody_takes_its_output() {
    let dir = TempDir::new().unwrap();
    let mut job = shell("seq 1 50000; touch finished");
    job.working_dir = dir.path().into();
    let finished = dir.path().join("finished");
    let (_stopper, stop) = Stopper::new();
    let (sender, mut receiver) = mpsc::channel(1);
    let attempt = tokio::spawn(run_command(job, sender, stop));
    for expected in 1..=50_000 {
        // 300 kB do not fit into the pipe and the channel.
        assert!(expected > 1 || !finished.exists(), "the program ran ahead");
        assert_eq!(heard(&mut receiver).await, expected.to_string());
    }
    assert!(attempt.await.unwrap().is_ok());
    assert!(finished.exists());
}

#[tokio::test]
async fn an_attempt_goes_on_when_nobody_listens() {
    let (_stopper, stop) = Stopper::new();
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let job = shell("seq 1 50000; echo '::quality 1'");
    let success = run_command(job, sender, stop).await.unwrap();
    assert_eq!(success.quality, Some(1.0));
}

#[tokio::test]
async fn no_report_file_is_left() {
    let done = done(shell(
        "echo \"$LIMELIGHT_REPORT\"; test -w \"$LIMELIGHT_REPORT\"",
    ))
    .await;
    assert_eq!(done.result, Ok(Success::default()));
    let path = done.lines(LogSource::Stdout)[0];
    assert!(path.starts_with('/') && !Path::new(path).exists());
}

/// 100 MB of what costs a line as much as it stores: nothing.
const FLOOD: &str = "head -c 100000000 /dev/zero | tr '\\0' '\\n'";

#[tokio::test]
async fn a_flood_is_drained_beyond_the_limit_and_commands_in_it_are_obeyed() {
    let line = format!("{FLOOD}; echo '::output {{\"ok\": true}}'; {FLOOD}; echo '::quality 1'");
    let done = done(shell(&line)).await;
    assert_eq!(done.lines(LogSource::Stdout).len(), 100_000);
    let [full, dropped] = done.lines(LogSource::System)[..] else {
        panic!("{:?}", done.lines(LogSource::System))
    };
    assert_eq!(
        full,
        "the log is full: an attempt's holds 100000 lines and 16777216 bytes"
    );
    assert_eq!(
        dropped,
        "dropped after the log was full: 199900000 lines, 199900000 bytes"
    );
    let success = done.result.unwrap();
    assert_eq!(
        (&success.outputs["ok"], success.quality),
        (&json!(true), Some(1.0))
    );
}

#[tokio::test]
async fn one_endless_line_is_cut_and_holds_nothing() {
    let done = done(shell(
        "head -c 50000000 /dev/zero | tr '\\0' x; echo; echo after",
    ))
    .await;
    let [cut, after] = done.lines(LogSource::Stdout)[..] else {
        panic!("other lines")
    };
    assert!(cut.len() < 17_000 && cut.ends_with("[cut at 16384 bytes]"));
    assert_eq!(after, "after");
}

#[tokio::test]
async fn a_flood_of_commands_is_obeyed_without_a_report_each() {
    let line = "yes '::progress 50 half' | head -n 200000; echo '::progress 60'";
    let done = done(shell(line)).await;
    let last = Report::Progress {
        progress: 60.0,
        message: None,
    };
    assert_eq!(done.reports.last(), Some(&last));
    assert!(done.reports.len() < 20_000, "{}", done.reports.len());
    assert_eq!(done.lines(LogSource::Stdout), NO_LINES);
}

#[tokio::test]
async fn a_report_file_that_is_something_else_by_now_does_no_harm() {
    for line in [
        "rm \"$LIMELIGHT_REPORT\"",
        "rm \"$LIMELIGHT_REPORT\"; mkfifo \"$LIMELIGHT_REPORT\"",
        "rm \"$LIMELIGHT_REPORT\"; ln -s /dev/zero \"$LIMELIGHT_REPORT\"",
        "rm \"$LIMELIGHT_REPORT\"; mkdir \"$LIMELIGHT_REPORT\"; rmdir \"$LIMELIGHT_REPORT\"",
        "chmod 0 \"$LIMELIGHT_REPORT\"",
    ] {
        let done = done(shell(line)).await;
        assert_eq!(done.result, Ok(Success::default()), "{line}");
    }
}

#[tokio::test]
async fn a_report_file_beyond_the_limit_is_read_to_there() {
    let done = done(shell(
        "echo '{\"quality\": 1}' >> \"$LIMELIGHT_REPORT\"; truncate -s 1T \"$LIMELIGHT_REPORT\"",
    ))
    .await;
    let notes = done.lines(LogSource::System);
    assert_eq!(
        notes.last(),
        Some(&"the report file was read up to 16777216 bytes")
    );
    assert_eq!(done.result.unwrap().quality, Some(1.0));
}

#[tokio::test]
async fn a_fault_in_a_command_is_quoted_in_part() {
    let line = "printf '::quality '; head -c 10000 /dev/zero | tr '\\0' '\\1'; echo";
    let done = done(shell(line)).await;
    let [fault] = done.lines(LogSource::System)[..] else {
        panic!("other remarks")
    };
    assert!(fault.len() < 600, "{} bytes", fault.len());
}
