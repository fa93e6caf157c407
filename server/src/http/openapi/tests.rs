use serde_json::Value;

use super::{answers, description};

fn operations() -> impl Iterator<Item = (String, &'static Value)> {
    let paths = description()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn the_parts_that_are_written_by_hand_can_be_read() {
    for text in answers::PARTS {
        serde_json::from_str::<Value>(text).unwrap();
    }
}

#[test]
fn every_reference_names_something() {
    fn walk(value: &Value, api: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let place = reference.strip_prefix('#').unwrap();
                    assert!(api.pointer(place).is_some(), "{reference}");
                }
                fields.values().for_each(|value| walk(value, api));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, api)),
            _ => {}
        }
    }
    walk(description(), description());
}

#[test]
fn every_refusal_is_a_problem_and_a_closed_operation_says_who_may() {
    let mut closed = 0;
    for (name, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with('4') {
                let content = response["content"].as_object().unwrap();
                let types: Vec<_> = content.keys().collect();
                assert_eq!(types, ["application/problem+json"], "{name} {status}");
            }
        }
        if operation.get("security").is_none() {
            closed += 1;
            assert!(operation["x-required-role"].is_string(), "{name}");
            assert!(operation["responses"].get("401").is_some(), "{name}");
        }
    }
    assert!(closed > 40, "{closed}");
}

#[test]
fn operations_have_names_of_their_own() {
    let mut names: Vec<_> = operations()
        .map(|(_, operation)| operation["operationId"].to_string())
        .collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}
