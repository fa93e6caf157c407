//! Parameters as a form: text in, JSON of the declared types out.

use std::collections::BTreeMap;

use limelight_protocol::workflow::{ParamSpec, ParamType};
use serde_json::{Map, Value};

/// What a field shows before anything is typed.
pub fn initial_text(spec: &ParamSpec) -> String {
    match &spec.default {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None if spec.kind == ParamType::Boolean => "false".to_owned(),
        None => String::new(),
    }
}

/// Reads a field. An empty one is left out, so that the default holds.
fn read(spec: &ParamSpec, text: &str) -> Result<Option<Value>, String> {
    if spec.kind == ParamType::String
        && !(text.is_empty() && (spec.required || spec.default.is_none()))
    {
        return Ok(Some(Value::String(text.to_owned())));
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return if spec.required && spec.default.is_none() {
            Err("is required".to_owned())
        } else {
            Ok(None)
        };
    }
    let value = serde_json::from_str(trimmed).ok();
    let fitting = value.filter(|value: &Value| match spec.kind {
        ParamType::String => value.is_string(),
        ParamType::Number => value.is_number(),
        ParamType::Integer => value.is_i64() || value.is_u64(),
        ParamType::Boolean => value.is_boolean(),
        ParamType::Object => value.is_object(),
        ParamType::Array => value.is_array(),
    });
    fitting
        .map(Some)
        .ok_or_else(|| format!("must be {}", noun(spec.kind)))
}

/// A type with its article.
pub const fn noun(kind: ParamType) -> &'static str {
    match kind {
        ParamType::String => "a text",
        ParamType::Number => "a number",
        ParamType::Integer => "a whole number",
        ParamType::Boolean => "true or false",
        ParamType::Object => "a JSON object",
        ParamType::Array => "a JSON array",
    }
}

/// Reads the whole form.
///
/// # Errors
/// What is wrong, by field.
pub fn read_form(
    specs: &BTreeMap<String, ParamSpec>,
    texts: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, BTreeMap<String, String>> {
    let mut values = Map::new();
    let mut faults = BTreeMap::new();
    for (name, spec) in specs {
        let text = texts.get(name).map_or("", String::as_str);
        match read(spec, text) {
            Ok(Some(value)) => drop(values.insert(name.clone(), value)),
            Ok(None) => {}
            Err(fault) => drop(faults.insert(name.clone(), fault)),
        }
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(faults)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(kind: ParamType, required: bool, default: Option<Value>) -> ParamSpec {
        ParamSpec {
            kind,
            required,
            default,
            description: None,
        }
    }

    #[test]
    fn each_type_is_read_from_its_text() {
        for (kind, text, value) in [
            (ParamType::String, "7", json!("7")),
            (ParamType::Number, " 1.5 ", json!(1.5)),
            (ParamType::Integer, "-3", json!(-3)),
            (ParamType::Boolean, "true", json!(true)),
            (ParamType::Object, r#"{"a":1}"#, json!({"a": 1})),
            (ParamType::Array, "[1]", json!([1])),
        ] {
            assert_eq!(read(&spec(kind, true, None), text), Ok(Some(value)));
        }
    }

    #[test]
    fn faults_are_told_field_by_field() {
        let specs = BTreeMap::from([
            ("count".to_owned(), spec(ParamType::Integer, false, None)),
            ("version".to_owned(), spec(ParamType::String, true, None)),
        ]);
        let texts = BTreeMap::from([("count".to_owned(), "1.5".to_owned())]);
        let faults = read_form(&specs, &texts).unwrap_err();
        assert_eq!(faults["count"], "must be a whole number");
        assert_eq!(faults["version"], "is required");
    }

    #[test]
    fn an_empty_optional_field_leaves_the_default_to_the_server() {
        let number = spec(ParamType::Number, true, Some(json!(3)));
        assert_eq!(read(&number, ""), Ok(None));
        assert_eq!(initial_text(&number), "3");
        let text = spec(ParamType::String, false, None);
        assert_eq!(read(&text, ""), Ok(None));
        let with_default = spec(ParamType::String, false, Some(json!("x")));
        assert_eq!(read(&with_default, ""), Ok(Some(json!(""))));
    }
}
