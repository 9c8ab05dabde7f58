//! Pruning the processes that exceed the retention limits: run dirs first, then records. The limits keep the newest
//! processes and their ancestors.

use std::collections::HashSet;
use std::time::Instant;

use jiff::Timestamp;

use crate::duration;
use crate::model::{ProcessId, RetentionLimits};
use crate::process::{poll, run_dir};
use crate::report::units;
use crate::runs::gc::{Gc, GcAction, GcItem, GcReport, Pruned};
use crate::store::{EndedProcess, StoreError};

/// The number of processes that are pruned in one transaction, which blocks the writes of other rigups for about 10 ms.
const PAGE: u32 = 100;

impl Gc<'_> {
    /// Prunes at most `budget` of the oldest processes, and returns the remaining budget. `removed` contains the runs
    /// whose run dirs this collection has already removed, or would remove.
    pub(super) fn prune(
        &self,
        removed: &HashSet<ProcessId>,
        mut budget: u64,
        report: &mut GcReport,
    ) -> Result<u64, StoreError> {
        if self.keep.is_unbounded() {
            return Ok(budget);
        }
        let retained = self.store.retained_processes(removed)?;
        let max_age = self.keep.max_age;
        // If the limit is before the earliest timestamp, no process is too old.
        let oldest = max_age.map(|age| self.ago(age)).transpose()?.flatten();
        let mut selector = Selector::new(self.keep, retained, oldest);
        selector.oldest_counted = max_age.map(|age| self.counted_ago(age)).transpose()?.flatten();
        report.pruned = self.reasons();
        let mut last = None;
        while budget > 0 {
            let mut page = self.store.ended_processes(self.machine_id, last.as_ref(), PAGE)?;
            // A time that was stored in another form may lead to the same page again.
            let Some(oldest) = page.last().filter(|oldest| last.as_ref() != Some(*oldest)) else { break };
            last = Some(oldest.clone());
            for process in page.iter_mut().filter(|process| removed.contains(&process.id)) {
                process.run_dir = None;
            }
            self.prune_page(page, &mut selector, &mut budget, report)?;
        }
        if let (Some(oldest), false) = (selector.oldest, self.dry_run) {
            while budget > 0 {
                let limit = u32::try_from(budget).unwrap_or(PAGE).min(PAGE);
                let pruned = self.store.prune_attempts(oldest, limit)?;
                budget = budget.saturating_sub(pruned as u64);
                if pruned < limit as usize {
                    break;
                }
            }
        }
        report.pruned.retain(|pruned| pruned.processes > 0);
        report.old_by_clock += selector.old_by_clock;
        Ok(budget)
    }

    fn prune_page(
        &self,
        page: Vec<EndedProcess>,
        selector: &mut Selector,
        budget: &mut u64,
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        let (mut with_records, mut run_dirs_only) = (Vec::new(), Vec::new());
        for process in page {
            let decision = selector.decide(&process);
            if decision == Decision::Keep || *budget == 0 {
                continue;
            }
            let has_run_dir = process.run_dir.is_some() && self.can_remove();
            if decision == Decision::RemoveRunDir && !has_run_dir {
                continue;
            }
            if has_run_dir
                && let (GcAction::Failed, reason) = self.remove(run_dir::remove, process.id, String::new())
            {
                selector.keep(&process);
                let path = process.run_dir;
                let process = self.store.process(process.id).unwrap_or_default();
                report.add(GcItem { action: GcAction::Failed, process, path, reason });
                continue;
            }
            *budget -= 1;
            let pruned = &mut report.pruned[decision as usize - 1];
            pruned.processes += 1;
            pruned.log_bytes += if has_run_dir { process.log_bytes } else { 0 };
            if pruned.with_records { &mut with_records } else { &mut run_dirs_only }.push(process.id);
        }
        if !(self.dry_run || with_records.is_empty() && run_dirs_only.is_empty()) {
            let start = Instant::now();
            self.store.prune_processes(&with_records, &run_dirs_only)?;
            // Other rigups that are waiting to write find the store free during this pause.
            poll::pause(Instant::now() + start.elapsed());
        }
        Ok(())
    }

    /// Returns an empty group for each decision except [`Decision::Keep`], in their order.
    fn reasons(&self) -> Vec<Pruned> {
        let RetentionLimits { processes, max_age, log_bytes } = self.keep;
        let days = max_age.unwrap_or_default().div_duration_f64(duration::DAY);
        let log_bytes = units::bytes(log_bytes.unwrap_or(0));
        [
            (false, format!("newer logs take up {log_bytes} already: keep.log_bytes")),
            (true, format!("ended more than {days} days ago: keep.days")),
            (true, format!("there are {} newer ones: keep.processes", processes.unwrap_or(0))),
        ]
        .map(|(with_records, reason)| Pruned { processes: 0, log_bytes: 0, with_records, reason })
        .into()
    }
}

/// A decision about a process that has exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It is kept.
    Keep,
    /// Its run dir is removed: newer logs take up the limit.
    RemoveRunDir,
    /// It is pruned: it is too old.
    TooOld,
    /// It is pruned: there are too many newer ones.
    TooMany,
}

