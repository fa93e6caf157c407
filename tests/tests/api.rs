//! The HTTP API: what it answers, what it refuses, and that a refused request changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    Execution, ExecutionStatus, ExecutionSummary, NodeStatus,
    error::Fault,
    rest::{Health, Overview, Page, Readiness},
    workflow::{Started, Validation, Workflow, WorkflowDetail, WorkflowVersion},
};
use limelight_tests::{
    Api, Database, Server, WsClient, eventually, on_every_database, server::repository,
    ws::ensure_gapless,
};
use reqwest::Method;
use serde_json::{Value, json};

const TWO: &str = "name: two\nnodes:\n  a: {kind: noop}\n  b: {kind: noop, needs: [a]}\n";

const ASK: &str = "name: ask\nnodes:\n  ask: {kind: approval, message: \"Go on?\"}\n";

const PARAMS: &str = "\
name: params
params:
  count: {type: integer, required: true}
  word: {type: string, default: hello}
nodes:
  a: {kind: noop}
";

on_every_database!(
    a_workflow_has_versions_that_can_be_read_and_it_can_be_deleted,
    an_execution_runs_to_its_end_and_can_be_read_in_every_way,
    a_key_makes_a_repeated_start_the_same_start,
    a_list_is_paged_without_missing_or_repeating_any,
    a_wrong_state_is_a_conflict_and_changes_nothing,
);

async fn ended(
    server: &Server,
    api: &Api,
    id: limelight_protocol::ExecutionId,
) -> Result<Execution> {
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    ws.until_end().await?;
    api.execution(id).await
}

#[tokio::test]
async fn a_server_tells_that_it_lives_and_whether_it_is_ready() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    for path in ["/health", "/api/health"] {
        let health: Health = api.read(path).await?;
        ensure!(health.success && health.status == "healthy", "{health:?}");
    }
    let readiness: Readiness = api.read("/ready").await?;
    let names: Vec<_> = readiness
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    ensure!(readiness.ready && names.contains(&"store"), "{readiness:?}");
    ensure!(names.len() > 1, "no actor is asked: {names:?}");
    let page = api.get("/").await?;
    ensure!(page.status == 200 && page.header("content-type").starts_with("text/html"));
    let about: Value = api.read("/api").await?;
    ensure!(
        about.to_string().contains(env!("CARGO_PKG_VERSION")),
        "{about}"
    );
    Ok(())
}

async fn a_workflow_has_versions_that_can_be_read_and_it_can_be_deleted(
    database: Database,
) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let first = api.create(TWO).await?;
    ensure!(first.workflow.version == 1 && first.workflow.name == "two");
    ensure!(first.source == TWO && first.nodes.len() == 2);
    let path = format!("/api/workflows/{}", first.workflow.id);

    let changed = TWO.replace("needs: [a]", "");
    let reply = api.send_definition(Method::PUT, &path, &changed).await?;
    let second: WorkflowDetail = reply.json(200)?;
    ensure!(second.workflow.version == 2 && second.workflow.id == first.workflow.id);
    ensure!(second.nodes.iter().all(|node| node.needs.is_empty()));

    let versions: Page<WorkflowVersion> = api.read(&format!("{path}/versions")).await?;
    let numbers: BTreeSet<u32> = versions
        .items
        .iter()
        .map(|version| version.version)
        .collect();
    ensure!(numbers == BTreeSet::from([1, 2]), "{versions:?}");
    let export = api.get(&format!("{path}/export")).await?;
    ensure!(
        export.status == 200 && export.body == changed,
        "{}",
        export.body
    );
    let again = api
        .send_definition(Method::POST, "/api/workflows", TWO)
        .await?;
    again.json::<Value>(409)?;

    ensure!(api.send(api.request(Method::DELETE, &path)).await?.status == 204);
    api.get(&path).await?.problem(404, "workflow_not_found")?;
    let list: Page<Workflow> = api.read("/api/workflows").await?;
    ensure!(
        list.items
            .iter()
            .all(|workflow| workflow.id != first.workflow.id)
    );
    Ok(())
}

