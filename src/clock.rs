//! The only source of the current time and of new ids.
//!
//! Code that computes with time takes a [`Timestamp`] as an argument, so that tests can set it.

use jiff::Timestamp;
use serde::Serializer;
use uuid::Uuid;

/// Returns the current time, truncated to milliseconds, as in records.
#[expect(clippy::disallowed_methods, reason = "only this function reads the clock")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Returns a new id: a UUIDv7, so ids sort by their time of creation.
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Formats a time as in records and in the store: RFC 3339 in UTC with milliseconds.
pub(crate) fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Parses a time that [`format`] can write: it writes years of four digits.
pub(crate) fn parse(text: &str) -> Result<Timestamp, jiff::Error> {
    let time: Timestamp = text.parse()?;
    if format(time).parse::<Timestamp>().is_err() {
        return Err(jiff::Error::from_args(format_args!("{time} is before the year 0")));
    }
    Ok(time)
}

/// Serializes a time as [`format`] does.
pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_formatted_in_utc_with_exactly_three_decimals() {
        let time = Timestamp::from_millisecond(1_700_000_000_120).unwrap();
        assert_eq!(format(time), "2023-11-14T22:13:20.120Z");
        assert_eq!(format(time).parse::<Timestamp>().unwrap(), time);
    }
}
