//! YAML, read as a stream of events: what is too deep or too much is refused before it is there.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::tree::{Tree, number};
use crate::limits::{MAX_DEPTH, MAX_EXPANDED_BYTES, MAX_VALUES};

/// Most anchors: each is a copy.
const MAX_ANCHORS: usize = 100;

/// Reads a document.
///
/// # Errors
/// A message for people.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    let mut builder = Builder {
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        values: 0,
        bytes: 0,
        documents: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        builder
            .take(event)
            .map_err(|message| format!("{message} (line {})", span.start.line()))?;
    }
    Ok(builder.root.unwrap_or(Tree::Null))
}

struct Builder {
    open: Vec<Open>,
    root: Option<Tree>,
    anchors: HashMap<usize, Tree>,
    values: usize,
    bytes: usize,
    documents: usize,
}

/// A list or map that has not ended.
struct Open {
    tree: Tree,
    /// In a map, the key whose value comes next.
    key: Option<String>,
    anchor: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("there is more than one document".to_owned());
                }
                Ok(())
            }
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor) else {
                    return Err("an alias stands within what it names".to_owned());
                };
                let (depth, values, bytes) = measure(tree);
                self.spend(values, bytes)?;
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(too_deep());
                }
                let tree = self.anchors.get(&anchor).cloned().unwrap_or(Tree::Null);
                self.put(tree)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = match tag {
                    None => style != ScalarStyle::Plain,
                    Some(tag) => is_core(&tag, "str")?,
                };
                self.spend(1, text.len())?;
                let tree = if is_text {
                    Tree::Text(text.into_owned())
                } else {
                    plain(&text)
                };
                // A key keeps the words of its author: `1:` or `true:` where a name is meant.
                self.anchor(anchor, &tree)?;
                self.put(tree)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(Tree::List(Vec::new()), anchor, tag.as_deref(), "seq")
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(Tree::Map(Vec::new()), anchor, tag.as_deref(), "map")
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { tree, anchor, .. }) = self.open.pop() else {
                    return Err("something ends that has not begun".to_owned());
                };
                self.anchor(anchor, &tree)?;
                self.put(tree)
            }
        }
    }

    fn spend(&mut self, values: usize, bytes: usize) -> Result<(), String> {
        self.values += values;
        self.bytes += bytes;
        if self.values > MAX_VALUES {
            return Err(format!(
                "more than {MAX_VALUES} values, aliases counted each time"
            ));
        }
        if self.bytes > MAX_EXPANDED_BYTES {
            return Err(format!(
                "more than {MAX_EXPANDED_BYTES} bytes of text, aliases counted each time"
            ));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        tree: Tree,
        anchor: usize,
        tag: Option<&Tag>,
        kind: &str,
    ) -> Result<(), String> {
        if let Some(tag) = tag {
            is_core(tag, kind)?;
        }
        self.spend(1, 0)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push(Open {
            tree,
            key: None,
            anchor,
        });
        Ok(())
    }

    fn anchor(&mut self, anchor: usize, tree: &Tree) -> Result<(), String> {
        if anchor == 0 {
            return Ok(());
        }
        if self.anchors.len() >= MAX_ANCHORS {
            return Err(format!("more than {MAX_ANCHORS} anchors"));
        }
        let (_, values, bytes) = measure(tree);
        self.spend(values, bytes)?;
        self.anchors.insert(anchor, tree.clone());
        Ok(())
    }

    fn put(&mut self, tree: Tree) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return Ok(());
        };
        match &mut open.tree {
            Tree::List(items) => items.push(tree),
            Tree::Map(entries) => match open.key.take() {
                Some(key) => entries.push((key, tree)),
                None => open.key = Some(key(tree)?),
            },
            _ => {}
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("nested deeper than {MAX_DEPTH} levels")
}

/// Whether a tag says what is known anyway.
fn is_core(tag: &Tag, kind: &str) -> Result<bool, String> {
    if tag.is_yaml_core_schema() && tag.suffix == kind {
        return Ok(true);
    }
    Err(format!("tags such as {tag} are not supported"))
}

/// A key as text: YAML lets people write `1:` or `true:` where a name is meant.
fn key(tree: Tree) -> Result<String, String> {
    Ok(match tree {
        Tree::Text(text) => text,
        Tree::Bool(value) => value.to_string(),
        Tree::Number(value) => value.to_string(),
        Tree::NotFinite(value) => value.to_string(),
        Tree::Null => "null".to_owned(),
        other => return Err(format!("a key is {}", other.kind())),
    })
}

/// Depth, values and bytes of text.
fn measure(tree: &Tree) -> (usize, usize, usize) {
    match tree {
        Tree::Text(text) => (0, 1, text.len()),
        Tree::List(items) => {
            let parts = items.iter().map(measure);
            parts.fold((1, 1, 0), |(depth, values, bytes), part| {
                (depth.max(part.0 + 1), values + part.1, bytes + part.2)
            })
        }
        Tree::Map(entries) => {
            let parts = entries.iter().map(|(key, value)| {
                let part = measure(value);
                (part.0, part.1 + 1, part.2 + key.len())
            });
            parts.fold((1, 1, 0), |(depth, values, bytes), part| {
                (depth.max(part.0 + 1), values + part.1, bytes + part.2)
            })
        }
        _ => (0, 1, 0),
    }
}

/// What a scalar without quotes means (YAML 1.2, core schema).
fn plain(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "true" | "True" | "TRUE" => return Tree::Bool(true),
        "false" | "False" | "FALSE" => return Tree::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return number(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return number(f64::NAN),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix)
            && digits.bytes().all(|b| b.is_ascii_alphanumeric())
            && let Ok(value) = i64::from_str_radix(digits, radix)
        {
            return Tree::Number(if negative { -value } else { value }.into());
        }
    }
    let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // `007` is a name, not seven.
    if is_whole && digits.len() > 1 && digits.starts_with('0') {
        return Tree::Text(text.to_owned());
    }
    if is_whole {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if let Ok(value) = unsigned.parse::<u64>() {
            return Tree::Number(value.into());
        }
        if let Ok(value) = unsigned.parse::<i64>() {
            return Tree::Number(value.into());
        }
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let is_float = begins
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && digits.bytes().any(|b| b.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(value) if is_float => number(value),
        _ => Tree::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_mean_what_yaml_says() {
        let tree = parse("[~, '', yes, True, 0x1F, 007, -3, +4, 1e3, .5, 1.2.3, 1_000, \"1\", a-]");
        let json = tree.unwrap().to_json().unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                null, "", "yes", true, 31, "007", -3, 4, 1000.0, 0.5, "1.2.3", "1_000", "1", "a-"
            ])
        );
    }

    #[test]
    fn aliases_are_written_out_and_tags_of_the_core_are_harmless() {
        let tree = parse("a: &x {b: [1, 2]}\nc: *x\nd: !!str 5\n").unwrap();
        assert_eq!(
            tree.to_json().unwrap(),
            serde_json::json!({"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": "5"})
        );
        assert!(parse("a: &x [*x]").is_err());
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
    }

    #[test]
    fn many_aliases_of_a_long_text_are_refused() {
        let long = "x".repeat(100_000);
        let text = format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(5000));
        assert!(parse(&text).unwrap_err().contains("aliases"));
    }
}
