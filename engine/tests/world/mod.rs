//! A simulated world around one run: slots, executors, timers, a journal, and a reader of it. It
//! checks every promise of the engine after every command.

use std::{collections::BTreeMap, sync::Arc};

use limelight_engine::{
    Action, Command, Definition, OnFailure, Run, Timer, TimerPurpose, invariant,
};
use limelight_protocol::{
    EventBody, EventType, Execution, ExecutionId, ExecutionStatus, NodeId, NodeState, NodeStatus,
    Timestamp, WorkflowId,
    event::{SkipReason, WorkflowStarted},
    execution::{NodeError, WaitReason},
};
use serde_json::{Map, json};

pub struct World {
    run: Run,
    now: Timestamp,
    journal: Vec<(Option<NodeId>, EventType, String, Timestamp)>,
    reader: Execution,
    slots: Vec<(usize, u32)>,
    working: BTreeMap<usize, u32>,
    timers: Vec<Timer>,
    old_timers: Vec<Timer>,
    attempts: BTreeMap<NodeId, u32>,
    checked: bool,
}

impl World {
    pub fn new(definition: Definition) -> Self {
        let nodes = definition.nodes().iter();
        let reader = Execution {
            id: ExecutionId(Default::default()),
            execution_id: ExecutionId(Default::default()),
            workflow_id: WorkflowId(Default::default()),
            workflow_name: definition.name().to_owned(),
            workflow_version: 1,
            name: None,
            labels: BTreeMap::new(),
            status: ExecutionStatus::Pending,
            params: Map::new(),
            completed_nodes: 0,
            total_nodes: 0,
            current_phase: None,
            started_at: None,
            completed_at: None,
            duration_s: None,
            started_by: "u".to_owned(),
            seq: 0,
            node_states: nodes.map(|node| NodeState::new(node.id.clone())).collect(),
        };
        Self {
            run: Run::new(Arc::new(definition)),
            now: Timestamp(1_795_255_200_000),
            journal: Vec::new(),
            reader,
            slots: Vec::new(),
            working: BTreeMap::new(),
            timers: Vec::new(),
            old_timers: Vec::new(),
            attempts: BTreeMap::new(),
            checked: true,
        }
    }

    /// Leaves out the checks that compare everything, for large runs.
    pub fn unchecked(self) -> Self {
        Self {
            checked: false,
            ..self
        }
    }

    pub fn size(&self) -> usize {
        self.run.node_states().len()
    }

    pub fn id(&self, node: usize) -> NodeId {
        self.run.definition().nodes()[node].id.clone()
    }

    pub fn is_cancelled(&self) -> bool {
        self.run.status() == ExecutionStatus::Cancelled
    }

    pub fn event_count(&self) -> usize {
        self.journal.len()
    }

    pub fn has_work(&self) -> bool {
        !self.working.is_empty() || !self.slots.is_empty()
    }

    /// What has been seen, in words.
    pub fn sights(&self) -> Vec<String> {
        let mut sights = vec![format!("end {}", self.run.status().as_str())];
        for (_, kind, text, _) in &self.journal {
            sights.push(kind.as_str().to_owned());
            match EventBody::parse(*kind, text).unwrap() {
                EventBody::NodeFailed(failed) => {
                    sights.push(format!("error {}", failed.error.code));
                }
                EventBody::NodeSkipped(skipped) => sights.push(match skipped.reason {
                    SkipReason::Condition => "skipped by condition".to_owned(),
                    SkipReason::Upstream => "skipped upstream".to_owned(),
                }),
                EventBody::NodeRetrying(retrying) if !retrying.reset.is_empty() => {
                    sights.push("reset".to_owned());
                }
                _ => {}
            }
        }
        sights
    }

    pub fn start(&mut self) {
        let started = WorkflowStarted {
            workflow_name: "w".to_owned(),
            workflow_version: 1,
            params: self.run.definition().resolve_params(&Map::new()).unwrap(),
            name: None,
            labels: BTreeMap::new(),
            by: "u".to_owned(),
            total_nodes: 0,
        };
        assert!(self.command(Command::Start(started)), "it did not start");
    }

    pub fn grant(&mut self, pick: usize) {
        if self.slots.is_empty() {
            return;
        }
        let (node, attempt) = self.slots.remove(pick % self.slots.len());
        let granted = self.command(Command::SlotGranted { node, attempt });
        assert!(granted, "a slot that was asked for is not wanted");
    }

    fn pick_working(&self, pick: usize) -> Option<(usize, u32)> {
        let at = pick.checked_rem(self.working.len())?;
        self.working.iter().nth(at).map(|(n, a)| (*n, *a))
    }

