//! Parameters: what a definition declares, and what an execution is given.

use std::collections::BTreeMap;

use limelight_protocol::{
    error::Fault,
    workflow::{ParamSpec, ParamType},
};
use serde_json::{Map, Value};

use super::{
    read::{Faults, Fields, closest, join, text},
    tree::Tree,
};

const TYPES: [(&str, ParamType); 6] = [
    ("string", ParamType::String),
    ("number", ParamType::Number),
    ("integer", ParamType::Integer),
    ("boolean", ParamType::Boolean),
    ("object", ParamType::Object),
    ("array", ParamType::Array),
];

/// Reads `params:`.
pub(super) fn read(tree: &Tree, faults: &mut Faults) -> BTreeMap<String, ParamSpec> {
    let mut specs = BTreeMap::new();
    let Tree::Map(entries) = tree else {
        faults.wrong_type("params", "a map", tree);
        return specs;
    };
    for (name, tree) in entries {
        let path = join("params", name);
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || name.len() > 64 || !name.bytes().all(lawful) {
            let message =
                "a parameter's name has 1 to 64 of A-Z a-z 0-9 _ and begins with no digit";
            faults.add(&path, "bad_name", message);
        }
        specs.insert(name.clone(), read_one(tree, &path, faults));
    }
    specs
}

fn read_one(tree: &Tree, path: &str, faults: &mut Faults) -> ParamSpec {
    let mut spec = ParamSpec {
        kind: ParamType::default(),
        required: false,
        default: None,
        description: None,
    };
    if *tree == Tree::Null {
        return spec;
    }
    let Some(fields) = Fields::open(tree, path, faults) else {
        return spec;
    };
    fields.allow(&["type", "required", "default", "description"], faults);
    let mut kind_known = true;
    if let Some(tree) = fields.get("type") {
        let place = fields.path("type");
        let word = text(tree, &place, faults);
        let found = word.and_then(|word| TYPES.iter().find(|(name, _)| *name == word));
        kind_known = found.is_some();
        if let Some((_, kind)) = found {
            spec.kind = *kind;
        } else if let Some(word) = word {
            let names = TYPES.map(|(name, _)| name);
            let message = match closest(word, names) {
                Some(near) => format!("there is no type {word:?}; did you mean {near}?"),
                None => format!("there is no type {word:?}; there are {}", names.join(", ")),
            };
            faults.add(place, "unknown_type", message);
        }
    }
    spec.required = fields.flag("required", faults).unwrap_or_default();
    spec.description = fields.text("description", faults).map(str::to_owned);
    if let Some(tree) = fields.get("default") {
        match tree.to_json() {
            Some(value) if fits(spec.kind, &value) || !kind_known => spec.default = Some(value),
            Some(_) => faults.wrong_type(&fields.path("default"), describe(spec.kind), tree),
            None => faults.add(fields.path("default"), "bad_number", "must be finite"),
        }
    }
    spec
}

/// Checks `given` and fills in defaults.
pub(super) fn resolve(
    specs: &BTreeMap<String, ParamSpec>,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Fault>> {
    let mut faults = Faults::default();
    let mut resolved = Map::new();
    for (name, value) in given {
        let path = join("params", name);
        match specs.get(name) {
            None => {
                let message = match closest(name, specs.keys().map(String::as_str)) {
                    Some(near) => format!("there is no such parameter; did you mean {near}?"),
                    None => "there is no such parameter".to_owned(),
                };
                faults.add(path, "unknown_param", message);
            }
            Some(spec) if value.is_null() && !spec.required => {}
            Some(spec) if fits(spec.kind, value) => {
                resolved.insert(name.clone(), value.clone());
            }
            Some(spec) => {
                let message = format!("must be {}", describe(spec.kind));
                faults.add(path, "wrong_type", message);
            }
        }
    }
    for (name, spec) in specs {
        match &spec.default {
            _ if resolved.contains_key(name) => {}
            Some(default) => {
                resolved.insert(name.clone(), default.clone());
            }
            None if spec.required && !given.contains_key(name) => {
                let message = "this parameter is required";
                faults.add(join("params", name), "missing_param", message);
            }
            None => {}
        }
    }
    let faults = faults.sorted();
    if faults.is_empty() {
        Ok(resolved)
    } else {
        Err(faults)
    }
}

fn fits(kind: ParamType, value: &Value) -> bool {
    match kind {
        ParamType::String => value.is_string(),
        ParamType::Number => value.is_number(),
        // 3.0 is a whole number, too (JSON Schema Validation, section 6.1.1).
        ParamType::Integer => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        ParamType::Boolean => value.is_boolean(),
        ParamType::Object => value.is_object(),
        ParamType::Array => value.is_array(),
    }
}

const fn describe(kind: ParamType) -> &'static str {
    match kind {
        ParamType::String => "text",
        ParamType::Number => "a number",
        ParamType::Integer => "a whole number",
        ParamType::Boolean => "true or false",
        ParamType::Object => "a map",
        ParamType::Array => "a list",
    }
}
