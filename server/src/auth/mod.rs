//! Who is behind a request, and what they may do.
//!
//! [`Auth`] holds everything that identity needs; [`protect`] puts a [`Caller`] behind every request
//! that needs one. Nothing here decides what a handler does: a handler takes the `Caller` and calls
//! [`Caller::require`].

pub mod caller;
pub mod cookie;
pub mod endpoints;
pub mod jwks;
pub mod origin;
pub mod password;
pub mod protect;
pub mod revocation;
pub mod secret;
pub mod sign_in;
pub mod throttle;
pub mod tokens;
pub mod users;

use std::sync::Arc;

use actix_web::{HttpRequest, http::header};
use limelight_protocol::ws::SUBPROTOCOL;

pub use caller::Caller;
pub use origin::Origins;
pub use protect::{cors, guard_host, protect};
pub use revocation::{Revocations, Validity};
pub use sign_in::SignIn;
pub use throttle::Throttle;
pub use tokens::{Tokens, Verified};
pub use users::{UserRecord, Users};

use crate::{
    config::{AuthMode, Config},
    error::ApiError,
};

/// Begins the WebSocket subprotocol that carries a token.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// Everything that identity needs, as app data.
pub struct Auth {
    mode: AuthMode,
    loopback: bool,
    /// Issues and checks tokens.
    pub tokens: Tokens,
    /// One-time codes of sign-in links.
    pub sign_in: SignIn,
    /// Tokens that were signed out.
    pub revocations: Arc<Revocations>,
    throttle: Throttle,
    origins: Origins,
    users: Arc<dyn Users>,
}

impl Auth {
    /// Reads the keys that `config` names, and makes the data folder's secret where it is missing.
    ///
    /// # Errors
    /// When a key cannot be read or written, or the database fails.
    pub async fn open(config: &Config, users: Arc<dyn Users>) -> anyhow::Result<Self> {
        Ok(Self {
            mode: config.auth,
            loopback: config.listen.ip().is_loopback(),
            tokens: Tokens::open(config).await?,
            sign_in: SignIn::default(),
            revocations: Revocations::open(Arc::clone(&users)).await?,
            throttle: Throttle::default(),
            origins: Origins::new(config),
            users,
        })
    }

    /// Whether callers must show who they are.
    #[must_use]
    pub fn required(&self) -> bool {
        self.mode == AuthMode::On
    }

    /// Who sent this request, and how long they may go on. Takes a bearer token, the dashboard's cookie or, for a WebSocket
    /// upgrade, the subprotocol pair; checks where the request comes from.
    ///
    /// # Errors
    /// 401 when nobody valid is behind it, 403 when it was made by a foreign page.
    pub async fn authenticate(
        &self,
        request: &HttpRequest,
    ) -> Result<(Caller, Validity), ApiError> {
        let upgrade = origin::is_websocket_upgrade(request);
        if !self.required() {
            self.origins.check_ambient(request, upgrade)?;
            return Ok((Caller::local_admin(), Validity::endless()));
        }
        if let Some(token) = bearer_token(request)? {
            if upgrade {
                self.origins.check_when_present(request)?;
            }
            return self.verify(&token).await;
        }
        if let Some(token) = cookie::session(request) {
            let known = self.verify(&token).await?;
            if upgrade || !request.method().is_safe() {
                self.origins.check_present(request)?;
            }
            return Ok(known);
        }
        Err(ApiError::unauthorized(
            "unauthenticated",
            "this needs a bearer token or the dashboard's session",
        ))
    }

    async fn verify(&self, token: &str) -> Result<(Caller, Validity), ApiError> {
        let Verified { caller, token } = self.tokens.verify(token).await?;
        if self.revocations.contains(&token) {
            return Err(ApiError::unauthorized(
                "signed_out",
                "this token was signed out, or its user has another password: sign in again",
            ));
        }
        Ok((caller, Validity::of(token, Arc::clone(&self.revocations))))
    }

    /// Ends the tokens that a request brings. Those that are good for nothing are passed over.
    ///
    /// # Errors
    /// When it cannot be kept that one has ended.
    async fn sign_out(&self, request: &HttpRequest) -> Result<(), ApiError> {
        let bearer = bearer_token(request).ok().flatten();
        for token in bearer.into_iter().chain(cookie::session(request)) {
            if let Ok(verified) = self.tokens.verify(&token).await {
                self.revocations.end(&verified.token).await?;
                tracing::info!(user = verified.caller.name, "signed out");
            }
        }
        Ok(())
    }
}

/// The token of the `Authorization` header, or of the WebSocket subprotocol pair.
fn bearer_token(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        return match token {
            Some(token) if !token.is_empty() => Ok(Some(token.to_owned())),
            _ => Err(ApiError::unauthorized(
                "invalid_token",
                "the Authorization header must be: Bearer TOKEN",
            )),
        };
    }
    let offered: Vec<&str> = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    Ok(offered
        .iter()
        .filter(|_| offered.contains(&SUBPROTOCOL))
        .find_map(|protocol| protocol.strip_prefix(BEARER_SUBPROTOCOL))
        .map(str::to_owned))
}

/// [`Auth::authenticate`] by the app's own [`Auth`].
///
/// # Errors
/// Those of [`Auth::authenticate`].
pub async fn authenticate(request: &HttpRequest) -> Result<(Caller, Validity), ApiError> {
    protect::auth_of(request)?.authenticate(request).await
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(crate) mod tests;
