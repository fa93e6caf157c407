//! Reading the nodes: what all kinds have in common.

use std::collections::{HashMap, HashSet};

use limelight_protocol::{NodeId, workflow::NodeKind};

use super::{
    Backoff, Definition, Node, OnFailure, Reads, RetryPolicy, Work,
    read::{Faults, Fields, Least, join, list, text},
    tree::Tree,
    work,
};
use crate::limits::MAX_NAME_CHARS;

const KINDS: [NodeKind; 5] = [
    NodeKind::Noop,
    NodeKind::Command,
    NodeKind::Http,
    NodeKind::Sleep,
    NodeKind::Approval,
];

/// Kinds and fields of the format that this version does not perform.
const LATER_KINDS: [&str; 3] = ["workflow", "worker", "test_suite"];
const LATER_FIELDS: [&str; 3] = ["for_each", "max_parallel", "quality_gate"];

const COMMON_FIELDS: [&str; 8] = [
    "kind",
    "name",
    "needs",
    "when",
    "retry",
    "timeout_s",
    "on_failure",
    "phase",
];

/// Longest list of attempts that a policy may allow.
const MAX_ATTEMPTS: f64 = 1000.0;

/// Largest growth of the pause from one attempt to the next.
const MAX_FACTOR: f64 = 100.0;

/// Reads `nodes:`. `None` when there are none to go on with.
pub(super) fn read_all(tree: &Tree, faults: &mut Faults) -> Option<Vec<Node>> {
    let Tree::Map(entries) = tree else {
        faults.wrong_type("nodes", "a map", tree);
        return None;
    };
    if entries.is_empty() {
        faults.add("nodes", "no_nodes", "a workflow has at least one node");
        return None;
    }
    if entries.len() > Definition::MAX_NODES {
        let most = Definition::MAX_NODES;
        faults.add("nodes", "too_many_nodes", format!("more than {most} nodes"));
        return None;
    }
    let mut index: HashMap<&str, usize> = HashMap::new();
    let mut lawful = Vec::new();
    for (name, tree) in entries {
        let Some(id) = NodeId::new(name) else {
            let message = "a node's name has 1 to 64 of A-Z a-z 0-9 _ -";
            faults.add(join("nodes", name), "bad_name", message);
            continue;
        };
        // A second node of the same name has been reported as a duplicate key.
        if !index.contains_key(name.as_str()) {
            index.insert(name, lawful.len());
            lawful.push((id, tree));
        }
    }
    let misnamed: HashSet<&str> = entries
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !index.contains_key(name))
        .collect();
    Some(
        lawful
            .into_iter()
            .map(|(id, tree)| read_one(id, tree, &index, &misnamed, faults))
            .collect(),
    )
}

/// Reads one node; what is wrong with it is replaced by something harmless, so that others can be
/// checked against it.
fn read_one(
    id: NodeId,
    tree: &Tree,
    index: &HashMap<&str, usize>,
    misnamed: &HashSet<&str>,
    faults: &mut Faults,
) -> Node {
    let path = join("nodes", id.as_str());
    let mut node = Node {
        id,
        name: None,
        work: Work::Noop,
        needs: Vec::new(),
        when: None,
        retry: RetryPolicy::default(),
        timeout_s: None,
        on_failure: OnFailure::default(),
        phase: None,
        reads: Reads::default(),
    };
    let Some(fields) = Fields::open(tree, &path, faults) else {
        return node;
    };
    let kind = read_kind(&fields, faults);
    check_fields(&fields, kind, faults);
    if let Some(kind) = kind {
        node.work = work::read(kind, &fields, faults);
    }
    if let Some(tree) = fields.get("needs") {
        node.needs = read_needs(
            tree,
            &fields.path("needs"),
            &node.id,
            index,
            misnamed,
            faults,
        );
    }
    node.name = fields
        .short_text("name", MAX_NAME_CHARS, faults)
        .map(str::to_owned);
    node.phase = fields
        .short_text("phase", MAX_NAME_CHARS, faults)
        .map(str::to_owned);
    node.when = match fields.get("when") {
        // YAML reads a bare `when: true` as a truth value.
        Some(Tree::Bool(value)) => Some(value.to_string()),
        _ => fields.text("when", faults).map(str::to_owned),
    };
    node.timeout_s = fields.seconds("timeout_s", Least::Positive, faults);
    if let Some(tree) = fields.get("retry") {
        node.retry = read_retry(tree, &fields.path("retry"), faults);
    }
    match fields.text("on_failure", faults) {
        None | Some("fail") => {}
        Some("continue") => node.on_failure = OnFailure::Continue,
        Some(other) => {
            let message = format!("must be fail or continue, is {other:?}");
            faults.add(fields.path("on_failure"), "bad_value", message);
        }
    }
    node
}

