//! Time as the server meets it: a clock that somebody sets, and a process that stands still for a while.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    Event, EventType, Execution, ExecutionId, ExecutionStatus, NodeState, NodeStatus, rest::Health,
    workflow::Started,
};
use limelight_tests::{
    Database, Gate, Server, WsClient, eventually, on_every_database, process,
    ws::{ensure_gapless, is_about, is_end},
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

on_every_database!(
    a_clock_that_is_set_ends_nothing_early_and_lets_nothing_hang,
    a_server_that_stood_still_for_a_minute_goes_on,
);

/// Longest of the waits below, in seconds.
const WAIT_S: u64 = 4;

/// Everything that waits for a time, and a command that waits for the gate.
fn waits(gate: &Gate) -> String {
    let wait = gate.wait();
    format!(
        "name: waits\nnodes:\n  \
         nap: {{kind: sleep, duration_s: {WAIT_S}}}\n  \
         late: {{kind: command, timeout_s: {WAIT_S}, on_failure: continue, run: 'sleep 600'}}\n  \
         again: {{kind: command, retry: {{max_attempts: 2, backoff_s: {WAIT_S}}}, run: 'test $LIMELIGHT_ATTEMPT = 2'}}\n  \
         held: {{kind: command, timeout_s: 600, run: '{wait}'}}\n  \
         ask: {{kind: approval}}\n  \
         last: {{kind: noop, needs: [nap, late, again, held, ask]}}\n"
    )
}

fn node<'a>(execution: &'a Execution, name: &str) -> Result<&'a NodeState> {
    let mut nodes = execution.node_states.iter();
    nodes
        .find(|node| node.node_id.as_str() == name)
        .with_context(|| name.to_owned())
}

/// All of it ended as it would have in a quiet hour: each wait once, and nothing that had time failed.
fn ensure_undisturbed(execution: &Execution) -> Result<()> {
    for (name, status, attempts) in [
        ("nap", NodeStatus::Completed, 1),
        ("late", NodeStatus::Failed, 1),
        ("again", NodeStatus::Completed, 2),
        ("held", NodeStatus::Completed, 1),
        ("ask", NodeStatus::Completed, 1),
        ("last", NodeStatus::Completed, 1),
    ] {
        let node = node(execution, name)?;
        ensure!(
            node.status == status && node.attempt_count == attempts,
            "{node:?}"
        );
        ensure!(node.duration_s.is_none_or(|took| took >= 0.0), "{node:?}");
    }
    let error = node(execution, "late")?.error.as_ref();
    ensure!(
        error.is_some_and(|error| error.code == "timeout"),
        "{error:?}"
    );
    ensure!(execution.status == ExecutionStatus::Completed);
    ensure!(execution.duration_s.is_some_and(|took| took >= 0.0));
    Ok(())
}

/// A client that follows one execution, over as many sockets as it takes.
struct Follower {
    id: ExecutionId,
    seen: Vec<Event>,
    ws: WsClient,
}

impl Follower {
    async fn new(server: &Server, id: ExecutionId) -> Result<Self> {
        let mut ws = WsClient::connect(server).await?;
        ws.follow(id).await?;
        let seen = Vec::new();
        Ok(Self { id, seen, ws })
    }

    fn has(&self, kind: EventType, node: &str) -> bool {
        let found = |event: &Event| event.kind == kind && is_about(event, node);
        self.seen.iter().any(found)
    }

    async fn until(&mut self, server: &Server, done: impl Fn(&Self) -> bool) -> Result<()> {
        while !done(self) {
            if let Some((_, event)) = self.ws.event_or_end().await? {
                self.seen.push(event);
                continue;
            }
            self.ws = WsClient::connect(server).await?;
            let position = self.seen.last().map_or(0, |event| event.position);
            let cursor = self.ws.cursor(position);
            let topic = format!("execution:{}", self.id);
            let subscribed = self.ws.subscribe("again", &topic, Some(cursor)).await?;
            ensure!(subscribed.recovered, "{subscribed:?}");
        }
        Ok(())
    }

    /// Until every wait has begun.
    async fn until_waiting(&mut self, server: &Server) -> Result<()> {
        let begun = |this: &Self| {
            this.has(EventType::NodeWaiting, "nap")
                && this.has(EventType::NodeWaiting, "ask")
                && this.has(EventType::NodeStarted, "late")
                && this.has(EventType::NodeStarted, "held")
                && this.has(EventType::NodeRetrying, "again")
        };
        self.until(server, begun).await
    }

    async fn until_end(&mut self, server: &Server) -> Result<()> {
        let ended = |this: &Self| this.seen.last().is_some_and(|event| is_end(event.kind));
        self.until(server, ended).await?;
        ensure_gapless(&self.seen)?;
        let stored = server.api()?.events(self.id, 500).await?;
        ensure!(serde_json::to_value(&stored)? == serde_json::to_value(&self.seen)?);
        Ok(())
    }
}

