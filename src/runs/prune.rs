//! Pruning what the retention limits do not keep: run dirs first, then their records.

use std::collections::HashSet;
use std::time::Instant;

use crate::model::{ProcessId, RetentionLimits};
use crate::process::{poll, run_dir};
use crate::report::units;
use crate::runs::gc::{Gc, GcAction, GcItem, GcReport, Pruned};
use crate::runs::retention::{Decision, Selector};
use crate::store::{EndedProcess, StoreError};

/// The number of processes that are pruned in one transaction, which keeps other rigups from writing for some 10 ms.
const PAGE: u32 = 100;

impl Gc<'_> {
    /// Prunes the oldest processes, at most `budget`, and returns the part of the budget that is left. `removed` are the runs
    /// whose run dirs are removed already, or would be.
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
        let mut selector = Selector::new(self.keep, retained, self.now);
        report.pruned = self.reasons();
        let mut last = None;
        while budget > 0 {
            let mut page = self.store.ended_processes(self.machine_id, last.as_ref(), PAGE)?;
            let Some(oldest) = page.last() else { break };
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
                && !self.dry_run
                && let Err(error) = run_dir::remove(self.store.data_dir(), process.id)
            {
                selector.keep(&process);
                report.items.push(GcItem {
                    action: GcAction::Failed,
                    process: self.store.process(process.id)?,
                    path: process.run_dir,
                    reason: error.to_string(),
                });
                continue;
            }
            *budget -= 1;
            let pruned = &mut report.pruned[decision as usize - 1];
            pruned.processes += 1;
            pruned.log_bytes += if has_run_dir { process.log_bytes } else { 0 };
            if pruned.with_records { &mut with_records } else { &mut run_dirs_only }.push(process.id);
        }
        if !(self.dry_run || with_records.is_empty() && run_dirs_only.is_empty()) {
            let begun = Instant::now();
            self.store.prune_processes(&with_records, &run_dirs_only)?;
            // Other rigups try to write from time to time, and have to find the store free.
            poll::pause(Instant::now() + begun.elapsed());
        }
        Ok(())
    }

    /// Returns an empty group for each decision but [`Decision::Keep`], in their order.
    fn reasons(&self) -> Vec<Pruned> {
        let RetentionLimits { processes, days, log_bytes } = self.keep;
        let log_bytes = units::bytes(log_bytes.unwrap_or(0));
        [
            (false, format!("newer logs take up {log_bytes} already: keep.log_bytes")),
            (true, format!("ended more than {} days ago: keep.days", days.unwrap_or(0))),
            (true, format!("there are {} newer ones: keep.processes", processes.unwrap_or(0))),
        ]
        .map(|(with_records, reason)| Pruned { processes: 0, log_bytes: 0, with_records, reason })
        .into()
    }
}
