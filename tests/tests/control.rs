//! Pause, resume, cancel, retry, approve and reject, as they reach real processes.

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    Event, EventType, Execution, ExecutionId, ExecutionStatus, NodeState, NodeStatus,
};
use limelight_tests::{Gate, Server, WsClient, process, ws::is_about};
use serde_json::{Value, json};

fn node<'a>(execution: &'a Execution, name: &str) -> Result<&'a NodeState> {
    let mut nodes = execution.node_states.iter();
    nodes
        .find(|node| node.node_id.as_str() == name)
        .with_context(|| name.to_owned())
}

async fn follow(server: &Server, id: ExecutionId) -> Result<WsClient> {
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    Ok(ws)
}

#[tokio::test]
async fn a_pause_lets_running_nodes_end_and_starts_no_other_until_resumed() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let yaml = format!(
        "name: pause\nnodes:\n  first: {{kind: command, run: '{}'}}\n  second: {{kind: noop, needs: [first]}}\n",
        gate.wait()
    );
    let id = api.launch(&yaml).await?;
    let mut ws = follow(&server, id).await?;
    ws.until_node(EventType::NodeStarted, "first").await?;
    let paused = api.steer(id, "pause").await?;
    ensure!(paused.status == ExecutionStatus::Paused, "{paused:?}");
    gate.open()?;
    ws.until_node(EventType::NodeCompleted, "first").await?;
    let execution = api.execution(id).await?;
    ensure!(execution.status == ExecutionStatus::Paused);
    ensure!(
        node(&execution, "second")?.status == NodeStatus::Pending,
        "{execution:?}"
    );

    api.steer(id, "resume").await?;
    let rest = ws.until_end().await?;
    let place = |found: &dyn Fn(&Event) -> bool| rest.iter().position(found);
    let resumed = place(&|event| event.kind == EventType::WorkflowResumed);
    let started = place(&|event| is_about(event, "second") && event.kind == EventType::NodeStarted);
    ensure!(
        resumed.is_some() && resumed < started,
        "{resumed:?} {started:?}"
    );
    ensure!(api.execution(id).await?.status == ExecutionStatus::Completed);
    Ok(())
}

#[tokio::test]
async fn a_cancel_ends_a_command_with_everything_it_has_started() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    // The shell does not listen to SIGTERM, nor does its child.
    let yaml = "\
name: stubborn
nodes:
  run:
    kind: command
    run: |
      trap '' TERM
      sleep 600 &
      echo \"::progress 1 $!\"
      wait
      sleep 600
  after: {kind: noop, needs: [run]}
";
    let id = api.launch(yaml).await?;
    let mut ws = follow(&server, id).await?;
    let pid = ws.pid_of("run").await?;
    ensure!(process::is_alive(pid));
    api.steer(id, "cancel").await?;
    let rest = ws.until_end().await?;
    ensure!(
        rest.last()
            .is_some_and(|event| event.kind == EventType::WorkflowCancelled)
    );
    process::gone(pid).await?;
    let execution = api.execution(id).await?;
    ensure!(execution.status == ExecutionStatus::Cancelled);
    let after = node(&execution, "after")?;
    ensure!(
        after.status.is_terminal() && after.attempt_count == 0,
        "{after:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_timeout_ends_a_command_and_counts_as_a_failure() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = "\
name: slow
nodes:
  run: {kind: command, timeout_s: 0.5, run: \"sleep 600 & echo ::progress 1 $!; wait\"}
";
    let id = api.launch(yaml).await?;
    let mut ws = follow(&server, id).await?;
    let pid = ws.pid_of("run").await?;
    ws.until_end().await?;
    process::gone(pid).await?;
    let execution = api.execution(id).await?;
    let error = node(&execution, "run")?.error.as_ref();
    ensure!(
        error.is_some_and(|error| error.code == "timeout"),
        "{error:?}"
    );
    ensure!(execution.status == ExecutionStatus::Failed);
    Ok(())
}

#[tokio::test]
async fn a_failed_node_can_be_retried_with_what_depends_on_it() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let mended = Gate::new()?;
    let yaml = format!(
        "\
name: mend
nodes:
  good: {{kind: noop}}
  bad: {{kind: command, needs: [good], run: 'test -e {}'}}
  after: {{kind: noop, needs: [bad]}}
",
        mended.path().display()
    );
    let id = api.launch(&yaml).await?;
    let mut ws = follow(&server, id).await?;
    ws.until_end().await?;
    let failed = api.execution(id).await?;
    ensure!(failed.status == ExecutionStatus::Failed, "{failed:?}");
    let error = node(&failed, "bad")?.error.as_ref();
    ensure!(
        error.is_some_and(|error| error.code == "exit_code"),
        "{error:?}"
    );
    ensure!(node(&failed, "after")?.status == NodeStatus::Skipped);

    mended.open()?;
    api.steer(id, "nodes/bad/retry").await?;
    ws.until_end().await?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    ensure!(node(&execution, "bad")?.attempt_count == 2);
    ensure!(node(&execution, "after")?.status == NodeStatus::Completed);
    ensure!(
        node(&execution, "good")?.attempt_count == 1,
        "what was done was done again"
    );
    Ok(())
}

