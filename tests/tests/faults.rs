//! Faults of the database while work goes on: the server heals by itself, and what it answered stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Result, ensure};
use limelight_protocol::{
    EventType, ExecutionId, ExecutionStatus, NodeStatus, WorkflowId, workflow::Started,
};
use limelight_test_support::{Postgres, Proxy, Statement};
use limelight_tests::{
    Api, Database, Gate, Server, WsClient, eventually,
    server::Builder,
    ws::{brief, ensure_gapless},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

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
        let id = api.execute(workflow.workflow.id, json!({})).await?;
        // Each is answered with what was done: 200, though its commit may have lost its answer.
        api.steer(id, "pause").await?;
        api.steer(id, "resume").await?;
        ids.push(id);
    }
    for &id in &ids {
        let mut ws = WsClient::connect(&server).await?;
        ws.follow(id).await?;
        ws.until_node(EventType::NodeWaiting, "ask").await?;
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

/// A place for data that can be filled up and freed while the server runs.
enum Disk {
    /// A small file system of its own, for which one must be root.
    Small(TempDir),
    /// A limit on how long the server's files may grow, which any user may set.
    Limited,
}

impl Disk {
    fn small() -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()?;
        Ok(mounted.success().then_some(Self::Small(folder)))
    }

    fn server(&self) -> Builder {
        let server = Server::on(Database::sqlite());
        match self {
            Self::Small(folder) => {
                let path = folder.path().join("limelight.db");
                server.env("DATABASE_URL", &format!("sqlite:{}", path.display()))
            }
            Self::Limited => server.ignoring("XFSZ"),
        }
    }

    fn fill(&self, server: &Server) -> Result<()> {
        match self {
            Self::Small(folder) => {
                let mut file = fs::File::create(folder.path().join("filler"))?;
                while file.write_all(&[0; 4096]).is_ok() {}
                Ok(())
            }
            // Shorter than the write-ahead log is: every write is refused.
            Self::Limited => limit_files(server, "4096:unlimited"),
        }
    }

    fn free(&self, server: &Server) -> Result<()> {
        match self {
            Self::Small(folder) => Ok(fs::remove_file(folder.path().join("filler"))?),
            Self::Limited => limit_files(server, "unlimited:unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Small(folder) = self {
            // Lazily: the server may not be gone yet.
            let _ = Command::new("umount").arg("-l").arg(folder.path()).status();
        }
    }
}

fn limit_files(server: &Server, limit: &str) -> Result<()> {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", server.pid()?))
        .arg(format!("--fsize={limit}"))
        .status()?;
    ensure!(status.success(), "prlimit: {status}");
    Ok(())
}

const NOOP: &str = "name: noop\nnodes:\n  a: {kind: noop}\n  b: {kind: noop, needs: [a]}\n";

/// Starts an execution; `None` when the server cannot now, which it must say by a 503.
async fn try_execute(api: &Api, workflow: WorkflowId) -> Result<Option<ExecutionId>> {
    let path = format!("/api/workflows/{workflow}/execute");
    let reply = api.post_json(&path, &json!({})).await?;
    if reply.status == 202 {
        return Ok(Some(reply.json::<Started>(202)?.execution_id));
    }
    ensure!(reply.status == 503, "{} {}", reply.status, reply.body);
    Ok(None)
}

async fn ready(api: &Api, status: u16) -> Result<()> {
    eventually(&format!("/ready to say {status}"), || async {
        let reply = api.get("/ready").await?;
        Ok((reply.status == status).then_some(()))
    })
    .await
}

/// What holds of a server whose database cannot be written for a while: it says so, loses nothing that
/// it acknowledged, and heals by itself.
async fn heals(
    server: &Server,
    fail: impl FnOnce() -> Result<()>,
    mend: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let api = server.api()?;
    let workflow = api.create(NOOP).await?.workflow.id;
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        acknowledged.extend(try_execute(&api, workflow).await?);
    }
    ensure!(acknowledged.len() == 5, "it fails from the beginning");
    ready(&api, 200).await?;
    fail()?;
    ready(&api, 503).await?;
    let refused = try_execute(&api, workflow).await?;
    ensure!(refused.is_none(), "it acknowledged what it cannot write");
    let reply = api
        .send_definition(
            Method::POST,
            "/api/workflows",
            &NOOP.replace("noop\n", "other\n"),
        )
        .await?;
    ensure!(reply.status == 503, "{} {}", reply.status, reply.body);
    api.get("/api/executions").await?.json::<Value>(200)?;
    mend()?;
    ready(&api, 200).await?;
    let healed = eventually("an execution to start", || try_execute(&api, workflow)).await?;
    acknowledged.push(healed);
    api.create(&NOOP.replace("noop\n", "third\n")).await?;
    for id in acknowledged {
        let mut ws = WsClient::connect(server).await?;
        ws.follow(id).await?;
        ensure_gapless(&ws.until_end().await?)?;
        let end = api.execution(id).await?;
        ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_full_disk_heals_when_it_is_freed() -> Result<()> {
    // Where no file system can be mounted, the other test is what there is.
    let Some(disk) = Disk::small()? else {
        println!("only root can mount a small file system");
        return Ok(());
    };
    let server = disk.server().start().await?;
    heals(&server, || disk.fill(&server), || disk.free(&server)).await
}

#[tokio::test]
async fn files_that_may_not_grow_heal_when_they_may() -> Result<()> {
    let disk = Disk::Limited;
    let server = disk.server().start().await?;
    heals(&server, || disk.fill(&server), || disk.free(&server)).await
}

#[tokio::test]
async fn a_database_locked_by_another_program_heals_when_it_is_let_go() -> Result<()> {
    let server = Server::sqlite().await?;
    let other = rusqlite::Connection::open(server.data_dir().join("limelight.db"))?;
    heals(
        &server,
        || Ok(other.execute_batch("BEGIN IMMEDIATE")?),
        || Ok(other.execute_batch("ROLLBACK")?),
    )
    .await
}

#[tokio::test]
async fn a_database_that_is_stopped_heals_when_it_is_back() -> Result<()> {
    let proxy = Proxy::before(&Postgres::shared().new_database());
    let server = Server::on(Database::Postgres(proxy.url().to_owned()))
        .start()
        .await?;
    let api = server.api()?;
    let workflow = api.create(NOOP).await?.workflow.id;
    proxy.take_down();
    ready(&api, 503).await?;
    ensure!(try_execute(&api, workflow).await?.is_none());
    api.get("/api/executions")
        .await?
        .problem(503, "store_unavailable")?;
    proxy.open();
    ready(&api, 200).await?;
    let id = eventually("an execution to start", || try_execute(&api, workflow)).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.until_end().await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_hangs_is_noticed_and_goes_on_when_it_wakes() -> Result<()> {
    let proxy = Proxy::before(&Postgres::shared().new_database());
    let server = Server::on(Database::Postgres(proxy.url().to_owned()))
        .start()
        .await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let yaml = format!(
        "name: held\nnodes:\n  run: {{kind: command, retry: never, run: \"echo ::progress 1 $$; {}\"}}\n  \
         after: {{kind: noop, needs: [run]}}\n",
        gate.wait()
    );
    let id = api.launch(&yaml).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ws.pid_of("run").await?;
    proxy.freeze();
    gate.open()?;
    // Every call is answered, though the database answers none.
    api.get("/api/executions")
        .await?
        .problem(503, "store_unavailable")?;
    ready(&api, 503).await?;
    api.get("/health").await?.json::<Value>(200)?;
    proxy.open();
    ready(&api, 200).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ensure_gapless(&ws.until_end().await?)?;
    let end = api.execution(id).await?;
    ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
    ensure!(end.node_states[0].attempt_count == 1, "{end:?}");
    Ok(())
}

/// A database file whose writers find, as on a file system that went read-only, that they may not write,
/// and who opens it anew, that he may only read.
#[tokio::test]
async fn a_file_that_is_read_only_for_a_while_heals_when_it_is_not() -> Result<()> {
    let server = Disk::Limited.server().without_privileges().start().await?;
    let allow = |mode| -> Result<()> {
        for name in ["limelight.db", "limelight.db-wal", "limelight.db-shm"] {
            let path = server.data_dir().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    heals(
        &server,
        || {
            allow(0o444)?;
            Disk::Limited.fill(&server)
        },
        || {
            allow(0o644)?;
            Disk::Limited.free(&server)
        },
    )
    .await
}

/// As a standby is until it is promoted, or a primary that its keepers have closed for writing.
#[tokio::test]
async fn a_postgres_that_is_read_only_for_a_while_heals_when_it_is_not() -> Result<()> {
    let postgres = Postgres::shared();
    let url = postgres.new_database();
    let server = Server::on(Database::Postgres(url.clone())).start().await?;
    let name = url.rsplit('/').next().unwrap_or_default();
    let read_only = |is: &str| {
        postgres.execute(
            &url,
            &[
                &format!("ALTER DATABASE {name} SET default_transaction_read_only = {is}"),
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            ],
        );
    };
    heals(
        &server,
        || {
            read_only("on");
            Ok(())
        },
        || {
            // A database that may only be read does not take this either, but for those who ask.
            postgres.execute(
                &url,
                &[
                    "SET default_transaction_read_only = off",
                    &format!("ALTER DATABASE {name} RESET default_transaction_read_only"),
                ],
            );
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn a_database_that_is_slow_for_a_while_loses_nothing() -> Result<()> {
    let proxy = Proxy::before(&Postgres::shared().new_database());
    let server = Server::on(Database::Postgres(proxy.url().to_owned()))
        .start()
        .await?;
    let api = server.api()?;
    let file = server.folder().join("done");
    let workflow = api.create(&once(&file.display().to_string())).await?;
    proxy.delay_answers(Duration::from_millis(300));
    let path = format!("/api/workflows/{}/execute", workflow.workflow.id);
    let mut ids = Vec::new();
    for number in 0..EXECUTIONS {
        let start = || {
            let request = api.request(Method::POST, &path).json(&json!({}));
            api.send(request.header("Idempotency-Key", format!("slow-{number}")))
        };
        let id = eventually("a start to be acknowledged", || async {
            let reply = start().await?;
            if reply.status == 503 {
                return Ok(None);
            }
            Ok(Some(reply.json::<Started>(202)?.execution_id))
        })
        .await?;
        ids.push(id);
    }
    let mut viewers = Vec::new();
    for &id in &ids {
        let mut ws = WsClient::connect(&server).await?;
        ws.follow(id).await?;
        viewers.push(ws);
    }
    // Half of the way slowly, the rest not.
    for (ws, &id) in viewers.iter_mut().zip(&ids) {
        let mut events = ws.until_node(EventType::NodeWaiting, "ask").await?;
        proxy.delay_answers(Duration::ZERO);
        api.steer(id, "nodes/ask/approve").await?;
        events.extend(ws.until_end().await?);
        ensure_gapless(&events)?;
        let end = api.execution(id).await?;
        ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
        for node in &end.node_states {
            ensure!(node.attempt_count == 1, "{node:?}");
        }
    }
    let ran = fs::read_to_string(&file)?;
    let lines: BTreeSet<_> = ran.lines().collect();
    ensure!(ran.lines().count() == EXECUTIONS * 8 && lines.len() == EXECUTIONS * 8);
    ready(&api, 200).await
}
