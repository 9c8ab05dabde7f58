//! Finds a record by its id, or by the beginning or end of its id, as typed by a user.

use rusqlite::{Connection, params};

use crate::store::row::{self, TableRow};

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// No record matches.
    NotFound,
    /// Exactly one record matches.
    Found(T),
    /// More than one record matches.
    Ambiguous {
        /// The number of matching records.
        count: u64,
        /// The newest of them.
        newest: Vec<T>,
    },
}

/// How many of several matching records are returned.
const CANDIDATES: usize = 5;

/// The number of hexadecimal digits in an id.
const DIGITS: usize = 32;

/// The indexes of the digits that follow a hyphen in an id.
const HYPHENS: [usize; 4] = [8, 12, 16, 20];

/// The condition for ids that begin with parameter 1: `g` sorts after every character of an id.
pub(super) const BY_PREFIX: &str = "WHERE id >= ?1 AND id < ?1 || 'g'";

/// Returns the row whose id is `typed`, or begins or ends with it, regardless of case and hyphens. UUIDv7 ids that are
/// generated at about the same time begin with the same digits, so the end of an id is usually the shorter choice.
pub(super) fn by_id<T: TableRow>(connection: &Connection, typed: &str) -> rusqlite::Result<Lookup<T>> {
    let digits: String = typed.trim().chars().filter(|&c| c != '-').collect::<String>().to_ascii_lowercase();
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(Lookup::NotFound);
    }
    let prefix = hyphenated(&digits, 0);
    if digits.len() == DIGITS {
        let found = row::first(connection, "WHERE id = ?1", [prefix])?;
        return Ok(found.map_or(Lookup::NotFound, Lookup::Found));
    }
    let suffix = hyphenated(&digits, DIGITS - digits.len());
    let table = T::TABLE;
    let matches = format!(
        "WHERE id IN (SELECT id FROM {table} {BY_PREFIX} UNION SELECT id FROM {table} WHERE substr(id, -length(?2)) = ?2)"
    );
    let rest = format!("{matches} ORDER BY id DESC LIMIT {CANDIDATES}");
    let mut newest = row::all::<T>(connection, &rest, params![prefix, suffix])?;
    match newest.pop() {
        None => Ok(Lookup::NotFound),
        Some(only) if newest.is_empty() => Ok(Lookup::Found(only)),
        Some(last) => {
            newest.push(last);
            let count = format!("SELECT count(*) FROM {table} {matches}");
            let count: i64 = connection.query_row(&count, params![prefix, suffix], |row| row.get(0))?;
            Ok(Lookup::Ambiguous { count: count.cast_unsigned(), newest })
        }
    }
}

/// Returns consecutive digits of an id with the hyphens between them. `first` is the index of the first digit.
fn hyphenated(digits: &str, first: usize) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && HYPHENS.contains(&(first + index)) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_hyphens_of_an_id() {
        let id = "0198abcd-0123-7456-89ab-cdef01234567";
        let digits = id.replace('-', "");
        assert_eq!(hyphenated(&digits, 0), id);
        assert_eq!(hyphenated("0198a", 0), "0198a");
        assert_eq!(hyphenated("0198abcde", 0), "0198abcd-e");
        for (typed, suffix) in
            [("34567", "34567"), ("bcdef01234567", "b-cdef01234567"), (&digits[8..], &id[9..])]
        {
            assert_eq!(hyphenated(typed, DIGITS - typed.len()), suffix);
        }
    }
}
