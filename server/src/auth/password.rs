//! Passwords, by argon2id with its recommended parameters.

use std::sync::LazyLock;

use actix_web::web;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Longest password that is looked at, bytes.
pub const MAX_BYTES: usize = 1024;

/// Takes 19 MiB each, so only so many are worked on at a time; the others wait.
static TURNS: Semaphore = Semaphore::const_new(2);

/// What is checked where there is no user or no password, so that the time taken tells nothing.
static DUMMY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("no user has this").ok());

fn hash_now(password: &str) -> Result<String, argon2::password_hash::Error> {
    let hash = Argon2::default().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

/// Hashes a password, on a thread for blocking work.
///
/// # Errors
/// 422 when it is longer than [`MAX_BYTES`].
pub async fn hash(password: String) -> Result<String, ApiError> {
    if password.len() > MAX_BYTES {
        return Err(ApiError::invalid(
            "invalid_password",
            format!("a password may have {MAX_BYTES} bytes"),
        ));
    }
    let _turn = TURNS.acquire().await.map_err(ApiError::internal)?;
    web::block(move || hash_now(&password))
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::internal)
}

/// Whether `password` is the one behind `hash`, on a thread for blocking work. Takes as long where
/// there is no hash.
///
/// # Errors
/// 500 when no thread is to be had.
pub async fn verify(password: String, hash: Option<String>) -> Result<bool, ApiError> {
    if password.len() > MAX_BYTES {
        return Ok(false);
    }
    let _turn = TURNS.acquire().await.map_err(ApiError::internal)?;
    web::block(move || {
        let known = hash.is_some();
        let matches = hash
            .as_deref()
            .or(DUMMY.as_deref())
            .and_then(|hash| PasswordHash::new(hash).ok())
            .is_some_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            });
        known && matches
    })
    .await
    .map_err(ApiError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn only_the_right_password_of_a_known_user_is_taken() {
        let hashed = hash("correct horse".into()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$"));
        assert!(
            verify("correct horse".into(), Some(hashed.clone()))
                .await
                .unwrap()
        );
        assert!(!verify("wrong horse".into(), Some(hashed)).await.unwrap());
        assert!(!verify("no user has this".into(), None).await.unwrap());
        assert!(!verify("x".into(), Some("not a hash".into())).await.unwrap());
    }
}
