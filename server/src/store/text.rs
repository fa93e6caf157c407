//! Text on its way into and out of the database.

use std::borrow::Cow;

use serde::{
    Serialize,
    de::{
        DeserializeOwned, IntoDeserializer,
        value::{Error, StrDeserializer},
    },
};

use super::error::{Result, StoreError};

/// Reads a word, such as a status, as its type.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T> {
    let reader: StrDeserializer<'_, Error> = text.into_deserializer();
    T::deserialize(reader).map_err(StoreError::corrupt)
}

/// The word that stands for a value on the wire.
pub fn as_word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("not a word: {other:?}"),
    }
}

/// Text without NUL, which PostgreSQL cannot hold: it becomes U+FFFD.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for JSON text, where NUL is written as an escape.
pub fn clean_json(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(NUL) {
            out.push('\u{fffd}');
            rest = after;
        } else {
            // A backslash and what it escapes, so that `\\u0000` (an escaped backslash) stays.
            let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..len]);
            rest = &rest[len..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_and_an_escaped_backslash_is_left_alone() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        for text in ["a\0b\0", "a\\u0000", "\\\0", "plain", "\\\\\0é\n"] {
            let json = clean_json(serde_json::to_string(text).unwrap());
            let back: String = serde_json::from_str(&json).unwrap();
            assert_eq!(back, text.replace('\0', "\u{fffd}"));
        }
    }
}
