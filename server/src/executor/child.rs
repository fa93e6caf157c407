//! A child process that leads a process group of its own.

use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use tokio::{
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{StopReason, StopSignal, family::Family};

/// How long a killed leader may take to end. Only one that hangs in the kernel takes longer.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// A child and all that descends from it. Dropping it kills them.
#[derive(Debug)]
pub(super) struct GroupLeader {
    child: Child,
    family: Family,
    reaped: bool,
}

impl GroupLeader {
    /// Starts `command` as the leader of a new group.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let (child, family) = Family::start(command)?;
        Ok(Self {
            child,
            family,
            reaped: false,
        })
    }

    /// Its standard output, once.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub(super) fn take_stdout(&mut self) -> io::Result<Option<pipe::Receiver>> {
        self.child.stdout.take().map(receiver).transpose()
    }

    /// Its standard error, once.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub(super) fn take_stderr(&mut self) -> io::Result<Option<pipe::Receiver>> {
        self.child.stderr.take().map(receiver).transpose()
    }

    /// Waits until the leader has ended, and brings it about when told to: everybody is asked, and
    /// killed after `grace`. Says why it was told to. The leader is left unreaped, so that the group's
    /// id cannot pass to others before [`GroupLeader::reap`].
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub(super) async fn until_ended(
        &self,
        grace: Duration,
        stop: &mut StopSignal,
    ) -> io::Result<Option<StopReason>> {
        let mut ended = std::pin::pin!(self.ended());
        let reason = tokio::select! {
            biased;
            result = &mut ended => return result.map(|()| None),
            reason = stop.stopped() => reason,
        };
        self.family.ask_to_end();
        match timeout(grace, &mut ended).await {
            Ok(result) => result?,
            Err(_) => {
                self.family.kill_group();
                timeout(KILLED_WITHIN, ended)
                    .await
                    .map_err(|_| io::Error::other("it hangs in the kernel"))??;
            }
        }
        Ok(Some(reason))
    }

    async fn ended(&self) -> io::Result<()> {
        let mut child_ended = signal(SignalKind::child())?;
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        while matches!(
            waitid(Id::Pid(self.family.leader()), flags),
            Ok(WaitStatus::StillAlive)
        ) {
            child_ended.recv().await;
        }
        Ok(())
    }

    /// Kills whoever is left when the leader has ended, and waits until they are gone; gives how many
    /// could not be ended.
    pub(super) async fn end_the_rest(&mut self) -> usize {
        self.family.end().await
    }

    /// Says how the leader ended; it must have.
    ///
    /// # Errors
    /// When the system will not tell.
    pub(super) fn reap(mut self) -> io::Result<ExitStatus> {
        let status = self
            .child
            .try_wait()?
            .ok_or_else(|| io::Error::other("it has not ended"))?;
        self.reaped = true;
        self.family.forget();
        Ok(status)
    }
}

impl Drop for GroupLeader {
    fn drop(&mut self) {
        if !self.reaped {
            self.family.clone().abandon();
        }
    }
}

fn receiver(stream: impl Into<OwnedFd>) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(stream.into())
}
