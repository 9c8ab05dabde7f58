//! Durations as people write them, and as records and the store keep them. All of them have the same upper bound.

use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest duration: 100 years of 365 days, which can be added to any time.
pub(crate) const MAX: Duration = Duration::from_hours(100 * 365 * 24);

const SECOND: Duration = Duration::from_secs(1);

/// A day, the unit of settings that count days.
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A limit on a duration; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub Option<Duration>);

impl Limit {
    /// Returns the limit as a duration; the longest one for no limit.
    pub(crate) fn or_max(self) -> Duration {
        self.0.unwrap_or(MAX)
    }
}

/// How people write a duration.
pub(crate) const FORMS: &str =
    "a number of seconds such as 90 or 0.5, or a number with ms, s, m, h or d such as 5m";

/// A text that is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; use {forms}, at most 100 years", forms = FORMS)]
pub(crate) struct InvalidDuration;

/// Parses a duration in seconds, or in another unit that is written after the number.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    parse_in(SECOND, text)
}

/// Parses a duration as [`parse`] does. A number without a unit counts in `unit`.
pub(crate) fn parse_in(unit: Duration, text: &str) -> Result<Duration, InvalidDuration> {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" => unit,
        "ms" => Duration::from_millis(1),
        "s" => SECOND,
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => DAY,
        _ => return Err(InvalidDuration),
    };
    // Neither signs nor exponents.
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let count: f64 = number.parse().ok().filter(|_| is_plain).ok_or(InvalidDuration)?;
    let duration = Duration::try_from_secs_f64(count * unit.as_secs_f64());
    duration.ok().filter(|duration| *duration <= MAX).ok_or(InvalidDuration)
}

/// Parses a duration, or `none`.
pub(crate) fn parse_limit(text: &str) -> Result<Limit, String> {
    parse_limit_in(SECOND, text)
}

/// Parses a duration as [`parse_in`] does, or `none`.
pub(crate) fn parse_limit_in(unit: Duration, text: &str) -> Result<Limit, String> {
    if text.trim() == "none" {
        return Ok(Limit(None));
    }
    parse_in(unit, text).map(|limit| Limit(Some(limit))).map_err(|error| format!("{error}; or use `none`"))
}

/// Parses a duration greater than 0, or `none`.
pub(crate) fn parse_positive_limit(text: &str) -> Result<Limit, String> {
    match parse_limit(text)? {
        Limit(Some(Duration::ZERO)) => Err("use more than 0, or `none`".to_owned()),
        limit => Ok(limit),
    }
}

/// Returns a number of seconds as a duration: the nearest one from 0 to [`MAX`].
pub(crate) fn saturating(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, MAX.as_secs_f64())).unwrap_or_default()
}

/// Returns the seconds of a duration as in records: an integer if they are whole.
pub(crate) fn seconds(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 { duration.as_secs().into() } else { duration.as_secs_f64().into() }
}

/// Returns the instant after a duration, or after [`MAX`] if the duration is longer.
pub(crate) fn deadline(after: Duration) -> Instant {
    Instant::now() + after.min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_of_seconds_or_has_a_unit() {
        let millis = |text| parse(text).map(|duration| duration.as_millis());
        for (text, expected) in [
            ("0", 0),
            ("90", 90_000),
            ("0.5", 500),
            (" 1.25 ", 1_250),
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
            ("36500d", MAX.as_millis()),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        assert_eq!(parse_in(DAY, "2"), parse("2d"));
        assert_eq!(parse_in(DAY, "2h"), parse("2h"));
    }

    #[test]
    fn other_texts_are_not_durations() {
        for text in [
            "",
            " ",
            ".",
            "-1",
            "+1",
            "-0",
            "nan",
            "NaN",
            "inf",
            "infinity",
            "1e3",
            "1e400",
            "0x10",
            "5 m",
            "5M",
            "m",
            "1.2.3",
            "1w",
            "1,5",
            "none",
            "36501d",
            "18446744073709551615",
            "9999999999999999999999999999999999999",
        ] {
            assert_eq!(parse(text), Err(InvalidDuration), "{text}");
        }
    }

    #[test]
    fn a_limit_may_be_none() {
        assert_eq!(parse_limit("none"), Ok(Limit(None)));
        assert_eq!(parse_limit("0"), Ok(Limit(Some(Duration::ZERO))));
        assert_eq!(parse_positive_limit("0"), Err("use more than 0, or `none`".to_owned()));
        assert!(parse_limit("no").unwrap_err().ends_with("or use `none`"));
        assert_eq!(["2", "none"].map(|text| parse_limit(text).unwrap().or_max()), [2 * SECOND, MAX]);
    }

    #[test]
    fn other_numbers_of_seconds_saturate() {
        assert_eq!([f64::NEG_INFINITY, -1.0, f64::NAN].map(saturating), [Duration::ZERO; 3]);
        assert_eq!([1e300, f64::INFINITY].map(saturating), [MAX; 2]);
        assert_eq!(saturating(0.25), Duration::from_millis(250));
        assert!(deadline(Duration::MAX) > deadline(MAX / 2));
        assert_eq!(seconds(Duration::from_secs(2)).to_string(), "2");
        assert_eq!(seconds(Duration::from_millis(2500)).to_string(), "2.5");
    }
}
