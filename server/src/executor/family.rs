//! All processes of one attempt, wherever they went.
//!
//! A program leads a process group. What leaves the group (`setsid`, a daemon that forks twice) is
//! found in another way: the server is the reaper of its descendants, so a process whose parent has
//! ended becomes the server's child. When the leader has ended, each of its descendants is such a
//! child or descends from one. Whose they are tells a mark in their environment; where that was
//! cleaned or written over, the time at which they began: they are ended with the last attempt that
//! may have started them.

use std::{
    collections::{HashMap, HashSet},
    io,
    process::{Child, Command},
    sync::LazyLock,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::{Pid, getpgid, getpgrp},
};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::processes::{Adopted, began, kill_tree, marks};

/// Environment variable that tells the processes of one attempt from all others.
const MARK_VARIABLE: &str = "LIMELIGHT_ATTEMPT_MARK";

/// How long the killed may take to be gone. Only a process that hangs in the kernel takes longer.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// How often the list of orphans is read anew at once, since some of them ended.
const MOST_ROUNDS: usize = 16;

/// How often is looked whether they are gone, beside whenever a child ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often at most what ended by itself is reaped while attempts run.
const REAP_EVERY: Duration = Duration::from_millis(100);

/// The leaders that are not reaped yet. Held while one is started, too, so that nobody takes it for a
/// stray before it is known.
static LEADERS: LazyLock<Mutex<Leaders>> = LazyLock::new(|| {
    // From now on the orphans among the server's descendants are its children.
    if let Err(error) = set_child_subreaper(true) {
        tracing::warn!(%error, "programs that leave their process group may outlive their attempts");
    }
    Mutex::new(Leaders {
        adopted: Adopted::open(),
        marks: HashMap::new(),
        abandoned: HashSet::new(),
        reaped: Instant::now(),
    })
});

struct Leaders {
    adopted: Adopted,
    marks: HashMap<Pid, String>,
    /// Those that nobody waits for any more.
    abandoned: HashSet<Pid>,
    reaped: Instant,
}

/// The processes of one attempt.
#[derive(Clone, Debug)]
pub(super) struct Family {
    /// The leader's id, and that of its group.
    leader: Pid,
    mark: String,
    /// Those that were killed and may take a moment to be gone.
    killed: HashSet<Pid>,
}

