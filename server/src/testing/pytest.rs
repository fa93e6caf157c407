//! `pytest -v`: a line for each test, then sections with what failed tests printed.
//!
//! Reads pytest-xdist's lines too (`[gw0] [ 18%] PASSED a.py::b`). Without `-v` there are only dots:
//! the failures are then known from the summary, passed cases are not.

use std::collections::HashSet;

use limelight_protocol::testing::{CaseResult, CaseStatus};

use super::{
    LineParser, ansi,
    case::{MOST_WAITING, Message, bounded, case},
};

/// How many ends of a name with brackets are tried.
const MOST_ENDS: usize = 16;

/// Reads `pytest -v`.
#[derive(Debug, Default)]
pub(super) struct Pytest {
    part: Part,
    /// Failed cases whose output is still to come.
    failed: Vec<Failed>,
    /// Cases whose line was seen, so that the summary does not count them again.
    seen: HashSet<String>,
    /// With `-s` a test's own output may come between its name and its outcome.
    unfinished: Option<Unfinished>,
    current: Option<Current>,
    message: Message,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Cases,
    /// `=== FAILURES ===` and `=== ERRORS ===`.
    Outputs,
    /// `=== short test summary info ===`.
    Summary,
}

#[derive(Debug)]
struct Unfinished {
    name: String,
    /// Whether anything came behind the name. pytest-xdist announces tests by their bare names.
    has_output: bool,
    /// What the latest line that ends like an outcome says: output without a line end has the
    /// outcome right behind it. Only the next case shows that it was no mere output.
    likely: Option<Outcome>,
}

/// Status, message, and whether it is an error rather than a failure.
type Outcome = (CaseStatus, Option<String>, bool);

#[derive(Debug)]
struct Failed {
    case: CaseResult,
    /// An error of set-up or tear-down rather than a failure of the test itself.
    is_error: bool,
}

/// Whose output is being read.
#[derive(Debug)]
enum Current {
    Case(usize),
    /// `ERROR collecting test_broken.py`, and what failed without a line of its own.
    Unknown(Failed),
}

impl Current {
    fn unknown(title: &str, is_error: bool) -> Self {
        let name = title.strip_prefix("ERROR collecting ").unwrap_or(title);
        let is_error = is_error || name != title;
        Self::Unknown(Failed {
            case: case(name, CaseStatus::Failed),
            is_error,
        })
    }
}

impl LineParser for Pytest {
    fn line(&mut self, line: &str) -> Vec<CaseResult> {
        let line = &*ansi::strip(line);
        if let Some(title) = between(line, '=') {
            return self.begin(title);
        }
        match self.part {
            Part::Cases => return self.case_line(line),
            Part::Outputs => self.output_line(line),
            Part::Summary => return self.summary_line(line).into_iter().collect(),
        }
        Vec::new()
    }

    fn finish(&mut self) -> Vec<CaseResult> {
        self.end_message();
        let mut cases: Vec<_> = self.end_unfinished().into_iter().collect();
        cases.extend(self.failed.drain(..).map(|failed| failed.case));
        cases
    }
}

impl Pytest {
    /// A heading between `=`.
    fn begin(&mut self, title: &str) -> Vec<CaseResult> {
        self.end_message();
        match title {
            "FAILURES" | "ERRORS" => self.part = Part::Outputs,
            "short test summary info" => self.part = Part::Summary,
            "test session starts" => {
                let before = self.finish();
                *self = Self::default();
                return before;
            }
            // Warnings, durations, coverage.
            _ if self.part == Part::Outputs => self.part = Part::Summary,
            _ => return Vec::new(),
        }
        self.end_unfinished().into_iter().collect()
    }

