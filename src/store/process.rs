//! The `process` table.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::model::{
    Identity, MachineId, Process, ProcessExit, ProcessId, ProcessSpec, ProcessState, RunSpec, Running,
    UnknownWord, Usage, Warnings,
};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::lookup::{self, Lookup};
use crate::store::row::{self, Columns, RowReader, TableRow, Values, columns};

mod filter;

pub use filter::ProcessFilter;

impl TableRow for Process {
    const TABLE: &'static str = "process";
    const COLUMNS: &'static str = "id, machine_id, parent_id, binary_id, iface_id, process_type, plugin, hook_name, \
        cmd, pwd, env, timeout, run_dir, slug, description, ttl_seconds, status, pid, start_ticks, boot_id, \
        started_at, ended_at, exit_code, signal, exit_reason, stdout_tail, stderr_tail, stdout_bytes, stderr_bytes, \
        max_rss, user_ms, sys_ms, warnings, data_dir_id, created_at";

    const PATHS: &'static [&'static str] = &["run_dir"];

    /// A reference to a record that is not stored, such as a parent that was pruned, becomes NULL.
    fn expression(column: &str, parameter: String) -> String {
        let table = match column {
            "parent_id" => "process",
            "binary_id" => "binary",
            "iface_id" => "network_interface",
            "run_dir" => return format!("stored_path({parameter})"),
            _ => return parameter,
        };
        format!("(SELECT id FROM {table} WHERE id = {parameter})")
    }
}

columns! {
    Identity { pid, start_ticks, boot_id }
    Running { identity, started_at }
    Usage { max_rss, user_ms, sys_ms }
    ProcessExit {
        ended_at, exit_code, signal, reason, stdout_tail, stderr_tail, stdout_bytes, stderr_bytes, usage,
    }
    ProcessSpec { process_type, plugin, hook_name, cmd, pwd, env, timeout, run_dir, run }
    Process { id, machine_id, parent_id, binary_id, iface_id, spec, state, warnings, data_dir_id, created_at }
}

/// The slug and the description of a process that is not a run are empty, not NULL.
impl Columns for RunSpec {
    const COUNT: usize = 3;

    fn read(row: &mut RowReader<'_>) -> rusqlite::Result<Self> {
        Ok(Self { slug: Columns::read(row)?, description: Columns::read(row)?, ttl: Columns::read(row)? })
    }

    fn write<'a>(&'a self, values: &mut Values<'a>) -> rusqlite::Result<()> {
        self.slug.write(values)?;
        self.description.write(values)?;
        self.ttl.write(values)
    }

    fn is_none(row: &RowReader<'_>) -> rusqlite::Result<bool> {
        Ok(row.peek()? == ValueRef::Text(b""))
    }

    fn write_none(values: &mut Values<'_>) -> rusqlite::Result<()> {
        values.extend(["".into(), "".into(), ToSqlOutput::Owned(Value::Null)]);
        Ok(())
    }
}

/// Columns that do not apply to the state are NULL.
impl Columns for ProcessState {
    const COUNT: usize = 1 + Running::COUNT + ProcessExit::COUNT;

    fn read(row: &mut RowReader<'_>) -> rusqlite::Result<Self> {
        let status = String::read(row)?;
        match status.as_str() {
            "queued" => {
                row.skip(Running::COUNT + ProcessExit::COUNT);
                Ok(Self::Queued)
            }
            "running" => {
                let running = Running::read(row)?;
                row.skip(ProcessExit::COUNT);
                Ok(Self::Running(running))
            }
            "exited" => Ok(Self::Exited(Columns::read(row)?, Columns::read(row)?)),
            _ => Err(row.invalid(UnknownWord(status))),
        }
    }

    fn write<'a>(&'a self, values: &mut Values<'a>) -> rusqlite::Result<()> {
        let (status, running, exit) = self.parts();
        values.push(status.into());
        row::write_optional(running, values)?;
        row::write_optional(exit, values)
    }
}

