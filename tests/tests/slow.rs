//! A subscriber that stops reading: it costs the server no memory, others no time, and itself no event.

use anyhow::{Context, Result, ensure};
use limelight_protocol::Event;
use limelight_tests::{Server, WsClient, process, ws::is_end};
use serde_json::json;

/// Events that pass while the subscriber does not read.
const EVENTS: usize = 100_000;
/// What the server may grow by meanwhile, bytes.
const MOST_GROWTH: u64 = 20 * 1024 * 1024;
/// Nodes of the workflow that makes the events: each is queued, started and completed.
const NODES: usize = 300;

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
    let nodes: Vec<String> = (0..NODES)
        .map(|node| format!("  n{node}: {{kind: noop}}\n"))
        .collect();
    let yaml = format!("name: many\nnodes:\n{}", nodes.concat());
    let workflow = api.create(&yaml).await?.workflow.id;

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
