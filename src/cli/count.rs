//! The numbers that options take.

use std::ops::RangeInclusive;

/// Parses a number of things.
pub(crate) fn parse<N: TryFrom<u32>>(text: &str) -> Result<N, String> {
    parse_within(0..=u32::MAX, text)
}

/// Parses the number of jobs that run at once.
pub(crate) fn parse_jobs(text: &str) -> Result<usize, String> {
    parse_within(1..=u16::MAX.into(), text)
}

fn parse_within<N: TryFrom<u32>>(range: RangeInclusive<u32>, text: &str) -> Result<N, String> {
    let number = text.trim().parse().ok().filter(|number| range.contains(number));
    let number = number.and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| format!("use a whole number from {} to {}", range.start(), range.end()))
}
