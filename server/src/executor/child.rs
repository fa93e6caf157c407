//! A child process that leads a process group of its own.

use std::{io, process::ExitStatus};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::{
    process::{Child, ChildStderr, ChildStdout, Command},
    signal::unix::{SignalKind, signal},
};

/// A child and its group. Dropping it kills what is left of the group.
#[derive(Debug)]
pub(super) struct GroupLeader {
    child: Child,
    group: Pid,
    reaped: bool,
}

impl GroupLeader {
    /// Starts `command` as the leader of a new group.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Pid::from_raw(id.ok_or_else(|| io::Error::other("the child has no id"))?);
        Ok(Self {
            child,
            group,
            reaped: false,
        })
    }

    /// Its standard output, once.
    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, once.
    pub(super) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits until the leader has ended. It is left unreaped, so that the group's id cannot pass to
    /// others before [`GroupLeader::reap`].
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub(super) async fn ended(&self) -> io::Result<()> {
        let mut child_ended = signal(SignalKind::child())?;
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        while matches!(
            waitid(Id::Pid(self.group), flags),
            Ok(WaitStatus::StillAlive)
        ) {
            child_ended.recv().await;
        }
        Ok(())
    }

    /// Sends `signal` to the whole group.
    pub(super) fn signal(&self, signal: Signal) {
        // It fails when nobody is left, which is as good.
        let _ = killpg(self.group, signal);
    }

    /// Kills what is left of the group and says how the leader ended.
    ///
    /// # Errors
    /// When the system will not tell.
    pub(super) async fn reap(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        let status = self.child.wait().await?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for GroupLeader {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::SIGKILL);
        }
    }
}
