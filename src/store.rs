//! The records on disk: one SQLite file in the data dir, one file of this folder per table.
//!
//! A [`Store`] is one connection. Threads share it by reference; processes each open their own, and SQLite lets
//! one of them write at a time while the others read on.

mod attempt;
mod binary;
mod error;
mod holder;
mod interface;
mod machine;
mod process;
mod row;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use attempt::BinaryAttempt;
pub use binary::BinaryFilter;
pub use error::StoreError;
pub use process::{EndedProcess, ProcessFilter};
pub use row::Lookup;

use error::Fault;

/// The file in the data dir. SQLite keeps `-wal` and `-shm` beside it.
pub const FILE_NAME: &str = "rigup.sqlite3";

/// Prepared statements that a connection keeps: more than all methods of [`Store`] have together.
const STATEMENTS: usize = 48;

/// The records of a data dir.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the store in `data_dir`, a folder that exists, for reading and writing. Makes it where there is none,
    /// for this user's eyes only, and brings an older schema up to date. Any number of processes may do so at once.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        let connection = schema::open(data_dir, &path, None)?;
        Ok(Self::new(path, connection))
    }

    /// The same, with what `refill` finds elsewhere in a store that has to be made; nobody sees it before. One that is
    /// damaged, which opening alone does not always show, is moved aside and made anew. Gives back where it was moved.
    pub fn open_or_rebuild(
        data_dir: &Path,
        is_suspect: bool,
        refill: &dyn Fn(&Self) -> Result<(), StoreError>,
    ) -> Result<(Self, Option<PathBuf>), StoreError> {
        let path = data_dir.join(FILE_NAME);
        let refill = |path: &Path, connection: Connection| {
            let fresh = Self::new(path.to_owned(), connection);
            refill(&fresh)?;
            Ok(fresh.connection.into_inner().unwrap_or_else(PoisonError::into_inner))
        };
        let aside = if is_suspect { schema::move_aside(data_dir, &path)? } else { None };
        match schema::open(data_dir, &path, Some(&refill)) {
            Err(StoreError::Corrupt { .. }) if !is_suspect => {
                let aside = schema::move_aside(data_dir, &path)?;
                let connection = schema::open(data_dir, &path, Some(&refill))?;
                Ok((Self::new(path, connection), aside))
            }
            opened => Ok((Self::new(path, opened?), aside)),
        }
    }

    /// Opens the store in `data_dir` for a command that only reads: none where there is no store yet. What may be
    /// read but not written is good enough.
    pub fn open_existing(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = data_dir.join(FILE_NAME);
        if !schema::is_there(&path) {
            return Ok(None);
        }
        let connection = match schema::open(data_dir, &path, None) {
            Err(StoreError::Denied { .. }) => schema::open_read_only(&path)?,
            other => other?,
        };
        Ok(Some(Self::new(path, connection)))
    }

    /// The folder it is in.
    pub fn data_dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn new(path: PathBuf, connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Self { path, connection: Mutex::new(connection) }
    }

    /// Reads, or writes with a single statement.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        work(&self.lock()).map_err(|fault| fault.at(&self.path))
    }

    /// Writes with several statements: all of them count, or none. The right to write is taken first, since a
    /// transaction that has read already cannot wait for it.
    fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let all = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        all().map_err(|fault: Fault| fault.at(&self.path))
    }

    /// A thread that panicked leaves no half of a transaction behind: dropping one rolls it back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
