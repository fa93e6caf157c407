//! Subscribers that stop reading: they cost the server no memory, others no time, and themselves no
//! event.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use limelight_protocol::{Event, ExecutionId, WorkflowId, ws::ClientFrame};
use limelight_tests::{Api, Server, Sse, WsClient, process, within, ws::is_end};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

/// Events that pass while the subscriber does not read.
const EVENTS: usize = 100_000;
/// What the server may grow by meanwhile, bytes.
const MOST_GROWTH: u64 = 20 * 1024 * 1024;
/// Nodes of the workflow that makes the events: each is queued, started and completed.
const NODES: usize = 300;

/// A workflow of [`NODES`] nodes that end at once.
async fn many_nodes(api: &Api) -> Result<WorkflowId> {
    let nodes: Vec<String> = (0..NODES)
        .map(|node| format!("  n{node}: {{kind: noop}}\n"))
        .collect();
    let yaml = format!("name: many\nnodes:\n{}", nodes.concat());
    Ok(api.create(&yaml).await?.workflow.id)
}

/// Reads all events of `count` further executions.
async fn read(ws: &mut WsClient, count: usize, seen: &mut Vec<(u64, u64)>) -> Result<()> {
    let mut ended = 0;
    while ended < count {
        let (_, event) = ws.event().await?;
        let Event {
            position,
            seq,
            kind,
            ..
        } = event;
        ended += usize::from(is_end(kind));
        seen.push((position, seq));
    }
    Ok(())
}

#[tokio::test]
async fn a_subscriber_that_stops_reading_costs_nobody_anything_and_misses_nothing() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let workflow = many_nodes(&api).await?;

    let mut reader = WsClient::connect(&server).await?;
    reader.subscribe("all", "executions", None).await?;
    // Until its memory no longer grows by being used for the first time.
    for _ in 0..20 {
        api.execute(workflow, json!({})).await?;
        read(&mut reader, 1, &mut Vec::new()).await?;
    }

    let mut sleeper = WsClient::connect_narrow(&server).await?;
    sleeper.subscribe("all", "executions", None).await?;
    let before = process::resident_bytes(server.pid()?)?;
    let mut most = before;
    let mut seen: Vec<(u64, u64)> = Vec::new();
    let mut executions = 0;
    while seen.len() < EVENTS {
        api.execute(workflow, json!({})).await?;
        read(&mut reader, 1, &mut seen).await?;
        executions += 1;
        most = most.max(process::resident_bytes(server.pid()?)?);
    }
    let grown = most.saturating_sub(before);
    println!(
        "{} events, grown by {grown} bytes from {before}",
        seen.len()
    );
    ensure!(reader.lagged == 0, "the one who read was told that it lags");
    ensure!(grown <= MOST_GROWTH, "grown by {grown} bytes from {before}");

    let mut late = Vec::new();
    read(&mut sleeper, executions, &mut late).await?;
    ensure!(
        sleeper.lagged > 0,
        "the sleeper was never told that it lags"
    );
    let differ = late.iter().zip(&seen).position(|(late, seen)| late != seen);
    ensure!(
        late.len() == seen.len(),
        "{} of {} events",
        late.len(),
        seen.len()
    );
    ensure!(differ.is_none(), "they differ from {differ:?} on");
    let first = seen.first().context("events")?.0;
    let positions = seen.iter().map(|(position, _)| *position);
    ensure!(
        positions.eq(first..first + seen.len() as u64),
        "the journal has a gap"
    );

    // Live again: the next event reaches both.
    api.execute(workflow, json!({})).await?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    read(&mut reader, 1, &mut one).await?;
    read(&mut sleeper, 1, &mut two).await?;
    ensure!(one == two);
    Ok(())
}

/// Sockets that follow everything and never read.
const SLEEPERS: usize = 64;
/// Subscriptions of one more socket that never reads.
const SUBSCRIPTIONS: usize = 40;
/// Streams of server-sent events that nobody reads.
const STREAMS: usize = 20;
/// Executions before the sleepers come, and while they sleep.
const EACH: usize = 3;

/// The positions of the events in a text; a test with events that carry data of their own must look
/// closer.
fn positions(text: &str) -> Vec<u64> {
    let mut parts = text.split("{\"position\":");
    parts.next();
    parts
        .filter_map(|part| part.split(',').next()?.parse().ok())
        .collect()
}

/// Asks for everything from the beginning on, and does not wait for the answer.
async fn ask(ws: &mut WsClient, id: &str) -> Result<()> {
    ws.send(&ClientFrame::Subscribe {
        id: id.to_owned(),
        topic: "executions".to_owned(),
        after: Some(ws.cursor(0)),
        snapshot: false,
    })
    .await
}

