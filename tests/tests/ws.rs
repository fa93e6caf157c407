//! The event bus: resume, snapshots, limits, and the same events by every road.

use anyhow::{Context, Result, bail, ensure};
use limelight_protocol::{
    Event, EventType, Execution, ExecutionSummary,
    rest::Page,
    ws::{ClientFrame, GapReason, MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS, ServerFrame},
};
use limelight_tests::{
    Database, Server, Sse, WsClient, on_every_database, server::repository, ws::ensure_gapless,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{CloseCode, Data, OpCode},
    },
};

/// Ten nodes, a question, ten more nodes.
fn chain() -> String {
    let mut yaml = String::from("name: chain\nnodes:\n  n0: {kind: noop}\n");
    for node in 1..10 {
        yaml.push_str(&format!(
            "  n{node}: {{kind: noop, needs: [n{}]}}\n",
            node - 1
        ));
    }
    yaml.push_str("  ask: {kind: approval, needs: [n9]}\n  n10: {kind: noop, needs: [ask]}\n");
    for node in 11..20 {
        yaml.push_str(&format!(
            "  n{node}: {{kind: noop, needs: [n{}]}}\n",
            node - 1
        ));
    }
    yaml
}

on_every_database!(
    a_client_that_resumes_gets_each_event_exactly_once,
    a_snapshot_and_the_events_after_it_make_the_whole,
    a_cursor_from_another_journal_is_a_gap_and_a_snapshot,
    every_road_carries_the_same_events,
);

async fn pong(ws: &mut WsClient, nonce: u64) -> Result<()> {
    ws.send(&ClientFrame::Ping { nonce }).await?;
    match ws.answer().await? {
        ServerFrame::Pong { nonce: back } if back == nonce => Ok(()),
        other => bail!("a ping is answered with {other:?}"),
    }
}

fn subscribe(id: &str, topic: &str) -> ClientFrame {
    ClientFrame::Subscribe {
        id: id.into(),
        topic: topic.into(),
        after: None,
        snapshot: false,
    }
}

async fn a_client_that_resumes_gets_each_event_exactly_once(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let id = api.launch(&chain()).await?;
    let topic = format!("execution:{id}");

    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    let mut seen = ws.until_node(EventType::NodeWaiting, "ask").await?;
    let dropped_at = seen.last().context("events")?.position;
    drop(ws);

    // What happens while nobody listens.
    let mut other = WsClient::connect(&server).await?;
    other.follow(id).await?;
    api.steer(id, "nodes/ask/approve").await?;
    let all = other.until_end().await?;

    // Come back, and again after every few events.
    let mut after = dropped_at;
    while !seen
        .last()
        .is_some_and(|event| event.kind == EventType::WorkflowCompleted)
    {
        let mut ws = WsClient::connect(&server).await?;
        let cursor = ws.cursor(after);
        let subscribed = ws.subscribe("again", &topic, Some(cursor)).await?;
        ensure!(subscribed.recovered, "{subscribed:?}");
        for _ in 0..3 {
            let (by, event) = ws.event().await?;
            ensure!(by == "again");
            after = event.position;
            let last = event.kind == EventType::WorkflowCompleted;
            seen.push(event);
            if last {
                break;
            }
        }
    }
    ensure_gapless(&seen)?;
    let place = |event: &Event| (event.position, event.seq, event.kind);
    ensure!(seen.iter().map(place).eq(all.iter().map(place)));
    Ok(())
}

