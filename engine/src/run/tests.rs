//! Scenarios, told with a small vocabulary.

use std::collections::BTreeMap;

use limelight_protocol::{
    event::{Retrying, Waiting},
    execution::NodeError,
};
use serde_json::json;

use super::*;

const NOON: Timestamp = Timestamp(1_795_255_200_000);

struct Story {
    run: Run,
    now: Timestamp,
    last: Decision,
}

impl Story {
    fn of(nodes: &str) -> Self {
        Self::with_params(nodes, &json!({}))
    }

    fn with_params(nodes: &str, params: &Value) -> Self {
        let text = format!("name: w\nparams: {{p: {{}}}}\nnodes:\n{nodes}");
        let definition = Definition::parse(&text).unwrap();
        let params = definition
            .resolve_params(params.as_object().unwrap())
            .unwrap();
        let mut story = Self {
            run: Run::new(Arc::new(definition)).with_id(ExecutionId(Default::default())),
            now: NOON,
            last: Decision::default(),
        };
        story.tell(Command::Start(WorkflowStarted {
            workflow_name: "w".to_owned(),
            workflow_version: 7,
            params,
            name: None,
            labels: BTreeMap::new(),
            by: "ann".to_owned(),
            total_nodes: 0,
        }));
        story
    }

    fn place(&self, name: &str) -> usize {
        self.run.definition.index_of(&id(name)).unwrap()
    }

    fn attempt(&self, name: &str) -> (usize, u32) {
        let node = self.place(name);
        (
            node,
            self.run.active_attempt(node).expect("no attempt is active"),
        )
    }

    fn tell(&mut self, command: Command) -> &mut Self {
        self.last = self.run.handle(command, self.now, 1.0).unwrap();
        assert_eq!(invariant::broken(&self.run), Vec::<&str>::new());
        self
    }

    fn refused(&mut self, command: Command) -> &'static str {
        self.run.handle(command, self.now, 1.0).unwrap_err().code
    }

    fn after(&mut self, seconds: f64) -> &mut Self {
        self.now = self.now.plus_s(seconds);
        self
    }

    fn grant(&mut self, name: &str) -> &mut Self {
        let (node, attempt) = self.attempt(name);
        self.tell(Command::SlotGranted { node, attempt })
    }

    fn complete(&mut self, name: &str, outputs: &Value) -> &mut Self {
        let (node, attempt) = self.attempt(name);
        self.tell(Command::Completed {
            node,
            attempt,
            outputs: outputs.as_object().unwrap().clone(),
            artifacts: Vec::new(),
            quality: None,
        })
    }

    fn fail(&mut self, name: &str) -> &mut Self {
        let (node, attempt) = self.attempt(name);
        self.tell(Command::Failed {
            node,
            attempt,
            error: error("exit_code"),
            retryable: true,
        })
    }

    fn fire(&mut self, name: &str, purpose: TimerPurpose) -> &mut Self {
        let node = self.place(name);
        let timers = self.run.pending_timers();
        let timer = timers
            .iter()
            .find(|t| t.node == node && t.purpose == purpose);
        let timer = *timer.expect("no such timer stands");
        self.now = self.now.max(timer.at);
        self.tell(Command::TimerFired(timer))
    }

    fn pause(&mut self) -> &mut Self {
        self.tell(Command::Pause {
            by: "ann".to_owned(),
        })
    }

    fn resume(&mut self) -> &mut Self {
        self.tell(Command::Resume {
            by: "ann".to_owned(),
        })
    }

    fn cancel(&mut self) -> &mut Self {
        self.tell(Command::Cancel {
            by: "ann".to_owned(),
        })
    }

    fn retry(&mut self, name: &str) -> &mut Self {
        self.tell(Command::RetryNode {
            node: id(name),
            by: "ann".to_owned(),
        })
    }

    fn approve(&mut self, name: &str) -> &mut Self {
        let comment = Some("fine".to_owned());
        self.tell(Command::Approve {
            node: id(name),
            by: "bob".to_owned(),
            comment,
        })
    }

    /// What the last command made happen, as `node type`.
    fn happened(&self) -> Vec<String> {
        let line = |event: &NewEvent| match event.node {
            Some(node) => format!(
                "{} {}",
                self.run.nodes[node].node_id,
                event.body.kind().as_str()
            ),
            None => event.body.kind().as_str().to_owned(),
        };
        self.last.events.iter().map(line).collect()
    }

    fn status(&self, name: &str) -> NodeStatus {
        self.run.node_state(self.place(name)).status
    }

    fn error(&self, name: &str) -> &str {
        let state = self.run.node_state(self.place(name));
        &state.error.as_ref().expect("it has no error").code
    }

    fn performed(&self) -> &Rendered {
        let mut actions = self.last.actions.iter();
        let work = actions.find_map(|action| match action {
            Action::Perform { work, .. } => Some(work),
            _ => None,
        });
        work.expect("nothing is performed")
    }

    fn timers(&self) -> Vec<(TimerPurpose, f64)> {
        let timer = |action: &Action| match action {
            Action::SetTimer(timer) => Some((timer.purpose, timer.at.since_s(self.now))),
            _ => None,
        };
        self.last.actions.iter().filter_map(timer).collect()
    }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn error(code: &str) -> NodeError {
    NodeError {
        code: code.to_owned(),
        message: "it broke".to_owned(),
    }
}

