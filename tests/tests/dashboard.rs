//! The dashboard in a real browser, as a user goes through it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use limelight_protocol::{Execution, ExecutionStatus, ExecutionSummary, rest::Page};
use limelight_tests::{Api, Browser, Database, Server, browser::test_id, eventually};
use serde_json::{Value, json};

const SUITE: &str = r#"
[[suites]]
name = "shell"
description = "Two cases"
command = ["/bin/sh", "-c", "echo 1..2; echo 'ok 1 - starts'; echo 'not ok 2 - stops'"]
format = "tap"
"#;

/// A workflow that waits twice for a person, with output in between.
const STEPS: &str = "\
name: steps
nodes:
  first: {kind: command, run: \"echo the first line; echo the second line\"}
  ask: {kind: approval, needs: [first], message: \"Go on?\"}
  loop: {kind: command, needs: [ask], run: \"for i in 1 2 3 4 5; do echo step $i; echo ::progress ${i}0 step $i; sleep 0.2; done\"}
  again: {kind: approval, needs: [loop], message: \"And on?\"}
  last: {kind: noop, needs: [again]}
";

/// A browser on a server that asks nobody.
async fn visitor() -> Result<(Server, Browser)> {
    let server = Server::on(Database::sqlite()).config(SUITE).start().await?;
    let browser = Browser::start().await?;
    Ok((server, browser))
}

async fn no_console_errors(browser: &Browser) -> Result<()> {
    let errors = browser.console_errors().await?;
    ensure!(errors.is_empty(), "the console has errors: {errors:#?}");
    Ok(())
}

fn node(id: &str, status: &str) -> String {
    format!(
        "{}[data-status=\"{status}\"]",
        test_id(&format!("node-{id}"))
    )
}

fn execution_status(status: &str) -> String {
    format!("{}[data-status=\"{status}\"]", test_id("execution-status"))
}

/// Starts a workflow by API and opens its page.
async fn open_execution(server: &Server, browser: &Browser, yaml: &str) -> Result<Execution> {
    let api = server.api()?;
    let id = api.launch(yaml).await?;
    browser
        .open(&format!("{}/executions/{id}", server.url()))
        .await?;
    api.execution(id).await
}

#[tokio::test]
async fn a_user_signs_in_by_link_and_runs_the_demonstration() -> Result<()> {
    let server = Server::on(Database::sqlite()).with_auth().start().await?;
    let browser = Browser::start().await?;
    browser.open(&server.url()).await?;
    browser.screenshot("sign-in").await?;
    let line = server.stdout_line(|line| line.contains("#code=")).await?;
    let link = line.split_whitespace().find(|word| word.contains("#code="));
    let link = link.context("a link")?;
    browser.open(link).await?;
    browser.see(&test_id("nav-overview")).await?;
    ensure!(
        !browser.url().await?.contains("code="),
        "the code stays in the address"
    );
    // The page asks who is there, and is told by a 401, which Chromium notes.
    let noted = browser.console_errors().await?;
    let asked = |line: &String| line.contains("/api/auth/me") && line.contains("401");
    ensure!(noted.iter().all(asked), "{noted:#?}");

    browser.click("nav-workflows").await?;
    browser.see(&test_id("run-workflow")).await?;
    browser.screenshot("workflows-light").await?;
    browser.click("run-workflow").await?;
    browser.click("run-start").await?;
    browser.see(&execution_status("running")).await?;
    browser.see(&node("build", "running")).await?;
    browser.screenshot("execution-light").await?;
    browser.see(&node("build", "completed")).await?;
    browser.see(&node("lint", "failed")).await?;
    browser.see(&node("nightly", "skipped")).await?;
    browser.see(&node("approve", "waiting")).await?;
    browser.click("node-approve").await?;
    browser.click("btn-approve").await?;
    browser.see(&node("publish", "completed")).await?;
    browser.see(&execution_status("completed")).await?;
    browser.screenshot("execution-done-light").await?;

    let token = server.token("vera", limelight_protocol::auth::Role::Viewer)?;
    let api = Api::new(&server.url(), Some(token))?;
    let list: Page<ExecutionSummary> = api.read("/api/executions").await?;
    ensure!(list.items.len() == 1 && list.items[0].status == ExecutionStatus::Completed);
    ensure!(list.items[0].started_by == "admin", "{list:?}");
    no_console_errors(&browser).await
}

#[tokio::test]
async fn an_execution_is_steered_from_its_page() -> Result<()> {
    let (server, browser) = visitor().await?;
    open_execution(&server, &browser, STEPS).await?;
    browser.see(&node("ask", "waiting")).await?;
    browser.click("btn-pause").await?;
    browser.see(&execution_status("paused")).await?;
    browser.click("btn-resume").await?;
    browser.see(&execution_status("running")).await?;

    browser.click("node-first").await?;
    browser.see(&test_id("log-line")).await?;
    let lines = browser.text("body").await?;
    ensure!(
        lines.contains("the first line") && lines.contains("the second line"),
        "{lines}"
    );

    browser.click("node-ask").await?;
    browser.click("btn-approve").await?;
    browser.see(&node("loop", "running")).await?;
    browser.see(&node("again", "waiting")).await?;
    browser.click("node-again").await?;
    browser.click("btn-reject").await?;
    browser.see(&node("again", "failed")).await?;
    browser.see(&execution_status("failed")).await?;
    browser.click("btn-retry").await?;
    browser.see(&node("again", "waiting")).await?;
    browser.click("btn-cancel").await?;
    browser.click("btn-cancel-confirm").await?;
    browser.see(&execution_status("cancelled")).await?;
    no_console_errors(&browser).await
}

#[tokio::test]
async fn after_a_kill_of_the_server_the_page_has_every_event() -> Result<()> {
    let (mut server, browser) = visitor().await?;
    let execution = open_execution(&server, &browser, STEPS).await?;
    browser.see(&node("ask", "waiting")).await?;
    let live = format!("{}[data-state=\"live\"]", test_id("connection-badge"));
    browser.see(&live).await?;

    server.kill9()?;
    browser
        .see(&format!(
            "{}:not([data-state=\"live\"])",
            test_id("connection-badge")
        ))
        .await?;
    // What a browser notes about a server that is not there is no error of the page.
    server.start().await?;
    let api = server.api()?;
    api.steer(execution.id, "nodes/ask/approve").await?;
    browser.see(&live).await?;
    browser.see(&node("again", "waiting")).await?;
    api.steer(execution.id, "nodes/again/approve").await?;
    browser.see(&execution_status("completed")).await?;
    let refused = browser.console_errors().await?;
    let foreign = |line: &&String| !line.contains("ERR_CONNECTION") && !line.contains("WebSocket");
    let own: Vec<_> = refused.iter().filter(foreign).collect();
    ensure!(own.is_empty(), "{own:#?}");

    let events = api.events(execution.id, 100).await?;
    let seqs: Vec<String> = events.iter().map(|event| event.seq.to_string()).collect();
    eventually("all events on the page", || async {
        let mut shown = browser
            .attributes(&test_id("event-row"), "data-seq")
            .await?;
        shown.sort_by_key(|seq| seq.parse::<u64>().unwrap_or_default());
        ensure!(
            shown.windows(2).all(|pair| pair[0] != pair[1]),
            "twice: {shown:?}"
        );
        Ok((shown == seqs).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_suite_is_started_from_the_page_and_its_cases_come_in() -> Result<()> {
    let (server, browser) = visitor().await?;
    browser.open(&server.url()).await?;
    browser.click("nav-tests").await?;
    browser.click("run-suite").await?;
    let rows = format!("{} ~ {}", test_id("case-row"), test_id("case-row"));
    browser.see(&rows).await?;
    let text = browser.text("body").await?;
    ensure!(text.contains("starts") && text.contains("stops"), "{text}");
    browser.screenshot("tests-light").await?;
    no_console_errors(&browser).await
}

#[tokio::test]
async fn every_page_is_there_in_both_themes() -> Result<()> {
    let (server, browser) = visitor().await?;
    let execution = open_execution(&server, &browser, STEPS).await?;
    browser.see(&node("ask", "waiting")).await?;
    let theme = || async {
        let theme = browser
            .script("return document.documentElement.dataset.theme", vec![])
            .await?;
        theme.as_str().map(str::to_owned).context("a theme")
    };
    let mut backgrounds = BTreeMap::new();
    for _ in 0..2 {
        let name = theme().await?;
        for (page, path, proof) in [
            ("overview", "/".to_owned(), "nav-overview"),
            ("workflows", "/workflows".to_owned(), "run-workflow"),
            ("executions", "/executions".to_owned(), "nav-executions"),
            (
                "execution",
                format!("/executions/{}", execution.id),
                "node-first",
            ),
            ("tests", "/tests".to_owned(), "run-suite"),
            ("actors", "/actors".to_owned(), "actor-row"),
        ] {
            browser.open(&format!("{}{path}", server.url())).await?;
            browser.see(&test_id(proof)).await?;
            browser
                .see(&format!(
                    "{}[data-state=\"live\"]",
                    test_id("connection-badge")
                ))
                .await?;
            ensure!(theme().await? == name, "{page} forgets the theme");
            browser.screenshot(&format!("{page}-{name}")).await?;
        }
        let color = browser
            .script(
                "return getComputedStyle(document.body).backgroundColor",
                vec![],
            )
            .await?;
        backgrounds.insert(name, color);
        browser.click("theme-toggle").await?;
    }
    ensure!(backgrounds.len() == 2, "one theme only: {backgrounds:?}");
    let mut colors = backgrounds.values();
    ensure!(
        colors.next() != colors.next(),
        "both look the same: {backgrounds:?}"
    );
    no_console_errors(&browser).await
}

#[tokio::test]
async fn the_page_can_be_used_by_keyboard() -> Result<()> {
    let (server, browser) = visitor().await?;
    browser.open(&server.url()).await?;
    browser.see(&test_id("nav-overview")).await?;
    let mut reached = Vec::new();
    for _ in 0..30 {
        browser.press_tab().await?;
        let focus = browser
            .script(
                "const e = document.activeElement; const o = getComputedStyle(e); \
                 const named = e.closest('[data-testid]'); \
                 return [named ? named.dataset.testid : e.tagName, o.outlineStyle !== 'none' || o.boxShadow !== 'none']",
                vec![],
            )
            .await?;
        let name = focus[0].as_str().unwrap_or_default().to_owned();
        ensure!(
            name == "BODY" || focus[1] == json!(true),
            "{name} does not show its focus"
        );
        reached.push(name);
    }
    for id in [
        "nav-overview",
        "nav-workflows",
        "nav-executions",
        "nav-tests",
        "nav-actors",
        "theme-toggle",
    ] {
        ensure!(
            reached.iter().any(|name| name == id),
            "{id} is not reached: {reached:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn files_of_the_page_are_compressed_and_cached_for_ever_but_the_page_itself_never()
-> Result<()> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let page = api.get("/").await?;
    ensure!(page.status == 200);
    let caching = page.header("cache-control");
    ensure!(
        caching.contains("no-cache") || caching.contains("no-store"),
        "{caching}"
    );
    let deep = api.get("/executions/some-id").await?;
    ensure!(
        deep.status == 200 && deep.body == page.body,
        "a deep link does not open the page"
    );
    let file = page
        .body
        .split(['"', '\''])
        .find(|word| word.ends_with(".js"))
        .context("a script")?;
    let file = format!("/{}", file.trim_start_matches(['.', '/']));
    for encoding in ["br", "gzip"] {
        let request = api.request(reqwest::Method::GET, &file);
        let reply = request.header("accept-encoding", encoding).send().await?;
        let header = |name: &str| {
            let value = reply
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        ensure!(reply.status().as_u16() == 200, "{file}: {}", reply.status());
        ensure!(
            header("content-encoding") == encoding,
            "{file}: {}",
            header("content-encoding")
        );
        ensure!(
            header("cache-control").contains("immutable"),
            "{}",
            header("cache-control")
        );
    }
    let missing = api.get("/no-such-file.js").await?;
    ensure!(missing.status == 404, "{}", missing.status);
    let about: Value = api.read("/api").await?;
    ensure!(about.is_object());
    Ok(())
}
