//! The work of `rigup install` and `rigup load`: plans the requests, resolves those that are not installed, and reports
//! the result of each.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rayon::ThreadPool;
use serde_json::{Map, Value};

use crate::clock;
use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::{EngineEvent, OnEvent};
use crate::engine::lockfile_on_disk;
use crate::engine::session::{self, CommandProcess, Session};
use crate::engine::status_check::{InstallOptions, StatusCheck};
use crate::engine::step_result::StepResult;
use crate::engine::stored_requests::{self, FindBinaries};
use crate::engine::version_status;
use crate::install::plan::{self, Selection, Step};
use crate::install::resolver::Resolver;
use crate::model::{
    Binary, BinaryName, BinarySpec, MachineId, Policy, Process, ProcessId, Version, VersionRange,
};
use crate::plugin::requirement::{self, Diagnostic, Providers, Requirement};
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::store::StoreError;
use crate::toolkit::started_hook::StartedHook;

/// How long a provider hook may run by default, in seconds.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(10);

/// The minimum for the default number of hooks that run at the same time. It may exceed the number of cores, because
/// hooks mostly wait for the network.
const MIN_JOBS: usize = 4;

/// A request to install binaries.
#[derive(Debug, Clone, Default)]
pub struct InstallRequest {
    /// The binaries to install, each as `[PROVIDER:]NAME[@VERSION]`; everything that the plugins require if empty.
    pub names: Vec<String>,
    /// Whether to install only the queued binaries whose retry time has come.
    pub is_due: bool,
    /// The plugins whose requirements count; all enabled plugins if empty.
    pub plugins: Vec<String>,
    /// The only providers to try, in this order, separated by commas.
    pub binproviders: Option<String>,
    /// The lowest acceptable version; any version if empty.
    pub min_version: String,
    /// The highest acceptable version; any version if empty.
    pub max_version: String,
    /// The policy for packages from open registries.
    pub policy: Policy,
    /// Whether to reinstall installed binaries, and to overwrite existing files with links.
    pub force: bool,
    /// The lock file whose pins to install; no pins if `None`.
    pub lockfile: Option<PathBuf>,
    /// How many hooks may run at the same time. If `None`, this is the number of cores, but at least four.
    pub jobs: Option<usize>,
    /// How long a hook may run. If `None`, ten minutes.
    pub timeout: Option<Duration>,
}

impl InstallRequest {
    /// Returns a request for the binaries with these names.
    pub fn for_names<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// The steps of an install request, before anything runs.
#[derive(Debug)]
pub(crate) struct InstallPlan {
    /// The plugins whose requirements were planned.
    pub(crate) catalog: Catalog,
    /// One step for each binary.
    pub(crate) steps: Vec<Step>,
    /// The options of the install.
    pub(crate) options: InstallOptions,
}

impl InstallPlan {
    /// Plans an install. Creates no file.
    pub(crate) fn new(
        request: &InstallRequest,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        let mut find_binaries = || stored_requests::read_binaries(settings, on_event);
        Self::with_binaries(request, &mut find_binaries, settings, on_event)
    }

    /// Plans an install of the named binaries; without names, of those that `stored` requires. Creates no file.
    pub(crate) fn with_stored(
        request: &InstallRequest,
        stored: Vec<Requirement>,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        let mut find_binaries = || stored_requests::read_binaries(settings, on_event);
        Self::plan(request, Some(stored), &mut find_binaries, settings, on_event)
    }

    /// Plans an install. Calls `find_binaries` only if the plan depends on the records of binaries.
    pub(crate) fn with_binaries(
        request: &InstallRequest,
        find_binaries: FindBinaries<'_>,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        let due = if request.is_due { Some(stored_requests::due(find_binaries()?, settings)) } else { None };
        Self::plan(request, due, find_binaries, settings, on_event)
    }