#[test]
fn a_chain_goes_from_slot_to_start_to_end() {
    let mut story = Story::of("  a: {kind: command, run: ls}\n  b: {kind: noop, needs: [a]}\n");
    assert_eq!(story.happened(), ["workflow:started", "a node:queued"]);
    assert_eq!(
        story.last.actions,
        [Action::AcquireSlot {
            node: 0,
            attempt: 1
        }]
    );
    story.grant("a");
    assert_eq!(story.happened(), ["a node:started"]);
    story.after(1.5).complete("a", &json!({}));
    assert_eq!(story.happened(), ["a node:completed", "b node:started"]);
    assert_eq!(story.run.node_state(0).duration_s, Some(1.5));
    assert_eq!(story.performed(), &Rendered::Noop);
    story.complete("b", &json!({}));
    assert_eq!(story.happened(), ["b node:completed", "workflow:completed"]);
}

#[test]
fn templates_are_filled_in_from_parameters_outputs_and_the_execution() {
    let mut story = Story::with_params(
        "  a: {kind: noop}
  b: {kind: command, needs: [a], run: 'deploy {{ nodes.a.outputs.tag }}', env: {V: '{{ params.p }} v{{ execution.version }}'}}
  c: {kind: http, needs: [a], request: {url: 'https://example.org/{{ nodes[\"a\"].outputs.tag }}', body: {by: ['{{ execution.started_by }}']}}}
",
        &json!({"p": "it's"}),
    );
    story
        .complete("a", &json!({"tag": "x; rm -rf /"}))
        .grant("b");
    let Rendered::Command(command) = story.performed() else {
        panic!("no command");
    };
    let script = crate::definition::Program::Shell("deploy \"${LIMELIGHT_V0}\"".to_owned());
    assert_eq!(command.program, script);
    assert_eq!(command.env["LIMELIGHT_V0"], "x; rm -rf /");
    assert_eq!(command.env["V"], "it's v7");
    story.grant("c");
    let Rendered::Http(http) = story.performed() else {
        panic!("no request");
    };
    assert_eq!(http.url, "https://example.org/x; rm -rf /");
    assert_eq!(
        http.body,
        Some(crate::definition::Body::Json(json!({"by": ["ann"]})))
    );
}

#[test]
fn a_template_that_cannot_be_filled_in_fails_its_node_without_a_retry() {
    let mut story = Story::of(
        "  a: {kind: noop}
  b: {kind: command, needs: [a], run: 'echo {{ nodes.a.outputs.tag }}', retry: {max_attempts: 5}}
",
    );
    story.complete("a", &json!({})).grant("b");
    assert_eq!(
        story.happened(),
        ["b node:started", "b node:failed", "workflow:failed"]
    );
    assert_eq!(story.error("b"), "template");
    assert_eq!(story.last.actions, []);
}