#[tokio::test]
async fn outputs_flow_along_the_graph_and_are_quoted_for_the_shell() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = r#"
name: flow
params:
  word: {type: string, required: true}
nodes:
  give: {kind: command, run: "printf '::output {\"word\": \"%s\"}\\n' {{ params.word }}"}
  take: {kind: command, needs: [give], run: "test {{ nodes.give.outputs.word }} = {{ params.word }} && echo '::quality 0.5' && echo '::artifact out.txt'"}
  never: {kind: noop, needs: [take], when: "nodes.give.outputs.word == 'other'"}
"#;
    let workflow = api.create(yaml).await?.workflow.id;
    let word = "a b; touch pwned $(exit 3)";
    let id = api.execute(workflow, json!({ "word": word })).await?;
    follow(&server, id).await?.until_end().await?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    ensure!(
        node(&execution, "give")?.outputs["word"] == word,
        "{execution:?}"
    );
    let take = node(&execution, "take")?;
    ensure!(
        take.quality == Some(0.5) && take.artifacts == ["out.txt"],
        "{take:?}"
    );
    ensure!(node(&execution, "never")?.status == NodeStatus::Skipped);
    Ok(())
}

#[tokio::test]
async fn an_approval_waits_for_a_person_and_a_rejection_is_a_failure() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = "name: ask\nnodes:\n  ask: {kind: approval, message: \"Go on?\"}\n  after: {kind: noop, needs: [ask]}\n";
    let workflow = api.create(yaml).await?.workflow.id;
    for (verb, end) in [
        ("approve", ExecutionStatus::Completed),
        ("reject", ExecutionStatus::Failed),
    ] {
        let id = api.execute(workflow, json!({})).await?;
        let mut ws = follow(&server, id).await?;
        ws.until_node(EventType::NodeWaiting, "ask").await?;
        let path = format!("/api/executions/{id}/nodes/ask/{verb}");
        let reply = api
            .post_json(&path, &json!({"comment": "looked at it"}))
            .await?;
        reply.json::<Value>(200)?;
        ws.until_end().await?;
        let execution = api.execution(id).await?;
        ensure!(execution.status == end, "{verb}: {execution:?}");
        if verb == "reject" {
            let error = node(&execution, "ask")?.error.as_ref();
            ensure!(
                error.is_some_and(|error| error.code == "rejected"),
                "{error:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_workflow_is_steered_with_all_its_live_executions() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = "name: ask\nnodes:\n  ask: {kind: approval}\n  after: {kind: noop, needs: [ask]}\n";
    let workflow = api.create(yaml).await?.workflow.id;
    let ids = [
        api.execute(workflow, json!({})).await?,
        api.execute(workflow, json!({})).await?,
    ];
    for (verb, status) in [
        ("pause", ExecutionStatus::Paused),
        ("resume", ExecutionStatus::Running),
        ("cancel", ExecutionStatus::Cancelled),
    ] {
        let reply = api
            .post(&format!("/api/workflows/{workflow}/{verb}"))
            .await?;
        ensure!(
            (200..300).contains(&reply.status),
            "{verb}: {} {}",
            reply.status,
            reply.body
        );
        for id in ids {
            let execution = api.execution(id).await?;
            ensure!(execution.status == status, "{verb}: {execution:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_node_can_call_another_server() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = format!(
        "\
name: call
nodes:
  ok: {{kind: http, request: {{url: \"{0}/health\"}}}}
  missing: {{kind: http, request: {{url: \"{0}/api/nothing\"}}, on_failure: continue}}
",
        server.url()
    );
    let id = api.launch(&yaml).await?;
    follow(&server, id).await?.until_end().await?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    let ok = node(&execution, "ok")?;
    ensure!(ok.outputs["status"] == 200, "{ok:?}");
    let error = node(&execution, "missing")?.error.as_ref();
    ensure!(
        error.is_some_and(|error| error.code == "http_status"),
        "{error:?}"
    );
    Ok(())
}
