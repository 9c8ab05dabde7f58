//! Durations, times and sizes as people read them.

use jiff::{SignedDuration, Timestamp};

/// Returns a count of milliseconds as a duration.
pub(crate) fn milliseconds(count: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Returns a duration like `12 ms`, `3.4 s`, `2 min 5 s` or `3 h 2 min`.
pub(crate) fn duration(time: SignedDuration) -> String {
    let millis = time.as_millis().max(0);
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Returns a time relative to `now`, like `now`, `12 s ago`, `3 min ago`, `2 h ago`, `5 days ago` or `in 4 min`.
pub(crate) fn relative_time(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs();
    let distance = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        86_400..172_800 => "1 day".to_owned(),
        seconds => format!("{} days", seconds / 86_400),
    };
    if seconds > 0 { format!("{distance} ago") } else { format!("in {distance}") }
}

/// Returns a number with separators of thousands, like `1,234`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a size like `812 B`, `6.3 MiB` or `40 MiB`, in the units of sizes in settings and manifests.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // In tenths of a unit, rounded.
    let in_tenths = |unit: usize| (u128::from(count) * 10 + (1 << (10 * unit + 9))) >> (10 * unit + 10);
    let unit = (0..UNITS.len()).find(|unit| in_tenths(*unit) < 10_240).unwrap_or(UNITS.len() - 1);
    let (tenths, unit) = (in_tenths(unit), UNITS[unit]);
    if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", (tenths + 5) / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short() {
        let text = |millis| duration(SignedDuration::from_millis(millis));
        assert_eq!([12, 3_456, 125_000, 10_920_000].map(text), ["12 ms", "3.4 s", "2 min 5 s", "3 h 2 min"]);
        assert_eq!([0, 812, 6_490, 40 << 20].map(bytes), ["0 B", "812 B", "6.3 KiB", "40 MiB"]);
        assert_eq!([(1 << 20) - 1, 1536 << 20, u64::MAX].map(bytes), ["1.0 MiB", "1.5 GiB", "16384 PiB"]);
    }

    #[test]
    fn a_number_has_separators_of_thousands() {
        assert_eq!([0, 999, 1_234, 1_000_000].map(count), ["0", "999", "1,234", "1,000,000"]);
    }

    #[test]
    fn a_time_is_relative_in_its_largest_unit() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let text = |seconds| relative_time(now - SignedDuration::from_secs(seconds), now);
        assert_eq!([0, 1, 59, 60].map(text), ["now", "1 s ago", "59 s ago", "1 min ago"]);
        assert_eq!([3599, 3600, 86_399].map(text), ["59 min ago", "1 h ago", "23 h ago"]);
        assert_eq!([86_400, 172_800, 40_000_000].map(text), ["1 day ago", "2 days ago", "462 days ago"]);
        assert_eq!([-5, -300].map(text), ["in 5 s", "in 5 min"]);
    }
}
