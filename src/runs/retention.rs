//! The bounds of what is kept: the oldest of what is over goes first, its run dir before its record.

use std::collections::HashSet;
use std::io;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::model::id::{MachineId, ProcessId};
use crate::model::retention::RetentionLimits;
use crate::process::poll;
use crate::process::run_dirs::RunDirs;
use crate::report::units;
use crate::store::{EndedProcess, Store, StoreError};

/// So many processes go in one transaction, which keeps all other rigups from writing: some 10 ms.
const PAGE: u32 = 100;

/// What to sweep, and how far.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    pub(super) store: &'a Store,
    pub(super) machine_id: MachineId,
    pub(super) run_dirs: &'a RunDirs,
    /// Runs whose run dirs went now, or would.
    pub(super) gone: &'a HashSet<ProcessId>,
    pub(super) keep: RetentionLimits,
    pub(super) now: Timestamp,
    pub(super) dry_run: bool,
    /// At most so many processes, for now.
    pub(super) limit: u64,
}

/// What became of many processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// How many.
    pub processes: u64,
    /// What they had written, in bytes, as far as it was kept.
    pub log_bytes: u64,
    /// Whether their records went with their run dirs.
    pub is_forgotten: bool,
    /// Why.
    pub reason: String,
}

impl Swept {
    /// What was done, in a word.
    pub const fn action(&self) -> &'static str {
        if self.is_forgotten { "forgotten" } else { "removed" }
    }

    /// The record as JSONL shows it.
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

/// What came of it all.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) swept: Vec<Swept>,
    /// What could not be removed, and why.
    pub(super) failed: Vec<(EndedProcess, io::Error)>,
    /// How much of the limit is left.
    pub(super) left: u64,
}

/// What becomes of a process that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Its run dir goes.
    IsMuted,
    /// It goes, because it is too old.
    IsPast,
    /// It goes, because there are too many newer ones.
    IsTooMuch,
}

/// Decides on one process after the other, the newest first.
#[derive(Debug)]
struct Judge {
    keep: RetentionLimits,
    /// What ended before is too old.
    oldest: Option<Timestamp>,
    needed: HashSet<ProcessId>,
    processes: u64,
    log_bytes: u64,
}

impl Judge {
    fn new(keep: RetentionLimits, needed: HashSet<ProcessId>, now: Timestamp) -> Self {
        let age = keep.days.and_then(|it| i64::try_from(it).ok()?.checked_mul(24));
        // More days than there ever were: all is younger.
        let oldest = age.and_then(|hours| now.checked_sub(SignedDuration::try_from_hours(hours)?).ok());
        Self { keep, oldest, needed, processes: 0, log_bytes: 0 }
    }

    fn fate(&mut self, old: &EndedProcess) -> Fate {
        self.processes += 1;
        if !self.needed.contains(&old.id) {
            if self.oldest.is_some_and(|it| old.ended_at < it) {
                return Fate::IsPast;
            }
            if self.keep.processes.is_some_and(|it| self.processes > it) {
                return Fate::IsTooMuch;
            }
        }
        self.stays(old);
        if old.run_dir.is_none() {
            return Fate::Stays;
        }
        self.log_bytes = self.log_bytes.saturating_add(old.log_bytes);
        let is_over = self.keep.log_bytes.is_some_and(|it| self.log_bytes > it);
        if is_over && old.log_bytes > 0 && !self.needed.contains(&old.id) {
            Fate::IsMuted
        } else {
            Fate::Stays
        }
    }

    /// What asked for something that stays, stays: it is older, and comes later.
    fn stays(&mut self, old: &EndedProcess) {
        self.needed.extend(old.parent_id);
    }
}

