//! What each JSON body may hold: lengths and counts beyond its type.

use std::collections::BTreeMap;

use limelight_protocol::{
    auth::Login,
    error::Fault,
    rest::Verdict,
    testing::RunSuite,
    workflow::{Execute, StartRun},
};
use serde_json::{Map, Value};

use super::body::Content;
use crate::error::ApiError;

/// Longest name somebody gives to something, characters.
pub(super) const LONGEST_NAME: usize = 200;
/// Most labels of an execution.
pub(super) const MOST_LABELS: usize = 32;
/// Longest name of a label, characters.
pub(super) const LONGEST_LABEL: usize = 64;
/// Longest value of a label, characters.
pub(super) const LONGEST_LABEL_VALUE: usize = 256;
/// All parameters of an execution as JSON, bytes.
const LARGEST_PARAMS: usize = 256 * 1024;
/// Values in them, counted at every depth: each costs memory beyond its text.
const MOST_PARAM_VALUES: usize = 10_000;
/// Arrays and objects within each other.
const DEEPEST_PARAMS: usize = 32;
/// Longest comment, bytes.
const LONGEST_COMMENT: usize = 4096;
/// Longest text to search for, characters.
const LONGEST_SEARCH: usize = 200;

fn fault(path: &str, code: &str, message: impl Into<String>) -> Fault {
    Fault {
        path: path.to_owned(),
        code: code.to_owned(),
        message: message.into(),
    }
}

fn text(faults: &mut Vec<Fault>, path: &str, text: &str) {
    if text.chars().count() > LONGEST_NAME {
        let message = format!("may have {LONGEST_NAME} characters");
        faults.push(fault(path, "too_long", message));
    }
    no_controls(faults, path, text);
}

fn no_controls(faults: &mut Vec<Fault>, path: &str, text: &str) {
    if text.chars().any(char::is_control) {
        faults.push(fault(
            path,
            "control_character",
            "may not hold control characters",
        ));
    }
}

fn labels(faults: &mut Vec<Fault>, labels: &BTreeMap<String, String>) {
    if labels.len() > MOST_LABELS {
        let message = format!("may be {MOST_LABELS}, and are {}", labels.len());
        faults.push(fault("labels", "too_many", message));
        return;
    }
    for (name, value) in labels {
        if name.is_empty() || name.chars().count() > LONGEST_LABEL {
            let message = format!("names of labels have 1 to {LONGEST_LABEL} characters");
            faults.push(fault("labels", "label_name", message));
            continue;
        }
        let path = format!("labels.{name}");
        if value.chars().count() > LONGEST_LABEL_VALUE {
            let message = format!("may have {LONGEST_LABEL_VALUE} characters");
            faults.push(fault(&path, "too_long", message));
        }
        no_controls(faults, &path, name);
        no_controls(faults, &path, value);
    }
}

fn params(faults: &mut Vec<Fault>, params: &Map<String, Value>) {
    let mut count = 0;
    for (name, value) in params {
        let path = || {
            format!(
                "params.{}",
                name.chars().take(LONGEST_NAME).collect::<String>()
            )
        };
        if !within(value, DEEPEST_PARAMS, &mut count) {
            let message =
                format!("holds more than {DEEPEST_PARAMS} arrays and objects in each other");
            faults.push(fault(&path(), "too_deep", message));
        }
        if count > MOST_PARAM_VALUES {
            let message = format!("all parameters together may hold {MOST_PARAM_VALUES} values");
            faults.push(fault(&path(), "too_many", message));
            return;
        }
    }
    let size = serde_json::to_string(params).map_or(0, |text| text.len());
    if size > LARGEST_PARAMS {
        let message = format!("may have {LARGEST_PARAMS} bytes as JSON, and have {size}");
        faults.push(fault("params", "too_large", message));
    }
}

/// Whether a value nests no deeper; counts the values in it. Parsed JSON is at most 128 deep.
fn within(value: &Value, depth: usize, count: &mut usize) -> bool {
    *count += 1;
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => false,
        Value::Array(items) => items.iter().all(|item| within(item, depth - 1, count)),
        Value::Object(members) => members.values().all(|item| within(item, depth - 1, count)),
        _ => true,
    }
}

fn checked(faults: Vec<Fault>) -> Result<(), ApiError> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid_fields(faults))
}

