//! Snapshots and the position that goes with them.

use std::cell::Cell;

use limelight_protocol::{
    Execution, ExecutionSummary, Timestamp, Topic, rest::Page, testing::TestRun,
};
use serde::de::DeserializeOwned;

use super::{
    Database,
    story::{Story, cases, started, test_run},
};
use crate::{auth::Caller, host::HostSampler, store::Store};

/// Snapshots of each topic that are taken.
const ROUNDS: usize = 60;

async fn snapshot<T: DeserializeOwned>(store: &Store, topic: &Topic) -> (u64, T) {
    let snapshot = store.snapshot(&Caller::system(), topic).await.unwrap();
    (
        snapshot.position,
        serde_json::from_str(snapshot.data.get()).unwrap(),
    )
}

/// Two executions and a test run have all events of the journal, and get one each with every commit.
/// So what the rows say of their streams' lengths tells the position that they belong to.
pub async fn a_snapshot_holds_what_the_events_up_to_its_position_made(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut stories = [Story::new(&["a"]), Story::new(&["a"])];
    let mut run = test_run();
    let mut batch: Vec<_> = stories.iter_mut().map(Story::begin).collect();
    batch.push(cases(&mut run, &["first"]));
    for result in journal.commit(batch).await {
        result.unwrap();
    }
    let begun = stories[0].execution.seq;
    let of_execution = Topic::Execution(stories[0].execution.id);
    let of_workflow = Topic::Workflow(stories[0].execution.workflow_id);
    let of_run = Topic::TestRun(run.id);
    let (done, commits) = (Cell::new(false), Cell::new(0));

    // On one thread: a commit comes wherever a read waits for the database.
    let write = async {
        while !done.get() {
            commits.set(commits.get() + 1);
            let mut batch: Vec<_> = stories
                .iter_mut()
                .map(|story| story.go_on(vec![started("a")]))
                .collect();
            batch.push(cases(&mut run, &[&format!("case {}", commits.get())]));
            for result in journal.commit(batch).await {
                result.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let of_story = |seq: u64| 2 * begun + 1 + 3 * (seq - begun);
        let of_test = |run: &TestRun| 2 * begun + 1 + 3 * (run.seq - 1);
        for _ in 0..ROUNDS {
            for topic in [&Topic::Executions, &of_workflow] {
                let (position, list): (_, Page<ExecutionSummary>) = snapshot(&store, topic).await;
                for execution in &list.items {
                    assert_eq!(position, of_story(execution.seq), "{topic}");
                }
            }
            let (position, execution): (_, Execution) = snapshot(&store, &of_execution).await;
            assert_eq!(position, of_story(execution.seq), "{of_execution}");
            let (position, list): (_, Page<TestRun>) = snapshot(&store, &Topic::Tests).await;
            assert_eq!(position, of_test(&list.items[0]), "tests");
            let (position, run): (_, TestRun) = snapshot(&store, &of_run).await;
            assert_eq!(position, of_test(&run), "{of_run}");
            assert_eq!(run.cases.len() as u64, run.seq);
        }
        done.set(true);
    };
    tokio::join!(write, read);
    assert!(commits.get() > 10, "only {} commits", commits.get());

    let (position, nothing): (_, Option<()>) = snapshot(&store, &Topic::Metrics).await;
    assert_eq!((position, nothing), (0, None));
    let sample = HostSampler::new().unwrap().sample(Timestamp(1000));
    store.insert_sample(&sample).await.unwrap();
    assert_eq!(snapshot(&store, &Topic::Metrics).await, (1, sample));
}
