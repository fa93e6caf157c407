//! What a `kill -9` leaves behind, and what goes on after it.

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    EventType, ExecutionId, ExecutionStatus, NodeStatus, execution::WaitReason,
};
use limelight_tests::{
    Database, Gate, Server, WsClient, on_every_database, process, ws::ensure_gapless,
};
use serde_json::json;

on_every_database!(
    approvals_sleeps_and_pauses_still_stand_after_a_kill,
    an_interrupted_attempt_is_retried_unless_its_node_forbids_it,
);

async fn follow(server: &Server, id: ExecutionId) -> Result<WsClient> {
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    Ok(ws)
}

async fn approvals_sleeps_and_pauses_still_stand_after_a_kill(database: Database) -> Result<()> {
    let mut server = Server::on(database).start().await?;
    let api = server.api()?;
    let yaml = "\
name: patient
nodes:
  ask: {kind: approval, message: \"Go on?\"}
  nap: {kind: sleep, duration_s: 3}
  after: {kind: noop, needs: [ask, nap]}
";
    let workflow = api.create(yaml).await?.workflow.id;
    let id = api.execute(workflow, json!({})).await?;
    let paused = api.execute(workflow, json!({})).await?;
    api.steer(paused, "pause").await?;
    let mut ws = follow(&server, id).await?;
    let mut waiting = 0;
    while waiting < 2 {
        waiting += usize::from(ws.event().await?.1.kind == EventType::NodeWaiting);
    }
    let before = api.execution(id).await?;
    let due = before.node_states.iter().find_map(|node| node.due_at);
    ensure!(due.is_some(), "nothing is due: {before:?}");

    server.kill9()?;
    server.start().await?;

    let after = api.execution(id).await?;
    let ask = &after.node_states[0];
    ensure!(ask.status == NodeStatus::Waiting && ask.message.as_deref() == Some("Go on?"));
    ensure!(ask.waiting_for == Some(WaitReason::Approval));
    ensure!(
        after.node_states.iter().find_map(|node| node.due_at) == due,
        "the sleep moved"
    );
    ensure!(api.execution(paused).await?.status == ExecutionStatus::Paused);
    let mut ws = follow(&server, id).await?;
    let events = ws.until_node(EventType::NodeCompleted, "nap").await?;
    let woke = events.last().context("events")?.timestamp;
    ensure!(due.is_some_and(|due| woke >= due), "it woke up early");
    api.steer(id, "nodes/ask/approve").await?;
    ws.until_end().await?;
    let end = api.execution(id).await?;
    ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
    ensure!(
        end.node_states.iter().all(|node| node.attempt_count == 1),
        "{end:?}"
    );

    api.steer(paused, "resume").await?;
    api.steer(paused, "nodes/ask/approve").await?;
    let mut ws = follow(&server, paused).await?;
    ws.until_end().await?;
    ensure!(api.execution(paused).await?.status == ExecutionStatus::Completed);
    Ok(())
}

async fn an_interrupted_attempt_is_retried_unless_its_node_forbids_it(
    database: Database,
) -> Result<()> {
    let mut server = Server::on(database).start().await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let wait = gate.wait();
    let yaml = format!(
        "\
name: interrupted
nodes:
  again: {{kind: command, run: \"echo ::progress 1 $$; {wait}; echo '::output {{\\\"by\\\": '$LIMELIGHT_ATTEMPT'}}'\"}}
  once: {{kind: command, retry: never, run: \"echo ::progress 1 $$; {wait}\"}}
  child: {{kind: command, run: \"sleep 600 & echo ::progress 1 $!; {wait}\"}}
"
    );
    let id = api.launch(&yaml).await?;
    let mut pids = Vec::new();
    for node in ["again", "once", "child"] {
        pids.push(follow(&server, id).await?.pid_of(node).await?);
    }
    ensure!(pids.iter().all(|pid| process::is_alive(*pid)), "{pids:?}");

    server.kill9()?;
    server.start().await?;

    for pid in pids {
        process::gone(pid).await?;
    }
    gate.open()?;
    let mut ws = follow(&server, id).await?;
    let events = ws.until_end().await?;
    ensure_gapless(&events)?;
    let end = api.execution(id).await?;
    ensure!(end.status == ExecutionStatus::Failed, "{end:?}");
    let node = |name: &str| {
        end.node_states
            .iter()
            .find(|node| node.node_id.as_str() == name)
    };
    let again = node("again").context("again")?;
    ensure!(
        again.status == NodeStatus::Completed && again.attempt_count == 2,
        "{again:?}"
    );
    ensure!(again.outputs["by"] == 2, "{again:?}");
    let once = node("once").context("once")?;
    ensure!(
        once.status == NodeStatus::Failed && once.attempt_count == 1,
        "{once:?}"
    );
    ensure!(
        once.error
            .as_ref()
            .is_some_and(|error| error.code == "interrupted"),
        "{once:?}"
    );
    Ok(())
}
