//! Tokens: JSON Web Tokens, issued with the server's secret, checked with it or with a JWKS.
//!
//! A key has exactly one algorithm, and the key decides: what a token says of its own algorithm is
//! compared with that and never followed.

use std::{collections::HashSet, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind,
};
use limelight_protocol::{Timestamp, UserId, auth::Role};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Caller, UserRecord,
    jwks::{Jwks, VerifyingKey},
    revocation::{self, Token},
    secret,
};
use crate::{clock, config::Config, error::ApiError};

/// How far an identity provider's clock may differ from ours, seconds.
const LEEWAY_S: u64 = 10;

/// Longest token that is looked at, bytes.
const MAX_BYTES: usize = 8 * 1024;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    role: Role,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    teams: Vec<String>,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    // May be a list in tokens of others; the library looks at it, we only write it.
    #[serde(default, skip_serializing_if = "Option::is_none", skip_deserializing)]
    aud: Option<String>,
    /// Our own claim: the user's identifier. Of a JWKS token it is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<UserId>,
    /// Our own claim: `iat` in milliseconds. Of a JWKS token it is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat_ms: Option<i64>,
    /// Makes two tokens of one second two. We know a token by its hash, whoever has issued it.
    #[serde(default, skip_serializing_if = "Option::is_none", skip_deserializing)]
    jti: Option<String>,
}

/// Whom a token names.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The caller.
    pub caller: Caller,
    /// What ends the token.
    pub token: Token,
}

