//! What templates and conditions see, and work with its templates filled in.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Value, value::Serde};
use serde_json::Map;

use super::{Rendered, RenderedCommand, RenderedHttp, Run};
use crate::{
    definition::{Body, CommandSpec, Definition, HttpSpec, Program, Work},
    limits::{MAX_ARGUMENT_BYTES, MAX_ARGUMENTS_BYTES},
    shell,
    template::{holds, is_literal, render, render_script},
};

/// Parameters as templates see them: those that are declared but not given are none.
pub(super) fn params(definition: &Definition, given: &Map<String, serde_json::Value>) -> Value {
    let mut params: BTreeMap<&str, Value> = definition
        .params()
        .keys()
        .map(|name| (name.as_str(), Value::from(())))
        .collect();
    for (name, value) in given {
        params.insert(name, Value::from(Serde(value)));
    }
    Value::from_pairs(params)
}

impl Run {
    /// Whether the condition of `node` holds; the error is for people.
    pub(super) fn may_run(&self, node: usize) -> Result<bool, String> {
        match &self.definition.nodes()[node].when {
            Some(when) => holds(when, &self.context(node)),
            None => Ok(true),
        }
    }

    /// One template of `node`, filled in; the error is for people.
    pub(super) fn fill_in(&self, node: usize, template: &str) -> Result<String, String> {
        render(template, &self.context(node))
    }

    /// The work of `node`, templates filled in; the error is for people. `None` for work that the
    /// engine itself does.
    pub(super) fn render(&self, node: usize) -> Result<Option<Rendered>, String> {
        Ok(match &self.definition.nodes()[node].work {
            Work::Noop => Some(Rendered::Noop),
            Work::Command(spec) => Some(Rendered::Command(command(spec, &self.context(node))?)),
            Work::Http(spec) => Some(Rendered::Http(http(spec, &self.context(node))?)),
            Work::Sleep { .. } | Work::Approval { .. } => None,
        })
    }

    fn context(&self, node: usize) -> Value {
        let reads = &self.definition.nodes()[node].reads;
        let nodes = if reads.any {
            let ancestors = self.ancestors(node);
            Value::from_pairs(ancestors.into_iter().map(|n| self.describe(n)))
        } else {
            Value::from_pairs(reads.nodes.iter().map(|&n| self.describe(n)))
        };
        Value::from_pairs([
            ("params", self.template_params.clone()),
            ("nodes", nodes),
            ("execution", self.describe_execution()),
        ])
    }

    fn ancestors(&self, node: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![node];
        while let Some(place) = open.pop() {
            for &need in &self.definition.nodes()[place].needs {
                if found.insert(need) {
                    open.push(need);
                }
            }
        }
        found
    }

    fn describe(&self, node: usize) -> (String, Value) {
        let state = &self.nodes[node];
        let description = Value::from_pairs([
            ("status", Value::from(state.status.as_str())),
            ("outputs", Value::from(Serde(&state.outputs))),
            ("artifacts", Value::from(Serde(&state.artifacts))),
            ("quality", Value::from(Serde(state.quality))),
            ("error", Value::from(Serde(&state.error))),
        ]);
        (state.node_id.as_str().to_owned(), description)
    }

    fn describe_execution(&self) -> Value {
        let mut execution: BTreeMap<&str, Value> = BTreeMap::new();
        if let Some(id) = self.id {
            execution.insert("id", Value::from(id.to_string()));
        }
        if let Some(started) = &self.started {
            execution.insert("workflow", Value::from(&started.workflow_name));
            execution.insert("version", Value::from(started.workflow_version));
            execution.insert("name", Value::from(Serde(&started.name)));
            execution.insert("labels", Value::from(Serde(&started.labels)));
            execution.insert("started_by", Value::from(&started.by));
        }
        if let Some(at) = self.started_at {
            execution.insert("started_at", Value::from(at.to_string()));
        }
        Value::from_pairs(execution)
    }
}

fn command(spec: &CommandSpec, context: &Value) -> Result<RenderedCommand, String> {
    let mut env = texts(&spec.env, context)?;
    let program = match &spec.program {
        Program::Shell(script) => {
            let (script, values) = render_script(script, context)?;
            env.extend(values);
            Program::Shell(script)
        }
        Program::Args(templates) => {
            let args: Vec<String> = templates
                .iter()
                .map(|arg| render(arg, context))
                .collect::<Result<_, _>>()?;
            // What only shows now: a program that is a shell by its value.
            shell::check_arguments(args.iter().zip(templates).enumerate().map(
                |(place, (arg, template))| {
                    if place == 0 || is_literal(template) {
                        (arg.as_str(), false)
                    } else {
                        (crate::template::literal_begin(template).0, true)
                    }
                },
            ))?;
            Program::Args(args)
        }
    };
    check_sizes(&program, &env)?;
    let working_dir = spec.working_dir.as_ref();
    Ok(RenderedCommand {
        program,
        env,
        working_dir: working_dir
            .map(|folder| render(folder, context))
            .transpose()?,
        commands: spec.commands,
    })
}

/// What the kernel would not take is refused in words that say which value it was.
fn check_sizes(program: &Program, env: &BTreeMap<String, String>) -> Result<(), String> {
    let script = match program {
        Program::Shell(script) => std::slice::from_ref(script),
        Program::Args(args) => args,
    };
    let named = env.iter().map(|(name, text)| (name.as_str(), text));
    let mut total = 0;
    for (what, text) in script
        .iter()
        .map(|text| ("the program's text", text))
        .chain(named)
    {
        if text.contains('\0') {
            return Err(format!("{what} holds NUL, which no program can be handed"));
        }
        if text.len() > MAX_ARGUMENT_BYTES {
            return Err(format!(
                "{what} is longer than {MAX_ARGUMENT_BYTES} bytes, the most that a program can be \
                 handed at once"
            ));
        }
        total += what.len() + text.len() + 2;
    }
    if total > MAX_ARGUMENTS_BYTES {
        return Err(format!(
            "all that the program is handed is more than {MAX_ARGUMENTS_BYTES} bytes"
        ));
    }
    Ok(())
}

fn http(spec: &HttpSpec, context: &Value) -> Result<RenderedHttp, String> {
    let body = match &spec.body {
        Some(Body::Text(text)) => Some(Body::Text(render(text, context)?)),
        Some(Body::Json(value)) => Some(Body::Json(json(value, context)?)),
        None => None,
    };
    Ok(RenderedHttp {
        method: spec.method.clone(),
        url: render(&spec.url, context)?,
        headers: texts(&spec.headers, context)?,
        body,
        expect_status: spec.expect_status.clone(),
    })
}

fn texts(
    templates: &BTreeMap<String, String>,
    context: &Value,
) -> Result<BTreeMap<String, String>, String> {
    templates
        .iter()
        .map(|(name, text)| Ok((name.clone(), render(text, context)?)))
        .collect()
}

fn json(value: &serde_json::Value, context: &Value) -> Result<serde_json::Value, String> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::String(text) => Json::String(render(text, context)?),
        Json::Array(items) => Json::Array(
            items
                .iter()
                .map(|item| json(item, context))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(entries) => Json::Object(
            entries
                .iter()
                .map(|(name, item)| Ok((name.clone(), json(item, context)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}