    /// Plans an install of the named binaries; without names, of those that `stored` requires, or of what the plugins
    /// require if there is no `stored`.
    fn plan(
        request: &InstallRequest,
        stored: Option<Vec<Requirement>>,
        find_binaries: FindBinaries<'_>,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        let mut selection = selection(request)?;
        let plugins: Vec<String> =
            request.plugins.iter().filter(|name| !name.trim().is_empty()).cloned().collect();
        let mut catalog = Catalog::read(settings, &plugins, on_event)?;
        catalog.warn_about_incomplete(|plugin, schema| {
            schema.is_some_and(|schema| !schema.required_binaries.is_empty())
                || requirement::FILE_NAMES.iter().any(|name| plugin.path.join(name).exists())
        });
        selection.host = Some(&catalog);
        selection.settings_policy = catalog.core.policy();
        let mut requirements = catalog.requirements.clone();
        let is_only_stored = request.names.is_empty() && stored.is_some();
        let stored = stored.unwrap_or_default();
        let has_names = !request.names.is_empty() || !stored.is_empty();
        let names = stored.iter().map(|requirement| requirement.name.clone().into()).collect();
        // A plugin's requirement is newer than the stored request.
        let is_required =
            |name: &BinaryName| requirements.iter().any(|requirement| requirement.name == *name);
        let only_stored: Vec<_> =
            stored.into_iter().filter(|requirement| !is_required(&requirement.name)).collect();
        let from_stored = requirements.len();
        requirements.extend(only_stored);
        selection.names =
            if is_only_stored { names } else { specs(&request.names, &requirements, settings)? };
        let names = &selection.names;
        for requirement in &mut requirements[from_stored..] {
            let states_version = |spec: &BinarySpec| {
                spec.name == requirement.name
                    && spec.versions().is_ok_and(|versions| versions != VersionRange::default())
            };
            if names.iter().any(states_version) {
                stored_requests::allow_any_version(requirement);
            }
        }
        // First, because `find_binaries` may create the data dir.
        let lockfile = request.lockfile.as_deref();
        let lockfile =
            lockfile.map(|path| lockfile_on_disk::read_existing(path, settings, on_event)).transpose()?;
        if has_names {
            let others: Vec<_> = of_providers(&catalog, &requirements, &selection).collect();
            requirements.extend(others);
            let earlier =
                stored_requests::of_names(&requirements, &selection, &catalog, find_binaries, settings)?;
            requirements.extend(earlier);
        }
        let steps = if is_only_stored && selection.names.is_empty() {
            Vec::new()
        } else {
            plan::plan(&requirements, &selection, &catalog.providers())
        };
        let steps = match lockfile {
            Some(file) => {
                let mut steps = steps;
                if request.names.is_empty() && !request.is_due && catalog.has_all_requirements() {
                    selection.names = file.names_beside(&steps, &catalog, settings);
                    if !selection.names.is_empty() {
                        let provided: Vec<_> = of_providers(&catalog, &[], &selection).collect();
                        steps.extend(plan::plan(&provided, &selection, &catalog.providers()));
                    }
                }
                file.pin_steps(steps, &catalog, settings)
            }
            None => steps,
        };
        let InstallRequest { force, jobs, timeout, .. } = *request;
        let timeout = timeout.unwrap_or(TIMEOUT);
        Ok(Self {
            catalog,
            steps,
            options: InstallOptions {
                reinstalls: force,
                overwrites: force,
                jobs,
                timeout,
                ..InstallOptions::default()
            },
        })
    }

    /// Returns the plan of a lookup: only env is tried, and failures change no record.
    pub(crate) fn into_lookup(mut self) -> Self {
        for request in self.steps.iter_mut().flatten() {
            request.candidates.retain(|provider| provider == plan::ENV);
        }
        self.options.is_lookup = true;
        self
    }

    /// Returns the result of each step as far as it is known before a hook runs. Changes nothing.
    pub(crate) fn dry_run(
        &self,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Vec<StepResult>, EngineError> {
        let Some(store) = session::open_to_read(settings, on_event)? else {
            let planned = |step: &Step| {
                step.clone().map_or_else(|refusal| StepResult::Refused(refusal, None), StepResult::Planned)
            };
            return Ok(self.steps.iter().map(planned).collect());
        };
        let machine_id = session::machine_id(settings, &store)?.unwrap_or_else(MachineId::generate);
        let (store, configs, options) = (&store, &self.catalog.configs, self.options);
        let check = StatusCheck { store, machine_id, settings, configs, options, is_dry_run: true };
        Ok(check.steps(&self.steps)?)
    }
}

/// The result of an install.
#[derive(Debug)]
pub struct InstallReport {
    /// The result of each step, in plan order.
    pub(crate) results: Vec<StepResult>,
    /// The folders and files of plugins that cannot be used.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The signal that interrupted the install.
    pub(crate) interrupted: Option<i32>,
    /// The record of this command; `None` if no hook had to run.
    pub(crate) command: Option<ProcessId>,
    is_unrecorded: bool,
}

impl InstallReport {
    /// Returns the binaries that are installed now.
    pub fn installed(&self) -> impl Iterator<Item = &Binary> {
        self.results.iter().filter_map(StepResult::installed_binary)
    }

    /// Returns the records of all results, as `rigup install --json` prints them.
    pub fn records(&self) -> impl Iterator<Item = Value> {
        self.results.iter().map(StepResult::to_record)
    }

