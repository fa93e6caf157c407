//! The supervision tree as clients see it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where an actor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ActorState {
    /// Takes messages.
    Running,
    /// Failed; its supervisor waits before it starts a fresh one.
    Restarting,
    /// Ended on purpose.
    Stopped,
    /// Failed too often; its supervisor gave it up.
    Failed,
}

/// What an actor says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActorSnapshot {
    /// Place in the tree: `system/journal`, `executions/{id}`.
    pub path: String,
    /// What sort of actor: `journal`, `coordinator`, ...
    pub kind: String,
    /// Where it stands.
    pub state: ActorState,
    /// Messages waiting.
    pub mailbox: u64,
    /// Messages handled since it was first started.
    pub handled: u64,
    /// Times it was started afresh.
    pub restarts: u64,
    /// How many of those followed a panic.
    pub panics: u64,
    /// When it was first started.
    pub started_at: Timestamp,
    /// When it last handled a message.
    pub last_beat: Timestamp,
    /// Why it last failed.
    pub last_error: Option<String>,
}

/// Answer of `GET /api/actors`, and data of the `actors` topic's snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActorTree {
    /// When it was read.
    pub at: Timestamp,
    /// Every actor, ordered by path.
    pub actors: Vec<ActorSnapshot>,
}
