//! The Test Anything Protocol, versions 12, 13 and 14.
//!
//! Subtests are indented and told by their parent's line alone. Where a diagnostics block may
//! follow (version 13 on), a case is settled by the line after it; before, a failed one is, for
//! the comments that explain it.

use limelight_protocol::testing::{CaseResult, CaseStatus};

use super::{
    LineParser, ansi,
    case::{Message, case, duration},
};

/// Reads TAP.
#[derive(Debug, Default)]
pub(super) struct Tap {
    has_blocks: bool,
    /// How many cases the plan names, and how many there were so far.
    planned: Option<u64>,
    count: u64,
    /// The case that diagnostics may still follow.
    current: Option<CaseResult>,
    message: Message,
    in_block: bool,
    bailed_out: bool,
}

impl LineParser for Tap {
    fn line(&mut self, line: &str) -> Vec<CaseResult> {
        let line = ansi::strip(line);
        let line = line.trim_end();
        if self.bailed_out {
            return Vec::new();
        }
        if self.in_block {
            self.block_line(line);
            return Vec::new();
        }
        if let Some(point) = TestPoint::parse(line) {
            return self.point(point);
        }
        if let Some(version) = line.strip_prefix("TAP version ") {
            let ended = self.finish();
            self.has_blocks = version.parse::<u32>().is_ok_and(|version| version >= 13);
            return ended;
        }
        if let Some(planned) = plan(line) {
            let cases = if self.planned.is_some() {
                self.finish()
            } else {
                self.settle()
            };
            self.planned = Some(planned);
            return cases;
        }
        if let Some(reason) = line.strip_prefix("Bail out!") {
            let mut cases = self.settle();
            let mut bailed = case("Bail out!", CaseStatus::Failed);
            bailed.message = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
            cases.push(bailed);
            self.bailed_out = true;
            return cases;
        }
        if line == "  ---" && self.current.is_some() {
            self.in_block = true;
        } else if let (Some(comment), Some(_)) = (line.strip_prefix('#'), &self.current) {
            let comment = comment.strip_prefix(' ').unwrap_or(comment);
            if comment.starts_with("Subtest: ") {
                // It belongs to what comes next.
                return self.settle();
            }
            self.message.push(comment);
        }
        Vec::new()
    }

    fn finish(&mut self) -> Vec<CaseResult> {
        let mut cases = self.settle();
        let (planned, count) = (self.planned.take(), std::mem::take(&mut self.count));
        if let Some(planned) = planned.filter(|&planned| planned != count && !self.bailed_out) {
            let mut case = case(&format!("1..{planned}"), CaseStatus::Failed);
            case.message = Some(format!("{planned} tests were planned, {count} were run"));
            cases.push(case);
        }
        cases
    }
}

impl Tap {
    fn point(&mut self, point: TestPoint) -> Vec<CaseResult> {
        // Streams may follow each other without a version line.
        let is_anew = point.number == Some(1) && self.count > 0;
        let mut cases = if is_anew {
            self.finish()
        } else {
            self.settle()
        };
        self.count += 1;
        let number = point.number.unwrap_or(self.count);
        let name = if point.name.is_empty() {
            format!("test {number}")
        } else {
            point.name
        };
        let mut result = case(&name, point.status);
        result.message = point.message;
        if self.has_blocks || result.status == CaseStatus::Failed {
            self.current = Some(result);
        } else {
            cases.push(result);
        }
        cases
    }

    /// A line of a YAML block. Only the duration (of node's test runner) has an agreed meaning.
    fn block_line(&mut self, line: &str) {
        if line == "  ..." {
            self.in_block = false;
            return;
        }
        let line = line.strip_prefix("  ").unwrap_or(line);
        match (line.strip_prefix("duration_ms:"), &mut self.current) {
            (Some(milliseconds), Some(case)) => {
                let milliseconds = duration(milliseconds.trim());
                case.duration_s = milliseconds.map(|milliseconds| milliseconds / 1000.0);
            }
            _ => self.message.push(line),
        }
    }

    fn settle(&mut self) -> Vec<CaseResult> {
        self.in_block = false;
        let message = self.message.take();
        let Some(mut case) = self.current.take() else {
            return Vec::new();
        };
        if case.status == CaseStatus::Failed {
            case.message = message;
        }
        vec![case]
    }
}

/// `ok 1 - name # SKIP reason`.
struct TestPoint {
    number: Option<u64>,
    name: String,
    status: CaseStatus,
    message: Option<String>,
}

