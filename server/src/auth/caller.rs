//! The authenticated user behind a request.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use limelight_protocol::{UserId, auth::Role};

use crate::error::ApiError;

/// Whom a request comes from. Every store query that returns tenant data takes one.
///
/// As an extractor it yields whom [`super::protect`] found, so that a handler outside its reach is
/// refused rather than open.
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
        Self::admin("system")
    }

    /// Everybody, when the server was started with `--auth off`.
    #[must_use]
    pub fn local_admin() -> Self {
        Self::admin("admin")
    }

    fn admin(name: &str) -> Self {
        Self {
            user_id: None,
            name: name.into(),
            role: Role::Admin,
            teams: Vec::new(),
        }
    }

    /// Whom [`super::protect`] found behind a request.
    ///
    /// # Errors
    /// 401 when it found nobody.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| {
            ApiError::unauthorized(
                "unauthenticated",
                "nobody is known to be behind this request",
            )
        })
    }

    /// Goes on only when the caller may do what `role` may.
    ///
    /// # Errors
    /// 403 when not.
    pub fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::forbidden(
            "role_too_low",
            format!(
                "this needs the role {}, and {} has {}",
                role.as_str(),
                self.name,
                self.role.as_str()
            ),
        ))
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_below_it_may() {
        let roles = [Role::Viewer, Role::Operator, Role::Admin];
        for (rank, has) in roles.into_iter().enumerate() {
            let caller = Caller {
                role: has,
                ..Caller::admin("u")
            };
            for (needed_rank, needed) in roles.into_iter().enumerate() {
                assert_eq!(caller.require(needed).is_ok(), rank >= needed_rank);
            }
        }
    }
}
