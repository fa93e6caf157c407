//! The file behind `$LIMELIGHT_REPORT`, read while it is written.

use std::{
    fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use tempfile::NamedTempFile;

use super::lines::{Line, LineSplitter};

const CHUNK_BYTES: usize = 64 << 10;

/// A fresh file that only this user may read; removed when dropped.
#[derive(Debug)]
pub(super) struct ReportFile {
    file: NamedTempFile,
    offset: u64,
    max_bytes: u64,
    lines: LineSplitter,
}

impl ReportFile {
    /// Reads lines of at most `max_line_bytes`, and at most `max_bytes` in all. `server_mark` tells
    /// whose it is.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn create(
        server_mark: &str,
        max_line_bytes: usize,
        max_bytes: usize,
    ) -> io::Result<Self> {
        let file = tempfile::Builder::new()
            .prefix(&prefix(server_mark))
            // Not `tempfile`, whose errors do not say that descriptors are short.
            .make(|path| {
                fs::OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
            })?;
        let lines = LineSplitter::new(max_line_bytes);
        Ok(Self {
            file,
            offset: 0,
            max_bytes: max_bytes as u64,
            lines,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The next lines that were written since; none when there is nothing new. Reads a bounded
    /// piece of a small local file, so it does not bother with another thread.
    pub(super) fn read(&mut self) -> Vec<Line> {
        let length = self.length();
        if length < self.offset {
            // It was truncated and written anew.
            self.offset = 0;
        }
        if length == self.offset || self.offset >= self.max_bytes {
            return Vec::new();
        }
        let most = (length.min(self.max_bytes) - self.offset) as usize;
        let mut chunk = vec![0; CHUNK_BYTES.min(most)];
        let file = self.file.as_file();
        let read = file.read_at(&mut chunk, self.offset).unwrap_or(0);
        self.offset += read as u64;
        self.lines.push(&chunk[..read])
    }

    /// Whether there is more to read at once.
    pub(super) fn has_more(&self) -> bool {
        self.length() > self.offset && self.offset < self.max_bytes
    }

    /// How much of it is read, in bytes, when there is more.
    pub(super) fn exceeds(&self) -> Option<u64> {
        (self.length() > self.offset).then_some(self.max_bytes)
    }

    fn length(&self) -> u64 {
        let metadata = self.file.as_file().metadata();
        metadata.map_or(0, |metadata| metadata.len())
    }

    /// A last line without a line end.
    pub(super) fn finish(&mut self) -> Option<Line> {
        self.lines.finish()
    }
}

/// Removes the files that a killed server with this mark left.
pub(super) fn remove_leftovers(server_mark: &str) {
    let prefix = prefix(server_mark);
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // What is another user's stays; it is not ours.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn prefix(server_mark: &str) -> String {
    let mark = server_mark.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("limelight-report-{mark}-")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Deed {
        Write(Vec<u8>),
        Truncate(u64),
        Read,
    }

    fn deed() -> impl Strategy<Value = Deed> {
        let byte = prop_oneof![Just(b'\n'), Just(0), any::<u8>()];
        prop_oneof![
            prop::collection::vec(byte, 0..300).prop_map(Deed::Write),
            (0..400_u64).prop_map(Deed::Truncate),
            Just(Deed::Read),
        ]
    }

    proptest! {
        #[test]
        fn fuzz_whatever_a_program_does_to_it_lines_are_bounded(
            deeds in prop::collection::vec(deed(), 0..40),
        ) {
            let mut report = ReportFile::create("fuzz", 16, 500).unwrap();
            let mut writer = fs::OpenOptions::new().append(true).open(report.path()).unwrap();
            let check = |lines: &[Line]| {
                // Each byte may have become a replacement character.
                lines.iter().all(|line| line.text.len() <= 48 && !line.text.contains(['\0', '\n']))
            };
            for deed in deeds {
                match deed {
                    Deed::Write(bytes) => writer.write_all(&bytes).unwrap(),
                    Deed::Truncate(length) => writer.set_len(length).unwrap(),
                    Deed::Read => {
                        let lines = report.read();
                        prop_assert!(check(&lines) && lines.len() <= 500);
                    }
                }
            }
            let mut rounds = 0;
            while report.has_more() {
                prop_assert!(check(&report.read()));
                rounds += 1;
                prop_assert!(rounds < 10, "it never ends");
            }
            prop_assert!(check(&report.finish().into_iter().collect::<Vec<_>>()));
            prop_assert!(report.offset <= 500);
        }
    }

    fn texts(lines: impl IntoIterator<Item = Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_read_as_they_are_written_and_the_file_goes_in_the_end() {
        let mut report = ReportFile::create("a/mark", 100, 1000).unwrap();
        let path = report.path().to_owned();
        let mut writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(report.read(), []);
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(texts(report.read()), ["one"]);
        writer.write_all(b"o\nlast").unwrap();
        assert!(report.has_more());
        assert_eq!(texts(report.read()), ["two"]);
        assert!(!report.has_more());
        assert_eq!(texts(report.finish()), ["last"]);
        fs::write(&path, "anew\n").unwrap();
        assert_eq!(texts(report.read()), ["anew"]);
        drop(report);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_server_left_is_removed() {
        let mark = uuid::Uuid::now_v7().to_string();
        let mine = ReportFile::create(&mark, 1, 1).unwrap();
        let other = ReportFile::create(&format!("other-{mark}"), 1, 1).unwrap();
        remove_leftovers(&mark);
        assert!(!mine.path().exists() && other.path().exists());
    }
}
