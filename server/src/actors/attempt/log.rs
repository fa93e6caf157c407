//! An attempt's lines on their way to the store and, once they are there, to viewers.

use std::time::Duration;

use limelight_protocol::{
    Timestamp,
    event::{LogLine, LogSource},
};
use tokio::time::{Instant, sleep};

use super::AttemptId;
use crate::{
    auth::Caller,
    clock,
    executor::StopSignal,
    services::Services,
    store::{StoreError, paging::MAX_LIMIT},
};

/// How long to wait before lines that could not be stored are tried again.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// How long the command waits for a store that does not take its lines, before they are given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same once the attempt is to end.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// How often lines are numbered anew because somebody else wrote to the log.
const MOST_CONFLICTS: u32 = 10;

/// The end of a node's log, as one attempt writes it.
pub(super) struct Log<'a> {
    services: &'a Services,
    id: &'a AttemptId,
    stop: StopSignal,
    /// The newest line that is known to be stored.
    last_seq: Option<u64>,
    /// Whether there may be lines behind that one.
    doubtful: bool,
    /// How many lines were given up since the last that was stored.
    lost: u64,
    /// Since lines were given up: until when others are, too, without a try.
    next_try: Instant,
}

impl<'a> Log<'a> {
    pub(super) fn new(services: &'a Services, id: &'a AttemptId, stop: StopSignal) -> Self {
        Self {
            services,
            id,
            stop,
            last_seq: None,
            doubtful: true,
            lost: 0,
            next_try: Instant::now(),
        }
    }

    /// Stores lines, then publishes them. While the store does not take them the command waits, a
    /// minute at most (a moment when the attempt is to end); then they are given up, as are those that
    /// come until the store takes some again, and the log says how many.
    pub(super) async fn write(&mut self, lines: Vec<(Timestamp, LogLine)>) {
        if self.lost > 0 && Instant::now() < self.next_try {
            self.lost += lines.len() as u64;
        } else if !lines.is_empty() {
            self.write_now(lines).await;
        }
    }

    async fn write_now(&mut self, mut lines: Vec<(Timestamp, LogLine)>) {
        let count = lines.len() as u64;
        let patience = if self.lost > 0 {
            let line = LogLine {
                attempt: self.id.attempt,
                source: LogSource::System,
                line: format!("{} lines are missing: they could not be stored", self.lost),
            };
            lines.insert(0, (clock::now(), line));
            LAST_PATIENCE
        } else {
            PATIENCE
        };
        let mut stop = self.stop.clone();
        let given_up = async {
            tokio::select! {
                () = sleep(patience) => {}
                () = async { stop.stopped().await; sleep(LAST_PATIENCE).await } => {}
            }
        };
        let stored = tokio::select! {
            stored = self.try_until_stored(&lines) => stored,
            () = given_up => false,
        };
        if stored {
            self.lost = 0;
        } else {
            self.doubtful = true;
            self.lost += count;
            self.next_try = Instant::now() + STORE_RETRY;
            tracing::warn!(execution = %self.id.execution, node = %self.id.node, count, "log lines are given up");
        }
    }

    /// Says how many lines were given up in the end.
    pub(super) async fn close(&mut self) {
        if self.lost > 0 {
            let line = LogLine {
                attempt: self.id.attempt,
                source: LogSource::System,
                line: "the log ends here".to_owned(),
            };
            self.write_now(vec![(clock::now(), line)]).await;
        }
    }

    /// Goes on trying as long as that may help.
    async fn try_until_stored(&mut self, lines: &[(Timestamp, LogLine)]) -> bool {
        let mut conflicts = 0;
        loop {
            let error = match self.try_to_store(lines).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            tracing::warn!(execution = %self.id.execution, node = %self.id.node, %error, "log lines wait for the store");
            match error {
                // They are not there, so they may take other numbers.
                StoreError::Conflict(_) if conflicts < MOST_CONFLICTS => {
                    conflicts += 1;
                    self.doubtful = true;
                }
                error if error.is_transient() => sleep(STORE_RETRY).await,
                _ => return false,
            }
        }
    }

    async fn try_to_store(&mut self, lines: &[(Timestamp, LogLine)]) -> Result<(), StoreError> {
        let Services { store, bus, .. } = self.services;
        let last_seq = self.find_the_end().await?;
        let (execution, node) = (self.id.execution, &self.id.node);
        let events = store
            .append_log(execution, node, last_seq + 1, lines)
            .await?;
        self.last_seq = Some(last_seq + lines.len() as u64);
        bus.publish_live(&events);
        Ok(())
    }

    /// The newest line's number. Lines that were stored without our knowing are published.
    async fn find_the_end(&mut self) -> Result<u64, StoreError> {
        let Services { store, bus, .. } = self.services;
        let (execution, node) = (self.id.execution, &self.id.node);
        let mut last_seq = match self.last_seq {
            Some(seq) => seq,
            None => store.last_log_seq(execution, node).await?,
        };
        if self.doubtful && self.last_seq.is_some() {
            loop {
                let caller = Caller::system();
                let lines = store
                    .read_log(&caller, execution, node, last_seq, MAX_LIMIT)
                    .await?;
                let Some(last) = lines.last() else { break };
                last_seq = last.seq;
                bus.publish_live(&lines);
            }
        }
        self.doubtful = false;
        self.last_seq = Some(last_seq);
        Ok(last_seq)
    }
}
