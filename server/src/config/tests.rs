use std::{fs, path::Path};

use super::*;

const LONG_SECRET: &str = "0123456789abcdef0123456789abcdef";

fn from_toml(text: &str) -> anyhow::Result<Config> {
    Settings::from_toml(text)?.into_config()
}

fn fault(text: &str) -> String {
    format!("{:#}", from_toml(text).unwrap_err())
}

#[test]
fn without_settings_the_defaults_hold() {
    let config = from_toml("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.database,
        DatabaseUrl::Sqlite("./limelight-data/limelight.db".into())
    );
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = Settings::from_toml(
        "listen = '127.0.0.1:1'\ndata_dir = 'a'\nlog = 'debug'\ncommand_slots = 3",
    )
    .unwrap();
    let env = Settings::from_env(|name| {
        Some(match name {
            "LIMELIGHT_LISTEN" => "127.0.0.1:2".into(),
            "LIMELIGHT_DATA_DIR" => "b".into(),
            "LIMELIGHT_CORS_ORIGINS" => "http://a.example, http://b.example".into(),
            "LIMELIGHT_AUTH" => String::new(),
            _ => return None,
        })
    })
    .unwrap();
    let flags = Settings {
        listen: Some(([127, 0, 0, 1], 3).into()),
        ..Settings::default()
    };
    let config = flags.over(env.over(file)).into_config().unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, Path::new("b"));
    assert_eq!(
        config.database,
        DatabaseUrl::Sqlite("b/limelight.db".into())
    );
    assert_eq!(
        config.cors_origins,
        ["http://a.example", "http://b.example"]
    );
    assert_eq!(config.log_filter, "debug");
    assert_eq!(config.command_slots, 3);
    assert_eq!(config.auth, AuthMode::On);
}

#[test]
fn a_wrong_variable_is_named() {
    for (wrong, value) in [
        ("LIMELIGHT_LISTEN", "here"),
        ("LIMELIGHT_AUTH", "maybe"),
        ("LIMELIGHT_COMMAND_SLOTS", "-1"),
    ] {
        let env = |name: &str| (name == wrong).then(|| value.to_owned());
        let error = format!("{:#}", Settings::from_env(env).unwrap_err());
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = fault("log = 'info'\njwt_secrets = 'hunter2'");
    assert!(
        error.contains("line 2") && error.contains("jwt_secrets"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    assert!(
        fault("[[suites]]\nname = 'a'\nformat = 'tap'\ncommand = ['x']\ntypo = 1").contains("typo")
    );
}

#[test]
fn no_secret_is_ever_shown() {
    for text in [
        "jwt_secret = 123454321",
        "jwt_secret = 'hunter2",
        "jwt_secret = 'hunter2'",
        "database_url = ['hunter2']",
        "database_url = 'mysql://u:hunter2@h/d'",
    ] {
        let error = fault(text);
        assert!(
            !error.contains("hunter2") && !error.contains("123454321"),
            "{error}"
        );
    }
    let config = from_toml(&format!(
        "jwt_secret = '{LONG_SECRET}'\ndatabase_url = 'postgres://u:hunter2@h/d'"
    ))
    .unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains(LONG_SECRET) && !shown.contains("hunter2"),
        "{shown}"
    );
    assert_eq!(config.jwt_secret.unwrap().expose(), LONG_SECRET);
}

#[test]
fn a_database_is_a_file_or_postgresql() {
    for (url, database) in [
        ("sqlite:a/b.db", DatabaseUrl::Sqlite("a/b.db".into())),
        ("sqlite:///a/b.db", DatabaseUrl::Sqlite("/a/b.db".into())),
        (
            "postgres://h/d",
            DatabaseUrl::Postgres("postgres://h/d".into()),
        ),
    ] {
        assert_eq!(
            from_toml(&format!("database_url = '{url}'"))
                .unwrap()
                .database,
            database
        );
    }
    assert!(fault("database_url = 'sqlite:'").contains("sqlite:PATH"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, part) in [
        ("auth = 'off'\nlisten = '0.0.0.0:80'", "loopback"),
        ("jwt_secret = 'short'", "32 bytes"),
        ("cors_origins = ['*']", "CORS origin"),
        ("http_workers = 0", "http_workers"),
        ("command_slots = 0", "command_slots"),
        ("max_connections = 3", "max_connections"),
        ("idle_timeout_s = 0", "idle_timeout_s"),
        ("stall_timeout_s = nan", "stall_timeout_s"),
        ("shutdown_s = -1.0", "shutdown_s"),
        (
            "[[suites]]\nname = 'a'\nformat = 'tap'\ncommand = []",
            "empty command",
        ),
        (
            "[[suites]]\nname = 'a'\nformat = 'tap'\ncommand = ['x']\ntimeout_s = 0.0",
            "timeout_s",
        ),
        (
            "[[suites]]\nname = 'a'\nformat = 'tap'\ncommand = ['x']\n[[suites]]\nname = 'a'\nformat = 'tap'\ncommand = ['x']",
            "two suites",
        ),
    ] {
        let error = fault(text);
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(from_toml("auth = 'off'\nlisten = '[::1]:80'").is_ok());
}

#[test]
fn a_named_file_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    assert!(Settings::from_file(&path).is_err());
    fs::write(&path, "log_format = 'json'").unwrap();
    let config = Settings::from_file(&path).unwrap().into_config().unwrap();
    assert_eq!(config.log_format, LogFormat::Json);
}