/// The statement that inserts or updates a process. The record of a process that has exited is final.
pub(super) static SAVE: LazyLock<String> =
    LazyLock::new(|| row::upsert_sql::<Process>("id", &["id"]) + " WHERE process.status <> 'exited'");

/// The statement that stores the state of a process.
pub(super) static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let columns = Process::COLUMNS.split(", ").skip_while(|column| *column != "status");
    let columns = columns.take(ProcessState::COUNT + Warnings::COUNT).zip(2..);
    let values: Vec<String> = columns.map(|(column, number)| format!("{column} = ?{number}")).collect();
    format!("UPDATE process SET {} WHERE id = ?1 AND status <> 'exited'", values.join(", "))
});

const UNFINISHED: &str = "WHERE status <> 'exited' AND machine_id = ?1 ORDER BY created_at, id";
const ENDED_RUNS: &str = "WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL AND machine_id = ?1 \
    ORDER BY created_at, id";
const LIVE_RUNS: &str =
    "SELECT id, machine_id, data_dir_id FROM process WHERE slug <> '' AND slug = ?1 AND status <> 'exited'";
const AVERAGE_SECONDS: &str = "SELECT avg(julianday(ended_at) - julianday(started_at)) * 86400.0 FROM \
    (SELECT hook_name, started_at, ended_at FROM process WHERE plugin <> '' AND plugin = ?1 \
    ORDER BY created_at DESC, id DESC LIMIT 20) WHERE hook_name = ?2";
const CHILDREN: &str = "WHERE parent_id = ?1 ORDER BY created_at, id";

impl Store {
    /// Stores a process, and replaces the one with the same id unless that one has exited: its record is final.
    pub fn save_process(&self, process: &Process) -> Result<(), StoreError> {
        self.with(|connection| save(connection, process))
    }

    /// Stores a process that no one has stored yet.
    pub fn add_process(&self, process: &Process) -> Result<(), StoreError> {
        self.with(|connection| row::write(connection, &row::insert_sql::<Process>(""), process))
    }

    /// Stores several processes in one transaction.
    pub fn save_processes(&self, processes: &[&Process]) -> Result<(), StoreError> {
        self.transaction(|transaction| processes.iter().try_for_each(|process| save(transaction, process)))
    }

    /// Stores the warnings about a process, even if it has exited.
    pub fn save_warnings(&self, process: &Process) -> Result<(), StoreError> {
        self.with(|connection| {
            let values = (process.id, row::json(&process.warnings)?);
            connection.execute("UPDATE process SET warnings = ?2 WHERE id = ?1", values).map(drop)
        })
    }

