//! Moments of an attempt's life that are hard to meet from outside.

use std::{collections::BTreeMap, time::Duration};

use limelight_engine::Definition;
use limelight_protocol::{ExecutionId, ExecutionStatus, Timestamp, WorkflowId};
use parking_lot::Mutex;
use serde_json::Map;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::executor::{at_work::AtWork, slots::Slots};

struct Desk {
    machine: Machine,
    resources: Resources,
    grants: Arc<Mutex<Vec<Grant>>>,
    uptime_s: u64,
}

const BY: fn() -> String = || "somebody".to_owned();

impl Desk {
    fn of(nodes: &str) -> Self {
        let definition = Definition::parse(&format!("name: w\nnodes:\n{nodes}")).unwrap();
        let id = ExecutionId(Uuid::now_v7());
        let started = WorkflowStarted {
            workflow_name: "w".to_owned(),
            workflow_version: 1,
            params: Map::new(),
            name: None,
            labels: BTreeMap::new(),
            by: BY(),
            total_nodes: 1,
        };
        let execution = Execution {
            id,
            execution_id: id,
            workflow_id: WorkflowId(Uuid::now_v7()),
            workflow_name: "w".to_owned(),
            workflow_version: 1,
            name: None,
            labels: BTreeMap::new(),
            status: ExecutionStatus::Pending,
            params: Map::new(),
            completed_nodes: 0,
            total_nodes: 1,
            current_phase: None,
            started_at: None,
            completed_at: None,
            duration_s: None,
            started_by: BY(),
            seq: 0,
            node_states: Vec::new(),
        };
        let resources = Resources {
            slots: Slots::new(1),
            at_work: AtWork::default(),
        };
        let grants: Arc<Mutex<Vec<Grant>>> = Arc::default();
        let mail = Arc::clone(&grants);
        let machine = Machine::begin(
            Beginning {
                execution: Box::new(execution),
                definition: Arc::new(definition),
                started,
                row: NewRow {
                    owner: "me".into(),
                    idempotency_key: None,
                },
            },
            resources.clone(),
            Arc::new(move |grant| mail.lock().push(grant)),
            oneshot::channel().0,
            moment(1),
            0.5,
        );
        Self {
            machine,
            resources,
            grants,
            uptime_s: 1,
        }
    }

    fn now(&self) -> Moment {
        moment(self.uptime_s)
    }

    /// Lets the timeout pass.
    fn time_out(&mut self) -> Moment {
        self.uptime_s += 5;
        let now = self.now();
        self.machine.wake(now, 0.5);
        now
    }

    fn command(&mut self, command: Command) -> &mut Self {
        let now = self.now();
        self.machine.command(command, None, now, 0.5);
        self
    }

    fn grant(&mut self) -> &mut Self {
        let grants = std::mem::take(&mut *self.grants.lock());
        let now = self.now();
        for grant in grants {
            self.machine.granted(grant, now, 0.5);
        }
        self
    }

    /// Commits until nothing is left to commit; gives the work that begins.
    fn commit(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            let mut committing = false;
            for effect in self.machine.take_effects() {
                match effect {
                    Effect::Commit(_) => committing = true,
                    Effect::Perform(job) => jobs.push(*job),
                }
            }
            if !committing {
                return jobs;
            }
            let now = self.now();
            self.machine.committed(now, 0.5);
        }
    }
}

fn moment(uptime_s: u64) -> Moment {
    Moment {
        at: Timestamp(1_795_255_200_000 + 1000 * uptime_s.cast_signed()),
        uptime: Duration::from_secs(uptime_s),
    }
}

const COMMAND: &str =
    "  a: {kind: command, run: ls, timeout_s: 5, retry: {max_attempts: 3, backoff_s: 0}}\n";

#[test]
fn what_was_cancelled_before_its_begin_was_committed_never_begins() {
    let mut desk = Desk::of(COMMAND);
    desk.grant().command(Command::Cancel { by: BY() });
    assert!(desk.commit().is_empty(), "a cancelled attempt began");
    assert_eq!(desk.resources.slots.taken(), 0);
    assert!(desk.machine.is_over());
}

