//! The schema of the store: its version and its migrations.

use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

use crate::store::error::StoreError;

/// The time that a statement waits while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The migrations, oldest first. Migration N leads to schema version N.
const MIGRATION_FILES: &[M<'_>] = &[M::up(include_str!("migrations/0001_initial.sql"))];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(MIGRATION_FILES);

/// The schema version that this program writes.
#[expect(clippy::cast_possible_wrap, reason = "there are only a few files")]
pub(super) const KNOWN: i64 = MIGRATION_FILES.len() as i64;

/// The file of a store without records, compressed. To create it from the migrations would take a third of the time until the
/// first hook starts.
const NEW_STORE: &[u8] = include_bytes!("new_store.sqlite3.gz");

/// Returns the content of the file of a store without records.
pub(super) fn new_store() -> GzDecoder<&'static [u8]> {
    GzDecoder::new(NEW_STORE)
}

/// Sets the options of a connection, which are not stored in the file. Reads nothing, because SQLite may not be able to
/// parse a newer schema.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA foreign_keys = ON")
}

/// Returns the schema version of a store.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Returns whether the schema version `found` in the store at `path` is older than that of this program. A newer one is
/// an error.
pub(super) fn is_older(path: &Path, found: i64) -> Result<bool, StoreError> {
    if found > KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: KNOWN });
    }
    Ok(found < KNOWN)
}

/// Returns whether a store has the schema of this program and a WAL.
pub(super) fn is_current(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let store_error = |cause| StoreError::new(path, cause);
    if is_older(path, version(connection).map_err(store_error)?)? {
        return Ok(false);
    }
    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    let mode = mode.map_err(store_error)?;
    Ok(mode == "wal")
}

/// Migrates a store to the schema of this program.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    MIGRATIONS.to_latest(connection).map_err(|cause| match cause {
        rusqlite_migration::Error::RusqliteError { err, .. }
            if err.sqlite_error_code() != Some(ErrorCode::Unknown) =>
        {
            StoreError::new(path, err)
        }
        cause => StoreError::Migration(path.to_owned(), Box::new(cause)),
    })
}

/// Switches the journal mode to WAL. The switch needs exclusive access to the file, and does not always wait for it as
/// other statements do. A transaction does wait, so an empty one runs between two tries.
pub(super) fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    const TRIES: usize = 10;
    let switch = || connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
    for _ in 1..TRIES {
        match switch() {
            Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
            }
            result => return result,
        }
    }
    switch()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_valid() {
        assert_eq!(MIGRATIONS.validate(), Ok(()));
    }

    #[test]
    fn a_new_store_is_what_the_migrations_create() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.sqlite3");
        std::io::copy(&mut new_store(), &mut fs_err::File::create(&path).unwrap()).unwrap();
        let new = Connection::open(&path).unwrap();
        let mut migrated = Connection::open_in_memory().unwrap();
        migrate(&mut migrated, &path).unwrap();
        let schema = |connection: &Connection| {
            let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<Vec<(String, Option<String>)>, _>>().unwrap()
        };
        let how = "create new_store.sqlite3.gz as CONTRIBUTING.md says";
        assert_eq!(schema(&new), schema(&migrated), "{how}");
        assert!(is_current(&new, &path).unwrap(), "{how}");
        let check: String = new.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}
