//! The `process` table.

mod filter;

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter};

use crate::model::{
    Identity, MachineId, Process, ProcessExit, ProcessId, ProcessSpec, ProcessState, RunSpec, Running,
    UnknownWord, Usage,
};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::lookup::{self, Lookup};
use crate::store::row::{self, Columns, Count, FilePath, FromRow, Json, Time};

pub use filter::ProcessFilter;

impl FromRow for Process {
    const TABLE: &'static str = "process";
    const COLUMNS: &'static str = "id, machine_id, parent_id, binary_id, iface_id, process_type, plugin, hook_name, \
        cmd, pwd, env, timeout, run_dir, slug, description, ttl_seconds, status, pid, start_ticks, boot_id, \
        started_at, ended_at, exit_code, signal, exit_reason, stdout_tail, stderr_tail, stdout_bytes, stderr_bytes, \
        max_rss, user_ms, sys_ms, created_at";

    fn from_row(columns: &mut Columns<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: columns.get()?,
            machine_id: columns.get()?,
            parent_id: columns.get()?,
            binary_id: columns.get()?,
            iface_id: columns.get()?,
            spec: read_spec(columns)?,
            state: read_state(columns)?,
            created_at: columns.time()?,
        })
    }

    /// A parent that was pruned in the meantime becomes NULL.
    fn expression(column: &str, parameter: String) -> String {
        match column {
            "parent_id" => format!("(SELECT id FROM process WHERE id = {parameter})"),
            _ => parameter,
        }
    }
}

fn read_spec(columns: &mut Columns<'_>) -> rusqlite::Result<ProcessSpec> {
    Ok(ProcessSpec {
        process_type: columns.get()?,
        plugin: columns.get()?,
        hook_name: columns.get()?,
        cmd: columns.json()?,
        pwd: columns.path()?,
        env: columns.json()?,
        timeout: read_seconds(columns)?,
        run_dir: columns.optional_path()?,
        run: read_run(columns)?,
    })
}

fn read_run(columns: &mut Columns<'_>) -> rusqlite::Result<Option<RunSpec>> {
    let run = RunSpec { slug: columns.get()?, description: columns.get()?, ttl: read_seconds(columns)? };
    Ok((!run.slug.is_empty()).then_some(run))
}

fn read_seconds(columns: &mut Columns<'_>) -> rusqlite::Result<Option<Duration>> {
    let seconds: Option<f64> = columns.get()?;
    seconds.map(Duration::try_from_secs_f64).transpose().map_err(|reason| columns.invalid(reason))
}

/// Reads the columns from `status` to `sys_ms`.
fn read_state(columns: &mut Columns<'_>) -> rusqlite::Result<ProcessState> {
    let status: String = columns.get()?;
    match status.as_str() {
        "queued" => {
            columns.skip(15);
            Ok(ProcessState::Queued)
        }
        "running" => {
            let running =
                read_running(columns)?.ok_or_else(|| columns.invalid("a running process has no pid"))?;
            columns.skip(11);
            Ok(ProcessState::Running(running))
        }
        "exited" => Ok(ProcessState::Exited(read_running(columns)?, read_exit(columns)?)),
        _ => Err(columns.invalid(UnknownWord(status))),
    }
}

/// Reads the identity and the start time, or `None` for a process that was never started.
fn read_running(columns: &mut Columns<'_>) -> rusqlite::Result<Option<Running>> {
    let Some(pid) = columns.get()? else {
        columns.skip(3);
        return Ok(None);
    };
    Ok(Some(Running {
        identity: Identity { pid, start_ticks: columns.count()?, boot_id: columns.get()? },
        started_at: columns.time()?,
    }))
}

fn read_exit(columns: &mut Columns<'_>) -> rusqlite::Result<ProcessExit> {
    Ok(ProcessExit {
        ended_at: columns.time()?,
        exit_code: columns.get()?,
        signal: columns.get()?,
        reason: columns.get()?,
        stdout_tail: columns.get()?,
        stderr_tail: columns.get()?,
        stdout_bytes: columns.count()?,
        stderr_bytes: columns.count()?,
        usage: read_usage(columns)?,
    })
}

