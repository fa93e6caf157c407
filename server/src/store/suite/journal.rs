//! What the journal promises.

use std::sync::Arc;

use limelight_protocol::{
    Event, ExecutionStatus, NodeStatus, Topic, WorkflowId,
    event::{LogLine, LogSource},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Database,
    story::{NOW, Story, cases, completed, ended, node, started, test_run},
};
use crate::{
    auth::Caller,
    store::{
        Append, AppendError, CommittedEvent, JournalWriter, NewExecution, NewWorkflow, ReadModel,
        StoreError,
    },
};

async fn commit(journal: &mut JournalWriter, append: Append) -> Vec<Arc<CommittedEvent>> {
    journal.commit(vec![append]).await.remove(0).unwrap()
}

fn positions(events: &[Arc<CommittedEvent>]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}

pub async fn positions_and_sequences_have_no_gap_over_batches_and_streams(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut stories: Vec<Story> = (0..7).map(|_| Story::new(&["a"])).collect();
    let begin: Vec<_> = stories.iter_mut().map(Story::begin).collect();
    let mut all: Vec<Arc<CommittedEvent>> = Vec::new();
    for result in journal.commit(begin).await {
        all.extend(result.unwrap());
    }
    for round in 1..40_usize {
        let batch: Vec<_> = stories
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| round % (index + 1) == 0)
            .map(|(index, story)| {
                let events = (0..=index).map(|_| started("a")).collect();
                story.go_on(events)
            })
            .collect();
        for result in journal.commit(batch).await {
            all.extend(result.unwrap());
        }
    }
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(positions(&all), expected);
    assert_eq!(store.head().await.unwrap(), all.len() as u64);
    for story in &stories {
        let stream = story.stream();
        let read = store
            .read_stream(&Caller::system(), &stream, 0, 10_000)
            .await
            .unwrap();
        let seqs: Vec<u64> = read.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=story.execution.seq).collect::<Vec<_>>());
    }
}

pub async fn an_append_that_clashes_leaves_nothing_and_the_others_stand(database: Database) {
    let (store, mut journal) = database.open().await;
    let (mut first, mut twin) = (Story::new(&["a"]), Story::new(&["a"]));
    let (mut before, mut after) = (Story::new(&["a"]), Story::new(&["a"]));
    commit(&mut journal, first.begin_with_key(Some("key"))).await;
    let batch = vec![
        before.begin(),
        twin.begin_with_key(Some("key")),
        after.begin(),
    ];
    let results = journal.commit(batch).await;
    assert_eq!(positions(results[0].as_ref().unwrap()), [2]);
    assert!(matches!(results[1], Err(AppendError::Conflict(_))));
    assert_eq!(positions(results[2].as_ref().unwrap()), [3]);
    let caller = Caller::system();
    let gone = store
        .get_execution(&caller, twin.execution.id)
        .await
        .unwrap();
    assert_eq!(gone, None);
    let events = store
        .read_stream(&caller, &twin.stream(), 0, 10)
        .await
        .unwrap();
    assert!(events.is_empty());
    let found = store
        .execution_by_idempotency_key(&caller, "key")
        .await
        .unwrap();
    let (execution, fingerprint) = found.unwrap();
    assert_eq!(execution.id, first.execution.id);
    assert_eq!(fingerprint.as_deref(), Some("of the request"));
}

pub async fn a_stale_owner_is_refused_alone(database: Database) {
    let (store, mut journal) = database.open().await;
    let (mut story, mut other) = (Story::new(&["a"]), Story::new(&["a"]));
    commit(&mut journal, story.begin()).await;
    commit(&mut journal, other.begin()).await;
    let id = story.execution.id;
    assert_eq!(store.claim_execution(id, "server-2").await.unwrap(), 2);
    let mut stale = story.go_on(vec![started("a")]);
    let results = journal
        .commit(vec![
            stale.clone(),
            other.go_on(vec![started("a")]),
            Append {
                fence: Some(2),
                ..stale.clone()
            },
        ])
        .await;
    assert_eq!(results[0], Err(AppendError::Fenced));
    assert_eq!(positions(results[1].as_ref().unwrap()), [3]);
    assert_eq!(positions(results[2].as_ref().unwrap()), [4]);
    stale.fence = None;
    assert_eq!(
        journal.commit(vec![stale]).await,
        [Err(AppendError::Fenced)]
    );
    let nobody = Story::new(&["a"]).go_on(vec![started("a")]);
    assert_eq!(
        journal.commit(vec![nobody]).await,
        [Err(AppendError::Fenced)]
    );
    let missing = Story::new(&[]).execution.id;
    assert!(matches!(
        store.claim_execution(missing, "server-2").await,
        Err(StoreError::Conflict(_))
    ));
}