/// A selector of the processes to prune, which decides on one process after another, from the newest to the oldest.
#[derive(Debug)]
struct Selector {
    limits: RetentionLimits,
    /// The time before which an exit is too old.
    oldest: Option<Timestamp>,
    /// The time before which an exit is too old even if the clock is wrong.
    oldest_counted: Option<Timestamp>,
    /// The number of processes that are too old only if the clock is right.
    old_by_clock: u64,
    retained: HashSet<ProcessId>,
    processes: u64,
    log_bytes: u64,
}

impl Selector {
    /// Returns a selector that keeps the `retained` processes and their ancestors, regardless of the limits.
    fn new(limits: RetentionLimits, retained: HashSet<ProcessId>, oldest: Option<Timestamp>) -> Self {
        Self { limits, oldest, oldest_counted: oldest, old_by_clock: 0, retained, processes: 0, log_bytes: 0 }
    }

    /// Decides on the next process.
    fn decide(&mut self, process: &EndedProcess) -> Decision {
        self.processes += 1;
        let is_retained = self.retained.contains(&process.id);
        if !is_retained {
            if self.oldest.is_some_and(|oldest| process.ended_at < oldest) {
                self.old_by_clock +=
                    u64::from(self.oldest_counted.is_none_or(|oldest| process.ended_at >= oldest));
                return Decision::TooOld;
            }
            if self.limits.processes.is_some_and(|limit| self.processes > limit) {
                return Decision::TooMany;
            }
        }
        self.keep(process);
        if process.run_dir.is_none() {
            return Decision::Keep;
        }
        self.log_bytes = self.log_bytes.saturating_add(process.log_bytes);
        let is_over_limit = self.limits.log_bytes.is_some_and(|limit| self.log_bytes > limit);
        if is_over_limit && process.log_bytes > 0 && !is_retained {
            Decision::RemoveRunDir
        } else {
            Decision::Keep
        }
    }

    /// Retains the parent of a process that is kept. The parent is older, so it is decided on later.
    fn keep(&mut self, process: &EndedProcess) {
        self.retained.extend(process.parent_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    /// Returns a process that exited this many days before day 100.
    fn process(days_ago: i64, parent: Option<&EndedProcess>, log_bytes: u64) -> EndedProcess {
        let time = Timestamp::from_millisecond((100 - days_ago) * DAY).unwrap();
        EndedProcess {
            id: ProcessId::generate(),
            parent_id: parent.map(|parent| parent.id),
            created_at: time,
            ended_at: time,
            run_dir: (log_bytes > 0).then(|| "/run".into()),
            log_bytes,
        }
    }

    fn decisions(
        limits: RetentionLimits,
        retained: &[&EndedProcess],
        all: &[&EndedProcess],
    ) -> Vec<Decision> {
        let retained = retained.iter().map(|process| process.id).collect();
        let day_100 = Timestamp::from_millisecond(100 * DAY).unwrap();
        let oldest = limits.max_age.map(|age| day_100 - age);
        let mut selector = Selector::new(limits, retained, oldest);
        all.iter().map(|process| selector.decide(process)).collect()
    }

    const UNLIMITED: RetentionLimits = RetentionLimits { processes: None, max_age: None, log_bytes: None };

    #[test]
    fn a_process_is_pruned_only_if_it_is_older_than_the_limit() {
        let all = [&process(0, None, 1), &process(30, None, 1), &process(31, None, 1)];
        let limits = RetentionLimits { max_age: Some(30 * duration::DAY), ..UNLIMITED };
        assert_eq!(decisions(limits, &[], &all), [Decision::Keep, Decision::Keep, Decision::TooOld]);
        assert_eq!(decisions(UNLIMITED, &[], &all), [Decision::Keep; 3]);
    }

    #[test]
    fn the_newest_processes_and_their_ancestors_are_kept() {
        let (root, other) = (process(9, None, 0), process(8, None, 0));
        let parent = process(7, Some(&root), 0);
        let child = process(0, Some(&parent), 0);
        let all = [&child, &parent, &other, &root];
        let limits = RetentionLimits { processes: Some(1), ..UNLIMITED };
        let expected = [Decision::Keep, Decision::Keep, Decision::TooMany, Decision::Keep];
        assert_eq!(decisions(limits, &[], &all), expected);
        let limits = RetentionLimits { processes: Some(0), ..UNLIMITED };
        assert_eq!(decisions(limits, &[], &all), [Decision::TooMany; 4]);
        let expected = [Decision::TooMany, Decision::Keep, Decision::TooMany, Decision::Keep];
        assert_eq!(decisions(limits, &[&parent], &all), expected);
    }

    #[test]
    fn the_newest_logs_and_retained_ones_are_kept() {
        let logs = [6, 4, 1, 5, 0];
        let all: Vec<EndedProcess> =
            (0..).zip(logs).map(|(days_ago, log_bytes)| process(days_ago, None, log_bytes)).collect();
        let all: Vec<&EndedProcess> = all.iter().collect();
        let limits = RetentionLimits { log_bytes: Some(10), ..UNLIMITED };
        let mut expected = [Decision::Keep; 5];
        expected[3] = Decision::RemoveRunDir;
        assert_eq!(decisions(limits, &[all[2]], &all), expected);
    }
}
