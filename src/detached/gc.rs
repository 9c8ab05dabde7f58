//! Cleaning up: what ran too long is ended, what died unseen is finished, what is past its time is removed.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::kill::{self, Killed};
use crate::process::run_dir::RunDir;
use crate::process::{reap, stop};
use crate::record::process::Process;
use crate::report::human;
use crate::store::{Store, StoreError};

/// Whoever sees a process out ends it when its time is up; only where nobody did so for so long, it is done here.
const PATIENCE: Duration = Duration::from_secs(15);
/// A run dir that no record names is removed after this time: its launcher may just be making it.
const UNKNOWN_TTL: Duration = Duration::from_hours(24);
/// A run dir that is being removed has this in front of its name, and is no run's any more.
const GONE: &str = ".gone-";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It ran too long and was ended.
    Killed,
    /// It had died unseen; its record says so now.
    Finished,
    /// Its run dir was past its time and was removed.
    Removed,
    /// Something of this could not be done.
    Failed,
}

impl Action {
    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Finished => "finished",
            Self::Removed => "removed",
            Self::Failed => "failed",
        }
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
        let detached = self.process.as_ref().and_then(|it| it.order.detached.as_ref());
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
    pub machine_id: Uuid,
    /// Where the runs are.
    pub data_dir: &'a Path,
    /// Counts in place of every run's own time to be kept.
    pub ttl: Option<Duration>,
    /// Now.
    pub now: Timestamp,
    /// Only tell what would be done.
    pub dry_run: bool,
}

impl Gc<'_> {
    /// Cleans up. What was ended or finished is kept for now: each process is in the list once.
    pub fn run(&self) -> Result<Vec<Done>, StoreError> {
        let mut done = Vec::new();
        if !self.dry_run {
            for process in reap::finish_lost(self.store, self.machine_id)? {
                let reason = "nobody saw its end".to_owned();
                let path = process.order.run_dir.clone();
                done.push(Done { action: Action::Finished, process: Some(process), path, reason });
            }
        }
        for process in self.store.running_processes(self.machine_id)? {
            done.extend(self.end_if_overdue(process)?);
        }
        let touched: HashSet<Uuid> = done.iter().filter_map(|it| Some(it.process.as_ref()?.id)).collect();
        for run in self.store.ended_runs(self.machine_id)? {
            if !touched.contains(&run.id) {
                done.extend(self.remove_if_expired(run)?);
            }
        }
        self.remove_unknown(&mut done)?;
        Ok(done)
    }

    /// Ends what runs longer than it may though nobody is left who would end it.
    fn end_if_overdue(&self, process: Process) -> Result<Option<Done>, StoreError> {
        let (Some(timeout), Some(running)) = (process.order.timeout, process.running()) else {
            return Ok(None);
        };
        if self.age(running.started_at) <= timeout + PATIENCE {
            return Ok(None);
        }
        let limit = human::duration(SignedDuration::try_from(timeout).unwrap_or_default());
        let reason = format!("it may run for {limit}");
        let path = process.order.run_dir.clone();
        let killed = if self.dry_run {
            None
        } else {
            Some(kill::kill(self.store, &process, Signal::TERM, stop::GRACE)?)
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

    /// Removes the run dir of a run that ended long ago; its record stays.
    fn remove_if_expired(&self, run: Process) -> Result<Option<Done>, StoreError> {
        let ttl = self.ttl.or(run.order.detached.as_ref().and_then(|it| it.ttl));
        let (Some(ttl), Some(ending), Some(path)) = (ttl, run.ending(), run.order.run_dir.clone()) else {
            return Ok(None);
        };
        if self.age(ending.ended_at) <= ttl {
            return Ok(None);
        }
        let kept = human::duration(SignedDuration::try_from(ttl).unwrap_or_default());
        let mut done = self.remove(path, format!("it is kept for {kept} after its end"));
        if done.action == Action::Removed && !self.dry_run {
            self.store.forget_run_dir(run.id)?;
        }
        done.process = Some(run);
        Ok(Some(done))
    }

    /// Removes what no record names: what a launcher left that was killed, and what a removal left that was.
    fn remove_unknown(&self, done: &mut Vec<Done>) -> Result<(), StoreError> {
        let slugs = folders(&self.data_dir.join("runs"));
        for path in slugs.iter().flat_map(|slug| folders(slug)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_half_gone = name.starts_with(GONE);
            let is_known = match name.parse::<Uuid>() {
                Ok(id) => self.store.process(id)?.is_some(),
                Err(_) => false,
            };
            let is_old = || age_of(&path).is_some_and(|age| age > self.ttl.unwrap_or(UNKNOWN_TTL));
            let is_held = || RunDir::at(&path).is_held() == Some(true);
            if is_half_gone || (!is_known && is_old() && !is_held()) {
                done.push(self.remove(path, "no record names it".to_owned()));
            }
        }
        Ok(())
    }

    /// Renames a folder and then removes it, so that it is a run's whole folder or nobody's.
    fn remove(&self, path: PathBuf, reason: String) -> Done {
        let removed = if self.dry_run { Ok(()) } else { remove_whole(&path) };
        match removed {
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

fn remove_whole(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(GONE) {
        return fs_err::remove_dir_all(path);
    }
    let gone = path.with_file_name(format!("{GONE}{name}"));
    match fs_err::rename(path, &gone) {
        // Somebody else removed it: what was wanted is so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    fs_err::remove_dir_all(&gone)
}

/// The folders in a folder; links are none. What cannot be read has none.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|it| it.file_type().is_ok_and(|it| it.is_dir())).map(|it| it.path()).collect()
}

fn age_of(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(path.metadata().ok()?.modified().ok()?).ok()
}
