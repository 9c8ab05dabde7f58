//! Reads and writes rows as values, and defines how ids, times, paths and JSON are stored.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, Value as SqlValue, ValueRef};
use rusqlite::{Connection, Error, OptionalExtension, Params, Row, ToSql, params_from_iter};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock;
use crate::duration;
use crate::model::{
    AttemptId, BinaryId, DaemonSpec, DaemonStatus, ExitReason, Health, InterfaceId, MachineId, Outcome,
    ProcessId, ProcessType, ProviderName, RestartHistory, Wanted, Warnings,
};

/// The values of the columns of a row that is written.
pub(super) type Values<'a> = Vec<ToSqlOutput<'a>>;

/// A value that is stored in one column, or in several adjacent columns.
pub(super) trait Columns: Sized {
    /// The number of columns.
    const COUNT: usize = 1;

    /// Reads the value from the next columns.
    fn read(row: &mut RowReader<'_>) -> rusqlite::Result<Self>;

    /// Adds the values of the columns.
    fn write<'a>(&'a self, values: &mut Values<'a>) -> rusqlite::Result<()>;

    /// Returns whether the next columns have no value of this type.
    fn is_none(row: &RowReader<'_>) -> rusqlite::Result<bool> {
        Ok(row.peek()? == ValueRef::Null)
    }

    /// Adds the values of columns that have no value of this type.
    fn write_none(values: &mut Values<'_>) -> rusqlite::Result<()> {
        values.extend((0..Self::COUNT).map(|_| ToSqlOutput::Owned(SqlValue::Null)));
        Ok(())
    }
}

/// Implements [`Columns`] for structs, whose fields are listed in the order of their columns.
macro_rules! columns {
    ($($name:ident { $($field:ident),+ $(,)? })+) => {$(
        impl $crate::store::row::Columns for $name {
            const COUNT: usize = 0 $(+ $crate::store::row::count(|value: &Self| &value.$field))+;

            fn read(row: &mut $crate::store::row::RowReader<'_>) -> rusqlite::Result<Self> {
                Ok(Self { $($field: $crate::store::row::Columns::read(row)?),+ })
            }

            fn write<'a>(&'a self, values: &mut $crate::store::row::Values<'a>) -> rusqlite::Result<()> {
                $($crate::store::row::Columns::write(&self.$field, values)?;)+
                Ok(())
            }
        }
    )+};
}

pub(super) use columns;

/// Returns the number of columns of a field.
pub(super) const fn count<T, F: Columns>(_field: fn(&T) -> &F) -> usize {
    F::COUNT
}

/// A value that is stored as a row.
pub(super) trait TableRow: Columns {
    /// The table.
    const TABLE: &'static str;
    /// The columns in the order of [`Columns`], separated by `, `; the first is the id. The tables themselves have
    /// their columns in this order.
    const COLUMNS: &'static str;
    /// The columns with paths that are stored relative to LIB_DIR or the data dir.
    const PATHS: &'static [&'static str] = &[];

    /// Returns the SQL expression that reads `column`.
    fn selected(column: &str) -> String {
        if Self::PATHS.contains(&column) {
            format!("real_path({column}) AS {column}")
        } else {
            column.to_owned()
        }
    }

    /// Returns the SQL expression for `column` in a new row. `parameter` is the SQL parameter with its value.
    fn expression(column: &str, parameter: String) -> String {
        if Self::PATHS.contains(&column) { format!("stored_path({parameter})") } else { parameter }
    }
}

/// Returns all rows that `rest` (`WHERE ... ORDER BY ...`) selects.
pub(super) fn all<T: TableRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(&select_sql::<T>(rest))?.query_map(params, value)?.collect()
}

/// Returns the rows that `rest` selects. Passes the reason to `skip` for each row that has an invalid value, and leaves it
/// out.
pub(super) fn all_readable<T: TableRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
    mut skip: impl FnMut(String),
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(&select_sql::<T>(rest))?;
    let rows = statement.query_map(params, value)?;
    let readable = rows.filter_map(|row| match row {
        Err(Error::FromSqlConversionFailure(_, _, reason)) => {
            skip(reason.to_string());
            None
        }
        row => Some(row),
    });
    readable.collect()
}

