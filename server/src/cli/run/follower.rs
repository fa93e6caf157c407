//! What has been seen of an execution, and what to ask for next. No I/O: frames in, frames out.

use std::collections::VecDeque;

use anyhow::{Context, bail};
use limelight_protocol::{
    Cursor, Event, EventBody, Execution, ExecutionStatus, NodeId, NodeState, Topic,
    ws::{ClientFrame, MAX_SUBSCRIPTIONS, ServerFrame},
};

use super::view::View;

/// Name of the subscription to the execution's own stream.
const EXECUTION: &str = "execution";
/// What the names of subscriptions to logs begin with.
const LOG: &str = "log:";

/// Follows one execution through any number of connections.
pub(super) struct Follower {
    execution: Execution,
    epoch: Option<String>,
    position: u64,
    /// Logs that are subscribed to, oldest first, and the last line had of each.
    logs: VecDeque<Log>,
}

struct Log {
    node: NodeId,
    seq: u64,
}

impl Follower {
    /// From the beginning: what the server knows of the execution is forgotten, so that its events
    /// tell it again.
    pub(super) fn new(execution: Execution) -> Self {
        Self {
            execution: Execution {
                status: ExecutionStatus::Pending,
                seq: 0,
                completed_nodes: 0,
                started_at: None,
                completed_at: None,
                duration_s: None,
                node_states: execution
                    .node_states
                    .into_iter()
                    .map(|state| NodeState::new(state.node_id))
                    .collect(),
                ..execution
            },
            epoch: None,
            position: 0,
            logs: VecDeque::new(),
        }
    }

    pub(super) fn execution(&self) -> &Execution {
        &self.execution
    }

    /// How it ended, once it has.
    pub(super) fn outcome(&self) -> Option<ExecutionStatus> {
        Some(self.execution.status).filter(|status| status.is_terminal())
    }

    /// Takes a frame, shows what is new, and says what to send.
    pub(super) fn take(
        &mut self,
        frame: ServerFrame,
        view: &mut dyn View,
    ) -> anyhow::Result<Vec<ClientFrame>> {
        match frame {
            ServerFrame::Hello { epoch, .. } => Ok(self.subscribe_all(epoch)),
            ServerFrame::Event { id, event } => self.event(&id, &event, view),
            ServerFrame::Events { id, events } => {
                let mut frames = Vec::new();
                for event in &events {
                    frames.extend(self.event(&id, event, view)?);
                }
                Ok(frames)
            }
            ServerFrame::Snapshot { id, position, data } if id == EXECUTION => {
                let snapshot: Execution = serde_json::from_str(data.get())
                    .context("the server's snapshot cannot be read")?;
                if snapshot.seq > self.execution.seq {
                    self.execution = snapshot;
                    view.jumped(&self.execution)?;
                }
                self.position = position;
                Ok(Vec::new())
            }
            ServerFrame::Gap { id, .. } => {
                let what = if id == EXECUTION {
                    "events"
                } else {
                    "log lines"
                };
                view.note(&format!("some {what} are not kept any more"))?;
                Ok(Vec::new())
            }
            ServerFrame::Error { id, code, detail } => match id {
                // A log that cannot be had is no reason to give up.
                Some(id) if id.starts_with(LOG) => {
                    view.note(&format!("{id}: {detail}"))?;
                    Ok(Vec::new())
                }
                _ => bail!("{detail} ({code})"),
            },
            ServerFrame::Subscribed { .. }
            | ServerFrame::Snapshot { .. }
            | ServerFrame::Lagged { .. }
            | ServerFrame::Pong { .. } => Ok(Vec::new()),
        }
    }

    fn subscribe_all(&mut self, epoch: String) -> Vec<ClientFrame> {
        // Cursors of another journal mean nothing in this one; `seq` keeps double events out.
        if self.epoch.as_ref() != Some(&epoch) {
            self.position = 0;
            for log in &mut self.logs {
                log.seq = 0;
            }
            self.epoch = Some(epoch);
        }
        let topic = Topic::Execution(self.execution.id);
        let first = self.subscribe(EXECUTION.into(), &topic, self.position);
        let logs = self.logs.iter().map(|log| self.subscribe_log(log));
        std::iter::once(first).chain(logs).collect()
    }

    fn subscribe(&self, id: String, topic: &Topic, position: u64) -> ClientFrame {
        ClientFrame::Subscribe {
            id,
            topic: topic.to_string(),
            after: self.epoch.clone().map(|epoch| Cursor { epoch, position }),
            snapshot: false,
        }
    }

    fn subscribe_log(&self, log: &Log) -> ClientFrame {
        let topic = Topic::Log(self.execution.id, log.node.clone());
        self.subscribe(format!("{LOG}{}", log.node), &topic, log.seq)
    }

    fn event(
        &mut self,
        id: &str,
        event: &Event,
        view: &mut dyn View,
    ) -> anyhow::Result<Vec<ClientFrame>> {
        let body = event.body().context("the server's event cannot be read")?;
        if let EventBody::NodeLog(line) = &body {
            let log = self
                .logs
                .iter_mut()
                .find(|log| Some(&log.node) == event.node_id.as_ref() && event.seq > log.seq);
            if let Some(log) = log {
                log.seq = event.seq;
                view.line(event, &log.node, line)?;
            }
            return Ok(Vec::new());
        }
        if id != EXECUTION {
            return Ok(Vec::new());
        }
        self.position = self.position.max(event.position);
        if event.seq <= self.execution.seq {
            return Ok(Vec::new());
        }
        self.execution.apply(event)?;
        view.event(event, &body, &self.execution)?;
        match (&event.node_id, body) {
            (Some(node), EventBody::NodeStarted(_)) => Ok(self.open_log(node.clone())),
            _ => Ok(Vec::new()),
        }
    }

    fn open_log(&mut self, node: NodeId) -> Vec<ClientFrame> {
        let mut frames = Vec::new();
        if self.logs.iter().any(|log| log.node == node) {
            return frames;
        }
        // One place is the execution's own.
        if self.logs.len() + 1 >= MAX_SUBSCRIPTIONS {
            let ended = |log: &Log| {
                let state = self
                    .execution
                    .node_states
                    .iter()
                    .find(|state| state.node_id == log.node);
                state.is_none_or(|state| state.status.is_terminal())
            };
            let Some(oldest) = self.logs.iter().position(ended) else {
                return frames;
            };
            frames.extend(
                self.logs
                    .remove(oldest)
                    .map(|log| ClientFrame::Unsubscribe {
                        id: format!("{LOG}{}", log.node),
                    }),
            );
        }
        let log = Log { node, seq: 0 };
        frames.push(self.subscribe_log(&log));
        self.logs.push_back(log);
        frames
    }
}
