//! What identity asks of the store.

use futures_util::future::BoxFuture;
use limelight_protocol::{Timestamp, UserId, auth::Role};

use crate::{
    error::ApiError,
    store::{
        Store,
        revoked::{Revoked, RevokedMark},
    },
};

/// What a call of the store gives in time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// A user as sign-in needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its identifier.
    pub id: UserId,
    /// Its name, unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Teams it is in.
    pub teams: Vec<String>,
    /// Its password as an argon2 PHC string, where it has one.
    pub password_hash: Option<String>,
}

/// Users and what has ended of their tokens. The store implements it.
pub trait Users: Send + Sync {
    /// The user of that name.
    fn find<'a>(&'a self, name: &'a str) -> Answer<'a, Option<UserRecord>>;

    /// Keeps that a token, or the sessions of a user, have ended.
    fn revoke<'a>(&'a self, revoked: &'a Revoked, expires: Timestamp) -> Answer<'a, ()>;

    /// All that have ended, with when they would have expired.
    fn revoked(&self) -> Answer<'_, Vec<(Revoked, Timestamp)>>;

    /// Differs when [`Users::revoked`] does.
    fn revoked_mark(&self) -> Answer<'_, RevokedMark>;

    /// Forgets what would have expired before `instant`.
    fn forget_revoked(&self, instant: Timestamp) -> Answer<'_, ()>;
}

impl Users for Store {
    fn find<'a>(&'a self, name: &'a str) -> Answer<'a, Option<UserRecord>> {
        Box::pin(async move {
            let user = self.find_user_by_name(name).await?;
            Ok(user.map(|user| UserRecord {
                id: user.id,
                name: user.name,
                role: user.role,
                teams: Vec::new(),
                password_hash: user.password_hash,
            }))
        })
    }

    fn revoke<'a>(&'a self, revoked: &'a Revoked, expires: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move { Ok(Self::revoke(self, revoked, expires).await?) })
    }

    fn revoked(&self) -> Answer<'_, Vec<(Revoked, Timestamp)>> {
        Box::pin(async move { Ok(Self::revoked(self).await?) })
    }

    fn revoked_mark(&self) -> Answer<'_, RevokedMark> {
        Box::pin(async move { Ok(Self::revoked_mark(self).await?) })
    }

    fn forget_revoked(&self, instant: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move { Ok(Self::forget_revoked(self, instant).await?) })
    }
}
