//! How long to pause before the next attempt.

use crate::definition::Backoff;

/// The pause, in seconds, after the `failures`-th failure (1, 2, 3, ...).
///
/// Exponential, capped, with "equal jitter": half of it is certain, the other half is chosen by
/// `jitter` from [0, 1), so that nodes that failed together do not come back together. See Marc
/// Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
#[must_use]
pub fn pause_s(backoff: &Backoff, failures: u32, jitter: f64) -> f64 {
    let exponent = f64::from(failures.saturating_sub(1));
    // A long series reaches infinity, which times zero would be no number.
    let growth = backoff.factor.powf(exponent).min(f64::MAX);
    let full = (backoff.backoff_s * growth).min(backoff.max_backoff_s);
    let half = full / 2.0;
    half + half * jitter.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_cap() {
        let backoff = Backoff {
            max_attempts: 9,
            backoff_s: 1.0,
            factor: 2.0,
            max_backoff_s: 5.0,
        };
        let pauses: Vec<_> = (1..=4).map(|n| pause_s(&backoff, n, 1.0)).collect();
        assert_eq!(pauses, [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(pause_s(&backoff, 2, 0.0), 1.0);
        assert_eq!(pause_s(&backoff, 2, 0.5), 1.5);
        assert_eq!(pause_s(&backoff, u32::MAX, 1.0), 5.0);
    }

    #[test]
    fn no_pause_stays_no_pause() {
        let backoff = Backoff {
            backoff_s: 0.0,
            ..Backoff::default()
        };
        assert_eq!(pause_s(&backoff, 2000, 0.9), 0.0);
    }
}
