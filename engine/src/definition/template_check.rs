//! Templates and conditions, checked before anything runs.

use std::collections::{BTreeMap, HashMap};

use limelight_protocol::{NodeId, workflow::ParamSpec};
use serde_json::Value;

use super::{
    Body, CommandSpec, Node, Program, Reads, Work, graph,
    read::{Faults, join},
};
use crate::{shell, template};

/// What a template may know of another node.
const NODE_FIELDS: [&str; 5] = ["status", "outputs", "artifacts", "quality", "error"];

/// What a template may know of the execution.
const EXECUTION_FIELDS: [&str; 7] = [
    "id",
    "workflow",
    "version",
    "name",
    "labels",
    "started_by",
    "started_at",
];

struct Scope<'a> {
    nodes: &'a [Node],
    index: &'a HashMap<NodeId, usize>,
    params: &'a BTreeMap<String, ParamSpec>,
    /// Unknown where the graph has faults.
    ancestors: Option<graph::Ancestors>,
}

/// Checks every template and condition and notes which nodes each node reads.
pub(super) fn check(
    nodes: &mut [Node],
    index: &HashMap<NodeId, usize>,
    params: &BTreeMap<String, ParamSpec>,
    graph_is_sound: bool,
    faults: &mut Faults,
) {
    let scope = Scope {
        nodes,
        index,
        params,
        ancestors: graph_is_sound.then(|| graph::Ancestors::of(nodes)),
    };
    let reads: Vec<_> = (0..nodes.len())
        .map(|place| scope.check_node(place, faults))
        .collect();
    for (node, reads) in nodes.iter_mut().zip(reads) {
        node.reads = reads;
    }
}

impl Scope<'_> {
    fn check_node(&self, place: usize, faults: &mut Faults) -> Reads {
        let node = &self.nodes[place];
        let path = join("nodes", node.id.as_str());
        let mut reads = Reads::default();
        if let Some(when) = &node.when {
            let path = join(&path, "when");
            match template::names_in_condition(when) {
                Ok(names) => self.check_names(place, &path, &names, &mut reads, faults),
                Err(message) => faults.add(path, "bad_condition", message),
            }
        }
        for (path, source) in templates(&node.work, &path) {
            match template::names_in_template(source) {
                Ok(names) => self.check_names(place, &path, &names, &mut reads, faults),
                Err(message) => faults.add(path, "bad_template", message),
            }
        }
        if let Work::Command(command) = &node.work {
            check_values(command, &path, faults);
        }
        reads.nodes.sort_unstable();
        reads.nodes.dedup();
        reads
    }

    fn check_names(
        &self,
        place: usize,
        path: &str,
        names: &[String],
        reads: &mut Reads,
        faults: &mut Faults,
    ) {
        for name in names {
            let mut parts = name.split('.');
            let (root, first, second) = (parts.next(), parts.next(), parts.next());
            match (root.unwrap_or_default(), first) {
                ("params", None) => {}
                ("params", Some(param)) => {
                    let known = || self.params.keys().map(String::as_str);
                    if !self.params.contains_key(param) {
                        let near = faults.closest(param, known());
                        let message = unknown("parameter", param, near);
                        faults.add(path, "unknown_param", message);
                    }
                }
                ("nodes", None) => reads.any = true,
                ("nodes", Some(id)) => {
                    self.check_node_name(place, path, id, second, reads, faults);
                }
                ("execution", field) => {
                    let field = field.filter(|field| !EXECUTION_FIELDS.contains(field));
                    if let Some(field) = field {
                        let near = faults.closest(field, EXECUTION_FIELDS);
                        faults.add(
                            path,
                            "unknown_name",
                            unknown("field of execution", field, near),
                        );
                    }
                }
                (later @ ("secrets" | "item"), _) => {
                    faults.add(path, "unsupported", format!("{later} is not supported yet"));
                }
                (other, _) => {
                    let known = ["params", "nodes", "execution"];
                    let near = faults.closest(other, known);
                    faults.add(path, "unknown_name", unknown("name", other, near));
                }
            }
        }
    }

    fn check_node_name(
        &self,
        place: usize,
        path: &str,
        id: &str,
        field: Option<&str>,
        reads: &mut Reads,
        faults: &mut Faults,
    ) {
        let Some(&other) = NodeId::new(id).as_ref().and_then(|id| self.index.get(id)) else {
            let near = faults.closest(id, self.nodes.iter().map(|node| node.id.as_str()));
            faults.add(path, "unknown_node", unknown("node", id, near));
            return;
        };
        if self
            .ancestors
            .as_ref()
            .is_some_and(|ancestors| !ancestors.has(place, other))
        {
            let message = format!("reads nodes.{id}, which it does not need: add {id} to needs");
            faults.add(path, "not_needed", message);
        }
        if let Some(field) = field.filter(|field| !NODE_FIELDS.contains(field)) {
            let near = faults.closest(field, NODE_FIELDS);
            faults.add(
                path,
                "unknown_name",
                unknown("field of a node", field, near),
            );
        }
        reads.nodes.push(other);
    }
}

