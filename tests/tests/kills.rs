//! `kill -9` again and again, at random moments, while many clients start and steer executions.
//!
//! `LIMELIGHT_TEST_SEED` repeats the choices of an earlier run, `LIMELIGHT_KILLS` says how many kills
//! there are, half of them on each database.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    env, fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use futures_util::{FutureExt as _, future::try_join_all};
use limelight_protocol::{
    Event, EventBody, EventType, Execution, ExecutionId, ExecutionStatus, ExecutionSummary,
    NodeStatus, WorkflowId, execution::WaitReason, rest::Page, workflow::Started,
};
use limelight_tests::{
    Api, Database, Server, WsClient, eventually,
    ws::{brief, ensure_gapless, is_end},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom as _};
use reqwest::Method;
use serde_json::json;

/// Kills in all, unless `LIMELIGHT_KILLS` says otherwise.
const KILLS: u32 = 100;
/// Clients that start executions, and clients that steer them.
const CLIENTS: u64 = 3;
/// No more are started while so many have not ended.
const MOST_LIVE: usize = 16;

/// What each command node does. Its effect is idempotent by the key; who began, who found another
/// attempt at work and who found the effect there already is left behind as files.
const WORK: &str = r#"set -e
cd "$1"
key=$(printf %s "$LIMELIGHT_IDEMPOTENCY_KEY" | tr / _)
mkdir "begun/$key.$LIMELIGHT_ATTEMPT" || : > "twice/$key.$LIMELIGHT_ATTEMPT"
exec 9> "locks/$key"
flock -n 9 || : > "overlap/$key.$LIMELIGHT_ATTEMPT"
echo "::progress 50 half"
sleep 0.03
if [ "$2" = fail-first ] && [ "$LIMELIGHT_ATTEMPT" = 1 ]; then exit 1; fi
mkdir "effects/$key" 2> /dev/null || : > "repeats/$key.$LIMELIGHT_ATTEMPT"
sleep 0.05
echo "::output {\"by\": $LIMELIGHT_ATTEMPT}"
"#;

#[tokio::test]
async fn kills_under_load_lose_and_double_nothing_on_sqlite() -> Result<()> {
    lose_and_double_nothing(Database::sqlite(), kills()?.div_ceil(2)).await
}

#[tokio::test]
async fn kills_under_load_lose_and_double_nothing_on_postgres() -> Result<()> {
    lose_and_double_nothing(Database::postgres(), kills()? / 2).await
}

fn kills() -> Result<u32> {
    match env::var("LIMELIGHT_KILLS") {
        Ok(kills) => kills.parse().context("LIMELIGHT_KILLS"),
        Err(_) => Ok(KILLS),
    }
}

