//! Space on file systems.
//!
//! Asking for it waits for as long as the file system likes: for ever, on a network share whose
//! server has gone. So it is asked on a thread that can be left behind. A mount that does not answer
//! in time is missing from the readings, and is not asked again before it has answered.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, TryRecvError},
    },
    thread,
    time::Duration,
};

use limelight_protocol::host::DiskSample;

/// How long a mount may take to answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// Threads left behind at most; beyond, no mount is asked until one has answered.
const MOST_SILENT: usize = 16;

/// File systems that hold nobody's files, and those that are mounted by being asked.
const WITHOUT_FILES: [&str; 22] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "proc",
    "pstore",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Space of a file system, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// In use, or kept for the superuser.
    pub used: u64,
    /// In all.
    pub total: u64,
}

/// Reads one mount; may block.
type ReadSpace = Arc<dyn Fn(&Path) -> Option<Space> + Send + Sync>;
/// Lists the mounts worth reading; must not block.
type ListMounts = Box<dyn Fn() -> Vec<PathBuf> + Send>;

/// Reads the space of all mounts.
pub struct DiskReader {
    list: ListMounts,
    read: ReadSpace,
    asker: Option<Asker>,
    /// Those that have not answered yet, each with the thread that waits for it.
    silent: HashMap<PathBuf, Asker>,
}

impl std::fmt::Debug for DiskReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskReader")
            .field("silent", &self.silent.keys())
            .finish_non_exhaustive()
    }
}

/// A thread that reads one mount after the other. It ends when this is dropped, and it has an answer.
struct Asker {
    ask: mpsc::Sender<PathBuf>,
    answers: mpsc::Receiver<Option<Space>>,
}

