//! Suites of other programs, run by the server and shown case by case.

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    EventBody, EventType, TestRunId,
    rest::Page,
    testing::{CaseStatus, Suite, TestRun, TestRunStatus},
};
use limelight_tests::{Database, Gate, Server, WsClient, eventually, process, ws::ensure_gapless};
use serde_json::{Value, json};

/// A suite in TAP that says one case, waits at a gate, and says two more.
async fn server() -> Result<(Server, Gate)> {
    let gate = Gate::new()?;
    let script = format!(
        "echo 1..3; echo 'ok 1 - first'; {}; \
         echo 'not ok 2 - second'; echo 'ok 3 - third # SKIP not here'; exit 1",
        gate.wait()
    );
    let config = format!(
        "[[suites]]\nname = \"tap\"\ndescription = \"Three cases\"\n\
         command = [\"/bin/sh\", \"-c\", \"\"\"{script}\"\"\"]\nformat = \"tap\"\n\n\
         [[suites]]\nname = \"good\"\ncommand = [\"/bin/sh\", \"-c\", \"echo 'test a::b ... ok'; echo 'test a::c ... ignored'\"]\nformat = \"libtest\"\n\n\
         [[suites]]\nname = \"missing\"\ncommand = [\"/no/such/program\"]\nformat = \"tap\"\n"
    );
    let server = Server::on(Database::sqlite())
        .config(&config)
        .start()
        .await?;
    Ok((server, gate))
}

async fn start(server: &Server, suite: &str) -> Result<TestRun> {
    let body = json!({ "suite": suite });
    let reply = server.api()?.post_json("/api/testing/runs", &body).await?;
    reply.json(202)
}

async fn follow(server: &Server, run: TestRunId) -> Result<WsClient> {
    let mut ws = WsClient::connect(server).await?;
    let beginning = ws.cursor(0);
    ws.subscribe("t", &format!("test-run:{run}"), Some(beginning))
        .await?;
    Ok(ws)
}

async fn read(server: &Server, run: TestRunId) -> Result<TestRun> {
    server
        .api()?
        .read(&format!("/api/testing/runs/{run}"))
        .await
}

#[tokio::test]
async fn cases_come_in_as_they_end() -> Result<()> {
    let (server, gate) = server().await?;
    let suites: Value = server.api()?.read("/api/testing/suites").await?;
    let list = suites.get("items").unwrap_or(&suites);
    let suites: Vec<Suite> = serde_json::from_value(list.clone())?;
    ensure!(
        suites
            .iter()
            .any(|suite| suite.name == "tap" && suite.description == "Three cases")
    );

    let run = start(&server, "tap").await?;
    ensure!(
        run.status == TestRunStatus::Running && run.suite == "tap",
        "{run:?}"
    );
    let mut ws = follow(&server, run.id).await?;
    let mut events = ws.until(|event| event.kind == EventType::TestCase).await?;
    let under_way = read(&server, run.id).await?;
    ensure!(under_way.status == TestRunStatus::Running && under_way.counts.passed == 1);

    gate.open()?;
    events.extend(
        ws.until(|event| event.kind == EventType::TestFinished)
            .await?,
    );
    ensure_gapless(&events)?;
    let mut cases = Vec::new();
    for event in &events {
        if let EventBody::TestCase(case) = event.body()? {
            cases.push(case);
        }
    }
    let outcome: Vec<_> = cases.iter().map(|case| case.status).collect();
    ensure!(
        outcome == [CaseStatus::Passed, CaseStatus::Failed, CaseStatus::Skipped],
        "{cases:?}"
    );
    ensure!(cases[1].name.contains("second"), "{cases:?}");

    let end = read(&server, run.id).await?;
    ensure!(
        end.status == TestRunStatus::Failed && end.cases == cases,
        "{end:?}"
    );
    ensure!((end.counts.passed, end.counts.failed, end.counts.skipped) == (1, 1, 1));
    let list: Page<TestRun> = server.api()?.read("/api/testing/runs").await?;
    ensure!(list.items.len() == 1 && list.items[0].id == run.id);
    Ok(())
}

