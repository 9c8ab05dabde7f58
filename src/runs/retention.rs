//! Deciding which processes the retention limits keep: the newest ones, and those that others descend from.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use crate::model::{ProcessId, RetentionLimits};
use crate::store::EndedProcess;

/// What becomes of a process that has exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is kept.
    Keep,
    /// Its run dir is removed: newer logs take up the limit.
    RemoveRunDir,
    /// It is pruned: it is too old.
    TooOld,
    /// It is pruned: there are too many newer ones.
    TooMany,
}

/// Decides on one process after the other, the newest first.
#[derive(Debug)]
pub(super) struct Selector {
    limits: RetentionLimits,
    /// The time before which an exit is too old.
    pub(super) oldest: Option<Timestamp>,
    retained: HashSet<ProcessId>,
    processes: u64,
    log_bytes: u64,
}

impl Selector {
    /// Returns a selector that keeps the `retained` processes, and those that they descend from, whatever the limits say.
    pub(super) fn new(limits: RetentionLimits, retained: HashSet<ProcessId>, now: Timestamp) -> Self {
        let hours = limits.days.and_then(|days| i64::try_from(days).ok()?.checked_mul(24));
        // With a limit before the beginning of time, every process is young enough.
        let oldest = hours.and_then(|hours| now.checked_sub(SignedDuration::try_from_hours(hours)?).ok());
        Self { limits, oldest, retained, processes: 0, log_bytes: 0 }
    }

    /// Decides on the next process.
    pub(super) fn decide(&mut self, process: &EndedProcess) -> Decision {
        self.processes += 1;
        let is_retained = self.retained.contains(&process.id);
        if !is_retained {
            if self.oldest.is_some_and(|oldest| process.ended_at < oldest) {
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

    /// Keeps the parent of a process that is kept. The parent is older, and comes later.
    pub(super) fn keep(&mut self, process: &EndedProcess) {
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
        let now = Timestamp::from_millisecond(100 * DAY).unwrap();
        let mut selector = Selector::new(limits, retained, now);
        all.iter().map(|process| selector.decide(process)).collect()
    }

    const UNLIMITED: RetentionLimits = RetentionLimits { processes: None, days: None, log_bytes: None };

    #[test]
    fn a_process_is_pruned_only_if_it_is_older_than_the_limit() {
        let all = [&process(0, None, 1), &process(30, None, 1), &process(31, None, 1)];
        let limits = RetentionLimits { days: Some(30), ..UNLIMITED };
        assert_eq!(decisions(limits, &[], &all), [Decision::Keep, Decision::Keep, Decision::TooOld]);
        for unlimited in [UNLIMITED, RetentionLimits { days: Some(u64::MAX), ..UNLIMITED }] {
            assert_eq!(decisions(unlimited, &[], &all), [Decision::Keep; 3]);
        }
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
