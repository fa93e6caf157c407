//! A document as its author wrote it: unlike a map it keeps duplicate keys and their order, so that
//! both can be reported.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, error::Category};

use super::yaml;
use crate::limits::{MAX_DEPTH, MAX_VALUES};

/// A YAML or JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    /// A number that JSON has no word for: infinite, or not a number.
    NotFinite(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads a document. JSON is tried first where the text looks like it: YAML is nearly a
    /// superset of JSON, but not of its `\ud83d\ude00` escapes.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            let seed = Seed {
                left: &Cell::new(MAX_VALUES),
                depth: 0,
            };
            let mut reader = serde_json::Deserializer::from_str(text);
            let read = seed.deserialize(&mut reader);
            match read.and_then(|tree| reader.end().map(|()| tree)) {
                Ok(tree) => return Ok(tree),
                // It is JSON, but too much of it.
                Err(error) if error.classify() == Category::Data => return Err(error.to_string()),
                Err(_) => {}
            }
        }
        yaml::parse(text)
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) | Self::NotFinite(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// As JSON; `None` when it holds a number that JSON has no word for.
    pub(super) fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::Number(value.clone()),
            Self::NotFinite(_) => return None,
            Self::Text(value) => Value::String(value.clone()),
            Self::List(items) => {
                Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?)
            }
            Self::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Some((key.clone(), value.to_json()?)))
                    .collect::<Option<Map<_, _>>>()?,
            ),
        })
    }
}

/// A number, finite or not.
pub(super) fn number(value: f64) -> Tree {
    Number::from_f64(value).map_or(Tree::NotFinite(value), Tree::Number)
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        let left = self.left.get();
        if left == 0 {
            return Err(D::Error::custom(format!("more than {MAX_VALUES} values")));
        }
        self.left.set(left - 1);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let seed = self.deeper()?;
        let mut entries = Vec::new();
        while let Some(key) = access.next_key()? {
            entries.push((key, access.next_value_seed(seed)?));
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_duplicate_keys_and_their_order() {
        let Tree::Map(entries) = Tree::parse("b: 1\na: 2\nb: 3\n").unwrap() else {
            panic!("not a map");
        };
        let keys: Vec<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "b"]);
    }

    #[test]
    fn json_is_read_with_its_own_escapes() {
        let tree = Tree::parse("{\"a\": \"\\ud83d\\ude00\", \"b\": [1, 2.5, null]}").unwrap();
        assert_eq!(
            tree.to_json().unwrap(),
            serde_json::json!({"a": "\u{1f600}", "b": [1, 2.5, null]})
        );
    }

    #[test]
    fn aliases_that_multiply_each_other_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert!(Tree::parse(&text).is_err());
    }

    #[test]
    fn deep_nesting_and_tags_are_refused() {
        assert!(Tree::parse(&"[".repeat(5000)).is_err());
        assert!(
            Tree::parse(&"{\"a\":".repeat(100))
                .unwrap_err()
                .contains("deeper")
        );
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(Tree::parse(&deep).unwrap_err().contains("deeper"));
        assert!(Tree::parse("a: !env HOME").is_err());
    }

    #[test]
    fn numbers_that_json_lacks_are_kept_apart() {
        assert_eq!(Tree::parse(".inf").unwrap(), Tree::NotFinite(f64::INFINITY));
        assert_eq!(Tree::parse("[.nan]").unwrap().to_json(), None);
    }
}
