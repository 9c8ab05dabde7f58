//! Garbage collection: terminates runs that exceed their maximum runtime, completes the records of lost processes, and
//! prunes run dirs and records that are too old or too many.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fs::dir::other_owner;
use crate::fs::lock::FileLock;
use crate::fs::remove::remove_tree;
use crate::model::text_enum::text_enum;
use crate::model::{MachineId, Process, ProcessId, RetentionLimits};
use crate::process::handle::Handle;
use crate::process::kill::{self, KillOutcome};
use crate::process::lock;
use crate::process::run_dir::{self, FoundRunDir, RunDir};
use crate::process::{recover, terminate, tree};
use crate::report::units;
use crate::runs::age::{self, MAX_PAUSE};
use crate::store::{Store, StoreError};

/// The time past its maximum runtime after which gc terminates a run whose waiter is stopped, which may be continued.
const OVERDUE_PATIENCE: Duration = Duration::from_secs(15);
/// The age at which a run dir without a record is removed. The launcher of a newer one may be about to store the
/// record.
const UNRECORDED_TTL: Duration = Duration::from_hours(24);
/// How far the clock of a file server may be ahead.
const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// The interval of automatic collections.
const INTERVAL: Duration = Duration::from_hours(24);
/// The reason for completing a record.
const UNOBSERVED: &str = "its exit was not observed";
/// The number of processes that an automatic collection may always prune, which takes about a second.
const MIN_BUDGET: u64 = 1_000;

text_enum! {
    /// An action of gc on a process or run dir.
    pub enum GcAction {
        /// The run exceeded its maximum runtime and was terminated.
        Killed = "killed",
        /// The process ended unobserved, and its record was completed.
        Finished = "finished",
        /// The run dir was past its time to live and was removed, or the temporary folder of a killed rigup was.
        Removed = "removed",
        /// One of these actions failed.
        Failed = "failed",
    }
}

/// An action that gc took, or would take, on one process or run dir.
#[derive(Debug)]
pub struct GcItem {
    /// The action.
    pub action: GcAction,
    /// The process; `None` for a run dir without a record.
    pub process: Option<Process>,
    /// The run dir or the temporary folder.
    pub path: Option<PathBuf>,
    /// The reason.
    pub reason: String,
}

impl GcItem {
    fn of(action: GcAction, process: Process, reason: String) -> Self {
        let path = process.spec.run_dir.clone();
        Self { action, process: Some(process), path, reason }
    }

    /// Returns the record in its JSONL form.
    pub fn to_record(&self) -> Value {
        let run = self.process.as_ref().and_then(|process| process.spec.run.as_ref());
        json!({
            "type": "Gc",
            "action": self.action.as_str(),
            "process_id": self.process.as_ref().map(|process| process.id),
            "slug": run.map_or("", |run| &run.slug),
            "path": self.path.as_ref().map(|path| path.to_string_lossy()),
            "reason": self.reason,
        })
    }
}

/// A garbage collection.
#[derive(Debug)]
pub(crate) struct Gc<'a> {
    /// The store with the records. The run dirs are in the same data dir.
    pub store: &'a Store,
    /// This machine; processes of other machines are left alone.
    pub machine_id: MachineId,
    /// The time to live that replaces that of every run.
    pub ttl: Option<Duration>,
    /// The retention limits.
    pub keep: RetentionLimits,
    /// The current time.
    pub now: Timestamp,
    /// Whether to return the actions that gc would take without taking them.
    pub dry_run: bool,
    /// The start and the end of each long pause between processes, once they are read.
    pub pauses: OnceCell<Vec<(Timestamp, Timestamp)>>,
    /// Whether a record is as old as the clock says, also if the clock may be wrong.
    pub trusts_clock: bool,
}

/// The actions that a garbage collection took, or would take.
#[derive(Debug, Default)]
pub struct GcReport {
    /// The actions on single processes and run dirs.
    pub items: Vec<GcItem>,
    /// The processes that were pruned, by reason.
    pub pruned: Vec<Pruned>,
    /// The number of processes that are too old only if the clock is right.
    pub old_by_clock: u64,
}

/// The processes that were pruned for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The number of processes.
    pub processes: u64,
    /// The size of their logs that were removed, in bytes.
    pub log_bytes: u64,
    /// Whether their records were removed as well as their run dirs.
    pub with_records: bool,
    /// The reason.
    pub reason: String,
}

