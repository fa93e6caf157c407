//! What actors and handlers work with: made once by `app`, shared by all.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    actors::{
        journal::Journal,
        supervisor::{Handle, Supervision},
    },
    bus::Bus,
    executor::{at_work::AtWork, slots::Slots},
    store::Store,
    telemetry::Metrics,
};

/// The server's parts that have no state of their own to lose.
#[derive(Clone)]
pub struct Services {
    /// Everything that was committed.
    pub store: Store,
    /// The way of events to viewers.
    pub bus: Bus,
    /// The only writer of events.
    pub journal: Handle<Journal>,
    /// For starting actors.
    pub supervision: Supervision,
    /// For counting.
    pub metrics: Metrics,
    /// How many attempts may run at once.
    pub slots: Slots,
    /// Which executions have attempts at work.
    pub at_work: AtWork,
    /// For `http` nodes.
    pub http_client: reqwest::Client,
    /// Working folder of commands that name none.
    pub working_dir: PathBuf,
    /// This server process, as owner of executions.
    pub owner: Arc<str>,
    /// How long a command may take to end after SIGTERM.
    pub grace: Duration,
}
