//! What identity asks of the store.

use futures_util::future::BoxFuture;
use limelight_protocol::{UserId, auth::Role};

use crate::{error::ApiError, store::Store};

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

/// Finds users. The store implements it.
pub trait Users: Send + Sync {
    /// The user of that name.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<UserRecord>, ApiError>>;
}

impl Users for Store {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<UserRecord>, ApiError>> {
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
}