    pub fn complete(&mut self, pick: usize) {
        let Some((node, attempt)) = self.pick_working(pick) else {
            return;
        };
        self.working.remove(&node);
        let outputs = match pick % 3 {
            0 => Map::from_iter([("n".to_owned(), json!(pick % 4))]),
            _ => Map::new(),
        };
        let done = self.command(Command::Completed {
            node,
            attempt,
            outputs,
            artifacts: vec!["a.txt".to_owned()],
            quality: pick.is_multiple_of(5).then_some(0.1 + 0.2),
        });
        assert!(done, "a result of the active attempt is not wanted");
    }

    pub fn fail(&mut self, pick: usize, code: &str, retryable: bool) {
        let Some((node, attempt)) = self.pick_working(pick) else {
            return;
        };
        self.working.remove(&node);
        let error = NodeError {
            code: code.to_owned(),
            message: "it broke".to_owned(),
        };
        let taken = self.command(Command::Failed {
            node,
            attempt,
            error,
            retryable,
        });
        assert!(taken, "a failure of the active attempt is not wanted");
    }

    pub fn report_progress(&mut self, pick: usize) {
        if let Some((node, attempt)) = self.pick_working(pick) {
            let progress = pick as f64 / 7.0;
            let taken = self.command(Command::Progress {
                node,
                attempt,
                progress,
                message: None,
            });
            assert!(taken, "progress of the active attempt is not wanted");
        }
    }

    /// Reports that no active attempt can have sent.
    pub fn report_late(&mut self, pick: usize) {
        let node = pick % self.size();
        for attempt in 0..=self.run.node_state(node).attempt_count + 2 {
            if self.working.get(&node) == Some(&attempt) {
                continue;
            }
            let taken = self.command(Command::Completed {
                node,
                attempt,
                outputs: Map::new(),
                artifacts: Vec::new(),
                quality: None,
            });
            assert!(!taken, "a late result was taken");
            if !self.slots.contains(&(node, attempt)) {
                let taken = self.command(Command::SlotGranted { node, attempt });
                assert!(!taken, "a slot that was not asked for was taken");
            }
        }
    }

    pub fn fire_next(&mut self) {
        self.timers.sort_by_key(|timer| timer.at);
        if self.timers.is_empty() {
            return;
        }
        let timer = self.timers.remove(0);
        self.now = self.now.max(timer.at);
        self.old_timers.push(timer);
        self.command(Command::TimerFired(timer));
    }

    pub fn fire_any_old(&mut self, pick: usize) {
        let Some(at) = pick.checked_rem(self.old_timers.len()) else {
            return;
        };
        let timer = self.old_timers[at];
        // One that is pending again, because a pause let it stand, is no longer old.
        if !self.run.pending_timers().contains(&timer) {
            let taken = self.command(Command::TimerFired(timer));
            assert!(!taken, "a timer that had fired fired again");
        }
    }

    pub fn pass(&mut self, millis: i64) {
        self.now = Timestamp(self.now.millis() + millis);
    }

    /// The server is killed and comes back: only the journal is left.
    pub fn crash(&mut self) {
        self.slots.clear();
        self.working.clear();
        self.old_timers.append(&mut self.timers);
        self.run = self.replayed();
        assert!(self.command(Command::Recover), "it did not recover");
    }

    pub fn try_command(&mut self, command: Command) {
        self.command(command);
    }

    /// Answers everything until the run ends.
    pub fn finish(&mut self) {
        for round in 0..100_000 {
            if self.run.is_finished() {
                return self.look_at_the_end();
            }
            if self.run.status() == ExecutionStatus::Paused {
                self.try_command(Command::Resume { by: "u".to_owned() });
            } else if !self.slots.is_empty() {
                self.grant(round);
            } else if !self.working.is_empty() {
                self.complete(round);
            } else if let Some(node) = self.asking() {
                let (by, comment) = ("u".to_owned(), None);
                self.try_command(Command::Approve { node, by, comment });
            } else {
                assert!(!self.timers.is_empty(), "nothing is left to wait for");
                self.fire_next();
            }
        }
        panic!("it does not end");
    }

    fn asking(&self) -> Option<NodeId> {
        let mut states = self.run.node_states().iter();
        let asks = |state: &&NodeState| state.waiting_for == Some(WaitReason::Approval);
        states.find(asks).map(|state| state.node_id.clone())
    }

    fn look_at_the_end(&self) {
        let definition = self.run.definition();
        let fatal = self
            .run
            .node_states()
            .iter()
            .enumerate()
            .any(|(node, state)| {
                state.status == NodeStatus::Failed
                    && definition.nodes()[node].on_failure == OnFailure::Fail
            });
        match self.run.status() {
            ExecutionStatus::Completed => assert!(!fatal),
            ExecutionStatus::Failed => assert!(fatal),
            _ => {}
        }
        assert!(!self.has_work(), "work goes on after the end");
    }

