//! `cargo test`: the plain format of Rust's own test harness, one section for each test program.
//!
//! A section is `running N tests`, a line for each test, `failures:` with what each failed test
//! printed, `failures:` with their names, and `test result: …`. A failed case is settled when its
//! output is known.

use limelight_protocol::testing::{CaseResult, CaseStatus};

use super::{
    LineParser, ansi,
    case::{MOST_WAITING, Message, bounded, case, duration},
};

/// Reads `cargo test`.
#[derive(Debug, Default)]
pub(super) struct Libtest {
    part: Part,
    /// Failed cases whose output is still to come.
    failed: Vec<CaseResult>,
    /// With `--nocapture` a test's own output may come between its name and its outcome.
    unfinished: Option<Unfinished>,
    /// Index into `failed` of the case whose output is being read.
    current: Option<usize>,
    message: Message,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Cases,
    /// With `--show-output`, what passed tests printed.
    Successes,
    /// What failed tests printed, then their names.
    Failures,
}

#[derive(Debug)]
struct Unfinished {
    name: String,
    /// What the latest line that ends like an outcome says: output without a line end has the
    /// outcome right behind it. Only the next case shows that it was no mere output.
    likely: Option<CaseStatus>,
}

impl LineParser for Libtest {
    fn line(&mut self, line: &str) -> Vec<CaseResult> {
        let line = &*ansi::strip(line);
        if is_header(line) {
            // The program before ended without a result: it crashed.
            let crashed = self.finish();
            self.part = Part::Cases;
            return crashed;
        }
        if line.starts_with("test result: ") {
            return self.end_program();
        }
        match self.part {
            Part::Cases if line == "failures:" && self.unfinished.is_none() => {
                self.part = Part::Failures;
                Vec::new()
            }
            Part::Cases if line == "successes:" && self.unfinished.is_none() => {
                self.part = Part::Successes;
                Vec::new()
            }
            Part::Cases => self.case_line(line),
            Part::Successes => {
                if line == "failures:" {
                    self.part = Part::Failures;
                }
                Vec::new()
            }
            Part::Failures => {
                self.failure_line(line);
                Vec::new()
            }
        }
    }

    fn finish(&mut self) -> Vec<CaseResult> {
        self.end_program()
    }
}

impl Libtest {
    fn case_line(&mut self, line: &str) -> Vec<CaseResult> {
        let begun = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "));
        let mut cases = Vec::new();
        if let Some(Unfinished { name, likely }) = &mut self.unfinished {
            if let Some(case) = outcome(name, line) {
                self.unfinished = None;
                return self.settle(case).into_iter().collect();
            }
            if begun.is_none() || likely.is_none() {
                *likely = ending(line).or(*likely);
                return Vec::new();
            }
            cases.extend(self.end_unfinished());
        }
        let Some((name, rest)) = begun else {
            return cases;
        };
        match outcome(name, rest) {
            Some(case) => cases.extend(self.settle(case)),
            None => {
                let (name, likely) = (bounded(bare(name)), ending(rest));
                self.unfinished = Some(Unfinished { name, likely });
            }
        }
        cases
    }

    /// Settles the case whose outcome was not told on a line of its own.
    fn end_unfinished(&mut self) -> Option<CaseResult> {
        let Unfinished { name, likely } = self.unfinished.take()?;
        let mut case = case(&name, likely.unwrap_or(CaseStatus::Failed));
        if likely.is_none() {
            case.message = Some("the test program ended during this test".to_owned());
        }
        self.settle(case)
    }

    fn settle(&mut self, case: CaseResult) -> Option<CaseResult> {
        if case.status == CaseStatus::Failed && self.failed.len() < MOST_WAITING {
            self.failed.push(case);
            return None;
        }
        Some(case)
    }

    fn failure_line(&mut self, line: &str) {
        // Only the name of a case that did fail begins its output: tests may print anything.
        let heading = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        let failed = heading.and_then(|name| self.failed.iter().position(|case| case.name == name));
        if failed.is_some() {
            self.end_message();
            self.current = failed;
        } else {
            self.message.push(line);
        }
    }

    fn end_message(&mut self) {
        let message = self.message.take();
        if let Some(index) = self.current.take() {
            self.failed[index].message = message;
        }
    }

    fn end_program(&mut self) -> Vec<CaseResult> {
        // The list of names comes right behind the last output.
        let last = self.current;
        self.end_message();
        if let Some(message) = last.and_then(|index| self.failed[index].message.as_mut())
            && let Some((output, names)) = message.rsplit_once("\nfailures:\n")
            && names.lines().all(|name| name.starts_with("    "))
        {
            *message = output.trim_end().to_owned();
        }
        let unfinished = self.end_unfinished();
        self.part = Part::Cases;
        std::mem::take(&mut self.failed)
            .into_iter()
            .chain(unfinished)
            .collect()
    }
}

/// `running 3 tests`.
fn is_header(line: &str) -> bool {
    let count = line.strip_prefix("running ").and_then(|rest| {
        rest.strip_suffix(" tests")
            .or_else(|| rest.strip_suffix(" test"))
    });
    count.is_some_and(|count| count.parse::<u32>().is_ok())
}

