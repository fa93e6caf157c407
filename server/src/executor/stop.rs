//! The way to end an attempt from outside.

use tokio::sync::watch;

use super::Failure;

/// Why an attempt is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody called it off.
    Cancelled,
    /// It took longer than its policy allows.
    TimedOut,
    /// The server stops, or the attempt's owner is gone.
    Interrupted,
}

impl StopReason {
    /// How the attempt then failed.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::lasting("cancelled", "called off"),
            Self::TimedOut => Failure::passing("timeout", "took longer than its timeout allows"),
            Self::Interrupted => Failure::passing("interrupted", "the server stopped meanwhile"),
        }
    }
}

/// Ends an attempt; kept by its owner. Dropping it interrupts the attempt.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<StopReason>>);

/// Tells an attempt that it is to end.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<Option<StopReason>>);

impl Stopper {
    /// A stopper and its signal.
    #[must_use]
    pub fn new() -> (Self, StopSignal) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), StopSignal(receiver))
    }

    /// Asks the attempt to end. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }
}

impl StopSignal {
    /// Why the attempt is to end, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        if self.0.has_changed().is_err() {
            return self.0.borrow().or(Some(StopReason::Interrupted));
        }
        *self.0.borrow()
    }

    /// Waits until the attempt is to end.
    pub async fn stopped(&mut self) -> StopReason {
        match self.0.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(StopReason::Interrupted),
            Err(_) => StopReason::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_to_stop_stays() {
        let (stopper, mut signal) = Stopper::new();
        stopper.stop(StopReason::TimedOut);
        stopper.stop(StopReason::Cancelled);
        drop(stopper);
        assert_eq!(signal.stopped().await, StopReason::TimedOut);
    }

    #[tokio::test]
    async fn an_attempt_whose_owner_is_gone_is_interrupted() {
        let (stopper, mut signal) = Stopper::new();
        drop(stopper);
        assert_eq!(signal.stopped().await, StopReason::Interrupted);
    }
}
