//! `limelight bench`: the whole path, engine to committed journal, without HTTP.
//!
//! It measures an app of its own on a database of its own: a temporary SQLite file, or what
//! `--database-url` names, which it fills. Medians and extremes are of one run on one machine; the
//! parts are told apart by comparing them, not by absolute times.

use std::{
    io::{self, Write as _},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use limelight_engine::Definition;
use limelight_protocol::{
    EventBody, ExecutionStatus, Stream, TestRunId, Topic, WorkflowId,
    testing::{CaseResult, CaseStatus, TestRun},
    workflow::Execute,
};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::{BenchArgs, BenchKind, Global};
use crate::{
    app::App,
    auth::Caller,
    bus::{Feed, FeedItem},
    clock,
    config::{Config, Settings},
    store::{
        Append, DatabaseUrl, NewWorkflow, PendingEvent, ReadModel, Store, StoreOptions,
        StoredVersion, Synchronous,
    },
};

/// Batch sizes of the journal's measurement.
const BATCHES: [u64; 3] = [1, 128, 1024];
/// Rows of one repetition of it, about.
const JOURNAL_ROWS: u64 = 20_000;
const NODES: u64 = 1_000;

/// Measures and prints.
///
/// # Errors
/// When the database cannot be opened or what is measured fails.
pub async fn bench(global: &Global, args: &BenchArgs) -> anyhow::Result<()> {
    let folder = TempDir::new().context("no temporary folder")?;
    let mut config = global.load(Settings::default())?;
    config.database = match &args.database_url {
        Some(url) => url.clone(),
        None => DatabaseUrl::Sqlite(folder.path().join("bench.db")),
    };
    ensure!(args.repeat > 0, "--repeat must be at least 1");
    match args.kind {
        BenchKind::Journal => journal(&config, args).await,
        BenchKind::Chain => workflow(&config, args, "chain", chain).await,
        BenchKind::Fanout => workflow(&config, args, "fanout", fanout).await,
    }
}

/// Times in seconds, sorted.
struct Times(Vec<f64>);

impl Times {
    fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

fn durability(config: &Config, store: &Store) -> String {
    let synchronous = match config.synchronous {
        Synchronous::Full => "synchronous full",
        Synchronous::Normal => "synchronous normal",
        Synchronous::Off => "synchronous off",
    };
    format!("{}, {synchronous}", store.backend_name())
}

/// Prints one measurement: `count` of `what`, each repetition in `times`.
fn print(
    args: &BenchArgs,
    name: &str,
    on: &str,
    count: u64,
    what: &str,
    times: &Times,
) -> io::Result<()> {
    let median_s = times.median();
    let rate = count as f64 / median_s;
    let (min_s, max_s) = (times.0[0], times.0[times.0.len() - 1]);
    let mut out = io::stdout().lock();
    if args.json {
        let figure = json!({
            "bench": name, "on": on, "count": count, "of": what, "repeat": times.0.len(),
            "median_s": median_s, "min_s": min_s, "max_s": max_s, "per_s": rate,
        });
        writeln!(out, "{figure}")
    } else {
        writeln!(
            out,
            "{name:<14} {on}: {count} {what}, median {:.2} ms (min {:.2}, max {:.2}, {} runs) = {rate:.0} {what}/s",
            median_s * 1e3,
            min_s * 1e3,
            max_s * 1e3,
            times.0.len(),
        )
    }
}

fn chain(nodes: u64) -> String {
    let mut text = "nodes:\n  n0: {kind: noop}\n".to_owned();
    for node in 1..nodes {
        text.push_str(&format!(
            "  n{node}: {{kind: noop, needs: [n{}]}}\n",
            node - 1
        ));
    }
    text
}

fn fanout(nodes: u64) -> String {
    let mut text = "nodes:\n  first: {kind: noop}\n".to_owned();
    let names: Vec<_> = (0..nodes).map(|node| format!("n{node}")).collect();
    for name in &names {
        text.push_str(&format!("  {name}: {{kind: noop, needs: [first]}}\n"));
    }
    text.push_str(&format!(
        "  join: {{kind: noop, needs: [{}]}}\n",
        names.join(", ")
    ));
    text
}

/// Runs a workflow of `noop` nodes from start to the end being told to a subscriber.
async fn workflow(
    config: &Config,
    args: &BenchArgs,
    name: &str,
    nodes_of: fn(u64) -> String,
) -> anyhow::Result<()> {
    let app = App::open(config).await?;
    let count = args.count.unwrap_or(NODES).max(1);
    let name_of_workflow = format!("bench-{name}-{}", Uuid::now_v7());
    let source = format!("name: {name_of_workflow}\n{}", nodes_of(count));
    let version = store_workflow(&app.services.store, source).await?;
    let mut times = Vec::new();
    // The first is for warming up.
    for repetition in 0..=args.repeat {
        let began = Instant::now();
        perform(&app, &version).await?;
        if repetition > 0 {
            times.push(began.elapsed().as_secs_f64());
        }
    }
    let on = durability(config, &app.services.store);
    app.close().await;
    Ok(print(args, name, &on, count, "nodes", &Times::new(times))?)
}

async fn store_workflow(store: &Store, source: String) -> anyhow::Result<StoredVersion> {
    let definition = Definition::parse(&source)
        .map_err(|faults| anyhow::anyhow!("the workflow is not valid: {faults:?}"))?;
    let id = WorkflowId(Uuid::now_v7());
    let new = NewWorkflow {
        id,
        name: definition.name().to_owned(),
        description: String::new(),
        node_count: definition.nodes().len() as u32,
        source,
        now: clock::now(),
    };
    let caller = Caller::system();
    store.create_workflow(&caller, new).await?;
    store
        .get_workflow_version(&caller, id, None)
        .await?
        .context("it was stored just now")
}

async fn perform(app: &App, version: &StoredVersion) -> anyhow::Result<()> {
    let services = &app.services;
    let caller = Caller::system();
    let topic = Topic::Workflow(version.workflow.id);
    let mut feed = Feed::subscribe(&services.bus, services.store.clone(), caller.clone(), topic);
    feed.after(services.store.head().await?);
    let started = app
        .coordinators
        .start(&caller, version, Execute::default(), None)
        .await?;
    loop {
        let events = match feed.next().await {
            FeedItem::Events { events, .. } => events,
            FeedItem::Lagged { .. } => continue,
            FeedItem::Failed(error) => return Err(error.into()),
        };
        let ended = events
            .iter()
            .any(|event| event.kind.as_str() == "workflow:completed");
        if ended {
            break;
        }
    }
    let stored = services.store.get_execution(&caller, started.id).await?;
    let status = stored.map(|execution| execution.status);
    ensure!(
        status == Some(ExecutionStatus::Completed),
        "it ended as {status:?}"
    );
    Ok(())
}

/// Appends rows to the journal in batches of several sizes.
async fn journal(config: &Config, args: &BenchArgs) -> anyhow::Result<()> {
    let (store, mut writer) = Store::open(StoreOptions::from(config)).await?;
    let on = durability(config, &store);
    for batch in BATCHES {
        let rows = args.count.unwrap_or(JOURNAL_ROWS).max(batch);
        // Single rows wait for the disk each; fewer of them tell as much.
        let rows = if batch == 1 { (rows / 10).max(1) } else { rows };
        let mut times = Vec::new();
        for repetition in 0..=args.repeat {
            let mut run = test_run();
            let began = Instant::now();
            for _ in 0..rows / batch {
                let append = cases(&mut run, batch);
                for result in writer.commit(vec![append]).await {
                    result?;
                }
            }
            if repetition > 0 {
                times.push(began.elapsed().as_secs_f64());
            }
        }
        let name = format!("journal/{batch}");
        print(
            args,
            &name,
            &on,
            rows / batch * batch,
            "rows",
            &Times::new(times),
        )?;
    }
    store.close().await;
    Ok(())
}

fn test_run() -> TestRun {
    TestRun::begun(
        TestRunId(Uuid::now_v7()),
        "bench".to_owned(),
        "bench".to_owned(),
        clock::now(),
    )
}

/// An append of `batch` events; one row of the run itself is written with it.
fn cases(run: &mut TestRun, batch: u64) -> Append {
    let timestamp = clock::now();
    let first_seq = run.seq + 1;
    let events = (0..batch)
        .map(|index| {
            let case = CaseResult {
                name: format!("engine::run::tests::case_{}", first_seq + index),
                status: CaseStatus::Passed,
                duration_s: Some(0.0123),
                message: None,
            };
            PendingEvent {
                node_id: None,
                timestamp,
                body: EventBody::TestCase(case),
            }
        })
        .collect();
    run.seq += batch;
    Append {
        stream: Stream::TestRun(run.id),
        workflow_id: None,
        execution_id: None,
        first_seq,
        events,
        fence: None,
        read_model: ReadModel::TestRun {
            run: Box::new(run.clone()),
            new_cases: Vec::new(),
        },
    }
}