/// A name without what the harness adds to it.
fn bare(name: &str) -> &str {
    name.strip_suffix(" - should panic").unwrap_or(name)
}

/// The outcome at the end of a line that begins with output.
fn ending(text: &str) -> Option<CaseStatus> {
    if text.ends_with("FAILED") {
        Some(CaseStatus::Failed)
    } else {
        text.ends_with("ok").then_some(CaseStatus::Passed)
    }
}

/// Reads what follows a name: `ok`, `FAILED`, `ignored`, `ignored, reason`, `bench: …`; an unstable
/// option adds ` <0.012s>`.
fn outcome(name: &str, text: &str) -> Option<CaseResult> {
    let (text, duration_s) = match text
        .strip_suffix("s>")
        .and_then(|rest| rest.rsplit_once(" <"))
    {
        Some((text, seconds)) => (text, Some(duration(seconds)?)),
        None => (text, None),
    };
    let (status, message) = match text {
        "ok" => (CaseStatus::Passed, None),
        "FAILED" => (CaseStatus::Failed, None),
        "ignored" => (CaseStatus::Skipped, None),
        _ if text.starts_with("bench: ") => (CaseStatus::Passed, None),
        _ => (
            CaseStatus::Skipped,
            Some(text.strip_prefix("ignored, ")?.to_owned()),
        ),
    };
    Some(CaseResult {
        name: bounded(bare(name)),
        status,
        duration_s,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tests::{parse, summary};

    #[test]
    fn a_run_of_several_programs_is_read() {
        let cases = parse(&mut Libtest::default(), include_str!("data/libtest.txt"));
        assert_eq!(
            summary(&cases),
            [
                "passed tests::doubles",
                "passed tests::flaky",
                "skipped tests::ignored",
                "skipped tests::ignored_with_reason: needs a network",
                "passed tests::prints",
                "passed tests::panics",
                "failed tests::fails_too: Error: \"an error\"",
                "failed tests::fails_with_output: on stdout: failures:",
                "passed aborts",
                "passed works_from_outside",
                "passed src/lib.rs - double (line 6) - compile",
                "passed src/lib.rs - double (line 3)",
                "passed src/lib.rs - double (line 9)",
            ]
        );
        let message = cases[7].message.as_deref().unwrap();
        assert!(!message.contains("tests::fails_too"), "{message}");
        assert!(
            message.contains("test fake ... ok\non stderr\n"),
            "{message}"
        );
        assert!(message.contains("left: 4\n right: 5"), "{message}");
    }

    #[test]
    fn output_of_passed_tests_is_not_taken_for_cases() {
        let cases = parse(
            &mut Libtest::default(),
            include_str!("data/libtest-show-output.txt"),
        );
        assert_eq!(cases.len(), 8);
        let failed = cases
            .iter()
            .filter(|case| case.status == CaseStatus::Failed);
        assert_eq!(failed.filter(|case| case.message.is_some()).count(), 2);
    }

    #[test]
    fn output_between_a_name_and_its_outcome_is_passed_over() {
        let cases = parse(
            &mut Libtest::default(),
            include_str!("data/libtest-nocapture.txt"),
        );
        assert_eq!(
            summary(&cases),
            [
                "passed tests::doubles",
                "passed tests::flaky",
                "skipped tests::ignored",
                "skipped tests::ignored_with_reason: needs a network",
                "passed tests::panics",
                "passed tests::prints",
                "failed tests::fails_too",
                "failed tests::fails_with_output",
            ]
        );
    }

    #[test]
    fn a_test_during_which_the_program_crashed_has_failed() {
        let cases = parse(
            &mut Libtest::default(),
            include_str!("data/libtest-abort.txt"),
        );
        assert_eq!(
            summary(&cases),
            ["failed aborts: the test program ended during this test"]
        );
    }

    #[test]
    fn output_without_a_line_end_does_not_swallow_the_cases_after_it() {
        let text = "running 3 tests
test a ... no line endok
test b ... two
linesFAILED
test c ... ok

failures:

failures:
    b

test result: FAILED. 2 passed; 1 failed
";
        let cases = parse(&mut Libtest::default(), text);
        assert_eq!(summary(&cases), ["passed a", "passed c", "failed b"]);
    }

    #[test]
    fn a_case_is_given_as_soon_as_its_line_ends() {
        let mut parser = Libtest::default();
        assert_eq!(parser.line("running 2 tests"), []);
        assert_eq!(
            summary(&parser.line("test a ... ok <0.012s>")),
            ["passed a"]
        );
        assert_eq!(
            parser.line("test b has been running for over 60 seconds"),
            []
        );
        assert_eq!(parser.line("test b ... FAILED"), []);
        assert_eq!(
            summary(&parser.line("test result: FAILED. 1 passed; 1 failed")),
            ["failed b"]
        );
        assert_eq!(parser.finish(), []);
    }
}
