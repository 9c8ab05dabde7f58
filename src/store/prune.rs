//! Prunes processes that have exited, and finds those that must be kept.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Row, params};

use crate::clock;
use crate::model::{MachineId, ProcessId};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::row::{self, TableRow, columns};

/// The fields of an exited process that pruning needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedProcess {
    /// The process.
    pub id: ProcessId,
    /// The process that started it.
    pub parent_id: Option<ProcessId>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it exited.
    pub ended_at: Timestamp,
    /// The run dir, or `None` if it was removed.
    pub run_dir: Option<PathBuf>,
    /// The size of its standard output and standard error, in bytes.
    pub log_bytes: u64,
}

impl TableRow for EndedProcess {
    const TABLE: &'static str = "process";
    /// The cast turns a sum above 2^63 into the largest integer.
    const COLUMNS: &'static str =
        "id, parent_id, created_at, ended_at, run_dir, CAST(stdout_bytes + stderr_bytes AS INTEGER)";
    const PATHS: &'static [&'static str] = &["run_dir"];
}

columns! {
    EndedProcess { id, parent_id, created_at, ended_at, run_dir, log_bytes }
}

/// The query for processes that must be kept regardless of their age: parents of processes that have not exited;
/// children of a rigup command that is still running, because it may read their records; runs whose run dirs exist,
/// that is, until their ttl has passed; and the process of each binary's latest successful attempt.
const RETAINED: &str = "SELECT parent_id FROM process WHERE status <> 'exited' AND parent_id IS NOT NULL \
    UNION SELECT child.id FROM process AS rigup JOIN process AS child ON child.parent_id = rigup.id \
          WHERE rigup.status <> 'exited' AND rigup.process_type = 'cli' \
    UNION SELECT id FROM process WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL \
          AND id NOT IN (SELECT value FROM json_each(?1)) \
    UNION SELECT (SELECT process_id FROM attempt WHERE binary_id = binary.id AND outcome = 'installed' \
          AND process_id IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1) FROM binary";

pub(super) const ENDED_BEFORE: &str = "WHERE machine_id = ?1 AND status = 'exited' \
    AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4";

/// A text that sorts after every time.
const AFTER_ALL_TIMES: &str = "~";

/// The condition that a process has no children: it is kept if it has started one since it was selected.
const HAS_NO_CHILD: &str = "NOT EXISTS (SELECT 1 FROM process AS child WHERE child.parent_id = ?1)";

const CLEAR_RUN_DIR: &str = "UPDATE process SET run_dir = NULL WHERE id = ?1";

impl Store {
    /// Records that the run dir of a process was removed. Nothing else ever changes in the record of a process that has
    /// exited.
    pub fn clear_run_dir(&self, id: ProcessId) -> Result<(), StoreError> {
        self.with(|connection| connection.execute(CLEAR_RUN_DIR, [id]).map(drop))
    }

    /// Returns the start and the end of each time before `now`, longer than `minimum`, in which no process of a machine
    /// was queued, newest first.
    pub fn pauses(
        &self,
        machine_id: MachineId,
        now: Timestamp,
        minimum: Duration,
    ) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
        const SQL: &str = "SELECT start, end FROM (SELECT lag(time) OVER (ORDER BY time) AS start, time AS end FROM \
            (SELECT created_at AS time FROM process WHERE machine_id = ?1 AND created_at < ?2 UNION ALL SELECT ?2)) \
            WHERE unixepoch(end) - unixepoch(start) > ?3 ORDER BY end DESC";
        self.with(|connection| {
            let mut statement = connection.prepare(SQL)?;
            let pause =
                |row: &Row<'_>| Ok((row.get::<_, String>(0)?.parse(), row.get::<_, String>(1)?.parse()));
            let pauses =
                statement.query_map(params![machine_id, clock::format(now), minimum.as_secs_f64()], pause)?;
            let pauses = pauses.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(pauses.into_iter().filter_map(|(start, end)| Some((start.ok()?, end.ok()?))).collect())
        })
    }

    /// Returns the number of processes that a process started.
    pub fn count_children(&self, parent_id: ProcessId) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT count(*) FROM process WHERE parent_id = ?1";
        let count: i64 = self.with(|connection| connection.query_row(SQL, [parent_id], |row| row.get(0)))?;
        Ok(count.cast_unsigned())
    }

    /// Returns the processes that must be kept even if they have exited, given that the run dirs of `removed` no longer
    /// exist. Their ancestors must be kept, too.
    pub fn retained_processes(&self, removed: &HashSet<ProcessId>) -> Result<HashSet<ProcessId>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare(RETAINED)?;
            let ids = statement.query_map([row::json(removed)?], |row| row.get::<_, Option<ProcessId>>(0))?;
            ids.filter_map(Result::transpose).collect()
        })
    }

    /// Returns at most `limit` exited processes of a machine, newest first, starting after `before`.
    pub fn ended_processes(
        &self,
        machine_id: MachineId,
        before: Option<&EndedProcess>,
        limit: u32,
    ) -> Result<Vec<EndedProcess>, StoreError> {
        let (time, id) = match before {
            Some(process) => (clock::format(process.created_at), process.id.to_string()),
            None => (AFTER_ALL_TIMES.to_owned(), String::new()),
        };
        self.list(ENDED_BEFORE, params![machine_id, time, id, limit])
    }

    /// Returns the exited runs with a slug that are not among the `kept` newest ones, except the last executions of daemons.
    /// Leaves out those of which only the record is left, because of their children.
    pub fn ended_executions(&self, slug: &str, kept: u32) -> Result<Vec<ProcessId>, StoreError> {
        const SQL: &str = "SELECT id FROM (SELECT id, run_dir, status FROM process WHERE slug <> '' AND slug = ?1 \
            ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?2) AS old \
            WHERE status = 'exited' AND id NOT IN (SELECT process_id FROM daemon WHERE process_id IS NOT NULL) \
            AND (run_dir IS NOT NULL OR NOT EXISTS (SELECT 1 FROM process AS child WHERE child.parent_id = old.id))";
        self.with(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let ids = statement.query_map(params![slug, kept], |row| row.get(0))?;
            ids.collect()
        })
    }

    /// Deletes exited processes with their attempts, and records that the run dirs of others were removed, in one
    /// transaction. A process that has started another one since it was selected is kept without its run dir.
    pub fn prune_processes(&self, processes: &[ProcessId], run_dirs: &[ProcessId]) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let attempts = format!("DELETE FROM attempt WHERE process_id = ?1 AND {HAS_NO_CHILD}");
            let process =
                format!("DELETE FROM process WHERE id = ?1 AND status = 'exited' AND {HAS_NO_CHILD}");
            let mut attempts = transaction.prepare_cached(&attempts)?;
            let mut process = transaction.prepare_cached(&process)?;
            let mut run_dir = transaction.prepare_cached(CLEAR_RUN_DIR)?;
            for id in processes {
                attempts.execute([*id])?;
                if process.execute([*id])? == 0 {
                    run_dir.execute([*id])?;
                }
            }
            for id in run_dirs {
                run_dir.execute([*id])?;
            }
            Ok(())
        })
    }

    /// Deletes at most `limit` attempts without a process that were stored before a time. Returns the number of deleted
    /// attempts.
    pub fn prune_attempts(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        const SQL: &str = "DELETE FROM attempt WHERE id IN \
            (SELECT id FROM attempt WHERE process_id IS NULL AND created_at < ?1 LIMIT ?2)";
        self.with(|connection| connection.execute(SQL, params![clock::format(before), limit]))
    }
}
