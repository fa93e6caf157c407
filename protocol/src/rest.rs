//! Bodies that belong to no one resource.

use serde::{Deserialize, Serialize};

use crate::{Event, ExecutionSummary, Timestamp};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// How many there are in all, where that is cheap to tell.
    pub total: Option<u64>,
}

/// Answer of `GET /api/executions/{id}/events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// The journal they are from.
    pub epoch: String,
    /// Events with `seq` above `after`, oldest first.
    pub items: Vec<Event>,
    /// Give it as `after` for what follows.
    pub next_after: u64,
    /// Whether more are there already.
    pub more: bool,
}

/// Answer of `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Always true.
    pub success: bool,
    /// Always `healthy`.
    pub status: String,
    /// The server's clock.
    pub timestamp: Timestamp,
}

/// Answer of `GET /ready`: 200 when `ready`, 503 otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// Whether every check passed.
    pub ready: bool,
    /// Each check.
    pub checks: Vec<ReadinessCheck>,
}

/// One thing that must work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadinessCheck {
    /// `store`, or the path of an actor.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// Why not.
    pub detail: Option<String>,
}

/// Answer of `GET /api/dashboard/overview`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overview {
    /// Executions that have not ended, newest first, at most 50.
    pub running: Vec<ExecutionSummary>,
    /// The newest that have ended, at most 20.
    pub recent: Vec<ExecutionSummary>,
    /// How many workflows there are.
    pub workflows: u64,
    /// Counts over the last 24 hours.
    pub last_day: DayCounts,
    /// Place in the journal these figures are from.
    pub position: u64,
}

/// How executions ended over a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayCounts {
    /// Completed.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}

impl DayCounts {
    /// Completed among completed and failed, from 0 to 1; none when neither.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.completed + self.failed;
        (ended > 0).then(|| self.completed as f64 / ended as f64)
    }
}

/// Body of `POST /api/executions/{id}/nodes/{node}/approve` and `/reject`; may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Why.
    #[serde(default)]
    pub comment: Option<String>,
}