/// Reads until each of `count` subscriptions has told of the event at `last`.
async fn wake(mut ws: WsClient, count: usize, last: u64) -> Result<()> {
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    while told.len() < count || told.values().any(|position| *position < last) {
        let text = match ws.message().await? {
            Some(Message::Text(text)) => text,
            Some(Message::Ping(_)) => continue,
            other => bail!("{other:?} after {told:?}"),
        };
        ensure!(!text.starts_with(r#"{"type":"error"#), "{text}");
        if !text.starts_with(r#"{"type":"event"#) {
            continue;
        }
        let id = text.split('"').nth(7).context("an id")?.to_owned();
        let newest = told.entry(id).or_default();
        for position in positions(&text) {
            ensure!(position == *newest + 1, "{position} after {newest}");
            *newest = position;
        }
    }
    Ok(())
}

/// Reads until the event at `last`.
async fn wake_stream(mut sse: Sse, last: u64) -> Result<()> {
    let mut newest = 0;
    while newest < last {
        let message = sse.event().await?;
        for position in positions(&message.data) {
            ensure!(position == newest + 1, "{position} after {newest}");
            newest = position;
        }
    }
    Ok(())
}

/// What somebody else asks meanwhile.
async fn everything_answers(api: &Api, execution: ExecutionId) -> Result<()> {
    for path in [
        "/ready".to_owned(),
        "/api/workflows".to_owned(),
        "/api/executions".to_owned(),
        format!("/api/executions/{execution}"),
    ] {
        let reply = within(&path, api.get(&path)).await??;
        ensure!(
            reply.status == 200,
            "{path}: {} {}",
            reply.status,
            reply.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn sleepers_keep_nobody_from_the_store_and_get_everything_once_they_read() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let workflow = many_nodes(&api).await?;
    let mut reader = WsClient::connect(&server).await?;
    reader.subscribe("all", "executions", None).await?;
    for _ in 0..EACH {
        api.execute(workflow, json!({})).await?;
    }
    read(&mut reader, EACH, &mut Vec::new()).await?;

    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        let mut ws = WsClient::connect_narrow(&server).await?;
        ask(&mut ws, "all").await?;
        sleepers.push(ws);
    }
    let mut busy = WsClient::connect_narrow(&server).await?;
    for number in 0..SUBSCRIPTIONS {
        ask(&mut busy, &format!("s{number}")).await?;
    }
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let path = format!("/api/events?topic=executions&after={}:0", reader.epoch);
        streams.push(Sse::open_narrow(&server, &path).await?);
    }

    let mut last = 0;
    for _ in 0..EACH {
        let execution = api.execute(workflow, json!({})).await?;
        let mut seen = Vec::new();
        read(&mut reader, 1, &mut seen).await?;
        last = seen.last().context("events")?.0;
        for _ in 0..5 {
            everything_answers(&api, execution).await?;
        }
    }

    try_join_all(sleepers.into_iter().map(|ws| wake(ws, 1, last))).await?;
    wake(busy, SUBSCRIPTIONS, last).await?;
    try_join_all(streams.into_iter().map(|sse| wake_stream(sse, last))).await?;
    Ok(())
}

/// What a load cost: the slowest but a hundredth of the answers, and memory in RAM at the end.
struct Cost {
    p99: Duration,
    resident_bytes: u64,
}

/// Starts executions, reads their events, and asks for other things meanwhile.
async fn load(server: &Server, reader: &mut WsClient, workflow: WorkflowId) -> Result<(Cost, u64)> {
    let api = server.api()?;
    let (mut took, mut last) = (Vec::new(), 0);
    for _ in 0..EACH {
        let execution = api.execute(workflow, json!({})).await?;
        let mut seen = Vec::new();
        read(reader, 1, &mut seen).await?;
        last = seen.last().context("events")?.0;
        for path in [
            "/api/workflows",
            "/api/executions",
            &format!("/api/executions/{execution}"),
        ] {
            for _ in 0..100 {
                let began = Instant::now();
                let reply = api.get(path).await?;
                took.push(began.elapsed());
                ensure!(
                    reply.status == 200,
                    "{path}: {} {}",
                    reply.status,
                    reply.body
                );
            }
        }
    }
    took.sort();
    let cost = Cost {
        p99: took[took.len() * 99 / 100],
        resident_bytes: process::resident_bytes(server.pid()?)?,
    };
    Ok((cost, last))
}

/// Prints what sleepers cost. To be run alone, on a quiet machine, with the program that users have:
/// `LIMELIGHT_BIN=... cargo test -p limelight-tests --test slow -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement: it takes minutes and asserts only that nothing is lost"]
async fn what_a_thousand_sleepers_cost() -> Result<()> {
    let mut without = None;
    for (sockets, streams) in [(0, 0), (1000, 200)] {
        let server = Server::sqlite().await?;
        let api = server.api()?;
        let workflow = many_nodes(&api).await?;
        let mut reader = WsClient::connect(&server).await?;
        reader.subscribe("all", "executions", None).await?;
        for _ in 0..EACH {
            api.execute(workflow, json!({})).await?;
        }
        read(&mut reader, EACH, &mut Vec::new()).await?;
        let mut sleepers = Vec::new();
        for _ in 0..sockets {
            let mut ws = WsClient::connect_narrow(&server).await?;
            ask(&mut ws, "all").await?;
            sleepers.push(ws);
        }
        let mut sleeping_streams = Vec::new();
        for _ in 0..streams {
            let path = format!("/api/events?topic=executions&after={}:0", reader.epoch);
            sleeping_streams.push(Sse::open_narrow(&server, &path).await?);
        }
        let (cost, last) = load(&server, &mut reader, workflow).await?;
        println!(
            "{sockets} sockets and {streams} streams asleep: p99 {:?}, {} KiB resident",
            cost.p99,
            cost.resident_bytes / 1024
        );
        let without = without.get_or_insert(cost.resident_bytes);
        println!(
            "{} KiB more",
            cost.resident_bytes.saturating_sub(*without) / 1024
        );
        let began = Instant::now();
        // All at once: one that did not answer pings for long would be given up.
        let sockets = try_join_all(sleepers.into_iter().map(|ws| wake(ws, 1, last)));
        let streams = try_join_all(
            sleeping_streams
                .into_iter()
                .map(|sse| wake_stream(sse, last)),
        );
        tokio::try_join!(sockets, streams)?;
        println!(
            "all have read {last} events each after {:?}",
            began.elapsed()
        );
    }
    Ok(())
}