/// The wall clock of one process.
struct Clock(TempDir);

impl Clock {
    fn new() -> Result<Self> {
        let clock = Self(tempfile::tempdir()?);
        clock.set("+0")?;
        Ok(clock)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    /// Sets it to the true time and so many seconds: `+3600`.
    fn set(&self, offset: &str) -> Result<()> {
        let new = self.0.path().join("new");
        fs::write(&new, offset)?;
        Ok(fs::rename(new, self.file())?)
    }

    async fn server(&self, database: Database) -> Result<Server> {
        let library = library().context(
            "this test sets the clock of a process: install Debian's package `libfaketime`",
        )?;
        Server::on(database)
            .env("LD_PRELOAD", &library.display().to_string())
            .env(
                "FAKETIME_TIMESTAMP_FILE",
                &self.file().display().to_string(),
            )
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start()
            .await
    }
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries =
        folders.map(|folder| folder.path().join(Path::new("faketime/libfaketimeMT.so.1")));
    libraries.find(|library| library.exists())
}

/// How far the server's wall clock is ahead of the true time, in seconds.
async fn ahead_s(server: &Server) -> Result<f64> {
    let health: Health = server.api()?.read("/health").await?;
    let now = limelight_protocol::Timestamp(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis()
            .try_into()?,
    );
    Ok(health.timestamp.since_s(now))
}

async fn a_clock_that_is_set_ends_nothing_early_and_lets_nothing_hang(
    database: Database,
) -> Result<()> {
    let clock = Clock::new()?;
    let server = clock.server(database).await?;
    let api = server.api()?;
    for (number, (offset, ahead)) in [("+3600", 3600.0), ("-3600", -3600.0), ("+0", 0.0)]
        .into_iter()
        .enumerate()
    {
        let gate = Gate::new()?;
        let yaml = waits(&gate).replace("name: waits", &format!("name: waits-{number}"));
        let workflow = api.create(&yaml).await?.workflow.id;
        let began = Instant::now();
        let id = api.execute(workflow, json!({})).await?;
        let mut follower = Follower::new(&server, id).await?;
        follower.until_waiting(&server).await?;
        clock.set(offset)?;
        let is = ahead_s(&server).await?;
        ensure!((is - ahead).abs() < 600.0, "the clock is {is} s ahead");

        // What begins now works, too.
        let other = api
            .launch(&format!(
                "name: other-{number}\nnodes:\n  nap: {{kind: sleep, duration_s: 0.2}}\n"
            ))
            .await?;
        Follower::new(&server, other)
            .await?
            .until_end(&server)
            .await?;
        let over = |this: &Follower| {
            this.has(EventType::NodeCompleted, "nap")
                && this.has(EventType::NodeFailed, "late")
                && this.has(EventType::NodeCompleted, "again")
        };
        follower.until(&server, over).await?;
        ensure!(
            began.elapsed() >= Duration::from_secs(WAIT_S),
            "all was over after {:?}",
            began.elapsed()
        );
        gate.open()?;
        api.steer(id, "nodes/ask/approve").await?;
        follower.until_end(&server).await?;
        ensure_undisturbed(&api.execution(id).await?)?;
        ensure!(api.get("/ready").await?.status == 200);
    }
    Ok(())
}

async fn a_server_that_stood_still_for_a_minute_goes_on(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let workflow = api.create(&waits(&gate)).await?.workflow.id;
    let id = api.execute(workflow, json!({})).await?;
    let mut follower = Follower::new(&server, id).await?;
    follower.until_waiting(&server).await?;

    process::signal(server.pid()?, Signal::SIGSTOP)?;
    // A command ends and a client asks for something meanwhile, and all times come.
    gate.open()?;
    let path = format!("/api/workflows/{workflow}/execute");
    let start = || {
        let request = api.request(Method::POST, &path);
        api.send(
            request
                .header("Idempotency-Key", "meanwhile")
                .json(&json!({})),
        )
    };
    let asked = async { Ok(start().await) };
    let woken = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        process::signal(server.pid()?, Signal::SIGCONT)
    };
    let (answer, ()) = tokio::try_join!(asked, woken)?;
    let second: Started = answer?.json(202)?;
    ensure!(start().await?.json::<Started>(202)?.execution_id == second.execution_id);

    api.steer(id, "nodes/ask/approve").await?;
    follower.until_end(&server).await?;
    ensure_undisturbed(&api.execution(id).await?)?;

    let mut follower = Follower::new(&server, second.execution_id).await?;
    let asks = |this: &Follower| this.has(EventType::NodeWaiting, "ask");
    follower.until(&server, asks).await?;
    api.steer(second.execution_id, "nodes/ask/approve").await?;
    follower.until_end(&server).await?;
    ensure_undisturbed(&api.execution(second.execution_id).await?)?;
    eventually("readiness", || async {
        Ok((api.get("/ready").await?.status == 200).then_some(()))
    })
    .await
}
