//! The life of an attempt as processes show it: its slot, its end, and the attempt after it.

use std::fs;

use anyhow::{Context, Result, ensure};
use limelight_protocol::{EventType, ExecutionStatus};
use limelight_tests::{Database, Gate, Server, WsClient, eventually, process};

async fn follow(server: &Server, id: limelight_protocol::ExecutionId) -> Result<WsClient> {
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    Ok(ws)
}

#[tokio::test]
async fn an_execution_that_is_paused_while_it_waits_for_a_slot_keeps_none() -> Result<()> {
    let server = Server::on(Database::sqlite())
        .arg("--command-slots=1")
        .start()
        .await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let holder = api
        .launch(&format!(
            "name: holder\nnodes:\n  run: {{kind: command, run: '{}'}}\n",
            gate.wait()
        ))
        .await?;
    let mut ws = follow(&server, holder).await?;
    ws.until_node(EventType::NodeStarted, "run").await?;

    let simple =
        |name: &str| format!("name: {name}\nnodes:\n  run: {{kind: command, run: 'true'}}\n");
    let paused = api.launch(&simple("paused")).await?;
    let mut paused_ws = follow(&server, paused).await?;
    paused_ws.until_node(EventType::NodeQueued, "run").await?;
    api.steer(paused, "pause").await?;

    gate.open()?;
    ws.until_end().await?;
    let other = api.launch(&simple("other")).await?;
    follow(&server, other).await?.until_end().await?;
    ensure!(api.execution(other).await?.status == ExecutionStatus::Completed);

    api.steer(paused, "resume").await?;
    paused_ws.until_end().await?;
    ensure!(api.execution(paused).await?.status == ExecutionStatus::Completed);
    Ok(())
}

#[tokio::test]
async fn the_next_attempt_begins_when_the_one_before_has_ended_and_not_earlier() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let pid = server.folder().join("pid");
    let pid = pid.display();
    // The first attempt does not listen to SIGTERM, so it lives until its grace is over.
    let yaml = format!(
        "name: overlap
nodes:
  run:
    kind: command
    timeout_s: 0.3
    retry: {{max_attempts: 2, backoff_s: 0}}
    run: |
      if [ $LIMELIGHT_ATTEMPT = 1 ]; then
        trap '' TERM
        echo $$ > {pid}
        while :; do sleep 0.05; done
      fi
      if kill -0 $(cat {pid}); then exit 1; fi
"
    );
    let id = api.launch(&yaml).await?;
    follow(&server, id).await?.until_end().await?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "two attempts ran at a time: {execution:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stop_leaves_no_program_behind_however_stubborn() -> Result<()> {
    let mut server = Server::on(Database::sqlite())
        .arg("--command-slots=8")
        .start()
        .await?;
    let api = server.api()?;
    let folder = server.folder().to_owned();
    let nodes: String = (0..8)
        .map(|n| {
            let pid = folder.join(format!("pid{n}"));
            format!(
                "  n{n}:\n    kind: command\n    run: |\n      trap '' TERM\n      echo $$ > {}\n      \
                 while :; do sleep 0.05; done\n",
                pid.display()
            )
        })
        .collect();
    api.launch(&format!("name: stubborn\nnodes:\n{nodes}"))
        .await?;
    let pids = eventually("eight programs", || {
        let pid = |n: u32| fs::read_to_string(folder.join(format!("pid{n}"))).ok();
        let pids: Option<Vec<u32>> = (0..8).map(|n| pid(n)?.trim().parse().ok()).collect();
        async move { Ok(pids) }
    })
    .await?;
    ensure!(pids.iter().all(|&pid| process::is_alive(pid)));
    server.terminate().await.context("the stop")?;
    let left: Vec<_> = pids.iter().filter(|&&pid| process::is_alive(pid)).collect();
    ensure!(left.is_empty(), "still running: {left:?}");
    Ok(())
}
