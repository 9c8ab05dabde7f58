//! Processes that are over, and may go.

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Transaction, params};
use serde_json::Value;

use crate::model::id::{MachineId, ProcessId};
use crate::store::row::{self, BadValue, Columns, Stored};
use crate::store::{Fault, Store, StoreError};

/// What matters of a process that is over for whether it may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedProcess {
    /// The process.
    pub id: ProcessId,
    /// Who asked for it.
    pub parent_id: Option<ProcessId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its logs, unless they were removed.
    pub run_dir: Option<PathBuf>,
    /// What it wrote, in bytes.
    pub log_bytes: u64,
}

impl Stored for EndedProcess {
    const TABLE: &'static str = "process";
    const COLUMNS: &'static str = "id, parent_id, created_at, ended_at, run_dir, stdout_bytes, stderr_bytes";

    fn read(columns: &mut Columns<'_>) -> Result<Self, BadValue> {
        Ok(Self {
            id: columns.id()?,
            parent_id: columns.optional_id()?,
            created_at: columns.time()?,
            ended_at: columns.time()?,
            run_dir: columns.optional_path()?,
            log_bytes: columns.count()?.saturating_add(columns.count()?),
        })
    }
}

/// What must stay, whatever its age: what asked for something that lives; what a rigup started that is still at work, and
/// may want to read its ending; a detached run as long as its own time lasts, which ends with the removal of its run dir;
/// and what a binary's last success was.
const NEEDED: &str = "SELECT parent_id FROM process WHERE status <> 'exited' AND parent_id IS NOT NULL \
    UNION SELECT child.id FROM process AS rigup JOIN process AS child ON child.parent_id = rigup.id \
          WHERE rigup.status <> 'exited' AND rigup.process_type = 'cli' \
    UNION SELECT id FROM process WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL \
          AND id NOT IN (SELECT value FROM json_each(?1)) \
    UNION SELECT (SELECT process_id FROM attempt WHERE binary_id = binary.id AND outcome = 'installed' \
          AND process_id IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1) FROM binary";

pub(super) const BEFORE: &str = "WHERE machine_id = ?1 AND status = 'exited' AND (created_at, id) < (?2, ?3) \
    ORDER BY created_at DESC, id DESC LIMIT ?4";

/// Later than any time in the store.
const THE_END: &str = "~";

/// What others have asked for below it since it was looked at keeps a process.
const UNLESS_PARENT: &str = "NOT EXISTS (SELECT 1 FROM process AS child WHERE child.parent_id = ?1)";

const FORGET_RUN_DIR: &str = "UPDATE process SET run_dir = NULL WHERE id = ?1";

impl Store {
    /// The run dir of a process was removed; its record stays. Nothing else about a process that is over ever changes.
    pub fn clear_run_dir(&self, id: ProcessId) -> Result<(), StoreError> {
        self.with(|connection| {
            connection.execute(FORGET_RUN_DIR, [row::id(id)])?;
            Ok(())
        })
    }

    /// How many processes a process asked for.
    pub fn count_children(&self, parent_id: ProcessId) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT count(*) FROM process WHERE parent_id = ?1";
        let count: i64 = self.with(|it| Ok(it.query_row(SQL, [row::id(parent_id)], |row| row.get(0))?))?;
        Ok(count.cast_unsigned())
    }

    /// The processes that must stay though they are over, if the run dirs of `gone` are no more. Those above them must stay
    /// as well.
    pub fn processes_to_keep(&self, gone: &HashSet<ProcessId>) -> Result<HashSet<ProcessId>, StoreError> {
        let gone: Value = gone.iter().map(|it| row::id(*it)).collect();
        self.with(|connection| {
            let mut statement = connection.prepare(NEEDED)?;
            let ids = statement.query_map([gone.to_string()], |row| row.get::<_, Option<String>>(0))?;
            let ids = ids.collect::<Result<Vec<_>, _>>()?;
            Ok(ids.into_iter().flatten().filter_map(|id| id.parse().ok()).collect())
        })
    }

    /// At most `limit` processes of a machine that are over, the newest first; only those older than `before`.
    pub fn ended_processes(
        &self,
        machine_id: MachineId,
        before: Option<&EndedProcess>,
        limit: u32,
    ) -> Result<Vec<EndedProcess>, StoreError> {
        let (time, id) = match before {
            Some(old) => (row::time(old.created_at), row::id(old.id)),
            None => (THE_END.to_owned(), String::new()),
        };
        self.with(|connection| row::all(connection, BEFORE, params![row::id(machine_id), time, id, limit]))
    }

    /// Forgets processes that are over, each with the attempts that it was, and the run dirs of others. What got a child
    /// meanwhile stays, without its run dir. All of it or nothing.
    pub fn prune_processes(&self, processes: &[ProcessId], run_dirs: &[ProcessId]) -> Result<(), StoreError> {
        let forget = |transaction: &Transaction<'_>| -> Result<(), Fault> {
            let attempts = format!("DELETE FROM attempt WHERE process_id = ?1 AND {UNLESS_PARENT}");
            let process =
                format!("DELETE FROM process WHERE id = ?1 AND status = 'exited' AND {UNLESS_PARENT}");
            let mut attempts = transaction.prepare_cached(&attempts)?;
            let mut process = transaction.prepare_cached(&process)?;
            let mut run_dir = transaction.prepare_cached(FORGET_RUN_DIR)?;
            for id in processes {
                attempts.execute([row::id(*id)])?;
                if process.execute([row::id(*id)])? == 0 {
                    run_dir.execute([row::id(*id)])?;
                }
            }
            for id in run_dirs {
                run_dir.execute([row::id(*id)])?;
            }
            Ok(())
        };
        self.transaction(forget)
    }

    /// Forgets at most `limit` attempts from before this time for which no process was started; tells how many.
    pub fn prune_attempts(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        const SQL: &str = "DELETE FROM attempt WHERE id IN \
            (SELECT id FROM attempt WHERE process_id IS NULL AND created_at < ?1 LIMIT ?2)";
        self.with(|connection| Ok(connection.execute(SQL, params![row::time(before), limit])?))
    }
}
