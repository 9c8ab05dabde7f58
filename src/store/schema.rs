//! Opening the file: found, made, or brought up to date.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior, ffi};
use rusqlite_migration::{M, Migrations};

use super::error::StoreError;
use crate::clock;
use crate::fs::lock::FileLock;

/// How long a statement waits for another process's write.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Oldest first; the n-th makes schema version n.
const MIGRATION_FILES: &[M<'_>] = &[
    M::up(include_str!("migrations/0001_first.sql")),
    M::up(include_str!("migrations/0002_runs.sql")),
    M::up(include_str!("migrations/0003_safety.sql")),
];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(MIGRATION_FILES);

/// The schema version that this program writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful of files")]
pub(super) const KNOWN: i64 = MIGRATION_FILES.len() as i64;

/// Fills a new store, at a path where it is not yet in its place.
pub(super) type Refill<'a> = &'a dyn Fn(&Path, Connection) -> Result<Connection, StoreError>;

/// Opens the store at `path` in `data_dir`, ready to be read and written. Where it has to be made, it is filled first.
pub(super) fn open(
    data_dir: &Path,
    path: &Path,
    refill: Option<Refill<'_>>,
) -> Result<Connection, StoreError> {
    let connection = open_current(data_dir, path, refill)?;
    // With a WAL, a crash of the machine may lose the last transactions, and never the store. The WAL may grow to 16 MiB
    // before it is brought into the store, for which SQLite waits until the disk has everything, new logs included.
    connection
        .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096")
        .map_err(|cause| StoreError::new(path, cause))?;
    Ok(connection)
}

fn open_current(data_dir: &Path, path: &Path, refill: Option<Refill<'_>>) -> Result<Connection, StoreError> {
    if is_there(path)
        && let Some(connection) = connect(path)?
        && is_current(&connection, path)?
    {
        return Ok(connection);
    }
    let _lock = lock(data_dir, path)?;
    if !is_there(path) {
        make(path, refill)?;
    }
    let mut connection = connect(path)?.ok_or_else(|| StoreError::new(path, cannot_open()))?;
    if !is_current(&connection, path)? {
        migrate(&mut connection, path)?;
    }
    Ok(connection)
}

/// Whether there is a store. A file without a byte, which is what a full disk or a careless copy leaves, is none: to SQLite
/// it is a database without a table, and what it had would be missed by nobody.
pub(super) fn is_there(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| !it.is_file() || it.len() > 0)
}

/// Whoever makes, migrates or moves the store does it alone. The folder is locked, not the file: closing the file a second
/// time would drop the locks that SQLite holds on it in this process.
fn lock(data_dir: &Path, path: &Path) -> Result<FileLock, StoreError> {
    let folder = FileLock::open(data_dir).map_err(|cause| making(path, cause))?;
    folder.lock().map_err(|cause| making(path, cause))?;
    Ok(folder)
}

/// Moves a store aside that is damaged, and tells where it is now; none where it is not, or not any more.
pub(super) fn move_aside(data_dir: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let _lock = lock(data_dir, path)?;
    let is_sound = || {
        let Some(connection) = connect(path)? else { return Ok(true) };
        is_current(&connection, path)?;
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|cause| StoreError::new(path, cause))?;
        Ok(found == "ok")
    };
    match is_sound() {
        Ok(false) | Err(StoreError::Corrupt { .. }) => {}
        Ok(true) => return Ok(None),
        Err(error) => return Err(error),
    }
    let aside = beside(path, &format!(".damaged-{}", clock::now().strftime("%Y%m%dT%H%M%S%.3fZ")));
    // The file goes last: whoever is killed before leaves a damaged store, with which all this is done again.
    for suffix in ["-wal", "-shm", "-journal", ""] {
        match fs_err::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(making(path, cause)),
            _ => {}
        }
    }
    Ok(Some(aside))
}

/// Opens a store that may not be written.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    let at = |cause| StoreError::new(path, cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at)?;
    configure(&connection).map_err(at)?;
    let (connection, found) = match version(&connection) {
        // Readers of a WAL need a `-shm` file, and it can be neither found nor made here. So nobody is writing
        // right now; the file is read as it stands.
        Err(cause)
            if matches!(cause.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) =>
        {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(immutable(path), flags).map_err(at)?;
            let found = version(&connection).map_err(at)?;
            (connection, found)
        }
        found => (connection, found.map_err(at)?),
    };
    match check(path, found)? {
        SchemaStatus::Current => Ok(connection),
        SchemaStatus::Older => Err(StoreError::Older { path: path.to_owned(), found, known: KNOWN }),
    }
}

