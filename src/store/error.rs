//! The errors of the store.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;

use crate::exhaustion;
use crate::store::holder;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of rigup migrated the store. Nothing was written.
    #[error(
        "cannot open the store {path}: it has schema version {found}, and this rigup supports versions up to {known}; \
         update rigup, or choose another data dir with --data-dir"
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this program supports.
        known: i64,
    },
    /// The store has an older schema and is read-only, so it cannot be migrated.
    #[error(
        "cannot open the store {path}: it has schema version {found}, older than {known}, and is read-only; \
         run a rigup command as the user who owns it, which migrates it"
    )]
    Older {
        /// The store.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The version that this program needs.
        known: i64,
    },
    /// The file is damaged, or is not a database.
    #[error(
        "cannot read the store {path}: the file is damaged or is not a SQLite database ({cause}); \
         `rigup process gc` moves it aside and creates a new store from the run dirs, and `sqlite3 FILE .recover` may \
         recover more of it"
    )]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// The error of SQLite.
        cause: rusqlite::Error,
    },
    /// The path is a folder or another thing that is not a file.
    #[error(
        "cannot open the store {path}: it is not a file; move it away, or choose another data dir with --data-dir"
    )]
    NotAFile {
        /// The store.
        path: PathBuf,
    },
    /// This user may not read or write the store.
    #[error(
        "cannot open or write the store {path}: {cause}; make the file and its folder writable for this user, or \
         choose another data dir with --data-dir"
    )]
    Denied {
        /// The store.
        path: PathBuf,
        /// The error of SQLite.
        cause: rusqlite::Error,
    },
    /// Another process has been writing for longer than a statement waits, which is 10 seconds.
    #[error(
        "cannot write to the store {path}: {holder} has locked it for 10 seconds; wait until that process exits or \
         terminate it, then try again"
    )]
    Busy {
        /// The store.
        path: PathBuf,
        /// The process, or how to find it.
        holder: String,
    },
    /// The disk is full.
    #[error("cannot write to the store {path}: the disk is full; free some space, then try again")]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// A record refers to another record that is not stored.
    #[error(
        "cannot store the record in {path}: it refers to a machine, interface, binary or process that is not stored; \
         store that one first"
    )]
    UnknownReference {
        /// The store.
        path: PathBuf,
    },
    /// A record breaks a rule of the schema, such as one binary per machine and name.
    #[error(
        "cannot store the record in {path}: it conflicts with a stored record ({cause}); change that one instead"
    )]
    Conflict {
        /// The store.
        path: PathBuf,
        /// The error of SQLite.
        cause: rusqlite::Error,
    },
    /// A row has a value that this version does not support.
    #[error(
        "cannot read the store {path}: table {table}, id {id}, column {column}: {reason}; update rigup if a newer \
         version wrote the row, otherwise correct it with sqlite3"
    )]
    InvalidRow {
        /// The store.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The row's id.
        id: String,
        /// The column.
        column: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A new store could not be created, or an existing one not be locked or moved.
    #[error(
        "cannot create the store {path}: {cause}; check the permissions of the folder, or choose another data dir with \
         --data-dir"
    )]
    Create {
        /// The store.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// A migration failed and was rolled back.
    #[error("cannot migrate the store {path}: {cause}; this is a bug in rigup: report it")]
    Migration {
        /// The store.
        path: PathBuf,
        /// The error of the migration.
        cause: Box<rusqlite_migration::Error>,
    },
    /// Another error of SQLite.
    #[error(
        "cannot use the store {path}: {cause}; check the disk, and the file with `sqlite3 FILE 'PRAGMA integrity_check'`"
    )]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// The error of SQLite.
        cause: rusqlite::Error,
    },
}

impl StoreError {
    /// Returns the meaning of an error of SQLite for the store at `path`.
    pub(super) fn new(path: &Path, cause: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match cause.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, cause },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                if path.exists() && !path.is_file() {
                    Self::NotAFile { path }
                } else {
                    Self::Denied { path, cause }
                }
            }
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => {
                let unknown = || format!("another process (`fuser {}` shows its pid)", path.display());
                Self::Busy { holder: holder::find(&path).unwrap_or_else(unknown), path }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            // SQLite reports this if it cannot create the files next to the store.
            Some(ErrorCode::SystemIoFailure) if exhaustion::is_full(path.parent().unwrap_or(&path)) => {
                Self::Full { path }
            }
            Some(ErrorCode::ConstraintViolation) if is_foreign_key(&cause) => Self::UnknownReference { path },
            Some(ErrorCode::ConstraintViolation) => Self::Conflict { path, cause },
            _ => Self::Sqlite { path, cause },
        }
    }

    /// Returns the error of creating, locking or moving the store at `path`.
    pub(super) fn create(path: &Path, cause: io::Error) -> Self {
        Self::Create { path: path.to_owned(), cause }
    }
}

fn is_foreign_key(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_FOREIGNKEY)
}

/// A [`StoreError`] without the path of the store.
#[derive(Debug)]
pub(super) enum QueryError {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// A row that cannot be read.
    InvalidRow { table: &'static str, id: String, column: String, reason: String },
}

impl QueryError {
    /// Adds the path of the store.
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sqlite(cause) => StoreError::new(path, cause),
            Self::InvalidRow { table, id, column, reason } => {
                StoreError::InvalidRow { path: path.to_owned(), table, id, column, reason }
            }
        }
    }
}

impl From<rusqlite::Error> for QueryError {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}