impl TestPoint {
    fn parse(line: &str) -> Option<Self> {
        let (ok, rest) = match line.strip_prefix("not ok") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok")?),
        };
        if !(rest.is_empty() || rest.starts_with(' ')) {
            return None;
        }
        let rest = rest.trim_start();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = rest[..digits].parse().ok();
        let (name, directive) = split_directive(rest[digits..].trim_start());
        let name = name
            .strip_prefix("- ")
            .or(name.strip_prefix('-'))
            .unwrap_or(name);
        let name = name.trim().replace("\\#", "#").replace("\\\\", "\\");
        let (status, message) = match directive {
            Some(Directive::Skip(reason)) => (CaseStatus::Skipped, reason),
            // It is known to fail.
            Some(Directive::Todo(reason)) if !ok => (CaseStatus::Skipped, reason),
            _ if ok => (CaseStatus::Passed, None),
            _ => (CaseStatus::Failed, None),
        };
        Some(Self {
            number,
            name,
            status,
            message,
        })
    }
}

enum Directive {
    Skip(Option<String>),
    Todo(Option<String>),
}

/// Splits a description at a `#` that is not escaped and begins a directive.
fn split_directive(text: &str) -> (&str, Option<Directive>) {
    for (at, _) in text.match_indices('#') {
        let (name, rest) = (&text[..at], text[at + 1..].trim_start());
        if !(name.is_empty() || name.ends_with(' ')) {
            continue;
        }
        let (word, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        // `# SKIPPED` and `# skip:` are seen in the wild.
        let word = word.to_ascii_lowercase();
        if word.starts_with("skip") {
            return (name, Some(Directive::Skip(reason)));
        }
        if word.starts_with("todo") {
            return (name, Some(Directive::Todo(reason)));
        }
    }
    (text, None)
}

/// `1..7`, also with a comment after it.
fn plan(line: &str) -> Option<u64> {
    line.strip_prefix("1..")?
        .split([' ', '#'])
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tests::{parse, summary};

    #[test]
    fn version_12_with_comments_is_read() {
        let cases = parse(&mut Tap::default(), include_str!("data/tap12.txt"));
        assert_eq!(
            summary(&cases),
            [
                "passed adds",
                "failed compares # of things:   Failed test 'compares # of things'",
                "passed test 3",
                "skipped test 4: needs a network",
                "skipped later: not written",
                "failed inner:   Failed test 'inner'",
                "passed last",
            ]
        );
        assert!(
            cases[1]
                .message
                .as_deref()
                .unwrap()
                .contains("expected: '3'")
        );
    }

    #[test]
    fn what_prove_prints_around_it_is_passed_over() {
        let cases = parse(&mut Tap::default(), include_str!("data/prove.txt"));
        assert_eq!(cases.len(), 7);
    }

    #[test]
    fn version_13_with_blocks_and_subtests_is_read() {
        let cases = parse(&mut Tap::default(), include_str!("data/tap13-node.txt"));
        assert_eq!(
            summary(&cases),
            [
                "passed adds",
                "failed fails # hard: location: '/src/sample.test.mjs:3:1'",
                "skipped skipped: needs a network",
                "skipped later: not written",
                "passed outer",
            ]
        );
        assert!(cases.iter().all(|case| case.duration_s.is_some()));
        assert!(
            cases[1]
                .message
                .as_deref()
                .unwrap()
                .contains("error: '1 == 2'")
        );
    }

    #[test]
    fn bailing_out_is_a_failure_and_ends_the_run() {
        let cases = parse(&mut Tap::default(), include_str!("data/tap12-bail-out.txt"));
        assert_eq!(
            summary(&cases).last().unwrap(),
            "failed Bail out!: disk full"
        );
        assert_eq!(cases.len(), 7);
    }

    #[test]
    fn a_plan_that_is_not_kept_is_a_failure() {
        let cases = parse(&mut Tap::default(), "1..3\nok 1\nok 2\n");
        let expected = [
            "passed test 1",
            "passed test 2",
            "failed 1..3: 3 tests were planned, 2 were run",
        ];
        assert_eq!(summary(&cases), expected);
        let cases = parse(&mut Tap::default(), "1..0 # SKIP no database\n");
        assert_eq!(cases, []);
    }

    #[test]
    fn streams_may_follow_each_other() {
        for text in [
            "1..1\nok 1 - a\n1..1\nok 1 - b\n",
            "ok 1 - a\n1..1\nok 1 - b\n1..1\n",
        ] {
            assert_eq!(
                summary(&parse(&mut Tap::default(), text)),
                ["passed a", "passed b"]
            );
        }
    }

    #[test]
    fn only_test_lines_are_test_lines() {
        for line in ["okay", "not okay", "nok 1", "  ok 1 - indented", "ok-ish"] {
            assert!(TestPoint::parse(line).is_none(), "{line:?} was taken");
        }
    }
}
