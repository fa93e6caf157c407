use super::*;
use crate::testing::tests::{parse, summary};

const SETTLED: [&str; 7] = [
    "passed test_sample.py::test_adds",
    "passed test_sample.py::test_takes[plain]",
    "passed test_sample.py::test_takes[a::b]",
    "skipped test_sample.py::test_skipped: needs a network",
    "skipped test_sample.py::test_expected_failure: known",
    "passed test_sample.py::test_unexpected_success",
    "passed test_sample.py::test_teardown_error",
];

const NOT_PASSED: [&str; 5] = [
    "test_sample.py::test_fails",
    "test_sample.py::test_takes[with space]",
    "test_sample.py::TestGroup::test_fails",
    "test_sample.py::test_setup_error",
    "test_sample.py::test_teardown_error",
];

fn message<'a>(cases: &'a [CaseResult], name: &str) -> &'a str {
    let case = cases
        .iter()
        .find(|case| case.name == name && case.status == CaseStatus::Failed);
    case.unwrap().message.as_deref().unwrap()
}

fn failed(cases: &[CaseResult]) -> Vec<&str> {
    let failed = cases
        .iter()
        .filter(|case| case.status == CaseStatus::Failed);
    failed.map(|case| case.name.as_str()).collect()
}

#[test]
fn a_verbose_run_is_read_with_the_whole_output_of_failures() {
    let cases = parse(&mut Pytest::default(), include_str!("../data/pytest.txt"));
    assert_eq!(summary(&cases)[..7], SETTLED);
    assert_eq!(failed(&cases), NOT_PASSED);
    for (name, part) in [
        (
            NOT_PASSED[0],
            "----- Captured stdout call -----------------------------\non stdout",
        ),
        (
            NOT_PASSED[1],
            "E       AssertionError: assert 'with space' != 'with space'",
        ),
        (NOT_PASSED[2], "E       ValueError: FAILED in a class"),
        (NOT_PASSED[3], "E       RuntimeError: no fixture"),
        (NOT_PASSED[4], "E       RuntimeError: teardown"),
    ] {
        assert!(
            message(&cases, name).contains(part),
            "{name}: {}",
            message(&cases, name)
        );
    }
}

#[test]
fn a_run_of_several_workers_in_colour_is_read() {
    let cases = parse(
        &mut Pytest::default(),
        include_str!("../data/pytest-xdist-color.txt"),
    );
    assert_eq!(cases.len(), 12);
    let mut names = failed(&cases);
    names.sort_unstable();
    let mut expected = NOT_PASSED;
    expected.sort_unstable();
    assert_eq!(names, expected);
    let output = message(&cases, NOT_PASSED[0]);
    assert!(
        output.contains("E       AssertionError: lists differ\n"),
        "{output}"
    );
}

#[test]
fn output_between_a_name_and_its_outcome_is_passed_over() {
    let cases = parse(
        &mut Pytest::default(),
        include_str!("../data/pytest-no-capture.txt"),
    );
    assert_eq!(summary(&cases)[..7], SETTLED);
    assert_eq!(failed(&cases), NOT_PASSED);
}

#[test]
fn without_verbosity_the_failures_are_known() {
    let cases = parse(
        &mut Pytest::default(),
        include_str!("../data/pytest-quiet.txt"),
    );
    assert_eq!(failed(&cases), NOT_PASSED);
    assert_eq!(cases.len(), 5);
    assert!(message(&cases, NOT_PASSED[2]).contains("E       ValueError: FAILED in a class"));
    assert!(message(&cases, NOT_PASSED[4]).contains("E       RuntimeError: teardown"));
}

#[test]
fn a_file_that_cannot_be_collected_has_failed() {
    let cases = parse(
        &mut Pytest::default(),
        include_str!("../data/pytest-collect-error.txt"),
    );
    assert_eq!(failed(&cases), ["test_broken.py"]);
    let output = message(&cases, "test_broken.py");
    assert!(
        output.contains("No module named 'does_not_exist'"),
        "{output}"
    );
}

#[test]
fn a_plain_summary_is_enough() {
    let text = "=== short test summary info ===\nFAILED a.py::b - assert 1 == 2\nERROR c.py::d\n=== 1 failed ===";
    let cases = parse(&mut Pytest::default(), text);
    assert_eq!(
        summary(&cases),
        ["failed a.py::b: assert 1 == 2", "failed c.py::d"]
    );
}

#[test]
fn a_name_may_hold_spaces_and_brackets() {
    for (line, name) in [
        ("a.py::b[x y] PASSED  [ 50%]", "a.py::b[x y]"),
        ("a.py::b[[1] FAILED] PASSED [100%]", "a.py::b[[1] FAILED]"),
        ("a/b.py::C::d SKIPPED (not [yet] (done))", "a/b.py::C::d"),
    ] {
        assert_eq!(Pytest::default().case_line(line)[0].name, name);
    }
}

#[test]
fn output_without_a_line_end_does_not_swallow_the_cases_after_it() {
    let text = "a.py::a no line endPASSED
a.py::b 
two
linesFAILED
a.py::c PASSED
a.py::d lastPASSED

=== FAILURES ===
___ b ___
why
=== 1 failed, 3 passed ===";
    let cases = parse(&mut Pytest::default(), text);
    let expected = [
        "passed a.py::a",
        "passed a.py::c",
        "passed a.py::d",
        "failed a.py::b: why",
    ];
    assert_eq!(summary(&cases), expected);
}

#[test]
fn sessions_may_follow_each_other() {
    let session = "=== test session starts ===\na.py::a FAILED\n";
    let cases = parse(&mut Pytest::default(), &session.repeat(2));
    assert_eq!(failed(&cases), ["a.py::a", "a.py::a"]);
}
