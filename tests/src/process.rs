//! What the operating system says of a process.

use std::fs;

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::eventually;

/// Whether a process exists and has not ended. One that has ended and was not collected by its
/// parent counts as gone.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    // The state follows the program's name, which is in parentheses and may hold any character.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        state.is_some_and(|state| !state.starts_with(['Z', 'X']))
    })
}

/// Waits until a process has ended.
///
/// # Errors
/// When it does not.
pub async fn gone(pid: u32) -> Result<()> {
    eventually(&format!("the end of process {pid}"), || async {
        Ok((!is_alive(pid)).then_some(()))
    })
    .await
}

/// The processes that a process has started and that still run.
///
/// # Errors
/// When there is no such process.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("children"))?;
        for child in text.split_whitespace() {
            children.push(child.parse()?);
        }
    }
    Ok(children)
}

/// Memory of a process that is in RAM, bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("no VmRSS")?
        .parse()?;
    Ok(kilobytes * 1024)
}

/// Sends a signal.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
}

/// Kills a process group that `leader` leads.
///
/// # Errors
/// When there is no such group.
pub fn kill_group(leader: u32) -> Result<()> {
    let leader = Pid::from_raw(i32::try_from(leader)?);
    Ok(killpg(leader, Signal::SIGKILL)?)
}
