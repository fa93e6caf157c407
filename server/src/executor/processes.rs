//! What `/proc` tells of processes, and how to end a family of them.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How often a list of children is read until two readings agree.
const MOST_READINGS: usize = 16;

/// The children of all threads of a process.
pub(super) fn children(parent: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{parent}/task"))? {
        let thread = thread?.file_name();
        let thread = thread.to_string_lossy();
        match fs::read_to_string(format!("/proc/{parent}/task/{thread}/children")) {
            Ok(list) => children.extend(pids(&list)),
            // The thread ended meanwhile.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// The children that this process's first thread has. Orphans are given to it; its own children
/// belong to the thread that started them.
#[derive(Debug)]
pub(super) struct Adopted {
    /// Kept open, so that it is read also when descriptors are short.
    list: io::Result<File>,
}

impl Adopted {
    /// Opens the list.
    pub(super) fn open() -> Self {
        let me = Pid::this();
        Self {
            list: File::open(format!("/proc/{me}/task/{me}/children")),
        }
    }

    /// Who they are now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn list(&self) -> io::Result<Vec<Pid>> {
        let mut last = self.read()?;
        // The kernel may leave one out when another ends meanwhile; an empty list is always true.
        for _ in 0..MOST_READINGS {
            if last.is_empty() {
                break;
            }
            let again = self.read()?;
            if again == last {
                break;
            }
            last = again;
        }
        Ok(last)
    }

    fn read(&self) -> io::Result<Vec<Pid>> {
        let Ok(list) = &self.list else {
            // A kernel without such files.
            return children_by_parent(Pid::this());
        };
        let mut text = Vec::new();
        let mut buffer = [0; 4 << 10];
        loop {
            match list.read_at(&mut buffer, text.len() as u64)? {
                0 => return Ok(pids(&String::from_utf8_lossy(&text)).collect()),
                read => text.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

fn children_by_parent(parent: Pid) -> io::Result<Vec<Pid>> {
    let is_child = |&pid: &Pid| stat_field(pid, 4) == Some(parent.as_raw() as u64);
    Ok(all()?.into_iter().filter(is_child).collect())
}

/// All processes.
pub(super) fn all() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(pid));
    }
    Ok(found)
}

/// When it began, in clock ticks since the machine did; `None` when it is gone.
pub(super) fn began(pid: Pid) -> Option<u64> {
    stat_field(pid, 22)
}

/// A number of `/proc/PID/stat`, counted from 1 as in proc(5).
fn stat_field(pid: Pid, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(field - 3)?.parse().ok()
}

/// The members of the comma-separated list that an environment variable of the process holds. None for
/// processes of other users, for those that have ended, and for those that wrote over their
/// environment.
///
/// # Errors
/// When descriptors or memory are short.
pub(super) fn marks(pid: Pid, variable: &str) -> io::Result<Vec<String>> {
    let environment = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environment) => environment,
        Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let marks = environment
        .split(|&byte| byte == 0)
        .filter_map(|entry| {
            let value = entry
                .strip_prefix(variable.as_bytes())?
                .strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
        .flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>());
    Ok(marks.collect())
}

/// Kills a process and all that descend from it, and gives them. Each is held first, so that none has
/// children behind the reader's back.
///
/// # Errors
/// When the first of them may not be killed: it runs as another user.
pub(super) fn kill_tree(root: Pid) -> Result<HashSet<Pid>, Errno> {
    let held = kill(root, Signal::SIGSTOP);
    let mut tree = vec![root];
    let mut seen = HashSet::from([root]);
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        next += 1;
        for child in children(parent).unwrap_or_default() {
            if seen.insert(child) {
                // It fails for those that are gone, which is as good.
                let _ = kill(child, Signal::SIGSTOP);
                tree.push(child);
            }
        }
    }
    for pid in tree {
        let _ = kill(pid, Signal::SIGKILL);
    }
    match held {
        Err(Errno::EPERM) => Err(Errno::EPERM),
        _ => Ok(seen),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn pids(list: &str) -> impl Iterator<Item = Pid> {
    list.split_whitespace().filter_map(pid)
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}