    fn case_line(&mut self, line: &str) -> Vec<CaseResult> {
        let mut cases = Vec::new();
        let begun = begun(line);
        if let Some(Unfinished {
            name,
            has_output,
            likely,
        }) = &mut self.unfinished
        {
            if let Some(found) = outcome(line) {
                let name = std::mem::take(name);
                self.unfinished = None;
                return self.settle(name, found).into_iter().collect();
            }
            if begun.is_none() || (*has_output && likely.is_none()) {
                *likely = ending(line).or(likely.take());
                *has_output = true;
                return Vec::new();
            }
            cases.extend(self.end_unfinished());
        }
        match begun {
            Some((name, _, Some(found))) => cases.extend(self.settle(bounded(name), found)),
            Some((name, rest, None)) => {
                self.unfinished = Some(Unfinished {
                    name: bounded(name),
                    has_output: !rest.trim().is_empty(),
                    likely: ending(rest),
                });
            }
            None => {}
        }
        cases
    }

    /// Settles the case whose outcome was not told on a line of its own.
    fn end_unfinished(&mut self) -> Option<CaseResult> {
        let unfinished = self.unfinished.take()?;
        match unfinished.likely {
            Some(found) => self.settle(unfinished.name, found),
            None if unfinished.has_output => {
                let message = "pytest ended during this test".to_owned();
                self.settle(unfinished.name, (CaseStatus::Failed, Some(message), false))
            }
            None => None,
        }
    }

    fn settle(&mut self, name: String, (status, message, is_error): Outcome) -> Option<CaseResult> {
        self.seen.insert(name.clone());
        let case = CaseResult {
            name,
            status,
            duration_s: None,
            message,
        };
        if status == CaseStatus::Failed && self.failed.len() < MOST_WAITING {
            self.failed.push(Failed { case, is_error });
            return None;
        }
        Some(case)
    }

    fn output_line(&mut self, line: &str) {
        let Some(title) = between(line, '_') else {
            if self.current.is_some() {
                self.message.push(line);
            }
            return;
        };
        let (title, is_error) = match title.strip_prefix("ERROR at ") {
            Some(rest) => (
                rest.split_once(" of ").map_or(rest, |(_, title)| title),
                true,
            ),
            None => (title, false),
        };
        let matching = |failed: &Failed| {
            failed.is_error == is_error
                && failed.case.message.is_none()
                && is_titled(&failed.case.name, title)
        };
        let found = self.failed.iter().position(matching);
        // A line of underscores may also be output: of a test that is known already.
        if found.is_none() && self.current.is_some() && self.all_begun() {
            self.message.push(line);
            return;
        }
        self.end_message();
        self.current = Some(found.map_or_else(|| Current::unknown(title, is_error), Current::Case));
    }

    /// Whether every failed case that has a line has its output.
    fn all_begun(&self) -> bool {
        let waiting = self
            .failed
            .iter()
            .filter(|failed| failed.case.message.is_none())
            .count();
        !self.seen.is_empty()
            && waiting <= usize::from(matches!(self.current, Some(Current::Case(_))))
    }

    /// `FAILED a.py::b - message` and `ERROR a.py - message`.
    fn summary_line(&mut self, line: &str) -> Option<CaseResult> {
        let (word, rest) = line.split_once(' ')?;
        let (name, message) = rest.split_once(" - ").unwrap_or((rest, ""));
        let status = match word {
            "FAILED" | "ERROR" => CaseStatus::Failed,
            "PASSED" | "XPASS" => CaseStatus::Passed,
            "SKIPPED" | "XFAIL" => CaseStatus::Skipped,
            _ => return None,
        };
        let is_meant = |failed: &Failed| {
            let found = &failed.case.name;
            let is_named = found == name || is_titled(name, found);
            status == CaseStatus::Failed && is_named && failed.is_error == (word == "ERROR")
        };
        if let Some(index) = self.failed.iter().position(is_meant) {
            let mut case = self.failed.remove(index).case;
            case.name = bounded(name);
            case.message = case
                .message
                .or_else(|| (!message.is_empty()).then(|| message.to_owned()));
            self.seen.insert(case.name.clone());
            return Some(case);
        }
        // `SKIPPED [1] a.py:12: reason` names a place, not a test.
        if self.seen.contains(name) || rest.starts_with('[') {
            return None;
        }
        let mut case = case(name, status);
        self.seen.insert(case.name.clone());
        case.message = (!message.is_empty()).then(|| message.to_owned());
        Some(case)
    }

