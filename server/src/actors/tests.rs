//! Actors together, on a real store: what a run is worth when parts of the server fail.

use std::sync::Arc;

use limelight_engine::{Command, Definition};
use limelight_protocol::{
    Event, EventBody, Execution, ExecutionId, ExecutionStatus, NodeStatus, Stream, TestRunId,
    Topic, WorkflowId,
    testing::{TestRun, TestRunStarted},
    workflow::Execute,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    coordinator::ControlError,
    coordinators::StartError,
    journal::{Crash, append, has_begun},
    supervisor::install_panic_hook,
};
use crate::{
    app::App,
    auth::Caller,
    bus::{Feed, FeedItem},
    clock,
    config::Config,
    services::Services,
    store::{
        Append, DatabaseUrl, NewWorkflow, PendingEvent, ReadModel, StoredVersion, Synchronous,
        open::sqlite_writer_beside,
    },
};

struct World {
    app: App,
    folder: Arc<TempDir>,
}

impl World {
    async fn new() -> Self {
        Self::on(Arc::new(TempDir::new().unwrap())).await
    }

    async fn on(folder: Arc<TempDir>) -> Self {
        install_panic_hook();
        let config = Config {
            data_dir: folder.path().to_owned(),
            database: DatabaseUrl::Sqlite(folder.path().join("test.db")),
            synchronous: Synchronous::Off,
            ..Config::default()
        };
        Self {
            app: App::open(&config).await.unwrap(),
            folder,
        }
    }

    /// Another server on the same store; the first one's actors are halted, not finished.
    async fn restart(self) -> Self {
        self.app.close().await;
        Self::on(self.folder).await
    }

    async fn workflow(&self, source: &str) -> StoredVersion {
        let definition = Definition::parse(source).unwrap();
        let id = WorkflowId(Uuid::now_v7());
        let new = NewWorkflow {
            id,
            name: definition.name().to_owned(),
            description: String::new(),
            node_count: definition.nodes().len() as u32,
            source: source.to_owned(),
            now: clock::now(),
        };
        let store = &self.app.services.store;
        store.create_workflow(&Caller::system(), new).await.unwrap();
        store
            .get_workflow_version(&Caller::system(), id, None)
            .await
            .unwrap()
            .unwrap()
    }

    async fn start(&self, version: &StoredVersion) -> ExecutionId {
        let caller = Caller::system();
        let started = self
            .app
            .coordinators
            .start(&caller, version, Execute::default(), None)
            .await;
        started.unwrap().id
    }

    async fn stored(&self, id: ExecutionId) -> Execution {
        let store = &self.app.services.store;
        store
            .get_execution(&Caller::system(), id)
            .await
            .unwrap()
            .unwrap()
    }

    /// Follows the execution from its begin until `until` holds; checks that nothing is missing.
    async fn follow(&self, id: ExecutionId, until: impl Fn(&Execution) -> bool) -> Execution {
        let services = &self.app.services;
        let topic = Topic::Execution(id);
        let caller = Caller::system();
        let mut feed = Feed::subscribe(&services.bus, services.store.clone(), caller, topic);
        feed.after(0);
        let mut view = self.stored(id).await;
        view.seq = 0;
        view.status = ExecutionStatus::Pending;
        for state in &mut view.node_states {
            *state = limelight_protocol::NodeState::new(state.node_id.clone());
        }
        view.completed_nodes = 0;
        while !until(&view) {
            match feed.next().await {
                FeedItem::Events { events, .. } => {
                    for event in events {
                        let event: Event = serde_json::from_str(&event.wire).unwrap();
                        assert_eq!(event.seq, view.seq + 1, "a gap or a double");
                        view.apply(&event).unwrap();
                    }
                }
                FeedItem::Lagged { .. } => {}
                FeedItem::Failed(error) => panic!("{error}"),
            }
        }
        view
    }

    async fn ended(&self, id: ExecutionId) -> Execution {
        let view = self.follow(id, |view| view.status.is_terminal()).await;
        let stored = self.stored(id).await;
        assert_eq!(
            stored.node_states, view.node_states,
            "the read model is not what events tell"
        );
        assert_eq!((stored.status, stored.seq), (view.status, view.seq));
        stored
    }
}

