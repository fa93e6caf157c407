//! The journal, with the faults it may have: what was committed and not answered, what was neither.

use std::{collections::VecDeque, sync::Arc};

use limelight_protocol::ExecutionId;

use crate::store::{Append, AppendError, StoreError};

/// An append on its way, and what came of it.
pub struct Sent {
    pub execution: ExecutionId,
    pub generation: u32,
    pub append: Arc<Append>,
    /// How long it has been tried.
    pub tried: std::time::Duration,
}

/// What waits for the journal, and answers on their way back.
#[derive(Default)]
pub struct Mail {
    pub waiting: VecDeque<Sent>,
    pub answers: Vec<(Sent, Result<(), AppendError>)>,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Committed, and answered.
    Done,
    /// Committed, and the answer is lost.
    Unanswered,
    /// The database was away before anything happened.
    Away,
}

pub fn lost() -> AppendError {
    AppendError::Store(StoreError::Lost("simulated".to_owned()))
}
