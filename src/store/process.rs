//! The `process` table.

use std::time::Duration;

use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::row::{self, BadValue, Columns, FilePath, Json, Lookup, Stored};
use super::{Fault, Store, StoreError};
use crate::model::id::{MachineId, ProcessId};
use crate::model::process::{
    Identity, Process, ProcessExit, ProcessSpec, ProcessState, RunSpec, Running, Usage,
};

mod old;

pub use old::EndedProcess;

/// Which processes to list.
#[derive(Debug, Clone, Default)]
pub struct ProcessFilter {
    /// Only `queued`, `running` or `exited` ones.
    pub status: Option<String>,
    /// Only those about a binary of this name, on any machine.
    pub binary_name: Option<String>,
    /// Only hooks of this plugin.
    pub plugin: Option<String>,
    /// Only detached runs of this slug.
    pub slug: Option<String>,
    /// Only those that no other process asked for.
    pub is_root: bool,
    /// At most so many.
    pub limit: Option<u32>,
}

impl ProcessFilter {
    /// `WHERE ... ORDER BY ... LIMIT`, and its parameters. Only what is asked for stands in it, or SQLite could not
    /// choose an index; the conditions that nobody asked for repeat those of a partial index.
    fn sql(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut conditions = Vec::new();
        let mut params: Vec<Box<dyn ToSql>> = Vec::new();
        let mut ask = |condition, param| {
            conditions.push(condition);
            params.push(param);
        };
        match &self.status {
            Some(status) if status == "exited" => ask("status = ?", Box::new(status.clone()) as _),
            Some(status) => ask("status <> 'exited' AND status = ?", Box::new(status.clone())),
            None => {}
        }
        if let Some(name) = &self.binary_name {
            // A hook for many is about none of them by its own record, and by the attempts about each.
            ask(
                "id IN (WITH named AS (SELECT id FROM binary WHERE name = ?) \
                 SELECT process.id FROM named JOIN process ON process.binary_id = named.id \
                 UNION SELECT process_id FROM named JOIN attempt ON attempt.binary_id = named.id)",
                Box::new(name.clone()),
            );
        }
        if let Some(plugin) = &self.plugin {
            // A plugin has many processes. Without the condition of its index, SQLite takes the narrower one.
            let condition = if plugin.is_empty() || self.is_narrow() {
                "plugin = ?"
            } else {
                "plugin <> '' AND plugin = ?"
            };
            ask(condition, Box::new(plugin.clone()));
        }
        if let Some(slug) = &self.slug {
            let condition = if self.is_narrow() { "slug = ?" } else { "slug <> '' AND slug = ?" };
            ask(condition, Box::new(slug.clone()));
        }
        if self.is_root {
            conditions.push("parent_id IS NULL");
        }
        let mut sql = String::new();
        if !conditions.is_empty() {
            sql = format!("WHERE {} ", conditions.join(" AND "));
        }
        sql.push_str("ORDER BY created_at DESC, id DESC LIMIT ?");
        params.push(Box::new(row::limit(self.limit)));
        (sql, params)
    }

    /// Whether it asks for something that few processes have, whatever their plugin.
    fn is_narrow(&self) -> bool {
        self.binary_name.is_some() || self.status.as_deref().is_some_and(|status| status != "exited")
    }
}

impl Stored for Process {
    const TABLE: &'static str = "process";
    const COLUMNS: &'static str = "id, machine_id, parent_id, binary_id, iface_id, process_type, plugin, hook_name, \
        cmd, pwd, env, timeout, run_dir, slug, description, ttl_seconds, status, pid, start_ticks, boot_id, started_at, ended_at, exit_code, signal, \
        exit_reason, stdout_tail, stderr_tail, stdout_bytes, stderr_bytes, max_rss, user_ms, sys_ms, created_at";

