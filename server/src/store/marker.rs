//! How far the journal was, kept outside the database.
//!
//! A database that is put back from a copy gives positions again that clients have seen with other
//! events. The database itself cannot know; a small file in the data folder does. It holds the journal's
//! epoch and newest position, written after every commit and before anybody hears of it. At a start, a
//! database that is behind it, or of another epoch, gets a new epoch, and clients begin anew.
//!
//! The file is not waited for to reach the disk: a power cut may leave an older position in it, never a
//! newer one. It tells nothing when the data folder is lost together with the database, or of a copy that
//! has gone further than the original.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

/// Name of the file in the data folder.
pub const FILE: &str = "journal-position";

/// The epoch (32 digits), a space, the position (20 digits), a line feed.
const LENGTH: usize = 54;

/// The open file.
#[derive(Debug)]
pub struct Marker {
    file: File,
    epoch: String,
    /// So that a disk that fails is told of once.
    failed: bool,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Nothing: it is new.
    Nothing,
    /// Something that cannot be read.
    Unreadable,
    /// How far the journal was.
    At {
        /// Its epoch.
        epoch: String,
        /// Its newest position.
        position: u64,
    },
}

impl Marked {
    /// Whether a database of this epoch and position is not the one that was marked, or is behind it.
    pub fn contradicts(&self, epoch: &str, position: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Unreadable => true,
            Self::At {
                epoch: marked,
                position: reached,
            } => marked != epoch || *reached > position,
        }
    }

    /// The epoch it says.
    pub fn epoch(self) -> Option<String> {
        match self {
            Self::At { epoch, .. } => Some(epoch),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

impl Marker {
    /// Opens the file, made where it is missing, and reads it.
    pub fn open(path: &Path) -> io::Result<(Self, Marked)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut text = [0; LENGTH];
        let marked = match file.metadata()?.len() {
            0 => Marked::Nothing,
            _ => file
                .read_exact_at(&mut text, 0)
                .ok()
                .and_then(|()| parse(&text))
                .unwrap_or(Marked::Unreadable),
        };
        let marker = Self {
            file,
            epoch: String::new(),
            failed: false,
        };
        Ok((marker, marked))
    }

    /// Says of which epoch the journal is, and how far.
    pub fn begin(&mut self, epoch: &str, position: u64) -> io::Result<()> {
        epoch.clone_into(&mut self.epoch);
        self.write(position)
    }

    /// Says how far the journal is.
    pub fn advance(&mut self, position: u64) {
        match self.write(position) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::warn!(%error, "cannot note how far the journal is; a restored backup may go unnoticed");
            }
            Err(_) => {}
        }
    }

    fn write(&self, position: u64) -> io::Result<()> {
        let text = format!("{:>32} {position:020}\n", self.epoch);
        self.file.write_all_at(text.as_bytes(), 0)
    }
}

fn parse(text: &[u8]) -> Option<Marked> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let (epoch, position) = text.trim_start().split_once(' ')?;
    Some(Marked::At {
        epoch: epoch.to_owned(),
        position: position.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_marked_last_and_what_contradicts_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut marker, marked) = Marker::open(&path).unwrap();
        assert_eq!(marked, Marked::Nothing);
        assert!(!marked.contradicts("b", 0));
        let epoch = "0199c0a000007000800000000000000a";
        marker.begin(epoch, 7).unwrap();
        marker.advance(u64::MAX);
        marker.advance(12);
        let (_, marked) = Marker::open(&path).unwrap();
        assert!(!marked.contradicts(epoch, 12) && !marked.contradicts(epoch, 13));
        assert!(marked.contradicts(epoch, 11) && marked.contradicts("b", 12));
        std::fs::write(&path, "x").unwrap();
        let (_, marked) = Marker::open(&path).unwrap();
        assert!(marked.contradicts(epoch, 12));
    }
}
