//! `pytest -v`: a line for each test, then sections with what failed tests printed.
//!
//! Reads pytest-xdist's lines too (`[gw0] [ 18%] PASSED a.py::b`). Without `-v` there are only dots:
//! the failures are then known from the summary, passed cases are not.

use std::collections::HashSet;

use limelight_protocol::testing::{CaseResult, CaseStatus};

use super::{
    LineParser, ansi,
    case::{Message, case},
};

/// Reads `pytest -v`.
#[derive(Debug, Default)]
pub(super) struct Pytest {
    part: Part,
    /// Failed cases whose output is still to come.
    failed: Vec<Failed>,
    /// Cases whose line was seen, so that the summary does not count them again.
    seen: HashSet<String>,
    /// With `-s` a test's own output may come between its name and its outcome.
    unfinished: Option<String>,
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
    Unknown(String),
}

impl LineParser for Pytest {
    fn line(&mut self, line: &str) -> Vec<CaseResult> {
        let line = &*ansi::strip(line);
        if let Some(title) = between(line, '=') {
            return self.begin(title);
        }
        match self.part {
            Part::Cases => return self.case_line(line).into_iter().collect(),
            Part::Outputs => self.output_line(line),
            Part::Summary => return self.summary_line(line).into_iter().collect(),
        }
        Vec::new()
    }

    fn finish(&mut self) -> Vec<CaseResult> {
        self.end_message();
        let mut cases: Vec<_> = self.failed.drain(..).map(|failed| failed.case).collect();
        if let Some(name) = self.unfinished.take() {
            let mut crashed = case(&name, CaseStatus::Failed);
            crashed.message = Some("pytest ended during this test".to_owned());
            cases.push(crashed);
        }
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
                *self = Self::default();
            }
            // Warnings, durations, coverage.
            _ if self.part == Part::Outputs => self.part = Part::Summary,
            _ => {}
        }
        Vec::new()
    }

    fn case_line(&mut self, line: &str) -> Option<CaseResult> {
        let (name, found) = if let Some(name) = self.unfinished.take() {
            match outcome(line) {
                Some(found) => (name, found),
                None => {
                    self.unfinished = Some(name);
                    return None;
                }
            }
        } else if let Some(rest) = line.strip_prefix("[gw") {
            // [gw0] [ 18%] PASSED a.py::b
            let (word, name) = rest.split_once("%] ")?.1.split_once(' ')?;
            (name.trim_end().to_owned(), outcome(word)?)
        } else {
            let (name, rest) = split_node(line)?;
            match outcome(rest) {
                Some(found) => (name.to_owned(), found),
                None => {
                    // pytest-xdist announces a test by its bare name, which is not unfinished.
                    if !rest.trim().is_empty() {
                        self.unfinished = Some(name.to_owned());
                    }
                    return None;
                }
            }
        };
        let (status, message, is_error) = found;
        self.seen.insert(name.clone());
        let found = CaseResult {
            name,
            status,
            duration_s: None,
            message,
        };
        if status == CaseStatus::Failed {
            self.failed.push(Failed {
                case: found,
                is_error,
            });
            return None;
        }
        Some(found)
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
        self.current =
            Some(found.map_or_else(|| Current::Unknown(title.to_owned()), Current::Case));
    }

    /// Whether every failed case that has a line has its output.
    fn all_begun(&self) -> bool {
        let waiting = self
            .failed
            .iter()
            .filter(|failed| failed.case.message.is_none())
            .count();
        !self.failed.is_empty()
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
        let known = self.failed.iter().position(|failed| {
            failed.case.name == name
                && status == CaseStatus::Failed
                && failed.is_error == (word == "ERROR")
        });
        if let Some(index) = known {
            let mut case = self.failed.remove(index).case;
            case.message = case
                .message
                .or_else(|| (!message.is_empty()).then(|| message.to_owned()));
            return Some(case);
        }
        // `SKIPPED [1] a.py:12: reason` names a place, not a test.
        if self.seen.contains(name) || rest.starts_with('[') {
            return None;
        }
        self.seen.insert(name.to_owned());
        let mut case = case(name, status);
        case.message = (!message.is_empty()).then(|| message.to_owned());
        Some(case)
    }

    fn end_message(&mut self) {
        let message = self.message.take();
        match self.current.take() {
            Some(Current::Case(index)) => self.failed[index].case.message = message,
            Some(Current::Unknown(title)) => {
                let name = title.strip_prefix("ERROR collecting ").unwrap_or(&title);
                let mut case = case(name, CaseStatus::Failed);
                case.message = message;
                self.failed.push(Failed {
                    case,
                    is_error: title != name,
                });
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
                .map(|(end, _)| end + 1)
                .find(|end| outcome(&line[at + end + 1..]).is_some())
                .or_else(|| line[at..].find("] ").map(|end| end + 1))?
        }
        Some(at) => at,
        None => return None,
    };
    Some((&line[..space], &line[space + 1..]))
}

/// Reads `PASSED`, `SKIPPED (reason)   [ 50%]`, ...: status, message, whether it is an error.
fn outcome(text: &str) -> Option<(CaseStatus, Option<String>, bool)> {
    let mut text = text.trim();
    if let Some((rest, percent)) = text.rsplit_once('[')
        && percent.ends_with("%]")
    {
        text = rest.trim_end();
    }
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