    fn read(columns: &mut Columns<'_>) -> Result<Self, BadValue> {
        Ok(Self {
            id: columns.id()?,
            machine_id: columns.id()?,
            parent_id: columns.optional_id()?,
            binary_id: columns.optional_id()?,
            iface_id: columns.optional_id()?,
            spec: read_spec(columns)?,
            state: read_state(columns)?,
            created_at: columns.time()?,
        })
    }
}

fn read_spec(columns: &mut Columns<'_>) -> Result<ProcessSpec, BadValue> {
    Ok(ProcessSpec {
        process_type: columns.parse(str::parse)?,
        plugin: columns.get()?,
        hook_name: columns.get()?,
        cmd: columns.json()?,
        pwd: columns.path()?,
        env: columns.json()?,
        timeout: read_seconds(columns, "timeout")?,
        run_dir: columns.optional_path()?,
        run: read_run(columns)?,
    })
}

fn read_run(columns: &mut Columns<'_>) -> Result<Option<RunSpec>, BadValue> {
    let run = RunSpec {
        slug: columns.get()?,
        description: columns.get()?,
        ttl: read_seconds(columns, "ttl_seconds")?,
    };
    Ok((!run.slug.is_empty()).then_some(run))
}

fn read_seconds(columns: &mut Columns<'_>, name: &str) -> Result<Option<Duration>, BadValue> {
    let seconds: Option<f64> = columns.get()?;
    seconds.map(Duration::try_from_secs_f64).transpose().map_err(|reason| BadValue::new(name, reason))
}

/// The columns from `status` to `sys_ms`.
fn read_state(columns: &mut Columns<'_>) -> Result<ProcessState, BadValue> {
    let status: String = columns.get()?;
    match status.as_str() {
        "queued" => {
            columns.skip(15);
            Ok(ProcessState::Queued)
        }
        "running" => {
            let running =
                read_running(columns)?.ok_or_else(|| BadValue::new("pid", "running without a pid"))?;
            columns.skip(11);
            Ok(ProcessState::Running(running))
        }
        "exited" => Ok(ProcessState::Exited(read_running(columns)?, read_ending(columns)?)),
        _ => Err(BadValue::unknown_word("status", status)),
    }
}

/// Who it was and when it started; none where it never started.
fn read_running(columns: &mut Columns<'_>) -> Result<Option<Running>, BadValue> {
    let Some(pid) = columns.get()? else {
        columns.skip(3);
        return Ok(None);
    };
    Ok(Some(Running {
        identity: Identity { pid, start_ticks: columns.count()?, boot_id: columns.get()? },
        started_at: columns.time()?,
    }))
}

fn read_ending(columns: &mut Columns<'_>) -> Result<ProcessExit, BadValue> {
    Ok(ProcessExit {
        ended_at: columns.time()?,
        exit_code: columns.get()?,
        signal: columns.get()?,
        reason: columns.parse(str::parse)?,
        stdout_tail: columns.get()?,
        stderr_tail: columns.get()?,
        stdout_bytes: columns.count()?,
        stderr_bytes: columns.count()?,
        usage: read_usage(columns)?,
    })
}

fn read_usage(columns: &mut Columns<'_>) -> Result<Option<Usage>, BadValue> {
    let Some(max_rss) = columns.optional_count()? else {
        columns.skip(2);
        return Ok(None);
    };
    Ok(Some(Usage { max_rss, user_ms: columns.count()?, sys_ms: columns.count()? }))
}

