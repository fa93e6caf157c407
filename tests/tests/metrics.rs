//! What Prometheus reads, by the real Prometheus, and that what Grafana shows is there.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use limelight_tests::{Prometheus, Server, WsClient, eventually, server::repository};
use serde_json::Value;

/// Names of the form `limelight_…` or `process_…` in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("limelight_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// Runs promtool, with `input` on its standard input; what it says when it is not content.
fn promtool(args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool: is the Debian package there? (`make setup-test`)")?;
    child
        .stdin
        .take()
        .context("a pipe")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said)?;
    ensure!(output.status.success(), "promtool {args:?}: {said}");
    Ok(said)
}

/// A server that has something to count.
async fn busy_server() -> Result<Server> {
    let server = Server::sqlite().await?;
    let api = server.api()?;
    let mut ws = WsClient::connect(&server).await?;
    ws.subscribe("all", "executions", None).await?;
    for node in [
        "{kind: command, run: \"true\"}",
        "{kind: command, run: \"false\"}",
    ] {
        let yaml = format!("name: w{}\nnodes:\n  a: {node}\n", node.len());
        api.launch(&yaml).await?;
        ws.until_end().await?;
    }
    api.get("/api/nothing").await?;
    // What is read once a second is there from the first second on.
    eventually("the first readings", || async {
        let text = api.get("/metrics").await?.body;
        let read = [
            "limelight_actor_mailbox_depth{",
            "limelight_host_memory_total_bytes ",
        ];
        Ok(read
            .iter()
            .all(|sample| text.contains(sample))
            .then_some(()))
    })
    .await?;
    Ok(server)
}

#[tokio::test]
async fn promtool_is_content_and_the_names_keep_the_rules() -> Result<()> {
    let server = busy_server().await?;
    let reply = server.api()?.get("/metrics").await?;
    ensure!(reply.status == 200 && reply.header("content-type").starts_with("text/plain"));
    let said = promtool(&["check", "metrics"], &reply.body)?;
    ensure!(said.trim().is_empty(), "{said}");
    for line in reply
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').context("a name and a type")?;
        ensure!(kind != "counter" || name.ends_with("_total"), "{line}");
        let base_unit = !["_ms", "_millis", "_percent", "_kb", "_mb"]
            .iter()
            .any(|unit| name.ends_with(unit));
        ensure!(base_unit, "{name} is not in a base unit");
    }
    for (what, pieces) in [
        ("HTTP by route", ["http", "_bucket"]),
        ("node duration by kind", ["node", "_bucket"]),
        ("commit latency", ["commit", "_bucket"]),
        ("event delivery lag", ["lag", "_bucket"]),
        ("mailbox depth", ["mailbox", ""]),
    ] {
        let found = |line: &&str| {
            line.starts_with("limelight_") && pieces.iter().all(|piece| line.contains(piece))
        };
        ensure!(
            reply.body.lines().any(|line| found(&line)),
            "{what} is not measured"
        );
    }
    Ok(())
}

#[tokio::test]
async fn prometheus_scrapes_the_server_and_every_rule_and_panel_finds_its_metrics() -> Result<()> {
    let server = busy_server().await?;
    let exposed = names(&server.api()?.get("/metrics").await?.body);
    let folder = repository().join("grafana");
    let mut rules = None;
    let mut expressions = Vec::new();
    for path in files(&folder)? {
        let text = fs::read_to_string(&path)?;
        let missing: Vec<_> = names(&text).difference(&exposed).cloned().collect();
        ensure!(
            missing.is_empty(),
            "{}: not exposed: {missing:?}",
            path.display()
        );
        let file = path.to_str().context("a path in UTF-8")?;
        if file.ends_with(".json") {
            collect_expressions(&serde_json::from_str(&text)?, &mut expressions);
        } else if text.contains("alert:") {
            promtool(&["check", "rules", file], "")?;
            rules = Some(path.clone());
        } else if text.contains("scrape_configs:") {
            promtool(&["check", "config", "--syntax-only", file], "")?;
        }
    }
    ensure!(!expressions.is_empty(), "no dashboard has a query");
    let rules = rules.context("no alert rules")?;

    let prometheus = Prometheus::scraping(&server, &rules).await?;
    prometheus.scraped().await?;
    let groups = prometheus.get("/api/v1/rules").await?;
    let groups = groups["groups"].as_array().context("groups")?;
    ensure!(!groups.is_empty(), "no rule was loaded");
    for expression in expressions {
        let query = expression
            .replace("$__rate_interval", "1m")
            .replace("$__interval", "1m")
            .replace("$__range", "1h");
        let url = reqwest::Url::parse_with_params("http://x/api/v1/query", [("query", &query)])?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        prometheus.get(&path).await.with_context(|| query.clone())?;
    }
    Ok(())
}

/// The `expr` of every query in a dashboard.
fn collect_expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(expression)) = fields.get("expr") {
                found.push(expression.clone());
            }
            fields
                .values()
                .for_each(|value| collect_expressions(value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_expressions(item, found)),
        _ => {}
    }
}