async fn lose_and_double_nothing(database: Database, kills: u32) -> Result<()> {
    let seed: u64 = match env::var("LIMELIGHT_TEST_SEED") {
        Ok(seed) => seed.parse().context("LIMELIGHT_TEST_SEED")?,
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    println!("LIMELIGHT_TEST_SEED={seed}");
    let random = |stream: u64| StdRng::seed_from_u64(seed.wrapping_add(stream));

    let mut server = Server::on(database).start().await?;
    let address = server.address();
    let load = Load::before(&server).await?;
    let clients = (0..CLIENTS).flat_map(|n| {
        let starts = load.starts(n, random(2 * n + 1)).boxed_local();
        [starts, load.steers(random(2 * n + 2)).boxed_local()]
    });
    let work = async {
        let killing = async {
            kill(&mut server, kills, random(0)).await?;
            load.done.set(true);
            Ok(())
        };
        tokio::try_join!(try_join_all(clients), killing)?;
        load.settle().await?;
        load.check(&server).await
    };
    tokio::select! {
        failed = load.follows(&address) => match failed? {},
        worked = work => worked,
    }
}

/// Kills it at moments spread over its whole life, its start and recovery included.
async fn kill(server: &mut Server, kills: u32, mut random: StdRng) -> Result<()> {
    for kill in 1..=kills {
        if random.random_bool(0.75) {
            server.listening().await?;
        }
        let after = Duration::from_millis(random.random_range(0..900));
        tokio::time::sleep(after).await;
        server.kill9()?;
        println!("kill {kill} after {after:?}");
        server.begin()?;
    }
    server.listening().await
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    id: ExecutionId,
    workflow: WorkflowId,
    /// The workflow's name.
    name: &'static str,
}

/// The clients of one server, and what they have been told.
struct Load {
    api: Api,
    workflows: Vec<(&'static str, WorkflowId)>,
    /// Where the commands leave their files.
    folder: PathBuf,
    /// Acknowledged starts by their keys.
    begun: RefCell<BTreeMap<String, Begun>>,
    /// What the follower has had, in the order it came.
    seen: RefCell<Vec<Event>>,
    ended: RefCell<BTreeSet<ExecutionId>>,
    done: Cell<bool>,
}

impl Load {
    async fn before(server: &Server) -> Result<Self> {
        let folder = server.folder().join("work");
        for name in ["begun", "twice", "locks", "overlap", "effects", "repeats"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let script = folder.join("work.sh");
        fs::write(&script, WORK)?;
        let run = format!("sh {} {}", script.display(), folder.display());
        let api = server.api()?;
        let mut workflows = Vec::new();
        for (name, nodes) in [
            ("wide", wide(&run)),
            ("chain", chain(&run)),
            ("ask", ask(&run)),
            ("flaky", flaky(&run)),
            ("brittle", brittle(&run)),
        ] {
            let made = api
                .create(&format!("name: {name}\nnodes:\n{nodes}"))
                .await?;
            workflows.push((name, made.workflow.id));
        }
        Ok(Self {
            api,
            workflows,
            folder,
            begun: RefCell::default(),
            seen: RefCell::default(),
            ended: RefCell::default(),
            done: Cell::new(false),
        })
    }

    fn live(&self) -> Vec<Begun> {
        let (begun, ended) = (self.begun.borrow(), self.ended.borrow());
        let live = begun.values().filter(|begun| !ended.contains(&begun.id));
        live.copied().collect()
    }

    /// Starts one execution after the other, each until it is acknowledged.
    async fn starts(&self, client: u64, mut random: StdRng) -> Result<()> {
        for number in 0.. {
            eventually("fewer live executions", || async {
                let room = self.done.get() || self.live().len() < MOST_LIVE;
                Ok(room.then_some(()))
            })
            .await?;
            if self.done.get() {
                break;
            }
            let key = format!("client {client} number {number}");
            let (name, workflow) = *self.workflows.choose(&mut random).context("workflows")?;
            let id = self.start(&key, workflow).await?;
            let begun = Begun { id, workflow, name };
            self.begun.borrow_mut().insert(key.clone(), begun);
            if random.random_bool(0.2) {
                let again = self.start(&key, workflow).await?;
                ensure!(again == id, "{key} began {id} and {again}");
            }
        }
        Ok(())
    }

    /// Sends a start again, with its key, until an answer comes.
    async fn start(&self, key: &str, workflow: WorkflowId) -> Result<ExecutionId> {
        let path = format!("/api/workflows/{workflow}/execute");
        eventually("a start to be acknowledged", || async {
            let request = self.api.request(Method::POST, &path);
            let request = request.header("Idempotency-Key", key).json(&json!({}));
            match self.api.send(request).await {
                Ok(reply) if reply.status != 503 => {
                    Ok(Some(reply.json::<Started>(202)?.execution_id))
                }
                Ok(_) | Err(_) => Ok(None),
            }
        })
        .await
    }

    /// Sends commands, sensible or not, to whatever lives.
    async fn steers(&self, mut random: StdRng) -> Result<()> {
        while !self.done.get() {
            let pause = Duration::from_millis(random.random_range(1..60));
            tokio::time::sleep(pause).await;
            let live = self.live();
            let Some(Begun { id, name, .. }) = live.choose(&mut random) else {
                continue;
            };
            let verb = match (random.random_range(0..100), *name) {
                (0..30, "ask") => "nodes/ask/approve",
                (0..30, "brittle") => "nodes/work/retry",
                (30..60, _) => "pause",
                (60..65, _) => "cancel",
                _ => "resume",
            };
            // No answer: the server has been killed, and whether it was done, nobody knows.
            if let Ok(reply) = self.api.post(&format!("/api/executions/{id}/{verb}")).await {
                ensure!(
                    matches!(reply.status, 200..=299 | 409 | 503),
                    "{name} {id} {verb}: {} {}",
                    reply.status,
                    reply.body
                );
            }
        }
        Ok(())
    }

    /// Follows all executions, over all restarts, from where it was.
    async fn follows(&self, address: &str) -> Result<Infallible> {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let Ok(mut ws) = WsClient::connect_at(address).await else {
                continue;
            };
            let last = || self.seen.borrow().last().map_or(0, |event| event.position);
            let cursor = ws.cursor(last());
            let Ok(subscribed) = ws.subscribe("f", "executions", Some(cursor)).await else {
                continue;
            };
            ensure!(subscribed.recovered, "events were lost: {subscribed:?}");
            while let Some((_, event)) = ws.event_or_end().await? {
                ensure!(
                    event.position == last() + 1,
                    "{} follows {}: {}",
                    event.position,
                    last(),
                    brief(&event)
                );
                if is_end(event.kind) {
                    self.ended.borrow_mut().extend(event.execution_id);
                } else if event.kind == EventType::NodeRetrying {
                    // Perhaps by hand, which brings an execution back.
                    let id = event.execution_id.context("an execution's event")?;
                    self.ended.borrow_mut().remove(&id);
                }
                self.seen.borrow_mut().push(event);
            }
        }
    }

    /// Lets everything end.
    async fn settle(&self) -> Result<()> {
        let begun: Vec<_> = self.begun.borrow().values().copied().collect();
        for Begun { id, .. } in begun {
            eventually(&format!("the end of {id}"), || async {
                let execution = self.api.execution(id).await?;
                let asked = |execution: &Execution| {
                    let mut nodes = execution.node_states.iter();
                    nodes.any(|node| node.waiting_for == Some(WaitReason::Approval))
                };
                if has_ended(execution.status) {
                    return Ok(Some(()));
                } else if execution.status == ExecutionStatus::Paused {
                    self.api.steer(id, "resume").await?;
                } else if asked(&execution) {
                    self.api.steer(id, "nodes/ask/approve").await?;
                }
                Ok(None)
            })
            .await?;
        }
        Ok(())
    }

    async fn check(&self, server: &Server) -> Result<()> {
        let begun = self.begun.borrow().clone();
        for (key, begun) in &begun {
            let again = self.start(key, begun.workflow).await?;
            ensure!(again == begun.id, "{key} began {} and {again}", begun.id);
        }
        let known: BTreeSet<_> = begun.values().map(|begun| begun.id).collect();
        ensure!(known.len() == begun.len(), "two keys began one execution");
        let listed = self.listed().await?;
        ensure!(listed == known, "{} of {}", listed.len(), known.len());

        let mut events = Vec::new();
        let mut attempts = BTreeSet::new();
        let mut completed = BTreeSet::new();
        for begun in begun.values() {
            let stream = self.api.events(begun.id, 500).await?;
            ensure_gapless(&stream)?;
            let ran = committed_results_stay(&stream)
                .with_context(|| stream.iter().map(brief).collect::<Vec<_>>().join(" "))?;
            attempts.extend(ran);
            let execution = self.api.execution(begun.id).await?;
            ends_as_it_may(begun.name, &execution)?;
            for node in &execution.node_states {
                // Only commands give this.
                if node.outputs.contains_key("by") {
                    completed.insert(format!("{}_{}", begun.id, node.node_id));
                }
            }
            events.extend(stream);
        }
        events.sort_by_key(|event| event.position);
        let last = events.last().context("events")?.position;
        eventually("the follower to have everything", || async {
            let seen = self.seen.borrow();
            Ok((seen.last().is_some_and(|event| event.position >= last)).then_some(()))
        })
        .await?;
        let seen = serde_json::to_value(&*self.seen.borrow())?;
        ensure!(
            serde_json::to_value(&events)? == seen,
            "it saw other events"
        );

        self.check_effects(&attempts, &completed)?;
        println!(
            "{} executions, {} events, {} attempts, {} of them repeats of an effect",
            begun.len(),
            events.len(),
            attempts.len(),
            self.left("repeats")?.len()
        );
        for entry in fs::read_dir(server.folder())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read_to_string(&path)?;
                ensure!(!text.contains("panicked"), "{}: {text}", path.display());
            }
        }
        Ok(())
    }

    /// Programs ran for committed attempts only, each once and never two of a node at a time; each
    /// completed node has its effect.
    fn check_effects(
        &self,
        attempts: &BTreeSet<String>,
        completed: &BTreeSet<String>,
    ) -> Result<()> {
        for trouble in ["twice", "overlap"] {
            let found = self.left(trouble)?;
            ensure!(found.is_empty(), "{trouble}: {found:?}");
        }
        let ran = self.left("begun")?;
        let uncommitted: Vec<_> = ran.difference(attempts).collect();
        ensure!(uncommitted.is_empty(), "not committed: {uncommitted:?}");
        let effects = self.left("effects")?;
        let missing: Vec<_> = completed.difference(&effects).collect();
        ensure!(missing.is_empty(), "without its effect: {missing:?}");
        for effect in &effects {
            let of = |attempt: &String| {
                attempt
                    .rsplit_once('.')
                    .is_some_and(|(key, _)| key == effect)
            };
            ensure!(ran.iter().any(of), "nobody did {effect}");
        }
        Ok(())
    }

    /// Names of the files that the commands have left in a folder.
    fn left(&self, folder: &str) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(self.folder.join(folder))? {
            names.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// All executions there are.
    async fn listed(&self) -> Result<BTreeSet<ExecutionId>> {
        let mut listed = BTreeSet::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/executions?limit=100{cursor}");
            let page: Page<ExecutionSummary> = self.api.read(&path).await?;
            for execution in page.items {
                ensure!(listed.insert(execution.id), "{} twice", execution.id);
            }
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(listed),
            }
        }
    }
}

