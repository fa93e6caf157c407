//! What commands may do to the server: flood it, leave programs behind, find it short of everything.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use limelight_protocol::{Event, EventBody, EventType, ExecutionId, ExecutionStatus};
use limelight_tests::{Api, Gate, Server, WsClient, eventually, process};

/// The last lines of a node's log.
async fn last_lines(api: &Api, id: ExecutionId, node: &str, after: u64) -> Result<Vec<String>> {
    let path = format!("/api/executions/{id}/logs/{node}?limit=500&after={after}");
    let page: serde_json::Value = api.read(&path).await?;
    let events: Vec<Event> = serde_json::from_value(page["items"].clone())?;
    let text = |event: &Event| match event.body()? {
        EventBody::NodeLog(line) => Ok(line.line),
        other => anyhow::bail!("{other:?} in a log"),
    };
    events.iter().map(text).collect()
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_in(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_flood_of_output_fills_no_disk_and_holds_no_node() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = "\
name: flood
nodes:
  yes: {kind: command, run: 'yes | head -c 200000000; echo; echo \"::output {\\\"ok\\\": true}\"'}
  empty: {kind: command, run: \"head -c 100000000 /dev/zero | tr '\\\\0' '\\\\n'\"}
";
    let id = api.launch(yaml).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.until_end().await?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    let outputs = execution.node_states.iter().map(|node| &node.outputs);
    ensure!(
        outputs
            .into_iter()
            .any(|outputs| outputs.contains_key("ok"))
    );
    for (node, lines) in [("yes", "99900001"), ("empty", "99900000")] {
        let last = last_lines(&api, id, node, 99_999).await?;
        let last: Vec<&str> = last.iter().map(String::as_str).collect();
        let [_, full, dropped] = last[..] else {
            anyhow::bail!("{node} ends with {last:?}")
        };
        ensure!(full.starts_with("the log is full"), "{full}");
        let expected = format!("dropped after the log was full: {lines} lines, ");
        ensure!(dropped.starts_with(&expected), "{dropped}");
    }
    let bytes = bytes_in(&server.data_dir())?;
    ensure!(bytes < 20_000_000, "the data folder has {bytes} bytes");
    Ok(())
}

#[tokio::test]
async fn a_program_that_leaves_its_session_ends_with_its_node() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = "\
name: stray
nodes:
  run: {kind: command, run: \"(setsid sleep 600 > /dev/null 2>&1 & echo ::progress 1 $!)\"}
";
    let id = api.launch(yaml).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    let pid = ws.pid_of("run").await?;
    ws.until_node(EventType::NodeCompleted, "run").await?;
    ensure!(!process::is_alive(pid), "{pid} outlived its node");
    Ok(())
}

/// Sets how many descriptors a process may have.
fn limit_descriptors(pid: u32, limit: u32) -> Result<()> {
    let status = Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--nofile={limit}:"))
        .status()
        .context("this test needs prlimit, of Debian's package `util-linux`")?;
    ensure!(status.success(), "prlimit failed");
    Ok(())
}

#[tokio::test]
async fn a_program_waits_for_descriptors_to_be_started() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let yaml = format!(
        "name: scarce\nnodes:\n  first: {{kind: command, run: 'echo ::progress 1 $$; {}'}}\n  \
         second: {{kind: command, retry: never, needs: [first], run: 'echo hello'}}\n",
        gate.wait()
    );
    let id = api.launch(&yaml).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.pid_of("first").await?;
    limit_descriptors(server.pid()?, 3)?;
    gate.open()?;
    eventually("a program that waits", || async {
        let told = server.stderr().contains("a program waits to be started");
        Ok(told.then_some(()))
    })
    .await?;
    limit_descriptors(server.pid()?, 1024)?;
    ws.until_end().await?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    let attempts = execution.node_states.iter().map(|node| node.attempt_count);
    ensure!(attempts.collect::<Vec<_>>() == [1, 1], "{execution:?}");
    Ok(())
}
