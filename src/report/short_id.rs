//! Ids that are short enough for a table.

use std::fmt::Display;

use crate::sorting::sort_by;

/// The minimum length of a short id, in characters. A short id is a suffix, because UUIDs of version 7 have the same
/// prefix if they were generated at about the same time.
const MIN_CHARS: usize = 8;

/// Returns the shortest suffix of each id, of at least 8 characters, that no other id of the list has.
pub(crate) fn short_ids<I: Display>(ids: impl IntoIterator<Item = I>) -> Vec<String> {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sort_by(&mut sorted, |one, other| one.bytes().rev().cmp(other.bytes().rev()));
    sorted.dedup();
    let shorten = |id: &String| {
        let at = sorted.partition_point(|other| other.bytes().rev().lt(id.bytes().rev()));
        let before = at.checked_sub(1).map(|index| sorted[index]);
        let after = sorted.get(at + 1).copied();
        let shared = [before, after].into_iter().flatten().map(|other| common_suffix(id, other)).max();
        let count = shared.map_or(0, |shared| shared + 1).max(MIN_CHARS);
        id[id.len().saturating_sub(count)..].to_owned()
    };
    ids.iter().map(shorten).collect()
}

/// Returns the short id of a single id.
pub(crate) fn short_id(id: impl Display) -> String {
    short_ids([id]).remove(0)
}

/// Returns the length of the longest common suffix of two ids.
fn common_suffix(one: &str, other: &str) -> usize {
    one.bytes().rev().zip(other.bytes().rev()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_id_is_the_shortest_unique_suffix() {
        let ids = [
            "0198abcd-0000-7000-8000-0123456789ab",
            "0198abcd-0000-7000-8000-1123456789ab",
            "0198abcd-0000-7000-8000-012345678900",
        ];
        assert_eq!(short_ids(ids), ["0123456789ab", "1123456789ab", "45678900"]);
        assert_eq!(short_ids([ids[0], ids[0]]), ["456789ab", "456789ab"], "an id may be listed twice");
        assert_eq!(short_id(ids[0]), "456789ab");
        assert_eq!(short_ids(["1-0123456789ab", "2-0123456789ab"]), ["1-0123456789ab", "2-0123456789ab"]);
        assert_eq!(short_ids::<&str>([]), Vec::<String>::new());
    }
}
