//! What a `kill -9` leaves behind, and what goes on after it.

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    Event, EventBody, EventType, ExecutionId, ExecutionStatus, NodeStatus, execution::WaitReason,
};
use limelight_tests::{
    Database, Gate, Server, WsClient, on_every_database, process,
    ws::{brief, ensure_gapless, is_about, is_end},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

on_every_database!(
    ten_kills_at_random_moments_lose_nothing_and_double_nothing,
    approvals_sleeps_and_pauses_still_stand_after_a_kill,
    an_interrupted_attempt_is_retried_unless_its_node_forbids_it,
);

async fn follow(server: &Server, id: ExecutionId) -> Result<WsClient> {
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    Ok(ws)
}

/// Like the demonstration, with more and shorter commands: layers of six that each need the layer
/// before, a node that fails at first, and a question at the end.
fn layered() -> String {
    let mut yaml = String::from("name: layered\nnodes:\n  start: {kind: noop}\n");
    let mut before = vec!["start".to_owned()];
    for layer in 0..6 {
        let needs = before.join(", ");
        before.clear();
        for place in 0..6 {
            let id = format!("l{layer}n{place}");
            let work = match place {
                0 => "kind: noop".to_owned(),
                1 => "kind: sleep, duration_s: 0.2".to_owned(),
                2 => "kind: command, retry: {max_attempts: 5, backoff_s: 0.05}, \
                      run: \"sleep 0.05; test $LIMELIGHT_ATTEMPT -gt 1\""
                    .to_owned(),
                _ => format!(
                    "kind: command, run: \"echo ::progress 50 half; sleep 0.1; echo '::output {{\\\"n\\\": {layer}}}'\""
                ),
            };
            yaml.push_str(&format!("  {id}: {{{work}, needs: [{needs}]}}\n"));
            before.push(id);
        }
    }
    let needs = before.join(", ");
    yaml.push_str(&format!("  ask: {{kind: approval, needs: [{needs}]}}\n"));
    yaml.push_str("  finish: {kind: noop, needs: [ask]}\n");
    yaml
}

/// A client that remembers what it has had, and resumes there.
struct Follower {
    execution: ExecutionId,
    seen: Vec<Event>,
}

impl Follower {
    fn has(&self, kind: EventType, node: &str) -> bool {
        let found = |event: &Event| event.kind == kind && is_about(event, node);
        self.seen.iter().any(found)
    }

    async fn resume(&self, server: &Server) -> Result<WsClient> {
        let mut ws = WsClient::connect(server).await?;
        let position = self.seen.last().map_or(0, |event| event.position);
        let cursor = ws.cursor(position);
        let topic = format!("execution:{}", self.execution);
        let subscribed = ws.subscribe("f", &topic, Some(cursor)).await?;
        ensure!(subscribed.recovered, "events were lost: {subscribed:?}");
        Ok(ws)
    }
}

async fn ten_kills_at_random_moments_lose_nothing_and_double_nothing(
    database: Database,
) -> Result<()> {
    let seed = match env::var("LIMELIGHT_TEST_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    println!("LIMELIGHT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut server = Server::on(database).start().await?;
    let execution = server.api()?.launch(&layered()).await?;
    let mut follower = Follower {
        execution,
        seen: Vec::new(),
    };
    for kill in 1..=10 {
        let mut ws = follower.resume(&server).await?;
        // A moment that is counted in events, and then some time within whatever goes on.
        for _ in 0..random.random_range(0..25) {
            if follower.has(EventType::NodeWaiting, "ask") {
                break;
            }
            follower.seen.push(ws.event().await?.1);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
        println!("kill {kill} after {} events", follower.seen.len());
        server.kill9()?;
        server.start().await?;
    }
    let mut ws = follower.resume(&server).await?;
    while !follower.has(EventType::NodeWaiting, "ask") {
        follower.seen.push(ws.event().await?.1);
    }
    let api = server.api()?;
    api.steer(execution, "nodes/ask/approve").await?;
    while !follower.seen.last().is_some_and(|event| is_end(event.kind)) {
        follower.seen.push(ws.event().await?.1);
    }

    ensure_gapless(&follower.seen)?;
    let rising = |pair: &[Event]| pair[0].position < pair[1].position;
    ensure!(
        follower.seen.windows(2).all(rising),
        "positions do not rise"
    );
    let stored = api.events(execution, 100).await?;
    ensure!(serde_json::to_value(&stored)? == serde_json::to_value(&follower.seen)?);
    let end = api.execution(execution).await?;
    ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
    ensure!(
        end.node_states
            .iter()
            .all(|node| node.status == NodeStatus::Completed),
        "{end:?}"
    );
    committed_results_stay(&follower.seen)
}

/// A node is completed once and started no more after that; its attempts count 1, 2, 3, ...
fn committed_results_stay(events: &[Event]) -> Result<()> {
    let mut completed = BTreeMap::new();
    let mut attempts = BTreeMap::new();
    for event in events {
        let Some(node) = &event.node_id else { continue };
        ensure!(
            !completed.contains_key(node),
            "{} after its completion",
            brief(event)
        );
        match event.body()? {
            EventBody::NodeStarted(body) => {
                let before = attempts.insert(node.clone(), body.attempt).unwrap_or(0);
                ensure!(
                    body.attempt == before + 1,
                    "{node}: {} after {before}",
                    body.attempt
                );
            }
            EventBody::NodeCompleted(body) => {
                ensure!(
                    attempts.get(node) == Some(&body.attempt),
                    "{node}: {body:?}"
                );
                completed.insert(node.clone(), body);
            }
            _ => {}
        }
    }
    Ok(())
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
