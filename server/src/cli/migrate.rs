//! `limelight migrate`.

use std::io::{self, Write as _};

use super::{MigrateArgs, MigrateStep};
use crate::{
    config::Config,
    store::{self, MigrateCommand, StoreOptions},
};

/// Takes the database's schema up or down, or says where it stands.
///
/// # Errors
/// When the database cannot be reached or a step fails.
pub async fn migrate(config: &Config, args: &MigrateArgs) -> anyhow::Result<()> {
    let command = match args.step {
        MigrateStep::Up => MigrateCommand::Up,
        MigrateStep::Down { steps } => MigrateCommand::Down { steps },
        MigrateStep::Status => MigrateCommand::Status,
    };
    let mut out = io::stdout().lock();
    for step in store::migrate(StoreOptions::from(config), command).await? {
        let state = if step.applied { "applied" } else { "pending" };
        writeln!(out, "{state}  {}", step.name)?;
    }
    Ok(())
}