#[test]
fn a_condition_skips_and_what_depends_on_it_goes_on() {
    let mut story = Story::with_params(
        "  a: {kind: noop, when: \"params.p == 'x'\"}\n  b: {kind: noop, needs: [a], when: \"nodes.a.status == 'skipped'\"}\n",
        &json!({"p": "y"}),
    );
    assert_eq!(
        story.happened(),
        ["workflow:started", "a node:skipped", "b node:started"]
    );
    story.complete("b", &json!({}));
    assert_eq!(story.run.status(), ExecutionStatus::Completed);
}

#[test]
fn a_condition_that_cannot_be_evaluated_fails_its_node() {
    let mut story =
        Story::of("  a: {kind: noop}\n  b: {kind: noop, needs: [a], when: nodes.a.outputs.x}\n");
    story.complete("a", &json!({}));
    assert_eq!(
        story.happened(),
        ["a node:completed", "b node:failed", "workflow:failed"]
    );
    assert_eq!(story.error("b"), "condition");
}

const FORK: &str = "  a: {kind: command, run: ls}
  b: {kind: noop, needs: [a]}
  c: {kind: noop, needs: [b]}
  d: {kind: command, run: ls}
  e: {kind: noop, needs: [d]}
";

#[test]
fn a_failure_skips_what_depends_on_it_and_lets_the_rest_go_on() {
    let mut story = Story::of(FORK);
    story.grant("a").fail("a");
    assert_eq!(
        story.happened(),
        ["a node:failed", "b node:skipped", "c node:skipped"]
    );
    story
        .grant("d")
        .complete("d", &json!({}))
        .complete("e", &json!({}));
    let EventBody::WorkflowFailed(ended) = &story.last.events[1].body else {
        panic!("it did not fail: {:?}", story.last);
    };
    assert_eq!(ended.failed_nodes, [id("a")]);
}

#[test]
fn a_failure_that_may_be_lets_everything_go_on() {
    let nodes =
        "  a: {kind: command, run: ls, on_failure: continue}\n  b: {kind: noop, needs: [a]}\n";
    let mut story = Story::of(nodes);
    story.grant("a").fail("a");
    assert_eq!(story.happened(), ["a node:failed", "b node:started"]);
    story.complete("b", &json!({}));
    assert_eq!(story.run.status(), ExecutionStatus::Completed);
}

#[test]
fn retries_pause_longer_each_time_and_end_with_the_budget() {
    let nodes =
        "  a: {kind: command, run: ls, retry: {max_attempts: 3, backoff_s: 2, factor: 3}}\n";
    let mut story = Story::of(nodes);
    story.grant("a").fail("a");
    assert_eq!(story.timers(), [(TimerPurpose::Retry, 2.0)]);
    story.fire("a", TimerPurpose::Retry).grant("a").fail("a");
    assert_eq!(story.timers(), [(TimerPurpose::Retry, 6.0)]);
    story.fire("a", TimerPurpose::Retry).grant("a").fail("a");
    assert_eq!(story.happened(), ["a node:failed", "workflow:failed"]);
    assert_eq!(story.run.node_state(0).attempt_count, 3);
}

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_retried() {
    let nodes =
        "  a: {kind: command, run: ls, timeout_s: 5, retry: {max_attempts: 2, backoff_s: 0}}\n";
    let mut story = Story::of(nodes);
    story.grant("a");
    assert_eq!(story.timers(), [(TimerPurpose::Timeout, 5.0)]);
    story.fire("a", TimerPurpose::Timeout);
    assert_eq!(story.happened(), ["a node:retrying", "a node:queued"]);
    assert!(story.last.actions.contains(&Action::Stop {
        node: 0,
        attempt: 1
    }));
    let late = Command::Failed {
        node: 0,
        attempt: 1,
        error: error("killed"),
        retryable: true,
    };
    assert_eq!(story.refused(late), "stale_attempt");
    story.grant("a").fire("a", TimerPurpose::Timeout);
    assert_eq!(story.error("a"), "timeout");
}