    /// Stores a queued run, unless `max_live` runs with its slug have not exited yet. Returns whether it was stored.
    /// The limit also holds if several processes reserve runs at once. A run counts only if `is_live` returns true for it,
    /// its machine and the id of its data dir.
    pub fn reserve_run(
        &self,
        process: &Process,
        max_live: u32,
        is_live: impl Fn(ProcessId, MachineId, &str) -> bool,
    ) -> Result<bool, StoreError> {
        let slug = process.spec.run.as_ref().map_or("", |run| &run.slug);
        self.transaction(|transaction| {
            let mut statement = transaction.prepare_cached(LIVE_RUNS)?;
            let unfinished: Vec<(ProcessId, MachineId, String)> = statement
                .query_map([slug], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let live = unfinished
                .iter()
                .filter(|(id, machine_id, data_dir_id)| is_live(*id, *machine_id, data_dir_id));
            let is_below = live.count() < max_live as usize;
            if is_below {
                save(transaction, process)?;
            }
            Ok(is_below)
        })
    }

    /// Stores a process that another rigup recorded, unless a process with its id is already stored. Returns the stored
    /// process. References to records that are not stored are removed.
    pub fn import_process(&self, process: &Process) -> Result<Process, StoreError> {
        self.transaction(|transaction| {
            row::write(transaction, &row::insert_sql::<Process>("ON CONFLICT (id) DO NOTHING"), process)?;
            row::only(transaction, "WHERE id = ?1", [process.id])
        })
    }

    /// Returns the process with this id, or `None` if there is none.
    pub fn process(&self, id: ProcessId) -> Result<Option<Process>, StoreError> {
        self.with(|connection| row::first(connection, "WHERE id = ?1", [id]))
    }

    /// Returns the process with this id, or `None` if there is none. One that cannot be read is left out, as in a list.
    pub fn readable_process(&self, id: ProcessId) -> Result<Option<Process>, StoreError> {
        Ok(self.list("WHERE id = ?1", [id])?.pop())
    }

    /// Returns whether a process with this id is stored.
    pub fn has_process(&self, id: ProcessId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT EXISTS (SELECT 1 FROM process WHERE id = ?1)";
        self.with(|connection| connection.prepare_cached(SQL)?.query_row([id], |row| row.get(0)))
    }

    /// Returns the process whose id is `typed`, or begins or ends with it.
    pub fn find_process(&self, typed: &str) -> Result<Lookup<Process>, StoreError> {
        self.with(|connection| lookup::by_id(connection, typed))
    }

    /// Returns the processes of a machine that have not exited according to the store, oldest first.
    pub fn unfinished_processes(&self, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
        self.list(UNFINISHED, [machine_id])
    }

    /// Returns the runs of a machine that have exited and whose run dirs still exist, oldest first.
    pub fn ended_runs(&self, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
        self.list(ENDED_RUNS, [machine_id])
    }

    /// Returns the slugs of all runs.
    pub fn slugs(&self) -> Result<Vec<String>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare("SELECT DISTINCT slug FROM process WHERE slug <> ''")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Returns the average duration of the executions of a hook among the latest 20 of its plugin, or zero if there are
    /// none.
    pub fn average_duration(&self, plugin: &str, hook_name: &str) -> Result<Duration, StoreError> {
        let seconds: Option<f64> = self.with(|connection| {
            connection.prepare_cached(AVERAGE_SECONDS)?.query_row([plugin, hook_name], |row| row.get(0))
        })?;
        // The duration is negative if the clock was set back between start and end.
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
    }

    /// Returns the processes that a process started, oldest first.
    pub fn process_children(&self, parent_id: ProcessId) -> Result<Vec<Process>, StoreError> {
        self.list(CHILDREN, [parent_id])
    }

    /// Returns a process and its ancestors, nearest first, up to one that cannot be read. If the parents form a cycle, which
    /// happens only in a damaged store, each process is returned once.
    pub fn process_with_ancestors(&self, id: ProcessId) -> Result<Vec<Process>, StoreError> {
        let mut processes: Vec<Process> = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| !processes.iter().any(|process| process.id == *id))
            && let Some(process) = self.readable_process(id)?
        {
            next = process.parent_id;
            processes.push(process);
        }
        Ok(processes)
    }
}

/// Stores a process, and replaces the one with the same id unless that one has exited.
pub(super) fn save(connection: &Connection, process: &Process) -> rusqlite::Result<()> {
    if !matches!(process.state, ProcessState::Queued) && update(connection, process)? {
        return Ok(());
    }
    row::write(connection, &SAVE, process)
}

/// Stores the state of a process, and returns whether there is a record of it that has no exit. Faster than [`SAVE`],
/// because most columns and indexes stay as they are.
fn update(connection: &Connection, process: &Process) -> rusqlite::Result<bool> {
    let mut values = Values::new();
    process.id.write(&mut values)?;
    process.state.write(&mut values)?;
    process.warnings.write(&mut values)?;
    Ok(connection.prepare_cached(&UPDATE)?.execute(params_from_iter(values))? > 0)
}

#[cfg(test)]
mod tests;
