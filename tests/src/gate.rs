//! A command that runs until the test lets it go on.

use std::{fs, path::PathBuf};

use anyhow::Result;
use tempfile::TempDir;

/// A gate that commands wait at.
#[derive(Debug)]
pub struct Gate(TempDir);

impl Gate {
    /// A closed gate.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// The file that is there when the gate is open.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path().join("open")
    }

    /// Shell text, free of quotes, that waits until the gate is open, or gone with its test.
    #[must_use]
    pub fn wait(&self) -> String {
        let (open, folder) = (self.path(), self.0.path());
        let (open, folder) = (open.display(), folder.display());
        format!("until [ -e {open} ] || [ ! -d {folder} ]; do sleep 0.02; done")
    }

    /// Opens it.
    ///
    /// # Errors
    /// When the folder is gone.
    pub fn open(&self) -> Result<()> {
        Ok(fs::write(self.path(), "")?)
    }
}
