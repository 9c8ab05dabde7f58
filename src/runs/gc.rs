//! Cleaning up: what ran too long is ended, what died unseen is finished, what is past its time or too much is removed.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fs::lock::FileLock;
use crate::model::id::{MachineId, ProcessId};
use crate::model::process::Process;
use crate::model::retention::RetentionLimits;
use crate::model::text_enum::text_enum;
use crate::process::kill::{self, Killed};
use crate::process::lock::process_lock;
use crate::process::run_dir::RunDir;
use crate::process::run_dirs::{FoundRunDir, RunDirs};
use crate::process::{recover, terminate};
use crate::report::units;
pub use crate::runs::retention::Swept;
use crate::runs::retention::{Sweep, Tally};
use crate::store::{Store, StoreError};

/// Whoever sees a process out ends it when its time is up; only where nobody did so for so long, it is done here.
const PATIENCE: Duration = Duration::from_secs(15);
/// A run dir that no record names is removed after this time: its launcher may just be making it.
const UNKNOWN_TTL: Duration = Duration::from_hours(24);
/// The clock of a file server may be ahead by so much.
const SKEW: Duration = Duration::from_mins(1);
/// How often is cleaned up by the way.
const EVERY: Duration = Duration::from_hours(24);
/// So many processes at least go by the way, at once: a second's work at most.
const BY_THE_WAY: u64 = 1_000;

text_enum! {
    /// What gc does to a run.
    pub enum Action {
        /// The run exceeded its maximum runtime and is terminated.
        Killed = "killed",
        /// The run ended unobserved, and its record is completed.
        Finished = "finished",
        /// The run dir is past its time to live and is removed.
        Removed = "removed",
        /// One of these steps failed.
        Failed = "failed",
    }
}

/// What was done to which, or would be.
#[derive(Debug)]
pub struct Done {
    /// What.
    pub action: Action,
    /// The process; none for a folder that no record names.
    pub process: Option<Process>,
    /// Its run dir.
    pub path: Option<PathBuf>,
    /// Why.
    pub reason: String,
}

impl Done {
    /// The record as JSONL shows it.
    pub fn to_record(&self) -> Value {
        let detached = self.process.as_ref().and_then(|it| it.spec.run.as_ref());
        json!({
            "type": "Gc",
            "action": self.action.as_str(),
            "process_id": self.process.as_ref().map(|it| it.id),
            "slug": detached.map_or("", |it| &it.slug),
            "path": self.path.as_ref().map(|it| it.to_string_lossy()),
            "reason": self.reason,
        })
    }
}

/// What to clean up.
#[derive(Debug)]
pub struct Gc<'a> {
    /// The records.
    pub store: &'a Store,
    /// This machine; the processes of others are none of its business.
    pub machine_id: MachineId,
    /// Where the runs are.
    pub data_dir: &'a Path,
    /// Counts in place of every run's own time to be kept.
    pub ttl: Option<Duration>,
    /// How much is kept of all that is over.
    pub keep: RetentionLimits,
    /// Now.
    pub now: Timestamp,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// To one process or folder after the other.
    pub done: Vec<Done>,
    /// To many of them.
    pub swept: Vec<Swept>,
}

