//! Keys of an identity provider: a JWKS from a file or a URL.
//!
//! The keys are kept, and read again when a token names one that is not among them (at most once a
//! minute) and when they are an hour old. A set that cannot be read again leaves the old one.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::StreamExt;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::RwLock;
use tokio::sync::Mutex;

/// Least time between two readings.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// Age at which the keys are read again, so that a withdrawn one goes.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest set, bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// A key and the one algorithm it is for.
#[derive(Clone)]
pub struct VerifyingKey {
    /// The key.
    pub key: DecodingKey,
    /// Its algorithm.
    pub algorithm: Algorithm,
}

/// Most keys of a set that are used: a token that names none is tried with each.
const MAX_KEYS: usize = 100;

/// A set of keys and where it comes from.
pub struct Jwks {
    source: Source,
    keys: RwLock<Arc<Keys>>,
    /// When the set was last asked for. Whoever reads it holds this; others go on with the keys there are.
    tried: Mutex<Option<Instant>>,
}

enum Source {
    File(PathBuf),
    Url(reqwest::Client, reqwest::Url),
}

#[derive(Default)]
struct Keys {
    named: HashMap<String, VerifyingKey>,
    unnamed: Vec<VerifyingKey>,
    read: Option<Instant>,
}

impl Keys {
    fn parse(text: &[u8], now: Instant) -> anyhow::Result<Self> {
        let set: JwkSet = serde_json::from_slice(text).context("it is no JWKS")?;
        let mut keys = Self {
            read: Some(now),
            ..Self::default()
        };
        let usable = set.keys.iter().filter_map(|jwk| {
            let key = verifying_key(jwk)?;
            Some((jwk.common.key_id.clone(), key))
        });
        for (kid, key) in usable.take(MAX_KEYS) {
            match kid {
                Some(kid) => {
                    keys.named.insert(kid, key);
                }
                None => keys.unnamed.push(key),
            }
        }
        Ok(keys)
    }

    fn lacks(&self, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| !self.named.contains_key(kid))
    }

    fn old(&self, now: Instant) -> bool {
        self.read
            .is_none_or(|read| now.duration_since(read) >= MAX_AGE)
    }

    fn candidates(&self, kid: Option<&str>) -> Vec<VerifyingKey> {
        match kid {
            Some(kid) => self.named.get(kid).cloned().into_iter().collect(),
            None => self.named.values().chain(&self.unnamed).cloned().collect(),
        }
    }
}

impl Jwks {
    /// Reads the set once. A provider that does not answer is asked again later.
    ///
    /// # Errors
    /// When `source` is no URL, or a file that cannot be read.
    pub async fn open(source: &str) -> anyhow::Result<Self> {
        let source = if source.starts_with("http://") || source.starts_with("https://") {
            let url = source.parse().context("the JWKS URL cannot be read")?;
            // The keys are those of the place that was named, and of no other.
            let client = reqwest::Client::builder()
                .timeout(TIMEOUT)
                .redirect(reqwest::redirect::Policy::none());
            Source::Url(client.build()?, url)
        } else {
            Source::File(source.trim_start_matches("file://").into())
        };
        let jwks = Self {
            source,
            keys: RwLock::default(),
            tried: Mutex::default(),
        };
        let now = Instant::now();
        let first = jwks.refresh(&mut *jwks.tried.lock().await, now).await;
        match (&jwks.source, first) {
            (Source::File(path), Err(error)) => {
                Err(error).with_context(|| format!("cannot read the JWKS {}", path.display()))
            }
            (Source::Url(..), Err(error)) => {
                tracing::warn!(error = %format_args!("{error:#}"), "the JWKS cannot be read yet");
                Ok(jwks)
            }
            (_, Ok(())) => Ok(jwks),
        }
    }

    /// The keys that may have signed a token: the one named `kid`, or all where none is named.
    pub async fn candidates(&self, kid: Option<&str>) -> Vec<VerifyingKey> {
        self.candidates_at(kid, Instant::now()).await
    }

    async fn candidates_at(&self, kid: Option<&str>, now: Instant) -> Vec<VerifyingKey> {
        let keys = self.current();
        // Only a token that nothing is known about waits for somebody else's reading.
        let turn = if keys.lacks(kid) {
            Some(self.tried.lock().await)
        } else if keys.old(now) {
            self.tried.try_lock().ok()
        } else {
            None
        };
        if let Some(mut tried) = turn {
            let keys = self.current();
            let due = tried.is_none_or(|tried| now.duration_since(tried) >= MIN_INTERVAL);
            if due
                && (keys.lacks(kid) || keys.old(now))
                && let Err(error) = self.refresh(&mut tried, now).await
            {
                tracing::warn!(error = %format_args!("{error:#}"), "the JWKS cannot be read again");
            }
        }
        self.current().candidates(kid)
    }

    fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read())
    }

    async fn refresh(&self, tried: &mut Option<Instant>, now: Instant) -> anyhow::Result<()> {
        *tried = Some(now);
        let text = match &self.source {
            Source::File(path) => tokio::fs::read(path).await?,
            Source::Url(client, url) => download(client, url.clone()).await?,
        };
        *self.keys.write() = Arc::new(Keys::parse(&text, now)?);
        Ok(())
    }
}

async fn download(client: &reqwest::Client, url: reqwest::Url) -> anyhow::Result<Vec<u8>> {
    let answer = client.get(url).send().await?.error_for_status()?;
    let mut parts = answer.bytes_stream();
    let mut body = Vec::new();
    while let Some(part) = parts.next().await {
        body.extend_from_slice(&part?);
        anyhow::ensure!(
            body.len() <= MAX_BYTES,
            "it is larger than {MAX_BYTES} bytes"
        );
    }
    Ok(body)
}

/// The key and its algorithm, by its type. Symmetric keys, keys for encryption, and algorithms that
/// are not ours are left out.
fn verifying_key(jwk: &Jwk) -> Option<VerifyingKey> {
    let (algorithm, stated) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let for_this = jwk.common.key_algorithm.is_none_or(|given| given == stated);
    let for_signing = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|usage| *usage == PublicKeyUse::Signature);
    if !for_this || !for_signing {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(VerifyingKey { key, algorithm })
}

#[cfg(test)]
mod tests;