impl Sweep<'_> {
    pub(super) fn run(&self) -> Result<Tally, StoreError> {
        if self.keep.is_unbounded() {
            return Ok(Tally { left: self.limit, ..Tally::default() });
        }
        let mut tally = Tally { swept: self.nothing(), failed: Vec::new(), left: self.limit };
        let mut judge = Judge::new(self.keep, self.store.retained_processes(self.gone)?, self.now);
        let mut last = None;
        while tally.left > 0 {
            let page = self.store.ended_processes(self.machine_id, last.as_ref(), PAGE)?;
            let Some(oldest) = page.last() else { break };
            last = Some(oldest.clone());
            let (mut forgotten, mut muted) = (Vec::new(), Vec::new());
            for mut old in page {
                if self.gone.contains(&old.id) {
                    old.run_dir = None;
                }
                let fate = judge.fate(&old);
                if fate == Fate::Stays || tally.left == 0 {
                    continue;
                }
                let has_run_dir = old.run_dir.is_some() && self.run_dirs.is_removable();
                if fate == Fate::IsMuted && !has_run_dir {
                    continue;
                }
                if has_run_dir
                    && !self.dry_run
                    && let Err(error) = self.run_dirs.remove(old.id)
                {
                    judge.stays(&old);
                    tally.failed.push((old, error));
                    continue;
                }
                tally.left -= 1;
                let swept = &mut tally.swept[fate as usize - 1];
                swept.processes += 1;
                swept.log_bytes += if has_run_dir { old.log_bytes } else { 0 };
                if fate == Fate::IsMuted { &mut muted } else { &mut forgotten }.push(old.id);
            }
            if !(self.dry_run || forgotten.is_empty() && muted.is_empty()) {
                let begun = Instant::now();
                self.store.prune_processes(&forgotten, &muted)?;
                // Whoever waits for the right to write looks for it now and then, and has to find it free.
                poll::pause(Instant::now() + begun.elapsed());
            }
        }
        if let (Some(oldest), false) = (judge.oldest, self.dry_run) {
            while tally.left > 0 {
                let limit = u32::try_from(tally.left).unwrap_or(PAGE).min(PAGE);
                let forgotten = self.store.prune_attempts(oldest, limit)?;
                tally.left = tally.left.saturating_sub(forgotten as u64);
                if forgotten < limit as usize {
                    break;
                }
            }
        }
        tally.swept.retain(|it| it.processes > 0);
        Ok(tally)
    }

    /// A place for each fate but the first, in their order.
    fn nothing(&self) -> Vec<Swept> {
        let RetentionLimits { processes, days, log_bytes } = self.keep;
        let swept = |is_forgotten, reason| Swept { processes: 0, log_bytes: 0, is_forgotten, reason };
        vec![
            swept(
                false,
                format!("newer logs have {} already: keep.log_bytes", units::bytes(log_bytes.unwrap_or(0))),
            ),
            swept(true, format!("ended more than {} days ago: keep.days", days.unwrap_or(0))),
            swept(true, format!("there are {} newer ones: keep.processes", processes.unwrap_or(0))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    /// One that ended so many days before day 100, below another one, with so many bytes of logs.
    fn old(days_ago: i64, parent: Option<&EndedProcess>, log_bytes: u64) -> EndedProcess {
        let time = Timestamp::from_millisecond((100 - days_ago) * DAY).unwrap();
        EndedProcess {
            id: ProcessId::generate(),
            parent_id: parent.map(|it| it.id),
            created_at: time,
            ended_at: time,
            run_dir: (log_bytes > 0).then(|| "/run".into()),
            log_bytes,
        }
    }

    fn fates(keep: RetentionLimits, needed: &[&EndedProcess], all: &[&EndedProcess]) -> Vec<Fate> {
        let needed = needed.iter().map(|it| it.id).collect();
        let mut judge = Judge::new(keep, needed, Timestamp::from_millisecond(100 * DAY).unwrap());
        all.iter().map(|it| judge.fate(it)).collect()
    }

    const NO_BOUND: RetentionLimits = RetentionLimits { processes: None, days: None, log_bytes: None };

    #[test]
    fn what_is_too_old_goes_and_what_is_as_old_as_may_be_stays() {
        let all = [&old(0, None, 1), &old(30, None, 1), &old(31, None, 1)];
        let keep = RetentionLimits { days: Some(30), ..NO_BOUND };
        assert_eq!(fates(keep, &[], &all), [Fate::Stays, Fate::Stays, Fate::IsPast]);
        for forever in [NO_BOUND, RetentionLimits { days: Some(u64::MAX), ..NO_BOUND }] {
            assert_eq!(fates(forever, &[], &all), [Fate::Stays; 3]);
        }
    }

    #[test]
    fn the_newest_stay_and_what_they_came_from() {
        let (root, other) = (old(9, None, 0), old(8, None, 0));
        let parent = old(7, Some(&root), 0);
        let child = old(0, Some(&parent), 0);
        let all = [&child, &parent, &other, &root];
        let keep = RetentionLimits { processes: Some(1), ..NO_BOUND };
        assert_eq!(fates(keep, &[], &all), [Fate::Stays, Fate::Stays, Fate::IsTooMuch, Fate::Stays]);
        let keep = RetentionLimits { processes: Some(0), ..NO_BOUND };
        assert_eq!(fates(keep, &[], &all), [Fate::IsTooMuch; 4]);
        assert_eq!(
            fates(keep, &[&parent], &all),
            [Fate::IsTooMuch, Fate::Stays, Fate::IsTooMuch, Fate::Stays]
        );
    }

    #[test]
    fn the_newest_logs_stay_and_those_that_are_needed() {
        let all = [&old(0, None, 6), &old(1, None, 4), &old(2, None, 1), &old(3, None, 5), &old(4, None, 0)];
        let keep = RetentionLimits { log_bytes: Some(10), ..NO_BOUND };
        assert_eq!(
            fates(keep, &[all[2]], &all),
            [Fate::Stays, Fate::Stays, Fate::Stays, Fate::IsMuted, Fate::Stays]
        );
    }
}
