//! How much a viewer is given at a time.

/// About the most bytes that a viewer is given at a time, to begin with: more is added until it is
/// reached. It is also what a viewer that stops reading leaves behind in memory.
pub const PORTION_BYTES: usize = 4 * 1024;
/// The same for a viewer that is known to read.
const LARGE_PORTION_BYTES: usize = 32 * 1024;
/// What has gone out to a viewer cannot all be in the kernels' buffers, 6 MiB on either side, when it
/// is more than this: then somebody reads it.
const MORE_THAN_BUFFERS_BYTES: u64 = 16 * 1024 * 1024;

/// What a viewer has taken so far.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    taken_bytes: u64,
}

impl Pace {
    /// About how many bytes to give next.
    #[must_use]
    pub const fn portion(&self) -> usize {
        if self.taken_bytes > MORE_THAN_BUFFERS_BYTES {
            LARGE_PORTION_BYTES
        } else {
            PORTION_BYTES
        }
    }

    /// The viewer comes for more, and has been given so many bytes.
    pub const fn took(&mut self, bytes: usize) {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_small_until_the_viewer_is_known_to_read() {
        let mut pace = Pace::default();
        for _ in 0..MORE_THAN_BUFFERS_BYTES / PORTION_BYTES as u64 {
            assert_eq!(pace.portion(), PORTION_BYTES);
            pace.took(PORTION_BYTES);
        }
        pace.took(1);
        assert_eq!(pace.portion(), LARGE_PORTION_BYTES);
    }
}
