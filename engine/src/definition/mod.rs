//! Workflow definitions: what an author wrote, read, checked and ready to run.
//!
//! [`Definition::parse`] reports every fault at once, each with its place. A value of type
//! [`Definition`] therefore never needs another check: names resolve, the graph has no cycle,
//! numbers are in range and every template parses.

mod graph;
mod node;
mod params;
mod read;
mod template_check;
mod tree;
mod work;
mod yaml;

use std::collections::{BTreeMap, HashMap};

use limelight_protocol::{
    NodeId,
    error::Fault,
    workflow::{NodeKind, NodeSummary, ParamSpec},
};
use serde_json::{Map, Value};

use self::{read::Faults, tree::Tree};
use crate::limits;

/// A workflow definition that has no fault. Immutable; share it in an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    name: String,
    description: String,
    params: BTreeMap<String, ParamSpec>,
    nodes: Vec<Node>,
    index: HashMap<NodeId, usize>,
    dependents: Vec<Vec<usize>>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name in the definition.
    pub id: NodeId,
    /// Its name for people.
    pub name: Option<String>,
    /// What it does.
    pub work: Work,
    /// What must end before it: places in [`Definition::nodes`].
    pub needs: Vec<usize>,
    /// It runs only if this expression holds.
    pub when: Option<String>,
    /// What follows a failed attempt.
    pub retry: RetryPolicy,
    /// Ends an attempt that takes longer, seconds.
    pub timeout_s: Option<f64>,
    /// What its final failure means for the rest.
    pub on_failure: OnFailure,
    /// The phase it belongs to.
    pub phase: Option<String>,
    /// Nodes whose results its templates and condition read.
    pub(crate) reads: Reads,
}

/// Nodes whose results a node's templates and condition read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Those named plainly, as in `nodes.build.outputs`: places in [`Definition::nodes`].
    pub(crate) nodes: Vec<usize>,
    /// Whether `nodes` is also read in a way that only shows when it runs, as in `nodes[x]`.
    pub(crate) any: bool,
}

/// What a node does, by kind. Text fields are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Nothing; a place where others meet.
    Noop,
    /// Runs a program.
    Command(CommandSpec),
    /// Sends an HTTP request.
    Http(HttpSpec),
    /// Waits for a time.
    Sleep {
        /// How long, seconds.
        duration_s: f64,
    },
    /// Waits for a person.
    Approval {
        /// What that person is asked.
        message: Option<String>,
    },
}

impl Work {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> NodeKind {
        match self {
            Self::Noop => NodeKind::Noop,
            Self::Command(_) => NodeKind::Command,
            Self::Http(_) => NodeKind::Http,
            Self::Sleep { .. } => NodeKind::Sleep,
            Self::Approval { .. } => NodeKind::Approval,
        }
    }
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A script for `/bin/sh -c`. Template values reach it in environment variables.
    Shell(String),
    /// A program and its arguments, without a shell.
    Args(Vec<String>),
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// What is run.
    pub program: Program,
    /// Environment variables on top of the server's choice.
    pub env: BTreeMap<String, String>,
    /// Folder to run in.
    pub working_dir: Option<String>,
    /// Whether lines like `::output {...}` on its standard output are obeyed.
    pub commands: bool,
}

/// An HTTP request to send.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSpec {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Absolute, http or https.
    pub url: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    pub body: Option<Body>,
    /// Statuses that mean success; any 2xx when there is no list.
    pub expect_status: Option<Vec<u16>>,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Text, sent as it is.
    Text(String),
    /// A JSON value; the texts in it are templates.
    Json(Value),
}

/// What follows a failed attempt.
///
/// An attempt that was interrupted, because the server went down under it, counts as no failure: it
/// is tried again whatever `max_attempts` is, except with [`RetryPolicy::Never`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RetryPolicy {
    /// No other attempt, not even after an interruption: for work that must not happen twice.
    Never,
    /// More attempts, each after a pause that grows.
    Backoff(Backoff),
}

/// How often and how soon a node is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Most attempts, the first included.
    pub max_attempts: u32,
    /// The pause after the first failure, seconds.
    pub backoff_s: f64,
    /// By how much each pause is longer than the one before.
    pub factor: f64,
    /// The longest pause, seconds.
    pub max_backoff_s: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff_s: 1.0,
            factor: 2.0,
            max_backoff_s: 60.0,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Backoff(Backoff::default())
    }
}

impl RetryPolicy {
    /// Most attempts, the first included.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        match self {
            Self::Never => 1,
            Self::Backoff(backoff) => backoff.max_attempts,
        }
    }
}