pub async fn an_append_that_does_not_continue_its_stream_is_refused_alone(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    commit(&mut journal, story.begin()).await;
    let right = story.go_on(vec![started("a")]);
    let gap = Append {
        first_seq: 4,
        ..right.clone()
    };
    let results = journal
        .commit(vec![gap, right.clone(), right.clone()])
        .await;
    assert!(matches!(results[0], Err(AppendError::Conflict(_))));
    assert_eq!(positions(results[1].as_ref().unwrap()), [2]);
    // The same once more is the same append, not another.
    assert_eq!(results[2], results[1]);
    assert_eq!(store.head().await.unwrap(), 2);
}

pub async fn an_append_that_is_sent_again_is_committed_once(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    let mut run = test_run();
    // Numbers that `jsonb` writes in another way than `serde_json`.
    let output = json!({"e": 1e18, "small": 1e-7, "zero": -0.0, "nul": "\0", "n": 1.0});
    let appends = [
        story.begin_with_key(Some("key")),
        cases(&mut run, &["x", "y"]),
        story.go_on(vec![started("a")]),
        cases(&mut run, &["z"]),
        story.go_on(vec![completed("a", output), ended()]),
    ];
    let mut neighbours = Vec::new();
    for append in appends {
        let first = commit(&mut journal, append.clone()).await;
        let head = store.head().await.unwrap();
        let again = commit(&mut journal, append.clone()).await;
        assert_eq!(again, first);
        assert_eq!(store.head().await.unwrap(), head);
        // Among others, in any place, and twice.
        let (mut before, mut after) = (Story::new(&["a"]), Story::new(&["a"]));
        let batch = vec![before.begin(), append.clone(), after.begin(), append];
        let results = journal.commit(batch).await;
        assert_eq!(positions(results[0].as_ref().unwrap()), [head + 1]);
        assert_eq!(results[1].as_ref().unwrap(), &first);
        assert_eq!(positions(results[2].as_ref().unwrap()), [head + 2]);
        assert_eq!(results[3].as_ref().unwrap(), &first);
        neighbours.extend([before, after]);
    }
    let caller = Caller::system();
    let stored = store.get_execution(&caller, story.execution.id).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!((stored.seq, stored.status), (4, ExecutionStatus::Completed));
    let stored = store.get_test_run(&caller, run.id).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&run), "a case was kept twice");
    for story in neighbours {
        let stream = store.read_stream(&caller, &story.stream(), 0, 10).await;
        assert_eq!(stream.unwrap().len(), 1);
    }
}

pub async fn what_differs_in_anything_is_not_the_same_append(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a", "b"]);
    let begin = story.begin_with_key(Some("key"));
    commit(&mut journal, begin.clone()).await;
    let by = |change: fn(&mut NewExecution)| {
        let mut other = begin.clone();
        if let ReadModel::NewExecution(new) = &mut other.read_model {
            change(new);
        }
        other
    };
    let owner = by(|new| new.owner = "server-2".into());
    let key = by(|new| new.idempotency_key = None);
    let request = by(|new| {
        if let Some(key) = &mut new.idempotency_key {
            key.fingerprint = "of another".into();
        }
    });
    // What has begun as somebody else's is somebody else's.
    for other in [owner, key, request] {
        let result = journal.commit(vec![other]).await.remove(0);
        assert_eq!(result, Err(AppendError::Fenced));
    }
    let right = story.go_on(vec![started("a"), completed("a", json!(1))]);
    commit(&mut journal, right.clone()).await;
    let with = |change: fn(&mut Append)| {
        let mut other = right.clone();
        change(&mut other);
        other
    };
    for other in [
        with(|append| append.events[0] = started("b")),
        with(|append| append.events[1] = completed("a", json!(2))),
        with(|append| append.events[1].timestamp.0 += 1),
        with(|append| append.events.swap(0, 1)),
        with(|append| append.events.truncate(1)),
        with(|append| append.events.push(started("b"))),
        with(|append| append.first_seq -= 1),
    ] {
        let result = journal.commit(vec![other]).await.remove(0);
        assert!(
            matches!(result, Err(AppendError::Conflict(_))),
            "{result:?}"
        );
    }
    let id = story.execution.id;
    store.claim_execution(id, "server-2").await.unwrap();
    let result = journal.commit(vec![right]).await.remove(0);
    assert_eq!(result, Err(AppendError::Fenced));
    let result = journal.commit(vec![begin]).await.remove(0);
    assert_eq!(result, Err(AppendError::Fenced));
    assert_eq!(store.head().await.unwrap(), 3);
}

