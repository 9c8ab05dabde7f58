//! Opens the store, and creates, migrates or replaces it if necessary.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, ffi};

use crate::clock;
use crate::fs::lock::FileLock;
use crate::fs::remove::ignore_missing;
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::files::{self, FILE_NAME, SIDE_FILES, with_suffix};
use crate::store::schema;

/// A function that adds records to a new store before other processes can see it.
pub(crate) type Fill<'a> = Box<dyn FnOnce(&Store) -> Result<(), StoreError> + 'a>;

/// A function that returns what adds the records of a lost store to a new one, or `None` if there are none.
type FindRecords<'a> = &'a dyn Fn() -> Option<Fill<'a>>;

impl Store {
    /// Opens the store in `data_dir`, which must exist, for reading and writing. If there is no store, creates one that
    /// only this user can access. Migrates an older schema. Any number of processes may do this at once. Stored paths
    /// below LIB_DIR are relative to `lib_dir`.
    pub fn open(data_dir: &Path, lib_dir: &Path) -> Result<Self, StoreError> {
        open(&data_dir.join(FILE_NAME), lib_dir, None)
    }

    /// Opens the store like [`Store::open`], but moves a damaged store aside and creates a new one. Without
    /// `is_suspect`, a store counts as damaged only if it cannot be opened; with it, the whole file is checked. What
    /// `find_records` returns adds records to a new store before other processes can see it. Returns the new path of the
    /// damaged store, or `None` if the store was not damaged.
    pub(crate) fn open_or_rebuild<'a>(
        data_dir: &Path,
        lib_dir: &Path,
        is_suspect: bool,
        find_records: &'a dyn Fn() -> Option<Fill<'a>>,
    ) -> Result<(Self, Option<PathBuf>), StoreError> {
        let path = data_dir.join(FILE_NAME);
        let aside = if is_suspect { move_aside(&path)? } else { None };
        match open(&path, lib_dir, Some(find_records)) {
            Err(StoreError::Corrupt { .. }) if !is_suspect => {
                let aside = move_aside(&path)?;
                Ok((open(&path, lib_dir, Some(find_records))?, aside))
            }
            result => Ok((result?, aside)),
        }
    }

    /// Goes on with the store that has taken the place of this one, if a rebuild has replaced it. Returns whether it has.
    pub(crate) fn reopen_if_replaced(&self) -> Result<bool, StoreError> {
        if !self.is_replaced() || !files::exists(self.path()) {
            return Ok(false);
        }
        let current = open(self.path(), self.lib_dir(), None)?;
        // What is in the store that was moved aside stays as it is.
        self.leave_wal();
        self.replace_by(current);
        Ok(true)
    }

    /// Returns an empty store in memory, in place of the one in `data_dir`, which does not exist.
    pub(crate) fn in_memory(data_dir: &Path, lib_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        let connection = Connection::open_in_memory()
            .and_then(|connection| schema::configure(&connection).map(|()| connection));
        let mut connection = connection.map_err(|cause| StoreError::new(&path, cause))?;
        schema::migrate(&mut connection, &path)?;
        Self::new(path, connection, lib_dir)
    }

    /// Checks the whole store in `data_dir` for damage, if there is one. Changes nothing, not even an older schema.
    pub(crate) fn check(data_dir: &Path) -> Result<(), StoreError> {
        let path = data_dir.join(FILE_NAME);
        if files::exists(&path)
            && let Some((connection, found)) = connect_to_read(&path)?
        {
            schema::is_older(&path, found)?;
            if !is_sound(&connection, &path)? {
                return Err(sqlite_error(&path, ffi::SQLITE_CORRUPT));
            }
        }
        Ok(())
    }

    /// Opens the store in `data_dir` for reading and writing, or returns `None` if there is no store. A store that this
    /// user cannot write to is opened read-only.
    pub fn open_existing(data_dir: &Path, lib_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = data_dir.join(FILE_NAME);
        if !files::exists(&path) {
            return Ok(None);
        }
        match open(&path, lib_dir, None) {
            Err(StoreError::Denied { .. }) => open_read_only(&path, lib_dir).map(Some),
            result => result.map(Some),
        }
    }

    /// Opens the store in `data_dir` for a command that only reads, or returns `None` if there is no store. Changes nothing
    /// in it, not even an older schema, and leaves what a killed process has left in the WAL where it is.
    pub(crate) fn open_to_read(data_dir: &Path, lib_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = data_dir.join(FILE_NAME);
        if !files::exists(&path) {
            // A process that holds the lock is about to put a store there.
            let Ok(_lock) = lock(&path) else { return Ok(None) };
            if !files::exists(&path) {
                return Ok(None);
            }
        }
        match connect_to_read(&path) {
            Err(StoreError::Denied { .. }) => open_read_only(&path, lib_dir).map(Some),
            Ok(Some((connection, found))) => read_only(path, connection, found, lib_dir).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the store like [`Store::open_to_read`], but creates no file next to it for a moment either, so what a killed
    /// process has left in the WAL is missing.
    pub(crate) fn open_unchanged(data_dir: &Path, lib_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = data_dir.join(FILE_NAME);
        if !path.is_file() || !files::exists(&path) {
            return Ok(None);
        }
        // To read a WAL, SQLite would create the missing one of these files.
        if ["-wal", "-shm"].iter().all(|suffix| with_suffix(&path, suffix).is_file()) {
            return open_read_only(&path, lib_dir).map(Some);
        }
        let (connection, found) = connect_immutable(&path).map_err(|cause| StoreError::new(&path, cause))?;
        read_only(path, connection, found, lib_dir).map(Some)
    }
}

/// Opens the store at `path` for reading and writing; a new one gets the records that `find_records` finds.
fn open(path: &Path, lib_dir: &Path, find_records: Option<FindRecords<'_>>) -> Result<Store, StoreError> {
    let connection = open_current(path, lib_dir, find_records)?;
    // With a WAL, a power failure may lose the latest transactions, but never damages the store. The WAL may grow to 16
    // MiB before a checkpoint. During a checkpoint, SQLite waits until all data is on disk, including logs that other
    // processes are writing.
    connection
        .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096")
        .map_err(|cause| StoreError::new(path, cause))?;
    Store::new(path.to_owned(), connection, lib_dir)
}

fn open_current(
    path: &Path,
    lib_dir: &Path,
    find_records: Option<FindRecords<'_>>,
) -> Result<Connection, StoreError> {
    if files::exists(path)
        && let Some(connection) = connect(path)?
        && schema::is_current(&connection, path)?
    {
        return Ok(connection);
    }
    let _lock = lock(path)?;
    if !files::exists(path) {
        create(path, lib_dir, find_records)?;
    }
    let mut connection = connect(path)?.ok_or_else(|| sqlite_error(path, ffi::SQLITE_CANTOPEN))?;
    if !schema::is_current(&connection, path)? {
        schema::switch_to_wal(&connection).map_err(|cause| StoreError::new(path, cause))?;
        schema::migrate(&mut connection, path)?;
    }
    Ok(connection)
}

/// Locks the folder of the store, so that only one process at a time creates, migrates or moves the store. The file of
/// the store is not locked: opening and closing it once more would release the locks that SQLite holds on it in this
/// process.
fn lock(path: &Path) -> Result<FileLock, StoreError> {
    let folder = FileLock::open(path.parent().unwrap_or(Path::new(".")));
    folder
        .and_then(|folder| folder.lock().map(|()| folder))
        .map_err(|cause| StoreError::Create(path.to_owned(), cause))
}

/// Connects for reading and writing, or returns `None` if the file does not exist. The file is checked first: if it
/// were checked after a failed connection, another process could have created it in between.
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

/// Connects as [`connect`] does, but changes nothing in the store. Returns its schema version, too.
fn connect_to_read(path: &Path) -> Result<Option<(Connection, i64)>, StoreError> {
    let has_wal = with_suffix(path, "-wal").exists();
    let Some(connection) = connect(path)? else { return Ok(None) };
    let prepare = || {
        connection.execute_batch("PRAGMA query_only = ON")?;
        // Otherwise, closing the store would move what a killed process has left in the WAL into the database.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_wal)?;
        schema::version(&connection)
    };
    let found = prepare().map_err(|cause| StoreError::new(path, cause))?;
    Ok(Some((connection, found)))
}

/// Creates a store under a temporary name and then renames it, so that no other process ever sees an incomplete store.
/// The caller holds the lock, so any existing file with the temporary name was left by a killed process.
fn create(path: &Path, lib_dir: &Path, find_records: Option<FindRecords<'_>>) -> Result<(), StoreError> {
    let create_error = |cause| StoreError::of_creation(path, cause);
    let fresh = with_suffix(path, ".new");
    ignore_missing(fs_err::remove_file(&fresh))
        .and_then(|()| files::remove_side_files(&fresh))
        .map_err(create_error)?;
    // SQLite creates the -wal and -shm files with the mode of the database.
    let mut options = fs_err::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&fresh);
    file.and_then(|mut file| io::copy(&mut schema::new_store(), &mut file)).map_err(create_error)?;
    if let Some(fill) = find_records.and_then(|find_records| find_records()) {
        add_records(&fresh, lib_dir, fill)?;
    }
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(create_error)?;
    // SQLite would replay the WAL of a deleted store into the new one.
    files::remove_side_files(path).map_err(create_error)?;
    fs_err::rename(&fresh, path).map_err(create_error)
}