    fn end_message(&mut self) {
        let message = self.message.take();
        match self.current.take() {
            Some(Current::Case(index)) => self.failed[index].case.message = message,
            Some(Current::Unknown(mut failed)) => {
                failed.case.message = message;
                if self.failed.len() < MOST_WAITING {
                    self.failed.push(failed);
                }
            }
            None => {}
        }
    }
}

/// What is between runs of `filler`: `=== title ===`.
fn between(line: &str, filler: char) -> Option<&str> {
    let title = line.trim_matches(filler);
    let is_heading = line.starts_with(filler) && line.ends_with(filler);
    let title = title.strip_prefix(' ')?.strip_suffix(' ')?;
    (is_heading && !title.is_empty()).then_some(title)
}

/// A line that begins with a test, or with its worker: name, rest, outcome.
fn begun(line: &str) -> Option<(&str, &str, Option<Outcome>)> {
    if let Some(rest) = line.strip_prefix("[gw") {
        // [gw0] [ 18%] PASSED a.py::b
        let (word, name) = rest.split_once("%] ")?.1.split_once(' ')?;
        return Some((name.trim_end(), "", Some(outcome(word)?)));
    }
    let (name, rest) = split_node(line)?;
    Some((name, rest, outcome(rest)))
}

/// The outcome at the end of a line that begins with output.
fn ending(text: &str) -> Option<Outcome> {
    let words = ["PASSED", "XPASS", "SKIPPED", "XFAIL", "FAILED", "ERROR"];
    let text = without_percent(text);
    words
        .into_iter()
        .find(|word| text.ends_with(word))
        .and_then(outcome)
}

/// The line without ` [ 50%]` at its end.
fn without_percent(text: &str) -> &str {
    match text.trim().rsplit_once('[') {
        Some((rest, percent)) if percent.ends_with("%]") => rest.trim_end(),
        _ => text.trim(),
    }
}

/// Splits `a.py::b[with space] PASSED` after the test's name.
fn split_node(line: &str) -> Option<(&str, &str)> {
    let path_end = line.find("::")?;
    if line[..path_end].contains(char::is_whitespace) {
        return None;
    }
    // Only within brackets a name may have spaces; the outcome follows the last `] `.
    let space = match line.find(['[', ' ']) {
        Some(at) if line[at..].starts_with('[') => {
            at + line[at..]
                .rmatch_indices("] ")
                .take(MOST_ENDS)
                .map(|(end, _)| end + 1)
                .find(|end| outcome(&line[at + end + 1..]).is_some())
                .or_else(|| line[at..].find("] ").map(|end| end + 1))?
        }
        Some(at) => at,
        None => return None,
    };
    Some((&line[..space], &line[space + 1..]))
}

/// Reads `PASSED`, `SKIPPED (reason)   [ 50%]`, ...
fn outcome(text: &str) -> Option<Outcome> {
    let text = without_percent(text);
    let (word, reason) = text.split_once(' ').unwrap_or((text, ""));
    let reason = match reason.trim() {
        "" => None,
        reason => Some(reason.strip_prefix('(')?.strip_suffix(')')?.to_owned()),
    };
    Some(match word {
        "PASSED" | "XPASS" => (CaseStatus::Passed, reason, false),
        "SKIPPED" | "XFAIL" => (CaseStatus::Skipped, reason, false),
        "FAILED" => (CaseStatus::Failed, reason, false),
        "ERROR" => (CaseStatus::Failed, reason, true),
        _ => return None,
    })
}

/// Whether `title` heads the output of the test: `a.py::Class::b[x::y]` is headed `Class.b[x::y]`.
fn is_titled(name: &str, title: &str) -> bool {
    let Some((_, within)) = name.split_once("::") else {
        return false;
    };
    let (path, parameters) = within.split_at(within.find('[').unwrap_or(within.len()));
    title
        .strip_suffix(parameters)
        .is_some_and(|head| head == path.replace("::", "."))
}

#[cfg(test)]
mod tests;
