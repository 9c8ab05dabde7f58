//! The work of `rigup upgrade`: resolves installed binaries again with the provider that installed them.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::engine::catalog::Catalog;
use crate::engine::error::{EngineError, ExitStatus};
use crate::engine::event::OnEvent;
use crate::engine::install::{InstallPlan, InstallRequest};
use crate::engine::lockfile_on_disk::LockfileOnDisk;
use crate::engine::lockfile_update::{self, LockRow};
use crate::engine::package_command::{self, Change};
use crate::engine::session::{self, Session};
use crate::engine::step_result::{StepResult, unresolved};
use crate::engine::stored_requests;
use crate::engine::upgrade_outcome::UpgradeOutcome;
use crate::engine::version_limit;
use crate::engine::version_status::{self, VersionStatus, VersionTarget};
use crate::install::adopt;
use crate::install::plan::{self, Refusal, Request};
use crate::install::status::{self, FileCheck};
use crate::install::verify;
use crate::model::policy::MIN_RELEASE_AGE_KEY;
use crate::model::{Binary, BinaryName, Installed, Process, ProviderName, Release, Version};
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::requirement::Providers;
use crate::process::signals::Interrupt;
use crate::settings::{self, Settings};
use crate::shell;

/// The binaries of a `rigup upgrade`, before anything runs.
#[derive(Debug)]
pub(crate) struct UpgradePlan {
    /// The plan of the binaries whose providers run again.
    pub(crate) install: InstallPlan,
    /// All binaries, in order.
    pub(super) rows: Vec<PlannedUpgrade>,
    /// Whether the command line names the binaries.
    has_names: bool,
}

/// A binary, and what is done with it.
#[derive(Debug)]
pub(super) struct PlannedUpgrade {
    /// Its name.
    pub(super) name: BinaryName,
    /// Its record; `None` if it is not installed.
    pub(super) earlier: Option<Binary>,
    /// Its request, with the provider that installed it as the only candidate; `None` if there is none.
    request: Option<Request>,
    /// Why the provider does not run again; `None` if it does.
    pub(super) unchanged: Option<Unchanged>,
    /// What the registry has, or why that is unknown; `None` if the provider was not asked.
    pub(super) status: Option<Result<VersionStatus, String>>,
}

/// The binaries whose providers are asked for versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All that are installed.
    All,
    /// Those whose providers would run again.
    Upgradable,
}

/// Why the provider of a binary does not run again.
#[derive(Debug, Clone)]
pub(super) enum Unchanged {
    /// Only the installed version is accepted.
    Exact(String),
    /// The registry has nothing newer that the request accepts.
    Newest,
    /// The registry has only older versions that the request accepts, or none.
    HeldBack(String),
    /// Something else upgrades the binary, with the next step.
    Foreign(String),
    /// The request cannot be resolved.
    Refused(String),
}

/// What became of one binary.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// Its name.
    pub(crate) name: String,
    /// The earlier file; `None` if the binary was not installed.
    pub(crate) earlier: Option<Installed>,
    /// The newest version that the request accepts; `None` if there is none, or if the provider does not list versions.
    pub(crate) wanted: Option<String>,
    /// The newest version of all; `None` if the provider does not list versions.
    pub(crate) latest: Option<String>,
    /// The outcome.
    pub(crate) outcome: UpgradeOutcome,
    /// What limits the version or why nothing was done, for people; may be empty.
    pub(crate) reason: String,
    /// The minimum age of a release, in days, if the provider enforced one; otherwise 0.
    pub(crate) release_age: f64,
    /// The result of the provider, if it ran, or of the dry run.
    pub(crate) result: Option<StepResult>,
    record: Value,
}

impl Upgrade {
    /// Returns the installed file after the upgrade, or `None` if the binary is not installed.
    pub(crate) fn installed(&self) -> Option<&Installed> {
        let result = self.result.as_ref();
        let earlier = || self.earlier.as_ref().filter(|_| result.and_then(StepResult::lost).is_none());
        result.and_then(StepResult::installed).or_else(earlier)
    }