    /// Returns the exit status that `rigup install` ends with.
    pub fn exit_status(&self) -> ExitStatus {
        let is_unresolved = |result: &StepResult| matches!(result, StepResult::Unresolved(..));
        match self.interrupted {
            Some(signal) => ExitStatus::Interrupted(signal),
            None if self.is_unrecorded || self.results.iter().any(is_unresolved) => ExitStatus::Setup,
            None if self.results.iter().all(StepResult::is_done) && self.diagnostics.is_empty() => {
                ExitStatus::Success
            }
            None => ExitStatus::Incomplete,
        }
    }
}

/// Carries out the steps of a plan, or pinned copies of them, and calls `on_results` before it records the exit of this
/// command, unless the steps are part of the command `within`. Starts no process if everything is installed.
pub(crate) fn execute(
    session: &Session<'_>,
    InstallPlan { catalog, options, .. }: &InstallPlan,
    steps: &[Step],
    within: Option<&Process>,
    on_results: impl FnOnce(&[StepResult]),
) -> Result<InstallReport, EngineError> {
    let (store, settings, machine_id) = (&session.store, &session.settings, session.machine.id);
    let (configs, options) = (&catalog.configs, *options);
    let check = StatusCheck { store, machine_id, settings, configs, options, is_dry_run: false };
    let mut report = InstallReport {
        results: check.steps(steps)?,
        diagnostics: catalog.discovery.diagnostics.clone(),
        interrupted: None,
        command: None,
        is_unrecorded: false,
    };
    if report.results.iter().any(|result| result.planned().is_some()) {
        let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
        let installer = Installer::open(catalog, session, options, steps.len(), &interrupt, within)?;
        report.command = Some(installer.command_id());
        report.results = installer.resolve(report.results)?;
        on_results(&report.results);
        report.interrupted = interrupt.signal();
        // The results are reported even if they cannot be recorded.
        let counted = installer.count_uses(&report.results).map_err(EngineError::from);
        if let Err(error) = counted.and(installer.finish(report.exit_status())) {
            session.report(EngineEvent::Error(error.to_string()));
            report.is_unrecorded = true;
        }
    } else {
        on_results(&report.results);
    }
    store_paths(steps, &report.results, session);
    Ok(report)
}

/// Returns the requirements of providers for the binaries that nothing else requires. They only say where a binary comes from
/// if the command line does not.
fn of_providers(
    catalog: &Catalog,
    required: &[Requirement],
    selection: &Selection<'_>,
) -> impl Iterator<Item = Requirement> {
    let is_free = |own: &&Requirement| required.iter().all(|requirement| requirement.name != own.name);
    catalog.provider_requirements.iter().filter(is_free).map(|requirement| {
        let states_provider = |spec: &BinarySpec| spec.name == requirement.name && spec.provider.is_some();
        let mut requirement = requirement.clone();
        if selection.providers.is_some() || selection.names.iter().any(states_provider) {
            requirement.providers = Providers::Any;
        }
        requirement
    })
}

/// Parses the names of a command. A required name is not split.
fn specs(
    names: &[String],
    requirements: &[Requirement],
    settings: &Settings,
) -> Result<Vec<BinarySpec>, EngineError> {
    let required: HashSet<&BinaryName> = if names.is_empty() {
        HashSet::new()
    } else {
        requirements.iter().map(|requirement| &requirement.name).collect()
    };
    let home = settings.home.as_deref();
    let specs = names.iter().map(|name| BinarySpec::parse(name, home, |name| required.contains(name)));
    specs.collect::<Result<_, _>>().map_err(EngineError::invalid)
}

fn selection<'a>(request: &InstallRequest) -> Result<Selection<'a>, EngineError> {
    for (flag, version) in [("--min-version", &request.min_version), ("--max-version", &request.max_version)]
    {
        if !version.trim().is_empty() && !Version::looks_like_version(version) {
            return Err(EngineError::InvalidRequest(format!(
                "{flag} {version:?} is not a version; use a form such as 1.2 or 2024.01.02"
            )));
        }
    }
    let versions = VersionRange { min: &request.min_version, max: &request.max_version };
    if versions.is_empty() {
        return Err(EngineError::InvalidRequest(format!(
            "--min-version {} is newer than --max-version {}",
            versions.min, versions.max
        )));
    }
    let providers = request.binproviders.as_deref().map(Providers::parse).transpose();
    Ok(Selection {
        providers: providers.map_err(EngineError::invalid)?,
        min_version: request.min_version.trim().to_owned(),
        max_version: request.max_version.trim().to_owned(),
        policy: request.policy,
        ..Selection::default()
    })
}

/// Stores the paths of the binaries that settings name, so that hooks get them as the values of these settings.
pub(crate) fn store_paths(steps: &[Step], results: &[StepResult], session: &Session<'_>) {
    let mut paths = Map::new();
    for (step, result) in steps.iter().zip(results) {
        let is_recorded = !matches!(result, StepResult::Resolved(_, resolved) if !resolved.is_recorded);
        if let (Ok(request), Some(installed), true) = (step, result.installed(), is_recorded) {
            let path = Value::from(installed.abspath.to_string_lossy());
            paths.extend(request.settings.iter().map(|setting| (setting.clone(), path.clone())));
        }
    }
    paths.retain(|name, path| session.machine.config.get(name) != Some(path));
    if !paths.is_empty()
        && let Err(error) = session.store.merge_machine_config(session.machine.id, &paths, clock::now())
    {
        session.warn(format!("cannot store the paths of the binaries for hooks: {error}"));
    }
}

/// Resolves requests, with one hook on each thread of the pool or, without one, one hook at a time.
pub(crate) struct Installer<'a> {
    catalog: &'a Catalog,
    session: &'a Session<'a>,
    options: InstallOptions,
    interrupt: &'a Interrupt,
    pool: Option<ThreadPool>,
    command: Process,
    /// The same, unless the requests are part of another command.
    own: Option<CommandProcess>,
}

impl<'a> Installer<'a> {
    /// Starts the threads for at most `max_requests` requests at a time, and records the command, unless the requests are
    /// part of the command `within`.
    pub(crate) fn open(
        catalog: &'a Catalog,
        session: &'a Session<'_>,
        options: InstallOptions,
        max_requests: usize,
        interrupt: &'a Interrupt,
        within: Option<&Process>,
    ) -> Result<Self, EngineError> {
        let cores = || std::thread::available_parallelism().map_or(MIN_JOBS, std::num::NonZero::get);
        // More threads than requests would only cost time and memory.
        let jobs = if max_requests > 1 {
            options.jobs.unwrap_or_else(|| cores().max(MIN_JOBS)).min(max_requests)
        } else {
            1
        };
        let pool =
            (jobs > 1).then(|| rayon::ThreadPoolBuilder::new().num_threads(jobs).build()).transpose()?;
        let (command, own) = if let Some(command) = within {
            (command.clone(), None)
        } else {
            let own = session.begin()?;
            (own.process.clone(), Some(own))
        };
        Ok(Self { catalog, session, options, interrupt, pool, command, own })
    }

