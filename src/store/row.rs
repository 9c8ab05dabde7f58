//! Rows as values: how ids, times, paths and JSON are stored, and how rows are read and written.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::model::text_enum::UnknownWord;
use crate::store::error::QueryError;

/// A value that is read from a row.
pub(super) trait FromRow: Sized {
    /// The table.
    const TABLE: &'static str;
    /// The columns in the order in which [`FromRow::from_row`] reads them; the id is the first. The tables themselves
    /// have their columns in this order, and so have the values of [`insert_sql`].
    const COLUMNS: &'static [&'static str];

    /// Reads a value.
    fn from_row(columns: &mut Columns<'_>) -> Result<Self, InvalidValue>;

    /// Returns the expression that a new row has in `column`, given the parameter with its value.
    fn expression(_column: &str, parameter: String) -> String {
        parameter
    }
}

/// Returns all rows that `rest` (`WHERE ... ORDER BY ...`) selects.
pub(super) fn all<T: FromRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<Vec<T>, QueryError> {
    let mut statement = connection.prepare_cached(&select_sql::<T>(rest))?;
    let mut rows = statement.query(params)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(value(row)?);
    }
    Ok(values)
}

/// Returns the first row that `rest` selects.
pub(super) fn first<T: FromRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<Option<T>, QueryError> {
    let mut statement = connection.prepare_cached(&select_sql::<T>(rest))?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(value).transpose()
}

/// Returns the row that `rest` selects; it is an error if there is none.
pub(super) fn only<T: FromRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> Result<T, QueryError> {
    first(connection, rest, params)?.ok_or(QueryError::Sqlite(rusqlite::Error::QueryReturnedNoRows))
}

fn select_sql<T: FromRow>(rest: &str) -> String {
    format!("SELECT {} FROM {} {rest}", T::COLUMNS.join(", "), T::TABLE)
}

/// Returns the statement that inserts a row; parameter N is the value of column N.
pub(super) fn insert_sql<T: FromRow>(on_conflict: &str) -> String {
    let parameters =
        T::COLUMNS.iter().zip(1..).map(|(column, number)| T::expression(column, format!("?{number}")));
    format!(
        "INSERT INTO {} ({}) VALUES ({}) {on_conflict}",
        T::TABLE,
        T::COLUMNS.join(", "),
        parameters.collect::<Vec<_>>().join(", ")
    )
}

/// Returns the statement that inserts a row, or updates the row with the same values in the columns `key`, of which the
/// columns `kept` stay as they are.
pub(super) fn upsert_sql<T: FromRow>(key: &str, kept: &[&str]) -> String {
    let updated = T::COLUMNS.iter().filter(|column| !kept.contains(column));
    let updated: Vec<String> = updated.map(|column| format!("{column} = excluded.{column}")).collect();
    insert_sql::<T>(&format!("ON CONFLICT ({key}) DO UPDATE SET {}", updated.join(", ")))
}

fn value<T: FromRow>(row: &Row<'_>) -> Result<T, QueryError> {
    T::from_row(&mut Columns { row, next: 0 }).map_err(|invalid| QueryError::InvalidRow {
        table: T::TABLE,
        id: row.get(0).unwrap_or_default(),
        column: invalid.column,
        reason: invalid.reason,
    })
}

/// A value in a row that cannot be read.
#[derive(Debug)]
pub(super) struct InvalidValue {
    column: String,
    reason: String,
}

