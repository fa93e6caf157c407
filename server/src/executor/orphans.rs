//! Ends what a killed server left running.
//!
//! A server that is killed cannot end its programs: they live on, each leading its own process
//! group. Were an attempt tried again beside its old self, both would do its work.

use std::{collections::HashSet, thread, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, getpgid, getpgrp},
};

use super::{
    SERVER_MARK_VARIABLE,
    processes::{all, kill_tree, marks},
    report_file::remove_leftovers,
};

/// How often `/proc` is read anew: for processes that were born while it was read, and until those
/// that were killed are gone.
const MOST_ROUNDS: usize = 100;

/// How long the killed have between two readings.
const PAUSE: Duration = Duration::from_millis(10);

/// Kills all processes whose environment carries `server_mark`, with their process groups and all that
/// descends from them, except the caller's own group, waits (a second at most) until they are gone, and
/// says how many groups there were. What left its group (`setsid`) carries the mark all the same; only
/// what cleaned its environment, and whose parent has ended, is not found. Report files they had are
/// removed. Call it at start, before the first attempt begins: attempts of the running server carry
/// the same mark.
pub fn kill_orphans(server_mark: &str) -> usize {
    let mut killed = HashSet::new();
    for _ in 0..MOST_ROUNDS {
        let found = marked(server_mark);
        if found.is_empty() {
            break;
        }
        for (process, group) in found {
            // Another user's cannot be killed; the group may be all the same.
            let tree = kill_tree(process);
            if tree.is_ok() | killpg(group, Signal::SIGKILL).is_ok() {
                killed.insert(group);
            }
        }
        thread::sleep(PAUSE);
    }
    remove_leftovers(server_mark);
    killed.len()
}

/// The processes with the mark, and their groups. The environments of other users' processes cannot be
/// read; they are not ours.
fn marked(server_mark: &str) -> Vec<(Pid, Pid)> {
    let is_marked = |&process: &Pid| {
        marks(process, SERVER_MARK_VARIABLE)
            .is_ok_and(|marks| marks.iter().any(|mark| mark == server_mark))
    };
    let processes = all().unwrap_or_default();
    processes
        .into_iter()
        .filter(is_marked)
        .filter_map(|process| Some((process, getpgid(Some(process)).ok()?)))
        .filter(|&(_, group)| group != getpgrp() && group.as_raw() > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::{CommandExt as _, ExitStatusExt as _},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn orphans_are_found_by_their_mark_and_killed_with_all_that_descends_from_them() {
        let mark = uuid::Uuid::now_v7().to_string();
        let start = |mark: &str| {
            let mut child = Command::new("/bin/sh")
                .args([
                    "-c",
                    "trap '' TERM; sleep 600 & setsid sh -c 'env -i setsid sleep 600 & echo started; wait' & wait",
                ])
                .env(SERVER_MARK_VARIABLE, mark)
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .unwrap();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            (child, stdout)
        };
        let (mut orphan, mut orphan_stdout) = start(&mark);
        let (mut other, _other_stdout) = start(&format!("{mark}0"));

        // The leader's group, and that of the one that left it.
        assert_eq!(kill_orphans(&mark), 2);

        assert_eq!(
            orphan.wait().unwrap().signal(),
            Some(Signal::SIGKILL as i32)
        );
        // The pipe ends only when the last of them is gone, too.
        assert_eq!(orphan_stdout.read_line(&mut String::new()).unwrap(), 0);
        assert!(
            other.try_wait().unwrap().is_none(),
            "a process of another server was killed"
        );
        assert_eq!(kill_orphans(&format!("{mark}0")), 2);
        other.wait().unwrap();
    }

    #[test]
    fn nothing_is_killed_when_nobody_carries_the_mark() {
        assert_eq!(kill_orphans(&uuid::Uuid::now_v7().to_string()), 0);
    }
}