impl Family {
    /// Starts `command` as the leader of a new group.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(command: &mut Command) -> io::Result<(Child, Self)> {
        use std::os::unix::process::CommandExt as _;
        let mark = Uuid::now_v7().to_string();
        command.env(MARK_VARIABLE, with_inherited(MARK_VARIABLE, &mark));
        command.process_group(0);
        let mut leaders = LEADERS.lock();
        let child = command.spawn()?;
        let leader = Pid::from_raw(child.id().cast_signed());
        leaders.marks.insert(leader, mark.clone());
        let killed = HashSet::new();
        Ok((
            child,
            Self {
                leader,
                mark,
                killed,
            },
        ))
    }

    /// The leader's id.
    pub(super) const fn leader(&self) -> Pid {
        self.leader
    }

    /// Asks all that are known to end: the group, and strays whose parents have ended.
    pub(super) fn ask_to_end(&self) {
        // It fails when nobody is left, which is as good.
        let _ = killpg(self.leader, Signal::SIGTERM);
        let leaders = LEADERS.lock();
        for pid in leaders.adopted.list().unwrap_or_default() {
            if !leaders.marks.contains_key(&pid) && self.is_marked(pid) {
                let _ = kill(pid, Signal::SIGTERM);
            }
        }
    }

    /// Kills the group at once.
    pub(super) fn kill_group(&self) {
        let _ = killpg(self.leader, Signal::SIGKILL);
    }

    /// Kills the leader and all who descend from it, and the strays that are known, and leaves it to
    /// a task to see them gone.
    pub(super) fn abandon(mut self) {
        LEADERS.lock().abandoned.insert(self.leader);
        // It fails for another user's program only; its group is killed as far as may be.
        self.killed = kill_tree(self.leader).unwrap_or_default();
        self.kill_group();
        let _ = self.round();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { self.until_gone().await });
        }
    }

    /// Kills all that are left and waits until they are gone; gives how many could not be ended
    /// within some seconds. The leader must have ended and must not be reaped.
    pub(super) async fn end(&mut self) -> usize {
        self.kill_group();
        self.until_gone().await
    }

    async fn until_gone(&mut self) -> usize {
        let deadline = Instant::now() + KILLED_WITHIN;
        let mut child_ended = signal(SignalKind::child()).ok();
        loop {
            let left = match self.round() {
                Ok((0, 0)) => return 0,
                // Others' programs cannot be ended by us; there is nothing to wait for.
                Ok((0, denied)) => return denied,
                Ok((dying, denied)) => dying + denied,
                // Descriptors are short: one at least may be left.
                Err(_) => 1,
            };
            if Instant::now() >= deadline {
                return left;
            }
            match &mut child_ended {
                Some(ended) => {
                    let _ = tokio::time::timeout(LOOK_EVERY, ended.recv()).await;
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The leader was reaped.
    pub(super) fn forget(&self) {
        LEADERS.lock().forget(self.leader);
    }

    /// Kills what has become ours to kill and reaps what has ended; gives how many of this family are
    /// still there, and how many of them may not be killed.
    fn round(&mut self) -> io::Result<(usize, usize)> {
        let mut leaders = LEADERS.lock();
        for _ in 0..MOST_ROUNDS {
            let adopted = leaders.adopted.list()?;
            let mut reaped = leaders.reap(&adopted);
            let mut dying = usize::from(leaders.abandoned.contains(&self.leader));
            let mut denied = 0;
            for pid in adopted {
                if leaders.marks.contains_key(&pid) || !self.owns(pid, &leaders)? {
                    continue;
                }
                match kill_tree(pid) {
                    Ok(tree) => {
                        self.killed.extend(tree);
                        dying += 1;
                    }
                    Err(_) => denied += 1,
                }
                reaped |= reap(pid);
            }
            // What has ended left its children to us.
            if !reaped {
                return Ok((dying, denied));
            }
        }
        Ok((1, 0))
    }

    /// Whether an adopted process is this family's to end.
    ///
    /// # Errors
    /// When that cannot be told for want of descriptors or memory.
    fn owns(&self, pid: Pid, leaders: &Leaders) -> io::Result<bool> {
        let Ok(group) = getpgid(Some(pid)) else {
            return Ok(false);
        };
        if group == self.leader || self.killed.contains(&pid) {
            return Ok(true);
        }
        let marks = marks(pid, MARK_VARIABLE)?;
        if marks.contains(&self.mark) {
            return Ok(true);
        }
        // Not an attempt's, unless it is marked: something this process itself started.
        if group == getpgrp() && marks.is_empty() {
            return Ok(false);
        }
        let Some(birth) = began(pid) else {
            return Ok(false);
        };
        let may_be_of = |&leader: &Pid, mark: &String| {
            if marks.is_empty() {
                began(leader).is_none_or(|begun| begun <= birth)
            } else {
                marks.contains(mark)
            }
        };
        let others = leaders
            .marks
            .iter()
            .filter(|(leader, _)| **leader != self.leader && !leaders.abandoned.contains(leader));
        Ok(!others
            .into_iter()
            .any(|(leader, mark)| may_be_of(leader, mark)))
    }

    fn is_marked(&self, pid: Pid) -> bool {
        marks(pid, MARK_VARIABLE).is_ok_and(|marks| marks.contains(&self.mark))
    }
}

impl Leaders {
    /// Reaps adopted processes that have ended, and leaders that nobody waits for; says whether
    /// there were any.
    fn reap(&mut self, adopted: &[Pid]) -> bool {
        let mut reaped = false;
        for leader in self.abandoned.clone() {
            if reap(leader) {
                reaped = true;
                self.forget(leader);
            }
        }
        let own = getpgrp();
        for &pid in adopted {
            // What shares our group somebody else in this process may wait for.
            if !self.marks.contains_key(&pid) && getpgid(Some(pid)).is_ok_and(|group| group != own)
            {
                reaped |= reap(pid);
            }
        }
        reaped
    }

    fn forget(&mut self, leader: Pid) {
        self.marks.remove(&leader);
        self.abandoned.remove(&leader);
    }
}

/// Reaps what ended by itself beside running attempts: a program may start thousands of daemons.
pub(super) fn reap_strays() {
    let Some(mut leaders) = LEADERS.try_lock() else {
        return;
    };
    if leaders.reaped.elapsed() < REAP_EVERY {
        return;
    }
    leaders.reaped = Instant::now();
    // Another time, when descriptors are short.
    let adopted = leaders.adopted.list().unwrap_or_default();
    leaders.reap(&adopted);
}

/// Reaps a child that has ended; says whether it has.
fn reap(pid: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    match waitid(Id::Pid(pid), flags) {
        Ok(WaitStatus::StillAlive) => false,
        Ok(_) | Err(Errno::ECHILD) => true,
        Err(_) => false,
    }
}

/// The value of a mark's variable: marks of servers around this one first, so that they find what
/// this one's programs leave.
pub(super) fn with_inherited(variable: &str, mark: &str) -> String {
    match std::env::var(variable) {
        Ok(outer) if !outer.is_empty() => format!("{outer},{mark}"),
        _ => mark.to_owned(),
    }
}
