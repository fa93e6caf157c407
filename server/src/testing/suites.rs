//! Configured suites: `[[suites]]` tables of the settings file.
//!
//! ```toml
//! [[suites]]
//! name = "unit"
//! command = ["cargo", "test"]
//! format = "libtest"
//! timeout_s = 600
//! ```

use std::{collections::HashSet, fmt};

use limelight_protocol::testing::Suite;
use serde::Deserialize;

/// Longest name of a suite, in characters.
const MAX_NAME: usize = 64;

/// Longest a suite may run: a week, in seconds.
const MAX_TIMEOUT_S: f64 = 7.0 * 24.0 * 3600.0;

/// Why suites cannot be used: every fault that was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SuitesError(pub Vec<String>);

impl fmt::Display for SuitesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    suites: Vec<Suite>,
}

/// Reads and checks the `[[suites]]` of a settings file; other tables are not looked at.
///
/// # Errors
/// When the text is not TOML, or a suite breaks a rule of [`check_suites`].
pub fn parse_suites(toml: &str) -> Result<Vec<Suite>, SuitesError> {
    let settings: Settings =
        toml::from_str(toml).map_err(|error| SuitesError(vec![error.to_string()]))?;
    check_suites(&settings.suites)?;
    Ok(settings.suites)
}

/// Checks suites: unique names of 1 to 64 characters, a program to run, a timeout above zero and of
/// a week at most.
///
/// # Errors
/// With every fault.
pub fn check_suites(suites: &[Suite]) -> Result<(), SuitesError> {
    let mut faults = Vec::new();
    let mut names = HashSet::new();
    for (index, suite) in suites.iter().enumerate() {
        let mut fault =
            |text: &str| faults.push(format!("suites[{index}] ({:?}): {text}", suite.name));
        if suite.name.trim().is_empty() || suite.name.chars().count() > MAX_NAME {
            fault("the name must have 1 to 64 characters");
        }
        if !names.insert(&suite.name) {
            fault("the name is taken by another suite");
        }
        if suite.command.first().is_none_or(String::is_empty) {
            fault("the command is empty");
        }
        if !(suite.timeout_s > 0.0 && suite.timeout_s <= MAX_TIMEOUT_S) {
            fault("timeout_s must be above 0 and at most 604800");
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(SuitesError(faults))
    }
}

#[cfg(test)]
mod tests {
    use limelight_protocol::testing::SuiteFormat;

    use super::*;

    #[test]
    fn suites_are_read_from_among_other_settings() {
        let suites = parse_suites(
            r#"
            listen = "127.0.0.1:8080"
            [[suites]]
            name = "unit"
            command = ["cargo", "test"]
            format = "libtest"
            timeout_s = 600
            [[suites]]
            name = "python"
            description = "The client"
            command = ["pytest", "-v"]
            working_dir = "client"
            format = "pytest"
            timeout_s = 0.5
            "#,
        )
        .unwrap();
        assert_eq!((suites.len(), suites[0].timeout_s), (2, 600.0));
        assert_eq!(
            (suites[1].format, suites[1].working_dir.as_deref()),
            (SuiteFormat::Pytest, Some("client"))
        );
        assert_eq!(parse_suites(""), Ok(Vec::new()));
    }

    #[test]
    fn every_fault_is_told() {
        let SuitesError(faults) = parse_suites(
            r#"
            suites = [
              {name = "a", command = [], format = "tap", timeout_s = 0},
              {name = "a", command = [""], format = "tap", timeout_s = inf},
              {name = " ", command = ["x"], format = "tap", timeout_s = nan},
            ]"#,
        )
        .unwrap_err();
        assert_eq!(faults.len(), 7, "{faults:#?}");
        assert_eq!(faults[0], "suites[0] (\"a\"): the command is empty");
    }

    #[test]
    fn an_unknown_format_is_a_fault() {
        let text = "[[suites]]\nname='a'\ncommand=['x']\nformat='junit'\ntimeout_s=1";
        assert!(parse_suites(text).is_err());
    }
}
