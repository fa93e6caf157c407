//! Settings: weakest first, defaults, `limelight.toml`, environment, flags.

mod settings;

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, thread};

use limelight_protocol::testing::Suite;

use crate::store::{DatabaseUrl, Synchronous};

pub use settings::{Settings, SuiteSettings};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Whether callers must show who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// They must.
    #[default]
    On,
    /// Everybody is the local admin. On loopback addresses only.
    Off,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// Folder of the SQLite file, the keys and the artifacts.
    pub data_dir: PathBuf,
    /// Where everything is kept.
    pub database: DatabaseUrl,
    /// When SQLite calls a commit done.
    pub synchronous: Synchronous,
    /// Whether callers must show who they are.
    pub auth: AuthMode,
    /// Origins whose pages may call the API.
    pub cors_origins: Vec<String>,
    /// Further names that a server on loopback may be called by.
    pub allowed_hosts: Vec<String>,
    /// Key of HS256 tokens; the data folder's own when none.
    pub jwt_secret: Option<Secret>,
    /// URL or file of the identity provider's keys.
    pub jwks_url: Option<String>,
    /// What `iss` must be.
    pub jwt_issuer: Option<String>,
    /// What `aud` must hold.
    pub jwt_audience: Option<String>,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Which of it, as `tracing` filters are written.
    pub log_filter: String,
    /// Threads that serve HTTP.
    pub http_workers: usize,
    /// Most connections; what the limit of open files and a sensible bound allow when none.
    pub max_connections: Option<usize>,
    /// How long a connection may wait for its next request, seconds.
    pub idle_timeout_s: f64,
    /// How long a client that sends or takes nothing is waited for, seconds.
    pub stall_timeout_s: f64,
    /// Commands that may run at once.
    pub command_slots: usize,
    /// Longest time a stop may take, seconds.
    pub shutdown_s: f64,
    /// Test suites that can be run.
    pub suites: Vec<Suite>,
}

/// File name of the SQLite database in the data folder.
pub const SQLITE_FILE: &str = "limelight.db";

impl Default for Config {
    fn default() -> Self {
        let data_dir = PathBuf::from("./limelight-data");
        let cores = thread::available_parallelism().map_or(2, NonZeroUsize::get);
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database: DatabaseUrl::Sqlite(data_dir.join(SQLITE_FILE)),
            data_dir,
            synchronous: Synchronous::default(),
            auth: AuthMode::default(),
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            jwt_secret: None,
            jwks_url: None,
            jwt_issuer: None,
            jwt_audience: None,
            log_format: LogFormat::default(),
            log_filter: "info,actix_server=warn,sea_orm_migration=warn".into(),
            http_workers: cores.min(4),
            max_connections: None,
            idle_timeout_s: 60.0,
            stall_timeout_s: 15.0,
            command_slots: (cores * 2).max(4),
            shutdown_s: 8.0,
            suites: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