const fn has_ended(status: ExecutionStatus) -> bool {
    matches!(
        status,
        ExecutionStatus::Completed | ExecutionStatus::Failed | ExecutionStatus::Cancelled
    )
}

/// A failure is one that the workflow asks for.
fn ends_as_it_may(name: &str, execution: &Execution) -> Result<()> {
    ensure!(has_ended(execution.status), "{execution:?}");
    for node in &execution.node_states {
        let may_fail = name == "brittle" && node.node_id.as_str() == "work";
        ensure!(
            node.status != NodeStatus::Failed || may_fail,
            "{name}: {execution:?}"
        );
        if execution.status == ExecutionStatus::Completed {
            ensure!(node.status == NodeStatus::Completed, "{execution:?}");
        }
    }
    let may_fail = name == "brittle";
    ensure!(
        execution.status != ExecutionStatus::Failed || may_fail,
        "{name}: {execution:?}"
    );
    Ok(())
}

/// A node is completed once and nothing happens to it after that; its attempts count 1, 2, 3, ...
/// Gives the attempts, as the commands name them.
fn committed_results_stay(events: &[Event]) -> Result<Vec<String>> {
    let mut completed = BTreeSet::new();
    let mut last = BTreeMap::new();
    let mut attempts = Vec::new();
    for event in events {
        let (Some(id), Some(node)) = (event.execution_id, &event.node_id) else {
            continue;
        };
        ensure!(
            !completed.contains(node),
            "{} after its completion",
            brief(event)
        );
        match event.body()? {
            EventBody::NodeStarted(body) => {
                let before = last.insert(node.clone(), body.attempt).unwrap_or(0);
                ensure!(
                    body.attempt == before + 1,
                    "{node}: {} after {before}",
                    body.attempt
                );
                attempts.push(format!("{id}_{node}.{}", body.attempt));
            }
            EventBody::NodeCompleted(body) => {
                ensure!(last.get(node) == Some(&body.attempt), "{node}: {body:?}");
                let by = body.outputs.get("by");
                ensure!(by.is_none_or(|by| *by == body.attempt), "{node}: {body:?}");
                completed.insert(node.clone());
            }
            _ => {}
        }
    }
    Ok(attempts)
}