    /// Returns the id of the command's record.
    pub(crate) fn command_id(&self) -> ProcessId {
        self.command.id
    }

    /// Resolves the planned requests, and replaces each of them by its result.
    pub(crate) fn resolve(&self, mut results: Vec<StepResult>) -> Result<Vec<StepResult>, EngineError> {
        let resolver = Resolver {
            runner: self.session.runner(&self.command, self.catalog.variables(), self.interrupt),
            hooks: &self.catalog.provider_hooks(),
            version_hooks: &version_status::hooks(self.catalog),
            provider_deps: &self.catalog.provider_deps(),
            discovery: &self.catalog.discovery,
            configs: &self.catalog.configs,
            provider_configs: self.catalog.provider_configs(),
            reinstalls: self.options.reinstalls,
            overwrites: self.options.overwrites,
            is_lookup: self.options.is_lookup,
            timeout: self.options.timeout,
            begin: &|start| Some(Box::new(StartedHook::new(start, &self.session.settings)?)),
            on_event: &|request, event| self.session.report(EngineEvent::Install(&request.name, event)),
        };
        let planned = results.iter().filter_map(StepResult::planned).cloned();
        let outcomes = resolver.resolve(planned.collect(), self.pool.as_ref())?;
        let places = results.iter_mut().filter(|result| result.planned().is_some());
        for (result, (request, outcome)) in places.zip(outcomes) {
            *result = match outcome {
                Ok(done) => StepResult::Resolved(request, done),
                Err(error) => StepResult::Unresolved(Arc::unwrap_or_clone(request), error),
            };
        }
        Ok(results)
    }

    /// Adds the resolved requests to the use counts of the machine.
    pub(crate) fn count_uses(&self, results: &[StepResult]) -> Result<(), StoreError> {
        let resolved = results.iter().filter(|result| matches!(result, StepResult::Resolved(..)));
        let (installed, failed): (Vec<_>, Vec<_>) = resolved.partition(|result| result.is_installed());
        if self.options.is_lookup || installed.is_empty() && failed.is_empty() {
            return Ok(());
        }
        let count = |results: Vec<&StepResult>| u32::try_from(results.len()).unwrap_or(u32::MAX);
        self.session.store.count_uses(self.session.machine.id, count(installed), count(failed))
    }

    /// Records the exit status of the command, unless the requests were part of another one.
    pub(crate) fn finish(self, status: ExitStatus) -> Result<(), EngineError> {
        self.own.map_or(Ok(()), |own| self.session.finish(own, status))
    }
}
