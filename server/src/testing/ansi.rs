//! Takes terminal colours out of a line.

use std::borrow::Cow;

/// The line without escape sequences (ECMA-48: CSI, OSC and two-character ones).
pub(super) fn strip(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        match rest.next() {
            // Parameters end with a byte from `@` to `~`.
            Some('[') => drop(rest.find(|c| ('@'..='~').contains(c))),
            // A title or a link, up to BEL or ESC \.
            Some(']') => {
                let end = rest.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                if end == Some('\u{1b}') {
                    rest.next();
                }
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn escape_sequences_go_and_text_stays() {
        assert_eq!(strip("plain"), "plain");
        assert_eq!(strip("\u{1b}[32;1mok\u{1b}[0m é"), "ok é");
        assert_eq!(
            strip("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]0;title\u{7}!"),
            "link!"
        );
        assert_eq!(strip("cut \u{1b}[3"), "cut ");
    }
}