    /// Returns the record of the binary, with the earlier version and the outcome.
    pub(crate) fn to_record(&self) -> Value {
        let mut record = self.record.clone();
        record["previous_version"] = self.earlier.as_ref().map(|earlier| earlier.version.as_str()).into();
        record["upgrade"] = self.outcome.as_str().into();
        record["wanted"] = self.wanted.clone().into();
        record["latest"] = self.latest.clone().into();
        record["reason"] = self.reason.clone().into();
        record
    }
}

impl PlannedUpgrade {
    /// Returns the request with which the provider runs again, or `None` if it does not.
    fn step(&self) -> Option<&Request> {
        self.request.as_ref().filter(|_| self.unchanged.is_none())
    }

    /// Returns what keeps the newest release of all from being installed, for people; empty if it is installed.
    fn limit(&self) -> String {
        let known = self.target().zip(self.status.as_ref().and_then(|status| status.as_ref().ok()));
        known.map_or_else(String::new, |(VersionTarget { request, installed, .. }, status)| {
            version_limit::of_latest(request, installed, status)
        })
    }

    /// Returns why its provider need not run again: the installed file meets its request, and the registry has nothing newer
    /// that the request accepts. Returns `None` if the provider must run.
    fn unless_newer(&self, settings: &Settings) -> Option<Unchanged> {
        self.unless_outdated().filter(|_| self.is_current(settings))
    }

    /// Returns why its provider keeps the installed version, if it runs at all, or `None` if the registry has another version
    /// to install.
    pub(super) fn unless_outdated(&self) -> Option<Unchanged> {
        let VersionTarget { binary, installed, .. } = self.target().filter(|_| self.step().is_some())?;
        let status = self.status.as_ref()?.as_ref().ok()?;
        if status.is_outdated {
            return None;
        }
        let version = installed.listed_version();
        Some(match &status.wanted {
            Some(wanted) if Version::parse(&wanted.version) < Version::parse(version) => {
                Unchanged::HeldBack(verify::older(&wanted.version, version, &binary.name))
            }
            Some(_) => Unchanged::Newest,
            None if status.is_too_young => {
                Unchanged::HeldBack("every release that is allowed is too young".to_owned())
            }
            None => Unchanged::HeldBack("no release is allowed".to_owned()),
        })
    }

    /// Whether the installed file is as recorded, and meets the request apart from its policy.
    fn is_current(&self, settings: &Settings) -> bool {
        self.target().is_some_and(|target| status::is_current(target.binary, target.request, settings))
    }

    /// Whether its provider is asked for versions.
    fn is_asked(&self, asked: Asked) -> bool {
        let is_exact = matches!(self.unchanged, Some(Unchanged::Exact(_)));
        self.target().is_some() && (asked == Asked::All || is_exact || self.step().is_some())
    }

    /// Returns the installed binary with its request, or `None` if there is none.
    fn target(&self) -> Option<VersionTarget<'_>> {
        let binary = self.earlier.as_ref()?;
        Some(VersionTarget { request: self.request.as_ref()?, binary, installed: binary.installed()? })
    }
}

impl UpgradePlan {
    /// Plans an upgrade of the named binaries, or of all that are installed. Creates no file.
    pub(crate) fn new(
        request: &InstallRequest,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        let mut binaries = match session::open_to_read(settings, on_event)? {
            Some(store) => {
                // The provider runs again, so the digest of a file is enough.
                let file_check = FileCheck { settings, configs: &PluginConfigs::default() };
                let machine_id = session::machine_id(settings, &store)?;
                adopt::binaries(&store, file_check, machine_id)?
            }
            None => HashMap::new(),
        };
        binaries.retain(|_, binary| binary.installed().is_some());
        let stored = stored_requests::all(&binaries, settings);
        let mut install = InstallPlan::with_stored(request, stored, settings, on_event)?;
        install.options.reinstalls = true;
        let steps = std::mem::take(&mut install.steps);
        let plan_one = |step: plan::Step| {
            let name = plan::name_of(&step).clone();
            let earlier = binaries.get(name.as_str()).cloned();
            let (request, unchanged) = match step {
                Ok(request) => {
                    let unchanged = obstacle(&request, earlier.as_ref(), &install.catalog, settings);
                    let installed = earlier.as_ref().and_then(Binary::installed);
                    let installed = installed.filter(|_| !matches!(unchanged, Some(Unchanged::Refused(_))));
                    (installed.map(|installed| of_provider(request, installed)), unchanged)
                }
                Err(Refusal { reason, .. }) => (None, Some(Unchanged::Refused(reason))),
            };
            PlannedUpgrade { name, earlier, request, unchanged, status: None }
        };
        let rows: Vec<PlannedUpgrade> = steps.into_iter().map(plan_one).collect();
        let mut plan = Self { install, rows, has_names: !request.names.is_empty() };
        plan.update_steps();
        Ok(plan)
    }

