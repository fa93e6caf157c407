//! The command line against a running server.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use limelight_protocol::{ExecutionStatus, ExecutionSummary, rest::Page};
use limelight_tests::{
    Server, WsClient,
    server::{clean_command, repository, stdout_of},
};

/// `limelight run …` against `server`, as a command that ends by itself.
fn run(server: &Server, args: &[&str]) -> Result<Command> {
    let mut command = server.command("run")?;
    command
        .args(["--server", &server.url()])
        .args(args)
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs it beside the test, which goes on meanwhile.
async fn output(mut command: Command) -> Result<Output> {
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

fn file(server: &Server, name: &str, yaml: &str) -> Result<String> {
    let path = server.folder().join(name);
    fs::write(&path, yaml)?;
    Ok(path.display().to_string())
}

#[tokio::test]
async fn a_followed_run_shows_its_output_and_exits_as_it_ended() -> Result<()> {
    let server = Server::sqlite().await?;
    let hello = repository().join("examples/hello.yaml");
    let hello = hello.to_str().context("a path in UTF-8")?;
    let done = output(run(&server, &[hello, "--param", "who=moon", "--follow"])?).await?;
    let shown = stdout_of(&done)? + &String::from_utf8_lossy(&done.stderr);
    ensure!(shown.contains("hello moon"), "{shown}");

    let bad = file(
        &server,
        "bad.yaml",
        "name: bad\nnodes:\n  a: {kind: command, run: \"exit 3\"}\n",
    )?;
    let done = output(run(&server, &[&bad, "--follow"])?).await?;
    ensure!(done.status.code().is_some_and(|code| code != 0), "{done:?}");

    // By its name, now that it is there; and without --follow it only starts.
    let done = output(run(&server, &["hello"])?).await?;
    stdout_of(&done)?;
    let list: Page<ExecutionSummary> = server.api()?.read("/api/executions").await?;
    ensure!(list.items.len() == 3, "{list:?}");
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_called_off_exits_in_its_own_way() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let mut ws = WsClient::connect(&server).await?;
    ws.subscribe("all", "executions", None).await?;
    let ask = file(
        &server,
        "ask.yaml",
        "name: ask\nnodes:\n  ask: {kind: approval}\n",
    )?;
    let following = tokio::spawn(output(run(&server, &[&ask, "--follow"])?));
    let (_, event) = ws.event().await?;
    let id = event.execution_id.context("an execution")?;
    let cancelled = api.steer(id, "cancel").await?;
    ensure!(cancelled.status == ExecutionStatus::Cancelled);
    let cancelled = following.await??.status.code().context("an exit code")?;

    let bad = file(
        &server,
        "bad.yaml",
        "name: bad\nnodes:\n  a: {kind: command, run: \"exit 3\"}\n",
    )?;
    let failed = output(run(&server, &[&bad, "--follow"])?).await?;
    let failed = failed.status.code().context("an exit code")?;
    ensure!(
        cancelled != 0 && failed != 0 && cancelled != failed,
        "{cancelled} and {failed}"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_started_is_told_with_every_fault() -> Result<()> {
    let server = Server::sqlite().await?;
    let text = "name: bad\nnodes:\n  a: {kind: noop, needs: [b]}\n  c: {kind: comand}\n";
    let bad = file(&server, "bad.yaml", text)?;
    for (args, words) in [
        (vec![bad.as_str()], vec!["nodes.a.needs[0]", "nodes.c.kind"]),
        (vec!["nobody"], vec!["nobody"]),
    ] {
        let done = output(run(&server, &args)?).await?;
        let stderr = String::from_utf8(done.stderr)?;
        ensure!(!done.status.success(), "{args:?} succeeded");
        ensure!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
    }
    Ok(())
}

#[test]
fn a_server_that_is_not_there_is_told_in_a_line() -> Result<()> {
    let done = clean_command()?
        .args(["run", "demo", "--server", "http://127.0.0.1:1"])
        .output()?;
    let stderr = String::from_utf8(done.stderr)?;
    ensure!(
        !done.status.success() && stderr.contains("127.0.0.1:1"),
        "{stderr}"
    );
    ensure!(stderr.trim_end().lines().count() == 1, "{stderr}");
    Ok(())
}

#[test]
fn every_benchmark_runs_and_says_what_it_measured() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for kind in ["fanout", "chain", "journal"] {
        let done = clean_command()?
            .args([
                "bench",
                kind,
                "--count",
                "20",
                "--repeat",
                "1",
                "--json",
                "--data-dir",
            ])
            .arg(folder.path())
            .output()?;
        let printed = stdout_of(&done)?;
        ensure!(!printed.is_empty(), "{kind} says nothing");
        for line in printed.lines() {
            let measured: serde_json::Value =
                serde_json::from_str(line).context(printed.clone())?;
            let positive =
                |field: &str| measured[field].as_f64().is_some_and(|number| number > 0.0);
            ensure!(positive("median_s") && positive("count"), "{measured}");
            ensure!(
                measured["on"]
                    .as_str()
                    .is_some_and(|on| on.contains("sqlite")),
                "{measured}"
            );
        }
    }
    Ok(())
}
