//! `limelight token`: signs a token offline.

use anyhow::Context;

use super::TokenArgs;
use crate::{auth::Tokens, config::Config};

/// A token by the key of `config`. Nothing is asked of a server, so the user need not exist.
///
/// # Errors
/// When there is no key, or no user name.
pub fn mint(config: &Config, args: &TokenArgs) -> anyhow::Result<String> {
    anyhow::ensure!(!args.user.is_empty(), "the user's name is empty");
    let tokens = Tokens::local(config)
        .context("no key to sign with: start the server once, or set LIMELIGHT_JWT_SECRET")?;
    Ok(tokens.issue(&args.user, args.role, args.ttl)?)
}
