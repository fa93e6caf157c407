//! Faults of the database while work goes on: the server heals by itself, and what it answered stays.

use std::{collections::BTreeMap, fs};

use anyhow::{Result, ensure};
use limelight_protocol::{ExecutionStatus, NodeStatus};
use limelight_test_support::{Postgres, Proxy, Statement};
use limelight_tests::{
    Database, Server, WsClient,
    ws::{brief, ensure_gapless},
};

/// Executions that run while commits lose their answers.
const EXECUTIONS: usize = 6;

/// Commands that may run once only, and a question; each command leaves a line.
fn once(file: &str) -> String {
    let mut yaml = String::from("name: once\nnodes:\n");
    for chain in ["a", "b"] {
        for step in 0..4 {
            let needs = match step {
                0 => String::new(),
                _ => format!("needs: [{chain}{}], ", step - 1),
            };
            yaml.push_str(&format!(
                "  {chain}{step}: {{kind: command, retry: never, {needs}\
                 run: 'echo $LIMELIGHT_IDEMPOTENCY_KEY >> {file}; echo ::progress 50 half'}}\n"
            ));
        }
    }
    yaml.push_str("  ask: {kind: approval, needs: [a3, b3]}\n");
    yaml.push_str("  last: {kind: command, retry: never, needs: [ask], run: 'true'}\n");
    yaml
}

#[tokio::test]
async fn commits_whose_answers_are_lost_are_neither_doubled_nor_failed_nor_refused() -> Result<()> {
    let proxy = Proxy::before(&Postgres::shared().new_database());
    let database = Database::Postgres(proxy.url().to_owned());
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let file = server.folder().join("done");
    let workflow = api.create(&once(&file.display().to_string())).await?;
    proxy.cut_answers(|statement, number| statement == Statement::Journal && number % 3 == 1);

    let mut ids = Vec::new();
    for _ in 0..EXECUTIONS {
        let id = api
            .execute(workflow.workflow.id, serde_json::json!({}))
            .await?;
        // Each is answered with what was done: 200, though its commit may have lost its answer.
        api.steer(id, "pause").await?;
        api.steer(id, "resume").await?;
        ids.push(id);
    }
    for &id in &ids {
        let mut ws = WsClient::connect(&server).await?;
        ws.follow(id).await?;
        ws.until_node(limelight_protocol::EventType::NodeWaiting, "ask")
            .await?;
        api.steer(id, "nodes/ask/approve").await?;
        let events = ws.until_end().await?;
        println!("{id}: {}", events.last().map(brief).unwrap_or_default());
    }

    let mut all = Vec::new();
    for &id in &ids {
        let end = api.execution(id).await?;
        ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
        for node in &end.node_states {
            ensure!(
                node.status == NodeStatus::Completed && node.attempt_count == 1,
                "{node:?}"
            );
        }
        let events = api.events(id, 500).await?;
        ensure_gapless(&events)?;
        all.extend(events.iter().map(|event| event.position));
    }
    all.sort_unstable();
    ensure!(
        all.iter().copied().eq(1..=all.len() as u64),
        "the journal has a hole or a double: {all:?}"
    );
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(&file)?.lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    // Where the variable is not set, the lines are empty and only their number tells.
    let ran: usize = lines.values().sum();
    ensure!(ran == EXECUTIONS * 8, "{ran} commands ran: {lines:?}");

    let log = proxy.log();
    println!("{}", log.join("\n"));
    ensure!(log.len() >= EXECUTIONS, "hardly anything was cut: {log:?}");
    ensure!(
        !server.stderr().contains("panicked"),
        "something panicked: {}",
        server.stderr()
    );
    Ok(())
}