/// Why cleaning up came to an early end.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// The data dir cannot be read, or the lock in it not be made or taken.
    #[error("cannot remove old processes: cannot take the lock: {0}")]
    Lock(io::Error),
    /// Something cannot be read or recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Gc<'_> {
    /// Cleans up. What was ended or finished is kept for now: each process is in the list once.
    pub fn run(&self) -> Result<Cleaned, GcError> {
        let lock = FileLock::create(&self.lock_path()).map_err(GcError::Lock)?;
        if !self.dry_run {
            lock.lock().map_err(GcError::Lock)?;
        }
        let mut done = Vec::new();
        if !self.dry_run {
            for process in recover::finish_lost(self.store, self.machine_id)? {
                let reason = "nobody saw its end".to_owned();
                let path = process.spec.run_dir.clone();
                done.push(Done { action: Action::Finished, process: Some(process), path, reason });
            }
        }
        for process in self.store.unfinished_processes(self.machine_id)? {
            done.extend(self.end_if_overdue(process)?);
        }
        let touched: HashSet<ProcessId> =
            done.iter().filter_map(|it| Some(it.process.as_ref()?.id)).collect();
        let run_dirs = RunDirs::of(self.data_dir);
        let gone = self.remove_expired(&run_dirs, &touched, u64::MAX, &mut done)?;
        self.remove_unknown(&run_dirs, &mut done)?;
        let (swept, _) = self.sweep(&run_dirs, &gone, u64::MAX, &mut done)?;
        if !self.dry_run {
            // Without the time of this one, the next one by the way comes sooner.
            let _ = lock.file().set_modified(SystemTime::now());
        }
        Ok(Cleaned { done, swept })
    }

    /// Cleans up by the way, at the end of the work of this process: once a day, unless another rigup is at it. At once
    /// goes no more than takes a moment; what is left is the next one's. The first one in a data dir only notes the time.
    pub fn run_by_the_way(&self, me: ProcessId) -> Result<Cleaned, GcError> {
        if self.keep.is_unbounded() {
            return Ok(Cleaned::default());
        }
        let last = self.lock_path().metadata().and_then(|it| it.modified());
        if matches!(last, Ok(time) if !is_long_ago(time)) {
            return Ok(Cleaned::default());
        }
        let is_first = last.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let lock = FileLock::create(&self.lock_path()).map_err(GcError::Lock)?;
        if is_first || !lock.try_lock().map_err(GcError::Lock)? {
            return Ok(Cleaned::default());
        }
        let run_dirs = RunDirs::of(self.data_dir);
        let mut done = Vec::new();
        // More than were added, or they would become more and more.
        let limit = BY_THE_WAY.max(2 * self.store.count_children(me)?);
        let gone = self.remove_expired(&run_dirs, &HashSet::new(), limit, &mut done)?;
        let (swept, left) = self.sweep(&run_dirs, &gone, limit - gone.len() as u64, &mut done)?;
        if left > 0 {
            let _ = lock.file().set_modified(SystemTime::now());
        }
        Ok(Cleaned { done, swept })
    }

    /// The file that whoever cleans up holds, and which has the time when somebody last did.
    fn lock_path(&self) -> PathBuf {
        self.data_dir.join("locks").join("gc")
    }

    /// Tells what went, and how much of the limit is left.
    fn sweep(
        &self,
        run_dirs: &RunDirs,
        gone: &HashSet<ProcessId>,
        limit: u64,
        done: &mut Vec<Done>,
    ) -> Result<(Vec<Swept>, u64), StoreError> {
        let sweep = Sweep {
            store: self.store,
            machine_id: self.machine_id,
            run_dirs,
            gone,
            keep: self.keep,
            now: self.now,
            dry_run: self.dry_run,
            limit,
        };
        let Tally { swept, failed, left } = sweep.run()?;
        for (old, error) in failed {
            let process = self.store.process(old.id)?;
            done.push(Done { action: Action::Failed, process, path: old.run_dir, reason: error.to_string() });
        }
        Ok((swept, left))
    }

    /// Ends what runs longer than it may though nobody is left who would end it.
    fn end_if_overdue(&self, process: Process) -> Result<Option<Done>, StoreError> {
        let (Some(timeout), Some(running)) = (process.spec.timeout, process.running()) else {
            return Ok(None);
        };
        // Whoever sees it out has a clock that nobody sets: its waiter, or its rigup, with which it would be over.
        let is_alone =
            process.spec.run_dir.as_deref().is_some_and(|it| RunDir::at(it).is_held() == Some(false));
        if !is_alone || self.age(running.started_at) <= timeout + PATIENCE {
            return Ok(None);
        }
        let limit = units::duration(SignedDuration::try_from(timeout).unwrap_or_default());
        let reason = format!("it may run for {limit}");
        let path = process.spec.run_dir.clone();
        let killed = if self.dry_run {
            None
        } else {
            Some(kill::kill(self.store, &process, Signal::TERM, terminate::GRACE)?)
        };
        Ok(match killed {
            Some(Killed::WasOver) => None,
            Some(Killed::NotStarted | Killed::Survived(_)) => {
                let reason = format!("{reason}, and could not be ended");
                Some(Done { action: Action::Failed, process: Some(process), path, reason })
            }
            Some(Killed::Over(process)) => {
                Some(Done { action: Action::Killed, process: Some(*process), path, reason })
            }
            None => Some(Done { action: Action::Killed, process: Some(process), path, reason }),
        })
    }

    /// Removes the run dirs of runs that ended long ago, of all but these runs, and of so many at most; tells of which.
    fn remove_expired(
        &self,
        run_dirs: &RunDirs,
        but: &HashSet<ProcessId>,
        limit: u64,
        done: &mut Vec<Done>,
    ) -> Result<HashSet<ProcessId>, StoreError> {
        let mut gone = HashSet::new();
        for run in self.store.ended_runs(self.machine_id)? {
            if gone.len() as u64 == limit {
                break;
            }
            let id = run.id;
            if !but.contains(&id)
                && let Some(it) = self.remove_if_expired(run_dirs, run)?
            {
                if it.action == Action::Removed {
                    gone.insert(id);
                }
                done.push(it);
            }
        }
        Ok(gone)
    }

    /// Removes the run dir of a run that ended long ago; its record stays.
    fn remove_if_expired(&self, run_dirs: &RunDirs, run: Process) -> Result<Option<Done>, StoreError> {
        let ttl = self.ttl.or(run.spec.run.as_ref().and_then(|it| it.ttl));
        let (Some(ttl), Some(exit), Some(path)) = (ttl, run.exit(), run.spec.run_dir.clone()) else {
            return Ok(None);
        };
        if self.age(exit.ended_at) <= ttl || !run_dirs.is_removable() {
            return Ok(None);
        }
        let kept = units::duration(SignedDuration::try_from(ttl).unwrap_or_default());
        let mut done = self.remove(run_dirs, run.id, path, format!("it is kept for {kept} after its end"));
        if done.action == Action::Removed && !self.dry_run {
            self.store.clear_run_dir(run.id)?;
        }
        done.process = Some(run);
        Ok(Some(done))
    }

    /// Removes what no record names: what a launcher left that was killed, and what a removal left that was.
    fn remove_unknown(&self, run_dirs: &RunDirs, done: &mut Vec<Done>) -> Result<(), StoreError> {
        if !run_dirs.is_removable() {
            return Ok(());
        }
        for FoundRunDir { process_id, path, is_half_removed } in run_dirs.list() {
            let is_old =
                || age_of(&path).is_some_and(|age| age > self.ttl.unwrap_or_default().max(UNKNOWN_TTL));
            let is_held = || RunDir::at(&path).is_held() == Some(true);
            let is_unknown = self.store.process(process_id)?.is_none();
            if is_half_removed || (is_unknown && is_old() && !is_held()) {
                done.push(self.remove(run_dirs, process_id, path, "no record names it".to_owned()));
            }
        }
        if !self.dry_run {
            process_lock::remove_stale(self.data_dir, UNKNOWN_TTL);
        }
        Ok(())
    }

    fn remove(&self, run_dirs: &RunDirs, process_id: ProcessId, path: PathBuf, reason: String) -> Done {
        match if self.dry_run { Ok(()) } else { run_dirs.remove(process_id) } {
            Ok(()) => Done { action: Action::Removed, process: None, path: Some(path), reason },
            Err(error) => {
                Done { action: Action::Failed, process: None, path: Some(path), reason: error.to_string() }
            }
        }
    }

    fn age(&self, since: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(since)).unwrap_or_default()
    }
}

/// How long ago a file was changed; none where that cannot be told, or where it lies in the future.
fn age_of(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(path.metadata().ok()?.modified().ok()?).ok()
}

/// Whether the last clean-up was long ago. One from the future counts as long ago: the clock was set, and it would never
/// become due otherwise. The clock of a file server may be a little ahead.
fn is_long_ago(time: SystemTime) -> bool {
    match SystemTime::now().duration_since(time) {
        Ok(age) => age >= EVERY,
        Err(ahead) => ahead.duration() > SKEW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_up_is_due_after_a_day_and_where_the_clock_was_set_back() {
        let now = SystemTime::now();
        let due = [now - EVERY, now + 2 * SKEW, now + 400 * EVERY];
        let not_due = [now, now - EVERY / 2, now + SKEW / 2];
        assert_eq!((due.map(is_long_ago), not_due.map(is_long_ago)), ([true; 3], [false; 3]));
    }
}
