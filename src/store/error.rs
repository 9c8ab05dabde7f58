//! The errors of the store.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::{
    SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE,
};

use crate::exhaustion;
use crate::shell;
use crate::store::files::with_suffix;

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
    /// The store has an older schema, and is only read, so it is not migrated.
    #[error(
        "cannot read the store {path}: it has schema version {found}, older than {known}; run `rigup process gc` as the \
         user who owns it, which migrates it"
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
        "cannot read the store {0}: the file is damaged or is not a SQLite database ({1}); \
         `rigup process gc` moves it aside and creates a new store from the run dirs, and `sqlite3 FILE .recover` may \
         recover more of it"
    )]
    Corrupt(PathBuf, rusqlite::Error),
    /// The path is a folder, or something else that is not a file.
    #[error(
        "cannot open the store {0}: it is not a file; move it away, or choose another data dir with --data-dir"
    )]
    NotAFile(PathBuf),
    /// This user may not read or write the store.
    #[error(
        "cannot open or write the store {0}: {1}; make the file and its folder writable for this user, or \
         choose another data dir with --data-dir"
    )]
    Denied(PathBuf, rusqlite::Error),
    /// Another process has held the write lock for longer than a statement waits, which is 10 seconds. The text is the
    /// name of the process, or how to find it.
    #[error(
        "cannot write to the store {0}: {1} has kept it locked for 10 seconds; wait until that process exits or \
         terminate it, then try again"
    )]
    Busy(PathBuf, String),
    /// The disk is full.
    #[error("cannot write to the store {0}: the disk is full; free some space, then try again")]
    Full(PathBuf),
    /// The file would exceed the limit on the size of files.
    #[error("cannot write to the store {0}: file too large; raise the limit with `ulimit -f`")]
    TooLarge(PathBuf),
    /// A record refers to another record that is not stored.
    #[error(
        "cannot store the record in {0}: it refers to a machine, interface, binary or process that is not stored; \
         store that one first"
    )]
    UnknownReference(PathBuf),
    /// A record breaks a rule of the schema, such as one binary per machine and name.
    #[error(
        "cannot store the record in {0}: it conflicts with a stored record ({1}); change that one instead"
    )]
    Conflict(PathBuf, rusqlite::Error),
    /// A row has a value that this version does not support. The text contains the table, the id, the column and the
    /// reason.
    #[error(
        "cannot read a row of the store {0}: {1}; update rigup if a newer version wrote the row, otherwise correct or delete it with sqlite3"
    )]
    InvalidRow(PathBuf, String),
    /// A new store could not be created, or an existing one could not be locked or moved.
    #[error("cannot create the store {0}: {1}; choose another data dir with --data-dir")]
    Create(PathBuf, io::Error),
    /// A migration failed and was rolled back.
    #[error("cannot migrate the store {0}: {1}; this is a bug in rigup: report it")]
    Migration(PathBuf, Box<rusqlite_migration::Error>),
    /// Another error of SQLite.
    #[error(
        "cannot use the store {0}: {1}; check the disk, and the file with `sqlite3 FILE 'PRAGMA integrity_check'`"
    )]
    Sqlite(PathBuf, rusqlite::Error),
}

impl StoreError {
    /// Returns whether the error is about one record, so that others can still be stored and read.
    pub(crate) const fn is_about_record(&self) -> bool {
        matches!(self, Self::UnknownReference(_) | Self::Conflict(..) | Self::InvalidRow(..))
    }

    /// Converts an error of the files of a new store at `path`.
    pub(super) fn of_creation(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            io::ErrorKind::StorageFull => Self::Full(path),
            io::ErrorKind::FileTooLarge => Self::TooLarge(path),
            _ => Self::Create(path, cause),
        }
    }

    /// Converts an error of SQLite for the store at `path`.
    pub(super) fn new(path: &Path, cause: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let cause = match cause {
            rusqlite::Error::FromSqlConversionFailure(_, _, reason) => {
                return Self::InvalidRow(path, reason.to_string());
            }
            cause => cause,
        };
        match cause.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Corrupt(path, cause),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                if path.exists() && !path.is_file() {
                    Self::NotAFile(path)
                } else {
                    Self::Denied(path, cause)
                }
            }
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => {
                let unknown =
                    || format!("another process (`fuser {}` shows its pid)", shell::quote_path(&path));
                let holder = write_lock_holder(&path).unwrap_or_else(unknown);
                Self::Busy(path, holder)
            }
            Some(ErrorCode::DiskFull) => Self::Full(path),
            // SQLite reports this if it cannot create the files next to the store.
            Some(ErrorCode::SystemIoFailure) if exhaustion::is_full(path.parent().unwrap_or(&path)) => {
                Self::Full(path)
            }
            Some(ErrorCode::SystemIoFailure) if is_write(&cause) && exhaustion::limits_file_size() => {
                Self::TooLarge(path)
            }
            Some(ErrorCode::ConstraintViolation) if is_foreign_key(&cause) => Self::UnknownReference(path),
            Some(ErrorCode::ConstraintViolation) => Self::Conflict(path, cause),
            _ => Self::Sqlite(path, cause),
        }
    }
}

fn is_foreign_key(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_CONSTRAINT_FOREIGNKEY)
}

fn is_write(cause: &rusqlite::Error) -> bool {
    let code = cause.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(SQLITE_IOERR_WRITE | SQLITE_IOERR_TRUNCATE | SQLITE_IOERR_SHMSIZE))
}

/// Returns the name and pid of the process that holds the write lock of the store at `path`, or `None` if no process
/// holds it or the system does not report it. Does not open the store: closing it would release this process's own
/// locks on it.
fn write_lock_holder(path: &Path) -> Option<String> {
    // In WAL mode, the write lock is a lock on the -shm file.
    let inode = format!(":{}", with_suffix(path, "-shm").metadata().ok()?.ino());
    let locks = fs_err::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "POSIX", _, "WRITE", pid, file, ..] if file.ends_with(&inode) => Some(pid.to_owned()),
        _ => None,
    })?;
    let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim()))
}