    fn replayed(&self) -> Run {
        let events: Vec<_> = self
            .journal
            .iter()
            .map(|(node, kind, text, at)| {
                let body = EventBody::parse(*kind, text).unwrap();
                (node.clone(), body, *at)
            })
            .collect();
        let events = events
            .iter()
            .map(|(node, body, at)| (node.as_ref(), body, *at));
        Run::restore(self.run.definition().clone(), events).unwrap()
    }

    fn command(&mut self, command: Command) -> bool {
        let before = self.checked.then(|| self.run.clone());
        let cancelled = self.is_cancelled();
        let Ok(decision) = self.run.handle(command, self.now, 0.5) else {
            assert!(
                before.is_none_or(|before| before == self.run),
                "a rejection left a trace"
            );
            return false;
        };
        if cancelled {
            assert!(decision.events.is_empty() && decision.actions.is_empty());
        }
        for event in decision.events {
            let node = event.node.map(|node| self.id(node));
            self.check_event(event.node, &event.body);
            let (kind, text) = (event.body.kind(), event.body.to_raw().unwrap());
            let body = EventBody::parse(kind, text.get()).unwrap();
            self.reader.apply_body(node.as_ref(), &body, self.now);
            self.journal
                .push((node, kind, text.get().to_owned(), self.now));
        }
        for action in decision.actions {
            self.act(&action);
        }
        self.check_state();
        true
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::AcquireSlot { node, attempt } => {
                assert!(
                    !self.slots.contains(&(node, attempt)),
                    "asked for a slot twice"
                );
                self.slots.push((node, attempt));
            }
            Action::Perform { node, attempt, .. } => {
                let other = self.working.insert(node, attempt);
                assert_eq!(other, None, "two attempts of one node at a time");
            }
            Action::SetTimer(timer) => {
                if !self.timers.contains(&timer) {
                    self.timers.push(timer);
                }
            }
            Action::Stop { node, attempt } => {
                let slots = self.slots.len();
                self.slots.retain(|slot| *slot != (node, attempt));
                let worked = self.working.get(&node) == Some(&attempt);
                if worked {
                    self.working.remove(&node);
                }
                assert!(
                    worked || slots > self.slots.len(),
                    "stopped what was not there"
                );
            }
        }
    }

    /// Looks at an event with the eyes of a reader that has all events before it.
    fn check_event(&mut self, node: Option<usize>, body: &EventBody) {
        let Some(node) = node else { return };
        let begins = match body {
            EventBody::NodeQueued(queued) => Some((queued.attempt, false)),
            EventBody::NodeStarted(started) => Some((started.attempt, true)),
            _ => None,
        };
        let Some((attempt, started)) = begins else {
            return;
        };
        assert_eq!(
            self.reader.status,
            ExecutionStatus::Running,
            "it began while not running"
        );
        let definition = self.run.definition().clone();
        for &need in &definition.nodes()[node].needs {
            let state = &self.reader.node_states[need];
            let met = match state.status {
                NodeStatus::Completed => true,
                NodeStatus::Skipped => state.skip_reason == Some(SkipReason::Condition),
                NodeStatus::Failed => definition.nodes()[need].on_failure == OnFailure::Continue,
                _ => false,
            };
            assert!(met, "{} began before its needs were met", self.id(node));
        }
        let count = self
            .attempts
            .entry(definition.nodes()[node].id.clone())
            .or_default();
        assert_eq!(attempt, *count + 1, "attempts do not rise by one");
        if started {
            *count += 1;
        }
    }

    fn check_state(&self) {
        if !self.checked {
            return;
        }
        assert_eq!(invariant::broken(&self.run), Vec::<&str>::new());
        assert_eq!(
            self.replayed(),
            self.run,
            "a replay differs from the live state"
        );
        assert_eq!(self.reader.node_states, self.run.node_states());
        assert_eq!(self.reader.status, self.run.status());
        assert_eq!(self.reader.completed_nodes, self.run.completed_nodes());
        let paused = self.run.status() == ExecutionStatus::Paused;
        for timer in self.run.pending_timers() {
            let let_stand = paused && timer.purpose == TimerPurpose::Retry && timer.at <= self.now;
            assert!(
                let_stand || self.timers.contains(&timer),
                "a timer was lost: {timer:?}"
            );
        }
        for (node, state) in self.run.node_states().iter().enumerate() {
            let attempt = self.run.active_attempt(node);
            let asked = self.slots.iter().filter(|slot| slot.0 == node);
            let wanted = usize::from(state.status == NodeStatus::Queued && !paused);
            assert_eq!(
                asked.count(),
                wanted,
                "slots asked for by {}",
                state.node_id
            );
            if state.status == NodeStatus::Running {
                let working = self.working.get(&node).copied();
                // Its result may be on the way: that command is what is being handled.
                assert_eq!(
                    working, attempt,
                    "{} runs but nobody works on it",
                    state.node_id
                );
            } else {
                assert!(
                    !self.working.contains_key(&node),
                    "work on what does not run"
                );
            }
        }
    }
}
