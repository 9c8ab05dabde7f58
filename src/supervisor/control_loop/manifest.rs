//! The application of a manifest to the daemons of a supervisor, and their recovery from an earlier one.

use std::collections::BTreeMap;

use crate::model::{
    Daemon, DaemonName, DaemonSpec, DaemonStatus, ExitReason, LifecycleEvent, Process, Wanted,
};
use crate::process::handle::Handle;
use crate::process::system::{self, BOOT_ID};
use crate::process::{recover, tree};
use crate::store::StoreError;
use crate::supervisor::control::unknown_daemon;
use crate::supervisor::control_loop::{ControlLoop, Execution, Watched, exit_of};
use crate::supervisor::policy::{self, Adopted, PolicyEvent};

impl ControlLoop<'_> {
    /// Applies a manifest: declares the daemons, and starts those with these names, or all that start by themselves.
    /// Daemons that are no longer declared are stopped if `removes_orphans` is set. Returns the problem if nothing was
    /// applied.
    pub(crate) fn apply(
        &mut self,
        specs: Vec<DaemonSpec>,
        names: &[String],
        removes_orphans: bool,
    ) -> Result<(), String> {
        policy::check(&specs)?;
        let unknown = names.iter().find(|name| !specs.iter().any(|spec| *spec.name == ***name));
        if let Some(name) = unknown {
            return Err(unknown_daemon(name));
        }
        let mut recovered = self.recover(&specs).map_err(|error| error.to_string())?;
        self.remove_orphans(&specs, removes_orphans);
        let starts_by_itself = |spec: &DaemonSpec| match self.daemons.get(&spec.name) {
            Some(daemon) if daemon.wanted == Wanted::Started || daemon.is_stopped_by_hand() => {
                daemon.wanted == Wanted::Started
            }
            _ => spec.autostart,
        };
        let roots: Vec<String> = if names.is_empty() {
            specs.iter().filter(|spec| starts_by_itself(spec)).map(|spec| spec.name.to_string()).collect()
        } else {
            names.to_vec()
        };
        let started = with_dependencies(&specs, &roots);
        let order = policy::order(&specs);
        let mut changed = Vec::new();
        for spec in specs {
            // What was stopped by hand stays stopped, unless it is named.
            let is_stopped_by_hand =
                names.is_empty() && self.daemons.get(&spec.name).is_some_and(Daemon::is_stopped_by_hand);
            let is_wanted = started.contains(&spec.name) && !is_stopped_by_hand
                || !names.is_empty() && is_wanted_already(&self.daemons, &spec);
            let wanted = if is_wanted { Wanted::Started } else { Wanted::Stopped };
            let daemon =
                self.daemons.entry(spec.name.clone()).or_insert_with(|| Daemon::new(spec.clone(), wanted));
            let is_changed = spec.digest() != daemon.digest;
            (daemon.source, daemon.spec, daemon.wanted) = (spec.source.clone(), spec.clone(), wanted);
            let (name, daemon) = (spec.name.clone(), daemon.clone());
            self.policy.declare(spec, is_wanted);
            if let Some(process) = recovered.remove(&name) {
                self.adopt(&daemon, process).map_err(|error| error.to_string())?;
            }
            if (is_changed || self.is_stale(&name)) && is_wanted && self.executions.contains_key(&name) {
                changed.push(name);
            }
        }
        for name in &changed {
            self.handle(PolicyEvent::Restart(name));
        }
        for name in order.iter().filter(|name| names.contains(&name.to_string())) {
            self.handle(PolicyEvent::Want(name));
        }
        let rows: Vec<Daemon> = self.daemons.values().map(|daemon| daemon.clone().masked()).collect();
        self.store.save_daemons(&rows).and_then(|()| self.save()).map_err(|error| error.to_string())
    }

    /// Reads the daemons of an earlier supervisor from the store. Takes over those that run and are not among `specs`, and
    /// returns the current or last executions of the others.
    fn recover(&mut self, specs: &[DaemonSpec]) -> Result<BTreeMap<DaemonName, Process>, StoreError> {
        let mut recovered = BTreeMap::new();
        if !self.daemons.is_empty() {
            return Ok(recovered);
        }
        for daemon in self.store.daemons()? {
            let name = daemon.spec.name.clone();
            let process = daemon.process_id.map(|id| self.store.process(id)).transpose()?.flatten();
            let is_declared = specs.iter().any(|spec| spec.name == name);
            match process {
                Some(process) if is_declared => {
                    recovered.insert(name.clone(), process);
                }
                Some(process) if process.exit().is_none() => {
                    self.policy.declare(daemon.spec.clone(), daemon.wanted == Wanted::Started);
                    self.adopt(&daemon, process)?;
                }
                _ => {}
            }
            self.daemons.insert(name, daemon);
        }
        Ok(recovered)
    }

    /// Takes over an execution that an earlier supervisor started.
    fn adopt(&mut self, daemon: &Daemon, process: Process) -> Result<(), StoreError> {
        let (name, restarts) = (&daemon.spec.name, daemon.restarts);
        let process = recover::recover_if_lost(self.store, &process)?.unwrap_or(process);
        // The search reads the whole process table.
        let waiter =
            if process.exit().is_none() { tree::find_waiter(process.id).ok().flatten() } else { None };
        let handle = match waiter {
            Some(waiter) => Handle::open_entry(&waiter),
            None => Handle::open_running(&process),
        };
        match (process.exit(), handle) {
            (None, Ok(Some(handle))) => {
                let is_ready = daemon.ready_at.is_some() || daemon.spec.ready.is_none();
                self.policy.adopt(name, Adopted::Running { is_ready, restarts });
                let checks = self.start_checks(&daemon.spec, &process, is_ready);
                let watched = Watched::Other(handle);
                self.executions.insert(name.clone(), Execution { process_id: process.id, watched, checks });
            }
            // Once a supervisor has stopped all daemons, everything starts again.
            _ if daemon.status.is_alive()
                || daemon.status == DaemonStatus::Exited && self.server.replaces_killed =>
            {
                let process = self.store.process(process.id)?.unwrap_or(process);
                if is_ended_by_itself(&process) {
                    self.policy.adopt(name, Adopted::Ended { exit: exit_of(&process), restarts });
                    if daemon.status.is_alive() {
                        self.publish(LifecycleEvent::Exited, name);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an execution has run and has ended by itself. The end of one that a supervisor was stopping, that a killed
/// supervisor did not start, or that ended together with an earlier boot or container says nothing about its daemon.
fn is_ended_by_itself(process: &Process) -> bool {
    let is_requested = process.exit().is_some_and(|exit| exit.reason == ExitReason::Stopped);
    let is_of_this_boot = process.running().is_some_and(|running| running.identity.boot_id == *BOOT_ID);
    is_of_this_boot && !is_requested && !system::is_first_process()
}

/// Whether a daemon is wanted already.
fn is_wanted_already(daemons: &BTreeMap<DaemonName, Daemon>, spec: &DaemonSpec) -> bool {
    daemons.get(&spec.name).is_some_and(|daemon| daemon.wanted == Wanted::Started)
}

/// Returns the daemons with these names and all that they depend on.
pub(super) fn with_dependencies(specs: &[DaemonSpec], names: &[String]) -> Vec<DaemonName> {
    let mut found: Vec<DaemonName> = Vec::new();
    let mut rest: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = rest.pop() {
        if let Some(spec) = specs.iter().find(|spec| *spec.name == *name)
            && !found.contains(&spec.name)
        {
            found.push(spec.name.clone());
            rest.extend(spec.depends_on.iter().map(|dependency| &*dependency.name));
        }
    }
    found
}
