//! Numbers and times as people read them. Pure: the time zone is passed in.

use limelight_protocol::Timestamp;

/// A length of time: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`, `3 d 04 h`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {:02} s", whole % 60),
        (0, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

/// A length of time that ticks: whole seconds, so that it does not flicker.
pub fn ticking(seconds: f64) -> String {
    if seconds < 59.5 {
        format!("{:.0} s", seconds.max(0.0).floor())
    } else {
        duration(seconds.floor())
    }
}

/// How long ago, coarsely: `now`, `12 s`, `3 min`, `2 h`, `5 d`.
pub fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0 => "now".to_owned(),
        1..60 => format!("{whole} s"),
        60..3600 => format!("{} min", whole / 60),
        3600..86_400 => format!("{} h", whole / 3600),
        _ => format!("{} d", whole / 86_400),
    }
}

/// An amount of memory in binary units: `512 B`, `1.5 MiB`.
pub fn bytes(amount: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = amount.max(0.0);
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A count with its thousands apart: `12 345` (narrow no-break spaces).
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 node`, `3 nodes`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A share from 0 to 1 as a percentage; `100 %` only when it is all of it.
pub fn share(share: f64) -> String {
    if share >= 1.0 {
        "100 %".to_owned()
    } else {
        format!("{:.1} %", (share * 1000.0).floor() / 10.0)
    }
}

fn civil(days: i64) -> (i64, i64, i64) {
    // Howard Hinnant's days-to-civil algorithm.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The time of day `HH:MM:SS` at `offset_min` minutes east of UTC.
pub fn clock(at: Timestamp, offset_min: i64) -> String {
    let second = (at.millis().div_euclid(1000) + offset_min * 60).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Date and time `YYYY-MM-DD HH:MM:SS` at `offset_min` minutes east of UTC.
pub fn date_time(at: Timestamp, offset_min: i64) -> String {
    let second = at.millis().div_euclid(1000) + offset_min * 60;
    let (year, month, day) = civil(second.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02} {}", clock(at, offset_min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_two_units_at_most() {
        for (seconds, text) in [
            (-1.0, "0 ms"),
            (0.0421, "42 ms"),
            (0.9996, "1.0 s"),
            (12.34, "12.3 s"),
            (59.96, "1 min 00 s"),
            (245.0, "4 min 05 s"),
            (7_380.0, "2 h 03 min"),
            (273_600.0, "3 d 04 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(ticking(3.9), "3 s");
        assert_eq!(ticking(61.7), "1 min 01 s");
    }

    #[test]
    fn ages_are_coarse() {
        let ages = [0.4, 1.0, 59.9, 60.0, 3_600.0, 200_000.0].map(age);
        assert_eq!(ages, ["now", "1 s", "59 s", "1 min", "1 h", "2 d"]);
    }

    #[test]
    fn amounts_are_read_at_a_glance() {
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(1023.99), "1.0 KiB");
        assert_eq!(bytes(1.5 * 1024.0 * 1024.0), "1.5 MiB");
        assert_eq!(bytes(250.0 * 1024.0 * 1024.0), "250 MiB");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(counted(1, "node"), "1 node");
        assert_eq!(counted(2, "node"), "2 nodes");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(share(0.9999), "99.9 %");
        assert_eq!(share(1.0), "100 %");
        assert_eq!(share(0.0), "0.0 %");
    }

    #[test]
    fn local_times_follow_the_offset() {
        let at: Timestamp = "2026-11-21T23:30:05.123Z".parse().unwrap();
        assert_eq!(date_time(at, 0), "2026-11-21 23:30:05");
        assert_eq!(date_time(at, 60), "2026-11-22 00:30:05");
        assert_eq!(clock(at, -90), "22:00:05");
        let leap: Timestamp = "2028-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(date_time(leap, 0), "2028-02-29 12:00:00");
    }
}
