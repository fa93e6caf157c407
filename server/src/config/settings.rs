//! One layer of settings, how it is read, and how layers become a [`Config`].

use std::{fs, net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use limelight_protocol::testing::{Suite, SuiteFormat};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{AuthMode, Config, LogFormat, SQLITE_FILE, Secret};
use crate::{
    auth::{origin, secret},
    store::{DatabaseUrl, Synchronous},
};

/// Name of the settings file that is read when none is named.
pub const DEFAULT_FILE: &str = "limelight.toml";

/// One layer: what is not set here is left to a weaker one. The flags of `serve`, and the keys of
/// the settings file, are these fields.
#[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address to listen on; port 0 picks one [default: 127.0.0.1:8080; env: LIMELIGHT_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Folder of the SQLite file, the keys and the artifacts.
    // A flag of every command, so not among those of `serve`.
    #[arg(skip)]
    pub data_dir: Option<PathBuf>,
    /// sqlite:PATH or postgres://… [default: a file in the data folder; env: DATABASE_URL]
    #[arg(long, value_name = "URL", value_parser = |url: &str| Ok::<_, String>(Secret::new(url)))]
    #[serde(deserialize_with = "secret_text")]
    pub database_url: Option<Secret>,
    /// When SQLite calls a commit done [default: full; env: LIMELIGHT_SYNCHRONOUS]
    #[arg(long, value_enum)]
    pub synchronous: Option<Synchronous>,
    /// Whether callers must sign in; off on loopback addresses only [default: on; env: LIMELIGHT_AUTH]
    #[arg(long, value_enum)]
    pub auth: Option<AuthMode>,
    /// Origin whose pages may call the API; repeatable [env: LIMELIGHT_CORS_ORIGINS, by commas]
    #[arg(long = "cors-origin", value_name = "URL")]
    pub cors_origins: Option<Vec<String>>,
    /// Further name that a server on loopback may be called by; repeatable [env: LIMELIGHT_ALLOWED_HOSTS]
    #[arg(long = "allowed-host", value_name = "NAME")]
    pub allowed_hosts: Option<Vec<String>>,
    /// Key of HS256 tokens; no flag, because others see a process's flags.
    #[arg(skip)]
    #[serde(deserialize_with = "secret_text")]
    pub jwt_secret: Option<Secret>,
    /// URL or file of the identity provider's keys [env: LIMELIGHT_JWKS_URL]
    #[arg(long, value_name = "URL|FILE")]
    pub jwks_url: Option<String>,
    /// What a token's iss must be [env: LIMELIGHT_JWT_ISSUER]
    #[arg(long, value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// What a token's aud must hold [env: LIMELIGHT_JWT_AUDIENCE]
    #[arg(long, value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// How the log is written [default: text; env: LIMELIGHT_LOG_FORMAT]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Which of the log, such as info,limelight_server=debug [default: info; env: LIMELIGHT_LOG]
    #[arg(long = "log", value_name = "FILTER")]
    #[serde(rename = "log")]
    pub log_filter: Option<String>,
    /// Threads that serve HTTP [default: cores, at most 4; env: LIMELIGHT_HTTP_WORKERS]
    #[arg(long, value_name = "N")]
    pub http_workers: Option<usize>,
    /// Most connections [default: by the limit of open files, at most 8192; env: LIMELIGHT_MAX_CONNECTIONS]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// How long a connection may wait for its next request [default: 60; env: LIMELIGHT_IDLE_TIMEOUT_S]
    #[arg(long, value_name = "SECONDS")]
    pub idle_timeout_s: Option<f64>,
    /// How long a client that sends or takes nothing is waited for [default: 15; env: LIMELIGHT_STALL_TIMEOUT_S]
    #[arg(long, value_name = "SECONDS")]
    pub stall_timeout_s: Option<f64>,
    /// Commands that may run at once [default: twice the cores, at least 4; env: LIMELIGHT_COMMAND_SLOTS]
    #[arg(long, value_name = "N")]
    pub command_slots: Option<usize>,
    /// Longest time a stop may take, seconds [default: 8; env: LIMELIGHT_SHUTDOWN_S]
    #[arg(long, value_name = "SECONDS")]
    pub shutdown_s: Option<f64>,
    /// Test suites; in the settings file only.
    #[arg(skip)]
    pub suites: Option<Vec<SuiteSettings>>,
}