/// Returns the first row that `rest` selects, or `None` if it selects none.
pub(super) fn first<T: TableRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> rusqlite::Result<Option<T>> {
    only(connection, rest, params).optional()
}

/// Returns the row that `rest` selects, or an error if it selects none.
pub(super) fn only<T: TableRow>(
    connection: &Connection,
    rest: &str,
    params: impl Params,
) -> rusqlite::Result<T> {
    connection.prepare_cached(&select_sql::<T>(rest))?.query_row(params, value)
}

fn select_sql<T: TableRow>(rest: &str) -> String {
    let columns: Vec<String> = T::COLUMNS.split(", ").map(T::selected).collect();
    format!("SELECT {} FROM {} {rest}", columns.join(", "), T::TABLE)
}

/// Writes a row with a statement from [`insert_sql`] or [`upsert_sql`].
pub(super) fn write<T: TableRow>(connection: &Connection, sql: &str, row: &T) -> rusqlite::Result<()> {
    let mut values = Values::with_capacity(T::COUNT);
    row.write(&mut values)?;
    connection.prepare_cached(sql)?.execute(params_from_iter(values)).map(drop)
}

/// Returns the statement that inserts a row; parameter N is the value of column N.
pub(super) fn insert_sql<T: TableRow>(on_conflict: &str) -> String {
    let columns = T::COLUMNS.split(", ").zip(1..);
    let values = columns.map(|(column, number)| T::expression(column, format!("?{number}")));
    let values = values.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} ({}) VALUES ({values}) {on_conflict}", T::TABLE, T::COLUMNS)
}

/// Returns the statement that inserts a row or, if a row has the same values in the columns `key`, updates all columns
/// of that row except `kept`.
pub(super) fn upsert_sql<T: TableRow>(key: &str, kept: &[&str]) -> String {
    let updated = T::COLUMNS.split(", ").filter(|column| !kept.contains(column));
    let updated: Vec<String> = updated.map(|column| format!("{column} = excluded.{column}")).collect();
    insert_sql::<T>(&format!("ON CONFLICT ({key}) DO UPDATE SET {}", updated.join(", ")))
}

/// Reads a row. The error of a value that cannot be read names the table, the id and the column, and is always a
/// [`Error::FromSqlConversionFailure`].
fn value<T: TableRow>(row: &Row<'_>) -> rusqlite::Result<T> {
    let mut reader = RowReader { row, next: 0 };
    T::read(&mut reader).map_err(|error| {
        let reason = match error {
            Error::FromSqlConversionFailure(_, _, reason) => reason.to_string(),
            other => other.to_string(),
        };
        let id: String = row.get(0).unwrap_or_default();
        let column = row.as_ref().column_name(reader.next - 1).unwrap_or("?");
        reader.invalid(format!("table {}, id {id}, column {column}: {reason}", T::TABLE))
    })
}

/// A reader of the columns of a row, one after the other.
pub(super) struct RowReader<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl RowReader<'_> {
    /// Returns the value of the next column without skipping it.
    pub(super) fn peek(&self) -> rusqlite::Result<ValueRef<'_>> {
        self.row.get_ref(self.next)
    }

    /// Skips a number of columns.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Reads the next column, and converts its value with `parse`.
    fn parse<T>(&mut self, parse: impl FnOnce(ValueRef<'_>) -> FromSqlResult<T>) -> rusqlite::Result<T> {
        let parsed = parse(self.peek()?);
        self.skip(1);
        parsed.map_err(|error| self.invalid(error))
    }

    /// Returns an error for the value that was read last.
    pub(super) fn invalid(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::FromSqlConversionFailure(self.next - 1, Type::Text, reason.into())
    }
}

