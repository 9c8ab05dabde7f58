//! Rows as values: how ids, times, paths and JSON are stored, and how rows are read and written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Error, OptionalExtension, Params, Row, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::model::{
    AttemptId, BinaryId, ExitReason, InterfaceId, MachineId, Outcome, ProcessId, ProcessType, ProviderName,
};

/// A value that is read from a row.
pub(super) trait FromRow: Sized {
    /// The table.
    const TABLE: &'static str;
    /// The columns in the order in which [`FromRow::from_row`] reads them, separated by `, `; the id is the first. The
    /// tables themselves have their columns in this order, and so have the values of [`insert_sql`].
    const COLUMNS: &'static str;

    /// Reads a value.
    fn from_row(columns: &mut Columns<'_>) -> rusqlite::Result<Self>;

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
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(&select_sql::<T>(rest))?.query_map(params, value)?.collect()
}

/// Returns the first row that `rest` selects.
pub(super) fn first<T: FromRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> rusqlite::Result<Option<T>> {
    only(connection, rest, params).optional()
}

/// Returns the row that `rest` selects; it is an error if there is none.
pub(super) fn only<T: FromRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> rusqlite::Result<T> {
    connection.prepare_cached(&select_sql::<T>(rest))?.query_row(params, value)
}

fn select_sql<T: FromRow>(rest: &str) -> String {
    format!("SELECT {} FROM {} {rest}", T::COLUMNS, T::TABLE)
}

/// Returns the statement that inserts a row; parameter N is the value of column N.
pub(super) fn insert_sql<T: FromRow>(on_conflict: &str) -> String {
    let columns = T::COLUMNS.split(", ").zip(1..);
    let values = columns.map(|(column, number)| T::expression(column, format!("?{number}")));
    let values = values.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} ({}) VALUES ({values}) {on_conflict}", T::TABLE, T::COLUMNS)
}

/// Returns the statement that inserts a row, or updates the row with the same values in the columns `key`, of which the
/// columns `kept` stay as they are.
pub(super) fn upsert_sql<T: FromRow>(key: &str, kept: &[&str]) -> String {
    let updated = T::COLUMNS.split(", ").filter(|column| !kept.contains(column));
    let updated: Vec<String> = updated.map(|column| format!("{column} = excluded.{column}")).collect();
    insert_sql::<T>(&format!("ON CONFLICT ({key}) DO UPDATE SET {}", updated.join(", ")))
}

/// Reads a row. The error of a value that cannot be read names the table, the id and the column, and is always a
/// [`Error::FromSqlConversionFailure`].
fn value<T: FromRow>(row: &Row<'_>) -> rusqlite::Result<T> {
    let mut columns = Columns { row, next: 0 };
    T::from_row(&mut columns).map_err(|error| {
        let reason = match error {
            Error::FromSqlConversionFailure(_, _, reason) => reason.to_string(),
            other => other.to_string(),
        };
        let id: String = row.get(0).unwrap_or_default();
        let column = row.as_ref().column_name(columns.next - 1).unwrap_or("?");
        columns.invalid(format!("table {}, id {id}, column {column}: {reason}", T::TABLE))
    })
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

    /// Reads a value.
    pub(super) fn get<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    /// Reads a count of bytes, ticks or milliseconds.
    pub(super) fn count(&mut self) -> rusqlite::Result<u64> {
        Ok(self.get::<Count>()?.0)
    }

    /// Reads a time.
    pub(super) fn time(&mut self) -> rusqlite::Result<Timestamp> {
        Ok(self.get::<Time>()?.0)
    }

    /// Reads a value that is stored as JSON.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        Ok(self.get::<Json<T>>()?.0)
    }

    /// Reads a path.
    pub(super) fn path(&mut self) -> rusqlite::Result<PathBuf> {
        Ok(self.get::<FilePath<PathBuf>>()?.0)
    }

    /// Reads a path or NULL.
    pub(super) fn optional_path(&mut self) -> rusqlite::Result<Option<PathBuf>> {
        Ok(self.get::<Option<FilePath<PathBuf>>>()?.map(|path| path.0))
    }

    /// Returns the error of the value that was read last.
    pub(super) fn invalid(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::FromSqlConversionFailure(self.next - 1, Type::Text, reason.into())
    }
}

/// Returns the value of `LIMIT`, for which a negative number means no limit.
pub(super) fn limit(limit: Option<u32>) -> i64 {
    limit.map_or(-1, i64::from)
}

/// Stores types by their text.
macro_rules! stored_as_text {
    ($($name:ty),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.to_string().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(FromSqlError::other)
            }
        }
    )+};
}

stored_as_text!(MachineId, InterfaceId, BinaryId, AttemptId, ProcessId);
stored_as_text!(ProviderName, Outcome, ProcessType, ExitReason);

/// A time, which is stored as text that sorts by time.
pub(super) struct Time(pub(super) Timestamp);

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(clock::spell(self.0).into())
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A count that is stored as a signed integer, as SQLite has no other. A count above 2^63 is stored as a negative number,
/// and read as what it was.
pub(super) struct Count(pub(super) u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.cast_signed().into())
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(|count| Self(count.cast_unsigned()))
    }
}

/// A value that is stored as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0);
        text.map(ToSqlOutput::from).map_err(|reason| Error::ToSqlConversionFailure(reason.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A path that is stored as text, or as a blob if it is not UTF-8.
pub(super) struct FilePath<P>(pub(super) P);

impl<P: AsRef<Path>> ToSql for FilePath<P> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let path = self.0.as_ref().as_os_str();
        Ok(ToSqlOutput::Borrowed(match path.to_str() {
            Some(text) => ValueRef::Text(text.as_bytes()),
            None => ValueRef::Blob(path.as_bytes()),
        }))
    }
}

impl FromSql for FilePath<PathBuf> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_bytes().map(|bytes| Self(OsStr::from_bytes(bytes).into()))
    }
}
