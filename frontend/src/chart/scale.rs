//! Axes: round steps, and as many points as there are pixels. No DOM.

/// A step of 1, 2 or 5 times a power of ten that cuts `span` into about `parts`.
pub fn round_step(span: f64, parts: f64) -> f64 {
    let rough = (span / parts).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let mantissa = rough / power;
    power
        * if mantissa < 1.5 {
            1.0
        } else if mantissa < 3.5 {
            2.0
        } else if mantissa < 7.5 {
            5.0
        } else {
            10.0
        }
}

/// The same in powers of two, for amounts of memory.
pub fn round_step_binary(span: f64, parts: f64) -> f64 {
    (span / parts).max(1.0).log2().ceil().exp2()
}

/// A step of time, seconds, that cuts `span_s` into at most `parts`.
pub fn time_step(span_s: f64, parts: f64) -> f64 {
    const STEPS: [f64; 14] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    ];
    let rough = span_s / parts.max(1.0);
    STEPS
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(21_600.0)
}

/// Multiples of `step` within a range.
pub fn ticks(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    (0..=((last - first).max(-1.0) as i64)).map(move |index| (first + index as f64) * step)
}

/// What is drawn of a series of which each pixel column holds many points: the first, the lowest, the
/// highest and the last of each column. A peak of one second stays visible.
pub fn thin(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    struct Column {
        x: f64,
        first: f64,
        low: f64,
        high: f64,
        last: f64,
    }
    let mut thinned = Vec::new();
    let mut open: Option<Column> = None;
    let close = |column: &Column, thinned: &mut Vec<(f64, f64)>| {
        let mut previous = f64::NAN;
        for y in [column.first, column.low, column.high, column.last] {
            if y != previous {
                thinned.push((column.x, y));
            }
            previous = y;
        }
    };
    for (x, y) in points.filter(|(x, y)| x.is_finite() && y.is_finite()) {
        let x = x.floor();
        match &mut open {
            Some(column) if column.x == x => {
                column.low = column.low.min(y);
                column.high = column.high.max(y);
                column.last = y;
            }
            _ => {
                if let Some(column) = &open {
                    close(column, &mut thinned);
                }
                open = Some(Column {
                    x,
                    first: y,
                    low: y,
                    high: y,
                    last: y,
                });
            }
        }
    }
    if let Some(column) = &open {
        close(column, &mut thinned);
    }
    thinned
}

/// The point nearest to a time, if there is any.
pub fn nearest(times: &[f64], time: f64) -> Option<usize> {
    let after = times.partition_point(|t| *t < time);
    let candidates = after.saturating_sub(1)..(after + 1).min(times.len());
    candidates.min_by(|a, b| {
        (times[*a] - time)
            .abs()
            .total_cmp(&(times[*b] - time).abs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!(
            [100.0, 7.0, 0.9, 340.0].map(|span| round_step(span, 4.0)),
            [20.0, 2.0, 0.2, 100.0]
        );
        assert_eq!(round_step_binary(900.0, 4.0), 256.0);
        assert_eq!(
            [60.0, 900.0, 86_400.0].map(|span| time_step(span, 6.0)),
            [10.0, 300.0, 21_600.0]
        );
    }

    #[test]
    fn ticks_are_within_the_range() {
        assert_eq!(ticks(0.0, 1.0, 0.5).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(61.0, 119.0, 60.0).count(), 0);
        assert_eq!(ticks(61.0, 121.0, 60.0).collect::<Vec<_>>(), [120.0]);
    }

    #[test]
    fn peaks_survive_thinning() {
        let flat = (0..10_000).map(|i| (f64::from(i) / 100.0, if i == 5_050 { 99.0 } else { 1.0 }));
        let thinned = thin(flat);
        assert!(thinned.len() < 110);
        assert!(thinned.contains(&(50.0, 99.0)));
        assert!(thin(std::iter::once((f64::NAN, 1.0))).is_empty());
    }

    #[test]
    fn the_nearest_point_is_found_at_the_ends_too() {
        let times = [10.0, 20.0, 30.0];
        assert_eq!(
            [0.0, 14.0, 16.0, 99.0].map(|time| nearest(&times, time)),
            [Some(0), Some(0), Some(1), Some(2)]
        );
        assert_eq!(nearest(&[], 1.0), None);
    }
}
