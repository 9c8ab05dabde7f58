//! Opening a store: creating, migrating or replacing it if necessary.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, ffi};

use crate::clock;
use crate::fs::dir::ignore_missing;
use crate::fs::lock::FileLock;
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::files::{self, FILE_NAME, SIDE_FILES, with_suffix};
use crate::store::schema;

/// Fills a new store before other processes can see it.
type Fill<'a> = &'a dyn Fn(&Store) -> Result<(), StoreError>;

impl Store {
    /// Opens the store in `data_dir`, which must exist, for reading and writing. Creates the store with access for this
    /// user only if it does not exist, and migrates an older schema. Any number of processes may do so at once.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        open(&data_dir.join(FILE_NAME), None)
    }

    /// Opens the store like [`Store::open`]; `fill` adds records to a new store before other processes can see it. A
    /// damaged store is moved aside and replaced: one that cannot be opened, and with `is_suspect` any damage that a
    /// check of the whole file finds. Returns the path of the damaged store, if there was one.
    pub fn open_or_rebuild(
        data_dir: &Path,
        is_suspect: bool,
        fill: &dyn Fn(&Self) -> Result<(), StoreError>,
    ) -> Result<(Self, Option<PathBuf>), StoreError> {
        let path = data_dir.join(FILE_NAME);
        let aside = if is_suspect { move_aside(&path)? } else { None };
        match open(&path, Some(fill)) {
            Err(StoreError::Corrupt { .. }) if !is_suspect => {
                let aside = move_aside(&path)?;
                Ok((open(&path, Some(fill))?, aside))
            }
            result => Ok((result?, aside)),
        }
    }

    /// Opens the store in `data_dir` for a command that only reads, or returns `None` if there is no store. A store that
    /// cannot be written is opened read-only.
    pub fn open_existing(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = data_dir.join(FILE_NAME);
        if !files::exists(&path) {
            return Ok(None);
        }
        match open(&path, None) {
            Err(StoreError::Denied { .. }) => open_read_only(&path).map(Some),
            result => result.map(Some),
        }
    }
}

/// Opens the store at `path` for reading and writing; `fill` adds records to a new one.
fn open(path: &Path, fill: Option<Fill<'_>>) -> Result<Store, StoreError> {
    let connection = open_current(path, fill)?;
    // With a WAL, a power failure may lose the last transactions, but never damages the store. The WAL may grow to 16 MiB
    // before a checkpoint, for which SQLite waits until all data is on disk, including that of concurrently written logs.
    connection
        .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096")
        .map_err(|cause| StoreError::new(path, cause))?;
    Ok(Store::new(path.to_owned(), connection))
}

fn open_current(path: &Path, fill: Option<Fill<'_>>) -> Result<Connection, StoreError> {
    if files::exists(path)
        && let Some(connection) = connect(path)?
        && schema::is_current(&connection, path)?
    {
        return Ok(connection);
    }
    let _lock = lock(path)?;
    if !files::exists(path) {
        create(path, fill)?;
    }
    let mut connection = connect(path)?.ok_or_else(|| sqlite_error(path, ffi::SQLITE_CANTOPEN))?;
    if !schema::is_current(&connection, path)? {
        schema::migrate(&mut connection, path)?;
    }
    Ok(connection)
}

/// Locks the folder of the store, so that only one process creates, migrates or moves the store. The store itself is not
/// locked: closing its file a second time would drop SQLite's locks on it in this process.
fn lock(path: &Path) -> Result<FileLock, StoreError> {
    let folder = FileLock::open(path.parent().unwrap_or(Path::new(".")));
    folder
        .and_then(|folder| folder.lock().map(|()| folder))
        .map_err(|cause| StoreError::Create(path.to_owned(), cause))
}

/// Connects for reading and writing, or returns `None` if the file does not exist. The file is looked for first: between
/// a failed connection and a look, another process may create it.
fn connect(path: &Path) -> Result<Option<Connection>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .and_then(|connection| schema::configure(&connection).map(|()| connection))
        .map_err(|cause| StoreError::new(path, cause))?;
    // SQLite falls back to read-only access silently.
    if connection.is_readonly(MAIN_DB).unwrap_or(false) {
        return Err(sqlite_error(path, ffi::SQLITE_READONLY));
    }
    Ok(Some(connection))
}

