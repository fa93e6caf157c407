//! How often sign-in may be tried: a token bucket for each peer and each user name.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Attempts that may come at once.
pub const BURST: f64 = 10.0;

/// Time after which another attempt is allowed.
pub const REFILL: Duration = Duration::from_secs(6);

/// Most buckets. Beyond, those that are full again go, then the one touched longest ago.
const MAX_BUCKETS: usize = 10_000;

/// What attempts are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An IPv4 address, or the /64 network of an IPv6 address.
    Peer(IpAddr),
    /// A user name, existing or not.
    User(String),
}

impl Key {
    /// The key of a peer's address.
    #[must_use]
    pub fn peer(address: IpAddr) -> Self {
        Self::Peer(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        })
    }
}

/// The buckets.
#[derive(Default)]
pub struct Throttle {
    buckets: Mutex<HashMap<Key, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn left_at(self, now: Instant) -> f64 {
        let waited = now.saturating_duration_since(self.at);
        (self.left + waited.as_secs_f64() / REFILL.as_secs_f64()).min(BURST)
    }
}

impl Throttle {
    /// Counts an attempt.
    ///
    /// # Errors
    /// With the seconds to wait when there were too many.
    pub fn take(&self, key: Key, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock();
        let left = buckets
            .get(&key)
            .map_or(BURST, |bucket| bucket.left_at(now));
        if left < 1.0 {
            let wait = REFILL.as_secs_f64() * (1.0 - left);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            return Err(wait.ceil().max(1.0) as u64);
        }
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let left = left - 1.0;
        buckets.insert(key, Bucket { left, at: now });
        Ok(())
    }

    /// Forgets an attempt that succeeded: only failures are limited.
    pub fn give_back(&self, key: &Key) {
        if let Some(bucket) = self.buckets.lock().get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(BURST);
        }
    }
}

fn make_room(buckets: &mut HashMap<Key, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| bucket.left_at(now) < BURST);
    if buckets.len() < MAX_BUCKETS {
        return;
    }
    let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at);
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        buckets.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Key {
        Key::User(name.into())
    }

    #[test]
    fn after_a_burst_attempts_wait_and_others_do_not() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(throttle.take(user("a"), now), Ok(()));
        }
        assert_eq!(throttle.take(user("a"), now), Err(6));
        assert_eq!(throttle.take(user("b"), now), Ok(()));
        assert_eq!(throttle.take(user("a"), now + REFILL), Ok(()));
        assert_eq!(throttle.take(user("a"), now + REFILL), Err(6));
    }

    #[test]
    fn success_costs_nothing() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(throttle.take(user("a"), now), Ok(()));
            throttle.give_back(&user("a"));
        }
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for n in 0..MAX_BUCKETS + 10 {
            assert_eq!(throttle.take(user(&n.to_string()), now), Ok(()));
        }
        assert_eq!(throttle.buckets.lock().len(), MAX_BUCKETS);
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let key = |text: &str| Key::peer(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
    }
}
