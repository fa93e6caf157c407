//! Attempts on a real store that fails them.

use limelight_engine::RenderedCommand;
use limelight_protocol::{Event, EventBody, event::LogSource};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    app::App,
    auth::Caller,
    config::Config,
    executor::{Program, StopReason, Stopper},
    store::{DatabaseUrl, Synchronous},
};

/// A guard against hanging, far beyond what any of it takes.
const HANG: Duration = Duration::from_secs(50);

struct World {
    app: App,
    folder: TempDir,
    id: AttemptId,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let config = Config {
            data_dir: folder.path().to_owned(),
            database: DatabaseUrl::Sqlite(folder.path().join("test.db")),
            synchronous: Synchronous::Off,
            ..Config::default()
        };
        let id = AttemptId {
            execution: ExecutionId(Uuid::now_v7()),
            node: NodeId::new("build").unwrap(),
            attempt: 1,
        };
        Self {
            app: App::open(&config).await.unwrap(),
            folder,
            id,
        }
    }

    async fn perform(&self, line: &str, stop: StopSignal) -> Result<Success, Failure> {
        let work = Rendered::Command(RenderedCommand {
            program: Program::Shell(line.into()),
            env: Default::default(),
            working_dir: Some(self.folder.path().display().to_string()),
            commands: true,
        });
        let services = Arc::clone(&self.app.services);
        let attempt = perform(services, self.id.clone(), work, stop, |_, _| {});
        tokio::time::timeout(HANG, attempt).await.unwrap()
    }

    fn sql(&self, statement: &str) {
        let database = rusqlite::Connection::open(self.folder.path().join("test.db")).unwrap();
        database.busy_timeout(HANG).unwrap();
        database.execute_batch(statement).unwrap();
    }

    async fn lines(&self) -> Vec<(u64, String)> {
        let store = &self.app.services.store;
        let (execution, node) = (self.id.execution, &self.id.node);
        let lines = store
            .read_log(&Caller::system(), execution, node, 0, 500)
            .await;
        let text = |event: &Arc<crate::store::CommittedEvent>| {
            let event: Event = serde_json::from_str(&event.wire).unwrap();
            match event.body().unwrap() {
                EventBody::NodeLog(line) => (event.seq, line.line),
                other => panic!("{other:?}"),
            }
        };
        lines.unwrap().iter().map(text).collect()
    }

    fn exists(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }

    async fn until_there(&self, file: &str) {
        while !self.exists(file) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn line(text: &str) -> (limelight_protocol::Timestamp, LogLine) {
    let line = LogLine {
        attempt: 1,
        source: LogSource::Stdout,
        line: text.into(),
    };
    (clock::now(), line)
}

fn numbered(lines: &[&str]) -> Vec<(u64, String)> {
    (1..)
        .zip(lines.iter().map(|&line| line.to_owned()))
        .collect()
}

#[actix_rt::test]
async fn lines_that_somebody_else_added_do_not_hold_an_attempt_for_ever() {
    let world = World::new().await;
    let (_stopper, stop) = Stopper::new();
    let work = "echo one; until [ -e gate ]; do sleep 0.01; done; echo two";
    let meanwhile = async {
        while world.lines().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let store = &world.app.services.store;
        let added = [line("another's")];
        store
            .append_log(world.id.execution, &world.id.node, 2, &added)
            .await
            .unwrap();
        std::fs::write(world.folder.path().join("gate"), "").unwrap();
    };
    let (result, ()) = tokio::join!(world.perform(work, stop), meanwhile);
    result.unwrap();
    assert_eq!(world.lines().await, numbered(&["one", "another's", "two"]));
}

#[actix_rt::test]
async fn a_store_that_takes_no_lines_does_not_hold_a_stop() {
    let world = World::new().await;
    world.sql("ALTER TABLE node_log RENAME TO gone");
    let (stopper, stop) = Stopper::new();
    let meanwhile = async {
        world.until_there("begun").await;
        stopper.stop(StopReason::Cancelled);
    };
    let work = world.perform("touch begun; exec yes", stop);
    let (result, ()) = tokio::join!(work, meanwhile);
    assert_eq!(result.unwrap_err().error.code, "cancelled");
}

#[actix_rt::test]
async fn a_log_says_how_many_lines_it_misses() {
    let world = World::new().await;
    let (stopper, stop) = Stopper::new();
    stopper.stop(StopReason::Cancelled);
    let mut log = Log::new(&world.app.services, &world.id, stop);
    log.write(vec![line("one")]).await;
    world.sql("ALTER TABLE node_log RENAME TO gone");
    log.write(vec![line("two"), line("three")]).await;
    world.sql("ALTER TABLE gone RENAME TO node_log");
    log.close().await;
    let note = "2 lines are missing: they could not be stored";
    let end = "the log ends here";
    assert_eq!(world.lines().await, numbered(&["one", note, end]));
}

#[actix_rt::test]
async fn every_attempt_at_a_node_sees_the_same_idempotency_key() {
    let mut world = World::new().await;
    for attempt in [1, 2] {
        world.id.attempt = attempt;
        let (_stopper, stop) = Stopper::new();
        world
            .perform("echo $LIMELIGHT_IDEMPOTENCY_KEY", stop)
            .await
            .unwrap();
    }
    let key = format!("{}/build", world.id.execution);
    assert_eq!(world.lines().await, numbered(&[&key, &key]));
}