#[test]
fn a_sleep_wakes_and_an_approval_asks() {
    let mut story = Story::with_params(
        "  a: {kind: sleep, duration_s: 60}\n  b: {kind: approval, needs: [a], message: 'Ship {{ params.p }}?', timeout_s: 100}\n",
        &json!({"p": "it"}),
    );
    assert_eq!(story.timers(), [(TimerPurpose::Wake, 60.0)]);
    story.fire("a", TimerPurpose::Wake);
    let EventBody::NodeWaiting(Waiting { message, until, .. }) = &story.last.events[2].body else {
        panic!("it does not ask");
    };
    assert_eq!(message.as_deref(), Some("Ship it?"));
    assert_eq!(*until, Some(story.now.plus_s(100.0)));
    let early = Command::Approve {
        node: id("a"),
        by: "bob".to_owned(),
        comment: None,
    };
    assert_eq!(story.refused(early), "node_not_waiting");
    story.approve("b");
    assert_eq!(story.happened(), ["b node:completed", "workflow:completed"]);
    let outputs = &story.run.node_state(1).outputs;
    assert_eq!(
        Value::Object(outputs.clone()),
        json!({"approved_by": "bob", "comment": "fine"})
    );
}

#[test]
fn a_rejection_fails_at_once_and_so_does_a_deadline() {
    let nodes =
        "  a: {kind: approval, retry: {max_attempts: 3}}\n  b: {kind: approval, timeout_s: 9}\n";
    let mut story = Story::of(nodes);
    story.tell(Command::Reject {
        node: id("a"),
        by: "bob".to_owned(),
        comment: None,
    });
    assert_eq!(story.error("a"), "rejected");
    story.fire("b", TimerPurpose::Timeout);
    assert_eq!(story.error("b"), "timeout");
    assert_eq!(story.run.status(), ExecutionStatus::Failed);
}

#[test]
fn a_pause_holds_back_what_is_ready_queued_or_due_until_it_is_resumed() {
    let mut story = Story::of(
        "  a: {kind: command, run: ls}
  b: {kind: noop, needs: [a]}
  c: {kind: command, run: ls}
  d: {kind: command, run: ls, retry: {max_attempts: 2, backoff_s: 1}}
",
    );
    story.grant("a").grant("d").fail("d").pause();
    assert_eq!(
        story.last.actions,
        [Action::Stop {
            node: 2,
            attempt: 1
        }]
    );
    assert_eq!(
        story.refused(Command::SlotGranted {
            node: 2,
            attempt: 1
        }),
        "paused"
    );
    story.complete("a", &json!({}));
    assert_eq!(story.happened(), ["a node:completed"]);
    story.fire("d", TimerPurpose::Retry);
    assert_eq!(story.last, Decision::default());
    assert_eq!(
        story.refused(Command::Pause { by: String::new() }),
        "already_paused"
    );
    story.resume();
    assert_eq!(
        story.happened(),
        ["workflow:resumed", "d node:queued", "b node:started"]
    );
    assert!(story.last.actions.contains(&Action::AcquireSlot {
        node: 2,
        attempt: 1
    }));
    assert_eq!(
        story.refused(Command::Resume { by: String::new() }),
        "not_paused"
    );
}

#[test]
fn an_execution_whose_nodes_all_end_during_a_pause_ends() {
    let mut story = Story::of("  a: {kind: noop}\n");
    story.pause().complete("a", &json!({}));
    assert_eq!(story.run.status(), ExecutionStatus::Completed);
    assert_eq!(
        story.refused(Command::Resume { by: String::new() }),
        "already_ended"
    );
}

#[test]
fn cancelling_stops_what_runs_and_nothing_starts_ever_after() {
    let mut story = Story::of(FORK);
    story.grant("a").cancel();
    let cancelled = ["a", "b", "c", "d", "e"].map(|name| format!("{name} node:cancelled"));
    assert_eq!(story.happened()[..5], cancelled);
    assert_eq!(story.happened()[5], "workflow:cancelled");
    let stops = [0, 3].map(|node| Action::Stop { node, attempt: 1 });
    assert_eq!(story.last.actions, stops);
    assert_eq!(
        story.refused(Command::SlotGranted {
            node: 3,
            attempt: 1
        }),
        "stale_attempt"
    );
    let retry = Command::RetryNode {
        node: id("a"),
        by: String::new(),
    };
    assert_eq!(story.refused(retry), "already_ended");
    assert_eq!(
        story.refused(Command::Cancel { by: String::new() }),
        "already_ended"
    );
    assert_eq!(story.tell(Command::Recover).last, Decision::default());
}

