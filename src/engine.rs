//! The engine: installs binaries, runs the hooks of events, and starts runs, without printing.
//!
//! A program that links rigup opens an [`Engine`] on a data dir and calls it. The example has a plugin folder with one
//! provider, a shell script that prints a record of `/bin/sh` for every request:
//!
//! ```
//! use std::fs;
//!
//! use rigup::engine::{Engine, EngineEvent, InstallRequest};
//! use rigup::settings::{Environment, Flags, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let provider = folder.path().join("plugins/demo");
//! fs::create_dir_all(&provider)?;
//! fs::write(
//!     provider.join("on_BinaryRequest__50_demo.sh"),
//!     r#"echo '{"type":"Binary","name":"shell","abspath":"/bin/sh","version":"1.2"}'"#,
//! )?;
//!
//! let flags = Flags {
//!     data_dir: Some(folder.path().join("data")),
//!     plugins_dirs: vec![folder.path().join("plugins")],
//!     ..Flags::default()
//! };
//! let settings = Settings::merge(flags, Environment::of_this_process())?;
//! let on_event = |event: &EngineEvent<'_>| {
//!     if let EngineEvent::Warning(text) = event {
//!         eprintln!("warning: {text}");
//!     }
//! };
//! let engine = Engine::open_with(settings, &on_event)?;
//!
//! let request = InstallRequest {
//!     binproviders: Some("demo".to_owned()),
//!     ..InstallRequest::for_names(["shell"])
//! };
//! let report = engine.install(&request)?;
//! let binary = report.installed().next().ok_or("the shell is not installed")?;
//! assert_eq!(binary.name, "shell");
//! # Ok(())
//! # }
//! ```

pub(crate) mod apply;
mod archive_results;
pub(crate) mod catalog;
pub(crate) mod command_timings;
pub(crate) mod completion;
pub(crate) mod current_processes;
pub(crate) mod daemon_logs;
pub(crate) mod daemons;
pub(crate) mod doctor;
mod error;
mod event;
pub(crate) mod event_plan;
pub(crate) mod event_plugins;
pub(crate) mod event_request;
pub(crate) mod events;
mod follow_queue;
mod follow_up;
mod followed_events;
pub(crate) mod hook_logs;
mod host;
pub(crate) mod install;
pub(crate) mod inventory;
pub(crate) mod job;
pub(crate) mod lockfile_on_disk;
pub(crate) mod lockfile_update;
pub(crate) mod logs;
pub(crate) mod outdated;
mod output_files;
pub(crate) mod overview;
mod package_command;
mod plugin_names;
mod plugin_requirements;
pub(crate) mod processes;
pub(crate) mod programs;
mod recovery;
#[cfg(target_os = "linux")]
pub(crate) mod retry;
mod run_event;
pub(crate) mod runs;
pub(crate) mod session;
pub(crate) mod status_check;
pub(crate) mod step_result;
pub(crate) mod stored_requests;
pub(crate) mod uninstall;
pub(crate) mod upgrade;
pub(crate) mod upgrade_outcome;
pub(crate) mod user_settings;
mod version_limit;
mod version_status;
pub(crate) mod why;

use std::time::Duration;

pub use crate::engine::apply::BatchOutput;
pub use crate::engine::error::{EngineError, ExitStatus};
pub use crate::engine::event::{EngineEvent, OnEvent};
pub use crate::engine::event_request::{EventRequest, EventSummary, Follow};
pub use crate::engine::events::EventReport;
pub use crate::engine::install::{InstallReport, InstallRequest};
pub use crate::engine::run_event::{EndedEvent, FollowEvent, RunEvent};
pub use crate::hook::reporter::HookEvent;
pub use crate::hook::run::RunError;
pub use crate::install::event::InstallEvent;
pub use crate::model::{
    Attempt, Backoff, Binary, BinaryId, BinaryName, BinarySpec, ExitReason, Identity, Installed, InterfaceId,
    MachineId, NameError, Outcome, PluginName, PluginNameError, Policy, PolicyError, Process, ProcessExit,
    ProcessId, ProcessSpec, ProcessState, ProcessType, ProviderName, RunSpec, Running, SpecVersionError,
    UnknownWord, Usage, Version, VersionRange,
};
pub use crate::plugin::discovery::{Hook, Start};
pub use crate::plugin::hook_name::{Background, HookName};
pub use crate::plugin::requirement::Diagnostic;
pub use crate::process::spawn::SpawnError;
pub use crate::process::waiter::LaunchError;
pub use crate::protocol::Record;
pub use crate::runs::gc::{GcAction, GcError, GcItem, GcReport, Pruned};
pub use crate::runs::start::{InvalidSlug, RunRequest, Slug, StartError};
pub use crate::store::StoreError;

