//! The lock of a SQLite file: one server at a time, by whatever name it calls the file.
//!
//! It is taken on a file beside the database's own place, with symbolic links followed. Not on the
//! database itself: SQLite locks that in its own way, and loses its locks when anybody in the process
//! closes the file. The operating system gives the lock back when the process ends, however it ends.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use super::error::{Result, StoreError, one_line};

/// How long a lock is waited for: a server that was killed may not be quite gone.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is tried meanwhile.
pub const TRY_EVERY: Duration = Duration::from_millis(50);

/// Held until it is dropped.
#[derive(Debug)]
pub struct FileLock(#[allow(dead_code, reason = "held, not read")] File);

impl FileLock {
    /// Wraps a file that is held for the sake of its lock.
    #[cfg(test)]
    pub const fn of(file: File) -> Self {
        Self(file)
    }

    /// Makes the file and its folder where they are missing, and takes its lock.
    pub async fn take(path: &Path) -> Result<Self> {
        let unwritable = |error: io::Error| StoreError::Unwritable {
            path: path.display().to_string(),
            reason: one_line(&error),
        };
        make(path)?;
        let place = fs::canonicalize(path).map_err(unwritable)?;
        if fs::metadata(&place).is_ok_and(|file| file.is_file() && file.nlink() > 1) {
            return Err(StoreError::Unwritable {
                path: path.display().to_string(),
                reason: "the file has several names (hard links), and SQLite would keep a log \
                         for each of them; leave it one"
                    .into(),
            });
        }
        let mut name = OsString::from(&place);
        name.push(".lock");
        let file = File::create(&name).map_err(unwritable)?;
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(unwritable(error)),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() >= patience => {
                    return Err(StoreError::InUse(place.display().to_string()));
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(TRY_EVERY).await,
            }
        }
    }
}

/// Makes the file and its folder where they are missing.
pub fn make(path: &Path) -> Result<()> {
    let unwritable = |error: io::Error| StoreError::Unwritable {
        path: path.display().to_string(),
        reason: one_line(&error),
    };
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    // An empty file is an empty database. A link that leads nowhere yet is followed.
    let made = OpenOptions::new().append(true).create(true).open(path);
    made.map(drop).map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_file_has_one_lock_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir(folder.join("real")).unwrap();
        symlink(folder.join("real"), folder.join("folder")).unwrap();
        symlink("real/a.db", folder.join("link.db")).unwrap();
        // The first name is of a link that leads nowhere yet.
        let names = ["link.db", "real/a.db", "folder/a.db", "real/../real/a.db"];
        for first in [names[0], names[2]] {
            let held = FileLock::take(&folder.join(first)).await.unwrap();
            for second in &names[1..3] {
                let refused = FileLock::take(&folder.join(second)).await;
                assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
            }
            FileLock::take(&folder.join("other.db")).await.unwrap();
            drop(held);
        }
        fs::hard_link(folder.join("real/a.db"), folder.join("hard.db")).unwrap();
        let refused = FileLock::take(&folder.join("hard.db")).await;
        assert!(matches!(refused, Err(StoreError::Unwritable { .. })));
    }
}
