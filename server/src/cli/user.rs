//! `limelight user`: makes a user, or changes their password.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, ensure};
use limelight_protocol::auth::Role;

use super::UserArgs;
use crate::{
    auth::{password, revocation::last_session},
    clock,
    config::Config,
    store::{Store, StoreOptions, revoked::Revoked},
};

/// Shortest password, in characters.
const SHORTEST: usize = 8;

/// Reads a password from the terminal, or the first line of standard input, and sets it. A server
/// that runs on the same database knows it at once, and ends the sessions that were begun with
/// another one. Tokens that `limelight token` has signed are not sessions.
///
/// # Errors
/// When the password is too short, a new user has no role, or the database fails.
pub async fn user(config: &Config, args: &UserArgs) -> anyhow::Result<()> {
    let password = read_password()?;
    let store = Store::open_beside(StoreOptions::from(config)).await?;
    let done = set(&store, &args.name, args.role, password).await?;
    store.close().await;
    writeln!(io::stdout(), "{done}")?;
    Ok(())
}

async fn set(
    store: &Store,
    name: &str,
    role: Option<Role>,
    password: String,
) -> anyhow::Result<String> {
    ensure!(
        password.chars().count() >= SHORTEST,
        "a password has at least {SHORTEST} characters"
    );
    let hash = password::hash(password).await?;
    let (id, done) = match (store.find_user_by_name(name).await?, role) {
        (Some(user), None) => (user.id, format!("changed the password of {name}")),
        (Some(user), Some(role)) => {
            ensure!(
                user.role == role,
                "{name} is {} already; a role is given once",
                user.role.as_str()
            );
            (user.id, format!("changed the password of {name}"))
        }
        (None, Some(role)) => {
            let user = store.create_user(name, role, clock::now()).await?;
            (user.id, format!("made {name}, {}", role.as_str()))
        }
        (None, None) => anyhow::bail!("there is no user {name}; give --role to make them"),
    };
    store.set_password_hash(id, Some(&hash)).await?;
    // Whoever knew the old password may be signed in with it.
    let now = clock::now();
    let sessions = Revoked::SessionsOf(id, now);
    store.revoke(&sessions, last_session(now)).await?;
    Ok(done)
}

fn read_password() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ")?;
        let again = rpassword::prompt_password("Again: ")?;
        ensure!(first == again, "the two are not the same");
        return Ok(first);
    }
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("no password on standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::{DatabaseUrl, Synchronous};

    #[actix_rt::test]
    async fn a_user_is_made_with_a_role_and_their_password_is_kept_as_a_hash() {
        let folder = TempDir::new().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("test.db"));
        let synchronous = Synchronous::Off;
        let store = Store::open_beside(StoreOptions { url, synchronous })
            .await
            .unwrap();
        let secret = || "correct horse".to_owned();
        assert!(set(&store, "ann", None, secret()).await.is_err());
        assert!(
            set(&store, "ann", Some(Role::Viewer), "short".into())
                .await
                .is_err()
        );
        set(&store, "ann", Some(Role::Viewer), secret())
            .await
            .unwrap();
        let hash = store
            .find_user_by_name("ann")
            .await
            .unwrap()
            .unwrap()
            .password_hash
            .unwrap();
        assert!(!hash.contains("correct"), "kept in the clear");
        assert!(
            password::verify(secret(), Some(hash.clone()))
                .await
                .unwrap()
        );
        set(&store, "ann", None, "another horse".into())
            .await
            .unwrap();
        let changed = store
            .find_user_by_name("ann")
            .await
            .unwrap()
            .unwrap()
            .password_hash;
        assert!(!password::verify(secret(), changed).await.unwrap());
        assert!(
            set(&store, "ann", Some(Role::Admin), secret())
                .await
                .is_err()
        );
    }
}
