//! How many connections there may be, by the file descriptors the process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Most connections when nothing else is set: an idle one costs some 20 KiB.
const MOST_CONNECTIONS: u64 = 8192;
/// Descriptors kept for the store, the runtime, the log, outgoing requests.
const OWN_DESCRIPTORS: u64 = 96;
/// Descriptors kept for each command that may run: both ends of its pipes while it starts.
const DESCRIPTORS_OF_A_COMMAND: u64 = 8;

/// How many there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of any kind.
    pub connections: usize,
    /// WebSockets and streams of server-sent events among them.
    pub streams: usize,
}

impl Limits {
    /// Those for a process that may have `descriptors` open and runs up to `command_slots` commands:
    /// at most `wanted` connections, a quarter of which stays free for short requests.
    #[must_use]
    pub fn new(descriptors: u64, command_slots: usize, wanted: Option<usize>) -> Self {
        let room = descriptors
            .saturating_sub(reserve(command_slots))
            .max(descriptors / 2);
        let connections = room.min(most(wanted)).max(4) as usize;
        Self {
            connections,
            streams: connections - connections / 4,
        }
    }

    /// Raises the process's own limit of descriptors as far as it is of use and allowed, and goes by
    /// what there is then.
    #[must_use]
    pub fn of_this_process(command_slots: usize, wanted: Option<usize>) -> Self {
        // Not further: programs that close all descriptors they might have take long over millions.
        let useful = most(wanted) + reserve(command_slots);
        let descriptors = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < useful => {
                let raised = useful.min(hard);
                match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
                    Ok(()) => raised,
                    Err(error) => {
                        tracing::warn!(%error, soft, "the limit of open files cannot be raised");
                        soft
                    }
                }
            }
            Ok((soft, _)) => soft,
            Err(error) => {
                tracing::warn!(%error, "the limit of open files is not known");
                1024
            }
        };
        let limits = Self::new(descriptors, command_slots, wanted);
        if (limits.connections as u64) < most(wanted) {
            tracing::warn!(
                connections = limits.connections,
                descriptors,
                "fewer connections than wanted: raise the limit of open files (ulimit -n)"
            );
        }
        limits
    }
}

fn most(wanted: Option<usize>) -> u64 {
    wanted.map_or(MOST_CONNECTIONS, |wanted| wanted as u64)
}

const fn reserve(command_slots: usize) -> u64 {
    OWN_DESCRIPTORS + DESCRIPTORS_OF_A_COMMAND * command_slots as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_store_and_for_commands() {
        for descriptors in [64, 256, 1024, 65_536, u64::MAX] {
            for slots in [1, 4, 64] {
                let limits = Limits::new(descriptors, slots, None);
                assert!(limits.connections <= 8192);
                assert!(
                    (limits.connections as u64) <= descriptors / 2 + 1 || {
                        limits.connections as u64 + reserve(slots) <= descriptors
                    }
                );
                assert!(limits.streams < limits.connections);
            }
        }
        assert_eq!(Limits::new(1024, 4, None).connections, 896);
        assert_eq!(Limits::new(65_536, 4, Some(100)).connections, 100);
    }
}