    /// Makes the plan of the install that of the binaries whose providers run again.
    fn update_steps(&mut self) {
        let steps = self.rows.iter().filter_map(|row| Some(Ok(row.step()?.clone())));
        self.install.steps = steps.collect();
    }

    /// Whether a provider lists versions, so that [`UpgradePlan::ask`] runs a hook.
    pub(crate) fn asks(&self, asked: Asked) -> bool {
        version_status::has_lister(&self.targets(asked), &self.install.catalog)
    }

    /// Asks the providers what their registries have. The hooks are part of the command `within`.
    pub(crate) fn ask(
        &mut self,
        asked: Asked,
        session: &Session<'_>,
        within: &Process,
        interrupt: &Interrupt,
    ) -> Result<(), EngineError> {
        let InstallPlan { catalog, options, .. } = &self.install;
        let targets = self.targets(asked);
        let statuses = version_status::ask(session, catalog, *options, &targets, within, interrupt)?;
        let rows = self.rows.iter_mut().filter(|row| row.is_asked(asked));
        for (row, status) in rows.zip(statuses) {
            row.status = Some(status);
        }
        Ok(())
    }

    /// Returns the installed binaries whose requests are known.
    fn targets(&self, asked: Asked) -> Vec<VersionTarget<'_>> {
        let rows = self.rows.iter().filter(|row| row.is_asked(asked));
        rows.filter_map(PlannedUpgrade::target).collect()
    }

    /// Asks the providers in a command of its own. Returns the signal that interrupted it.
    pub(crate) fn ask_alone(
        &mut self,
        asked: Asked,
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Option<i32>, EngineError> {
        let session = Session::open(settings.clone(), on_event)?;
        let interrupt = Interrupt::install().map_err(EngineError::Signals)?;
        let command = session.begin()?;
        let id = command.process.id;
        self.ask(asked, &session, &command.process, &interrupt)?;
        let interrupted = interrupt.signal();
        session.finish(command, interrupted.map_or(ExitStatus::Success, ExitStatus::Interrupted))?;
        session.prune_if_due(id, interrupted, self.install.catalog.core.keep());
        Ok(interrupted)
    }

    /// Leaves out the binaries for which there is nothing newer, so that their providers do not run again.
    pub(crate) fn leave_out_newest(&mut self, settings: &Settings) {
        for row in &mut self.rows {
            row.unchanged = row.unless_newer(settings).or(row.unchanged.take());
        }
        self.update_steps();
    }

    /// Returns what becomes of each binary, given the results of the steps of [`Self::install`].
    pub(crate) fn finish(&self, results: Vec<StepResult>) -> Vec<Upgrade> {
        let mut results = results.into_iter();
        let finish = |row: &PlannedUpgrade| {
            let earlier = row.earlier.as_ref().and_then(Binary::installed).cloned();
            let status = row.status.as_ref().and_then(|status| status.as_ref().ok());
            let version_of = |release: Option<&Release>| release.map(|release| release.version.clone());
            let mut upgrade = Upgrade {
                name: row.name.to_string(),
                wanted: version_of(status.and_then(|status| status.wanted.as_ref())),
                latest: version_of(status.and_then(|status| status.latest.as_ref())),
                outcome: UpgradeOutcome::Failed,
                reason: String::new(),
                release_age: 0.0,
                record: Value::Null,
                result: None,
                earlier,
            };
            match (&row.unchanged, row.step()) {
                (None, None) => {}
                (None, Some(request)) => {
                    if let Some(result) = results.next() {
                        upgrade.settle(request, result, &self.install.catalog);
                        upgrade.compare_with_listed(request, status);
                    }
                }
                (Some(unchanged), _) => {
                    (upgrade.outcome, upgrade.reason) = match unchanged.clone() {
                        Unchanged::Exact(reason) => (UpgradeOutcome::UpToDate, reason),
                        Unchanged::Newest => (UpgradeOutcome::UpToDate, row.limit()),
                        Unchanged::HeldBack(reason) => (UpgradeOutcome::HeldBack, reason),
                        Unchanged::Foreign(reason) => (UpgradeOutcome::Foreign, reason),
                        Unchanged::Refused(reason) => (UpgradeOutcome::Failed, reason),
                    };
                    if matches!(unchanged, Unchanged::Newest | Unchanged::HeldBack(_)) {
                        upgrade.release_age = status.map_or(0.0, |status| status.release_age);
                    }
                    upgrade.record = row.earlier.as_ref().map_or_else(
                        || unresolved(&row.name, &upgrade.reason),
                        |binary| binary.to_record(&[]),
                    );
                }
            }
            upgrade
        };
        self.rows.iter().map(finish).collect()
    }

    /// Whether this outcome means that a part of the requested work could not be done.
    pub(crate) fn is_failure(&self, outcome: UpgradeOutcome) -> bool {
        match outcome {
            UpgradeOutcome::Failed => true,
            UpgradeOutcome::Foreign => self.has_names,
            UpgradeOutcome::Upgraded
            | UpgradeOutcome::Downgraded
            | UpgradeOutcome::UpToDate
            | UpgradeOutcome::Unchanged
            | UpgradeOutcome::HeldBack
            | UpgradeOutcome::Planned => false,
        }
    }

    /// Updates the lines that the lock file has for the binaries, unless their upgrades failed.
    pub(crate) fn update_lockfile(
        &self,
        path: &Path,
        upgrades: &[Upgrade],
        settings: &Settings,
        on_event: OnEvent<'_>,
    ) -> Result<Vec<LockRow>, EngineError> {
        let installed = self.rows.iter().zip(upgrades).filter_map(|(row, upgrade)| {
            let request = row.request.as_ref().filter(|_| upgrade.outcome != UpgradeOutcome::Failed)?;
            let is_new = upgrade.result.as_ref().is_some_and(StepResult::is_installed);
            (is_new || row.is_current(settings)).then_some((request, upgrade.installed()?))
        });
        let installed: Vec<_> = installed.collect();
        lockfile_update::update_existing_lines(path, &installed, &self.install.catalog, settings, on_event)
    }
}