async fn a_snapshot_and_the_events_after_it_make_the_whole(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let id = api.launch(&chain()).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.until_node(EventType::NodeWaiting, "ask").await?;

    let mut late = WsClient::connect(&server).await?;
    late.send(&ClientFrame::Subscribe {
        id: "s".into(),
        topic: format!("execution:{id}"),
        after: None,
        snapshot: true,
    })
    .await?;
    let (position, data) = snapshot(&mut late).await?;
    let mut execution: Execution = serde_json::from_str(&data)?;
    ensure!(execution.id == id && execution.node_states.len() == 21);
    api.steer(id, "nodes/ask/approve").await?;
    for event in late.until_end().await? {
        ensure!(
            event.position > position,
            "an event from before the snapshot"
        );
        ensure!(event.seq == execution.seq + 1, "a gap after the snapshot");
        execution.apply(&event)?;
    }
    let whole = api.execution(id).await?;
    ensure!(
        execution.node_states == whole.node_states,
        "{execution:?}\n{whole:?}"
    );
    ensure!(execution.status == whole.status && execution.seq == whole.seq);
    ensure!(execution.completed_nodes == whole.completed_nodes);

    let mut all = WsClient::connect(&server).await?;
    all.send_text(r#"{"type":"subscribe","id":"b","topic":"executions","snapshot":true}"#)
        .await?;
    let (_, data) = snapshot(&mut all).await?;
    let page: Page<ExecutionSummary> = serde_json::from_str(&data)?;
    ensure!(
        page.items.iter().any(|execution| execution.id == id),
        "{data}"
    );
    Ok(())
}

/// The snapshot that a subscription begins with.
async fn snapshot(ws: &mut WsClient) -> Result<(u64, String)> {
    loop {
        match ws.answer().await? {
            ServerFrame::Subscribed { .. } => {}
            ServerFrame::Snapshot { position, data, .. } => {
                return Ok((position, data.get().to_owned()));
            }
            other => bail!("{other:?} instead of a snapshot"),
        }
    }
}

async fn a_cursor_from_another_journal_is_a_gap_and_a_snapshot(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let id = api.launch(&chain()).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.send_text(&format!(
        r#"{{"type":"subscribe","id":"a","topic":"execution:{id}","after":{{"epoch":"another","position":3}}}}"#
    ))
    .await?;
    let mut gap = false;
    loop {
        match ws.answer().await? {
            ServerFrame::Subscribed { recovered, .. } => ensure!(!recovered),
            ServerFrame::Gap { id, reason } => {
                ensure!(id == "a" && reason == GapReason::Epoch);
                gap = true;
            }
            ServerFrame::Snapshot { data, .. } => {
                ensure!(gap, "a snapshot without a word about the gap");
                let execution: Execution = serde_json::from_str(data.get())?;
                ensure!(execution.id == id);
                return Ok(());
            }
            other => bail!("{other:?}"),
        }
    }
}

async fn every_road_carries_the_same_events(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let detail = api.create(&chain()).await?;
    let workflow = detail.workflow.id;

    let mut of_workflow =
        WsClient::connect_to(&server, &format!("/ws/workflow/{workflow}"), &[]).await?;
    ensure!(matches!(
        of_workflow.answer().await?,
        ServerFrame::Subscribed { .. }
    ));
    let mut of_all = WsClient::connect(&server).await?;
    of_all.subscribe("all", "executions", None).await?;
    let id = api.execute(workflow, json!({})).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    let first_half = ws.until_node(EventType::NodeWaiting, "ask").await?;

    // By server-sent events: from the beginning, with a drop in the middle.
    let path = format!("/api/events?topic=execution:{id}");
    let mut sse = Sse::open(&api, &path, Some(&format!("{}:0", ws.epoch))).await?;
    let mut by_sse: Vec<Event> = Vec::new();
    let mut last_id = String::new();
    for _ in 0..5 {
        let message = sse.event().await?;
        last_id = message.id;
        by_sse.push(serde_json::from_str(&message.data)?);
    }
    drop(sse);
    ensure!(
        last_id == format!("{}:{}", ws.epoch, by_sse[4].position),
        "{last_id}"
    );
    api.steer(id, "nodes/ask/approve").await?;
    let mut sse = Sse::open(&api, &path, Some(&last_id)).await?;
    while !by_sse
        .last()
        .is_some_and(|event| event.kind == EventType::WorkflowCompleted)
    {
        by_sse.push(serde_json::from_str(&sse.event().await?.data)?);
    }

    let by_ws = [first_half, ws.until_end().await?].concat();
    let text = |events: &[Event]| -> Result<Vec<Value>> {
        Ok(events
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?)
    };
    let expected = text(&by_ws)?;
    ensure_gapless(&by_ws)?;
    ensure!(text(&by_sse)? == expected, "server-sent events differ");
    ensure!(
        text(&api.events(id, 7).await?)? == expected,
        "polling differs"
    );
    ensure!(
        text(&of_workflow.until_end().await?)? == expected,
        "workflow:… differs"
    );
    ensure!(
        text(&of_all.until_end().await?)? == expected,
        "executions differs"
    );
    Ok(())
}

#[tokio::test]
async fn the_output_of_a_node_is_a_stream_of_its_own() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml = "\
name: lines
nodes:
  talk: {kind: command, run: \"for i in $(seq 1 200); do echo line $i; done\"}
";
    let id = api.launch(yaml).await?;
    let mut ws = WsClient::connect(&server).await?;
    let beginning = ws.cursor(0);
    ws.subscribe("log", &format!("log:{id}/talk"), Some(beginning))
        .await?;
    let has_line_200 = |event: &Event| event.data.get().contains("\"line 200\"");
    let lines = ws.until(has_line_200).await?;
    let of_program: Vec<_> = lines
        .iter()
        .filter(|event| event.data.get().contains("\"stdout\""))
        .collect();
    ensure!(of_program.len() == 200, "{} lines", of_program.len());
    ensure!(lines.iter().all(|event| event.kind == EventType::NodeLog));
    let seqs: Vec<u64> = lines.iter().map(|event| event.seq).collect();
    ensure!(
        seqs.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{seqs:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_host_and_the_actors_are_topics() -> Result<()> {
    let server = Server::sqlite().await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.subscribe("m", "metrics", None).await?;
    let (by, event) = ws.event().await?;
    ensure!(
        by == "m" && event.kind == EventType::MetricsSample,
        "{event:?}"
    );
    ws.send(&ClientFrame::Unsubscribe { id: "m".into() })
        .await?;
    ws.send(&subscribe("a", "actors")).await?;
    let (_, data) = snapshot(&mut ws).await?;
    let tree: limelight_protocol::actor::ActorTree = serde_json::from_str(&data)?;
    ensure!(
        tree.actors
            .iter()
            .any(|actor| actor.path.contains("journal")),
        "{data}"
    );
    Ok(())
}

#[tokio::test]
async fn nonsense_is_answered_and_harms_neither_its_sender_nor_others() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let mut quiet = WsClient::connect(&server).await?;
    quiet.subscribe("all", "executions", None).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.subscribe("mine", "executions", None).await?;

    ws.send(&subscribe("x", "dreams")).await?;
    match ws.answer().await? {
        ServerFrame::Error { id, code, .. } => {
            ensure!(
                id.as_deref() == Some("x") && code == "unknown_topic",
                "{code}"
            );
        }
        other => bail!("{other:?}"),
    }
    for text in [
        "{",
        "null",
        "[]",
        "{\"type\":\"dance\"}",
        "{\"type\":\"subscribe\"}",
        "",
    ] {
        ws.send_text(text).await?;
        match ws.answer().await? {
            ServerFrame::Error { .. } => {}
            other => bail!("{text:?} is answered with {other:?}"),
        }
    }
    pong(&mut ws, 7).await?;
    ws.send_raw(Frame::ping("are you there")).await?;
    loop {
        match ws.message().await?.context("the socket ended")? {
            Message::Pong(data) if data.as_ref() == b"are you there" => break,
            Message::Pong(_) | Message::Ping(_) => {}
            other => bail!("{other:?} instead of a pong"),
        }
    }

    let id = api.launch("name: one\nnodes:\n  a: {kind: noop}\n").await?;
    for client in [&mut ws, &mut quiet] {
        let events = client.until_end().await?;
        ensure!(events.iter().all(|event| event.execution_id == Some(id)));
        ensure_gapless(&events)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_over_the_limit_closes_the_socket_with_1009() -> Result<()> {
    let server = Server::sqlite().await?;
    let mut other = WsClient::connect(&server).await?;

    // As large as is allowed: taken, and answered.
    let mut ws = WsClient::connect(&server).await?;
    let empty = serde_json::to_string(&subscribe("x", ""))?;
    let topic = "t".repeat(MAX_MESSAGE_BYTES - empty.len());
    ws.send(&subscribe("x", &topic)).await?;
    ensure!(
        matches!(ws.answer().await?, ServerFrame::Error { code, .. } if code == "unknown_topic")
    );

    // A byte more, in one frame.
    ws.send(&subscribe("x", &format!("{topic}t"))).await?;
    let close = ws.closed().await?.context("no close frame")?;
    ensure!(close.code == CloseCode::Size, "closed with {}", close.code);

    // In two frames, each of which would be allowed.
    let mut ws = WsClient::connect(&server).await?;
    let half = vec![b' '; MAX_MESSAGE_BYTES / 2 + 1];
    ws.send_raw(Frame::message(
        half.clone(),
        OpCode::Data(Data::Text),
        false,
    ))
    .await?;
    ws.send_raw(Frame::message(half, OpCode::Data(Data::Continue), true))
        .await?;
    let close = ws.closed().await?.context("no close frame")?;
    ensure!(close.code == CloseCode::Size, "closed with {}", close.code);

    pong(&mut other, 1).await
}

#[tokio::test]
async fn a_message_in_fragments_is_read_as_one() -> Result<()> {
    let server = Server::sqlite().await?;
    let mut ws = WsClient::connect(&server).await?;
    let text = serde_json::to_string(&ClientFrame::Ping { nonce: 9 })?;
    let (begin, end) = text.split_at(5);
    let begin = begin.as_bytes().to_vec();
    ws.send_raw(Frame::message(begin, OpCode::Data(Data::Text), false))
        .await?;
    ws.send_raw(Frame::ping("between")).await?;
    let end = end.as_bytes().to_vec();
    ws.send_raw(Frame::message(end, OpCode::Data(Data::Continue), true))
        .await?;
    ensure!(matches!(ws.answer().await?, ServerFrame::Pong { nonce: 9 }));
    Ok(())
}

#[tokio::test]
async fn a_socket_has_so_many_subscriptions_and_not_one_more() -> Result<()> {
    let server = Server::sqlite().await?;
    let mut ws = WsClient::connect(&server).await?;
    for n in 0..MAX_SUBSCRIPTIONS {
        ws.subscribe(&n.to_string(), "executions", None).await?;
    }
    ws.send(&subscribe("more", "executions")).await?;
    match ws.answer().await? {
        ServerFrame::Error { id, code, .. } => {
            ensure!(
                id.as_deref() == Some("more") && code == "too_many_subscriptions",
                "{code}"
            );
        }
        other => bail!("{other:?}"),
    }
    ws.send(&ClientFrame::Unsubscribe { id: "0".into() })
        .await?;
    ws.subscribe("more", "executions", None).await?;
    Ok(())
}

#[tokio::test]
async fn the_demonstration_is_there_and_runs_to_its_question() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let reply = api
        .post_json("/api/runs", &json!({"workflow": "demo"}))
        .await?;
    let started: limelight_protocol::workflow::Started = reply.json(202)?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(started.execution_id).await?;
    let events = ws.until_node(EventType::NodeWaiting, "approve").await?;
    ensure!(
        events
            .iter()
            .any(|event| event.kind == EventType::NodeRetrying),
        "no retry to see"
    );
    ensure!(
        events
            .iter()
            .any(|event| event.kind == EventType::NodeSkipped),
        "no skip to see"
    );
    api.steer(started.execution_id, "nodes/approve/approve")
        .await?;
    ws.until_end().await?;
    let execution = api.execution(started.execution_id).await?;
    ensure!(
        execution.status == limelight_protocol::ExecutionStatus::Completed,
        "{execution:?}"
    );
    let build = execution
        .node_states
        .iter()
        .find(|node| node.node_id.as_str() == "build");
    let outputs = &build.context("the node build")?.outputs;
    ensure!(outputs["artifact"] == "app-1.0.0.tar.gz", "{outputs:?}");
    let text = std::fs::read_to_string(repository().join("examples/demo.yaml"))?;
    let detail: limelight_protocol::workflow::WorkflowDetail = api
        .read(&format!("/api/workflows/{}", execution.workflow_id))
        .await?;
    ensure!(
        detail.source == text,
        "the demonstration is another than the example"
    );
    Ok(())
}
