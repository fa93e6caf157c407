//! `cargo nextest run`: a status line for each test, followed by what a failed one printed.
//!
//! Status words are right-aligned to twelve columns, which tells them from what tests print (that
//! is indented by four). After `Summary` the failures are repeated; those lines are passed over.

use std::collections::BTreeMap;

use limelight_protocol::testing::{CaseResult, CaseStatus};

use super::{
    LineParser, ansi,
    case::{MOST_WAITING, Message, bounded, duration},
};

/// Width of the column of status words.
const STATUS_COLUMNS: usize = 12;

/// Reads `cargo nextest run`.
#[derive(Debug, Default)]
pub(super) struct Nextest {
    /// The failure whose output is being read.
    current: Option<Ended>,
    message: Message,
    /// Failed tries of tests that may be tried again.
    tries: BTreeMap<String, CaseResult>,
    in_summary: bool,
}

/// What a status line tells.
#[derive(Debug)]
struct Ended {
    case: CaseResult,
    is_final: bool,
}

impl LineParser for Nextest {
    fn line(&mut self, line: &str) -> Vec<CaseResult> {
        let line = &*ansi::strip(line);
        let word = line.get(..STATUS_COLUMNS).unwrap_or_default().trim_start();
        if word == "Starting" {
            // Several runs may follow each other.
            self.in_summary = false;
            return Vec::new();
        }
        if self.in_summary {
            return Vec::new();
        }
        if word == "Summary" {
            self.in_summary = true;
            return self.finish();
        }
        match status_line(line) {
            Status::Ended(ended) => {
                let mut cases = self.end_message();
                if ended.case.status == CaseStatus::Failed {
                    self.current = Some(ended);
                } else {
                    self.tries.remove(&ended.case.name);
                    cases.push(ended.case);
                }
                cases
            }
            Status::Other => self.end_message(),
            Status::None => {
                if self.current.is_some() && !is_rule(line) {
                    let indents = ["    ", "  "];
                    let text = indents.iter().find_map(|indent| line.strip_prefix(indent));
                    self.message.push(text.unwrap_or(line));
                }
                Vec::new()
            }
        }
    }

    fn finish(&mut self) -> Vec<CaseResult> {
        let mut cases = self.end_message();
        cases.extend(std::mem::take(&mut self.tries).into_values());
        cases
    }
}

impl Nextest {
    /// Settles the failure whose output has been read, unless it may be tried again.
    fn end_message(&mut self) -> Vec<CaseResult> {
        let message = self.message.take();
        let Some(Ended { mut case, is_final }) = self.current.take() else {
            return Vec::new();
        };
        case.message = message;
        if is_final || self.tries.len() >= MOST_WAITING {
            self.tries.remove(&case.name);
            return vec![case];
        }
        self.tries.insert(case.name.clone(), case);
        Vec::new()
    }
}

enum Status {
    /// A try of a test ended.
    Ended(Ended),
    /// Another status line: `SLOW`, `START`, `RETRY`, ...
    Other,
    /// None at all.
    None,
}

/// Reads `        PASS [   0.010s] ( 1/10) binary test::name`; older versions leave the counter out,
/// and `(────)` stands for it when a try is not the last.
fn status_line(line: &str) -> Status {
    let Some((status, rest)) = line.split_once(" [") else {
        return Status::None;
    };
    let word = status.trim_start();
    let aligned = status.chars().count() == STATUS_COLUMNS.max(word.chars().count());
    if !aligned || !word.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Status::None;
    }
    let Some((time, rest)) = rest.split_once("] ") else {
        return Status::None;
    };
    let (counter, name) = match rest
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(") "))
    {
        Some((counter, name)) => (Some(counter), name),
        None => (None, rest),
    };
    let name = name.trim();
    let (tried, word) = match word
        .strip_prefix("TRY ")
        .and_then(|rest| rest.split_once(' '))
    {
        Some((number, word)) if number.parse::<u32>().is_ok() => (true, word),
        _ => (false, word),
    };
    let status = match word {
        "PASS" | "LEAK" | "TIMEOUT-PASS" | "TMPASS" => CaseStatus::Passed,
        "SKIP" => CaseStatus::Skipped,
        "FAIL" | "LEAK-FAIL" | "FAIL + LEAK" | "FL+LK" | "TIMEOUT" | "TMT" | "XFAIL" => {
            CaseStatus::Failed
        }
        // Ended by a signal: `SIGSEGV`, `ABORT`, `ABORT SIG 11`.
        _ if word.starts_with("SIG") || word.starts_with("ABORT") => CaseStatus::Failed,
        _ => return Status::Other,
    };
    if name.is_empty() {
        return Status::None;
    }
    let duration_s = time.trim().trim_start_matches('>').trim().strip_suffix('s');
    let case = CaseResult {
        name: bounded(name),
        status,
        duration_s: duration_s.and_then(duration),
        message: None,
    };
    let counted = counter.is_some_and(|counter| counter.contains(|c: char| c.is_ascii_digit()));
    Status::Ended(Ended {
        case,
        is_final: !tried || counted,
    })
}