#[test]
fn an_attempt_that_timed_out_before_it_began_leaves_its_slot_to_the_next() {
    let mut desk = Desk::of(COMMAND);
    desk.grant();
    desk.time_out();
    let jobs = desk.grant().commit();
    let attempts: Vec<_> = jobs.iter().map(|job| job.attempt).collect();
    assert_eq!(attempts, [2]);
}

#[test]
fn a_pause_and_a_resume_before_a_commit_leave_one_request_for_a_slot() {
    let mut desk = Desk::of(COMMAND);
    desk.command(Command::Pause { by: BY() })
        .command(Command::Resume { by: BY() })
        .grant();
    let jobs = desk.commit();
    assert_eq!(jobs.len(), 1);
    assert_eq!(
        (desk.resources.slots.taken(), desk.resources.slots.waiting()),
        (1, 0)
    );
}

#[test]
fn the_next_attempt_asks_for_a_slot_when_the_one_before_has_ended() {
    let mut desk = Desk::of(COMMAND);
    let first = desk.grant().commit().remove(0);
    let now = desk.time_out();
    assert!(desk.grant().commit().is_empty());
    assert_eq!(desk.resources.slots.taken(), 1, "its slot was given away");
    drop(first);
    let gone = Err(Failure::passing("cancelled", "told to end"));
    desk.machine.ended(0, 1, gone, now, 0.5);
    let next = desk.grant().commit().remove(0);
    assert_eq!(next.attempt, 2);
}

#[test]
fn who_gives_way_knows_nothing_of_what_was_sent_and_is_sure_of_what_was_not() {
    let mut desk = Desk::of(COMMAND);
    desk.commit();
    let now = desk.now();
    let (first, mut sent) = oneshot::channel();
    let (second, mut unsent) = oneshot::channel();
    let pause = Command::Pause { by: BY() };
    desk.machine.command(pause, Some(first), now, 0.5);
    let resume = Command::Resume { by: BY() };
    desk.machine.command(resume, Some(second), now, 0.5);
    desk.machine.give_way();
    assert!(matches!(sent.try_recv(), Ok(Err(ControlError::Unknown))));
    let told = unsent.try_recv();
    assert!(matches!(told, Ok(Err(ControlError::Unavailable))));
}

#[test]
fn a_refusal_waits_for_the_commit_of_what_it_was_decided_on() {
    let mut desk = Desk::of(COMMAND);
    desk.commit();
    desk.command(Command::Pause { by: BY() });
    let (answer, mut told) = oneshot::channel();
    let now = desk.now();
    let pause = Command::Pause { by: BY() };
    desk.machine.command(pause, Some(answer), now, 0.5);
    assert!(told.try_recv().is_err(), "the first pause is not committed");
    desk.commit();
    let told = told.try_recv();
    assert!(matches!(told, Ok(Err(ControlError::Rejected(_)))));
}

#[test]
fn what_ended_while_the_process_stood_still_is_not_called_late() {
    let mut desk = Desk::of(COMMAND);
    let job = desk.grant().commit().remove(0);
    desk.uptime_s += 60;
    let now = desk.now();
    desk.machine.wake(now, 0.5);
    drop(job);
    desk.machine.ended(0, 1, Ok(Success::default()), now, 0.5);
    desk.uptime_s += 1;
    let later = desk.now();
    desk.machine.wake(later, 0.5);
    desk.commit();
    assert_eq!(desk.machine.run().status(), ExecutionStatus::Completed);
}

#[test]
fn halting_ends_work_and_begins_none() {
    let mut desk = Desk::of(COMMAND);
    let mut job = desk.grant().commit().remove(0);
    let now = desk.now();
    desk.machine.halt(now, 0.5);
    assert!(futures_util::FutureExt::now_or_never(job.stop.stopped()).is_some());
    assert!(!desk.machine.has_halted(), "its attempt is still at work");
    drop(job);
    let gone = Err(Failure::passing("interrupted", "told to end"));
    desk.machine.ended(0, 1, gone, now, 0.5);
    assert!(desk.machine.has_halted());
    assert!(desk.grant().commit().is_empty());
}
