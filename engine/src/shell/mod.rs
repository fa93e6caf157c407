//! Template values in a shell's script.
//!
//! No value ever becomes text of a script: each is handed over in an environment variable, and where
//! it stood the script has the quoted expansion of that variable. A shell does not parse again what it
//! has expanded, so whatever the value holds and whatever this module takes a place for, a wrong guess
//! can split a value into words but not run it. Some commands do parse their arguments again
//! (`eval`, `sh -c`), and in some places nothing is expanded (`'...'`): those are refused.

mod command;
mod reader;

use std::collections::BTreeMap;

use minijinja::machinery::ast::Stmt;

pub(crate) use self::command::is_evaluated_variable;
use self::{
    command::{Command, Word},
    reader::{Place, Reader},
};

/// Begin of the names of the variables that hold values.
const VARIABLE: &str = "LIMELIGHT_V";

/// Most values in one script.
const MAX_VALUES: usize = 1000;

/// Most states in which a script is followed at the same time: they come from its branches.
const MAX_STATES: usize = 100;

/// Most rounds of a loop until it is known in which states it can end.
const MAX_ROUNDS: usize = 100;

/// Stands before and after each value in what a template gives: no script can hold it.
pub(crate) const MARK: char = '\0';

fn explain(place: &str) -> String {
    format!(
        "a value stands {place}, where a shell would not take it for plain text; assign it to a \
         variable first (`x={{{{ value }}}}` on a line of its own) and use \"$x\", or pass it through env"
    )
}

/// A message for people when some value stands where it must not, along whichever branches.
///
/// `body` is a parsed template of bounded depth.
///
/// # Errors
/// That message.
pub(crate) fn check(body: &[Stmt<'_>]) -> Result<(), String> {
    if !has_value(body) {
        return Ok(());
    }
    let ends = follow(body, vec![Reader::new()]).map_err(explain)?;
    for mut reader in ends {
        reader.finish().map_err(explain)?;
    }
    Ok(())
}

fn has_value(body: &[Stmt<'_>]) -> bool {
    body.iter().any(|statement| match statement {
        Stmt::EmitExpr(_) => true,
        Stmt::IfCond(branch) => has_value(&branch.true_body) || has_value(&branch.false_body),
        Stmt::ForLoop(each) => has_value(&each.body) || has_value(&each.else_body),
        _ => false,
    })
}

const TOO_MANY: &str = "in a script with too many different ways through it";

fn follow(body: &[Stmt<'_>], mut states: Vec<Reader>) -> Result<Vec<Reader>, &'static str> {
    for statement in body {
        match statement {
            Stmt::EmitRaw(raw) => {
                for state in &mut states {
                    state.text(raw.raw);
                }
            }
            Stmt::EmitExpr(_) => {
                for state in &mut states {
                    state.value()?;
                }
            }
            Stmt::IfCond(branch) => {
                let mut ends = follow(&branch.true_body, states.clone())?;
                ends.extend(follow(&branch.false_body, states)?);
                states = ends;
            }
            Stmt::ForLoop(each) => {
                let mut begins = states.clone();
                let mut frontier = states.clone();
                let mut ends = follow(&each.else_body, states)?;
                for round in 0.. {
                    if round == MAX_ROUNDS {
                        return Err(TOO_MANY);
                    }
                    frontier = follow(&each.body, frontier)?;
                    frontier.retain(|state| !begins.contains(state));
                    if frontier.is_empty() {
                        break;
                    }
                    begins.extend(frontier.iter().cloned());
                    if begins.len() > MAX_STATES {
                        return Err(TOO_MANY);
                    }
                }
                ends.extend(begins);
                states = ends;
            }
            _ => return Err(TOO_MANY),
        }
        let mut different: Vec<Reader> = Vec::new();
        for state in states {
            if let Some(fault) = state.fault() {
                return Err(fault);
            }
            if !different.contains(&state) {
                different.push(state);
            }
        }
        if different.len() > MAX_STATES {
            return Err(TOO_MANY);
        }
        states = different;
    }
    Ok(states)
}

/// A script, and the variables that hold its values.
///
/// In `marked` each value stands between two [`MARK`]s.
///
/// # Errors
/// A message for people: a value stands where it must not, or there are too many.
pub(crate) fn script(marked: &str) -> Result<(String, BTreeMap<String, String>), String> {
    let mut script = String::with_capacity(marked.len());
    let mut values = BTreeMap::new();
    let mut reader = Reader::new();
    for (n, piece) in marked.split(MARK).enumerate() {
        if n % 2 == 0 {
            reader.text(piece);
            script.push_str(piece);
            continue;
        }
        let place = reader.value().map_err(explain)?;
        if values.len() == MAX_VALUES {
            return Err(format!("the script holds more than {MAX_VALUES} values"));
        }
        let name = format!("{VARIABLE}{}", n / 2);
        script.push_str(&match place {
            Place::Bare => format!("\"${{{name}}}\""),
            Place::Quoted => format!("${{{name}}}"),
        });
        values.insert(name, piece.to_owned());
    }
    if !values.is_empty() {
        reader.finish().map_err(explain)?;
    }
    Ok((script, values))
}

/// A message for people when a value stands in an argument that the program evaluates, as in
/// `sh -c VALUE`.
///
/// Of each argument: what is literal of it from its begin, and whether a value follows.
///
/// # Errors
/// That message.
pub(crate) fn check_arguments<'a>(
    args: impl IntoIterator<Item = (&'a str, bool)>,
) -> Result<(), String> {
    let mut command: Option<Command> = None;
    for (text, value) in args {
        let mut word = Word::default();
        text.chars().for_each(|c| word.push(c, false));
        let Some(command) = &mut command else {
            command = Some(Command::named(&word, false));
            continue;
        };
        if value {
            if let Some(reason) = command.refuses(&word, false) {
                return Err(explain(reason));
            }
            word.value = true;
        }
        command.argument(&word, false);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