/// Issues and checks tokens.
pub struct Tokens {
    signing: EncodingKey,
    own: VerifyingKey,
    jwks: Option<Jwks>,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Tokens {
    /// Takes the secret of `config`, else that of its data folder, which is made where it is missing;
    /// and the JWKS, where one is named.
    ///
    /// # Errors
    /// When the secret or a JWKS file cannot be read.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let secret = match &config.jwt_secret {
            Some(secret) => secret.expose().to_owned(),
            None => secret::load_or_create(&config.data_dir)?,
        };
        let mut tokens = Self::from_secret(&secret, config);
        if let Some(source) = &config.jwks_url {
            tokens.jwks = Some(Jwks::open(source).await?);
        }
        Ok(tokens)
    }

    /// The same for the command line, which makes no secret.
    ///
    /// # Errors
    /// When there is no secret to be read.
    pub fn local(config: &Config) -> anyhow::Result<Self> {
        let secret = match &config.jwt_secret {
            Some(secret) => secret.expose().to_owned(),
            None => secret::load(&config.data_dir)?,
        };
        Ok(Self::from_secret(&secret, config))
    }

    fn from_secret(secret: &str, config: &Config) -> Self {
        Self {
            signing: EncodingKey::from_secret(secret.as_bytes()),
            own: VerifyingKey {
                key: DecodingKey::from_secret(secret.as_bytes()),
                algorithm: Algorithm::HS256,
            },
            jwks: None,
            issuer: config.jwt_issuer.clone(),
            audience: config.jwt_audience.clone(),
        }
    }

    /// A token for anybody.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(
        &self,
        user: &str,
        role: Role,
        ttl: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(user, None, role, Vec::new(), clock::now(), ttl)
    }

    /// A token for the session of a user of ours that begins `now`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue_for(
        &self,
        user: &UserRecord,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(
            &user.name,
            Some(user.id),
            user.role,
            user.teams.clone(),
            now,
            ttl,
        )
    }

    fn sign(
        &self,
        user: &str,
        uid: Option<UserId>,
        role: Role,
        teams: Vec<String>,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now_s = now.0.max(0).unsigned_abs() / 1000;
        let claims = Claims {
            sub: user.to_owned(),
            role,
            teams,
            exp: now_s.saturating_add(ttl.as_secs()),
            iat: Some(now_s),
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            uid,
            iat_ms: Some(now.0),
            jti: Some(Uuid::now_v7().to_string()),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
    }

    /// Whom a token names.
    ///
    /// # Errors
    /// 401 `token_expired`, or `invalid_token` for any other fault.
    pub async fn verify(&self, token: &str) -> Result<Verified, ApiError> {
        if token.len() > MAX_BYTES {
            return Err(invalid("it is too long"));
        }
        let header = decode_header(token).map_err(|_| invalid("it is no JSON Web Token"))?;
        let kid = header.kid.as_deref();
        let mut refusal = invalid("no key of ours has signed it");
        // Our own tokens name no key, and must not wait for an identity provider.
        if kid.is_none() {
            match self.check(token, &self.own) {
                Ok(claims) => return verified(token, claims, true),
                Err(error) => refusal = error,
            }
        }
        let mut foreign = Vec::new();
        if let Some(jwks) = &self.jwks {
            foreign = jwks.candidates(kid).await;
        }
        // A key identifier that the JWKS knows settles it; without one every key may be the one.
        let named = kid.is_some() && !foreign.is_empty();
        if kid.is_some() && !named {
            match self.check(token, &self.own) {
                Ok(claims) => return verified(token, claims, true),
                Err(error) => refusal = error,
            }
        }
        for key in &foreign {
            match self.check(token, key) {
                Ok(claims) => return verified(token, claims, false),
                // A signature that fits says more of the token than one that does not.
                Err(error) if error.code() == "token_expired" => refusal = error,
                Err(error) if named => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    fn check(&self, token: &str, key: &VerifyingKey) -> Result<Claims, ApiError> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.required_spec_claims = required
            .into_iter()
            .map(str::to_owned)
            .collect::<HashSet<_>>();
        let claims = decode::<Claims>(token, &key.key, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => expired(),
                kind => invalid(reason(kind)),
            })?
            .claims;
        if claims.sub.is_empty() {
            return Err(invalid("its sub is empty"));
        }
        Ok(claims)
    }
}

fn verified(token: &str, claims: Claims, own: bool) -> Result<Verified, ApiError> {
    // Our own tokens are by our own clock.
    let leeway = if own { 0 } else { LEEWAY_S };
    let ends_at_s = i64::try_from(claims.exp.saturating_add(leeway)).unwrap_or(i64::MAX);
    let ends_at = Timestamp(ends_at_s.saturating_mul(1000));
    if ends_at <= clock::now() {
        return Err(expired());
    }
    let user_id = claims.uid.filter(|_| own);
    // A token from before there was `iat_ms` was begun at an unknown moment of its second.
    let began = claims.iat_ms.map(Timestamp).unwrap_or_default();
    Ok(Verified {
        token: Token {
            fingerprint: revocation::fingerprint(token),
            ends_at,
            session: user_id.map(|user| (user, began)),
        },
        caller: Caller {
            user_id,
            name: claims.sub,
            role: claims.role,
            teams: claims.teams,
        },
    })
}

fn expired() -> ApiError {
    ApiError::unauthorized("token_expired", "the token has expired")
}

fn invalid(why: &str) -> ApiError {
    ApiError::unauthorized("invalid_token", format!("the token is not taken: {why}"))
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidIssuer => "its issuer is another",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::ImmatureSignature => "it is not good yet",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => {
            "it must say sub, role and exp, and iss and aud where the server checks them"
        }
        _ => "no key of ours has signed it",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        Tokens::from_secret(SECRET, &Config::default())
    }

    async fn code_of(tokens: &Tokens, token: &str) -> &'static str {
        match tokens.verify(token).await {
            Ok(_) => "taken",
            Err(error) => error.code(),
        }
    }

    fn signed(algorithm: Algorithm, secret: &str, claims: &serde_json::Value) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    #[actix_web::test]
    async fn an_issued_token_names_its_user() {
        let tokens = tokens();
        let token = tokens
            .issue("ada", Role::Operator, Duration::from_secs(60))
            .unwrap();
        let caller = tokens.verify(&token).await.unwrap().caller;
        assert_eq!((caller.name.as_str(), caller.role), ("ada", Role::Operator));
    }

    #[actix_web::test]
    async fn only_our_key_our_algorithm_and_complete_claims_are_taken() {
        let tokens = tokens();
        let good = json!({"sub": "ada", "role": "admin", "exp": 4_000_000_000_u64});
        assert_eq!(
            code_of(&tokens, &signed(Algorithm::HS256, SECRET, &good)).await,
            "taken"
        );
        let other_secret = SECRET.to_uppercase();
        for token in [
            signed(Algorithm::HS256, &other_secret, &good),
            signed(Algorithm::HS384, SECRET, &good),
            signed(Algorithm::HS512, SECRET, &good),
            signed(
                Algorithm::HS256,
                SECRET,
                &json!({"sub": "ada", "role": "admin"}),
            ),
            signed(
                Algorithm::HS256,
                SECRET,
                &json!({"sub": "ada", "exp": 4_000_000_000_u64}),
            ),
            signed(
                Algorithm::HS256,
                SECRET,
                &json!({"role": "admin", "exp": 4_000_000_000_u64}),
            ),
            signed(
                Algorithm::HS256,
                SECRET,
                &json!({"sub": "", "role": "admin", "exp": 4_000_000_000_u64}),
            ),
            signed(
                Algorithm::HS256,
                SECRET,
                &json!({"sub": "ada", "role": "root", "exp": 4_000_000_000_u64}),
            ),
            signed(
                Algorithm::HS256,
                SECRET,
                &json!({"sub": "ada", "role": "admin", "exp": 4_000_000_000_u64, "nbf": 3_999_999_999_u64}),
            ),
            // {"alg":"none"} and {"sub":"ada","role":"admin","exp":4000000000} without a signature
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJyb2xlIjoiYWRtaW4iLCJleHAiOjQwMDAwMDAwMDB9."
                .to_owned(),
            "nonsense".to_owned(),
            "x".repeat(MAX_BYTES + 1),
        ] {
            assert_eq!(code_of(&tokens, &token).await, "invalid_token", "{token}");
        }
        let old = json!({"sub": "ada", "role": "admin", "exp": 1_000_000_000});
        assert_eq!(
            code_of(&tokens, &signed(Algorithm::HS256, SECRET, &old)).await,
            "token_expired"
        );
    }

    #[actix_web::test]
    async fn issuer_and_audience_are_checked_when_set() {
        let tokens = Tokens::from_secret(
            SECRET,
            &Config {
                jwt_issuer: Some("https://id.example".into()),
                jwt_audience: Some("limelight".into()),
                ..Config::default()
            },
        );
        let own = tokens
            .issue("ada", Role::Viewer, Duration::from_secs(60))
            .unwrap();
        assert_eq!(code_of(&tokens, &own).await, "taken");
        let claims = |iss: serde_json::Value, aud: serde_json::Value| {
            let claims = json!({"sub": "ada", "role": "admin", "exp": 4_000_000_000_u64, "iss": iss, "aud": aud});
            signed(Algorithm::HS256, SECRET, &claims)
        };
        let good = claims(json!("https://id.example"), json!(["x", "limelight"]));
        assert_eq!(code_of(&tokens, &good).await, "taken");
        for bad in [
            claims(json!("https://other.example"), json!("limelight")),
            claims(json!("https://id.example"), json!("other")),
        ] {
            assert_eq!(code_of(&tokens, &bad).await, "invalid_token");
        }
        let bare = json!({"sub": "ada", "role": "admin", "exp": 4_000_000_000_u64});
        assert_eq!(
            code_of(&tokens, &signed(Algorithm::HS256, SECRET, &bare)).await,
            "invalid_token"
        );
    }
}
