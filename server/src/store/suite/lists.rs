//! Lists and single things, and who may be called what.

use std::collections::HashSet;

use limelight_protocol::{ExecutionStatus, Timestamp, WorkflowId, auth::Role};
use serde_json::json;
use uuid::Uuid;

use super::{
    Database,
    story::{NOW, Story, completed, ended},
};
use crate::{
    auth::Caller,
    store::{
        AppendError, Claimed, ExecutionFilter, JournalWriter, NewVersion, NewWorkflow, StoreError,
    },
};

async fn begin(journal: &mut JournalWriter, stories: &mut [Story]) {
    let batch: Vec<_> = stories.iter_mut().map(Story::begin).collect();
    for result in journal.commit(batch).await {
        result.unwrap();
    }
}

pub async fn a_list_of_a_thousand_shows_each_once_though_more_begin(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut stories: Vec<Story> = (0..1000).map(|_| Story::new(&[])).collect();
    begin(&mut journal, &mut stories).await;
    let caller = Caller::system();
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store
            .list_executions(&caller, &ExecutionFilter::default(), cursor.as_deref(), 73)
            .await
            .unwrap();
        seen.extend(page.items.iter().map(|execution| execution.id));
        begin(&mut journal, &mut [Story::new(&[])]).await;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let newest_first: Vec<_> = stories
        .iter()
        .rev()
        .map(|story| story.execution.id)
        .collect();
    assert_eq!(seen, newest_first);
    let bad = store
        .list_executions(&caller, &ExecutionFilter::default(), Some("?"), 10)
        .await;
    assert_eq!(bad, Err(StoreError::InvalidCursor));
}

pub async fn a_broken_cursor_is_refused_and_a_search_takes_any_text(database: Database) {
    let (store, mut journal) = database.open().await;
    let caller = Caller::system();
    begin(&mut journal, &mut [Story::new(&[])]).await;
    let all = ExecutionFilter::default();
    let huge = "A".repeat(100_000);
    // No base64; no 16 bytes; no UTF-8; NUL.
    for (cursor, is_a_name) in [
        ("?", false),
        ("====", false),
        ("AAA=", false),
        (huge.as_str(), false),
        ("_____w", false),
        ("AA", false),
        ("YWJj", true),
        ("", true),
    ] {
        let cursor = Some(cursor);
        let executions = store.list_executions(&caller, &all, cursor, 10).await;
        assert_eq!(executions, Err(StoreError::InvalidCursor), "{cursor:?}");
        let runs = store.list_test_runs(&caller, cursor, 10).await;
        assert_eq!(runs, Err(StoreError::InvalidCursor), "{cursor:?}");
        let workflows = store.list_workflows(&caller, cursor, 10).await;
        if is_a_name {
            assert_eq!(workflows.unwrap().items, []);
        } else {
            assert_eq!(workflows, Err(StoreError::InvalidCursor), "{cursor:?}");
        }
    }
    for text in ["\0", "a\0b", "%", "\\", "'", "\u{10ffff}", "\u{feff}"] {
        let filter = ExecutionFilter {
            search: Some(text.to_owned()),
            ..ExecutionFilter::default()
        };
        let found = store.list_executions(&caller, &filter, None, 10).await;
        let expected = usize::from(text == "%");
        assert_eq!(found.unwrap().items.len(), expected, "{text:?}");
    }
    let filter = ExecutionFilter {
        search: Some(huge),
        ..ExecutionFilter::default()
    };
    let refused = store.list_executions(&caller, &filter, None, 10).await;
    assert!(matches!(refused, Err(StoreError::SearchTooLong(_))));
}

