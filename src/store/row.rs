//! How ids, times, paths and JSON stand in a column, and how rows become values.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row, ToSql, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Fault;
use crate::clock;
use crate::model::text_enum::UnknownWord;

/// What the beginning of an id, as a person types it, stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// No record.
    NotFound,
    /// One record, beyond doubt.
    Found(T),
    /// So many records.
    Ambiguous(u64),
}

/// What a table's rows become.
pub(super) trait Stored: Sized {
    /// The table.
    const TABLE: &'static str;
    /// Its columns in the order in which [`Stored::read`] takes them; `id` is the first.
    const COLUMNS: &'static str;

    /// Makes a value of a row.
    fn read(columns: &mut Columns<'_>) -> Result<Self, BadValue>;
}

/// All rows that `rest` (`WHERE ... ORDER BY ...`) selects.
pub(super) fn all<T: Stored>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(&select::<T>(rest))?;
    let mut rows = statement.query(params)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(value(row)?);
    }
    Ok(values)
}

/// The first row that `rest` selects.
pub(super) fn first<T: Stored>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<Option<T>, Fault> {
    let mut statement = connection.prepare_cached(&select::<T>(rest))?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(value).transpose()
}

/// The row that `rest` selects, of which the caller knows that it is there.
pub(super) fn only<T: Stored>(connection: &Connection, rest: &str, params: impl Params) -> Result<T, Fault> {
    first(connection, rest, params)?.ok_or(Fault::Sqlite(rusqlite::Error::QueryReturnedNoRows))
}

/// All ids that begin with a text: `g` comes after whatever can follow in an id.
pub(super) const ID_RANGE: &str = "WHERE id >= ?1 AND id < ?1 || 'g'";

/// The row whose id begins with what a person typed: in either case, with or without its hyphens.
pub(super) fn by_id_prefix<T: Stored>(connection: &Connection, typed: &str) -> Result<Lookup<T>, Fault> {
    let Some(prefix) = id_prefix(typed) else {
        return Ok(Lookup::NotFound);
    };
    let mut two = all::<T>(connection, &format!("{ID_RANGE} LIMIT 2"), [&prefix])?;
    match (two.pop(), two.pop()) {
        (None, _) => Ok(Lookup::NotFound),
        (Some(one), None) => Ok(Lookup::Found(one)),
        (Some(_), Some(_)) => {
            let count = format!("SELECT count(*) FROM {} {ID_RANGE}", T::TABLE);
            let count: i64 = connection.query_row(&count, params![prefix], |row| row.get(0))?;
            Ok(Lookup::Ambiguous(count.cast_unsigned()))
        }
    }
}

/// The beginning of an id in the store's spelling; none where it can be no id's.
fn id_prefix(typed: &str) -> Option<String> {
    let mut prefix = String::new();
    for (index, digit) in typed.trim().chars().filter(|&c| c != '-').enumerate() {
        if !digit.is_ascii_hexdigit() {
            return None;
        }
        if matches!(index, 8 | 12 | 16 | 20) {
            prefix.push('-');
        }
        prefix.push(digit.to_ascii_lowercase());
    }
    (!prefix.is_empty()).then_some(prefix)
}

fn select<T: Stored>(rest: &str) -> String {
    format!("SELECT {} FROM {} {rest}", T::COLUMNS, T::TABLE)
}

fn value<T: Stored>(row: &Row<'_>) -> Result<T, Fault> {
    T::read(&mut Columns { row, next: 0 }).map_err(|bad| Fault::Row {
        table: T::TABLE,
        id: row.get(0).unwrap_or_default(),
        column: bad.column,
        reason: bad.reason,
    })
}

/// A value in a row that is not what it should be.
#[derive(Debug)]
pub(super) struct BadValue {
    column: String,
    reason: String,
}