/// A `[[suites]]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteSettings {
    name: String,
    #[serde(default)]
    description: String,
    command: Vec<String>,
    #[serde(default)]
    working_dir: Option<String>,
    format: SuiteFormat,
    #[serde(default = "default_suite_timeout_s")]
    timeout_s: f64,
}

const fn default_suite_timeout_s() -> f64 {
    900.0
}

/// Reads a text without ever quoting it in an error.
fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    match toml::Value::deserialize(deserializer) {
        Ok(toml::Value::String(text)) => Ok(Some(Secret::new(text))),
        _ => Err(D::Error::custom("expected a text in quotes")),
    }
}

impl Settings {
    /// Reads a settings file. Errors name the line and what is wrong there, never a value of it.
    ///
    /// # Errors
    /// When it cannot be read or holds what is not known.
    pub fn from_file(path: &std::path::Path) -> anyhow::Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_toml(&text).with_context(|| format!("in {}", path.display()))
    }

    pub(super) fn from_toml(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text).map_err(|error| {
            // The error's own display quotes the line, secret or not.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            anyhow::anyhow!("line {line}: {}", error.message())
        })
    }

    /// Reads the environment through `get`.
    ///
    /// # Errors
    /// When a variable holds what it cannot.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let get = &|name: &str| get(name).filter(|value| !value.is_empty());
        let list = |name: &str| {
            get(name).map(|value| {
                value
                    .split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|item| !item.is_empty())
                    .collect()
            })
        };
        Ok(Self {
            listen: parsed(get, "LIMELIGHT_LISTEN")?,
            data_dir: get("LIMELIGHT_DATA_DIR").map(PathBuf::from),
            database_url: get("DATABASE_URL").map(Secret::new),
            synchronous: chosen(get, "LIMELIGHT_SYNCHRONOUS")?,
            auth: chosen(get, "LIMELIGHT_AUTH")?,
            cors_origins: list("LIMELIGHT_CORS_ORIGINS"),
            allowed_hosts: list("LIMELIGHT_ALLOWED_HOSTS"),
            jwt_secret: get("LIMELIGHT_JWT_SECRET").map(Secret::new),
            jwks_url: get("LIMELIGHT_JWKS_URL"),
            jwt_issuer: get("LIMELIGHT_JWT_ISSUER"),
            jwt_audience: get("LIMELIGHT_JWT_AUDIENCE"),
            log_format: chosen(get, "LIMELIGHT_LOG_FORMAT")?,
            log_filter: get("LIMELIGHT_LOG"),
            http_workers: parsed(get, "LIMELIGHT_HTTP_WORKERS")?,
            max_connections: parsed(get, "LIMELIGHT_MAX_CONNECTIONS")?,
            idle_timeout_s: parsed(get, "LIMELIGHT_IDLE_TIMEOUT_S")?,
            stall_timeout_s: parsed(get, "LIMELIGHT_STALL_TIMEOUT_S")?,
            command_slots: parsed(get, "LIMELIGHT_COMMAND_SLOTS")?,
            shutdown_s: parsed(get, "LIMELIGHT_SHUTDOWN_S")?,
            suites: None,
        })
    }

    /// This layer over a weaker one.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        macro_rules! stronger {
            ($($field:ident),+ $(,)?) => { Self { $($field: self.$field.or(weaker.$field)),+ } };
        }
        stronger!(
            listen,
            data_dir,
            database_url,
            synchronous,
            auth,
            cors_origins,
            allowed_hosts,
            jwt_secret,
            jwks_url,
            jwt_issuer,
            jwt_audience,
            log_format,
            log_filter,
            http_workers,
            max_connections,
            idle_timeout_s,
            stall_timeout_s,
            command_slots,
            shutdown_s,
            suites,
        )
    }

    /// Fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// With the first setting that makes no sense.
    pub fn into_config(self) -> anyhow::Result<Config> {
        let default = Config::default();
        let data_dir = self.data_dir.unwrap_or(default.data_dir);
        let config = Config {
            listen: self.listen.unwrap_or(default.listen),
            database: match self.database_url {
                // The URL may hold a password, so the error does not quote it.
                Some(url) => url.expose().parse().map_err(anyhow::Error::msg)?,
                None => DatabaseUrl::Sqlite(data_dir.join(SQLITE_FILE)),
            },
            data_dir,
            synchronous: self.synchronous.unwrap_or_default(),
            auth: self.auth.unwrap_or_default(),
            cors_origins: self.cors_origins.unwrap_or_default(),
            allowed_hosts: self.allowed_hosts.unwrap_or_default(),
            jwt_secret: self.jwt_secret,
            jwks_url: self.jwks_url,
            jwt_issuer: self.jwt_issuer,
            jwt_audience: self.jwt_audience,
            log_format: self.log_format.unwrap_or_default(),
            log_filter: self.log_filter.unwrap_or(default.log_filter),
            http_workers: self.http_workers.unwrap_or(default.http_workers),
            max_connections: self.max_connections,
            idle_timeout_s: self.idle_timeout_s.unwrap_or(default.idle_timeout_s),
            stall_timeout_s: self.stall_timeout_s.unwrap_or(default.stall_timeout_s),
            command_slots: self.command_slots.unwrap_or(default.command_slots),
            shutdown_s: self.shutdown_s.unwrap_or(default.shutdown_s),
            suites: self
                .suites
                .unwrap_or_default()
                .into_iter()
                .map(SuiteSettings::into_suite)
                .collect::<Result<_, _>>()?,
        };
        check(&config)?;
        Ok(config)
    }
}

