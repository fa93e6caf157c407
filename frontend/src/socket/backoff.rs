//! How long to wait before the next try.

/// Shortest wait, milliseconds.
const MIN_MS: f64 = 250.0;
/// Longest wait, milliseconds.
const MAX_MS: f64 = 10_000.0;

/// Waits that double from try to try, each drawn from the upper half of its range so that clients of a
/// server that comes back do not all arrive at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next wait in milliseconds; `random` is from 0 up to 1.
    pub fn next_ms(&mut self, random: f64) -> u32 {
        let full = (2.0 * MIN_MS * f64::from(self.tries.min(16)).exp2()).min(MAX_MS);
        self.tries = self.tries.saturating_add(1);
        (full * (0.5 + 0.5 * random)) as u32
    }

    /// Starts over, after a try that succeeded.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_quarter_second_to_ten_seconds() {
        let mut backoff = Backoff::default();
        let shortest: Vec<u32> = (0..7).map(|_| backoff.next_ms(0.0)).collect();
        assert_eq!(shortest, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert!((0..100).all(|_| backoff.next_ms(0.999) <= 10_000));
        backoff.reset();
        assert!((250..500).contains(&backoff.next_ms(0.5)));
    }
}
