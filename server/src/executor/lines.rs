//! Cuts a stream of bytes into lines of bounded length.

/// A line, or the beginning of one that was too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its text: invalid UTF-8 and NUL, which databases refuse, are replaced; no line end.
    pub text: String,
    /// Whether its end was cut off.
    pub cut: bool,
}

/// Takes chunks, gives lines; holds at most one line's beginning.
#[derive(Debug)]
pub(super) struct LineSplitter {
    partial: Vec<u8>,
    cut: bool,
    max_bytes: usize,
}

impl LineSplitter {
    /// Lines of at most `max_bytes`, without the line end.
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self {
            partial: Vec::new(),
            cut: false,
            max_bytes,
        }
    }

    /// The lines that end in `chunk`.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = chunk.iter().position(|&byte| byte == b'\n') {
            self.keep(&chunk[..end]);
            lines.push(self.take());
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk);
        lines
    }

    /// What is left without a line end.
    pub(super) fn finish(&mut self) -> Option<Line> {
        (!self.partial.is_empty() || self.cut).then(|| self.take())
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
        fn the_lines_do_not_depend_on_how_the_stream_was_chunked(
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