fn read_usage(columns: &mut Columns<'_>) -> rusqlite::Result<Option<Usage>> {
    let Some(Count(max_rss)) = columns.get()? else {
        columns.skip(2);
        return Ok(None);
    };
    Ok(Some(Usage { max_rss, user_ms: columns.count()?, sys_ms: columns.count()? }))
}

/// Inserts or updates a process. The record of a process that exited is final.
static SAVE: LazyLock<String> =
    LazyLock::new(|| row::upsert_sql::<Process>("id", &["id"]) + " WHERE process.status <> 'exited'");

const UNFINISHED: &str = "WHERE status <> 'exited' AND machine_id = ?1 ORDER BY created_at, id";
const ENDED_RUNS: &str = "WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL AND machine_id = ?1 \
    ORDER BY created_at, id";
const LIVE_RUNS: &str = "SELECT count(*) FROM process WHERE slug <> '' AND slug = ?1 AND status <> 'exited'";
const AVERAGE_SECONDS: &str = "SELECT avg(julianday(ended_at) - julianday(started_at)) * 86400.0 FROM \
    (SELECT hook_name, started_at, ended_at FROM process WHERE plugin <> '' AND plugin = ?1 \
    ORDER BY created_at DESC, id DESC LIMIT 20) WHERE hook_name = ?2";
const CHILDREN: &str = "WHERE parent_id = ?1 ORDER BY created_at, id";

impl Store {
    /// Stores a process in place of the one with its id, unless that one exited: its record is final.
    pub fn save_process(&self, process: &Process) -> Result<(), StoreError> {
        self.with(|connection| save(connection, process))
    }

    /// Stores several processes in one transaction.
    pub fn save_processes(&self, processes: &[&Process]) -> Result<(), StoreError> {
        self.transaction(|transaction| processes.iter().try_for_each(|process| save(transaction, process)))
    }

    /// Stores a queued run, unless `max_live` runs of its slug have not exited yet. Returns whether it was stored. The
    /// limit also holds for processes that call this at once.
    pub fn reserve_run(&self, process: &Process, max_live: u32) -> Result<bool, StoreError> {
        let slug = process.spec.run.as_ref().map_or("", |run| &run.slug);
        self.transaction(|transaction| {
            let live: u32 = transaction.prepare_cached(LIVE_RUNS)?.query_row([slug], |row| row.get(0))?;
            if live >= max_live {
                return Ok(false);
            }
            save(transaction, process)?;
            Ok(true)
        })
    }

    /// Stores a process that another rigup recorded, unless its id is stored already, and returns the stored process.
    /// References to records that are not stored are left out.
    pub fn import_process(&self, process: &Process) -> Result<Process, StoreError> {
        self.transaction(|transaction| {
            if let Some(stored) = row::first(transaction, "WHERE id = ?1", [process.id])? {
                return Ok(stored);
            }
            let process = Process {
                parent_id: if_stored(transaction, "process", process.parent_id)?,
                binary_id: if_stored(transaction, "binary", process.binary_id)?,
                iface_id: if_stored(transaction, "network_interface", process.iface_id)?,
                ..process.clone()
            };
            save(transaction, &process)?;
            Ok(process)
        })
    }

    /// Returns the process with this id.
    pub fn process(&self, id: ProcessId) -> Result<Option<Process>, StoreError> {
        self.with(|connection| row::first(connection, "WHERE id = ?1", [id]))
    }

    /// Returns the process whose id is `typed`, or begins or ends with it.
    pub fn find_process(&self, typed: &str) -> Result<Lookup<Process>, StoreError> {
        self.with(|connection| lookup::by_id(connection, typed))
    }

