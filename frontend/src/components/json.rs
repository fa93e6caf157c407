//! JSON for people.

use serde_json::{Map, Value};
use yew::prelude::*;

/// Indented text of a JSON object; `None` when it is empty.
fn pretty(object: &Map<String, Value>) -> Option<String> {
    (!object.is_empty())
        .then(|| serde_json::to_string_pretty(object).ok())
        .flatten()
}

/// An object, or a dash when it is empty. `label` names it.
pub fn json_object(object: &Map<String, Value>, label: &'static str) -> Html {
    match pretty(object) {
        Some(text) => {
            html! { <pre class="json" tabindex="0" role="group" aria-label={label}>{ text }</pre> }
        }
        None => html! { <span class="muted">{ "–" }</span> },
    }
}

/// Raw JSON text, indented; as it is when it cannot be read.
pub fn indent(raw: &str) -> String {
    serde_json::from_str::<Value>(raw)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_json_is_indented_and_anything_else_left_alone() {
        assert_eq!(indent(r#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(indent("{oops"), "{oops");
        assert_eq!(pretty(&Map::new()), None);
    }
}