async fn an_execution_runs_to_its_end_and_can_be_read_in_every_way(
    database: Database,
) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let workflow = api.create(PARAMS).await?.workflow.id;
    let id = api.execute(workflow, json!({"count": 3})).await?;
    let execution = ended(&server, &api, id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    ensure!(execution.id == id && execution.execution_id == id);
    ensure!(Value::from(execution.params.clone()) == json!({"count": 3, "word": "hello"}));
    ensure!((execution.completed_nodes, execution.total_nodes) == (1, 1));
    ensure!(execution.node_states[0].status == NodeStatus::Completed);

    let events = api.events(id, 2).await?;
    ensure_gapless(&events)?;
    ensure!(
        events.len() as u64 == execution.seq,
        "{} events",
        events.len()
    );
    let run: Execution = api.read(&format!("/api/runs/{id}")).await?;
    ensure!(run == execution, "runs and executions differ");
    let list: Page<ExecutionSummary> = api.read("/api/executions?status=completed").await?;
    ensure!(
        list.items == [ExecutionSummary::from(&execution)],
        "{list:?}"
    );
    let none: Page<ExecutionSummary> = api.read("/api/executions?status=failed").await?;
    ensure!(none.items.is_empty(), "{none:?}");
    let overview: Overview = api.read("/api/dashboard/overview").await?;
    ensure!(
        overview.last_day.completed == 1 && overview.recent.len() == 1,
        "{overview:?}"
    );

    let body = json!({"workflow": "params", "params": {"count": 1}});
    let started: Started = api.post_json("/api/runs", &body).await?.json(202)?;
    ensure!(started.workflow_id == workflow && started.execution_id != id);
    Ok(())
}

#[tokio::test]
async fn what_a_program_prints_can_be_read_as_its_log() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let yaml =
        "name: log\nnodes:\n  a: {kind: command, run: \"echo one; echo two >&2; echo three\"}\n";
    let id = api.launch(yaml).await?;
    ended(&server, &api, id).await?;
    let reply = api.get(&format!("/api/executions/{id}/logs/a")).await?;
    reply.json::<Value>(200)?;
    for line in ["one", "two", "three"] {
        ensure!(
            reply.body.contains(&format!("\"{line}\"")),
            "{}",
            reply.body
        );
    }
    let whole = api
        .get(&format!("/api/executions/{id}/logs/a?format=text"))
        .await?;
    let mut lines: Vec<&str> = whole.body.lines().collect();
    // Standard output and standard error are two pipes: their order is not given.
    lines.sort_unstable();
    ensure!(lines == ["one", "three", "two"], "{}", whole.body);
    Ok(())
}

