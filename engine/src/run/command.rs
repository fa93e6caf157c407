//! What a run is told and what it answers.

use std::{collections::BTreeMap, fmt};

use limelight_protocol::{
    EventBody, NodeId, Timestamp, event::WorkflowStarted, execution::NodeError,
};
use serde_json::{Map, Value};

use crate::definition::{Body, Program};

/// What may be asked of a run, or reported to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begin.
    Start(WorkflowStarted),
    /// Start nothing more until resumed.
    Pause {
        /// Who asks.
        by: String,
    },
    /// Go on after a pause.
    Resume {
        /// Who asks.
        by: String,
    },
    /// Call it off.
    Cancel {
        /// Who asks.
        by: String,
    },
    /// Try a failed node again, and what depends on it.
    RetryNode {
        /// The node.
        node: NodeId,
        /// Who asks.
        by: String,
    },
    /// Say yes to an approval.
    Approve {
        /// The node.
        node: NodeId,
        /// Who says it.
        by: String,
        /// What they add.
        comment: Option<String>,
    },
    /// Say no to an approval.
    Reject {
        /// The node.
        node: NodeId,
        /// Who says it.
        by: String,
        /// What they add.
        comment: Option<String>,
    },
    /// The slot that [`Action::AcquireSlot`] asked for is there. Give it back when this is rejected,
    /// or when the answer has no [`Action::Perform`] for the attempt.
    SlotGranted {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
    },
    /// An attempt says how far it is.
    Progress {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
        /// From 0 to 100; clamped.
        progress: f64,
        /// What it is doing.
        message: Option<String>,
    },
    /// An attempt succeeded.
    Completed {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
        /// What it gave.
        outputs: Map<String, Value>,
        /// Files it named.
        artifacts: Vec<String>,
        /// How good it says its result is, from 0 to 1; clamped.
        quality: Option<f64>,
    },
    /// An attempt failed.
    Failed {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
        /// Why. The code `interrupted` says that it was no failure of the attempt: it is tried again
        /// at once and does not count against `max_attempts`.
        error: NodeError,
        /// Whether another attempt could fare better.
        retryable: bool,
    },
    /// A timer is due. One that has become pointless is rejected as `stale_attempt`.
    TimerFired(Timer),
    /// The server restarted: nothing that was going on outside goes on.
    Recover,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// To be committed, all or none, in this order.
    pub events: Vec<NewEvent>,
    /// To be performed after the commit, in this order.
    pub actions: Vec<Action>,
}

/// A fact that has been decided but not committed.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The node's place in the definition, where the event is about a node.
    pub node: Option<usize>,
    /// What happened.
    pub body: EventBody,
}

/// What to do once the events are committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask for a slot; answer with [`Command::SlotGranted`].
    AcquireSlot {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
    },
    /// Do the work; answer with [`Command::Completed`] or [`Command::Failed`].
    Perform {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
        /// The work, templates filled in.
        work: Rendered,
    },
    /// Answer with [`Command::TimerFired`] when the time has come. Setting the same timer twice is
    /// harmless.
    SetTimer(Timer),
    /// End that attempt's side effects; if it has only asked for a slot, withdraw that. No answer
    /// is waited for, a late one is rejected.
    Stop {
        /// The node's place.
        node: usize,
        /// The attempt.
        attempt: u32,
    },
}

/// A point in time at which something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer {
    /// The node's place.
    pub node: usize,
    /// The attempt; for a retry the one that failed.
    pub attempt: u32,
    /// What is due.
    pub purpose: TimerPurpose,
    /// When.
    pub at: Timestamp,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerPurpose {
    /// The attempt has taken too long.
    Timeout,
    /// The next attempt may begin.
    Retry,
    /// A sleep is over.
    Wake,
}

/// Work with its templates filled in.
#[derive(Clone, Debug, PartialEq)]
pub enum Rendered {
    /// Nothing: complete it at once.
    Noop,
    /// Run a program.
    Command(RenderedCommand),
    /// Send a request.
    Http(RenderedHttp),
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedCommand {
    /// What is run.
    pub program: Program,
    /// Environment variables on top of the server's choice.
    pub env: BTreeMap<String, String>,
    /// Folder to run in.
    pub working_dir: Option<String>,
    /// Whether lines like `::output {...}` on its standard output are obeyed.
    pub commands: bool,
}

/// A request to send.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedHttp {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Where to. It may still be malformed: templates can give anything.
    pub url: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    pub body: Option<Body>,
    /// Statuses that mean success; any 2xx when there is no list.
    pub expect_status: Option<Vec<u16>>,
}

/// A command that cannot be obeyed as things stand. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// Stable name: `already_started`, `not_started`, `already_paused`, `not_paused`,
    /// `already_ended`, `unknown_node`, `node_not_failed`, `node_not_waiting`, `dependents_active`,
    /// `stale_attempt`, `paused`, `bad_progress`.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Rejection {
    pub(super) fn new(code: &'static str, detail: impl fmt::Display) -> Self {
        Self {
            code,
            detail: detail.to_string(),
        }
    }
}
