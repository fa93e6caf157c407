//! What follows from an operation's place and shape rather than from its handler: who may call it,
//! how it is refused, and the form of every refusal.
//!
//! Handlers describe what is their own. The rest is said here once, by rules, so that no operation
//! can forget it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{auth::protect::Access, error::PROBLEM_JSON};

/// Reusable parts that attributes cannot spell.
const COMPONENTS: &str = include_str!("components.json");
/// The workflow file.
const DEFINITION: &str = include_str!("definition.json");
/// What is served beside the handlers.
const SURROUNDINGS: &str = include_str!("surroundings.json");

/// All that is written by hand.
#[cfg(test)]
pub const PARTS: [&str; 3] = [COMPONENTS, DEFINITION, SURROUNDINGS];

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// Operations that need a caller but never ask the store.
const WITHOUT_STORE: [&str; 8] = [
    "/api",
    "/api/openapi.json",
    "/api/actors",
    "/api/auth/me",
    "/api/testing/suites",
    "/metrics",
    "/ws",
    "/ws/workflow/{id}",
];

/// Operations that change nothing although their method might.
const READING: [&str; 1] = ["/api/workflows/validate"];

/// Completes a description that was generated from the handlers.
pub fn complete(api: &mut Value) {
    let components: Value = parsed(COMPONENTS);
    insert(&mut api["components"], "securitySchemes", &components);
    insert(&mut api["components"], "headers", &components);
    add_definition(&mut api["components"]["schemas"]);
    refuse_unknown_fields(&mut api["components"]["schemas"]["Login"]);
    merge(&mut api["paths"], parsed(SURROUNDINGS));
    let closed = json!([{"bearer": []}, {"session": []}]);
    api["security"] = closed.clone();
    for (path, item) in fields(&mut api["paths"]) {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                complete_operation(path, method, operation, &closed, &components["responses"]);
            }
        }
    }
}

fn complete_operation(
    path: &str,
    method: &str,
    operation: &mut Value,
    closed: &Value,
    refusals: &Value,
) {
    // Handlers are named within their file only.
    if let (Some(tag), Some(name)) = (
        operation["tags"][0].as_str(),
        operation["operationId"].as_str(),
    ) {
        operation["operationId"] = json!(format!("{tag}_{name}"));
    }
    let access = Access::of(path);
    match access {
        Access::Open => operation["security"] = json!([]),
        Access::OpenOnLoopback => operation["security"] = json!([{}, closed[0], closed[1]]),
        Access::Closed => {}
    }
    if access == Access::Closed {
        let reads = method == "get" || READING.contains(&path);
        operation["x-required-role"] = json!(if reads { "viewer" } else { "operator" });
    }
    for parameter in items(&mut operation["parameters"]) {
        forbid_null(&mut parameter["schema"]);
    }
    if let Some(body) = operation.get_mut("requestBody") {
        for (_, content) in fields(&mut body["content"]) {
            forbid_null(&mut content["schema"]);
        }
    }
    let added = refusals_of(path, access, operation);
    let responses = &mut operation["responses"];
    for status in added {
        if responses.get(status).is_none() {
            responses[status] = refusals[status].clone();
            responses[status]["content"] = json!({});
        }
    }
    for (status, response) in fields(responses) {
        complete_response(status, response);
    }
    let session = match path {
        "/api/auth/login" => "200",
        "/api/auth/logout" => "204",
        _ => return,
    };
    responses[session]["headers"]["Set-Cookie"] = header("SetCookie");
}

fn header(component: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{component}") })
}

/// Statuses with which an operation refuses for reasons that are not its own.
fn refusals_of(path: &str, access: Access, operation: &Value) -> BTreeSet<&'static str> {
    // Every path has a host name to be called by.
    let mut statuses = BTreeSet::from(["403"]);
    if access != Access::Open {
        statuses.insert("401");
    }
    if access == Access::Closed && !WITHOUT_STORE.contains(&path) {
        statuses.insert("503");
    }
    let parameters = operation["parameters"].as_array();
    for parameter in parameters.into_iter().flatten() {
        statuses.insert(if parameter["in"] == "path" {
            "404"
        } else {
            "400"
        });
    }
    if let Some(body) = operation.get("requestBody") {
        statuses.extend(["413", "415"]);
        let json_only = body["content"].get("application/yaml").is_none();
        if json_only {
            statuses.extend(["400", "422"]);
        }
    }
    statuses
}

/// A refusal is a problem, and some refusals say more in a header.
fn complete_response(status: &str, response: &mut Value) {
    let content = &response["content"];
    let bare = content.as_object().is_some_and(Map::is_empty);
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let is_problem = content["application/json"]["schema"] == problem;
    if bare || is_problem {
        response["content"] = json!({ PROBLEM_JSON: { "schema": problem } });
    }
    let is_problem = bare || is_problem;
    let said = match status {
        "401" => Some(("WWW-Authenticate", "WwwAuthenticate")),
        "429" => Some(("Retry-After", "RetryAfter")),
        "503" if is_problem => Some(("Retry-After", "RetryAfter")),
        "201" | "202" => Some(("Location", "Location")),
        _ => None,
    };
    if let Some((name, component)) = said {
        response["headers"][name] = header(component);
    }
}

/// A parameter or a body that is there is not null.
fn forbid_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = choices.as_slice() {
            *schema = only.clone();
        }
    }
}

/// Adds the schemas of a workflow file; every kind of node has the common fields.
fn add_definition(schemas: &mut Value) {
    let mut definition: Value = parsed(DEFINITION);
    let common = definition["CommonNodeFields"].take();
    for kind in items(&mut definition["NodeDefinition"]["anyOf"]) {
        merge(&mut kind["properties"], common.clone());
    }
    for (name, schema) in fields(&mut definition) {
        if !schema.is_null() {
            schemas[name] = schema.take();
        }
    }
}

/// Says of each variant of an untagged enum what its `deny_unknown_fields` does.
fn refuse_unknown_fields(schema: &mut Value) {
    for variant in items(&mut schema["oneOf"]) {
        variant["additionalProperties"] = json!(false);
    }
}

/// A document that is part of the program; that it can be read is tested.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn insert(into: &mut Value, key: &str, from: &Value) {
    into[key] = from[key].clone();
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn fields(value: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let fields = value.as_object_mut().into_iter().flatten();
    fields.map(|(key, value)| (key.as_str(), value))
}

fn items(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}
