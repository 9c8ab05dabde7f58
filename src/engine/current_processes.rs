//! Recorded processes as they are now, for commands that only read.

use std::cmp::Reverse;

use crate::engine::error::EngineError;
use crate::engine::session;
use crate::model::{MachineId, Process};
use crate::process::recover;
use crate::settings::Settings;
use crate::sorting::sort_by_key;
use crate::store::{ProcessFilter, Store, StoreError};

/// Reads recorded processes, those of this machine with their exit if they are over and no rigup or waiter will record it.
/// Stores nothing.
pub(crate) struct CurrentProcesses<'s> {
    store: &'s Store,
    machine_id: Option<MachineId>,
}

impl<'s> CurrentProcesses<'s> {
    pub(crate) fn new(store: &'s Store, settings: &Settings) -> Result<Self, EngineError> {
        Ok(Self { store, machine_id: session::machine_id(settings, store)? })
    }

    /// Returns a process as it is now.
    pub(crate) fn now(&self, process: Process) -> Process {
        let is_here = process.exit().is_none() && Some(process.machine_id) == self.machine_id;
        // A hook of a killed rigup may live until the next command that writes terminates it.
        if is_here && matches!(recover::is_alive(&process), Ok(false)) {
            return recover::as_found(self.store, process);
        }
        process
    }

    /// Finds the processes that pass a filter now.
    pub(crate) fn matching<'f>(&self, filter: &'f ProcessFilter) -> Result<Matching<'s, 'f>, StoreError> {
        // All conditions of the filter but those on the state.
        let live =
            ProcessFilter { status: None, has_failed: false, is_live: true, limit: None, ..filter.clone() };
        let pairs =
            self.store.processes(&live)?.into_iter().map(|process| (process.clone(), self.now(process)));
        let over = pairs.filter(|(_, now)| now.exit().is_some()).collect();
        Ok(Matching { store: self.store, filter, over })
    }
}

/// The processes that pass a filter now.
pub(crate) struct Matching<'s, 'f> {
    store: &'s Store,
    filter: &'f ProcessFilter,
    /// Those that are recorded as live but are over, as they are recorded and as they are now, whatever their state.
    over: Vec<(Process, Process)>,
}

impl Matching<'_, '_> {
    /// Returns the processes, in the order of [`Store::processes`].
    pub(crate) fn list(&self) -> Result<Vec<Process>, StoreError> {
        let Self { store, filter, over } = self;
        let more = u32::try_from(over.len()).unwrap_or(u32::MAX);
        let limit = filter.limit.map(|limit| limit.saturating_add(more));
        let mut listed = store.processes(&ProcessFilter { limit, ..(*filter).clone() })?;
        if over.is_empty() {
            return Ok(listed);
        }
        listed.retain(|process| over.iter().all(|(recorded, _)| recorded.id != process.id));
        listed.extend(over.iter().map(|(_, now)| now).filter(|now| filter.accepts_state(now)).cloned());
        sort_by_key(&mut listed, |process| {
            (process.exit().is_some(), Reverse((process.created_at, process.id)))
        });
        listed.truncate(filter.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(listed)
    }

    /// Returns their number, as [`Store::count_processes`] does.
    pub(crate) fn count(&self, max: Option<u32>) -> Result<u64, StoreError> {
        let mut count = self.store.count_processes(self.filter, max)?;
        for (recorded, now) in &self.over {
            count += u64::from(self.filter.accepts_state(now));
            count = count.saturating_sub(self.filter.accepts_state(recorded).into());
        }
        Ok(count)
    }
}
