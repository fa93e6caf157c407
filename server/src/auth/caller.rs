//! The authenticated user behind a request.

use limelight_protocol::{UserId, auth::Role};

/// Whom a request comes from. Every store query that returns tenant data takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user, where the token's subject is one of ours.
    pub user_id: Option<UserId>,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Teams they are in.
    pub teams: Vec<String>,
}

impl Caller {
    /// The server itself: recovery, collectors, the demonstration.
    #[must_use]
    pub fn system() -> Self {
        Self {
            user_id: None,
            name: "system".into(),
            role: Role::Admin,
            teams: Vec::new(),
        }
    }
}
