//! What can go wrong with the store: what, where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;

use super::holder;
use crate::exhaustion;

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of rigup has been here. Nothing was written.
    #[error(
        "the store {path} has schema version {found}, and this rigup knows versions up to {known}: \
         update rigup, or choose another folder with --data-dir"
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The store has an older schema, and may not be written.
    #[error(
        "the store {path} has schema version {found}, older than {known}, and may not be written: \
         run a rigup command once as the user who owns it, which brings it up to date"
    )]
    Older {
        /// The store.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The version that this program needs.
        known: i64,
    },
    /// The file is damaged, or not a database.
    #[error(
        "the store {path} is damaged or not a SQLite file ({cause}): `rigup process gc` moves it aside, and begins a \
         new one with what the run dirs tell; `sqlite3 <file> .recover` may save more"
    )]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
    /// Where the file should be is a folder or the like.
    #[error("the store {path} is not a file: move it aside, or choose another folder with --data-dir")]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
    },
    /// This user may not read or write it.
    #[error(
        "the store {path} cannot be opened or written ({cause}): give this user the right to write the file and \
         its folder, or choose another folder with --data-dir"
    )]
    Denied {
        /// The store.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
    /// Somebody else has been writing for longer than a statement waits, which is 10 seconds.
    #[error(
        "the store {path} is busy: {holder} has kept it locked for 10 seconds; let it finish, or end it, and try again"
    )]
    Busy {
        /// The store.
        path: PathBuf,
        /// Who it is, or how to find out.
        holder: String,
    },
    /// No space is left.
    #[error("the store {path} cannot grow: the disk is full; free some space, then try again")]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// A record names another one that is not there.
    #[error(
        "the store {path} refused a record that names a machine, interface, binary or process it does not have: \
         store that one first"
    )]
    Unrelated {
        /// The store.
        path: PathBuf,
    },
    /// A record breaks a rule of the schema, such as one binary per machine and name.
    #[error("the store {path} refused a record ({cause}): look at the one that is there already")]
    Refused {
        /// The store.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
    /// A row says something that this version does not understand.
    #[error(
        "the store {path} has a row that cannot be read: table {table}, id {id}, column {column}: {reason}; \
         update rigup if a newer one wrote it, else correct the row with sqlite3"
    )]
    Row {
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
    /// A new store could not be made, or an older one not be locked for its migration.
    #[error("no store can be made at {path} ({cause}): check the folder, or choose another with --data-dir")]
    Make {
        /// Where it should be.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A migration failed. Nothing of it was kept.
    #[error(
        "the store {path} cannot be brought up to date ({cause}): this is a bug in rigup, please report it"
    )]
    Migration {
        /// The store.
        path: PathBuf,
        /// What failed.
        cause: Box<rusqlite_migration::Error>,
    },
    /// Anything else that SQLite says.
    #[error(
        "the store {path} failed ({cause}): check the disk, and the file with `sqlite3 <file> 'PRAGMA integrity_check'`"
    )]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
}

impl StoreError {
    /// What an error of SQLite means for the store at `path`.
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
                let unknown = || format!("another program (`fuser {}` tells which)", path.display());
                Self::Busy { holder: holder::of(&path).unwrap_or_else(unknown), path }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            // So SQLite says where it cannot make the files beside the store.
            Some(ErrorCode::SystemIoFailure) if exhaustion::is_full(path.parent().unwrap_or(&path)) => {
                Self::Full { path }
            }
            Some(ErrorCode::ConstraintViolation) if is_foreign_key(&cause) => Self::Unrelated { path },
            Some(ErrorCode::ConstraintViolation) => Self::Refused { path, cause },
            _ => Self::Sqlite { path, cause },
        }
    }
}

fn is_foreign_key(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error().is_some_and(|it| it.extended_code == SQLITE_CONSTRAINT_FOREIGNKEY)
}

/// A [`StoreError`] that does not know yet which store it is about.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// A row cannot be read.
    Row { table: &'static str, id: String, column: String, reason: String },
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sqlite(cause) => StoreError::new(path, cause),
            Self::Row { table, id, column, reason } => {
                StoreError::Row { path: path.to_owned(), table, id, column, reason }
            }
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}