/// Adds records to the new store at `fresh`.
fn add_records(fresh: &Path, lib_dir: &Path, fill: Fill<'_>) -> Result<(), StoreError> {
    let store_error = |cause| StoreError::new(fresh, cause);
    let connection = connect(fresh)?.ok_or_else(|| sqlite_error(fresh, ffi::SQLITE_CANTOPEN))?;
    // No other process sees the store before it is complete, so one sync at the end is enough, and the store needs neither
    // locks nor a journal on disk.
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY",
        )
        .map_err(store_error)?;
    let store = Store::new(fresh.to_owned(), connection, lib_dir)?;
    fill(&store)?;
    let connection = store.into_connection();
    schema::switch_to_wal(&connection).map_err(store_error)?;
    connection.close().map_err(|(_, cause)| store_error(cause))
}

/// Moves the store aside if it is damaged, and returns its new path, or `None` if it is undamaged.
fn move_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let _lock = lock(path)?;
    let is_sound = || {
        let Some(connection) = connect(path)? else { return Ok(true) };
        schema::is_current(&connection, path)?;
        is_sound(&connection, path)
    };
    match is_sound() {
        Ok(false) | Err(StoreError::Corrupt { .. }) => {}
        Ok(true) => return Ok(None),
        Err(error) => return Err(error),
    }
    let aside = with_suffix(path, &format!(".damaged-{}", clock::now().strftime("%Y%m%dT%H%M%S%.3fZ")));
    // The database is moved last: if this process is killed before that, the next one finds the damaged store again.
    for suffix in SIDE_FILES.into_iter().chain([""]) {
        ignore_missing(fs_err::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)))
            .map_err(|cause| StoreError::Create(path.to_owned(), cause))?;
    }
    Ok(Some(aside))
}