fn diamond(name: &str) -> String {
    format!(
        "name: {name}\nnodes:\n  a: {{kind: noop}}\n  b: {{kind: noop, needs: [a]}}\n  \
         c: {{kind: command, needs: [a], run: 'echo hello; echo ''::output {{\"x\": 1}}'''}}\n  \
         d: {{kind: noop, needs: [b, c]}}\n"
    )
}

#[actix_rt::test]
async fn a_workflow_runs_to_its_end_and_its_log_is_stored_before_the_end_is_told() {
    let world = World::new().await;
    let version = world.workflow(&diamond("diamond")).await;
    let id = world.start(&version).await;
    let execution = world.ended(id).await;
    assert_eq!(execution.status, ExecutionStatus::Completed);
    assert_eq!(execution.node_states[2].outputs["x"], 1);
    let stream = Stream::Log(id, execution.node_states[2].node_id.clone());
    let store = &world.app.services.store;
    let lines = store
        .read_stream(&Caller::system(), &stream, 0, 10)
        .await
        .unwrap();
    assert!(lines[0].wire.contains("hello"), "{lines:?}");
}

#[actix_rt::test]
async fn executions_end_whole_though_the_journal_panics_again_and_again() {
    let world = World::new().await;
    let version = world.workflow(&diamond("shaken")).await;
    let mut started = Vec::new();
    for round in 0..12 {
        if round % 3 == 0 {
            // Nobody to hear it is as good: it is being restarted from the crash before.
            let _ = world.app.services.journal.send(Crash).await;
        }
        started.push(world.start(&version).await);
    }
    for id in started {
        assert_eq!(world.ended(id).await.status, ExecutionStatus::Completed);
    }
}

#[actix_rt::test]
async fn what_a_failed_journal_had_committed_reaches_viewers_though_nobody_was_told() {
    let world = World::new().await;
    let Services {
        bus,
        store,
        journal,
        ..
    } = &*world.app.services;
    let mut feed = Feed::subscribe(bus, store.clone(), Caller::system(), Topic::Tests);
    feed.after(0);
    let run = TestRun::begun(
        TestRunId(Uuid::now_v7()),
        "s".into(),
        "me".into(),
        clock::now(),
    );
    let started = |seq: u64| Append {
        stream: Stream::TestRun(run.id),
        workflow_id: None,
        execution_id: None,
        first_seq: seq,
        events: vec![PendingEvent {
            node_id: None,
            timestamp: clock::now(),
            body: EventBody::TestStarted(TestRunStarted {
                test_run_id: run.id,
                suite: "s".into(),
                by: "me".into(),
            }),
        }],
        fence: None,
        read_model: ReadModel::TestRun {
            run: Box::new(TestRun { seq, ..run.clone() }),
            new_cases: Vec::new(),
        },
    };
    append(journal.clone(), started(1)).await.unwrap();
    assert_eq!(next_position(&mut feed).await, 1);
    // Behind the actor's back: committed, and nobody told.
    let mut writer = sqlite_writer_beside(&world.folder.path().join("test.db"));
    writer.commit(vec![started(2)]).await.remove(0).unwrap();
    let _ = journal.send(Crash).await;
    assert_eq!(next_position(&mut feed).await, 2);
}

async fn next_position(feed: &mut Feed) -> u64 {
    loop {
        match feed.next().await {
            FeedItem::Events { events, .. } => return events[0].position,
            FeedItem::Lagged { .. } => {}
            FeedItem::Failed(error) => panic!("{error}"),
        }
    }
}

