//! Where a template value may stand in a shell script.
//!
//! A value is put in as one single-quoted word. That is safe wherever the shell expects a word, but
//! not within quotes (in `"{{ x }}"` the single quotes would be plain text and `$(...)` in the value
//! would run) nor in a here-document. Such places are refused when the workflow is defined.

/// A message for people when some value in `script` stands where quoting it cannot protect it.
pub(crate) fn misplaced_value(script: &str) -> Option<String> {
    let mut state = State::Plain;
    let mut before = '\n';
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        if let Some(end) = ["{#", "{%"].iter().find_map(|open| tag_end(rest, open)) {
            rest = &rest[end..];
            continue;
        }
        if let Some(end) = tag_end(rest, "{{") {
            let place = match state {
                State::Plain => None,
                State::Single => Some("within single quotes"),
                State::Double => Some("within double quotes"),
                State::Backquoted => Some("within backquotes"),
                State::Comment => Some("in a comment"),
                State::AfterHereDocument => Some("after <<"),
            };
            if let Some(place) = place {
                return Some(format!(
                    "a value stands {place}, where quoting cannot protect it; it is quoted by \
                     itself, so write it bare, or pass it through env and write \"$NAME\""
                ));
            }
            before = '}';
            rest = &rest[end..];
            continue;
        }
        let mut skip = c.len_utf8();
        match (state, c) {
            (State::Plain | State::Double | State::Backquoted, '\\') => {
                skip += rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            (State::Plain, '\'') => state = State::Single,
            (State::Plain, '"') => state = State::Double,
            (State::Plain, '`') => state = State::Backquoted,
            (State::Plain, '<') if rest.starts_with("<<") => state = State::AfterHereDocument,
            (State::Plain, '#') if before.is_whitespace() || ";&|(".contains(before) => {
                state = State::Comment;
            }
            (State::Single, '\'')
            | (State::Double, '"')
            | (State::Backquoted, '`')
            | (State::Comment, '\n') => state = State::Plain,
            _ => {}
        }
        before = c;
        rest = &rest[skip..];
    }
    None
}

#[derive(Clone, Copy)]
enum State {
    Plain,
    Single,
    Double,
    Backquoted,
    Comment,
    AfterHereDocument,
}

/// Where the template tag that `text` begins with ends.
fn tag_end(text: &str, open: &str) -> Option<usize> {
    let close = match open {
        "{{" => "}}",
        "{%" => "%}",
        _ => "#}",
    };
    let inside = text.strip_prefix(open)?;
    Some(
        inside
            .find(close)
            .map_or(text.len(), |at| open.len() + at + close.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::misplaced_value;

    #[test]
    fn a_bare_value_is_welcome() {
        for script in [
            "make V={{ v }}",
            "echo 'it''s' \"x\" {{ v }}",
            "echo \\\" {{ v }}",
            "# don't\necho {{ v }}",
            "echo a#'b' {{ v }} {% if x == \"'\" %}{{ v }}{% endif %}",
            "echo $(cat {{ v }})",
        ] {
            assert_eq!(misplaced_value(script), None, "{script}");
        }
    }

    #[test]
    fn a_value_that_quoting_cannot_protect_is_refused() {
        for script in [
            "echo \"{{ v }}\"",
            "echo \"a\\\"{{ v }}\"",
            "echo '{{ v }}'",
            "echo `cat {{ v }}`",
            "echo {{ a }} \"{{ v }}\"",
            "cat <<END\n{{ v }}\nEND",
            "true # {{ v }}",
        ] {
            assert!(misplaced_value(script).is_some(), "{script}");
        }
    }
}
