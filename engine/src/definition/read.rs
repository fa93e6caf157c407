//! Reading a document's fields, collecting faults instead of stopping at the first.

use std::collections::HashSet;

use limelight_protocol::error::Fault;

use super::tree::Tree;
use crate::limits::{MAX_COMPARISONS, MAX_FAULTS, MAX_MESSAGE_CHARS};

/// Longest span of time that a field may name: ten years, in seconds.
pub(super) const MAX_SECONDS: f64 = 10.0 * 365.0 * 86_400.0;

/// The faults found so far.
#[derive(Default)]
pub(super) struct Faults {
    found: Vec<Fault>,
    /// How many more there are.
    more: usize,
    compared: usize,
}

impl Faults {
    pub(super) fn add(&mut self, path: impl Into<String>, code: &str, message: impl Into<String>) {
        if self.found.len() == MAX_FAULTS {
            self.more += 1;
            return;
        }
        let mut message = message.into();
        // It may quote what the author wrote, which may be long.
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        self.found.push(Fault {
            path: path.into(),
            code: code.to_owned(),
            message,
        });
    }

    /// The known name that `given` was probably meant to be. Nobody is told any more once there are
    /// enough faults, or once finding out has taken long enough.
    pub(super) fn closest<'a>(
        &mut self,
        given: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        if self.found.len() == MAX_FAULTS {
            return None;
        }
        let left = MAX_COMPARISONS.saturating_sub(self.compared);
        let compared = &mut self.compared;
        closest(
            given,
            known.into_iter().take(left).inspect(|_| *compared += 1),
        )
    }

    pub(super) fn wrong_type(&mut self, path: &str, wanted: &str, found: &Tree) {
        let message = format!("must be {wanted}, is {}", found.kind());
        self.add(path, "wrong_type", message);
    }

    /// Whether there are any with one of these codes.
    pub(super) fn have(&self, codes: &[&str]) -> bool {
        let mut found = self.found.iter();
        self.more > 0 || found.any(|fault| codes.contains(&fault.code.as_str()))
    }

    /// Whether there is one with this code at this place.
    pub(super) fn has(&self, path: &str, code: &str) -> bool {
        let mut found = self.found.iter();
        found.any(|fault| fault.path == path && fault.code == code)
    }

    pub(super) fn sorted(mut self) -> Vec<Fault> {
        self.found.sort();
        self.found.dedup();
        if self.more > 0 {
            self.found.push(Fault {
                path: String::new(),
                code: "too_many_faults".to_owned(),
                message: format!("there are {} more faults", self.more),
            });
        }
        self.found
    }
}

/// The path of `key` in the map at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !plain {
        let short: String = key.chars().take(64).collect();
        return format!("{path}[{short:?}]");
    }
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Reports every key that stands twice in a map, anywhere.
pub(super) fn report_duplicate_keys(tree: &Tree, faults: &mut Faults) {
    fn walk(tree: &Tree, path: &str, faults: &mut Faults) {
        match tree {
            Tree::Map(entries) => {
                let mut seen = HashSet::new();
                for (key, value) in entries {
                    let place = join(path, key);
                    if !seen.insert(key) {
                        let (code, what) = if path == "nodes" {
                            ("duplicate_node", "another node has this name")
                        } else {
                            ("duplicate_key", "this key stands twice")
                        };
                        faults.add(&place, code, what);
                    }
                    walk(value, &place, faults);
                }
            }
            Tree::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}[{place}]"), faults);
                }
            }
            _ => {}
        }
    }
    walk(tree, "", faults);
}

/// The fields of one map.
pub(super) struct Fields<'a> {
    path: String,
    entries: &'a [(String, Tree)],
}

impl<'a> Fields<'a> {
    /// `None`, and a fault, when it is not a map.
    pub(super) fn open(tree: &'a Tree, path: &str, faults: &mut Faults) -> Option<Self> {
        let Tree::Map(entries) = tree else {
            faults.wrong_type(path, "a map", tree);
            return None;
        };
        Some(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// The path of one of its fields.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    /// A field that is there and is not null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Tree> {
        self.entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
            .filter(|value| **value != Tree::Null)
    }

    /// The same, with a fault when it is missing.
    pub(super) fn required(&self, key: &str, faults: &mut Faults) -> Option<&'a Tree> {
        let found = self.get(key);
        if found.is_none() {
            faults.add(self.path(key), "missing_field", format!("{key} is missing"));
        }
        found
    }