/// Checks a text to search for.
///
/// # Errors
/// 400 that names the field.
pub fn search(search: Option<&str>) -> Result<(), ApiError> {
    let Some(search) = search else { return Ok(()) };
    if search.chars().count() > LONGEST_SEARCH || search.contains('\0') {
        let detail = format!("search: has at most {LONGEST_SEARCH} characters and no NUL");
        return Err(ApiError::bad_request("invalid_query", detail));
    }
    Ok(())
}

impl Content for Execute {
    // As JSON may be written: with spaces and with escapes.
    const LIMIT: usize = 2 * LARGEST_PARAMS;

    fn check(&self) -> Result<(), ApiError> {
        let mut faults = Vec::new();
        text(
            &mut faults,
            "name",
            self.name.as_deref().unwrap_or_default(),
        );
        labels(&mut faults, &self.labels);
        params(&mut faults, &self.params);
        checked(faults)
    }
}

impl Content for StartRun {
    const LIMIT: usize = Execute::LIMIT;

    fn check(&self) -> Result<(), ApiError> {
        let mut faults = Vec::new();
        text(
            &mut faults,
            "name",
            self.name.as_deref().unwrap_or_default(),
        );
        labels(&mut faults, &self.labels);
        params(&mut faults, &self.params);
        checked(faults)
    }
}

impl Content for Verdict {
    const LIMIT: usize = 32 * 1024;

    fn check(&self) -> Result<(), ApiError> {
        let mut faults = Vec::new();
        if self.comment.as_deref().unwrap_or_default().len() > LONGEST_COMMENT {
            let message = format!("may have {LONGEST_COMMENT} bytes");
            faults.push(fault("comment", "too_long", message));
        }
        checked(faults)
    }
}

impl Content for RunSuite {
    const LIMIT: usize = 4096;

    fn check(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

impl Content for Login {
    // Anybody may send one.
    const LIMIT: usize = 4096;

    fn check(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::body::{Body, Json};

    fn faults_of(body: &Value) -> Vec<(String, String)> {
        let execute: Execute = serde_json::from_value(body.clone()).unwrap();
        let Err(error) = execute.check() else {
            return Vec::new();
        };
        assert_eq!(error.status().as_u16(), 422);
        let faults = error.problem().faults.into_iter();
        faults.map(|fault| (fault.path, fault.code)).collect()
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(0), |inner, _| json!([inner]))
    }

    #[test]
    fn each_field_has_its_own_limit_and_says_so() {
        let many: BTreeMap<_, _> = (0..33).map(|n| (n.to_string(), "")).collect();
        for (body, path, code) in [
            (json!({"name": "n".repeat(201)}), "name", "too_long"),
            (json!({"name": "a\u{0}b"}), "name", "control_character"),
            (json!({"labels": many}), "labels", "too_many"),
            (
                json!({"labels": {"k".repeat(65): ""}}),
                "labels",
                "label_name",
            ),
            (
                json!({"labels": {"k": "v".repeat(257)}}),
                "labels.k",
                "too_long",
            ),
            (
                json!({"params": {"p": "v".repeat(256 * 1024)}}),
                "params",
                "too_large",
            ),
            (
                json!({"params": {"p": vec![0; 10_000]}}),
                "params.p",
                "too_many",
            ),
            (json!({"params": {"p": nested(33)}}), "params.p", "too_deep"),
        ] {
            assert_eq!(faults_of(&body), [(path.to_owned(), code.to_owned())]);
        }
        for body in [
            json!({"name": "ñ".repeat(200), "labels": {"k": "v".repeat(256)}}),
            json!({"params": {"p": nested(32), "q": vec![0; 9_900]}}),
            json!({"params": {"p": "v".repeat(256 * 1024 - 100)}}),
        ] {
            assert_eq!(faults_of(&body), []);
        }
    }

    proptest! {
        /// Whatever bytes come: no panic, and what is taken is within its limits.
        #[test]
        fn fuzz_execute_bodies(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(Json(execute)) = Json::<Execute>::from_bytes(bytes.into()) {
                prop_assert!(execute.labels.len() <= MOST_LABELS);
            }
        }

        /// Nests and rows of every bracket.
        #[test]
        fn fuzz_nested_execute_bodies(open in "(\\[|\\{\"a\":){0,400}", inner in "[0-9\"\\]},]{0,40}") {
            let body = format!("{{\"params\":{{\"p\":{open}{inner}");
            let deep = open.len() > inner.len();
            if let Ok(Json(execute)) = Json::<Execute>::from_bytes(body.into_bytes().into()) {
                prop_assert!(!deep && execute.params.len() == 1);
            }
        }
    }
}
