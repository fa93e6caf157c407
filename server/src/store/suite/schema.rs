//! Opening, closing, migrating.

use sea_orm::ConnectionTrait as _;

use super::{Database, story::Story};
use crate::{
    auth::Caller,
    store::{DatabaseUrl, MigrateCommand, Store, StoreError, StoreOptions, Synchronous, migrate},
};

pub async fn migrations_go_up_and_down_to_nothing_and_up_again(database: Database) {
    let run = async |command| {
        let steps = migrate(database.options(), command).await.unwrap();
        let applied = steps.iter().filter(|step| step.applied).count();
        (applied, steps.len())
    };
    let (none, all) = run(MigrateCommand::Status).await;
    assert_eq!(none, 0);
    assert_eq!(run(MigrateCommand::Up).await, (all, all));
    assert_eq!(run(MigrateCommand::Up).await, (all, all));
    assert_eq!(run(MigrateCommand::Down { steps: 1 }).await, (all - 1, all));
    let steps = all as u32 - 1;
    assert_eq!(run(MigrateCommand::Down { steps }).await, (0, all));
    assert_eq!(run(MigrateCommand::Up).await, (all, all));
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    journal.commit(vec![story.begin()]).await.remove(0).unwrap();
    assert_eq!(store.head().await.unwrap(), 1);
    store.ping().await.unwrap();
}

pub async fn a_newer_schema_is_refused(database: Database) {
    let (store, journal) = database.open().await;
    drop(journal);
    store
        .write()
        .await
        .execute_unprepared(
            "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_dream', 0)",
        )
        .await
        .unwrap();
    let newer = StoreError::NewerSchema("m9999_dream".into());
    assert_eq!(
        Store::open(database.options()).await.err(),
        Some(newer.clone())
    );
    let status = migrate(database.options(), MigrateCommand::Status).await;
    assert_eq!(status, Err(newer));
}

pub async fn a_reopened_database_has_everything_and_its_epoch(database: Database) {
    let (store, mut journal) = database.open().await;
    let mut story = Story::new(&["a"]);
    journal.commit(vec![story.begin()]).await.remove(0).unwrap();
    let epoch = store.epoch().to_owned();
    drop(journal);
    drop(store);
    let (store, mut journal) = database.open().await;
    assert_eq!(store.epoch(), epoch);
    assert_eq!(store.head().await.unwrap(), 1);
    let id = story.execution.id;
    let stored = store.get_execution(&Caller::system(), id).await.unwrap();
    assert_eq!(stored, Some(story.execution.clone()));
    story.fence = store.claim_execution(id, "server-2").await.unwrap();
    let next = story.go_on(vec![super::story::started("a")]);
    let committed = journal.commit(vec![next]).await.remove(0).unwrap();
    assert_eq!((committed[0].position, committed[0].seq), (2, 2));
}

pub async fn a_database_has_one_server_and_others_beside_it_only_for_the_rest(database: Database) {
    let (store, mut journal) = database.open().await;
    let second = Store::open(database.options()).await.err().unwrap();
    assert!(matches!(second, StoreError::InUse(_)), "{second}");
    let down = migrate(database.options(), MigrateCommand::Down { steps: 1 }).await;
    assert!(matches!(down, Err(StoreError::InUse(_))), "{down:?}");
    let status = migrate(database.options(), MigrateCommand::Status).await;
    assert!(status.unwrap().iter().all(|step| step.applied));
    let beside = Store::open_beside(database.options()).await.unwrap();
    assert_eq!(beside.epoch(), store.epoch());
    beside.ensure_admin(super::story::NOW).await.unwrap();
    let begin = Story::new(&["a"]).begin();
    journal.commit(vec![begin]).await.remove(0).unwrap();
    journal.close().await;
    let (_, mut next) = database.open().await;
    let late = journal.commit(vec![Story::new(&["a"]).begin()]).await;
    assert!(late[0].is_err(), "a closed journal wrote");
    let begin = Story::new(&["a"]).begin();
    let events = next.commit(vec![begin]).await.remove(0).unwrap();
    assert_eq!(events[0].position, 2);
}

pub async fn a_database_put_back_from_a_copy_has_another_epoch(database: Database) {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let open = async || {
        let (store, journal) = Store::open_marked(database.options(), &marker)
            .await
            .unwrap();
        (store.epoch().to_owned(), store, journal)
    };
    let (first, store, mut journal) = open().await;
    let mut story = Story::new(&["a"]);
    for append in [story.begin(), story.go_on(vec![super::story::started("a")])] {
        journal.commit(vec![append]).await.remove(0).unwrap();
    }
    drop((store, journal));
    let (same, store, journal) = open().await;
    assert_eq!(same, first);
    // As it was before the last commit.
    for sql in [
        "DELETE FROM event WHERE position = 2",
        "UPDATE journal_head SET position = 1",
    ] {
        store.write().await.execute_unprepared(sql).await.unwrap();
    }
    drop((store, journal));
    let (second, store, journal) = open().await;
    assert_ne!(second, first);
    drop((store, journal));
    let (same, store, journal) = open().await;
    assert_eq!(same, second);
    // The older copy once more, though the marker is no further than it.
    let sql = format!("UPDATE journal_head SET epoch = '{first}'");
    store.write().await.execute_unprepared(&sql).await.unwrap();
    drop((store, journal));
    let (third, ..) = open().await;
    assert!(third != first && third != second);
}

pub async fn a_database_out_of_reach_is_one_clear_line(database: Database) {
    let url = match &database.url {
        DatabaseUrl::Sqlite(path) => {
            std::fs::create_dir_all(path).unwrap();
            database.url.clone()
        }
        DatabaseUrl::Postgres(_) => {
            DatabaseUrl::Postgres("postgres://ann:secret@127.0.0.1:1/limelight".into())
        }
    };
    let options = StoreOptions {
        url,
        synchronous: Synchronous::Full,
    };
    let error = Store::open(options).await.err().unwrap();
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
    if database.is_sqlite() {
        assert!(matches!(error, StoreError::Unwritable { .. }), "{line}");
    } else {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{line}");
        assert!(line.contains("ann@127.0.0.1:1/limelight"), "{line}");
    }
}
