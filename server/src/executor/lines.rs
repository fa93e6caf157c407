//! Cuts a stream of bytes into lines of bounded length.

use memchr::{memchr, memchr_iter, memmem, memrchr};

/// A line, or the beginning of one that was too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its text: invalid UTF-8 and NUL, which databases refuse, are replaced; no line end.
    pub text: String,
    /// Whether its end was cut off.
    pub cut: bool,
}

/// How commands begin; they are looked for even where lines are only counted.
const COMMAND: &[u8] = b"::";

/// Takes chunks, gives lines; holds at most one line's beginning.
#[derive(Debug)]
pub(super) struct LineSplitter {
    partial: Vec<u8>,
    cut: bool,
    /// Within a line that is only counted.
    skipping: bool,
    max_bytes: usize,
}

/// What [`LineSplitter::skim`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Skimmed {
    /// Lines that begin like a command.
    pub commands: Vec<Line>,
    /// How many others ended.
    pub lines: u64,
}

impl LineSplitter {
    /// Lines of at most `max_bytes`, without the line end.
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self {
            partial: Vec::new(),
            cut: false,
            skipping: false,
            max_bytes,
        }
    }

    /// The line that ends in `chunk`, if one does, and what follows it.
    pub(super) fn next<'a>(&mut self, chunk: &'a [u8]) -> (Option<Line>, &'a [u8]) {
        let Some(end) = memchr(b'\n', chunk) else {
            self.keep(chunk);
            return (None, &[]);
        };
        self.keep(&chunk[..end]);
        (Some(self.take()), &chunk[end + 1..])
    }

    /// The lines that end in `chunk`.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while !chunk.is_empty() {
            let (line, rest) = self.next(chunk);
            lines.extend(line);
            chunk = rest;
        }
        lines
    }

    /// Counts the lines that end in `chunk` and gives only those that begin like a command, if
    /// `commands` are wanted. Much faster than [`LineSplitter::next`], and to be called instead of
    /// it from some point on.
    pub(super) fn skim(&mut self, mut chunk: &[u8], commands: bool) -> Skimmed {
        let mut found = Skimmed::default();
        while !chunk.is_empty() {
            if commands && !self.skipping && self.may_be_command(chunk) {
                let Some(end) = memchr(b'\n', chunk) else {
                    self.keep(chunk);
                    break;
                };
                self.keep(&chunk[..end]);
                found.commands.push(self.take());
                chunk = &chunk[end + 1..];
            } else {
                self.partial.clear();
                self.cut = false;
                let next = if commands {
                    next_command(chunk)
                } else {
                    chunk.len()
                };
                found.lines += memchr_iter(b'\n', &chunk[..next]).count() as u64;
                self.skipping = next > 0 && chunk[next - 1] != b'\n';
                chunk = &chunk[next..];
            }
        }
        found
    }

    /// What is left without a line end.
    pub(super) fn finish(&mut self) -> Option<Line> {
        (!self.partial.is_empty() || self.cut).then(|| self.take())
    }

    /// Whether a line that was only counted has no end yet.
    pub(super) const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the line that began, and goes on with `chunk`, begins like a command as far as is known.
    fn may_be_command(&self, chunk: &[u8]) -> bool {
        let begin = self.partial.iter().chain(chunk);
        COMMAND
            .iter()
            .zip(begin)
            .all(|(wanted, found)| wanted == found)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.max_bytes - self.partial.len();
        self.cut |= bytes.len() > room;
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> Line {
        let mut bytes = self.partial.as_slice();
        if let Some(rest) = bytes.strip_suffix(b"\r") {
            bytes = rest;
        }
        let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        if self.cut {
            // The cut may have split a character.
            text.truncate(text.trim_end_matches('\u{fffd}').len());
        }
        // One huge line must not pin its memory for the rest of the attempt.
        self.partial.clear();
        self.partial.shrink_to(4 << 10);
        Line {
            text,
            cut: std::mem::take(&mut self.cut),
        }
    }
}

/// Where the next line that may begin like a command does; the end when there is none. The line that
/// `chunk` begins within is none.
fn next_command(chunk: &[u8]) -> usize {
    if let Some(at) = memmem::find(chunk, b"\n::") {
        return at + 1;
    }
    // The first half of a command's beginning may be all there is yet.
    match memrchr(b'\n', chunk) {
        Some(end) if COMMAND.starts_with(&chunk[end + 1..]) => end + 1,
        _ => chunk.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: impl IntoIterator<Item = Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end_of_the_stream() {
        let mut lines = LineSplitter::new(100);
        assert_eq!(texts(lines.push(b"one\ntw")), ["one"]);
        assert_eq!(texts(lines.push(b"o\r\n\nthree")), ["two", ""]);
        assert_eq!(texts(lines.finish()), ["three"]);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let mut lines = LineSplitter::new(100);
        assert_eq!(texts(lines.push(b"a\xff\0b\n")), ["a\u{fffd}\u{fffd}b"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters() {
        let mut lines = LineSplitter::new(4);
        let long = Line {
            text: "abc".into(),
            cut: true,
        };
        assert_eq!(lines.push("abcé and more".as_bytes()), []);
        assert_eq!(lines.push("and more\nshort".as_bytes()), [long]);
        assert_eq!(texts(lines.push(b"\nfour\n")), ["shor", "four"]);
    }

    proptest! {
        #[test]
        fn fuzz_skimming_finds_the_same_commands_as_splitting(
            text in "(::?|a|x:|\\n|\\r|é){0,60}",
            size in 1_usize..20,
        ) {
            let (mut whole, mut parts) = (LineSplitter::new(16), LineSplitter::new(16));
            let mut lines = whole.push(text.as_bytes());
            let last = whole.finish();
            let unended = last.is_some();
            lines.extend(last);
            let mut found = Skimmed::default();
            for part in text.as_bytes().chunks(size) {
                let skimmed = parts.skim(part, true);
                found.commands.extend(skimmed.commands);
                found.lines += skimmed.lines;
            }
            found.lines += u64::from(parts.is_skipping());
            let rest = parts.finish();
            prop_assert!(unended || (rest.is_none() && !parts.is_skipping()));
            let is_command = |line: &Line| line.text.starts_with("::");
            let all = lines.len();
            let commands: Vec<Line> = lines.into_iter().filter(is_command).collect();
            // A lone colon that no line end follows is not known to be no command.
            let (rest_commands, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_command);
            found.commands.extend(rest_commands);
            prop_assert_eq!(found.lines as usize + others.len() + found.commands.len(), all);
            prop_assert_eq!(found.commands, commands);
            let counted = LineSplitter::new(16).skim(text.as_bytes(), false).lines;
            prop_assert_eq!(counted as usize, text.matches('\n').count());
        }

        #[test]
        fn fuzz_the_lines_do_not_depend_on_how_the_stream_was_chunked(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            size in 1_usize..50,
        ) {
            let (mut whole, mut parts) = (LineSplitter::new(16), LineSplitter::new(16));
            let mut expected = whole.push(&bytes);
            expected.extend(whole.finish());
            let mut found: Vec<Line> = bytes.chunks(size).flat_map(|part| parts.push(part)).collect();
            found.extend(parts.finish());
            prop_assert_eq!(found, expected);
        }
    }
}
