//! The connection to the store.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Params, Transaction, TransactionBehavior};

use crate::fs::dir;
use crate::store::error::StoreError;
use crate::store::row::{self, TableRow};
use crate::store::stored_path::{self, StoredPaths};

/// The number of prepared statements that a connection caches: more than all methods of [`Store`] use.
const PREPARED_STATEMENTS: usize = 48;

/// The store of a data dir: one connection, which threads share by reference. Each process opens its own. SQLite allows
/// one process at a time to write while others read.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    lib_dir: PathBuf,
    /// The device and inode of the data dir; empty if it does not exist.
    data_dir_id: String,
    /// The device and inode of the open file; empty if it does not exist.
    file_id: Mutex<String>,
    connection: Mutex<Connection>,
    /// The rows that were left out of lists, with the reasons.
    unreadable: Mutex<BTreeSet<String>>,
}

impl Store {
    pub(super) fn new(path: PathBuf, connection: Connection, lib_dir: &Path) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
        let added = stored_path::add_functions(&connection, StoredPaths::new(lib_dir, dir::parent(&path)));
        added.map_err(|cause| StoreError::new(&path, cause))?;
        let (data_dir_id, file_id) = (inode_id(dir::parent(&path)), inode_id(&path));
        Ok(Self {
            path,
            lib_dir: lib_dir.to_owned(),
            data_dir_id,
            file_id: Mutex::new(file_id),
            connection: Mutex::new(connection),
            unreadable: Mutex::default(),
        })
    }

    /// Leaves what was written in the WAL when the store is closed, for the process that closes it last after this one. That
    /// saves this one from waiting for the disk.
    pub(crate) fn leave_wal(&self) {
        // If this fails, closing the store takes longer.
        let _ = self.lock().set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Returns the folder of the store.
    pub fn data_dir(&self) -> &Path {
        dir::parent(&self.path)
    }

    /// Returns LIB_DIR, below which stored paths are relative.
    pub(crate) fn lib_dir(&self) -> &Path {
        &self.lib_dir
    }

    /// Returns the id of the data dir, which stays the same if it is renamed, and differs in a copy.
    pub(crate) fn data_dir_id(&self) -> &str {
        &self.data_dir_id
    }

    /// Returns the path of the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another store has taken the place of this one.
    pub(super) fn is_replaced(&self) -> bool {
        let current = inode_id(&self.path);
        !current.is_empty() && current != *self.file_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the connection of another store at the same path.
    pub(super) fn replace_by(&self, other: Self) {
        let Self { file_id, connection, .. } = other;
        let file_id = file_id.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.lock() = connection.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.file_id.lock().unwrap_or_else(PoisonError::into_inner) = file_id;
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `query`, which only reads, or writes with a single statement.
    pub(super) fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        query(&self.lock()).map_err(|error| StoreError::new(&self.path, error))
    }

    /// Returns the rows that `rest` (`WHERE ... ORDER BY ...`) selects. Leaves out those that cannot be read, so that one
    /// row does not keep a command from its work with the others.
    pub(super) fn list<T: TableRow>(&self, rest: &str, params: impl Params) -> Result<Vec<T>, StoreError> {
        let mut unreadable = Vec::new();
        let rows = self
            .with(|connection| row::all_readable(connection, rest, params, |reason| unreadable.push(reason)));
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).extend(unreadable);
        rows
    }

    /// Returns a number that changes when another connection writes to the store, which costs less than a query.
    pub(crate) fn version(&self) -> Result<i64, StoreError> {
        self.with(|connection| connection.pragma_query_value(None, "data_version", |row| row.get(0)))
    }

    /// Whether rows were left out of lists since their messages were taken.
    pub(crate) fn has_unreadable(&self) -> bool {
        !self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Returns a message for each row that was left out of a list since the last call.
    pub(crate) fn take_unreadable(&self) -> Vec<String> {
        let rows = std::mem::take(&mut *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner));
        let message = |row| StoreError::InvalidRow(self.path.clone(), row).to_string();
        rows.into_iter().map(message).collect()
    }

    /// Runs `write` in a transaction: either all of its statements take effect, or none do. The transaction takes the
    /// write lock when it begins, because a transaction that has already read cannot wait for it.
    pub(super) fn transaction<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.with(|connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// Locks the connection. A thread that panicked leaves no open transaction: dropping one rolls it back.
    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the device and inode of a file or folder; empty if it does not exist.
fn inode_id(path: &Path) -> String {
    path.metadata().map(|found| format!("{}:{}", found.dev(), found.ino())).unwrap_or_default()
}