/// What a node's final failure means for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// What needs it is skipped and the execution fails.
    #[default]
    Fail,
    /// As if it had succeeded, without outputs.
    Continue,
}

impl Definition {
    /// Most nodes of a definition.
    pub const MAX_NODES: usize = limits::MAX_NODES;

    /// Longest text of a definition.
    pub const MAX_BYTES: usize = limits::MAX_DEFINITION_BYTES;

    /// Longest name, in characters.
    pub const MAX_NAME_CHARS: usize = limits::MAX_NAME_CHARS;

    /// Reads a definition in YAML or JSON.
    ///
    /// # Errors
    /// Every fault there is, in the order of their paths.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        if text.len() > Self::MAX_BYTES {
            let most = Self::MAX_BYTES;
            faults.add("", "too_large", format!("longer than {most} bytes"));
            return Err(faults.sorted());
        }
        let definition = match Tree::parse(text) {
            Ok(tree) => read_definition(&tree, &mut faults),
            Err(message) => {
                faults.add("", "syntax", message);
                None
            }
        };
        match (definition, faults.sorted()) {
            (Some(definition), faults) if faults.is_empty() => Ok(definition),
            (_, faults) => Err(faults),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for; empty when its author did not say.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Parameters, by name.
    #[must_use]
    pub const fn params(&self) -> &BTreeMap<String, ParamSpec> {
        &self.params
    }

    /// Nodes, in the author's order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The place of a node in [`Self::nodes`].
    #[must_use]
    pub fn index_of(&self, id: &NodeId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Nodes that need node `node` directly, in the author's order.
    ///
    /// # Panics
    /// When there is no node at that place.
    #[must_use]
    pub fn dependents(&self, node: usize) -> &[usize] {
        &self.dependents[node]
    }

    /// What is needed to draw it, in the author's order.
    #[must_use]
    pub fn summaries(&self) -> Vec<NodeSummary> {
        let id = |&node: &usize| self.nodes[node].id.clone();
        self.nodes
            .iter()
            .map(|node| NodeSummary {
                id: node.id.clone(),
                name: node.name.clone(),
                kind: node.work.kind(),
                needs: node.needs.iter().map(id).collect(),
                phase: node.phase.clone(),
                when: node.when.clone(),
                max_attempts: node.retry.max_attempts(),
                timeout_s: node.timeout_s,
            })
            .collect()
    }

    /// Whether it runs programs on the server: only admins may define those.
    #[must_use]
    pub fn runs_commands(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.work.kind() == NodeKind::Command)
    }

    /// Checks the parameters that an execution is given, and fills in defaults.
    ///
    /// # Errors
    /// Every fault there is, in the order of their paths (`params.version`).
    pub fn resolve_params(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<Fault>> {
        params::resolve(&self.params, given)
    }
}

fn read_definition(tree: &Tree, faults: &mut Faults) -> Option<Definition> {
    read::report_duplicate_keys(tree, faults);
    let fields = read::Fields::open(tree, "", faults)?;
    fields.allow(&["name", "description", "params", "nodes"], faults);
    let name = fields.required("name", faults).and_then(|tree| {
        let name = read::text(tree, "name", faults)?;
        let chars = name.chars().count();
        if !(1..=Definition::MAX_NAME_CHARS).contains(&chars) || name.chars().any(char::is_control)
        {
            let most = Definition::MAX_NAME_CHARS;
            let message = format!("a name has 1 to {most} characters and no control characters");
            faults.add("name", "bad_name", message);
        }
        Some(name)
    });
    let description = fields.short_text("description", limits::MAX_DESCRIPTION_CHARS, faults);
    let params = fields
        .get("params")
        .map(|tree| params::read(tree, faults))
        .unwrap_or_default();
    let mut nodes = match fields.required("nodes", faults) {
        Some(tree) => node::read_all(tree, faults)?,
        None => return None,
    };
    let index: HashMap<_, _> = nodes
        .iter()
        .enumerate()
        .map(|(place, node)| (node.id.clone(), place))
        .collect();
    graph::report_cycles(&nodes, faults);
    // Where the graph has faults, it is no use to ask whether a node needs what it reads.
    let graph_is_sound = !faults.have(&graph::FAULTS);
    template_check::check(&mut nodes, &index, &params, graph_is_sound, faults);
    let dependents = graph::dependents(&nodes);
    Some(Definition {
        name: name?.to_owned(),
        description: description.unwrap_or_default().to_owned(),
        params,
        nodes,
        index,
        dependents,
    })
}

#[cfg(test)]
mod floods;
#[cfg(test)]
mod tests;