impl Asker {
    fn start(read: ReadSpace) -> std::io::Result<Self> {
        let (ask, asked) = mpsc::channel::<PathBuf>();
        let (answer, answers) = mpsc::channel();
        let work = move || {
            for mount in asked {
                if answer.send(read(&mount)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("disks".into()).spawn(work)?;
        Ok(Self { ask, answers })
    }
}

impl Default for DiskReader {
    fn default() -> Self {
        Self::new(Box::new(mounts), Arc::new(space))
    }
}

impl DiskReader {
    /// Reads what `list` names by `read`.
    fn new(list: ListMounts, read: ReadSpace) -> Self {
        Self {
            list,
            read,
            asker: None,
            silent: HashMap::new(),
        }
    }

    /// Every mount that answers, by path. Takes 250 ms longer for each that has just gone silent.
    pub fn read(&mut self) -> Vec<DiskSample> {
        self.silent.retain(|mount, asker| {
            let silent = matches!(asker.answers.try_recv(), Err(TryRecvError::Empty));
            if !silent {
                tracing::info!(mount = %mount.display(), "a file system answers again");
            }
            silent
        });
        let mut samples: Vec<DiskSample> = Vec::new();
        for mount in (self.list)() {
            if let Some(space) = self.ask(&mount).filter(|space| space.total > 0) {
                samples.push(DiskSample {
                    mount: mount.display().to_string(),
                    used_bytes: space.used,
                    total_bytes: space.total,
                });
            }
        }
        samples.sort_by(|a, b| a.mount.cmp(&b.mount));
        samples
    }

    fn ask(&mut self, mount: &Path) -> Option<Space> {
        if self.silent.contains_key(mount) || self.silent.len() >= MOST_SILENT {
            return None;
        }
        let asker = match self.asker.take() {
            Some(asker) => asker,
            None => Asker::start(Arc::clone(&self.read))
                .inspect_err(|error| tracing::warn!(%error, "no thread to read file systems"))
                .ok()?,
        };
        asker.ask.send(mount.to_owned()).ok()?;
        match asker.answers.recv_timeout(PATIENCE) {
            Ok(space) => {
                self.asker = Some(asker);
                space
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(mount = %mount.display(), "a file system does not answer");
                self.silent.insert(mount.to_owned(), asker);
                None
            }
            // The thread has ended; the next mount gets a fresh one.
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

/// Where file systems with files are mounted, each once: a device may be mounted in many places, and
/// the shortest stands for it.
fn mounts() -> Vec<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    from_table(&text)
}

/// Mounts from a table as in fstab(5).
fn from_table(text: &str) -> Vec<PathBuf> {
    let mut by_device: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(device), Some(mount), Some(kind)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let mount = unescaped(mount);
        if WITHOUT_FILES.contains(&kind)
            || ["/sys", "/proc", "/dev"]
                .iter()
                .any(|root| Path::new(&mount).starts_with(root))
        {
            continue;
        }
        let shortest = by_device
            .entry((device, kind))
            .or_insert_with(|| mount.clone());
        if (mount.len(), &mount) < (shortest.len(), shortest) {
            *shortest = mount;
        }
    }
    by_device.into_values().map(PathBuf::from).collect()
}

/// Blanks and backslashes are in octal, as `\040`.
fn unescaped(field: &str) -> String {
    field
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

fn space(mount: &Path) -> Option<Space> {
    let found = nix::sys::statvfs::statvfs(mount).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    let total = bytes(found.blocks());
    Some(Space {
        used: total.saturating_sub(bytes(found.blocks_available())),
        total,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
    };

    use super::*;

    #[test]
    fn the_shortest_mount_stands_for_its_device() {
        let table = "proc /proc proc rw 0 0\n\
            /dev/sda1 /mnt/deep/copy ext4 rw 0 0\n\
            /dev/sda1 / ext4 rw 0 0\n\
            tmpfs /tmp tmpfs rw 0 0\n\
            nas:/home /home\\040of\\040all nfs4 rw 0 0\n\
            broken\n";
        let found: Vec<_> = from_table(table)
            .iter()
            .map(|mount| mount.display().to_string())
            .collect();
        assert_eq!(found, ["/", "/home of all"]);
    }

    #[test]
    fn a_mount_that_does_not_answer_is_missing_and_keeps_none_of_the_others() {
        let (let_go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let asked = Arc::new(Mutex::new(HashMap::<PathBuf, usize>::new()));
        let threads = Arc::new(AtomicUsize::new(0));
        let read: ReadSpace = {
            let (asked, threads) = (Arc::clone(&asked), Arc::clone(&threads));
            Arc::new(move |mount| {
                *asked.lock().unwrap().entry(mount.into()).or_default() += 1;
                threads.fetch_add(1, SeqCst);
                if mount == Path::new("/dead") {
                    // Until the test lets it go, as a dead server would.
                    let _ = gate.lock().unwrap().recv();
                }
                threads.fetch_sub(1, SeqCst);
                Some(Space { used: 1, total: 2 })
            })
        };
        let list = || ["/", "/dead", "/home"].map(PathBuf::from).to_vec();
        let mut reader = DiskReader::new(Box::new(list), read);
        let mut mounts = move || -> Vec<String> {
            let samples = reader.read();
            samples.into_iter().map(|disk| disk.mount).collect()
        };
        // A slow machine may have others miss their time too; they come back.
        while mounts() != ["/", "/home"] {}
        for _ in 0..20 {
            assert!(!mounts().contains(&"/dead".to_owned()));
        }
        assert_eq!(
            asked.lock().unwrap()[Path::new("/dead")],
            1,
            "it was asked again"
        );
        assert_eq!(threads.load(SeqCst), 1, "threads pile up");
        drop(let_go);
        while mounts() != ["/", "/dead", "/home"] {}
    }

    #[test]
    fn the_real_mounts_are_read() {
        let samples = DiskReader::default().read();
        for disk in &samples {
            assert!(disk.used_bytes <= disk.total_bytes, "{disk:?}");
        }
    }
}