use crate::both::both;
use crate::engine::catalog::Catalog;
use crate::engine::host::NewHost;
use crate::engine::install::InstallPlan;
use crate::engine::session::Session;
use crate::engine::step_result::StepResult;
use crate::engine::upgrade::{Asked, UpgradePlan};
use crate::process::signals::Interrupt;
use crate::settings::Settings;

/// An open data dir, and the operations on it.
pub struct Engine<'e> {
    session: Session<'e>,
}

impl Engine<'static> {
    /// Opens the data dir of `settings`, and creates it if it does not exist. Events are dropped.
    pub fn open(settings: Settings) -> Result<Self, EngineError> {
        Self::open_with(settings, &|_event| {})
    }
}

impl<'e> Engine<'e> {
    /// Opens the data dir of `settings`, and calls `on_event` for every event from now on.
    pub fn open_with(settings: Settings, on_event: OnEvent<'e>) -> Result<Self, EngineError> {
        Ok(Self { session: Session::open(settings, on_event)? })
    }

    /// Opens the data dir for a dry run, which changes nothing in it.
    pub(crate) fn open_for_dry_run(settings: Settings, on_event: OnEvent<'e>) -> Result<Self, EngineError> {
        Ok(Self { session: Session::open_for_dry_run(settings, on_event)? })
    }

    /// Opens the data dir like [`Engine::open_with`], but checks the whole store for damage, which takes longer, and leaves
    /// lost processes to [`Engine::gc`].
    pub fn open_checked(settings: Settings, on_event: OnEvent<'e>) -> Result<Self, EngineError> {
        Ok(Self { session: Session::open_checked(settings, on_event)? })
    }

    /// Plans an install, and opens the data dir like [`Engine::open_with`], once and not before the plan needs it: a request
    /// that is invalid creates no data dir.
    pub(crate) fn open_with_plan(
        request: &InstallRequest,
        settings: Settings,
        on_event: OnEvent<'e>,
    ) -> Result<(Self, InstallPlan), EngineError> {
        let host = NewHost::default();
        let mut opened = None;
        let mut find_binaries = || {
            let Session { store, machine, .. } = match &opened {
                Some(session) => session,
                None => opened.insert(Session::open_on(&host, settings.clone(), on_event)?),
            };
            Ok(store.binaries_of(machine.id)?)
        };
        let mut plan = || InstallPlan::with_binaries(request, &mut find_binaries, &settings, on_event);
        let plan = if settings.data_dir.exists() {
            plan()?
        } else {
            let gather = || {
                host.facts(&settings);
            };
            both(plan, gather).0?
        };
        let session = match opened {
            Some(session) => session,
            None => Session::open_on(&host, settings, on_event)?,
        };
        Ok((Self { session }, plan))
    }

    /// Resolves every request: tries the providers of a missing binary in order until one installs it, then verifies
    /// and links the binary. Starts no process if all binaries are installed.
    pub fn install(&self, request: &InstallRequest) -> Result<InstallReport, EngineError> {
        let Session { settings, store, machine, on_event } = &self.session;
        let mut find_binaries = || Ok(store.binaries_of(machine.id)?);
        let plan = InstallPlan::with_binaries(request, &mut find_binaries, settings, on_event)?;
        self.install_planned(&plan, |_results| {}, |_report| {})
    }