/// Where values stand that reach a program.
fn check_values(command: &CommandSpec, path: &str, faults: &mut Faults) {
    let (field, checked) = match &command.program {
        Program::Shell(script) => ("run", template::check_script(script)),
        Program::Args(args) => {
            let args = args.iter().map(|arg| template::literal_begin(arg));
            ("args", shell::check_arguments(args))
        }
    };
    // What is no good template has been reported.
    let path_of_program = join(path, field);
    if let Err(message) = checked
        && !faults.has(&path_of_program, "bad_template")
    {
        faults.add(path_of_program, "misplaced_value", message);
    }
    for (name, text) in &command.env {
        if !template::is_literal(text) && shell::is_evaluated_variable(name) {
            let message = format!("shells evaluate what {name} holds: no value may stand there");
            faults.add(join(&join(path, "env"), name), "misplaced_value", message);
        }
    }
}

fn unknown(what: &str, name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("there is no {what} {name:?}; did you mean {near}?"),
        None => format!("there is no {what} {name:?}"),
    }
}

/// Every template of a node with its path.
fn templates<'a>(work: &'a Work, path: &str) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    match work {
        Work::Noop | Work::Sleep { .. } => {}
        Work::Command(command) => {
            match &command.program {
                Program::Shell(script) => found.push((join(path, "run"), script.as_str())),
                Program::Args(args) => {
                    let path = join(path, "args");
                    let places = args.iter().enumerate();
                    found.extend(places.map(|(i, arg)| (format!("{path}[{i}]"), arg.as_str())));
                }
            }
            let env = join(path, "env");
            let env = command
                .env
                .iter()
                .map(|(key, text)| (join(&env, key), text.as_str()));
            found.extend(env);
            let folder = command.working_dir.iter();
            found.extend(folder.map(|text| (join(path, "working_dir"), text.as_str())));
        }
        Work::Http(http) => {
            let path = join(path, "request");
            found.push((join(&path, "url"), http.url.as_str()));
            let headers = join(&path, "headers");
            let headers = http
                .headers
                .iter()
                .map(|(key, text)| (join(&headers, key), text.as_str()));
            found.extend(headers);
            match &http.body {
                Some(Body::Text(text)) => found.push((join(&path, "body"), text)),
                Some(Body::Json(value)) => in_json(value, join(&path, "body"), &mut found),
                None => {}
            }
        }
        Work::Approval { message } => {
            found.extend(
                message
                    .iter()
                    .map(|text| (join(path, "message"), text.as_str())),
            );
        }
    }
    found
}

fn in_json<'a>(value: &'a Value, path: String, found: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) => found.push((path, text)),
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                in_json(item, format!("{path}[{place}]"), found);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                in_json(value, join(&path, key), found);
            }
        }
        _ => {}
    }
}
