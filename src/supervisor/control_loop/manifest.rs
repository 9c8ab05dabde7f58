//! The application of a manifest to the daemons of a supervisor, and their recovery from an earlier one.

use std::collections::BTreeMap;

use crate::model::{Daemon, DaemonName, DaemonSpec, DaemonStatus, LifecycleEvent, Process, Wanted};
use crate::process::handle::Handle;
use crate::process::{recover, tree};
use crate::store::StoreError;
use crate::supervisor::control::{stopped_note, unknown_daemon};
use crate::supervisor::control_loop::{ControlLoop, DaemonEvent, Execution, Watched};
use crate::supervisor::policy::{self, AdoptedState, PolicyEvent};

impl ControlLoop<'_> {
    /// Applies a manifest: declares the daemons, and starts those with these names, or all that start by themselves.
    /// Daemons that are no longer declared are stopped if `removes_orphans` is set. Returns the warnings about them, or the
    /// problem if nothing was applied.
    pub(crate) fn apply(
        &mut self,
        specs: Vec<DaemonSpec>,
        names: &[String],
        removes_orphans: bool,
    ) -> Result<Vec<String>, String> {
        policy::check(&specs)?;
        let unknown = names.iter().find(|name| !specs.iter().any(|spec| *spec.name == ***name));
        if let Some(name) = unknown {
            return Err(unknown_daemon(name));
        }
        let mut recovered = self.recover(&specs).map_err(|error| error.to_string())?;
        let (unwanted, warnings) = self.find_orphans(&specs, removes_orphans);
        for text in &warnings {
            (self.on_event)(DaemonEvent::Warning(text.clone()));
        }
        let find = |name: &DaemonName| self.daemons.get(name);
        let wanted = policy::to_run(&specs, names, find, |daemon| self.is_kept(daemon));
        let order = policy::order(&specs);
        let mut changed = Vec::new();
        for spec in specs {
            let is_wanted = wanted.contains(&spec.name);
            let wanted = if is_wanted { Wanted::Started } else { Wanted::Stopped };
            let daemon =
                self.daemons.entry(spec.name.clone()).or_insert_with(|| Daemon::new(spec.clone(), wanted));
            let is_changed = spec.digest() != daemon.digest;
            let has_new_check = spec.healthcheck != daemon.spec.healthcheck;
            (daemon.source, daemon.spec, daemon.wanted) = (spec.source.clone(), spec.clone(), wanted);
            daemon.is_stopped_by_hand &= !is_wanted;
            let (name, daemon) = (spec.name.clone(), daemon.clone());
            self.policy.declare(spec, is_wanted);
            if let Some(process) = recovered.remove(&name) {
                self.adopt(&daemon, process).map_err(|error| error.to_string())?;
            } else if has_new_check {
                self.restart_checks(&name).map_err(|error| error.to_string())?;
            }
            let is_in_backoff =
                || self.policy.state(&name).is_some_and(|state| state.status == DaemonStatus::Backoff);
            let is_replaced = is_changed || self.is_stale(&name);
            if is_replaced && is_wanted && (self.executions.contains_key(&name) || is_in_backoff()) {
                changed.push(name);
            }
        }
        for name in &unwanted {
            self.handle(PolicyEvent::Unwant(name));
        }
        for name in &changed {
            self.handle(PolicyEvent::Restart(name));
        }
        for name in order.iter().filter(|name| names.contains(&name.to_string())) {
            self.handle(PolicyEvent::Want(name));
        }
        if names.is_empty() {
            self.note_stopped(&order);
        }
        let rows: Vec<Daemon> = self.daemons.values().map(|daemon| daemon.clone().masked()).collect();
        self.store.save_daemons(&rows).and_then(|()| self.save()).map_err(|error| error.to_string())?;
        Ok(warnings)
    }

    /// Names those of these daemons that stay stopped because they were stopped by name.
    fn note_stopped(&mut self, names: &[DaemonName]) {
        // A supervisor that ends now cannot start one.
        let command = if self.is_lasting || !self.policy.is_over() { "start" } else { "up" };
        for daemon in names.iter().filter_map(|name| self.daemons.get(name)) {
            if daemon.is_stopped_by_hand {
                (self.on_event)(DaemonEvent::Note(stopped_note(&daemon.name, command)));
            }
        }
    }

    /// Whether a daemon goes on while others are started by name: it is wanted and has not failed, and no command has stopped
    /// all of them since.
    fn is_kept(&self, daemon: &Daemon) -> bool {
        let is_supervised = self.policy.state(&daemon.spec.name).is_some() || self.server.replaces_killed;
        is_supervised && daemon.wanted == Wanted::Started && daemon.status != DaemonStatus::Failed
    }

    /// Reads the daemons of an earlier supervisor from the store. Takes over those that run and are not among `specs`, and
    /// returns the current or last executions of the others, if they have any.
    fn recover(&mut self, specs: &[DaemonSpec]) -> Result<BTreeMap<DaemonName, Option<Process>>, StoreError> {
        let mut recovered = BTreeMap::new();
        if !self.daemons.is_empty() {
            return Ok(recovered);
        }
        for mut daemon in self.store.daemons()? {
            let name = daemon.spec.name.clone();
            let process = daemon.process_id.map(|id| self.store.process(id)).transpose()?.flatten();
            if let Some(spec) = specs.iter().find(|spec| spec.name == name) {
                if !self.server.replaces_killed {
                    daemon.forget_stop(spec);
                }
                recovered.insert(name.clone(), process);
            } else if process.as_ref().is_some_and(|process| process.exit().is_none()) {
                self.policy.declare(daemon.spec.clone(), daemon.wanted == Wanted::Started);
                self.adopt(&daemon, process)?;
            }
            self.daemons.insert(name, daemon);
        }
        Ok(recovered)
    }

    /// Takes over a daemon from an earlier supervisor, with its current or last execution.
    fn adopt(&mut self, daemon: &Daemon, process: Option<Process>) -> Result<(), StoreError> {
        let name = &daemon.spec.name;
        let process = match process {
            Some(process) => Some(recover::recover_if_lost(self.store, &process)?.unwrap_or(process)),
            None => None,
        };
        let live = process.as_ref().filter(|process| process.exit().is_none());
        if let Some(process) = live
            && let Some(handle) = watched(process)
        {
            let state = self.running(daemon, process);
            let checks = self.start_checks(&daemon.spec, process, daemon.ready_at.is_some(), daemon.health);
            self.policy.adopt(name, self.adopted(daemon, state), self.now());
            let watched = Watched::Other(handle);
            let identity = process.running().map(|running| running.identity.clone());
            let execution = Execution { identity, checks, ..Execution::new(process.id, watched) };
            self.executions.insert(name.clone(), execution);
            return Ok(());
        }
        // Its exit may have been stored since.
        let id = process.as_ref().map(|process| process.id);
        let process = id.map(|id| self.store.process(id)).transpose()?.flatten().or(process);
        if let Some(state) = self.at_rest(daemon, process.as_ref()) {
            let has_ended = matches!(state, AdoptedState::Ended { .. }) && daemon.status.is_alive();
            self.policy.adopt(name, self.adopted(daemon, state), self.now());
            if has_ended {
                self.publish(LifecycleEvent::Exited, name);
            }
        }
        Ok(())
    }
}

/// Returns the process whose end means that an execution has ended: its waiter, or without one the daemon itself. `None` if
/// neither runs.
fn watched(process: &Process) -> Option<Handle> {
    // The search reads the whole process table.
    match tree::find_waiter(process.id).ok().flatten() {
        Some(waiter) => Handle::open_entry(&waiter).ok().flatten(),
        None => Handle::open_running(process).ok().flatten(),
    }
}
