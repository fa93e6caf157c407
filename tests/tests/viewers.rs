//! Those who watch: what they are told first, what they may ask, and how it ends.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use limelight_protocol::{
    Event, Execution, ExecutionId, ExecutionSummary, WorkflowId,
    rest::Page,
    ws::{ClientFrame, ServerFrame},
};
use limelight_tests::{
    Api, Database, Server, Sse, WsClient, on_every_database, within,
    ws::{ensure_gapless, is_end},
};
use reqwest::Method;
use serde_json::json;

on_every_database!(
    what_follows_a_snapshot_goes_on_from_it_while_commits_never_pause,
    a_subscription_that_is_ended_while_it_reads_leaves_its_name_to_the_next,
);

/// Steps of a workflow that commits again and again.
const STEPS: usize = 12;

async fn chain(api: &Api) -> Result<WorkflowId> {
    let steps: Vec<String> = (1..STEPS)
        .map(|step| {
            format!(
                "  n{step}: {{kind: command, run: 'true', needs: [n{}]}}\n",
                step - 1
            )
        })
        .collect();
    let yaml = format!(
        "name: chain\nnodes:\n  n0: {{kind: command, run: 'true'}}\n{}",
        steps.concat()
    );
    Ok(api.create(&yaml).await?.workflow.id)
}

/// Asks how a topic stands; its answer, and events that came before it, are read by [`snapshot`].
async fn ask(ws: &mut WsClient, topic: &str) -> Result<()> {
    ws.send(&ClientFrame::Subscribe {
        id: "s".to_owned(),
        topic: topic.to_owned(),
        after: None,
        snapshot: true,
    })
    .await
}

async fn snapshot(ws: &mut WsClient) -> Result<(u64, String)> {
    let ServerFrame::Subscribed { position: from, .. } = ws.frame().await? else {
        bail!("not subscribed first");
    };
    match ws.frame().await? {
        ServerFrame::Snapshot { position, data, .. } => {
            ensure!(
                from == position,
                "events after {from} follow a snapshot at {position}"
            );
            Ok((position, data.get().to_owned()))
        }
        other => bail!("{other:?} instead of a snapshot"),
    }
}

/// Joins an execution somewhere on its way, and folds what follows into what it was told first.
async fn fold_one(server: &Server, id: ExecutionId) -> Result<()> {
    let mut ws = WsClient::connect(server).await?;
    ask(&mut ws, &format!("execution:{id}")).await?;
    let (position, data) = snapshot(&mut ws).await?;
    let mut execution: Execution = serde_json::from_str(&data)?;
    while !execution.status.is_terminal() {
        let (_, event) = ws.event().await?;
        ensure!(
            event.position > position,
            "{} is in the snapshot at {position}",
            event.position
        );
        ensure!(
            event.seq == execution.seq + 1,
            "{} after {}",
            event.seq,
            execution.seq
        );
        execution.apply(&event)?;
    }
    let whole = server.api()?.execution(id).await?;
    ensure!(
        execution.node_states == whole.node_states,
        "{execution:?}\n{whole:?}"
    );
    ensure!(execution.status == whole.status && execution.seq == whole.seq);
    Ok(())
}

/// Counts the events of all executions on from a list, until `count` have ended.
async fn count_all(server: &Server, count: usize) -> Result<()> {
    let mut ws = WsClient::connect(server).await?;
    ask(&mut ws, "executions").await?;
    let (position, data) = snapshot(&mut ws).await?;
    let page: Page<ExecutionSummary> = serde_json::from_str(&data)?;
    let ended = page
        .items
        .iter()
        .filter(|execution| execution.status.is_terminal());
    let mut ended = ended.count();
    let counts = page
        .items
        .iter()
        .map(|execution| (execution.id, execution.seq));
    let mut counts: HashMap<ExecutionId, u64> = counts.collect();
    while ended < count {
        let (_, event) = ws.event().await?;
        ensure!(
            event.position > position,
            "{} is in the list at {position}",
            event.position
        );
        let counted = counts
            .entry(event.execution_id.context("an execution")?)
            .or_default();
        ensure!(event.seq == *counted + 1, "{} after {counted}", event.seq);
        *counted = event.seq;
        ended += usize::from(is_end(event.kind));
    }
    Ok(())
}

async fn what_follows_a_snapshot_goes_on_from_it_while_commits_never_pause(
    database: Database,
) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let workflow = chain(&api).await?;
    let mut executions = Vec::new();
    for _ in 0..8 {
        executions.push(api.execute(workflow, json!({})).await?);
    }
    let all = executions.len();
    let folds = executions
        .iter()
        .flat_map(|id| [*id; 4])
        .map(|id| fold_one(&server, id));
    let counts = (0..8).map(|_| count_all(&server, all));
    let (folds, counts) = tokio::join!(try_join_all(folds), try_join_all(counts));
    folds?;
    counts?;
    Ok(())
}