/// Creates a store under another name and renames it, so that no other process ever sees an incomplete one. The caller
/// holds the lock: an existing file of that name was left by a process that was killed.
fn create(path: &Path, fill: Option<Fill<'_>>) -> Result<(), StoreError> {
    let create_error = |cause| StoreError::Create(path.to_owned(), cause);
    let fresh = with_suffix(path, ".new");
    ignore_missing(fs_err::remove_file(&fresh))
        .and_then(|()| files::remove_side_files(&fresh))
        .map_err(create_error)?;
    // SQLite gives the -wal and -shm files the mode of the database.
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&fresh).map_err(create_error)?;
    let mut connection = connect(&fresh)?.ok_or_else(|| sqlite_error(path, ffi::SQLITE_CANTOPEN))?;
    // No other process sees the store before it is complete: it is synced once, not after each record.
    connection.execute_batch("PRAGMA synchronous = OFF").map_err(|cause| StoreError::new(path, cause))?;
    schema::migrate(&mut connection, path)?;
    if let Some(fill) = fill {
        let store = Store::new(fresh.clone(), connection);
        fill(&store)?;
        connection = store.into_connection();
    }
    connection.close().map_err(|(_, cause)| StoreError::new(path, cause))?;
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(create_error)?;
    // SQLite would replay the WAL of a deleted store into the new one.
    files::remove_side_files(path).map_err(create_error)?;
    fs_err::rename(&fresh, path).map_err(create_error)
}

/// Moves a damaged store aside and returns its new path, or `None` if the store is sound.
fn move_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let _lock = lock(path)?;
    match is_sound(path) {
        Ok(false) | Err(StoreError::Corrupt { .. }) => {}
        Ok(true) => return Ok(None),
        Err(error) => return Err(error),
    }
    let aside = with_suffix(path, &format!(".damaged-{}", clock::now().strftime("%Y%m%dT%H%M%S%.3fZ")));
    // The store itself goes last: if this process is killed before that, the next one finds the damaged store again.
    for suffix in SIDE_FILES.into_iter().chain([""]) {
        ignore_missing(fs_err::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)))
            .map_err(|cause| StoreError::Create(path.to_owned(), cause))?;
    }
    Ok(Some(aside))
}

/// Returns whether a store is undamaged; a missing one is.
fn is_sound(path: &Path) -> Result<bool, StoreError> {
    let Some(connection) = connect(path)? else { return Ok(true) };
    schema::is_current(&connection, path)?;
    let result: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|cause| StoreError::new(path, cause))?;
    Ok(result == "ok")
}

/// Opens a store that cannot be written.
pub(super) fn open_read_only(path: &Path) -> Result<Store, StoreError> {
    let store_error = |cause| StoreError::new(path, cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    schema::configure(&connection).map_err(store_error)?;
    let (connection, found) = match schema::version(&connection) {
        // Reading a WAL needs a -shm file, which neither exists nor can be created here. So no process is writing, and
        // the file does not change.
        Err(cause)
            if matches!(cause.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) =>
        {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(immutable_uri(path), flags).map_err(store_error)?;
            let found = schema::version(&connection).map_err(store_error)?;
            (connection, found)
        }
        found => (connection, found.map_err(store_error)?),
    };
    if schema::is_older(path, found)? {
        return Err(StoreError::Older { path: path.to_owned(), found, known: schema::KNOWN });
    }
    Ok(Store::new(path.to_owned(), connection))
}

/// Returns the URI by which SQLite opens a file that does not change while it is read.
fn immutable_uri(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}

fn sqlite_error(path: &Path, code: i32) -> StoreError {
    StoreError::new(path, rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_characters_of_a_path_are_escaped_in_its_uri() {
        assert_eq!(
            immutable_uri(Path::new("/a b/é?#%/x.sqlite3")),
            "file:///a%20b/%C3%A9%3F%23%25/x.sqlite3?immutable=1"
        );
    }
}
