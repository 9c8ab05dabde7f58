//! Lists of processes.

use jiff::Timestamp;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::clock;
use crate::model::{MachineId, Process, ProcessId, ProcessType};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::row;

/// A filter for lists of processes: a process passes if it meets every condition.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own")]
pub struct ProcessFilter {
    /// Only `queued`, `running` or `exited` processes.
    pub status: Option<String>,
    /// Only processes that have not exited.
    pub is_live: bool,
    /// Only processes that failed, as [`Process::has_failed`] defines it.
    pub has_failed: bool,
    /// Only processes for a binary of this name, on any machine.
    pub binary_name: Option<String>,
    /// Only hooks of this plugin.
    pub plugin: Option<String>,
    /// Only runs with this slug.
    pub slug: Option<String>,
    /// Only processes of this kind.
    pub process_type: Option<ProcessType>,
    /// Only processes whose command can be run again, as [`ProcessType::is_replayable`] defines it.
    pub is_replayable: bool,
    /// Only the children of this process.
    pub parent_id: Option<ProcessId>,
    /// Only processes without a parent.
    pub is_root: bool,
    /// Only processes with this pid.
    pub pid: Option<u32>,
    /// Only processes on this machine.
    pub machine_id: Option<MachineId>,
    /// Only processes that were recorded at this time or later.
    pub since: Option<Timestamp>,
    /// At most this many processes.
    pub limit: Option<u32>,
}

/// The condition for processes that have not exited, which is that of the partial index `process_unfinished`.
const LIVE: &str = "status <> 'exited'";

/// The condition for processes that failed: [`Process::has_failed`] in SQL. `IS` is never NULL.
const FAILED: &str = "status = 'exited' \
    AND NOT (exit_reason = 'exited' AND (exit_code IS 0 OR exit_code IS 10 AND process_type = 'hook')) \
    AND NOT (exit_reason = 'stopped' AND (started_at IS NULL \
        OR process_type <> 'hook' AND ifnull(exit_code, 1) IN (0, 143) \
        OR process_type = 'hook' AND ifnull(exit_code, 1) IN (0, 10, 143) \
            AND (instr(hook_name, '.bg.') OR instr(hook_name, '__background')) \
            AND NOT instr(hook_name, '.finite.')))";

/// The condition for processes of a binary. The record of a hook that ran for several binaries refers to none of them,
/// but its attempts do.
const OF_BINARY: &str = "id IN (WITH named AS (SELECT id FROM binary WHERE name = ?) \
    SELECT process.id FROM named JOIN process ON process.binary_id = named.id \
    UNION SELECT process_id FROM named JOIN attempt ON attempt.binary_id = named.id)";

/// The order of every list. Each index of the table ends with these columns.
const NEWEST_FIRST: &str = "ORDER BY created_at DESC, id DESC";

/// A part of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListPart {
    All,
    /// Those that have not exited, which are listed first.
    Live,
    Exited,
}

impl ProcessFilter {
    /// Returns whether the state of a process meets the conditions on the state.
    pub(crate) fn accepts_state(&self, process: &Process) -> bool {
        self.status.as_deref().is_none_or(|status| status == process.status())
            && (!self.is_live || process.exit().is_none())
            && (!self.has_failed || process.has_failed())
    }

    /// Returns the parts that can contain processes that pass.
    fn parts(&self) -> &'static [ListPart] {
        let needs_exit = self.has_failed || self.status.as_deref() == Some("exited");
        let needs_life = self.is_live || self.status.as_deref().is_some_and(|status| status != "exited");
        match (needs_life, needs_exit) {
            (false, false) => &[ListPart::Live, ListPart::Exited],
            (true, false) => &[ListPart::Live],
            (false, true) => &[ListPart::Exited],
            (true, true) => &[],
        }
    }

    /// Returns `WHERE ...` and its parameters for one part. Includes only the conditions that are set, because otherwise
    /// SQLite could not choose an index. Some conditions repeat that of a partial index, which SQLite then uses, and a `+`
    /// keeps it from using one: few processes live or belong to one binary, but many to one plugin or to none.
    pub(super) fn conditions(&self, part: ListPart) -> (String, Vec<Value>) {
        let is_selective = part == ListPart::Live || self.binary_name.is_some();
        let mut conditions = match part {
            ListPart::All => vec![],
            ListPart::Live => vec![LIVE],
            ListPart::Exited => vec!["status = 'exited'"],
        };
        let mut params = Vec::new();
        let mut add = |condition: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                conditions.push(condition);
                params.push(value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        add("status = ?", text(&self.status));
        add(OF_BINARY, text(&self.binary_name));
        let is_indexed = |name: &Option<String>| !is_selective && name.as_deref() != Some("");
        let plugin = if is_indexed(&self.plugin) { "plugin <> '' AND plugin = ?" } else { "plugin = ?" };
        add(plugin, text(&self.plugin));
        let slug = if is_indexed(&self.slug) { "slug <> '' AND slug = ?" } else { "slug = ?" };
        add(slug, text(&self.slug));
        add("process_type = ?", self.process_type.map(|kind| kind.to_string().into()));
        add("parent_id = ?", self.parent_id.map(|id| id.to_string().into()));
        add("pid = ?", self.pid.map(|pid| i64::from(pid).into()));
        add("+machine_id = ?", self.machine_id.map(|id| id.to_string().into()));
        add("created_at >= ?", self.since.map(|since| clock::format(since).into()));
        if self.has_failed {
            conditions.push(FAILED);
        }
        if self.is_replayable {
            conditions.push("process_type NOT IN ('cli', 'supervisord')");
        }
        if self.is_root {
            conditions.push(if is_selective { "+parent_id IS NULL" } else { "parent_id IS NULL" });
        }
        let clause = if conditions.is_empty() { "" } else { "WHERE " };
        (clause.to_owned() + &conditions.join(" AND "), params)
    }

    /// Returns `WHERE ... ORDER BY ... LIMIT` and its parameters for one part.
    pub(super) fn list_sql(&self, part: ListPart, limit: Option<u32>) -> (String, Vec<Value>) {
        let (conditions, params) = self.conditions(part);
        (format!("{conditions} {NEWEST_FIRST} LIMIT {}", row::limit(limit)), params)
    }
}

impl Store {
    /// Returns the processes that pass the filter: first those that have not exited, then the others, each newest first.
    pub fn processes(&self, filter: &ProcessFilter) -> Result<Vec<Process>, StoreError> {
        let mut found: Vec<Process> = Vec::new();
        for part in filter.parts() {
            let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let (rest, params) =
                filter.list_sql(*part, filter.limit.map(|limit| limit.saturating_sub(count)));
            let mut rows: Vec<Process> = self.list(&rest, params_from_iter(params))?;
            // A process may exit between the two queries.
            rows.retain(|process| found.iter().all(|known| known.id != process.id));
            found.append(&mut rows);
        }
        Ok(found)
    }

    /// Returns the number of processes that pass the filter, regardless of its limit, but counts at most `max` of them.
    pub fn count_processes(&self, filter: &ProcessFilter, max: Option<u32>) -> Result<u64, StoreError> {
        let part = match filter.parts() {
            [] => return Ok(0),
            [part] => *part,
            // Without a condition on the status, SQLite counts the entries of an index.
            _ => ListPart::All,
        };
        let (conditions, params) = filter.conditions(part);
        let max = row::limit(max);
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM process {conditions} LIMIT {max})");
        self.with(|connection| {
            connection.prepare_cached(&sql)?.query_row(params_from_iter(params), |row| row.get(0))
        })
        .map(i64::cast_unsigned)
    }
}

#[cfg(test)]
mod tests;