#[test]
fn a_failed_node_is_retried_with_all_that_depends_on_it() {
    let mut story = Story::of(FORK);
    story
        .grant("a")
        .fail("a")
        .grant("d")
        .complete("d", &json!({}))
        .complete("e", &json!({}));
    assert_eq!(story.run.status(), ExecutionStatus::Failed);
    story.retry("a");
    assert_eq!(
        story.happened(),
        ["workflow:resumed", "a node:retrying", "a node:queued"]
    );
    let EventBody::NodeRetrying(Retrying { reset, .. }) = &story.last.events[1].body else {
        panic!("no retry");
    };
    assert_eq!(reset, &[id("b"), id("c")]);
    story.grant("a").complete("a", &json!({}));
    assert_eq!(story.run.node_state(0).attempt_count, 2);
    story.complete("b", &json!({})).complete("c", &json!({}));
    assert_eq!(story.run.status(), ExecutionStatus::Completed);
    assert_eq!(story.status("e"), NodeStatus::Completed);
}

#[test]
fn a_retry_gives_the_node_and_its_dependents_a_fresh_budget() {
    let mut story = Story::of(
        "  a: {kind: command, run: ls, on_failure: continue, retry: {max_attempts: 2, backoff_s: 0}}
  b: {kind: command, run: ls, needs: [a], retry: {max_attempts: 2, backoff_s: 0}}
",
    );
    for name in ["a", "b"] {
        story.grant(name).fail(name).grant(name).fail(name);
        assert_eq!(story.status(name), NodeStatus::Failed);
    }
    story.retry("a").grant("a").fail("a");
    assert_eq!(story.happened(), ["a node:retrying", "a node:queued"]);
    story
        .grant("a")
        .complete("a", &json!({}))
        .grant("b")
        .fail("b");
    assert_eq!(story.happened(), ["b node:retrying", "b node:queued"]);
    assert_eq!(story.run.node_state(1).attempt_count, 3);
}

#[test]
fn a_retry_during_a_pause_waits_for_its_end() {
    let mut story = Story::of("  a: {kind: noop}\n  b: {kind: approval}\n");
    story.fail("a").pause().retry("a");
    assert_eq!(story.happened(), ["a node:retrying"]);
    story.resume();
    assert_eq!(story.happened(), ["workflow:resumed", "a node:started"]);
}

#[test]
fn numbers_that_json_cannot_hold_never_reach_an_event() {
    let mut story = Story::of("  a: {kind: command, run: ls}\n");
    story.grant("a");
    let progress = |progress| Command::Progress {
        node: 0,
        attempt: 1,
        progress,
        message: None,
    };
    assert_eq!(story.refused(progress(f64::NAN)), "bad_progress");
    story.tell(progress(f64::INFINITY));
    assert_eq!(story.run.node_state(0).progress, Some(100.0));
    story.tell(Command::Completed {
        node: 0,
        attempt: 1,
        outputs: Map::new(),
        artifacts: Vec::new(),
        quality: Some(f64::NAN),
    });
    assert_eq!(story.run.node_state(0).quality, None);
}

#[test]
fn what_is_out_of_range_is_refused() {
    let mut story = Story::of("  a: {kind: command, run: ls}\n");
    let slot = Command::SlotGranted {
        node: 9,
        attempt: 1,
    };
    assert_eq!(story.refused(slot), "unknown_node");
    let purpose = TimerPurpose::Wake;
    let timer = Timer {
        node: 9,
        attempt: 1,
        purpose,
        at: NOON,
    };
    assert_eq!(story.refused(Command::TimerFired(timer)), "unknown_node");
    let nobody = Command::RetryNode {
        node: id("z"),
        by: String::new(),
    };
    assert_eq!(story.refused(nobody), "unknown_node");
}

