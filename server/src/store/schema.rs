//! The schema: bringing it up to date, and `limelight migrate`.

use limelight_migration::Migrator;
use sea_orm::DatabaseConnection;
use sea_orm_migration::MigratorTrait;

use super::{
    Gate, StoreOptions,
    error::{Result, StoreError},
    health::Health,
    open::journal,
    pools,
};

/// What `limelight migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateCommand {
    /// Applies every step that is missing.
    Up,
    /// Takes the newest steps back.
    Down {
        /// How many.
        steps: u32,
    },
    /// Changes nothing.
    Status,
}

/// A step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Migrates the database and tells how it stands afterwards, oldest step first.
///
/// # Errors
/// As [`super::Store::open`]; and when a step fails, which leaves the schema as it was before that step.
pub async fn migrate(
    options: StoreOptions,
    command: MigrateCommand,
) -> Result<Vec<MigrationStatus>> {
    // Not under a server at work.
    let _lock = match command {
        MigrateCommand::Status => None,
        MigrateCommand::Up | MigrateCommand::Down { .. } => {
            Some(journal(&options, &Gate::default(), &Health::default()).await?)
        }
    };
    let connection = pools::for_schema(&options).await?;
    refuse_newer(&connection).await?;
    match command {
        MigrateCommand::Up => Migrator::up(&connection, None).await?,
        MigrateCommand::Down { steps } => Migrator::down(&connection, Some(steps)).await?,
        MigrateCommand::Status => {}
    }
    let applied = applied_steps(&connection).await?;
    let status = Migrator::migrations()
        .iter()
        .map(|step| MigrationStatus {
            name: step.name().to_owned(),
            applied: applied.iter().any(|name| name == step.name()),
        })
        .collect();
    connection.close().await?;
    Ok(status)
}

async fn applied_steps(connection: &DatabaseConnection) -> Result<Vec<String>> {
    Migrator::install(connection).await?;
    let rows = Migrator::get_migration_models(connection).await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

async fn refuse_newer(connection: &DatabaseConnection) -> Result<()> {
    let known = Migrator::migrations();
    let unknown = applied_steps(connection)
        .await?
        .into_iter()
        .find(|applied| known.iter().all(|step| step.name() != applied));
    unknown.map_or(Ok(()), |name| Err(StoreError::NewerSchema(name)))
}

/// Whether the database has every step. One that has steps this version does not know is refused.
pub(super) async fn is_current(connection: &DatabaseConnection) -> Result<bool> {
    refuse_newer(connection).await?;
    Ok(applied_steps(connection).await?.len() == Migrator::migrations().len())
}

/// Brings the schema up to date.
pub(super) async fn update(options: &StoreOptions) -> Result<()> {
    let connection = pools::for_schema(options).await?;
    if !is_current(&connection).await? {
        Migrator::up(&connection, None).await?;
    }
    Ok(connection.close().await?)
}