/// An ending is final: the last line leaves a row that has one as it is.
const UPDATE_BY_ID: &str = "ON CONFLICT (id) DO UPDATE SET machine_id = excluded.machine_id, \
    parent_id = excluded.parent_id, binary_id = excluded.binary_id, iface_id = excluded.iface_id, \
    process_type = excluded.process_type, plugin = excluded.plugin, hook_name = excluded.hook_name, \
    cmd = excluded.cmd, pwd = excluded.pwd, env = excluded.env, timeout = excluded.timeout, \
    run_dir = excluded.run_dir, slug = excluded.slug, description = excluded.description, \
    ttl_seconds = excluded.ttl_seconds, status = excluded.status, pid = excluded.pid, start_ticks = excluded.start_ticks, \
    boot_id = excluded.boot_id, started_at = excluded.started_at, ended_at = excluded.ended_at, \
    exit_code = excluded.exit_code, signal = excluded.signal, exit_reason = excluded.exit_reason, \
    stdout_tail = excluded.stdout_tail, stderr_tail = excluded.stderr_tail, stdout_bytes = excluded.stdout_bytes, \
    stderr_bytes = excluded.stderr_bytes, max_rss = excluded.max_rss, user_ms = excluded.user_ms, \
    sys_ms = excluded.sys_ms, created_at = excluded.created_at \
    WHERE process.status <> 'exited'";

impl Store {
    /// Stores a process in place of the one with its id, unless that one is over: an ending is final.
    pub fn save_process(&self, process: &Process) -> Result<(), StoreError> {
        self.with(|connection| save(connection, process))
    }

    /// Stores several processes, all of them or none.
    pub fn save_processes(&self, processes: &[&Process]) -> Result<(), StoreError> {
        self.transaction(|transaction| processes.iter().try_for_each(|it| save(transaction, it)))
    }

    /// Stores the intent to make a detached run, unless as many of its slug are alive as may be; tells whether it was
    /// stored. However many ask at once, never more than `max_live` get through.
    pub fn reserve_run(&self, process: &Process, max_live: u32) -> Result<bool, StoreError> {
        let slug = process.spec.run.as_ref().map_or("", |it| &it.slug);
        self.transaction(|transaction| {
            let live: u32 = transaction.prepare_cached(LIVE_RUNS)?.query_row([slug], |row| row.get(0))?;
            if live >= max_live {
                return Ok(false);
            }
            save(transaction, process)?;
            Ok(true)
        })
    }

    /// Stores a process that another rigup saw end, unless there is one with its id, and gives back what is stored. What
    /// it points to and nobody knows here is left out.
    pub fn import_process(&self, process: &Process) -> Result<Process, StoreError> {
        self.transaction(|transaction| {
            if let Some(known) = row::first(transaction, "WHERE id = ?1", [row::id(process.id)])? {
                return Ok(known);
            }
            let is_known = |table: &str, id: Option<String>| -> Result<bool, Fault> {
                let Some(id) = id else { return Ok(false) };
                let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE id = ?1)");
                Ok(transaction.prepare_cached(&sql)?.query_row([id], |row| row.get(0))?)
            };
            let mut process = process.clone();
            if !is_known("process", process.parent_id.map(row::id))? {
                process.parent_id = None;
            }
            if !is_known("binary", process.binary_id.map(row::id))? {
                process.binary_id = None;
            }
            if !is_known("network_interface", process.iface_id.map(row::id))? {
                process.iface_id = None;
            }
            save(transaction, &process)?;
            Ok(process)
        })
    }

    /// The process with this id.
    pub fn process(&self, id: ProcessId) -> Result<Option<Process>, StoreError> {
        self.with(|connection| row::first(connection, "WHERE id = ?1", [row::id(id)]))
    }

    /// The process that a person means by the beginning of its id.
    pub fn find_process(&self, typed: &str) -> Result<Lookup<Process>, StoreError> {
        self.with(|connection| row::by_id_prefix(connection, typed))
    }

    /// The processes that pass the filter, the newest first.
    pub fn processes(&self, filter: &ProcessFilter) -> Result<Vec<Process>, StoreError> {
        let (rest, params) = filter.sql();
        self.with(|connection| row::all(connection, &rest, params_from_iter(params)))
    }

    /// The processes of a machine that are not over as far as the store knows, the oldest first.
    pub fn unfinished_processes(&self, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
        self.with(|connection| row::all(connection, NOT_OVER, [row::id(machine_id)]))
    }

    /// The detached runs of a machine that are over and whose run dirs were not removed, the oldest first.
    pub fn ended_runs(&self, machine_id: MachineId) -> Result<Vec<Process>, StoreError> {
        self.with(|connection| row::all(connection, ENDED_RUNS, [row::id(machine_id)]))
    }

    /// How long a hook took on the average of its last runs; nothing where it never ran.
    pub fn average_duration(&self, plugin: &str, hook_name: &str) -> Result<Duration, StoreError> {
        let seconds: Option<f64> = self.with(|connection| {
            Ok(connection.prepare_cached(USUAL)?.query_row([plugin, hook_name], |row| row.get(0))?)
        })?;
        // A clock that was set back between start and end makes no duration.
        Ok(seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()).unwrap_or_default())
    }

    /// The processes that a process asked for, the oldest first.
    pub fn process_children(&self, parent_id: ProcessId) -> Result<Vec<Process>, StoreError> {
        self.with(|connection| row::all(connection, CHILDREN, [row::id(parent_id)]))
    }
}

