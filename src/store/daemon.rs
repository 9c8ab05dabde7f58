//! The `daemon` table.

use crate::model::{Daemon, DaemonName, Wanted};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::row::{self, TableRow, columns};

impl TableRow for Daemon {
    const TABLE: &'static str = "daemon";
    const COLUMNS: &'static str = "name, source, spec, digest, wanted, stopped_by_hand, status, process_id, ready_at, health, restarts, restart_history, next_start_at, last_error, binaries, stale";

    /// An execution that is not stored, such as one that a rebuilt store does not have, becomes NULL.
    fn expression(column: &str, parameter: String) -> String {
        if column == "process_id" {
            format!("(SELECT id FROM process WHERE id = {parameter})")
        } else {
            parameter
        }
    }
}

columns! {
    Daemon {
        name, source, spec, digest, wanted, is_stopped_by_hand, status, process_id, ready_at, health, restarts,
        restart_history, next_start_at, last_error, binaries, is_stale
    }
}

impl Store {
    /// Returns all daemons, by name.
    pub fn daemons(&self) -> Result<Vec<Daemon>, StoreError> {
        self.list("ORDER BY name", [])
    }

    /// Returns the daemon with this name, or `None` if there is none.
    pub fn daemon(&self, name: &str) -> Result<Option<Daemon>, StoreError> {
        Ok(self.list("WHERE name = ?1", [name])?.pop())
    }

    /// Stores daemons, in one transaction.
    pub fn save_daemons(&self, daemons: &[Daemon]) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let sql = row::upsert_sql::<Daemon>("name", &[]);
            daemons.iter().try_for_each(|daemon| row::write(transaction, &sql, daemon))
        })
    }

    /// Deletes daemons. The records of their executions are kept.
    pub fn delete_daemons(&self, names: &[DaemonName]) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM daemon WHERE name = ?1")?;
            names.iter().try_for_each(|name| delete.execute([&**name]).map(drop))
        })
    }

    /// Stores that a daemon was stopped by hand.
    pub fn save_stop_by_hand(&self, name: &str) -> Result<(), StoreError> {
        self.with(|connection| {
            let sql = "UPDATE daemon SET wanted = ?2, stopped_by_hand = 1 WHERE name = ?1";
            connection.execute(sql, [name, Wanted::Stopped.as_str()]).map(drop)
        })
    }
}