impl Config {
    /// Reads `file` (else [`DEFAULT_FILE`], if there is one), then the environment, then `flags`.
    ///
    /// # Errors
    /// With what cannot be read or makes no sense, without ever showing a secret.
    pub fn load(file: Option<PathBuf>, flags: Settings) -> anyhow::Result<Self> {
        let file = file
            .or_else(|| std::env::var_os("LIMELIGHT_CONFIG").map(PathBuf::from))
            .or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
        let from_file = file.map_or_else(
            || Ok(Settings::default()),
            |path| Settings::from_file(&path),
        )?;
        let from_env = Settings::from_env(|name| std::env::var(name).ok())?;
        flags.over(from_env.over(from_file)).into_config()
    }
}

fn parsed<T: FromStr>(get: impl Fn(&str) -> Option<String>, name: &str) -> anyhow::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    get(name)
        .map(|value| value.parse())
        .transpose()
        .with_context(|| format!("in the environment variable {name}"))
}

fn chosen<T: ValueEnum>(
    get: impl Fn(&str) -> Option<String>,
    name: &str,
) -> anyhow::Result<Option<T>> {
    get(name)
        .map(|value| T::from_str(&value, true))
        .transpose()
        .map_err(|_| {
            let words: Vec<_> = T::value_variants()
                .iter()
                .filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()))
                .collect();
            anyhow::anyhow!(
                "the environment variable {name} must be {}",
                words.join(" or ")
            )
        })
}

impl SuiteSettings {
    fn into_suite(self) -> anyhow::Result<Suite> {
        ensure!(!self.name.is_empty(), "a suite has no name");
        ensure!(
            !self.command.is_empty(),
            "the suite {:?} has an empty command",
            self.name
        );
        ensure!(
            self.timeout_s.is_finite() && self.timeout_s > 0.0,
            "timeout_s of the suite {:?} must be above 0",
            self.name
        );
        Ok(Suite {
            name: self.name,
            description: self.description,
            command: self.command,
            working_dir: self.working_dir,
            format: self.format,
            timeout_s: self.timeout_s,
        })
    }
}

fn check(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.auth == AuthMode::On || config.listen.ip().is_loopback(),
        "auth = off is for loopback addresses only, and listen is {}",
        config.listen
    );
    for origin in &config.cors_origins {
        ensure!(
            origin::is_origin(origin),
            "the CORS origin {origin:?} must be like https://example.org or http://localhost:8081"
        );
    }
    if let Some(secret) = &config.jwt_secret {
        ensure!(
            secret.expose().len() >= secret::MIN_BYTES,
            "the JWT secret must have at least {} bytes",
            secret::MIN_BYTES
        );
    }
    ensure!(config.http_workers > 0, "http_workers must be above 0");
    ensure!(config.command_slots > 0, "command_slots must be above 0");
    ensure!(
        config.max_connections.is_none_or(|most| most >= 4),
        "max_connections must be at least 4"
    );
    for (name, seconds) in [
        ("idle_timeout_s", config.idle_timeout_s),
        ("stall_timeout_s", config.stall_timeout_s),
    ] {
        ensure!(
            (0.1..=86_400.0).contains(&seconds),
            "{name} must be from 0.1 to 86400"
        );
    }
    ensure!(
        config.shutdown_s.is_finite() && (0.0..=3600.0).contains(&config.shutdown_s),
        "shutdown_s must be from 0 to 3600"
    );
    let mut names: Vec<_> = config.suites.iter().map(|suite| &suite.name).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("two suites are called {:?}", pair[0]);
    }
    Ok(())
}
