//! What follows from an operation's place and shape rather than from its handler: who may call it,
//! how it is refused, and the form of every refusal.
//!
//! Handlers describe what is their own. The rest is said here once, by rules, so that no operation
//! can forget it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::content;
use crate::{auth::protect::Access, error::PROBLEM_JSON};

/// Reusable parts that attributes cannot spell.
const COMPONENTS: &str = include_str!("components.json");
/// Schemas of what no type spells: the workflow file, and an event as a stream carries it.
const SCHEMAS: &str = include_str!("schemas.json");
/// What is served beside the handlers.
const SURROUNDINGS: &str = include_str!("surroundings.json");

/// All that is written by hand.
#[cfg(test)]
pub const PARTS: [&str; 3] = [COMPONENTS, SCHEMAS, SURROUNDINGS];

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

/// Text without control characters (Unicode, category Cc).
const NO_CONTROLS: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// Completes a description that was generated from the handlers.
pub fn complete(api: &mut Value) {
    let components: Value = parsed(COMPONENTS);
    insert(&mut api["components"], "securitySchemes", &components);
    insert(&mut api["components"], "headers", &components);
    add_schemas(&mut api["components"]["schemas"]);
    limit_starts(&mut api["components"]["schemas"]);
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
        operation["x-required-role"] = json!(match method {
            "get" => "viewer",
            "delete" => "admin",
            _ if READING.contains(&path) => "viewer",
            _ => "operator",
        });
    }
    for parameter in items(operation.get_mut("parameters")) {
        forbid_null(&mut parameter["schema"]);
        bound(&mut parameter["schema"]);
    }
    if READING.contains(&path) {
        operation["requestBody"]["required"] = json!(false);
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
    if let Some(stream) = response.pointer_mut("/content/text~1event-stream") {
        stream["schema"] = json!({"$ref": "#/components/schemas/ServerSentEvent"});
    }
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

/// Whole numbers in parameters are those of 64 bits without a sign, where nothing narrower is said.
/// A `format` would say otherwise: there is none for them.
fn bound(schema: &mut Value) {
    if schema["type"] == "integer" {
        merge(schema, json!({"minimum": 0, "maximum": u64::MAX}));
        schema.as_object_mut().map(|schema| schema.remove("format"));
    }
}

/// Adds the schemas that are written by hand; every kind of node has the common fields.
fn add_schemas(schemas: &mut Value) {
    let mut definition: Value = parsed(SCHEMAS);
    let common = definition["CommonNodeFields"].take();
    for kind in items(definition["NodeDefinition"].get_mut("anyOf")) {
        merge(&mut kind["properties"], common.clone());
    }
    let parts = definition.clone();
    for (name, schema) in fields(&mut definition) {
        if matches!(name, "WorkflowDefinition" | "ServerSentEvent") {
            inline(schema, &parts);
            schemas[name] = schema.take();
        }
    }
}

/// What an execution may be called and labelled, see [`content`].
fn limit_starts(schemas: &mut Value) {
    let text = |longest: usize| json!({"maxLength": longest, "pattern": NO_CONTROLS});
    for body in ["Execute", "StartRun"] {
        let fields = &mut schemas[body]["properties"];
        merge(&mut fields["name"], text(content::LONGEST_NAME));
        let mut label = text(content::LONGEST_LABEL);
        merge(&mut label, json!({"type": "string", "minLength": 1}));
        fields["labels"]["propertyNames"] = label;
        fields["labels"]["maxProperties"] = json!(content::MOST_LABELS);
        merge(
            &mut fields["labels"]["additionalProperties"],
            text(content::LONGEST_LABEL_VALUE),
        );
    }
}

/// Puts the parts of a schema where they are named: fuzzing clients cannot negate a reference.
fn inline(schema: &mut Value, parts: &Value) {
    let named = schema.get("$ref").and_then(Value::as_str);
    if let Some(name) = named.and_then(|named| named.rsplit('/').next()) {
        *schema = parts[name].clone();
    }
    match schema {
        Value::Object(fields) => fields.values_mut().for_each(|value| inline(value, parts)),
        Value::Array(items) => items.iter_mut().for_each(|value| inline(value, parts)),
        _ => {}
    }
}

/// Says of each variant of an untagged enum what its `deny_unknown_fields` does.
fn refuse_unknown_fields(schema: &mut Value) {
    for variant in items(schema.get_mut("oneOf")) {
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

/// Adds the fields that are not there.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        for (key, value) in from {
            into.entry(key).or_insert(value);
        }
    }
}

fn fields(value: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let fields = value.as_object_mut().into_iter().flatten();
    fields.map(|(key, value)| (key.as_str(), value))
}

fn items(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}