    /// Returns the processes that pass the filter, newest first.
    pub fn processes(&self, filter: &ProcessFilter) -> Result<Vec<Process>, StoreError> {
        let (rest, params) = filter.sql();
        self.with(|connection| row::all(connection, &rest, params_from_iter(params)))
    }

    /// Returns the processes of a machine that have not exited according to the store, oldest first.
    pub fn unfinished_processes(&self, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
        self.with(|connection| row::all(connection, UNFINISHED, [machine_id]))
    }

    /// Returns the runs of a machine that exited and whose run dirs still exist, oldest first.
    pub fn ended_runs(&self, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
        self.with(|connection| row::all(connection, ENDED_RUNS, [machine_id]))
    }

    /// Returns the average duration of the latest executions of a hook, or zero if it never ran.
    pub fn average_duration(&self, plugin: &str, hook_name: &str) -> Result<Duration, StoreError> {
        let seconds: Option<f64> = self.with(|connection| {
            connection.prepare_cached(AVERAGE_SECONDS)?.query_row([plugin, hook_name], |row| row.get(0))
        })?;
        // The duration is negative if the clock was set back between start and end.
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
    }

    /// Returns the processes that a process started, oldest first.
    pub fn process_children(&self, parent_id: ProcessId) -> Result<Vec<Process>, StoreError> {
        self.with(|connection| row::all(connection, CHILDREN, [parent_id]))
    }

    /// Returns a process and its ancestors, the nearest first. A circle of parents, which only a damaged store has, ends
    /// where it began.
    pub fn process_with_ancestors(&self, id: ProcessId) -> Result<Vec<Process>, StoreError> {
        let mut processes: Vec<Process> = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| !processes.iter().any(|process| process.id == *id))
            && let Some(process) = self.process(id)?
        {
            next = process.parent_id;
            processes.push(process);
        }
        Ok(processes)
    }
}

/// Returns an id if its row is stored, otherwise `None`.
fn if_stored<I: FromSql + ToSql>(
    connection: &Connection,
    table: &str,
    id: Option<I>,
) -> rusqlite::Result<Option<I>> {
    let sql = format!("SELECT id FROM {table} WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], |row| row.get(0)).optional()
}

/// Stores a process in place of the one with its id, unless that one exited.
pub(super) fn save(connection: &Connection, process: &Process) -> rusqlite::Result<()> {
    let spec = &process.spec;
    let run = spec.run.as_ref();
    let running = process.running();
    let exit = process.exit();
    let usage = exit.and_then(|exit| exit.usage);
    connection.prepare_cached(&SAVE)?.execute(params![
        process.id,
        process.machine_id,
        process.parent_id,
        process.binary_id,
        process.iface_id,
        spec.process_type,
        spec.plugin,
        spec.hook_name,
        Json(&spec.cmd),
        FilePath(&spec.pwd),
        Json(&spec.env),
        spec.timeout.map(|timeout| timeout.as_secs_f64()),
        spec.run_dir.as_deref().map(FilePath),
        run.map_or("", |run| &run.slug),
        run.map_or("", |run| &run.description),
        run.and_then(|run| run.ttl).map(|ttl| ttl.as_secs_f64()),
        process.status(),
        running.map(|running| running.identity.pid),
        running.map(|running| Count(running.identity.start_ticks)),
        running.map(|running| &running.identity.boot_id),
        running.map(|running| Time(running.started_at)),
        exit.map(|exit| Time(exit.ended_at)),
        exit.and_then(|exit| exit.exit_code),
        exit.and_then(|exit| exit.signal),
        exit.map(|exit| exit.reason),
        exit.map(|exit| &exit.stdout_tail),
        exit.map(|exit| &exit.stderr_tail),
        exit.map(|exit| Count(exit.stdout_bytes)),
        exit.map(|exit| Count(exit.stderr_bytes)),
        usage.map(|usage| Count(usage.max_rss)),
        usage.map(|usage| Count(usage.user_ms)),
        usage.map(|usage| Count(usage.sys_ms)),
        Time(process.created_at),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests;