/// Returns the operand of `LIMIT`, for which a negative number means no limit.
pub(super) fn limit(limit: Option<u32>) -> i64 {
    limit.map_or(-1, i64::from)
}

impl<T: Columns> Columns for Option<T> {
    const COUNT: usize = T::COUNT;

    fn read(row: &mut RowReader<'_>) -> rusqlite::Result<Self> {
        if T::is_none(row)? {
            row.skip(T::COUNT);
            return Ok(None);
        }
        T::read(row).map(Some)
    }

    fn write<'a>(&'a self, values: &mut Values<'a>) -> rusqlite::Result<()> {
        write_optional(self.as_ref(), values)
    }
}

/// Adds the values of the columns of a value, or of `None`.
pub(super) fn write_optional<'a, T: Columns>(
    value: Option<&'a T>,
    values: &mut Values<'a>,
) -> rusqlite::Result<()> {
    match value {
        Some(value) => value.write(values),
        None => T::write_none(values),
    }
}

/// Implements `ToSql` and `FromSql` for types that are stored as text.
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

/// Implements [`Columns`] for types that are stored in one column, with expressions that read and write it.
macro_rules! columns_of_one {
    ($([$($name:ty),+] => |$column:ident| $read:expr, |$value:ident| $written:expr;)+) => {$($(
        impl Columns for $name {
            fn read(row: &mut RowReader<'_>) -> rusqlite::Result<Self> {
                row.parse(|$column| $read)
            }

            fn write<'a>(&'a self, values: &mut Values<'a>) -> rusqlite::Result<()> {
                let $value = self;
                values.push($written);
                Ok(())
            }
        }
    )+)+};
}

columns_of_one! {
    [String, bool, f64] => |column| FromSql::column_result(column), |value| value.to_sql()?;
    // A number that is too large or too small counts as the closest one.
    [i32] =>
        |column| column.as_i64().map(|number| number.try_into().unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })),
        |number| number.to_sql()?;
    [u32] =>
        |column| column.as_i64().map(|number| number.try_into().unwrap_or(if number < 0 { 0 } else { u32::MAX })),
        |number| number.to_sql()?;
    [MachineId, InterfaceId, BinaryId, AttemptId, ProcessId] =>
        |column| FromSql::column_result(column), |id| id.to_sql()?;

    [ProviderName] =>
        |column| ProviderName::parse(column.as_str()?).map_err(FromSqlError::other), |name| name.as_str().into();

    [Outcome, ProcessType, ExitReason, DaemonStatus, Health, Wanted] =>
        |column| column.as_str()?.parse().map_err(FromSqlError::other), |word| word.as_str().into();

    [Vec<String>, Map<String, Value>, Warnings, DaemonSpec, RestartHistory] =>
        |column| serde_json::from_str(column.as_str()?).map_err(FromSqlError::other), |value| json(value)?.into();

    // A time is stored as text that sorts by time, which it does only from the year 0.
    [Timestamp] =>
        |column| clock::parse(column.as_str()?).map_err(FromSqlError::other), |time| clock::format(*time).into();

    // A duration is stored in seconds.
    [Duration] =>
        |column| column.as_f64().map(duration::saturating),
        |duration| duration.as_secs_f64().into();

    // SQLite has only signed integers, so a count of 2^63 or more is stored as a negative number, which is converted
    // back when it is read.
    [u64] => |column| column.as_i64().map(i64::cast_unsigned), |count| count.cast_signed().into();

    // A path is stored as text, or as a blob if it is not UTF-8.
    [PathBuf] =>
        |column| column.as_bytes().map(|bytes| OsStr::from_bytes(bytes).into()),
        |path| ToSqlOutput::Borrowed(match path.to_str() {
            Some(text) => ValueRef::Text(text.as_bytes()),
            None => ValueRef::Blob(path.as_os_str().as_bytes()),
        });
}

/// Returns the JSON text of a value.
pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|reason| Error::ToSqlConversionFailure(reason.into()))
}
