//! Reads what test suites print, case by case as they end, and the configuration of suites.
//!
//! A parser never fails: lines it does not know are passed over. Whether a run as a whole passed is
//! told by the cases and the exit code together.

use limelight_protocol::{
    event::LogSource,
    testing::{CaseResult, SuiteFormat},
};

mod ansi;
mod case;
mod libtest;
mod nextest;
mod pytest;
pub mod suites;
mod tap;

/// Reads one suite's output.
pub trait LineParser {
    /// Takes the next line, without line end; gives the cases that are settled with it. A failed case may
    /// wait for its message.
    fn line(&mut self, line: &str) -> Vec<CaseResult>;

    /// Gives what is unsettled when the output ends.
    fn finish(&mut self) -> Vec<CaseResult>;
}

/// A parser for a format.
#[must_use]
pub fn parser(format: SuiteFormat) -> Box<dyn LineParser + Send> {
    match format {
        SuiteFormat::Libtest => Box::new(libtest::Libtest::default()),
        SuiteFormat::Nextest => Box::new(nextest::Nextest::default()),
        SuiteFormat::Pytest => Box::new(pytest::Pytest::default()),
        SuiteFormat::Tap => Box::new(tap::Tap::default()),
    }
}

/// Whether lines of `source` are for the parser of `format`. Nextest writes to standard error; of the
/// others standard error holds what would tear their standard output apart.
#[must_use]
pub fn reads(format: SuiteFormat, source: LogSource) -> bool {
    match source {
        LogSource::Stdout => true,
        LogSource::Stderr => format == SuiteFormat::Nextest,
        LogSource::System => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All cases of a whole output.
    pub(super) fn parse(parser: &mut dyn LineParser, text: &str) -> Vec<CaseResult> {
        let mut cases: Vec<_> = text.lines().flat_map(|line| parser.line(line)).collect();
        cases.extend(parser.finish());
        cases
    }

    /// Each case as `status name: first line of the message`.
    pub(super) fn summary(cases: &[CaseResult]) -> Vec<String> {
        let line = |case: &CaseResult| {
            let status = format!("{:?}", case.status).to_lowercase();
            let first = case
                .message
                .as_deref()
                .and_then(|message| message.lines().next());
            let message = first.map(|first| format!(": {first}")).unwrap_or_default();
            format!("{status} {}{message}", case.name)
        };
        cases.iter().map(line).collect()
    }

    /// How much a case may hold: a name, a message and a mark on each that it was cut.
    const MAX_CASE_BYTES: usize = (17 << 10) + 100;

    const FORMATS: [SuiteFormat; 4] = [
        SuiteFormat::Libtest,
        SuiteFormat::Nextest,
        SuiteFormat::Pytest,
        SuiteFormat::Tap,
    ];

    #[test]
    fn nextest_alone_is_read_from_standard_error() {
        for format in FORMATS {
            assert!(reads(format, LogSource::Stdout));
            assert_eq!(
                reads(format, LogSource::Stderr),
                format == SuiteFormat::Nextest
            );
        }
    }

    /// Lines of a length and number that would hurt if any of it were quadratic.
    #[test]
    fn long_lines_and_many_of_them_take_no_more_than_their_due() {
        let pieces = [
            "] ",
            "[ 1%] ",
            "[gw0] [ 1%] ",
            "a::b[",
            "\u{1b}[",
            "\u{1b}]",
            "=",
            "_",
            "test a ... ",
            "ok ",
            "not ok ",
            "# SKIP ",
            "\\#",
            "FAILED ",
            "---- ",
            "─",
            " [",
            "] (",
            "PASSED",
        ];
        let begun = std::time::Instant::now();
        for format in FORMATS {
            for piece in pieces {
                let mut parser = parser(format);
                let line = piece.repeat((16 << 10) / piece.len());
                let x = format!("a.py::x[{line}");
                for line in [&line, &x].into_iter().cycle().take(40) {
                    parser.line(line);
                }
                parser.finish();
            }
        }
        // A guard against hanging: 50 MB in all take a second or two, each line squared takes hours.
        assert!(begun.elapsed().as_secs() < 60);
    }

    #[test]
    fn a_flood_of_failures_is_not_hoarded() {
        for (format, line) in [
            (SuiteFormat::Libtest, "test t%d ... FAILED"),
            (SuiteFormat::Nextest, "  TRY 1 FAIL [   0.1s] a t%d"),
            (SuiteFormat::Pytest, "a.py::t%d FAILED"),
            (SuiteFormat::Tap, "not ok - t%d"),
        ] {
            let mut parser = parser(format);
            let mut early = 0;
            for number in 0..5000 {
                early += parser.line(&line.replace("%d", &number.to_string())).len();
            }
            let late = parser.finish().len();
            assert_eq!(early + late, 5000);
            assert!(late <= case::MOST_WAITING + 1, "{late} were held back");
        }
    }

    proptest! {
        #[test]
        fn fuzz_no_parser_is_upset_by_what_a_suite_may_print(
            lines in prop::collection::vec(
                prop_oneof![
                    any::<String>(),
                    "(test|ok|not ok|failures:|----|====|____|FAILED|PASSED|TRY 1|SIG|1\\.\\.|\\[|\\]|::|#| |é|─){0,8}",
                    "running [0-9] tests?|test [a-z]{1,3} \\.\\.\\. (ok|FAILED|x)|---- [a-z]{1,3} stdout ----|failures:",
                    " {6}(PASS|FAIL|TRY 1 FAIL) \\[ 0\\.1s\\] (\\(1/2\\) )?[a-z]{1,2} [a-z]{1,2}",
                    "[a-z]\\.py::[a-z](\\[[a-z \\]\\[]{0,4}\\])? (PASSED|FAILED|ERROR)|(=== FAILURES ===)|___ [a-z] ___",
                    "TAP version 1[234]|(not )?ok [0-9]( - [a-z])?( # (SKIP|TODO))?|  ---|  \\.\\.\\.|Bail out!",
                ],
                0..40,
            ),
        ) {
            for format in FORMATS {
                let mut parser = parser(format);
                let cases = parse(&mut *parser, &lines.join("\n"));
                for case in cases {
                    let message = case.message.as_deref().unwrap_or_default();
                    prop_assert!(case.name.len() + message.len() <= MAX_CASE_BYTES);
                    prop_assert!(case.duration_s.is_none_or(|s| s.is_finite() && s >= 0.0));
                }
                prop_assert_eq!(parser.finish(), []);
            }
        }

        #[test]
        fn fuzz_no_parser_gives_more_than_it_was_given(
            line in "\\PC{0,40}( \\.\\.\\. | \\[|\\] |::)(FAILED|ok|PASSED|NaN|inf|<|>|s| |\\[|\\]|%|[0-9]){0,9}",
            repeat in 1_usize..400,
        ) {
            for format in FORMATS {
                let mut parser = parser(format);
                let text = line.repeat(repeat);
                let cases: Vec<_> = (0..3).flat_map(|_| parser.line(&text)).collect();
                let rest = parser.finish();
                let total: usize = cases
                    .iter()
                    .chain(&rest)
                    .map(|case| case.name.len() + case.message.as_deref().map_or(0, str::len))
                    .sum();
                prop_assert!(total <= 4 * MAX_CASE_BYTES);
            }
        }
    }
}
