//! Finding a record by an id, or a part of one, that a person types.

use rusqlite::{Connection, params};

use crate::store::row::{self, TableRow};

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// No record matches.
    NotFound,
    /// Exactly one record matches.
    Found(T),
    /// More than one record matches; the number of them.
    Ambiguous(u64),
}

/// How many hexadecimal digits an id has.
const DIGITS: usize = 32;

/// The digits before which an id has a hyphen, counted from its beginning.
const HYPHENS: [usize; 4] = [8, 12, 16, 20];

/// The ids that begin with a text: `g` sorts after every character that may follow in an id.
pub(super) const BY_PREFIX: &str = "WHERE id >= ?1 AND id < ?1 || 'g'";

/// Returns the row whose id is `typed`, or begins or ends with it: in any case, with or without hyphens. UUIDv7 generated at
/// about the same time have the same beginning, so people rather type the end.
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
    let mut found = row::all::<T>(connection, &format!("{matches} LIMIT 2"), params![prefix, suffix])?;
    match (found.pop(), found.pop()) {
        (None, _) => Ok(Lookup::NotFound),
        (Some(one), None) => Ok(Lookup::Found(one)),
        (Some(_), Some(_)) => {
            let count = format!("SELECT count(*) FROM {table} {matches}");
            let count: i64 = connection.query_row(&count, params![prefix, suffix], |row| row.get(0))?;
            Ok(Lookup::Ambiguous(count.cast_unsigned()))
        }
    }
}

/// Returns digits of an id, the first of which is digit number `first`, with the hyphens that belong between them.
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