fn read_kind(fields: &Fields<'_>, faults: &mut Faults) -> Option<NodeKind> {
    let path = fields.path("kind");
    let word = text(fields.required("kind", faults)?, &path, faults)?;
    let found = KINDS.into_iter().find(|kind| kind.as_str() == word);
    if found.is_none() {
        let names = KINDS.map(NodeKind::as_str);
        if LATER_KINDS.contains(&word) {
            let message = format!("nodes of kind {word} are not supported yet");
            faults.add(path, "unsupported", message);
        } else {
            let message = match faults.closest(word, names) {
                Some(near) => format!("there is no kind {word:?}; did you mean {near}?"),
                None => format!("there is no kind {word:?}; there are {}", names.join(", ")),
            };
            faults.add(path, "unknown_kind", message);
        }
    }
    found
}

fn check_fields<'a>(fields: &Fields<'a>, kind: Option<NodeKind>, faults: &mut Faults) {
    let mut known: Vec<&'a str> = COMMON_FIELDS.to_vec();
    match kind {
        Some(kind) => known.extend(work::fields(kind).iter().copied()),
        // Without a kind it cannot be told which fields belong; only misspellings are.
        None => known.extend(
            KINDS
                .into_iter()
                .flat_map(|kind| work::fields(kind).iter().copied()),
        ),
    }
    known.extend(LATER_FIELDS);
    for key in LATER_FIELDS {
        if fields.get(key).is_some() {
            let message = format!("{key} is not supported yet");
            faults.add(fields.path(key), "unsupported", message);
        }
    }
    for key in fields.keys() {
        let owner = KINDS
            .into_iter()
            .find(|kind| !known.contains(&key) && work::fields(*kind).contains(&key));
        if let Some(owner) = owner {
            let message = format!("{key} belongs to nodes of kind {}", owner.as_str());
            faults.add(fields.path(key), "misplaced_field", message);
            known.push(key);
        }
    }
    fields.allow(&known, faults);
}

fn read_needs(
    tree: &Tree,
    path: &str,
    id: &NodeId,
    index: &HashMap<&str, usize>,
    misnamed: &HashSet<&str>,
    faults: &mut Faults,
) -> Vec<usize> {
    let mut needs = Vec::new();
    let mut seen = HashSet::new();
    for (place, item) in list(tree, path, faults)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let path = format!("{path}[{place}]");
        let Some(name) = text(item, &path, faults) else {
            continue;
        };
        if !seen.insert(name) {
            faults.add(path, "duplicate_need", format!("{name} is needed already"));
        } else if name == id.as_str() {
            faults.add(path, "self_need", "a node cannot need itself");
        } else if let Some(&need) = index.get(name) {
            needs.push(need);
        } else if !misnamed.contains(name) {
            let message = match faults.closest(name, index.keys().copied()) {
                Some(near) => format!("there is no node {name:?}; did you mean {near}?"),
                None => format!("there is no node {name:?}"),
            };
            faults.add(path, "unknown_node", message);
        }
    }
    needs
}

fn read_retry(tree: &Tree, path: &str, faults: &mut Faults) -> RetryPolicy {
    match tree {
        Tree::Text(word) if word == "never" => return RetryPolicy::Never,
        Tree::Map(_) => {}
        other => {
            faults.wrong_type(path, "a map or never", other);
            return RetryPolicy::default();
        }
    }
    let Some(fields) = Fields::open(tree, path, faults) else {
        return RetryPolicy::default();
    };
    fields.allow(
        &["max_attempts", "backoff_s", "factor", "max_backoff_s"],
        faults,
    );
    let usual = Backoff::default();
    fields.required("max_attempts", faults);
    let max_attempts = fields.number(
        "max_attempts",
        "a whole number from 1 to 1000",
        |n| (1.0..=MAX_ATTEMPTS).contains(&n) && n.fract() == 0.0,
        faults,
    );
    let factor = fields.number(
        "factor",
        "from 1 to 100",
        |n| (1.0..=MAX_FACTOR).contains(&n),
        faults,
    );
    // In range and whole, by the check above.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let max_attempts = max_attempts.map_or(usual.max_attempts, |n| n as u32);
    let backoff_s = fields.seconds("backoff_s", Least::Zero, faults);
    let backoff_s = backoff_s.unwrap_or(usual.backoff_s);
    let max_backoff_s = fields.seconds("max_backoff_s", Least::Zero, faults);
    RetryPolicy::Backoff(Backoff {
        max_attempts,
        backoff_s,
        factor: factor.unwrap_or(usual.factor),
        // The usual cap must not undercut a longer pause that was asked for.
        max_backoff_s: max_backoff_s.unwrap_or(usual.max_backoff_s.max(backoff_s)),
    })
}
