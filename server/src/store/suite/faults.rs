//! What a database that fails may and may not cost.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use limelight_test_support::{Postgres, Proxy, Statement};

use super::{
    Database,
    story::{Story, cases, started, test_run},
};
use crate::{
    auth::Caller,
    store::{Append, AppendError, DatabaseUrl, JournalWriter, StoreError},
};

/// A database on PostgreSQL that is reached through a proxy.
fn proxied() -> (Proxy, Database) {
    let proxy = Proxy::before(&Postgres::shared().new_database());
    let url = DatabaseUrl::Postgres(proxy.url().to_owned());
    let database = Database { url, _folder: None };
    (proxy, database)
}

async fn commit_one(
    journal: &mut JournalWriter,
    append: &Arc<Append>,
) -> Result<Vec<u64>, AppendError> {
    let events = journal.commit([Arc::clone(append)]).await.remove(0)?;
    Ok(events.iter().map(|event| event.position).collect())
}

#[actix_rt::test]
async fn a_commit_whose_answer_is_lost_is_found_when_it_is_sent_again() {
    let (proxy, database) = proxied();
    let (store, mut journal) = database.open().await;
    let (mut story, mut run) = (Story::new(&["a"]), test_run());
    // Each append is cut off once: every other call.
    let calls = AtomicU64::new(0);
    proxy.cut_answers(move |statement, _| {
        statement == Statement::Journal && calls.fetch_add(1, Relaxed).is_multiple_of(2)
    });
    let appends = [
        story.begin_with_key(Some("key")),
        story.go_on(vec![started("a"), started("a")]),
        cases(&mut run, &["x", "y"]),
        story.go_on(vec![started("a")]),
    ];
    let mut position = 0;
    for (number, append) in appends.into_iter().map(Arc::new).enumerate() {
        let lost = commit_one(&mut journal, &append).await;
        assert!(
            matches!(lost, Err(AppendError::Store(StoreError::Lost(_)))),
            "{lost:?}"
        );
        assert_eq!(proxy.log().len(), number + 1, "{:?}", proxy.log());
        let expected: Vec<u64> = (position + 1..=position + append.events.len() as u64).collect();
        position += append.events.len() as u64;
        assert_eq!(store.head().await.unwrap(), position, "it was committed");
        assert_eq!(commit_one(&mut journal, &append).await, Ok(expected));
        assert_eq!(store.head().await.unwrap(), position, "committed twice");
    }
    println!("{}", proxy.log().join("\n"));
    let caller = Caller::system();
    let stored = store.get_test_run(&caller, run.id).await.unwrap();
    assert_eq!(stored, Some(run));
}