pub async fn read_models_agree_with_the_events(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["zeta", "alpha", "mid"]);
    let blank = story.execution.clone();
    let mut batches = vec![story.begin()];
    batches.push(story.go_on(vec![started("zeta"), started("alpha")]));
    batches.push(story.go_on(vec![completed("zeta", json!([1, {"a": null}, "é"]))]));
    batches.push(story.go_on(vec![
        completed("alpha", json!(1.5)),
        started("mid"),
        completed("mid", json!(true)),
        ended(),
    ]));
    let caller = Caller::system();
    let mut rebuilt = blank;
    for append in batches {
        for committed in commit(&mut journal, append).await {
            let event: Event = serde_json::from_str(&committed.wire).unwrap();
            rebuilt.apply(&event).unwrap();
        }
        let stored = store.get_execution(&caller, rebuilt.id).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&rebuilt));
    }
    assert_eq!(rebuilt, story.execution);
    assert_eq!(rebuilt.status, ExecutionStatus::Completed);
}

pub async fn several_appends_of_one_execution_in_a_batch_add_up(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a", "b"]);
    let mut batch = vec![story.begin()];
    batch.push(story.go_on(vec![started("a")]));
    batch.push(story.go_on(vec![started("b")]));
    batch.push(story.go_on(vec![completed("a", json!("x"))]));
    for result in journal.commit(batch).await {
        result.unwrap();
    }
    let stored = store
        .get_execution(&Caller::system(), story.execution.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored, story.execution);
    assert_eq!(stored.node_states[0].status, NodeStatus::Completed);
    assert_eq!(stored.node_states[1].status, NodeStatus::Running);
}

pub async fn every_topic_is_read_from_any_position(database: Database) {
    let (store, mut journal) = database.open().await;
    let workflow = WorkflowId(Uuid::now_v7());
    let mut one = Story::of(workflow, &["a"]);
    let mut two = Story::of(workflow, &["a"]);
    let mut other = Story::new(&["a"]);
    let mut run = test_run();
    let mut all = Vec::new();
    for story in [&mut one, &mut two, &mut other] {
        all.extend(commit(&mut journal, story.begin()).await);
    }
    for round in 0..20 {
        let append = match round % 4 {
            0 => one.go_on(vec![started("a"), started("a")]),
            1 => cases(&mut run, &["x", "y"]),
            2 => two.go_on(vec![started("a")]),
            _ => other.go_on(vec![started("a")]),
        };
        all.extend(commit(&mut journal, append).await);
    }
    let topics = [
        Topic::Execution(one.execution.id),
        Topic::Workflow(workflow),
        Topic::Executions,
        Topic::TestRun(run.id),
        Topic::Tests,
        Topic::Execution(Story::new(&[]).execution.id),
    ];
    for topic in topics {
        let belongs = |event: &CommittedEvent| match &topic {
            Topic::Workflow(id) => event.workflow_id == Some(*id),
            Topic::Executions => event.execution_id.is_some(),
            Topic::Tests => event.execution_id.is_none(),
            stream => Topic::from(event.stream.clone()) == *stream,
        };
        for after in (0..=all.len() as u64 + 2).chain([u64::MAX]) {
            let read = store
                .read_topic(&Caller::system(), &topic, after, 5)
                .await
                .unwrap();
            let expected: Vec<u64> = all
                .iter()
                .filter(|event| belongs(event) && event.position > after)
                .map(|event| event.position)
                .take(5)
                .collect();
            assert_eq!(positions(&read), expected, "{topic} after {after}");
        }
    }
}

pub async fn what_is_read_is_what_was_committed(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    let output = json!({"text": "line\n\"quoted\" \\u0041 é", "big": 1e300, "n": -0.25});
    let mut live = commit(&mut journal, story.begin()).await;
    live.extend(commit(&mut journal, story.go_on(vec![completed("a", output)])).await);
    let read = store
        .read_stream(&Caller::system(), &story.stream(), 0, 10)
        .await
        .unwrap();
    assert_eq!(read.len(), live.len());
    for (read, live) in read.iter().zip(&live) {
        let parse = |event: &CommittedEvent| -> (Event, serde_json::Value) {
            let text = &event.wire;
            (
                serde_json::from_str(text).unwrap(),
                serde_json::from_str(text).unwrap(),
            )
        };
        let ((event, read_json), (_, live_json)) = (parse(read), parse(live));
        assert_eq!(read_json, live_json);
        event.body().unwrap();
        assert_eq!(
            CommittedEvent {
                wire: live.wire.clone(),
                ..CommittedEvent::clone(read)
            },
            **live
        );
    }
}