async fn a_subscription_that_is_ended_while_it_reads_leaves_its_name_to_the_next(
    database: Database,
) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let workflow = chain(&api).await?;
    let id = api.execute(workflow, json!({})).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.until_end().await?;
    let subscribe = ClientFrame::Subscribe {
        id: "again".to_owned(),
        topic: "executions".to_owned(),
        after: Some(ws.cursor(0)),
        snapshot: false,
    };
    for _ in 0..200 {
        ws.send(&subscribe).await?;
        ws.send(&ClientFrame::Unsubscribe { id: "again".into() })
            .await?;
    }
    // Everything that was ended is over by then.
    ws.send(&ClientFrame::Ping { nonce: 1 }).await?;
    loop {
        match ws.frame().await? {
            ServerFrame::Pong { .. } => break,
            ServerFrame::Error { detail, .. } => bail!("{detail}"),
            _ => {}
        }
    }
    ws.send(&subscribe).await?;
    let mut seen: Vec<Event> = Vec::new();
    loop {
        let frame = ws.frame().await?;
        match frame {
            ServerFrame::Subscribed { .. } => seen.clear(),
            ServerFrame::Event { event, .. } => seen.push(*event),
            ServerFrame::Events { events, .. } => seen.extend(events),
            other => bail!("{other:?}"),
        }
        if seen.last().is_some_and(|event| is_end(event.kind)) {
            break;
        }
    }
    ensure_gapless(&seen)
}

#[tokio::test]
async fn what_is_no_cursor_is_refused_and_none_is_from_now() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let open = |id: &'static [u8]| {
        let request = api.request(Method::GET, "/api/events?topic=executions");
        request.header("Last-Event-ID", id)
    };
    for garbage in [
        b"garbage".as_slice(),
        b"1",
        b":",
        b":1",
        b"epoch:",
        b"epoch:-1",
        b"epoch:+1",
        b"epoch:1.5",
        b"epoch:99999999999999999999999",
        b"epoch:\xff",
        b"\xff\xfe",
    ] {
        let reply = within("an answer", api.send(open(garbage))).await??;
        reply
            .problem(400, "invalid_cursor")
            .with_context(|| format!("{garbage:?}"))?;
    }
    let reply = within("an answer", api.get("/api/events?topic=executions&after=x")).await??;
    reply.problem(400, "invalid_cursor")?;
    let reply = within("an answer", api.get("/api/events?topic=nothing")).await??;
    reply.problem(404, "unknown_topic")?;

    let mut sse = Sse::open(&api, "/api/events?topic=executions", Some("")).await?;
    ensure!(sse.message().await?.event == "subscribed");
    // Of another journal: told, and how things stand.
    let mut sse = Sse::open(&api, "/api/events?topic=executions", Some("other:3")).await?;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(sse.message().await?.event);
    }
    ensure!(names == ["subscribed", "gap", "snapshot"], "{names:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_comes_again_goes_on_and_is_not_told_how_things_stand() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let workflow = chain(&api).await?;
    // As a browser's EventSource does: the same address, and where it stood.
    let path = "/api/events?topic=executions&snapshot=true";
    let mut sse = Sse::open(&api, path, None).await?;
    ensure!(sse.message().await?.event == "subscribed");
    ensure!(sse.message().await?.event == "snapshot");
    let id = api.execute(workflow, json!({})).await?;
    let mut last = sse.event().await?;
    let mut seen: Vec<Event> = vec![serde_json::from_str(&last.data)?];
    while !is_end(seen.last().context("events")?.kind) {
        let mut sse = Sse::open(&api, path, Some(&last.id)).await?;
        ensure!(sse.message().await?.event == "subscribed");
        for _ in 0..3 {
            let message = sse.message().await?;
            ensure!(message.event.is_empty(), "{}", message.event);
            seen.push(serde_json::from_str(&message.data)?);
            last = message;
            if is_end(seen.last().context("events")?.kind) {
                break;
            }
        }
    }
    ensure!(seen.iter().all(|event| event.execution_id == Some(id)));
    ensure_gapless(&seen)
}

#[tokio::test]
async fn streams_end_when_the_server_stops() -> Result<()> {
    let mut server = Server::sqlite().await?;
    let api = server.api()?;
    let mut streams = Vec::new();
    for topic in ["executions", "metrics", "actors", "tests"] {
        let mut sse = Sse::open(&api, &format!("/api/events?topic={topic}"), None).await?;
        ensure!(sse.message().await?.event == "subscribed");
        streams.push(tokio::spawn(
            async move { while sse.message().await.is_ok() {} },
        ));
    }
    server.terminate().await?;
    for stream in streams {
        within("the end of a stream", stream).await??;
    }
    Ok(())
}
