//! A test run, folded from its events.

use limelight_protocol::{
    Event, EventBody,
    testing::{CaseResult, CaseStatus, TestRun},
};

/// What an event of the run's stream does to it. One it has had already does nothing.
pub fn apply(run: &mut TestRun, event: &Event) {
    if event.seq <= run.seq {
        return;
    }
    match event.body() {
        Ok(EventBody::TestCase(case)) => {
            run.counts.add(case.status);
            run.cases.push(case);
        }
        Ok(EventBody::TestFinished(finished)) => {
            run.status = finished.status;
            run.counts = finished.counts;
            run.completed_at = Some(event.timestamp);
            run.duration_s = Some(finished.duration_s);
            run.error = finished.error;
        }
        // Nothing else changes what is shown; an event of an unknown shape least of all.
        _ => {}
    }
    run.seq = event.seq;
}

/// Places of the cases in the order they are read: failures, then the newest first, and only those
/// whose name holds `filter`.
pub fn reading_order(cases: &[CaseResult], filter: &str) -> Vec<usize> {
    let filter = filter.to_lowercase();
    let mut order: Vec<usize> = (0..cases.len())
        .rev()
        .filter(|&index| cases[index].name.to_lowercase().contains(&filter))
        .collect();
    order.sort_by_key(|&index| cases[index].status != CaseStatus::Failed);
    order
}

#[cfg(test)]
mod tests {
    use limelight_protocol::testing::TestRunStatus;

    use super::*;
    use crate::state::executions::tests::event;

    const ID: &str = "0199c0a0-0000-7000-8000-000000000001";

    fn run() -> TestRun {
        serde_json::from_str(&format!(
            r#"{{"id":"{ID}","suite":"unit","status":"running",
            "counts":{{"passed":0,"failed":0,"skipped":0}},"started_at":"2026-11-21T10:00:00.000Z",
            "completed_at":null,"duration_s":null,"error":null,"started_by":"admin","seq":1}}"#
        ))
        .unwrap()
    }

    #[test]
    fn cases_are_counted_once_and_the_end_has_the_last_word() {
        let mut run = run();
        let case = event(
            1,
            2,
            "test:case",
            None,
            r#"{"name":"a::b","status":"failed"}"#,
        );
        apply(&mut run, &case);
        apply(&mut run, &case);
        assert_eq!((run.counts.failed, run.cases.len()), (1, 1));
        let data = format!(
            r#"{{"test_run_id":"{ID}","status":"failed","duration_s":1.5,
            "counts":{{"passed":3,"failed":1,"skipped":0}}}}"#
        );
        apply(&mut run, &event(1, 3, "test:finished", None, &data));
        assert_eq!((run.status, run.counts.total()), (TestRunStatus::Failed, 4));
    }

    #[test]
    fn failures_are_read_first() {
        let case = |name: &str, status| CaseResult {
            name: name.into(),
            status,
            duration_s: None,
            message: None,
        };
        let cases = [
            case("one", CaseStatus::Failed),
            case("two", CaseStatus::Passed),
            case("Three", CaseStatus::Passed),
        ];
        assert_eq!(reading_order(&cases, ""), [0, 2, 1]);
        assert_eq!(reading_order(&cases, "three"), [2]);
    }
}
