//! What can be typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use limelight_protocol::auth::Role;

use crate::{
    config::{Config, Settings},
    store::DatabaseUrl,
};

/// Runs workflows and shows every actor of them live.
#[derive(Debug, Parser)]
#[command(name = "limelight", version, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Settings file [default: ./limelight.toml, if there is one; env: LIMELIGHT_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the SQLite file, the keys and the artifacts [default: ./limelight-data; env: LIMELIGHT_DATA_DIR]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

impl Global {
    /// The settings in force, `flags` strongest.
    ///
    /// # Errors
    /// Those of [`Config::load`].
    pub fn load(&self, flags: Settings) -> anyhow::Result<Config> {
        let flags = Settings {
            data_dir: self.data_dir.clone(),
            ..flags
        };
        Config::load(self.config.clone(), flags)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the dashboard, the API and the WebSocket.
    Serve(Box<Settings>),
    /// Bring the database's schema to another version.
    Migrate(MigrateArgs),
    /// Start a workflow on a running server, or follow an execution.
    Run(RunArgs),
    /// Print a token that is signed with the data folder's secret.
    Token(TokenArgs),
    /// Make a user, or change their password; it is read from the terminal or standard input.
    User(UserArgs),
    /// Measure this machine.
    Bench(BenchArgs),
}

/// Of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Which way.
    #[command(subcommand)]
    pub step: MigrateStep,
}

/// Which way to migrate.
#[derive(Debug, Subcommand)]
pub enum MigrateStep {
    /// Apply what is missing.
    Up,
    /// Take back the newest steps.
    Down {
        /// How many.
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// Show which steps are applied.
    Status,
}

/// Of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A workflow file, the name of a workflow, or the id of an execution to follow.
    pub target: String,
    /// Parameter of the execution; repeatable. A value is read by the parameter's type.
    #[arg(long = "param", short = 'p', value_name = "KEY=VALUE", value_parser = key_value)]
    pub params: Vec<(String, String)>,
    /// Name of the execution.
    #[arg(long)]
    pub name: Option<String>,
    /// Show what happens until it ends; the exit code tells how it ended.
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Print events as JSON lines.
    #[arg(long)]
    pub json: bool,
    /// The server [default: where the settings say that it listens; env: LIMELIGHT_SERVER]
    #[arg(long, env = "LIMELIGHT_SERVER", value_name = "URL", hide_env = true)]
    pub server: Option<String>,
}

/// Of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Name of the user.
    #[arg(long)]
    pub user: String,
    /// viewer, operator or admin.
    #[arg(long, value_parser = role)]
    pub role: Role,
    /// How long it is good, such as 30s, 15m, 1h or 7d.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub ttl: Duration,
}

/// Of `user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// Name of the user.
    pub name: String,
    /// viewer, operator or admin; makes the user where there is none of that name.
    #[arg(long, value_parser = role)]
    pub role: Option<Role>,
}

/// Of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[arg(value_enum)]
    pub kind: BenchKind,
    /// How many nodes or rows [default: by kind]
    #[arg(long, short = 'n')]
    pub count: Option<u64>,
    /// Database to measure on, which is filled [default: a temporary SQLite file]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,
    /// How often to repeat it; the median is shown.
    #[arg(long, default_value_t = 5)]
    pub repeat: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchKind {
    /// One node, many nodes after it, one that joins them.
    Fanout,
    /// Nodes in a row.
    Chain,
    /// Rows appended to the journal.
    Journal,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a parameter is written KEY=VALUE".into()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 30s, 15m, 1h or 7d");
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(86_400),
        _ => None,
    };
    seconds
        .filter(|seconds| (1..=10 * 365 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_may_stand_anywhere() {
        let cli = Cli::try_parse_from([
            "limelight",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "d",
        ])
        .unwrap();
        assert_eq!(cli.global.data_dir, Some("d".into()));
        let Command::Serve(settings) = cli.command else {
            panic!("another command")
        };
        assert_eq!(settings.listen, Some(([127, 0, 0, 1], 0).into()));
        assert_eq!(settings.cors_origins, None);
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in ["", "h", "0s", "1w", "-1s", "99999999999999999999d", "1.5h"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_parameter_may_hold_further_equals_signs() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("=x").is_err());
        assert!(key_value("x").is_err());
    }
}