#[tokio::test]
async fn a_suite_that_passes_has_passed_and_one_that_cannot_start_has_not() -> Result<()> {
    let (server, _gate) = server().await?;
    for (suite, status) in [
        ("good", TestRunStatus::Passed),
        ("missing", TestRunStatus::Failed),
    ] {
        let run = start(&server, suite).await?;
        let mut ws = follow(&server, run.id).await?;
        ws.until(|event| event.kind == EventType::TestFinished)
            .await?;
        let end = read(&server, run.id).await?;
        ensure!(end.status == status, "{end:?}");
        ensure!(end.error.is_some() == (suite == "missing"), "{end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_run_can_be_cancelled_and_then_its_programs_are_gone() -> Result<()> {
    let (server, _gate) = server().await?;
    let run = start(&server, "tap").await?;
    let mut ws = follow(&server, run.id).await?;
    ws.until(|event| event.kind == EventType::TestCase).await?;
    let children = process::children(server.pid()?)?;
    ensure!(!children.is_empty(), "the suite is no child of the server");
    let reply = server
        .api()?
        .post(&format!("/api/testing/runs/{}/cancel", run.id))
        .await?;
    ensure!(
        (200..300).contains(&reply.status),
        "{} {}",
        reply.status,
        reply.body
    );
    ws.until(|event| event.kind == EventType::TestFinished)
        .await?;
    let end = read(&server, run.id).await?;
    ensure!(end.status == TestRunStatus::Cancelled, "{end:?}");
    for child in children {
        process::gone(child).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_a_kill_ended_is_told_as_interrupted() -> Result<()> {
    let (mut server, _gate) = server().await?;
    let run = start(&server, "tap").await?;
    let mut ws = follow(&server, run.id).await?;
    ws.until(|event| event.kind == EventType::TestCase).await?;
    let children = process::children(server.pid()?)?;
    server.kill9()?;
    server.start().await?;
    let end = eventually("the end of the test run", || async {
        let run = read(&server, run.id).await?;
        Ok((run.status != TestRunStatus::Running).then_some(run))
    })
    .await?;
    ensure!(end.status == TestRunStatus::Interrupted, "{end:?}");
    ensure!(
        end.counts.passed == 1,
        "a case that was shown is lost: {end:?}"
    );
    for child in children {
        process::gone(child).await?;
    }
    let mut ws = follow(&server, run.id).await?;
    let events = ws
        .until(|event| event.kind == EventType::TestFinished)
        .await?;
    ensure_gapless(&events)?;
    events.last().context("events").map(drop)
}

#[tokio::test]
async fn a_flood_of_cases_is_recorded_in_part_and_is_no_success() -> Result<()> {
    let config = "[[suites]]\nname = \"flood\"\nformat = \"tap\"\n\
                  command = [\"/bin/sh\", \"-c\", \"seq 1 30000 | sed 's/^/ok /'\"]\n";
    let server = Server::on(Database::sqlite())
        .config(config)
        .start()
        .await?;
    let run = start(&server, "flood").await?;
    let mut ws = follow(&server, run.id).await?;
    ws.until(|event| event.kind == EventType::TestFinished)
        .await?;
    let run = read(&server, run.id).await?;
    ensure!(run.status == TestRunStatus::Failed && run.counts.passed == 20_000);
    let error = run.error.context("an error")?;
    ensure!(error.contains("more than 20000 cases"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_suite_that_takes_too_long_may_clean_up_and_leaves_nothing() -> Result<()> {
    let folder = Gate::new()?;
    let cleaned = folder.path();
    let config = format!(
        "[[suites]]\nname = \"slow\"\nformat = \"tap\"\ntimeout_s = 0.5\ncommand = [\"/bin/sh\", \"-c\", \
         \"\"\"setsid sleep 600 & echo $! > {0}.pid; trap 'touch {0}; exit' TERM; while :; do sleep 0.01; done\"\"\"]\n",
        cleaned.display()
    );
    let server = Server::on(Database::sqlite())
        .config(&config)
        .start()
        .await?;
    let run = start(&server, "slow").await?;
    let mut ws = follow(&server, run.id).await?;
    ws.until(|event| event.kind == EventType::TestFinished)
        .await?;
    let run = read(&server, run.id).await?;
    let error = run.error.context("an error")?;
    ensure!(error == "took longer than 0.5 s", "{error}");
    ensure!(cleaned.exists(), "it was not asked to end");
    let pid = std::fs::read_to_string(cleaned.with_extension("pid"))?;
    ensure!(!process::is_alive(pid.trim().parse()?), "{pid} is left");
    Ok(())
}
