//! One-time codes of sign-in links.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::secret;

/// How long a code is good.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// Most codes at a time; the oldest makes room.
const MAX_CODES: usize = 64;

/// Codes that are out. Kept hashed, in memory only: a stop of the server ends them all.
#[derive(Default)]
pub struct SignIn {
    codes: Mutex<HashMap<[u8; 32], Pending>>,
}

struct Pending {
    user: String,
    expires: Instant,
}

impl SignIn {
    /// Makes a code that signs `user` in once, within an hour.
    pub fn issue(&self, user: &str) -> String {
        self.issue_at(user, Instant::now())
    }

    /// Whom the code signs in. It is used up by this.
    pub fn redeem(&self, code: &str) -> Option<String> {
        self.redeem_at(code, Instant::now())
    }

    fn issue_at(&self, user: &str, now: Instant) -> String {
        let code = secret::random_text();
        let mut codes = self.codes.lock();
        codes.retain(|_, pending| pending.expires > now);
        if codes.len() >= MAX_CODES {
            let oldest = codes.iter().min_by_key(|(_, pending)| pending.expires);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                codes.remove(&oldest);
            }
        }
        let pending = Pending {
            user: user.to_owned(),
            expires: now + LIFETIME,
        };
        codes.insert(hash(&code), pending);
        code
    }

    fn redeem_at(&self, code: &str, now: Instant) -> Option<String> {
        let pending = self.codes.lock().remove(&hash(code))?;
        (pending.expires > now).then_some(pending.user)
    }
}

fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code).into()
}

/// The link that carries a code. It stands in the fragment, which a browser sends to no server.
#[must_use]
pub fn link(base_url: &str, code: &str) -> String {
    format!("{}/sign-in#code={code}", base_url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once() {
        let sign_in = SignIn::default();
        let code = sign_in.issue("admin");
        assert_eq!(sign_in.redeem("something else"), None);
        assert_eq!(sign_in.redeem(&code).as_deref(), Some("admin"));
        assert_eq!(sign_in.redeem(&code), None);
    }

    #[test]
    fn a_code_expires_after_an_hour() {
        let sign_in = SignIn::default();
        let now = Instant::now();
        let code = sign_in.issue_at("admin", now);
        assert_eq!(sign_in.redeem_at(&code, now + LIFETIME), None);
    }

    #[test]
    fn the_oldest_code_makes_room() {
        let sign_in = SignIn::default();
        let now = Instant::now();
        let first = sign_in.issue_at("admin", now);
        for n in 1..=MAX_CODES as u64 {
            sign_in.issue_at("admin", now + Duration::from_secs(n));
        }
        assert_eq!(sign_in.codes.lock().len(), MAX_CODES);
        assert_eq!(sign_in.redeem_at(&first, now), None);
    }
}
