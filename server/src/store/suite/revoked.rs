//! Tokens that were ended before their time.

use limelight_protocol::{Timestamp, UserId};

use super::Database;
use crate::store::{new_id, revoked::Revoked};

pub async fn ended_tokens_are_kept_until_they_would_have_expired(database: Database) {
    let (store, journal) = database.open().await;
    let user = UserId(new_id());
    let token = Revoked::Token("00ff".into());
    let sessions = |until| Revoked::SessionsOf(user, Timestamp(until));
    let mut mark = store.revoked_mark().await.unwrap();
    for (revoked, expires) in [(token.clone(), 100), (sessions(5), 200), (sessions(7), 300)] {
        store.revoke(&revoked, Timestamp(expires)).await.unwrap();
        let next = store.revoked_mark().await.unwrap();
        assert_ne!(next, mark, "a change that nobody sees");
        mark = next;
    }
    drop((store, journal));

    let (store, _journal) = database.open().await;
    let mut all = store.revoked().await.unwrap();
    all.sort_by_key(|(_, expires)| *expires);
    // The later end of a user's sessions has taken the place of the earlier one.
    let last = (sessions(7), Timestamp(300));
    assert_eq!(all, [(token, Timestamp(100)), last.clone()]);
    store.forget_revoked(Timestamp(101)).await.unwrap();
    assert_eq!(store.revoked().await.unwrap(), [last]);
    assert_ne!(store.revoked_mark().await.unwrap(), mark);
}