/// A connection for reading and writing; none where there is no file. The file is looked for first: between a failed
/// opening and a look, another process may have made it.
fn connect(path: &Path) -> Result<Option<Connection>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|cause| StoreError::new(path, cause))?;
    configure(&connection).map_err(|cause| StoreError::new(path, cause))?;
    // SQLite turns to reading only, without a word, where it may not write.
    if connection.is_readonly(MAIN_DB).unwrap_or(false) {
        let cause = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None);
        return Err(StoreError::new(path, cause));
    }
    Ok(Some(connection))
}

/// What holds for a connection, not for the file. Reads nothing: a newer schema may be one that cannot be parsed.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA foreign_keys = ON")
}

enum SchemaStatus {
    Current,
    Older,
}

fn is_current(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let at = |cause| StoreError::new(path, cause);
    let found = version(connection).map_err(at)?;
    match check(path, found)? {
        SchemaStatus::Older => Ok(false),
        SchemaStatus::Current => connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map(|mode: String| mode == "wal")
            .map_err(at),
    }
}

fn check(path: &Path, found: i64) -> Result<SchemaStatus, StoreError> {
    if found > KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: KNOWN });
    }
    Ok(if found == KNOWN { SchemaStatus::Current } else { SchemaStatus::Older })
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Makes a store aside and moves it into place, so that nobody ever sees half a one. Nobody else does so: what is there
/// aside was left by one who was killed.
fn make(path: &Path, refill: Option<Refill<'_>>) -> Result<(), StoreError> {
    let fresh = beside(path, ".new");
    remove_files(&fresh, &["", "-wal", "-shm", "-journal"]).map_err(|cause| making(path, cause))?;
    // SQLite gives `-wal` and `-shm` the mode of the file itself.
    fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(|cause| making(path, cause))?;
    let mut connection = connect(&fresh)?.ok_or_else(|| StoreError::new(path, cannot_open()))?;
    // Nobody sees it before it is whole: the disk has to have it once, not after each record.
    connection.execute_batch("PRAGMA synchronous = OFF").map_err(|cause| StoreError::new(path, cause))?;
    migrate(&mut connection, path)?;
    if let Some(refill) = refill {
        connection = refill(&fresh, connection)?;
    }
    connection.close().map_err(|(_, cause)| StoreError::new(path, cause))?;
    File::open(&fresh).and_then(|it| it.sync_all()).map_err(|cause| making(path, cause))?;
    // A log without its store is what somebody left who deleted only the store. SQLite would play it into this one.
    remove_files(path, &["-wal", "-shm", "-journal"]).map_err(|cause| making(path, cause))?;
    fs_err::rename(&fresh, path).map_err(|cause| making(path, cause))
}

/// Removes a file and those beside it, as far as they are there.
fn remove_files(path: &Path, suffixes: &[&str]) -> std::io::Result<()> {
    for suffix in suffixes {
        match fs_err::remove_file(beside(path, suffix)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    switch_to_wal(connection).map_err(|cause| StoreError::new(path, cause))?;
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    MIGRATIONS.to_latest(connection).map_err(|cause| match cause {
        rusqlite_migration::Error::RusqliteError { err, .. }
            if err.sqlite_error_code() != Some(ErrorCode::Unknown) =>
        {
            StoreError::new(path, err)
        }
        cause => StoreError::Migration { path: path.to_owned(), cause: Box::new(cause) },
    })
}

/// The switch needs the file for itself, and does not always wait for it as other statements do. A transaction
/// waits, so an empty one stands between two tries.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    const TRIES: usize = 10;
    let switch = || connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
    for _ in 1..TRIES {
        match switch() {
            Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
            }
            done => return done,
        }
    }
    switch()
}

/// The URI of a file that does not change while it is read.
fn immutable(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = path.as_os_str().as_bytes().iter();
    let spelled: String = bytes
        .map(|&byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("file://{spelled}?immutable=1")
}

/// The path of a file that SQLite, or rigup, keeps beside another.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn making(path: &Path, cause: std::io::Error) -> StoreError {
    StoreError::Make { path: path.to_owned(), cause }
}

fn cannot_open() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_valid() {
        assert_eq!(MIGRATIONS.validate(), Ok(()));
    }

    #[test]
    fn a_path_with_signs_that_mean_something_in_a_uri_is_the_same_path_in_one() {
        assert_eq!(
            immutable(Path::new("/a b/é?#%/x.sqlite3")),
            "file:///a%20b/%C3%A9%3F%23%25/x.sqlite3?immutable=1"
        );
    }
}