/// Returns whether a store is undamaged.
fn is_sound(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let result: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|cause| StoreError::new(path, cause))?;
    Ok(result == "ok")
}

/// Opens a store that cannot be written to.
pub(super) fn open_read_only(path: &Path, lib_dir: &Path) -> Result<Store, StoreError> {
    let store_error = |cause| StoreError::new(path, cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    schema::configure(&connection).map_err(store_error)?;
    let (connection, found) = match schema::version(&connection) {
        // Reading a WAL needs a -shm file, which neither exists nor can be created here. So no process is writing to
        // the store, and the file does not change.
        Err(cause)
            if matches!(cause.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) =>
        {
            connect_immutable(path).map_err(store_error)?
        }
        found => (connection, found.map_err(store_error)?),
    };
    read_only(path.to_owned(), connection, found, lib_dir)
}

/// Returns a store with this schema version that is only read.
fn read_only(path: PathBuf, connection: Connection, found: i64, lib_dir: &Path) -> Result<Store, StoreError> {
    if schema::is_older(&path, found)? {
        return Err(StoreError::Older { path, found, known: schema::KNOWN });
    }
    Store::new(path, connection, lib_dir)
}

/// Connects to a file that does not change meanwhile. Returns its schema version, too.
fn connect_immutable(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(path), flags)?;
    let found = schema::version(&connection)?;
    Ok((connection, found))
}

/// Returns the URI with which SQLite opens a file as immutable.
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