pub async fn all_live_executions_are_claimed_at_once(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut stories: Vec<Story> = (0..5).map(|_| Story::new(&["a"])).collect();
    begin(&mut journal, &mut stories).await;
    let done = stories[1].go_on(vec![completed("a", json!(1)), ended()]);
    journal.commit(vec![done]).await.remove(0).unwrap();
    let first = store.claim_execution(stories[3].execution.id, "x").await;
    assert_eq!(first, Ok(2));
    let claimed = store.claim_live_executions("server-2").await.unwrap();
    let expected: Vec<_> = [(0, 2), (2, 2), (3, 3), (4, 2)]
        .map(|(place, fence): (usize, u64)| {
            let execution = &stories[place].execution;
            Claimed {
                id: execution.id,
                fence,
                workflow_id: execution.workflow_id,
                workflow_version: 1,
            }
        })
        .into();
    assert_eq!(claimed, expected);
    let stale = stories[0].go_on(vec![completed("a", json!(1))]);
    let refused = journal.commit(vec![stale]).await;
    assert_eq!(refused, [Err(AppendError::Fenced)]);
}

pub async fn executions_are_filtered_and_counted(database: Database) {
    let (store, mut journal) = database.open().await;
    let caller = Caller::system();
    let mut stories: Vec<Story> = (0..4).map(|_| Story::new(&["a"])).collect();
    stories[2].execution.workflow_name = "Deploy_1".into();
    begin(&mut journal, &mut stories).await;
    let done = stories[1].go_on(vec![completed("a", json!(1)), ended()]);
    journal.commit(vec![done]).await.remove(0).unwrap();
    let ids: Vec<_> = stories.iter().map(|story| story.execution.id).collect();
    let list = async |filter: ExecutionFilter| -> Vec<_> {
        let page = store.list_executions(&caller, &filter, None, 10).await;
        let items = page.unwrap().items;
        items.iter().map(|execution| execution.id).collect()
    };
    let search = |text: &str| ExecutionFilter {
        search: Some(text.into()),
        ..ExecutionFilter::default()
    };
    let status = ExecutionFilter {
        status: Some(ExecutionStatus::Completed),
        ..ExecutionFilter::default()
    };
    let workflow = ExecutionFilter {
        workflow_id: Some(stories[3].execution.workflow_id),
        status: Some(ExecutionStatus::Running),
        ..ExecutionFilter::default()
    };
    assert_eq!(list(status).await, [ids[1]]);
    assert_eq!(list(workflow).await, [ids[3]]);
    assert_eq!(list(search("deploy_")).await, [ids[2]]);
    assert_eq!(list(search("nightly 50%")).await.len(), 4);
    assert!(list(search("50_")).await.is_empty());
    assert_eq!(list(search(&ids[0].to_string())).await, [ids[0]]);

    let live = store.live_execution_ids().await.unwrap();
    assert_eq!(live, [ids[0], ids[2], ids[3]]);
    assert_eq!(
        store.live_executions(&caller, 2).await.unwrap()[0].id,
        ids[3]
    );
    let ended = store.ended_executions(&caller, 5).await.unwrap();
    assert_eq!(ended.iter().map(|one| one.id).collect::<Vec<_>>(), [ids[1]]);
    let counts = store.execution_counts_since(&caller, NOW).await.unwrap();
    assert_eq!(
        (counts.completed, counts.failed, counts.cancelled),
        (1, 0, 0)
    );
    let later = Timestamp(NOW.0 + 1);
    let counts = store.execution_counts_since(&caller, later).await.unwrap();
    assert_eq!(counts.completed, 0);
}

fn workflow(name: &str) -> NewWorkflow {
    NewWorkflow {
        id: WorkflowId(Uuid::now_v7()),
        name: name.into(),
        description: "what for".into(),
        source: "nodes: {a: {kind: noop}}".into(),
        node_count: 1,
        now: NOW,
    }
}

fn version(name: &str) -> NewVersion {
    NewVersion {
        name: name.into(),
        description: "better".into(),
        source: "nodes: {}".into(),
        node_count: 0,
        now: Timestamp(NOW.0 + 1000),
    }
}