#[test]
fn a_retry_waits_for_busy_dependents_and_leaves_alone_what_another_failure_holds() {
    let mut story = Story::of(
        "  a: {kind: noop, on_failure: continue}
  b: {kind: command, run: ls, needs: [a]}
  x: {kind: noop}
  y: {kind: noop, needs: [a, x]}
",
    );
    story.fail("a").fail("x");
    let retry = Command::RetryNode {
        node: id("a"),
        by: String::new(),
    };
    assert_eq!(story.refused(retry), "dependents_active");
    let other = Command::RetryNode {
        node: id("b"),
        by: String::new(),
    };
    assert_eq!(story.refused(other), "node_not_failed");
    story.grant("b").fail("b").retry("a");
    let EventBody::NodeRetrying(Retrying { reset, .. }) = &story.last.events[1].body else {
        panic!("no retry");
    };
    assert_eq!(reset, &[id("b")]);
    assert_eq!(story.status("y"), NodeStatus::Skipped);
}

#[test]
fn after_a_restart_running_attempts_are_tried_again_unless_that_is_forbidden() {
    let mut story = Story::of(
        "  a: {kind: command, run: ls}
  b: {kind: command, run: ls, retry: never}
  c: {kind: command, run: ls}
  d: {kind: sleep, duration_s: 60}
  e: {kind: noop, needs: [b]}
",
    );
    story
        .grant("a")
        .grant("b")
        .after(10.0)
        .tell(Command::Recover);
    let happened = [
        "a node:retrying",
        "a node:queued",
        "b node:failed",
        "e node:skipped",
    ];
    assert_eq!(story.happened(), happened);
    assert_eq!(story.error("b"), "interrupted");
    assert_eq!(story.timers(), [(TimerPurpose::Wake, 50.0)]);
    let slots = [(2, 1), (0, 2)].map(|(node, attempt)| Action::AcquireSlot { node, attempt });
    let asked: Vec<_> = story
        .last
        .actions
        .iter()
        .filter(|a| slots.contains(a))
        .collect();
    assert_eq!(asked, slots.iter().collect::<Vec<_>>());
    // An interruption costs nothing, but a failure does: one attempt is the default.
    story.grant("a").fail("a");
    assert_eq!(story.error("a"), "exit_code");
}

#[test]
fn a_node_that_every_restart_interrupts_pauses_and_is_given_up_in_the_end() {
    let mut story = Story::of("  a: {kind: command, run: ls}\n");
    let mut pauses = Vec::new();
    for _ in 1..10 {
        story.grant("a").tell(Command::Recover);
        let due = story.run.node_state(0).due_at;
        pauses.push(due.map_or(0.0, |at| at.since_s(story.now)));
        if story.run.node_state(0).status == NodeStatus::Pending {
            story.fire("a", TimerPurpose::Retry);
        }
    }
    assert_eq!(pauses, [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]);
    story.grant("a").tell(Command::Recover);
    assert_eq!(story.error("a"), "interrupted");
    assert_eq!(story.run.status(), ExecutionStatus::Failed);
    // Somebody who asks for it gets all attempts anew.
    story.retry("a").grant("a").tell(Command::Recover);
    assert_eq!(story.run.node_state(0).status, NodeStatus::Queued);
}

#[test]
fn an_attempt_that_fails_by_itself_ends_the_row_of_interruptions() {
    let mut story =
        Story::of("  a: {kind: command, run: ls, retry: {max_attempts: 9, backoff_s: 0}}\n");
    for _ in 0..7 {
        story.grant("a").tell(Command::Recover);
        story.grant("a").tell(Command::Recover);
        assert_eq!(story.run.node_state(0).status, NodeStatus::Queued);
        story.grant("a").fail("a");
    }
}

#[test]
fn events_of_another_story_are_not_replayed() {
    let definition = Arc::new(Definition::parse("name: w\nnodes: {a: {kind: noop}}").unwrap());
    let begun = EventBody::NodeStarted(limelight_protocol::event::Attempted { attempt: 1 });
    let mut run = Run::new(definition);
    let before = run.clone();
    let stranger = id("z");
    assert_eq!(
        run.evolve(Some(&stranger), &begun, NOON),
        Err(ReplayError::UnknownNode(stranger))
    );
    assert!(run.evolve(None, &begun, NOON).is_err());
    assert!(run.evolve(Some(&id("a")), &begun, NOON).is_err());
    assert_eq!(run, before);
}