impl InvalidValue {
    pub(super) fn new(column: &str, reason: impl Display) -> Self {
        Self { column: column.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn unknown_word(column: &str, word: String) -> Self {
        Self::new(column, UnknownWord(word))
    }
}

/// The columns of a row, read one after the other.
pub(super) struct Columns<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl Columns<'_> {
    /// Skips columns.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Reads a value of a type of SQLite.
    pub(super) fn get<T: FromSql>(&mut self) -> Result<T, InvalidValue> {
        let value = self.row.get(self.next).map_err(|reason| self.bad(reason));
        self.next += 1;
        value
    }

    /// Reads a count of bytes, ticks or milliseconds: see [`count`].
    pub(super) fn count(&mut self) -> Result<u64, InvalidValue> {
        Ok(self.get::<i64>()?.cast_unsigned())
    }

    /// Reads a count or NULL.
    pub(super) fn optional_count(&mut self) -> Result<Option<u64>, InvalidValue> {
        Ok(self.get::<Option<i64>>()?.map(i64::cast_unsigned))
    }

    /// Reads an id.
    pub(super) fn id<I: FromStr<Err = uuid::Error>>(&mut self) -> Result<I, InvalidValue> {
        self.parse(str::parse)
    }

    /// Reads an id or NULL.
    pub(super) fn optional_id<I: FromStr<Err = uuid::Error>>(&mut self) -> Result<Option<I>, InvalidValue> {
        self.parse_optional(str::parse)
    }

    /// Reads a time.
    pub(super) fn time(&mut self) -> Result<Timestamp, InvalidValue> {
        self.parse(str::parse)
    }

    /// Reads a time or NULL.
    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, InvalidValue> {
        self.parse_optional(str::parse)
    }

    /// Reads a value that is stored as JSON.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, InvalidValue> {
        self.parse(|text| serde_json::from_str(text))
    }

    /// Reads a path.
    pub(super) fn path(&mut self) -> Result<PathBuf, InvalidValue> {
        let index = self.next;
        self.optional_path()?.ok_or_else(|| InvalidValue::new(self.name(index), "the value is not a path"))
    }

    /// Reads a path or NULL.
    pub(super) fn optional_path(&mut self) -> Result<Option<PathBuf>, InvalidValue> {
        let path = match self.row.get_ref(self.next) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                Ok(Some(PathBuf::from(OsStr::from_bytes(bytes))))
            }
            Ok(ValueRef::Null) => Ok(None),
            Ok(other) => {
                Err(self.bad(format_args!("the value has the type {}, which no path has", other.data_type())))
            }
            Err(reason) => Err(self.bad(reason)),
        };
        self.next += 1;
        path
    }

    /// Reads a text and parses it.
    pub(super) fn parse<T, E: Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, InvalidValue> {
        let index = self.next;
        self.parse_optional(parse)?.ok_or_else(|| InvalidValue::new(self.name(index), "the value is missing"))
    }

    /// Reads a text or NULL, and parses the text.
    pub(super) fn parse_optional<T, E: Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, InvalidValue> {
        let value = match self.row.get_ref(self.next).map(|value| value.as_str_or_null()) {
            Ok(Ok(Some(text))) => parse(text).map(Some).map_err(|reason| self.bad(reason)),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(reason)) => Err(self.bad(reason)),
            Err(reason) => Err(self.bad(reason)),
        };
        self.next += 1;
        value
    }

    fn bad(&self, reason: impl Display) -> InvalidValue {
        InvalidValue::new(self.name(self.next), reason)
    }

    fn name(&self, index: usize) -> &str {
        self.row.as_ref().column_name(index).unwrap_or("?")
    }
}

/// Returns an id as it is stored.
pub(super) fn id(id: impl Display) -> String {
    id.to_string()
}

/// Returns a count as a signed integer, as SQLite stores it. A count above 2^63 is stored as a negative number, and read
/// as what it was.
pub(super) fn count(count: u64) -> i64 {
    count.cast_signed()
}

/// Returns the value of `LIMIT`, for which a negative number means no limit.
pub(super) fn limit(limit: Option<u32>) -> i64 {
    limit.map_or(-1, i64::from)
}

/// Returns a time as it is stored.
pub(super) fn time(time: Timestamp) -> String {
    clock::spell(time)
}

/// A value that is stored as JSON text.
pub(super) struct Json<'a, T>(pub(super) &'a T);

impl<T: Serialize> ToSql for Json<'_, T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(self.0)
            .map(ToSqlOutput::from)
            .map_err(|reason| rusqlite::Error::ToSqlConversionFailure(reason.into()))
    }
}

/// A path that is stored as text, or as a blob if it is not UTF-8.
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