impl Upgrade {
    /// Sets the outcome from the result of the provider.
    fn settle(&mut self, request: &Request, result: StepResult, catalog: &Catalog) {
        let provider = request.candidates.first().map(ProviderName::as_str).unwrap_or_default();
        self.outcome = match (&result, result.installed()) {
            (StepResult::Planned(_), _) => UpgradeOutcome::Planned,
            (_, Some(installed)) => {
                let of_versions = |earlier| UpgradeOutcome::of_versions(earlier, installed);
                self.earlier.as_ref().map_or(UpgradeOutcome::Upgraded, of_versions)
            }
            (_, None) if result.held_back().is_some() => UpgradeOutcome::HeldBack,
            (_, None) => UpgradeOutcome::Failed,
        };
        if self.outcome != UpgradeOutcome::Failed {
            if let Some(reason) = result.held_back() {
                reason.clone_into(&mut self.reason);
            } else {
                self.reason = version_limit::of_request(request, provider).unwrap_or_default();
            }
            let enforces = catalog.configs.schema(provider).map(|schema| schema.provider.enforces);
            let is_unenforced = result.unenforced().iter().any(|rule| rule == MIN_RELEASE_AGE_KEY);
            if enforces.is_some_and(|enforces| enforces.min_release_age == Some(true)) && !is_unenforced {
                self.release_age = request.policy_of(provider).age();
            }
        }
        self.record = match &result {
            StepResult::Resolved(_, resolved) if self.outcome == UpgradeOutcome::HeldBack => {
                resolved.binary.to_record(&resolved.attempts)
            }
            result => result.to_record(),
        };
        self.result = Some(result);
    }