pub async fn a_workflow_has_versions_and_its_name_is_its_own(database: Database) {
    let (store, mut journal) = database.open().await;
    let caller = Caller::system();
    let new = workflow("release");
    let id = new.id;
    let made = store.create_workflow(&caller, new.clone()).await.unwrap();
    assert_eq!((made.version, made.node_count), (1, 1));
    let twin = store.create_workflow(&caller, workflow("release")).await;
    assert_eq!(twin, Err(StoreError::NameTaken("release".into())));
    let beta = workflow("beta");
    store.create_workflow(&caller, beta.clone()).await.unwrap();
    let clash = store
        .add_workflow_version(&caller, beta.id, version("release"))
        .await;
    assert_eq!(clash, Err(StoreError::NameTaken("release".into())));
    let second = store
        .add_workflow_version(&caller, id, version("release"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((second.version, second.node_count), (2, 0));
    let nobody = WorkflowId(Uuid::now_v7());
    let missing = store
        .add_workflow_version(&caller, nobody, version("x"))
        .await;
    assert_eq!(missing, Ok(None));

    let first = store
        .get_workflow_version(&caller, id, Some(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.workflow.version, first.source), (1, new.source));
    let newest = store
        .get_workflow_version(&caller, id, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (newest.workflow.version, newest.source.as_str()),
        (2, "nodes: {}")
    );
    assert_eq!(
        store.get_workflow_version(&caller, id, Some(3)).await,
        Ok(None)
    );
    let versions = store.workflow_versions(&caller, id).await.unwrap();
    let numbers: Vec<_> = versions.iter().map(|one| one.version).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(versions[0].created_by, "system");

    let mut stories = [Story::of(id, &[]), Story::of(id, &[])];
    begin(&mut journal, &mut stories).await;
    let page = store.list_workflows(&caller, None, 1).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.total), ("beta", Some(2)));
    assert_eq!(page.items[0].last_execution, None);
    let page = store
        .list_workflows(&caller, page.next_cursor.as_deref(), 1)
        .await
        .unwrap();
    assert_eq!(page.next_cursor, None);
    let last = page.items[0].last_execution.as_ref().unwrap();
    assert_eq!(last.id, stories[1].execution.id);
    let pinned = store.pinned_definition(last.id).await.unwrap().unwrap();
    assert_eq!((pinned.0, pinned.1), (id, 1));
}

pub async fn a_workflow_with_live_executions_is_not_deleted(database: Database) {
    let (store, mut journal) = database.open().await;
    let caller = Caller::system();
    let new = workflow("release");
    store.create_workflow(&caller, new.clone()).await.unwrap();
    let mut story = Story::of(new.id, &["a"]);
    begin(&mut journal, std::slice::from_mut(&mut story)).await;
    let refused = store.delete_workflow(&caller, new.id, NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    let done = story.go_on(vec![completed("a", json!(1)), ended()]);
    journal.commit(vec![done]).await.remove(0).unwrap();
    assert_eq!(store.delete_workflow(&caller, new.id, NOW).await, Ok(true));
    assert_eq!(store.delete_workflow(&caller, new.id, NOW).await, Ok(false));
    assert_eq!(store.get_workflow(&caller, new.id).await, Ok(None));
    assert_eq!(
        store.find_workflow_by_name(&caller, "release").await,
        Ok(None)
    );
    store
        .create_workflow(&caller, workflow("release"))
        .await
        .unwrap();
    let id = story.execution.id;
    assert!(store.get_execution(&caller, id).await.unwrap().is_some());
    assert!(store.pinned_definition(id).await.unwrap().is_some());
}

pub async fn users_are_made_once_and_may_have_a_password(database: Database) {
    let (store, _journal) = database.open().await;
    let admin = store.ensure_admin(NOW).await.unwrap();
    assert_eq!(store.ensure_admin(NOW).await.unwrap(), admin);
    assert_eq!(admin.role, Role::Admin);
    let ann = store.create_user("ann", Role::Viewer, NOW).await.unwrap();
    assert!(matches!(
        store.create_user("ann", Role::Admin, NOW).await,
        Err(StoreError::Conflict(_))
    ));
    let ids: HashSet<_> = [admin.id, ann.id].into();
    assert_eq!(ids.len(), 2);
    assert!(
        store
            .set_password_hash(ann.id, Some("$argon2id$x"))
            .await
            .unwrap()
    );
    let found = store.find_user_by_name("ann").await.unwrap().unwrap();
    assert_eq!(found.password_hash.as_deref(), Some("$argon2id$x"));
    assert!(store.set_password_hash(ann.id, None).await.unwrap());
}
