//! What the parsers share: making cases and gathering messages.

use limelight_protocol::testing::{CaseResult, CaseStatus};

/// Longest message of a case, in bytes; what is beyond is cut.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// A case without duration and message.
pub(super) fn case(name: &str, status: CaseStatus) -> CaseResult {
    CaseResult {
        name: name.to_owned(),
        status,
        duration_s: None,
        message: None,
    }
}

/// A message that comes line by line.
#[derive(Debug, Default)]
pub(super) struct Message {
    text: String,
    cut: bool,
}

impl Message {
    /// Adds a line.
    pub(super) fn push(&mut self, line: &str) {
        if self.text.len() + line.len() >= MAX_MESSAGE_BYTES {
            self.cut = true;
        }
        if !self.cut {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    /// All of it without empty lines around it; `None` when nothing is left. Starts anew.
    pub(super) fn take(&mut self) -> Option<String> {
        let Self { text, cut } = std::mem::take(self);
        let text = text.trim_matches('\n').trim_end();
        match (text.is_empty(), cut) {
            (true, false) => None,
            (_, true) => Some(format!("{text}\n… [cut]")),
            (false, false) => Some(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_empty_lines_around_it_and_a_bounded_length() {
        let mut message = Message::default();
        assert_eq!(message.take(), None);
        for line in ["", "  one", "", "two", ""] {
            message.push(line);
        }
        assert_eq!(message.take().as_deref(), Some("  one\n\ntwo"));
        for _ in 0..1000 {
            message.push(&"x".repeat(100));
        }
        let long = message.take().unwrap();
        assert!(long.len() < MAX_MESSAGE_BYTES + 20 && long.ends_with("\n… [cut]"));
        assert_eq!(message.take(), None);
    }
}