    /// Corrects the reason with what the registry has, and the outcome if the provider ran and installed the earlier version
    /// again, although its registry has a newer one.
    fn compare_with_listed(&mut self, request: &Request, status: Option<&VersionStatus>) {
        use UpgradeOutcome::{Unchanged, UpToDate, Upgraded};
        let (Some(status), Some(installed), UpToDate | Upgraded) = (status, self.installed(), self.outcome)
        else {
            return;
        };
        let wanted = status.wanted.as_ref().filter(|_| status.is_outdated && self.outcome == UpToDate);
        if let Some(wanted) = wanted {
            let spec = shell::quote_text(&format!("{}@{}", self.name, wanted.version));
            self.reason = format!(
                "{} chose this version again, although {} is listed; `rigup upgrade {spec}` requests that one",
                installed.binprovider, wanted.version
            );
            self.outcome = Unchanged;
            return;
        }
        let limit = version_limit::of_latest(request, installed, status);
        if !limit.is_empty() {
            self.reason = limit;
        }
    }
}

/// Returns why the provider of a binary does not run again, or `None` if it does.
fn obstacle(
    request: &Request,
    earlier: Option<&Binary>,
    catalog: &Catalog,
    settings: &Settings,
) -> Option<Unchanged> {
    let provider =
        request.named_provider.as_ref().map_or_else(String::new, |provider| format!("{provider}:"));
    let version = request.versions().exact().map_or_else(String::new, |version| format!("@{version}"));
    let spec = format!("{provider}{}{version}", request.name);
    let next = format!("run `rigup install {}`", shell::quote_text(&spec));
    let Some((binary, installed)) = earlier.and_then(|binary| Some((binary, binary.installed()?))) else {
        return Some(Unchanged::Refused(format!("it is not installed; {next}")));
    };
    let Installed { binprovider: provider, version, package_version, .. } = installed;
    if !request.providers.allows(provider) {
        let problem = format!("{provider} installed it, and its request does not allow {provider}; {next}");
        return Some(Unchanged::Refused(problem));
    }
    if let Some(refusal) = package_command::refusal(binary, Change::Upgrade, catalog, settings) {
        return Some(Unchanged::Foreign(refusal));
    }
    let versions = request.versions_of(provider);
    // A newer version may begin with a partial one.
    let is_open = versions.partial().is_some() && version_status::hooks(catalog).contains_key(provider);
    let is_accepted = !is_open && versions.contains_program(version, package_version);
    let exact = versions.exact().filter(|_| is_accepted)?;
    Some(Unchanged::Exact(format!("exactly {exact} is required ({})", version_limit::sources(request))))
}

/// Returns a request with the provider that installed its binary as the only candidate.
fn of_provider(mut request: Request, installed: &Installed) -> Request {
    let Installed { binprovider: provider, version, package_version, .. } = installed;
    // A request that excludes the installed version may ask for an older one.
    let is_accepted = request.versions_of(provider).contains_program(version, package_version);
    if is_accepted && !request.is_restricted {
        request.not_below.clone_from(version);
    }
    if request.providers == Providers::Default {
        let mut all = request.candidates.clone();
        if !all.contains(provider) {
            all.insert(0, provider.clone());
        }
        request.providers = Providers::Only(all);
    }
    request.candidates = vec![provider.clone()];
    request
}

/// Returns the names of upgraded binaries whose lines in a lock file have another version, and were not updated.
pub(crate) fn outdated_lines(path: &Path, upgrades: &[Upgrade], settings: &Settings) -> Vec<String> {
    // Without --lock, the lock file has no effect, and neither has a problem in it.
    let Ok(file) = LockfileOnDisk::read(path, settings, &|_event| {}) else { return Vec::new() };
    let platform = settings::platform();
    let is_outdated = |upgrade: &&Upgrade| {
        let line = file.lockfile.get(&platform, &upgrade.name);
        upgrade.outcome.has_other_version()
            && line.zip(upgrade.installed()).is_some_and(|(line, installed)| {
                line.version != installed.version
                    || line.other_version(&installed.version, &installed.package_version).is_some()
            })
    };
    upgrades.iter().filter(is_outdated).map(|upgrade| upgrade.name.clone()).collect()
}