#[actix_rt::test]
async fn an_owner_that_was_replaced_writes_nothing_more() {
    let world = World::new().await;
    let source =
        "name: gate\nnodes:\n  ask: {kind: approval}\n  then: {kind: noop, needs: [ask]}\n";
    let version = world.workflow(source).await;
    let id = world.start(&version).await;
    let waiting = |view: &Execution| view.node_states[0].status == NodeStatus::Waiting;
    let seq = world.follow(id, waiting).await.seq;
    world
        .app
        .services
        .store
        .claim_execution(id, "another server")
        .await
        .unwrap();
    let node = limelight_protocol::NodeId::new("ask").unwrap();
    let approve = Command::Approve {
        node,
        by: "me".into(),
        comment: None,
    };
    // The stale owner is refused and leaves, and cannot say whether an earlier try was committed...
    let refused = world.app.coordinators.control(id, approve.clone()).await;
    assert!(matches!(refused, Err(ControlError::Unknown)), "{refused:?}");
    // ...so whoever asks again is answered by a fresh one, with a number of its own.
    let approved = world.app.coordinators.control(id, approve).await.unwrap();
    assert_eq!(approved.seq, seq + 2);
    assert_eq!(world.ended(id).await.status, ExecutionStatus::Completed);
}

#[actix_rt::test]
async fn a_restart_goes_on_where_the_stream_ends() {
    let world = World::new().await;
    let source = "name: long\nnodes:\n  work: {kind: command, run: 'if [ $LIMELIGHT_ATTEMPT = 1 ]; \
                  then sleep 1000; fi'}\n  once: {kind: command, retry: never, run: 'sleep 1000'}\n  \
                  ask: {kind: approval}\n";
    let version = world.workflow(source).await;
    let id = world.start(&version).await;
    let under_way = |view: &Execution| {
        let status = |place: usize| view.node_states[place].status;
        status(0) == NodeStatus::Running
            && status(1) == NodeStatus::Running
            && status(2) == NodeStatus::Waiting
    };
    world.follow(id, under_way).await;
    let world = world.restart().await;
    let recovered = |view: &Execution| {
        view.node_states[0].status == NodeStatus::Completed
            && view.node_states[1].status == NodeStatus::Failed
    };
    let view = world.follow(id, recovered).await;
    assert_eq!(view.node_states[0].attempt_count, 2);
    assert_eq!(
        view.node_states[1].error.as_ref().unwrap().code,
        "interrupted"
    );
    assert_eq!(view.node_states[2].status, NodeStatus::Waiting);
    let node = limelight_protocol::NodeId::new("ask").unwrap();
    let approve = Command::Approve {
        node,
        by: "me".into(),
        comment: None,
    };
    world.app.coordinators.control(id, approve).await.unwrap();
    assert_eq!(world.ended(id).await.status, ExecutionStatus::Failed);
}

#[actix_rt::test]
async fn a_command_that_does_not_fit_changes_nothing() {
    let world = World::new().await;
    let version = world
        .workflow("name: short\nnodes:\n  a: {kind: noop}\n")
        .await;
    let id = world.start(&version).await;
    let ended = world.ended(id).await;
    let resume = Command::Resume { by: "me".into() };
    let refused = world.app.coordinators.control(id, resume).await;
    let Err(ControlError::Rejected(rejection)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(rejection.code, "already_ended");
    assert_eq!(world.stored(id).await, ended);
}

#[actix_rt::test]
async fn the_journal_knows_whether_an_execution_has_begun() {
    let world = World::new().await;
    let version = world
        .workflow("name: short\nnodes:\n  a: {kind: noop}\n")
        .await;
    let journal = &world.app.services.journal;
    let never = ExecutionId(Uuid::now_v7());
    assert_eq!(has_begun(journal.clone(), never).await, Ok(false));
    let id = world.start(&version).await;
    let ended = world.ended(id).await;
    assert_eq!(has_begun(journal.clone(), id).await, Ok(true));
    assert_eq!(world.stored(id).await, ended, "the question left a trace");
}

#[actix_rt::test]
async fn the_same_idempotency_key_starts_once() {
    let world = World::new().await;
    let version = world
        .workflow("name: short\nnodes:\n  a: {kind: noop}\n")
        .await;
    let coordinators = &world.app.coordinators;
    let caller = Caller::system();
    let start = || coordinators.start(&caller, &version, Execute::default(), Some("key"));
    let (first, second) = tokio::join!(start(), start());
    assert_eq!(first.unwrap().id, second.unwrap().id);
    let other = Execute {
        name: Some("another".into()),
        ..Execute::default()
    };
    let reused = coordinators
        .start(&caller, &version, other, Some("key"))
        .await;
    assert!(matches!(reused, Err(StartError::KeyReused)), "{reused:?}");
}
