//! The ages of records, measured so that a wrong clock does not make them old.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The longest time without a record that is surely not a clock that was set wrong.
pub(super) const MAX_PAUSE: Duration = Duration::from_hours(24);

/// How much of a longer pause counts: less than the shortest default limit, which is a day.
const COUNTED: Duration = Duration::from_hours(12);

/// Returns the time this long before `now`, or `None` if there is no such time. `pauses` are the start and the end of
/// each pause longer than [`MAX_PAUSE`], newest first, of which only the last [`COUNTED`] counts.
pub(super) fn ago(now: Timestamp, age: Duration, pauses: &[(Timestamp, Timestamp)]) -> Option<Timestamp> {
    let mut time = now.checked_sub(SignedDuration::try_from(age).ok()?).ok()?;
    for (start, end) in pauses {
        let counted_from = *end - COUNTED;
        if time >= counted_from {
            break;
        }
        time = time.checked_sub(counted_from.duration_since(*start)).ok()?;
    }
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pause_counts_as_half_a_day() {
        let time = |half_days: i64| Timestamp::from_second(half_days * 12 * 3600).unwrap();
        let pauses = [(time(80), time(200)), (time(20), time(40))];
        for (half_days, expected) in [(0, 204), (4, 200), (5, 199), (6, 79), (45, 40), (46, 39), (47, 19)] {
            let age = Duration::from_hours(12 * half_days);
            assert_eq!(ago(time(204), age, &pauses), Some(time(expected)), "{half_days}");
        }
        assert_eq!(ago(time(204), Duration::MAX, &pauses), None);
        assert_eq!(ago(time(204), Duration::from_hours(12 * 204), &[]), Some(time(0)));
    }
}
