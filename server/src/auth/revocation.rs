//! Tokens that end before their time: by signing out, and with a change of the password.
//!
//! They are kept in the database, so that a restart changes nothing, and in memory, so that looking
//! costs no query. A token is known by the hash of what its key has signed: a signature can be
//! written in more than one way, and tokens themselves are not kept.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use limelight_protocol::{Timestamp, UserId};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time};

use super::{cookie, users::Users};
use crate::{
    clock,
    error::ApiError,
    store::revoked::{Revoked, RevokedMark},
};

/// Most tokens that are kept as signed out. Beyond, signing out ends all sessions of the user.
pub const MAX_TOKENS: usize = 100_000;
/// How long after its expiry a token is still kept as ended: the clock may be set back.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often the database is asked whether another program has ended tokens.
const LOOK: Duration = Duration::from_secs(1);
/// How often what has expired is forgotten.
const FORGET: Duration = Duration::from_secs(3600);
/// Longest trust in a timer: the clock may be set, and a machine may sleep.
const LONGEST_TIMER: Duration = Duration::from_secs(10);

/// What ends a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Hash of what its key has signed.
    pub fingerprint: [u8; 32],
    /// When it is good no longer.
    pub ends_at: Timestamp,
    /// Where it is a session that we began: whose, and when.
    pub session: Option<(UserId, Timestamp)>,
}

/// The fingerprint of a token: all of it but its signature.
#[must_use]
pub fn fingerprint(token: &str) -> [u8; 32] {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    Sha256::digest(signed).into()
}

fn hexadecimal(fingerprint: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    fingerprint.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why a token is taken no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time is over.
    Expired,
    /// It was signed out.
    SignedOut,
}

#[derive(Default)]
struct Known {
    tokens: HashMap<String, Timestamp>,
    sessions: HashMap<UserId, Timestamp>,
}

impl Known {
    fn add(&mut self, revoked: Revoked, expires: Timestamp) {
        match revoked {
            Revoked::Token(fingerprint) => {
                self.tokens.insert(fingerprint, expires);
            }
            Revoked::SessionsOf(user, until) => {
                let known = self.sessions.entry(user).or_insert(until);
                *known = (*known).max(until);
            }
        }
    }
}

/// The tokens that were ended.
pub struct Revocations {
    users: Arc<dyn Users>,
    known: RwLock<Known>,
    changed: watch::Sender<()>,
    most: usize,
}

impl Revocations {
    /// Reads what has been ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(users: Arc<dyn Users>) -> Result<Arc<Self>, ApiError> {
        Self::with_room(users, MAX_TOKENS).await
    }

    pub(super) async fn with_room(
        users: Arc<dyn Users>,
        most: usize,
    ) -> Result<Arc<Self>, ApiError> {
        let revocations = Self {
            users,
            known: RwLock::default(),
            changed: watch::Sender::default(),
            most,
        };
        revocations.reload().await?;
        Ok(Arc::new(revocations))
    }

    async fn reload(&self) -> Result<(), ApiError> {
        let revoked = self.users.revoked().await?;
        let mut known = self.known.write();
        // Added to what is known: a token may have ended since the rows were read.
        for (revoked, expires) in revoked {
            known.add(revoked, expires);
        }
        drop(known);
        self.changed.send_replace(());
        Ok(())
    }

    /// Whether a token has been ended.
    #[must_use]
    pub fn contains(&self, token: &Token) -> bool {
        let known = self.known.read();
        let session_ended = |(user, began): (UserId, Timestamp)| {
            known
                .sessions
                .get(&user)
                .is_some_and(|until| began <= *until)
        };
        known.tokens.contains_key(&hexadecimal(&token.fingerprint))
            || token.session.is_some_and(session_ended)
    }

    /// A time to begin a session of `user` with: now, or after those that were ended where the
    /// clock has been set back since.
    #[must_use]
    pub fn begin_session(&self, user: UserId, now: Timestamp) -> Timestamp {
        let ended = self.known.read().sessions.get(&user).copied();
        ended.map_or(now, |ended| now.max(Timestamp(ended.0.saturating_add(1))))
    }

    /// Ends a token, everywhere it is used.
    ///
    /// # Errors
    /// When it cannot be kept; it has not ended then. 429 when too many are kept and the token is no
    /// session of a user.
    pub async fn end(&self, token: &Token) -> Result<(), ApiError> {
        if self.contains(token) {
            return Ok(());
        }
        let room = self.known.read().tokens.len() < self.most;
        let (revoked, expires) = match token.session {
            _ if room => (
                Revoked::Token(hexadecimal(&token.fingerprint)),
                token.ends_at,
            ),
            Some((user, began)) => {
                let now = clock::now();
                (Revoked::SessionsOf(user, now.max(began)), last_session(now))
            }
            None => return Err(ApiError::too_many(FORGET.as_secs())),
        };
        self.users.revoke(&revoked, expires).await?;
        self.known.write().add(revoked, expires);
        self.changed.send_replace(());
        Ok(())
    }

    /// Learns what other programs end, and forgets what has expired. Never returns.
    pub async fn follow(self: Arc<Self>) {
        let mut known_mark = None;
        let mut forget_at = time::Instant::now();
        loop {
            if let Err(error) = self.look(&mut known_mark, &mut forget_at).await {
                tracing::debug!(%error, "the ended tokens cannot be read");
            }
            time::sleep(LOOK).await;
        }
    }

    async fn look(
        &self,
        known_mark: &mut Option<RevokedMark>,
        forget_at: &mut time::Instant,
    ) -> Result<(), ApiError> {
        if time::Instant::now() >= *forget_at {
            let until = Timestamp(clock::now().0.saturating_sub(milliseconds(KEPT)));
            self.users.forget_revoked(until).await?;
            let tokens = &mut self.known.write().tokens;
            tokens.retain(|_, expires| *expires >= until);
            *forget_at = time::Instant::now() + FORGET;
        }
        let mark = self.users.revoked_mark().await?;
        if *known_mark != Some(mark) {
            self.reload().await?;
            *known_mark = Some(mark);
        }
        Ok(())
    }
}

/// When the last session that may have begun by now expires.
#[must_use]
pub fn last_session(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(milliseconds(cookie::SESSION)))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long the caller's token is good, beside their [`Caller`](super::Caller): for answers that
/// go on for longer than a request.
#[derive(Clone)]
pub struct Validity(Option<(Token, Arc<Revocations>)>);

impl Validity {
    /// Without a token nothing ends.
    #[must_use]
    pub const fn endless() -> Self {
        Self(None)
    }

    pub(super) const fn of(token: Token, revocations: Arc<Revocations>) -> Self {
        Self(Some((token, revocations)))
    }

    /// Waits until the token has expired or was signed out.
    pub async fn ended(self) -> Ended {
        let Some((token, revocations)) = self.0 else {
            return std::future::pending().await;
        };
        let mut changed = revocations.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if revocations.contains(&token) {
                return Ended::SignedOut;
            }
            let left = token.ends_at.0.saturating_sub(clock::now().0);
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                return Ended::Expired;
            };
            let wait = Duration::from_millis(left).min(LONGEST_TIMER);
            // Whatever it is that ends the wait, all is looked at again.
            let _ = time::timeout(wait, changed.changed()).await;
        }
    }
}

impl FromRequest for Validity {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let validity = request.extensions().get::<Self>().cloned();
        ready(validity.ok_or_else(|| {
            ApiError::unauthorized(
                "unauthenticated",
                "nobody is known to be behind this request",
            )
        }))
    }
}