    /// Reports every field that is not among `known`.
    pub(super) fn allow(&self, known: &[&str], faults: &mut Faults) {
        for key in self.keys().filter(|key| !known.contains(key)) {
            let message = match faults.closest(key, known.iter().copied()) {
                Some(near) => format!("there is no such field; did you mean {near}?"),
                None => format!("there is no such field; there are {}", known.join(", ")),
            };
            faults.add(self.path(key), "unknown_field", message);
        }
    }

    pub(super) fn text(&self, key: &str, faults: &mut Faults) -> Option<&'a str> {
        text(self.get(key)?, &self.path(key), faults)
    }

    pub(super) fn flag(&self, key: &str, faults: &mut Faults) -> Option<bool> {
        match self.get(key)? {
            Tree::Bool(value) => Some(*value),
            other => {
                faults.wrong_type(&self.path(key), "true or false", other);
                None
            }
        }
    }

    /// Text of at most so many characters.
    pub(super) fn short_text(
        &self,
        key: &str,
        most: usize,
        faults: &mut Faults,
    ) -> Option<&'a str> {
        let text = self.text(key, faults)?;
        if text.chars().nth(most).is_some() {
            faults.add(
                self.path(key),
                "too_long",
                format!("longer than {most} characters"),
            );
            return None;
        }
        Some(text)
    }

    /// A number that `fits`, described by `wanted`.
    pub(super) fn number(
        &self,
        key: &str,
        wanted: &str,
        fits: impl Fn(f64) -> bool,
        faults: &mut Faults,
    ) -> Option<f64> {
        let path = self.path(key);
        let value = match self.get(key)? {
            Tree::Number(value) => value.as_f64().unwrap_or(f64::NAN),
            Tree::NotFinite(value) => *value,
            other => {
                faults.wrong_type(&path, "a number", other);
                return None;
            }
        };
        if !fits(value) {
            faults.add(path, "bad_number", format!("must be {wanted}, is {value}"));
            return None;
        }
        Some(value)
    }

    /// A span of time in seconds, from `least` on.
    pub(super) fn seconds(&self, key: &str, least: Least, faults: &mut Faults) -> Option<f64> {
        let (wanted, fits): (_, fn(f64) -> bool) = match least {
            Least::Zero => ("0 or more seconds, at most ten years", |s| {
                (0.0..=MAX_SECONDS).contains(&s)
            }),
            Least::Positive => ("more than 0 seconds, at most ten years", |s| {
                s > 0.0 && s <= MAX_SECONDS
            }),
        };
        self.number(key, wanted, fits, faults)
    }
}

/// Where a span of time begins.
#[derive(Clone, Copy)]
pub(super) enum Least {
    Zero,
    Positive,
}

pub(super) fn text<'a>(tree: &'a Tree, path: &str, faults: &mut Faults) -> Option<&'a str> {
    match tree {
        Tree::Text(value) => Some(value),
        other => {
            faults.wrong_type(path, "text", other);
            None
        }
    }
}

/// Text, or a number or truth value written where text is meant (`PORT: 8080`).
pub(super) fn scalar(tree: &Tree, path: &str, faults: &mut Faults) -> Option<String> {
    match tree {
        Tree::Text(value) => Some(value.clone()),
        Tree::Number(value) => Some(value.to_string()),
        Tree::Bool(value) => Some(value.to_string()),
        other => {
            faults.wrong_type(path, "text", other);
            None
        }
    }
}

pub(super) fn list<'a>(tree: &'a Tree, path: &str, faults: &mut Faults) -> Option<&'a [Tree]> {
    match tree {
        Tree::List(items) => Some(items),
        other => {
            faults.wrong_type(path, "a list", other);
            None
        }
    }
}

/// The known name that `given` was probably meant to be.
fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 64 {
        return None;
    }
    let allowed = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|name| name.len().abs_diff(given.len()) <= 4 * allowed)
        .map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Restricted Damerau-Levenshtein distance: insertions, deletions, substitutions and swaps of
/// neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["needs", "when", "retry", "timeout_s"];
        assert_eq!(closest("need", known), Some("needs"));
        assert_eq!(closest("rerty", known), Some("retry"));
        assert_eq!(closest("timeout", known), Some("timeout_s"));
        assert_eq!(closest("banana", known), None);
    }

    #[test]
    fn odd_keys_are_quoted_in_paths() {
        assert_eq!(join("nodes", "a-b"), "nodes.a-b");
        assert_eq!(join("nodes", "a.b"), "nodes[\"a.b\"]");
    }
}
