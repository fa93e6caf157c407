//! Work that is simulated: attempts that run, tell their progress, end or are ended.

use futures_util::FutureExt as _;
use limelight_protocol::ExecutionId;

use super::super::{attempts::Permit, machine::Job};
use crate::executor::{Failure, StopSignal, Success};

/// An attempt at work.
pub struct Working {
    pub execution: ExecutionId,
    /// The coordinator that started it, by its generation.
    pub generation: u32,
    pub node: usize,
    pub attempt: u32,
    stop: StopSignal,
    _permit: Permit,
}

impl Working {
    pub fn new(execution: ExecutionId, generation: u32, job: Job) -> Self {
        let Job {
            node,
            attempt,
            permit,
            stop,
            ..
        } = job;
        Self {
            execution,
            generation,
            node,
            attempt,
            stop,
            _permit: permit,
        }
    }

    /// Whether it was told to end, or nobody waits for it any more.
    pub fn is_stopped(&self) -> bool {
        self.stop.clone().stopped().now_or_never().is_some()
    }

    /// What it comes to when it ends now; `luck` from 0 to 1.
    pub fn result(&self, luck: f64) -> Result<Success, Failure> {
        if self.is_stopped() && luck < 0.9 {
            return Err(Failure::passing("cancelled", "told to end"));
        }
        match luck {
            luck if luck < 0.7 => Ok(Success::default()),
            luck if luck < 0.8 => Err(Failure::lasting("exit_code", "broken")),
            luck if luck < 0.95 => Err(Failure::passing("exit_code", "broken")),
            _ => Err(super::super::machine::panicked()),
        }
    }
}