    /// Carries out a plan. Calls `on_results` before it records the exit of this command, because a signal counts until
    /// then, and `on_report` before it prunes expired records and logs, which may take a second.
    pub(crate) fn install_planned(
        &self,
        plan: &InstallPlan,
        on_results: impl FnOnce(&[StepResult]),
        on_report: impl FnOnce(&InstallReport),
    ) -> Result<InstallReport, EngineError> {
        let report = install::execute(&self.session, plan, &plan.steps, None, on_results)?;
        on_report(&report);
        if let Some(command) = report.command {
            daemons::announce_installs(&self.session.settings);
            self.session.prune_if_due(command, report.interrupted, plan.catalog.core.keep());
        }
        Ok(report)
    }

    /// Carries out an upgrade: asks providers for the versions of their binaries, and runs those providers again for which
    /// there is a newer one or that cannot tell. Returns the results of their steps.
    pub(crate) fn upgrade(
        &self,
        plan: &mut UpgradePlan,
        on_results: impl FnOnce(&[StepResult]),
    ) -> Result<Option<InstallReport>, EngineError> {
        let session = &self.session;
        if !plan.asks(Asked::Upgradable) {
            if plan.install.steps.is_empty() {
                return Ok(None);
            }
            return self.install_planned(&plan.install, on_results, |_report| {}).map(Some);
        }
        let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
        let command = session.begin()?;
        let id = command.process.id;
        plan.ask(Asked::Upgradable, session, &command.process, &interrupt)?;
        plan.leave_out_newest(&session.settings);
        let report = install::execute(
            session,
            &plan.install,
            &plan.install.steps,
            Some(&command.process),
            on_results,
        )?;
        session.finish(command, report.exit_status())?;
        daemons::announce_installs(&session.settings);
        session.prune_if_due(id, interrupt.signal(), plan.install.catalog.core.keep());
        Ok(Some(report))
    }

    /// Runs every hook of one or more events, foreground hooks in order and background hooks in parallel, and the events
    /// that their records start. Calls `on_event` for every record that a hook prints and for its exit. All hooks have
    /// exited when this returns.
    pub fn run_event(
        &self,
        request: &EventRequest,
        on_event: impl FnMut(RunEvent<'_>),
    ) -> Result<EventReport, EngineError> {
        let mut catalog = events::catalog(request, &self.session.settings, self.session.on_event)?;
        self.run_hooks(&mut catalog, request, on_event, |_summary| {})
    }

    /// Runs the hooks of events that are in the catalog. Calls `on_end` before it records the exit of this command and
    /// prunes expired records and logs.
    pub(crate) fn run_hooks(
        &self,
        catalog: &mut Catalog,
        request: &EventRequest,
        on_event: impl FnMut(RunEvent<'_>),
        on_end: impl FnOnce(&EventSummary),
    ) -> Result<EventReport, EngineError> {
        let report = events::run(&self.session, catalog, request, on_event, on_end)?;
        daemons::announce_installs(&self.session.settings);
        let interrupted =
            if let ExitStatus::Interrupted(signal) = report.status { Some(signal) } else { None };
        self.session.prune_if_due(report.command, interrupted, catalog.core.keep());
        Ok(report)
    }

    /// Starts a detached run, which outlives this process, and returns its record. If the command cannot be started,
    /// the record already has an exit.
    pub fn start(&self, request: RunRequest) -> Result<Process, EngineError> {
        runs::start(&self.session, request)
    }

    /// Terminates processes that run too long, completes the records of processes whose exit no process observed, and
    /// prunes expired records and logs. A dry run only returns what would be done. `ttl` overrides how long each run
    /// keeps its run dir.
    pub fn gc(&self, ttl: Option<Duration>, is_dry_run: bool) -> Result<GcReport, EngineError> {
        runs::gc(&self.session, ttl, is_dry_run)
    }

    /// Returns the open data dir.
    pub(crate) fn session(&self) -> &Session<'e> {
        &self.session
    }
}