fn wide(run: &str) -> String {
    let mut yaml = format!("  first: {{kind: command, run: '{run}'}}\n");
    for place in 0..5 {
        yaml += &format!("  w{place}: {{kind: command, needs: [first], run: '{run}'}}\n");
    }
    yaml += "  join: {kind: noop, needs: [w0, w1, w2, w3, w4]}\n";
    yaml + &format!("  last: {{kind: command, needs: [join], run: '{run}'}}\n")
}

fn chain(run: &str) -> String {
    let mut yaml = "  nap: {kind: sleep, duration_s: 0.2}\n".to_owned();
    let mut before = "nap".to_owned();
    for place in 0..4 {
        yaml += &format!("  c{place}: {{kind: command, needs: [{before}], run: '{run}'}}\n");
        before = format!("c{place}");
    }
    yaml
}

fn ask(run: &str) -> String {
    format!(
        "  before: {{kind: command, run: '{run}'}}\n  \
         ask: {{kind: approval, needs: [before]}}\n  \
         after: {{kind: command, needs: [ask], run: '{run}'}}\n"
    )
}

/// Its first attempt fails, and is followed by others.
fn flaky(run: &str) -> String {
    format!(
        "  work: {{kind: command, retry: {{max_attempts: 3, backoff_s: 0.1}}, run: '{run} fail-first'}}\n  \
         after: {{kind: command, needs: [work], run: '{run}'}}\n"
    )
}

/// Its first attempt fails, and whether there is another, clients decide.
fn brittle(run: &str) -> String {
    format!(
        "  work: {{kind: command, run: '{run} fail-first'}}\n  \
         after: {{kind: command, needs: [work], run: '{run}'}}\n"
    )
}
