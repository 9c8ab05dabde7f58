//! The tables of processes, binaries and attempts.

use jiff::{SignedDuration, Timestamp};

use crate::duration;
use crate::model::{Attempt, Binary, ExitReason, Outcome, Process, ProcessState};
use crate::report::short_id::short_ids;
use crate::report::table::{Cell, Column, Table};
use crate::report::units;

/// A process in a table.
#[derive(Debug, Clone)]
pub(crate) struct ProcessRow<'a> {
    /// The process.
    pub process: &'a Process,
    /// The lines of the tree in front of it.
    pub branch: &'a str,
    /// CPU time in milliseconds and memory in bytes of a running process.
    pub live: Option<(u64, u64)>,
}

/// Returns the table of processes.
pub(crate) fn processes(rows: &[ProcessRow<'_>], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::new("PROCESS"),
        Column::new("COMMAND").cut_end(24),
        Column::new("STATE").cut_end(20),
        Column::new("DURATION").optional(2),
        Column::new("CPU").optional(4),
        Column::new("MEMORY").optional(3),
        Column::new("STARTED").optional(1),
    ]);
    let ids = short_ids(rows.iter().map(|row| row.process.id));
    for (ProcessRow { process, branch, live }, id) in rows.iter().zip(ids) {
        let usage = process.exit().and_then(|exit| exit.usage);
        let cpu_ms = usage.map(|usage| usage.user_ms + usage.sys_ms).or(live.map(|(cpu_ms, _)| cpu_ms));
        let memory = usage.map(|usage| usage.max_rss).or(live.map(|(_, memory)| memory));
        let started = process.running().map(|running| units::relative_time(running.started_at, now));
        table.add_row([
            Cell::plain(id),
            Cell::plain(format!("{branch}{}", process.title())),
            process_state(process),
            Cell::plain(elapsed(process, now).map(units::duration).unwrap_or_default()),
            Cell::plain(cpu_ms.map(units::milliseconds).map(units::duration).unwrap_or_default()),
            Cell::plain(memory.map(units::bytes).unwrap_or_default()),
            Cell::plain(started.unwrap_or_default()),
        ]);
    }
    table
}

/// Returns the table of binaries with these rows.
pub(crate) fn binary_rows(rows: impl IntoIterator<Item = Vec<Cell>>) -> Table {
    let columns = [
        Column::new("BINARY").cut_end(20),
        Column::new("STATUS"),
        Column::new("VERSION").cut_end(12),
        Column::new("PROVIDER").cut_end(12),
        Column::new("PATH").cut_start(20),
    ];
    Table::with_rows(columns, rows)
}

/// Returns the row of a binary.
pub(crate) fn binary_row(binary: &Binary, is_linked: bool) -> Vec<Cell> {
    match &binary.installed {
        Some(installed) => vec![
            Cell::plain(&binary.name),
            if is_linked { Cell::success("installed") } else { Cell::failure("not linked") },
            Cell::plain(&installed.version),
            Cell::plain(installed.binprovider.as_str()),
            Cell::plain(installed.abspath.display().to_string()),
        ],
        None => queued_row(&binary.name, &binary.binproviders),
    }
}

/// Returns the row of a binary that is not installed.
pub(crate) fn queued_row(name: &str, binproviders: &str) -> Vec<Cell> {
    vec![Cell::plain(name), Cell::failure("queued"), Cell::plain(""), Cell::plain(binproviders)]
}

/// Returns the table of the attempts at a binary, each with the time at which it was stored.
pub(crate) fn attempts(attempts: &[(Attempt, Timestamp)], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::new("PROVIDER"),
        Column::new("OUTCOME"),
        Column::new("REASON").wrap(24),
        Column::new("TIME").optional(1),
        Column::new("PROCESS"),
    ]);
    let mut ids = short_ids(attempts.iter().filter_map(|(attempt, _)| attempt.process_id)).into_iter();
    for (attempt, time) in attempts {
        let id = attempt.process_id.and_then(|_| ids.next());
        table.add_row([
            Cell::plain(attempt.provider.as_str()),
            outcome(attempt.outcome),
            Cell::plain(&attempt.reason),
            Cell::plain(units::relative_time(*time, now)),
            Cell::plain(id.unwrap_or_default()),
        ]);
    }
    table
}

/// Returns the outcome of an attempt.
pub(crate) fn outcome(outcome: Outcome) -> Cell {
    match outcome {
        Outcome::Installed => Cell::success(outcome.as_str()),
        Outcome::Failed | Outcome::Rejected | Outcome::Timeout => Cell::failure(outcome.as_str()),
        Outcome::Declined | Outcome::Skipped => Cell::plain(outcome.as_str()),
    }
}

/// Returns the state of a process, in a few words.
pub(crate) fn process_state(process: &Process) -> Cell {
    let exit = match &process.state {
        ProcessState::Queued => return Cell::plain("queued"),
        ProcessState::Running(_) => return Cell::success("running"),
        ProcessState::Exited(_, exit) => exit,
    };
    let code = exit.exit_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
    let text = match exit.reason {
        ExitReason::Exited if exit.exit_code == Some(0) => return Cell::success("exit 0"),
        ExitReason::Exited if process.is_skipped() => "skipped".to_owned(),
        ExitReason::Exited => format!("exit {code}"),
        ExitReason::Signalled => format!("signal {}", exit.signal.unwrap_or_default()),
        ExitReason::Timeout => {
            let limit = process.spec.timeout.map(duration::seconds);
            let after = limit.map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
            format!("timed out{after} ({code})")
        }
        ExitReason::Memory => format!("over its memory limit ({code})"),
        ExitReason::Stopped if process.running().is_none() => "not started".to_owned(),
        ExitReason::Stopped => format!("stopped ({code})"),
        ExitReason::Lost => "lost".to_owned(),
        ExitReason::SpawnFailed => "not started".to_owned(),
    };
    if process.has_failed() { Cell::failure(text) } else { Cell::plain(text) }
}

/// Returns how long a process ran or has been running, or `None` if it was never started or no process observed its exit.
pub(crate) fn elapsed(process: &Process, now: Timestamp) -> Option<SignedDuration> {
    let end = match process.exit() {
        Some(exit) if exit.reason == ExitReason::Lost => return None,
        Some(exit) => exit.ended_at,
        None => now,
    };
    Some(end.duration_since(process.running()?.started_at))
}

#[cfg(test)]
mod tests;