impl BadValue {
    pub(super) fn new(column: &str, reason: impl Display) -> Self {
        Self { column: column.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn unknown_word(column: &str, word: String) -> Self {
        Self::new(column, UnknownWord(word))
    }
}

/// The columns of a row, taken one after the other.
pub(super) struct Columns<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl Columns<'_> {
    /// Leaves out columns that mean nothing in the state of this row.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// A value that SQLite has a type for.
    pub(super) fn get<T: FromSql>(&mut self) -> Result<T, BadValue> {
        let value = self.row.get(self.next).map_err(|reason| self.bad(reason));
        self.next += 1;
        value
    }

    /// A count of bytes, ticks or milliseconds: see [`count`].
    pub(super) fn count(&mut self) -> Result<u64, BadValue> {
        Ok(self.get::<i64>()?.cast_unsigned())
    }

    /// A count, or NULL.
    pub(super) fn optional_count(&mut self) -> Result<Option<u64>, BadValue> {
        Ok(self.get::<Option<i64>>()?.map(i64::cast_unsigned))
    }

    pub(super) fn id<I: FromStr<Err = uuid::Error>>(&mut self) -> Result<I, BadValue> {
        self.parse(str::parse)
    }

    pub(super) fn optional_id<I: FromStr<Err = uuid::Error>>(&mut self) -> Result<Option<I>, BadValue> {
        self.parse_optional(str::parse)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, BadValue> {
        self.parse(str::parse)
    }

    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, BadValue> {
        self.parse_optional(str::parse)
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, BadValue> {
        self.parse(|text| serde_json::from_str(text))
    }

    pub(super) fn path(&mut self) -> Result<PathBuf, BadValue> {
        let index = self.next;
        self.optional_path()?.ok_or_else(|| BadValue::new(self.name(index), "no path"))
    }

    pub(super) fn optional_path(&mut self) -> Result<Option<PathBuf>, BadValue> {
        let path = match self.row.get_ref(self.next) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                Ok(Some(PathBuf::from(OsStr::from_bytes(bytes))))
            }
            Ok(ValueRef::Null) => Ok(None),
            Ok(other) => Err(self.bad(format_args!("{} is no path", other.data_type()))),
            Err(reason) => Err(self.bad(reason)),
        };
        self.next += 1;
        path
    }

    /// A word or another text with a meaning of its own.
    pub(super) fn parse<T, E: Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, BadValue> {
        let index = self.next;
        self.parse_optional(parse)?.ok_or_else(|| BadValue::new(self.name(index), "no value"))
    }

    /// A text with a meaning of its own, or NULL.
    pub(super) fn parse_optional<T, E: Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, BadValue> {
        let value = match self.row.get_ref(self.next).map(|value| value.as_str_or_null()) {
            Ok(Ok(Some(text))) => parse(text).map(Some).map_err(|reason| self.bad(reason)),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(reason)) => Err(self.bad(reason)),
            Err(reason) => Err(self.bad(reason)),
        };
        self.next += 1;
        value
    }

    fn bad(&self, reason: impl Display) -> BadValue {
        BadValue::new(self.name(self.next), reason)
    }

    fn name(&self, index: usize) -> &str {
        self.row.as_ref().column_name(index).unwrap_or("?")
    }
}

/// An id as the store spells it.
pub(super) fn id(id: impl Display) -> String {
    id.to_string()
}

/// A count as SQLite's signed integer. What is beyond 2^63 comes back as it was, though it is negative in between.
pub(super) fn count(count: u64) -> i64 {
    count.cast_signed()
}

/// `LIMIT`, in which a negative number is no limit.
pub(super) fn limit(limit: Option<u32>) -> i64 {
    limit.map_or(-1, i64::from)
}

/// A time as the store spells it.
pub(super) fn time(time: Timestamp) -> String {
    clock::spell(time)
}

/// A value as JSON text.
pub(super) struct Json<'a, T>(pub(super) &'a T);

impl<T: Serialize> ToSql for Json<'_, T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(self.0)
            .map(ToSqlOutput::from)
            .map_err(|reason| rusqlite::Error::ToSqlConversionFailure(reason.into()))
    }
}

/// A path as text, or as a blob where it is not UTF-8.
pub(super) struct FilePath<'a>(pub(super) &'a Path);

impl ToSql for FilePath<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes = self.0.as_os_str().as_bytes();
        Ok(ToSqlOutput::Borrowed(match self.0.to_str() {
            Some(_) => ValueRef::Text(bytes),
            None => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_prefix_becomes_the_spelling_of_the_store() {
        assert_eq!(id_prefix("0198A").as_deref(), Some("0198a"));
        assert_eq!(id_prefix("0198abcd").as_deref(), Some("0198abcd"));
        assert_eq!(id_prefix("0198abcd-").as_deref(), Some("0198abcd"));
        assert_eq!(id_prefix("0198abcde").as_deref(), Some("0198abcd-e"));
        let whole = "0198abcd-0123-7456-89ab-cdef01234567";
        assert_eq!(id_prefix(whole).as_deref(), Some(whole));
        assert_eq!(id_prefix(&whole.replace('-', "")).as_deref(), Some(whole));
        for no_id in ["", " ", "-", "yt-dlp", "0198%", "0198a'"] {
            assert_eq!(id_prefix(no_id), None, "{no_id}");
        }
    }
}