/// `────────────`.
fn is_rule(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|c| c == '─')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tests::{parse, summary};

    #[test]
    fn a_retried_test_counts_once_by_its_last_try() {
        let cases = parse(
            &mut Nextest::default(),
            include_str!("data/nextest-retries.txt"),
        );
        let mut lines = summary(&cases);
        lines.sort();
        assert_eq!(
            lines,
            [
                "failed sample tests::fails_too: stdout ───",
                "failed sample tests::fails_with_output: stdout ───",
                "passed sample tests::doubles",
                "passed sample tests::flaky",
                "passed sample tests::panics",
                "passed sample tests::prints",
                "passed sample::integration aborts",
                "passed sample::integration works_from_outside",
                "skipped sample tests::ignored",
                "skipped sample tests::ignored_with_reason",
            ]
        );
        let failed = cases
            .iter()
            .find(|case| case.name.ends_with("fails_with_output"))
            .unwrap();
        let message = failed.message.as_deref().unwrap();
        assert!(
            message.contains("assertion `left == right` failed: two by two"),
            "{message}"
        );
        assert!(failed.duration_s.is_some_and(|seconds| seconds > 0.0));
    }

    #[test]
    fn colours_signals_and_repeated_failures_are_understood() {
        let cases = parse(
            &mut Nextest::default(),
            include_str!("data/nextest-color.txt"),
        );
        assert_eq!(cases.len(), 10);
        let failed: Vec<_> = cases
            .iter()
            .filter(|case| case.status == CaseStatus::Failed)
            .collect();
        assert_eq!(failed.len(), 4);
        let aborted = failed
            .iter()
            .find(|case| case.name == "sample::integration aborts")
            .unwrap();
        let message = aborted.message.as_deref().unwrap();
        assert!(
            message.contains("(test aborted with signal 6: SIGABRT)"),
            "{message}"
        );
    }

    #[test]
    fn older_versions_without_a_counter_are_read() {
        let text = "\
    Starting 2 tests across 1 binary
  TRY 1 FAIL [   0.006s] sample a
   RETRY 2/2 [         ] sample a
  TRY 2 PASS [   0.006s] sample a
  TRY 1 FAIL [   0.006s] sample b
  TRY 2 FAIL [   0.006s] sample b
        SLOW [> 60.000s] sample c
     TIMEOUT [>120.000s] sample c
     Summary [   0.224s] 3 tests run: 1 passed (1 flaky), 2 failed, 0 skipped
  TRY 2 FAIL [   0.006s] sample b
";
        let cases = parse(&mut Nextest::default(), text);
        assert_eq!(
            summary(&cases),
            ["passed sample a", "failed sample c", "failed sample b"]
        );
    }

    #[test]
    fn what_a_test_prints_is_not_taken_for_a_status() {
        let text = "        FAIL [   0.006s] (1/1) sample a
    PASS [   0.006s] (1/1) sample fake
  text [ok] (1/1) sample fake
";
        let cases = parse(&mut Nextest::default(), text);
        assert_eq!(
            summary(&cases),
            ["failed sample a: PASS [   0.006s] (1/1) sample fake"]
        );
    }
}