#[tokio::test]
async fn every_fault_of_a_definition_is_reported_with_its_place_and_nothing_is_made() -> Result<()>
{
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let before: Page<Workflow> = api.read("/api/workflows").await?;
    let yaml = "\
name: bad
nodes:
  a: {kind: noop, needs: [b]}
  b: {kind: noop, needs: [a]}
  c: {kind: comand, run: \"true\"}
  d: {kind: noop, needs: [x]}
  e: {kind: command, run: \"true\", retry: {max_attempts: 0}}
";
    let reply = api
        .send_definition(Method::POST, "/api/workflows", yaml)
        .await?;
    let problem = reply.problem(422, "invalid_workflow")?;
    let place = |fault: &Fault| (fault.path.clone(), fault.code.clone());
    let places: BTreeSet<_> = problem.faults.iter().map(place).collect();
    for (path, code) in [
        ("nodes.c.kind", "unknown_kind"),
        ("nodes.d.needs[0]", "unknown_node"),
    ] {
        ensure!(
            places.contains(&(path.into(), code.into())),
            "{path}: {places:?}"
        );
    }
    ensure!(places.iter().any(|(_, code)| code == "cycle"), "{places:?}");
    ensure!(
        places
            .iter()
            .any(|(path, _)| path == "nodes.e.retry.max_attempts"),
        "{places:?}"
    );

    let reply = api
        .send_definition(Method::POST, "/api/workflows/validate", yaml)
        .await?;
    let validation: Validation = reply.json(200)?;
    ensure!(!validation.valid && validation.faults == problem.faults);
    let reply = api
        .send_definition(Method::POST, "/api/workflows/validate", TWO)
        .await?;
    ensure!(reply.json::<Validation>(200)?.valid);

    let mut crowd = String::from("name: crowd\nnodes:\n");
    for node in 0..=10_000 {
        crowd.push_str(&format!("  n{node}: {{kind: noop}}\n"));
    }
    for text in [crowd.as_str(), "name: [", "", "[]"] {
        let reply = api
            .send_definition(Method::POST, "/api/workflows", text)
            .await?;
        let problem = reply.problem(422, "invalid_workflow")?;
        ensure!(!problem.faults.is_empty());
    }
    let after: Page<Workflow> = api.read("/api/workflows").await?;
    ensure!(
        after.items.len() == before.items.len(),
        "a bad workflow was made"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_404_whatever_is_asked_of_it() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let nobody = "0199c0a0-0000-7000-8000-000000000001";
    for (path, code) in [
        ("/api/workflows/ID", "workflow_not_found"),
        ("/api/executions/ID", "execution_not_found"),
        ("/api/executions/ID/events", "execution_not_found"),
        ("/api/executions/ID/logs/a", "execution_not_found"),
        ("/api/runs/ID", "execution_not_found"),
        ("/api/testing/runs/ID", "test_run_not_found"),
        ("/api/executions/seven", "not_found"),
        ("/api/nothing", "not_found"),
    ] {
        let reply = api.get(&path.replace("ID", nobody)).await?;
        reply.problem(404, code).with_context(|| path.to_owned())?;
    }
    for (path, code) in [
        ("/api/workflows/ID/execute", "workflow_not_found"),
        ("/api/executions/ID/pause", "execution_not_found"),
        ("/api/executions/ID/nodes/a/approve", "execution_not_found"),
    ] {
        let reply = api.post(&path.replace("ID", nobody)).await?;
        reply.problem(404, code).with_context(|| path.to_owned())?;
    }
    let id = api.launch(ASK).await?;
    let reply = api
        .post(&format!("/api/executions/{id}/nodes/nobody/approve"))
        .await?;
    reply.problem(404, "node_not_found")?;
    let body = json!({"workflow": "no such workflow"});
    api.post_json("/api/runs", &body)
        .await?
        .problem(404, "workflow_not_found")?;
    let body = json!({"suite": "no such suite"});
    api.post_json("/api/testing/runs", &body)
        .await?
        .problem(404, "suite_not_found")?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let reply = api
        .send(api.request(Method::DELETE, "/api/executions"))
        .await?;
    reply.problem(405, "method_not_allowed")?;
    ensure!(
        reply.header("allow").contains("GET"),
        "Allow: {}",
        reply.header("allow")
    );
    Ok(())
}

#[tokio::test]
async fn a_body_that_makes_no_sense_is_refused_and_starts_nothing() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let workflow = api.create(PARAMS).await?.workflow.id;
    let path = format!("/api/workflows/{workflow}/execute");
    for params in [
        json!({}),
        json!({"count": "many"}),
        json!({"count": 1, "colour": "red"}),
    ] {
        let reply = api.post_json(&path, &json!({ "params": params })).await?;
        ensure!(
            reply.status == 422,
            "{params}: {} {}",
            reply.status,
            reply.body
        );
    }
    let reply = api.post_json(&path, &json!({"parms": {}})).await?;
    reply.problem(422, "invalid_body")?;
    let broken = api
        .request(Method::POST, &path)
        .header("content-type", "application/json");
    api.send(broken.body("{"))
        .await?
        .problem(400, "invalid_json")?;
    let list: Page<ExecutionSummary> = api.read("/api/executions").await?;
    ensure!(list.items.is_empty(), "{list:?}");
    let old = json!({"initial_context": {"count": 1}});
    api.post_json(&path, &old).await?.json::<Started>(202)?;
    Ok(())
}

async fn a_key_makes_a_repeated_start_the_same_start(database: Database) -> Result<()> {
    let mut server = Server::on(database).start().await?;
    let api = server.api()?;
    let workflow = api.create(TWO).await?.workflow.id;
    let start = |api: Api, key: &'static str| async move {
        let path = format!("/api/workflows/{workflow}/execute");
        let request = api.request(Method::POST, &path).json(&json!({}));
        let reply = api.send(request.header("Idempotency-Key", key)).await?;
        reply.json::<Started>(202)
    };
    let first = start(api.clone(), "one").await?;
    let (second, other) = tokio::try_join!(start(api.clone(), "one"), start(api.clone(), "two"))?;
    ensure!(first.execution_id == second.execution_id);
    ensure!(first.execution_id != other.execution_id);
    server.kill9()?;
    server.start().await?;
    ensure!(start(server.api()?, "one").await?.execution_id == first.execution_id);
    let list: Page<ExecutionSummary> = api.read("/api/executions").await?;
    ensure!(list.items.len() == 2, "{} executions", list.items.len());
    Ok(())
}

async fn a_list_is_paged_without_missing_or_repeating_any(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let workflow = api.create(TWO).await?.workflow.id;
    let mut started = Vec::new();
    for _ in 0..7 {
        started.push(api.execute(workflow, json!({})).await?);
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/executions?limit=3{cursor}");
        let page: Page<ExecutionSummary> = api.read(&path).await?;
        ensure!(page.items.len() <= 3);
        seen.extend(page.items.iter().map(|execution| execution.id));
        // One more while the list is being read must not shift the pages.
        api.execute(workflow, json!({})).await?;
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    started.reverse();
    ensure!(seen == started, "{seen:?} instead of {started:?}");
    ensure!(api.get("/api/executions?cursor=nonsense").await?.status == 400);
    ensure!(api.get("/api/executions?limit=many").await?.status == 400);
    Ok(())
}

async fn a_wrong_state_is_a_conflict_and_changes_nothing(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let id = api.launch(ASK).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.until_node(limelight_protocol::EventType::NodeWaiting, "ask")
        .await?;
    for verb in ["resume", "nodes/ask/retry"] {
        let reply = api.post(&format!("/api/executions/{id}/{verb}")).await?;
        ensure!(
            reply.status == 409,
            "{verb}: {} {}",
            reply.status,
            reply.body
        );
    }
    api.steer(id, "nodes/ask/approve").await?;
    ws.until_end().await?;
    let before = api.execution(id).await?;
    for verb in [
        "pause",
        "resume",
        "cancel",
        "nodes/ask/approve",
        "nodes/ask/reject",
    ] {
        let reply = api.post(&format!("/api/executions/{id}/{verb}")).await?;
        let problem = reply.json::<limelight_protocol::Problem>(409);
        ensure!(
            problem.is_ok_and(|problem| !problem.code.is_empty()),
            "{verb}: {}",
            reply.body
        );
    }
    ensure!(
        api.execution(id).await? == before,
        "a refused request changed something"
    );
    Ok(())
}

#[tokio::test]
async fn the_description_of_the_api_names_every_route_and_can_be_read_offline() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let description: Value = api.read("/api/openapi.json").await?;
    ensure!(
        description["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3."))
    );
    let expected = BTreeMap::from([
        ("/health", "get"),
        ("/ready", "get"),
        ("/metrics", "get"),
        ("/api/auth/login", "post"),
        ("/api/auth/logout", "post"),
        ("/api/auth/me", "get"),
        ("/api/workflows", "get post"),
        ("/api/workflows/{id}", "get put delete"),
        ("/api/workflows/{id}/versions", "get"),
        ("/api/workflows/{id}/export", "get"),
        ("/api/workflows/validate", "post"),
        ("/api/workflows/{id}/execute", "post"),
        ("/api/workflows/{id}/pause", "post"),
        ("/api/workflows/{id}/resume", "post"),
        ("/api/workflows/{id}/cancel", "post"),
        ("/api/executions", "get"),
        ("/api/executions/{id}", "get"),
        ("/api/executions/{id}/nodes", "get"),
        ("/api/executions/{id}/events", "get"),
        ("/api/executions/{id}/logs/{node}", "get"),
        ("/api/executions/{id}/pause", "post"),
        ("/api/executions/{id}/resume", "post"),
        ("/api/executions/{id}/cancel", "post"),
        ("/api/executions/{id}/nodes/{node}/retry", "post"),
        ("/api/executions/{id}/nodes/{node}/approve", "post"),
        ("/api/executions/{id}/nodes/{node}/reject", "post"),
        ("/api/runs", "get post"),
        ("/api/runs/{id}", "get"),
        ("/api/events", "get"),
        ("/api/metrics/system", "get"),
        ("/api/testing/suites", "get"),
        ("/api/testing/runs", "get post"),
        ("/api/testing/runs/{id}", "get"),
        ("/api/testing/runs/{id}/cancel", "post"),
        ("/api/actors", "get"),
        ("/api/dashboard/overview", "get"),
    ]);
    let missing: Vec<String> = expected
        .iter()
        .flat_map(|(path, methods)| methods.split(' ').map(move |method| (path, method)))
        .filter(|(path, method)| description["paths"][path][method].is_null())
        .map(|(path, method)| format!("{method} {path}"))
        .collect();
    ensure!(missing.is_empty(), "not described: {missing:?}");

    let mut page = api.get("/docs").await?;
    if (300..400).contains(&page.status) {
        let to = page.header("location").to_owned();
        page = api.get(to.trim_start_matches(&server.url())).await?;
    }
    ensure!(page.status == 200 && page.header("content-type").starts_with("text/html"));
    let foreign = ["src=\"http", "src=\"//", "href=\"http", "href=\"//"];
    ensure!(
        !foreign.iter().any(|start| page.body.contains(start)),
        "{}",
        page.body
    );
    Ok(())
}

#[tokio::test]
async fn readings_of_the_host_come_in_by_the_second() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let history = eventually("a reading of the host", || async {
        let history: limelight_protocol::host::HostHistory =
            api.read("/api/metrics/system").await?;
        Ok(history.latest.is_some().then_some(history))
    })
    .await?;
    let latest = history.latest.context("it was there")?;
    ensure!(
        latest.memory_total_bytes > 0 && !latest.cores_percent.is_empty(),
        "{latest:?}"
    );
    ensure!(latest.process.resident_bytes > 0 && latest.load_average.len() == 3);
    Ok(())
}

#[tokio::test]
async fn every_example_is_a_valid_workflow() -> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(repository().join("examples"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let reply = api
            .send_definition(Method::POST, "/api/workflows/validate", &text)
            .await?;
        let validation: Validation = reply.json(200)?;
        ensure!(
            validation.valid,
            "{}: {:?}",
            path.display(),
            validation.faults
        );
        names.push(path.file_name().map(std::ffi::OsStr::to_owned));
    }
    ensure!(names.len() >= 3, "{names:?}");
    Ok(())
}
