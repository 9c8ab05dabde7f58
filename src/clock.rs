//! The one place that time and ids come from.
//!
//! Everything that computes with time takes a [`Timestamp`] as an argument, so that a test can hold it still.

use jiff::Timestamp;
use uuid::Uuid;

/// Now, in UTC, cut to the milliseconds that records carry.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A new id: a UUIDv7, so ids sort by the time they were made.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// RFC 3339 in UTC with milliseconds, the one spelling of time in records and in the store.
pub fn spell(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_spelled_in_utc_with_exactly_three_decimals() {
        let time = Timestamp::from_millisecond(1_700_000_000_120).unwrap();
        assert_eq!(spell(time), "2023-11-14T22:13:20.120Z");
        assert_eq!(spell(time).parse::<Timestamp>().unwrap(), time);
    }
}