pub async fn writers_of_all_kinds_do_not_lock_each_other_out(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    commit(&mut journal, story.begin()).await;
    let caller = Caller::system();
    let id = story.execution.id;
    let events = async {
        for _ in 0..50 {
            commit(&mut journal, story.go_on(vec![started("a")])).await;
            tokio::task::yield_now().await;
        }
    };
    let workflows = async {
        for number in 0..50 {
            let new = NewWorkflow {
                id: WorkflowId(Uuid::now_v7()),
                name: format!("w{number}"),
                description: String::new(),
                source: "nodes: {}".into(),
                node_count: 0,
                now: NOW,
            };
            store.create_workflow(&caller, new).await.unwrap();
        }
    };
    let logs = async {
        for seq in 1..=50 {
            let line = LogLine {
                attempt: 1,
                source: LogSource::Stdout,
                line: "hello".into(),
            };
            let lines = [(NOW, line)];
            store.append_log(id, &node("a"), seq, &lines).await.unwrap();
        }
    };
    let claims = async {
        for fence in 2..=50 {
            let missing = Story::new(&[]).execution.id;
            assert!(
                store.claim_execution(missing, "x").await.is_err(),
                "{fence}"
            );
        }
    };
    tokio::join!(events, workflows, logs, claims);
    assert_eq!(store.head().await.unwrap(), 51);
    assert_eq!(store.last_log_seq(id, &node("a")).await.unwrap(), 50);
}

pub async fn nul_in_text_does_not_stop_the_journal(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    story.execution.name = Some("nul\0".into());
    commit(&mut journal, story.begin()).await;
    let committed = commit(
        &mut journal,
        story.go_on(vec![completed("a", json!("x\0y\\u0000"))]),
    )
    .await;
    let event: Event = serde_json::from_str(&committed[0].wire).unwrap();
    let stored = store
        .get_execution(&Caller::system(), story.execution.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.name.as_deref(), Some("nul\u{fffd}"));
    assert_eq!(stored.node_states[0].outputs["out"], "x\u{fffd}y\\u0000");
    let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
    assert_eq!(data["outputs"]["out"], "x\u{fffd}y\\u0000");
}

pub async fn a_lost_connection_fails_one_batch_only(database: Database) {
    let (store, mut journal) = database.open().await;
    let (mut story, mut other) = (Story::new(&["a"]), Story::new(&["a"]));
    commit(&mut journal, story.begin()).await;
    if !database.is_sqlite() {
        use sea_orm::ConnectionTrait as _;
        store
            .write()
            .await
            .execute_unprepared(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
        let lost = journal
            .commit(vec![story.go_on(vec![started("a")]), other.begin()])
            .await;
        for result in lost {
            assert!(
                matches!(result, Err(AppendError::Store(StoreError::Lost(_)))),
                "{result:?}"
            );
        }
        story.execution.seq -= 1;
        other.execution.seq -= 1;
    }
    let batch = vec![story.go_on(vec![started("a")]), other.begin()];
    let results = journal.commit(batch).await;
    assert_eq!(positions(results[0].as_ref().unwrap()), [2]);
    assert_eq!(positions(results[1].as_ref().unwrap()), [3]);
}

pub async fn test_runs_keep_their_cases_in_order(database: Database) {
    let (store, mut journal) = database.open().await;
    let caller = Caller::system();
    let mut run = test_run();
    let mut batch = vec![cases(&mut run, &["c", "a"])];
    batch.push(cases(&mut run, &["b"]));
    for result in journal.commit(batch).await {
        result.unwrap();
    }
    commit(&mut journal, cases(&mut run, &["a"])).await;
    let stored = store.get_test_run(&caller, run.id).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&run));
    let running = store.running_test_runs().await.unwrap();
    assert_eq!(running.len(), 1);
    let page = store.list_test_runs(&caller, None, 10).await.unwrap();
    assert_eq!(page.items, running);
    assert!(page.items[0].cases.is_empty());
}
