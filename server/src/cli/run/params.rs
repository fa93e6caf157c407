//! Parameters as they are typed.

use std::collections::BTreeMap;

use anyhow::Context;
use limelight_protocol::workflow::{ParamSpec, ParamType};
use serde_json::{Map, Value};

/// Reads each value by the type of its parameter. One that the workflow does not have goes as text:
/// the server says what is wrong with it.
pub(super) fn typed(
    given: &[(String, String)],
    known: &BTreeMap<String, ParamSpec>,
) -> anyhow::Result<Map<String, Value>> {
    let mut params = Map::new();
    for (name, text) in given {
        let kind = known.get(name).map_or(ParamType::String, |spec| spec.kind);
        let value = match kind {
            ParamType::String => Value::String(text.clone()),
            ParamType::Number
            | ParamType::Integer
            | ParamType::Boolean
            | ParamType::Object
            | ParamType::Array => serde_json::from_str(text)
                .with_context(|| format!("the parameter {name} is no JSON: {text}"))?,
        };
        anyhow::ensure!(
            params.insert(name.clone(), value).is_none(),
            "the parameter {name} is given twice"
        );
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_read_by_its_parameters_type() {
        let spec = |kind| ParamSpec {
            kind,
            required: false,
            default: None,
            description: None,
        };
        let known = BTreeMap::from([
            ("version".into(), spec(ParamType::String)),
            ("count".into(), spec(ParamType::Integer)),
            ("dry".into(), spec(ParamType::Boolean)),
            ("list".into(), spec(ParamType::Array)),
        ]);
        let given = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            typed(&pairs, &known)
        };
        let params = given(&[
            ("version", "1"),
            ("count", "2"),
            ("dry", "true"),
            ("list", "[1]"),
            ("unknown", "3"),
        ]);
        assert_eq!(
            Value::Object(params.unwrap()),
            json!({"version": "1", "count": 2, "dry": true, "list": [1], "unknown": "3"})
        );
        assert!(given(&[("count", "two")]).is_err());
        assert!(given(&[("count", "1"), ("count", "2")]).is_err());
    }
}
