//! What the parsers share: making cases and gathering messages.

use limelight_protocol::testing::{CaseResult, CaseStatus};

/// Longest message of a case, in bytes; what is beyond is cut.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// Longest name of a case, in bytes; what is beyond is cut.
const MAX_NAME_BYTES: usize = 1 << 10;

/// How many failed cases a parser keeps until their messages come. More of them go without.
pub(super) const MOST_WAITING: usize = 1000;

/// A name within its limit.
pub(super) fn bounded(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    format!("{}…", &name[..name.floor_char_boundary(MAX_NAME_BYTES)])
}

/// A duration, unless it is none: a program may print `NaN`.
pub(super) fn duration(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// A case without duration and message.
pub(super) fn case(name: &str, status: CaseStatus) -> CaseResult {
    CaseResult {
        name: bounded(name),
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
    fn names_are_bounded_and_durations_are_numbers() {
        let long = case(&"é".repeat(1000), CaseStatus::Passed).name;
        assert_eq!(long, "é".repeat(512) + "…");
        assert_eq!(duration("0.5"), Some(0.5));
        for text in ["NaN", "inf", "-1", "", "1e999"] {
            assert_eq!(duration(text), None, "{text:?} was taken");
        }
    }

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
