//! Reading what a node does: the fields of each kind.

use std::collections::BTreeMap;

use limelight_protocol::workflow::NodeKind;

use super::{
    Body, CommandSpec, HttpSpec, Program, Work,
    read::{Faults, Fields, Least, closest, join, list, scalar, text},
    tree::Tree,
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The fields that belong to one kind only.
pub(super) const fn fields(kind: NodeKind) -> &'static [&'static str] {
    match kind {
        NodeKind::Noop => &[],
        NodeKind::Command => &["run", "args", "env", "working_dir", "commands"],
        NodeKind::Http => &["request"],
        NodeKind::Sleep => &["duration_s"],
        NodeKind::Approval => &["message"],
    }
}

/// Reads those fields. Where one is at fault, `Work::Noop` may stand in.
pub(super) fn read(kind: NodeKind, fields: &Fields<'_>, faults: &mut Faults) -> Work {
    let work = match kind {
        NodeKind::Noop => Some(Work::Noop),
        NodeKind::Command => command(fields, faults).map(Work::Command),
        NodeKind::Http => http(fields, faults).map(Work::Http),
        NodeKind::Sleep => {
            fields.required("duration_s", faults);
            let duration_s = fields.seconds("duration_s", Least::Zero, faults);
            duration_s.map(|duration_s| Work::Sleep { duration_s })
        }
        NodeKind::Approval => Some(Work::Approval {
            message: fields.text("message", faults).map(str::to_owned),
        }),
    };
    work.unwrap_or(Work::Noop)
}

fn command(fields: &Fields<'_>, faults: &mut Faults) -> Option<CommandSpec> {
    let program = match (fields.get("run"), fields.get("args")) {
        (Some(_), Some(_)) => {
            let message = "run and args exclude each other: one is a script, the other a program";
            faults.add(fields.path("args"), "run_and_args", message);
            None
        }
        (None, None) => {
            let message = "a command has run (a script) or args (a program and its arguments)";
            faults.add(fields.path("run"), "missing_field", message);
            None
        }
        (Some(tree), None) => script(tree, &fields.path("run"), faults),
        (None, Some(tree)) => arguments(tree, &fields.path("args"), faults),
    };
    let env = match fields.get("env") {
        Some(tree) => text_map(tree, &fields.path("env"), "variable", is_variable, faults),
        None => BTreeMap::new(),
    };
    let working_dir = fields.text("working_dir", faults).map(str::to_owned);
    let commands = fields.flag("commands", faults).unwrap_or(true);
    Some(CommandSpec {
        program: program?,
        env,
        working_dir,
        commands,
    })
}

fn script(tree: &Tree, path: &str, faults: &mut Faults) -> Option<Program> {
    let script = text(tree, path, faults)?;
    if script.trim().is_empty() {
        faults.add(path, "bad_value", "the script is empty");
    }
    Some(Program::Shell(script.to_owned()))
}

fn arguments(tree: &Tree, path: &str, faults: &mut Faults) -> Option<Program> {
    let items = list(tree, path, faults)?;
    let args: Vec<String> = items
        .iter()
        .enumerate()
        .filter_map(|(place, item)| scalar(item, &format!("{path}[{place}]"), faults))
        .collect();
    if items.is_empty() || args.first().is_some_and(String::is_empty) {
        faults.add(path, "bad_value", "the first of args names a program");
    }
    Some(Program::Args(args))
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A header's name is a token (RFC 9110, 5.6.2).
fn is_header(name: &str) -> bool {
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(lawful)
}

fn text_map(
    tree: &Tree,
    path: &str,
    what: &str,
    lawful: fn(&str) -> bool,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let Tree::Map(entries) = tree else {
        faults.wrong_type(path, "a map", tree);
        return BTreeMap::new();
    };
    entries
        .iter()
        .filter_map(|(name, value)| {
            let path = join(path, name);
            if !lawful(name) {
                faults.add(&path, "bad_name", format!("no name for a {what}"));
            }
            Some((name.clone(), scalar(value, &path, faults)?))
        })
        .collect()
}

fn http(fields: &Fields<'_>, faults: &mut Faults) -> Option<HttpSpec> {
    let path = fields.path("request");
    let request = Fields::open(fields.required("request", faults)?, &path, faults)?;
    request.allow(
        &["method", "url", "headers", "body", "expect_status"],
        faults,
    );
    let method = request.text("method", faults).unwrap_or("GET");
    let method = method.to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        let message = match closest(&method, METHODS) {
            Some(near) => format!("there is no method {method:?}; did you mean {near}?"),
            None => format!(
                "there is no method {method:?}; there are {}",
                METHODS.join(", ")
            ),
        };
        faults.add(request.path("method"), "bad_value", message);
    }
    request.required("url", faults);
    let url = request.text("url", faults);
    let begins = |url: &str| {
        let lower = url.to_ascii_lowercase();
        ["http://", "https://", "{{"]
            .iter()
            .any(|start| lower.starts_with(start))
    };
    if url.is_some_and(|url| !begins(url)) {
        let message = "must begin with http:// or https://";
        faults.add(request.path("url"), "bad_value", message);
    }
    let headers = match request.get("headers") {
        Some(tree) => text_map(tree, &request.path("headers"), "header", is_header, faults),
        None => BTreeMap::new(),
    };
    let body = match request.get("body") {
        None => None,
        Some(Tree::Text(text)) => Some(Body::Text(text.clone())),
        Some(tree) => match tree.to_json() {
            Some(value) => Some(Body::Json(value)),
            None => {
                faults.add(request.path("body"), "bad_number", "numbers must be finite");
                None
            }
        },
    };
    let expect_status = request
        .get("expect_status")
        .map(|tree| statuses(tree, &request.path("expect_status"), faults));
    Some(HttpSpec {
        method,
        url: url?.to_owned(),
        headers,
        body,
        expect_status,
    })
}

fn statuses(tree: &Tree, path: &str, faults: &mut Faults) -> Vec<u16> {
    let single = std::slice::from_ref(tree);
    let items = match tree {
        Tree::Number(_) => single,
        _ => list(tree, path, faults).unwrap_or_default(),
    };
    let mut statuses = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let status = match item {
            Tree::Number(number) => number.as_f64(),
            _ => None,
        };
        let whole = |status: &f64| (100.0..=599.0).contains(status) && status.fract() == 0.0;
        match status.filter(whole) {
            // In range and whole, by the check above.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(status) => statuses.push(status as u16),
            None => {
                let message = "must be an HTTP status, 100 to 599";
                faults.add(format!("{path}[{place}]"), "bad_number", message);
            }
        }
    }
    statuses
}