const NOT_OVER: &str = "WHERE status <> 'exited' AND machine_id = ?1 ORDER BY created_at, id";
const ENDED_RUNS: &str = "WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL AND machine_id = ?1 \
    ORDER BY created_at, id";
const LIVE_RUNS: &str = "SELECT count(*) FROM process WHERE slug <> '' AND slug = ?1 AND status <> 'exited'";
const USUAL: &str = "SELECT avg(julianday(ended_at) - julianday(started_at)) * 86400.0 FROM \
    (SELECT hook_name, started_at, ended_at FROM process WHERE plugin <> '' AND plugin = ?1 \
    ORDER BY created_at DESC, id DESC LIMIT 20) WHERE hook_name = ?2";
const CHILDREN: &str = "WHERE parent_id = ?1 ORDER BY created_at, id";

/// A parent that was forgotten meanwhile is none.
pub(super) fn save(connection: &Connection, process: &Process) -> Result<(), Fault> {
    let spec = &process.spec;
    let run = spec.run.as_ref();
    let running = process.running();
    let exit = process.exit();
    let usage = exit.and_then(|it| it.usage);
    let sql = format!(
        "INSERT INTO process ({}) VALUES (?1, ?2, (SELECT id FROM process WHERE id = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
         ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33) {UPDATE_BY_ID}",
        Process::COLUMNS
    );
    connection.prepare_cached(&sql)?.execute(params![
        row::id(process.id),
        row::id(process.machine_id),
        process.parent_id.map(row::id),
        process.binary_id.map(row::id),
        process.iface_id.map(row::id),
        spec.process_type.as_str(),
        spec.plugin,
        spec.hook_name,
        Json(&spec.cmd),
        FilePath(&spec.pwd),
        Json(&spec.env),
        spec.timeout.map(|it| it.as_secs_f64()),
        spec.run_dir.as_deref().map(FilePath),
        run.map_or("", |it| &it.slug),
        run.map_or("", |it| &it.description),
        run.and_then(|it| it.ttl).map(|it| it.as_secs_f64()),
        process.status(),
        running.map(|it| it.identity.pid),
        running.map(|it| row::count(it.identity.start_ticks)),
        running.map(|it| &it.identity.boot_id),
        running.map(|it| row::time(it.started_at)),
        exit.map(|it| row::time(it.ended_at)),
        exit.and_then(|it| it.exit_code),
        exit.and_then(|it| it.signal),
        exit.map(|it| it.reason.as_str()),
        exit.map(|it| &it.stdout_tail),
        exit.map(|it| &it.stderr_tail),
        exit.map(|it| row::count(it.stdout_bytes)),
        exit.map(|it| row::count(it.stderr_bytes)),
        usage.map(|it| row::count(it.max_rss)),
        usage.map(|it| row::count(it.user_ms)),
        usage.map(|it| row::count(it.sys_ms)),
        row::time(process.created_at),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests;