impl GcReport {
    /// Adds an action. A run dir that cannot be removed is listed once, though several steps try it.
    pub(super) fn add(&mut self, item: GcItem) {
        let id = |item: &GcItem| item.process.as_ref().map(|process| process.id);
        let is_listed = |listed: &GcItem| listed.action == GcAction::Failed && id(listed) == id(&item);
        if item.action != GcAction::Failed || item.process.is_none() || !self.items.iter().any(is_listed) {
            self.items.push(item);
        }
    }
}

impl Pruned {
    /// Returns the action, as records name it.
    pub const fn action(&self) -> &'static str {
        if self.with_records { "pruned" } else { "removed" }
    }

    /// Returns the record in its JSONL form.
    pub fn to_record(&self) -> Value {
        json!({
            "type": "Gc",
            "action": self.action(),
            "process_id": null,
            "slug": "",
            "path": null,
            "processes": self.processes,
            "log_bytes": self.log_bytes,
            "reason": self.reason,
        })
    }
}

/// An error that ends a garbage collection early.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// The lock cannot be created or taken.
    #[error("cannot prune processes: cannot take the lock: {0}")]
    Lock(io::Error),
    /// A record cannot be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Gc<'_> {
    /// Runs a complete collection. A process that it terminates or completes is kept until the next collection, so that
    /// each process is listed once.
    pub(crate) fn run(&self) -> Result<GcReport, GcError> {
        let lock = if self.dry_run { None } else { Some(self.open_lock()?) };
        let mut report = GcReport::default();
        if let Some(lock) = &lock {
            lock.lock().map_err(GcError::Lock)?;
            for process in recover::recover_lost(self.store, self.machine_id)? {
                report.items.push(GcItem::of(GcAction::Finished, process, UNOBSERVED.to_owned()));
            }
        }
        for process in self.store.unfinished_processes(self.machine_id)? {
            let process = if self.dry_run { recover::as_found(self.store, process) } else { process };
            report.items.extend(match process.exit() {
                Some(_) => Some(GcItem::of(GcAction::Finished, process, UNOBSERVED.to_owned())),
                None => self.terminate_if_overdue(&process)?,
            });
        }
        self.remove_temporary_folders(&mut report)?;
        let removed = self.remove_expired(u64::MAX, &mut report)?;
        self.remove_unrecorded(&mut report)?;
        self.prune(&removed, u64::MAX, &mut report)?;
        if let Some(lock) = lock {
            // If the time cannot be stored, the next automatic collection is due sooner.
            let _ = lock.file().set_modified(SystemTime::now());
        }
        Ok(report)
    }

    /// Runs an automatic collection at the end of the work of a rigup, whose process is `parent_id`, if one is due and
    /// no other rigup is running one. Takes no more than a moment; the rest is left to the next collection. The first
    /// collection in a data dir only stores the time.
    pub(crate) fn run_if_due(&self, parent_id: ProcessId) -> Result<GcReport, GcError> {
        if self.keep.is_unbounded() {
            return Ok(GcReport::default());
        }
        let last = self.lock_path().metadata().and_then(|metadata| metadata.modified());
        if matches!(last, Ok(time) if !is_due_after(time)) {
            return Ok(GcReport::default());
        }
        let is_first = last.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let lock = self.open_lock()?;
        if is_first || !lock.try_lock().map_err(GcError::Lock)? {
            return Ok(GcReport::default());
        }
        // The budget exceeds the number of processes that this rigup added, so that the total does not grow.
        let budget = MIN_BUDGET.max(2 * self.store.count_children(parent_id)?);
        let mut report = GcReport::default();
        self.remove_temporary_folders(&mut report)?;
        let removed = self.remove_expired(budget, &mut report)?;
        if self.prune(&removed, budget - removed.len() as u64, &mut report)? > 0 {
            let _ = lock.file().set_modified(SystemTime::now());
        }
        Ok(report)
    }

    /// Returns the path of the file that is locked during a collection. Its modification time is that of the last one.
    fn lock_path(&self) -> PathBuf {
        self.store.data_dir().join("locks").join("gc")
    }

    fn open_lock(&self) -> Result<FileLock, GcError> {
        FileLock::create(&self.lock_path()).map_err(GcError::Lock)
    }

    /// Terminates a process that exceeds its maximum runtime and whose waiter is gone or stopped.
    fn terminate_if_overdue(&self, process: &Process) -> Result<Option<GcItem>, StoreError> {
        let (Some(timeout), Some(running)) = (process.spec.timeout, process.running()) else {
            return Ok(None);
        };
        let is_overdue_by = |delay| self.is_older(running.started_at, timeout.saturating_add(delay));
        if !matches!(recover::belongs_to(self.store, process), Ok(true)) || !is_overdue_by(Duration::ZERO)? {
            return Ok(None);
        }
        // A waiter enforces the limit itself, with a clock that cannot be set back, unless it is stopped. A process
        // without a waiter exits with its rigup.
        let has_waiter = run_dir::of(self.store.data_dir(), process).map(|run_dir| run_dir.is_locked());
        let Some(Ok(Some(has_waiter))) = has_waiter else { return Ok(None) };
        let waiter = if has_waiter { tree::find_waiter(process.id).ok().flatten() } else { None };
        let stopped_waiter = waiter.filter(|waiter| waiter.is_stopped);
        if has_waiter && (stopped_waiter.is_none() || !is_overdue_by(OVERDUE_PATIENCE)?) {
            return Ok(None);
        }
        // Its waiter may have stored its exit before it released the lock.
        let process = self.store.process(process.id)?.filter(|now| now.exit().is_none());
        let Some(process) = process else { return Ok(None) };
        let reason = format!("it exceeded its maximum runtime of {}", display(timeout));
        if self.dry_run {
            return Ok(Some(GcItem::of(GcAction::Killed, process, reason)));
        }
        if let Some(Ok(Some(waiter))) = stopped_waiter.as_ref().map(Handle::open_entry) {
            waiter.signal(Signal::CONT);
        }
        Ok(match kill::kill(self.store, &process, Signal::TERM, terminate::GRACE)? {
            KillOutcome::AlreadyExited => None,
            KillOutcome::Survived(_) | KillOutcome::Failed(_) => {
                let reason = format!("{reason}, but cannot be terminated");
                Some(GcItem::of(GcAction::Failed, process, reason))
            }
            KillOutcome::Exited(process) => Some(GcItem::of(GcAction::Killed, *process, reason)),
        })
    }

    /// Removes at most `budget` run dirs of runs that are past their time to live, except those in the report. Keeps the
    /// records. Returns the runs.
    fn remove_expired(&self, budget: u64, report: &mut GcReport) -> Result<HashSet<ProcessId>, StoreError> {
        let touched: HashSet<ProcessId> =
            report.items.iter().filter_map(|item| Some(item.process.as_ref()?.id)).collect();
        let mut removed = HashSet::new();
        for run in self.store.ended_runs(self.machine_id)? {
            if removed.len() as u64 == budget {
                break;
            }
            let ttl = self.ttl.or(run.spec.run.as_ref().and_then(|spec| spec.ttl));
            let (Some(ttl), Some(exit)) = (ttl, run.exit()) else { continue };
            if touched.contains(&run.id) || !self.is_older(exit.ended_at, ttl)? || !self.can_remove() {
                continue;
            }
            let reason = format!("it exited more than {} ago", display(ttl));
            let (action, reason) = self.remove(run_dir::remove, run.id, reason);
            if action == GcAction::Removed {
                removed.insert(run.id);
                if !self.dry_run {
                    self.store.clear_run_dir(run.id)?;
                }
            }
            report.old_by_clock +=
                u64::from(self.counted_ago(ttl)?.is_none_or(|limit| exit.ended_at >= limit));
            report.items.push(GcItem::of(action, run, reason));
        }
        Ok(removed)
    }

    /// Removes the run dirs without a record: those of killed launchers, and those whose removal was interrupted. Leaves
    /// a folder alone that rigup did not make.
    fn remove_unrecorded(&self, report: &mut GcReport) -> Result<(), StoreError> {
        if !self.can_remove() {
            return Ok(());
        }
        for FoundRunDir { process_id, path, is_partly_removed } in run_dir::list(self.store.data_dir()) {
            let is_recorded = self.store.has_process(process_id)?;
            let is_removable = if is_partly_removed {
                is_recorded || RunDir::at(&path).is_of(process_id)
            } else {
                !is_recorded && RunDir::at(&path).is_of(process_id) && self.is_abandoned(&path)?
            };
            if is_removable {
                let remove = if is_partly_removed { run_dir::finish_removal } else { run_dir::remove };
                let (action, reason) = self.remove(remove, process_id, "it has no record".to_owned());
                let process = self.store.process(process_id).unwrap_or_default();
                report.add(GcItem { action, process, path: Some(path), reason });
            }
        }
        if !self.dry_run {
            lock::remove_stale_process_locks(self.store.data_dir(), UNRECORDED_TTL);
        }
        Ok(())
    }

    /// Removes the folders for temporary files of rigups that were killed, and the locks that name them, except those that a
    /// hook may still use or that belong to another user or machine. In a copy of a data dir, removes only the locks.
    fn remove_temporary_folders(&self, report: &mut GcReport) -> Result<(), StoreError> {
        for (id, folder) in lock::killed_with_folder(self.store.data_dir()) {
            let process = self.store.process(id)?;
            let unfinished = self.store.unfinished_processes(self.machine_id)?;
            let is_used = unfinished.iter().any(|process| process.parent_id == Some(id));
            let is_elsewhere = process.as_ref().is_some_and(|process| process.machine_id != self.machine_id);
            if is_used || is_elsewhere || other_owner(&folder).is_some() {
                continue;
            }
            let is_original =
                process.as_ref().is_some_and(|process| process.data_dir_id == self.store.data_dir_id());
            let is_left = is_original && folder.is_dir();
            let remove = |data_dir: &Path, id| {
                if is_left {
                    remove_tree(&folder)?;
                }
                lock::remove_process_lock(data_dir, id)
            };
            let (action, reason) = self.remove(remove, id, "its rigup was killed".to_owned());
            if is_left {
                report.items.push(GcItem { action, process, path: Some(folder), reason });
            }
        }
        Ok(())
    }

    /// Returns whether a run dir is old and its process has no waiter.
    fn is_abandoned(&self, run_dir: &Path) -> Result<bool, StoreError> {
        let ttl = self.ttl.unwrap_or_default().max(UNRECORDED_TTL);
        let modified = run_dir.metadata().and_then(|metadata| metadata.modified());
        let Some(modified) = modified.ok().and_then(|time| Timestamp::try_from(time).ok()) else {
            return Ok(false);
        };
        Ok(self.is_older(modified, ttl)? && matches!(RunDir::at(run_dir).is_locked(), Ok(None | Some(false))))
    }

    /// Removes a run dir with a function of [`run_dir`]. Returns the action and its reason: the given one, or the cause of a
    /// failure.
    pub(super) fn remove(
        &self,
        remove: impl Fn(&Path, ProcessId) -> io::Result<()>,
        process_id: ProcessId,
        reason: String,
    ) -> (GcAction, String) {
        let removed = if self.dry_run { Ok(()) } else { remove(self.store.data_dir(), process_id) };
        match removed {
            Ok(()) => (GcAction::Removed, reason),
            Err(error) => (GcAction::Failed, error.to_string()),
        }
    }

    /// Returns whether rigup may remove run dirs.
    pub(super) fn can_remove(&self) -> bool {
        run_dir::are_removable(self.store.data_dir())
    }

    fn is_older(&self, time: Timestamp, age: Duration) -> Result<bool, StoreError> {
        Ok(self.ago(age)?.is_some_and(|limit| time < limit))
    }

    /// Returns the time this long ago.
    pub(super) fn ago(&self, age: Duration) -> Result<Option<Timestamp>, StoreError> {
        if self.trusts_clock { Ok(age::ago(self.now, age, &[])) } else { self.counted_ago(age) }
    }

    /// Returns the time this long ago, without most of each pause.
    pub(super) fn counted_ago(&self, age: Duration) -> Result<Option<Timestamp>, StoreError> {
        if let Some(pauses) = self.pauses.get() {
            return Ok(age::ago(self.now, age, pauses));
        }
        let pauses = self.store.pauses(self.machine_id, self.now, MAX_PAUSE)?;
        Ok(age::ago(self.now, age, self.pauses.get_or_init(|| pauses)))
    }
}

/// Displays a duration for people.
pub(crate) fn display(duration: Duration) -> String {
    units::duration(SignedDuration::try_from(duration).unwrap_or_default())
}

/// Returns whether an automatic collection is due if the last one was at this time. A time in the future counts as long
/// ago, because the clock was set back; but the clock of a file server may be slightly ahead.
fn is_due_after(time: SystemTime) -> bool {
    match SystemTime::now().duration_since(time) {
        Ok(age) => age >= INTERVAL,
        Err(ahead) => ahead.duration() > CLOCK_SKEW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gc_is_due_after_a_day_and_if_the_clock_was_set_back() {
        let now = SystemTime::now();
        let due = [now - INTERVAL, now + 2 * CLOCK_SKEW, now + 400 * INTERVAL];
        let not_due = [now, now - INTERVAL / 2, now + CLOCK_SKEW / 2];
        assert_eq!((due.map(is_due_after), not_due.map(is_due_after)), ([true; 3], [false; 3]));
    }
}
