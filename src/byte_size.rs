//! Sizes as people write them.

/// How people write a size.
pub(crate) const FORMS: &str =
    "a number of bytes such as 65536, or a number with KiB, MiB or GiB such as \"10MiB\"";

/// Parses a size above 0, in bytes or in another unit that is written after the number. Returns `None` if it is not one.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[number.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    let count: u64 = number.trim_end().parse().ok().filter(|_| !number.starts_with('+'))?;
    count.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_bytes_or_a_binary_unit() {
        assert_eq!(
            ["65536", "64KiB", "10 MiB", "2GiB"].map(parse),
            [65536, 65536, 10 << 20, 2 << 30].map(Some)
        );
        assert_eq!(
            ["", "0", "-1", "+1", "1.5MiB", "10MB", "10m", "KiB", "99999999999GiB"].map(parse),
            [None; 9]
        );
    }
}
