//! Pruning what the retention limits do not keep: run dirs first, then their records.

use std::collections::HashSet;
use std::io;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::id::{MachineId, ProcessId};
use crate::model::retention::RetentionLimits;
use crate::process::poll;
use crate::process::run_dirs::RunDirs;
use crate::report::units;
use crate::runs::retention::{Decision, Selector};
use crate::store::{EndedProcess, Store, StoreError};

/// The number of processes that are pruned in one transaction, which keeps other rigups from writing for some 10 ms.
const PAGE: u32 = 100;

/// What to prune.
#[derive(Debug)]
pub(super) struct Pruner<'a> {
    pub(super) store: &'a Store,
    pub(super) machine_id: MachineId,
    pub(super) run_dirs: &'a RunDirs,
    /// The runs whose run dirs are removed already, or would be.
    pub(super) removed: &'a HashSet<ProcessId>,
    pub(super) limits: RetentionLimits,
    pub(super) now: Timestamp,
    pub(super) dry_run: bool,
    /// The number of processes to prune at most.
    pub(super) budget: u64,
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

impl Pruned {
    fn none(with_records: bool, reason: String) -> Self {
        Self { processes: 0, log_bytes: 0, with_records, reason }
    }

    /// Returns the action, as a word in records.
    pub const fn action(&self) -> &'static str {
        if self.with_records { "pruned" } else { "removed" }
    }

    /// Returns the record as JSONL shows it.
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

/// The result of pruning.
#[derive(Debug, Default)]
pub(super) struct PruneResult {
    pub(super) pruned: Vec<Pruned>,
    /// The processes whose run dirs could not be removed, with the causes.
    pub(super) failed: Vec<(EndedProcess, io::Error)>,
    /// The part of the budget that is left.
    pub(super) budget: u64,
}

impl Pruner<'_> {
    /// Prunes the oldest processes, as far as the budget goes.
    pub(super) fn run(&self) -> Result<PruneResult, StoreError> {
        if self.limits.is_unbounded() {
            return Ok(PruneResult { budget: self.budget, ..PruneResult::default() });
        }
        let mut result = PruneResult { pruned: self.reasons(), failed: Vec::new(), budget: self.budget };
        let retained = self.store.retained_processes(self.removed)?;
        let mut selector = Selector::new(self.limits, retained, self.now);
        let mut last = None;
        while result.budget > 0 {
            let page = self.store.ended_processes(self.machine_id, last.as_ref(), PAGE)?;
            let Some(oldest) = page.last() else { break };
            last = Some(oldest.clone());
            self.prune_page(page, &mut selector, &mut result)?;
        }
        if let (Some(oldest), false) = (selector.oldest(), self.dry_run) {
            while result.budget > 0 {
                let limit = u32::try_from(result.budget).unwrap_or(PAGE).min(PAGE);
                let pruned = self.store.prune_attempts(oldest, limit)?;
                result.budget = result.budget.saturating_sub(pruned as u64);
                if pruned < limit as usize {
                    break;
                }
            }
        }
        result.pruned.retain(|pruned| pruned.processes > 0);
        Ok(result)
    }

    fn prune_page(
        &self,
        page: Vec<EndedProcess>,
        selector: &mut Selector,
        result: &mut PruneResult,
    ) -> Result<(), StoreError> {
        let (mut with_records, mut run_dirs_only) = (Vec::new(), Vec::new());
        for mut process in page {
            if self.removed.contains(&process.id) {
                process.run_dir = None;
            }
            let decision = selector.decide(&process);
            if decision == Decision::Keep || result.budget == 0 {
                continue;
            }
            let has_run_dir = process.run_dir.is_some() && self.run_dirs.is_removable();
            if decision == Decision::RemoveRunDir && !has_run_dir {
                continue;
            }
            if has_run_dir
                && !self.dry_run
                && let Err(error) = self.run_dirs.remove(process.id)
            {
                selector.keep(&process);
                result.failed.push((process, error));
                continue;
            }
            result.budget -= 1;
            let pruned = &mut result.pruned[decision as usize - 1];
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
        let RetentionLimits { processes, days, log_bytes } = self.limits;
        let log_bytes = units::bytes(log_bytes.unwrap_or(0));
        vec![
            Pruned::none(false, format!("newer logs take up {log_bytes} already: keep.log_bytes")),
            Pruned::none(true, format!("ended more than {} days ago: keep.days", days.unwrap_or(0))),
            Pruned::none(true, format!("there are {} newer ones: keep.processes", processes.unwrap_or(0))),
        ]
    }
}
