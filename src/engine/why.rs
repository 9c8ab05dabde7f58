//! The work of `rigup why`: which plugins require a binary, how it was installed, and what was tried last.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock;
use crate::engine::catalog::{self, Catalog};
use crate::engine::error::EngineError;
use crate::engine::event::OnEvent;
use crate::engine::install::{InstallPlan, InstallRequest};
use crate::engine::{inventory, plugin_requirements, session};
use crate::install::status::{FileCheck, install_status};
use crate::install::{adopt, plan};
use crate::model::{Attempt, Binary, BinaryName, Process, ProcessId, ProviderName, misspelling};
use crate::plugin::config::enabled::PluginStatus;
use crate::plugin::requirement::Requirement;
use crate::settings::Settings;
use crate::shell;
use crate::store::{BinaryFilter, Store, StoreError};
use crate::trust::Inspection;

/// What is known about a binary.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// Its name.
    pub(crate) name: BinaryName,
    /// The requirements of plugins and providers for it.
    pub(crate) requirements: Vec<Requirement>,
    /// The requirements of plugins that are not enabled, each with the status of its plugin.
    pub(crate) disabled: Vec<(Requirement, PluginStatus)>,
    /// The providers that an install would try, in order; none if no provider may install it.
    pub(crate) candidates: Vec<ProviderName>,
    /// Its record; `None` if it was never requested.
    pub(crate) binary: Option<Binary>,
    /// Why it cannot be run although it is installed, and what to do; `None` if it can.
    pub(crate) link_error: Option<String>,
    /// Why an install would not accept what is installed, or could not install it at all.
    pub(crate) problem: Option<String>,
    /// What was tried last.
    pub(crate) last: LastResolution,
}

/// The attempts of the last command that tried to install a binary.
#[derive(Debug, Default)]
pub(crate) struct LastResolution {
    /// The attempts, each with the time at which it was stored, oldest first.
    pub(crate) attempts: Vec<(Attempt, Timestamp)>,
    /// The command, or `None` if it is unknown.
    pub(crate) command: Option<Process>,
}

impl Explanation {
    /// Returns it as a record.
    pub(crate) fn to_record(&self) -> Value {
        let installed = self.binary.as_ref().and_then(Binary::installed);
        let disabled = self.disabled.iter().map(|(requirement, status)| {
            let mut record = requirement_record(requirement);
            record["reason"] = status.to_string().into();
            record
        });
        let attempts = self.last.attempts.iter().map(|(attempt, at)| {
            let mut record = json!(attempt);
            record["created_at"] = clock::format(*at).into();
            record
        });
        json!({
            "type": "Explanation",
            "name": self.name.as_str(),
            "status": self.binary.as_ref().map_or("missing", Binary::status),
            "required_by": self.requirements.iter().map(requirement_record).collect::<Vec<_>>(),
            "disabled": disabled.collect::<Vec<_>>(),
            "candidates": self.candidates,
            "binprovider": installed.map_or("", |installed| &installed.binprovider),
            "abspath": installed.map(|installed| installed.abspath.to_string_lossy()).unwrap_or_default(),
            "version": installed.map_or("", |installed| &installed.version),
            "link_error": self.link_error,
            "problem": self.problem,
            "last_error": self.binary.as_ref().map_or("", |binary| &binary.backoff.last_error),
            "retry_at": self.binary.as_ref().and_then(|binary| binary.backoff.retry_at).map(clock::format),
            "command": self.last.command.as_ref().map(command_line),
            "command_id": self.last.command.as_ref().map(|command| command.id),
            "attempts": attempts.collect::<Vec<_>>(),
        })
    }
}

fn requirement_record(requirement: &Requirement) -> Value {
    json!({
        "plugin": requirement.plugin,
        "source": requirement.source,
        "binproviders": requirement.providers.to_string(),
        "min_version": requirement.min_version,
        "max_version": requirement.max_version,
    })
}

/// Returns a command of rigup as someone types it.
pub(crate) fn command_line(command: &Process) -> String {
    let arguments = command.spec.cmd.get(1..).unwrap_or_default();
    format!("rigup {}", shell::quote_command(arguments))
}

/// Explains a binary. Changes nothing. Also returns the plan of its install, which has the plugins. Fails if no plugin
/// requires the binary, enabled or not, and no record names it.
pub(crate) fn explain(
    name: &str,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<(Explanation, InstallPlan), EngineError> {
    let plan = InstallPlan::new(&InstallRequest::for_names([name]), settings, on_event)?;
    let step = plan.steps.first().ok_or_else(|| EngineError::InvalidRequest("no name".to_owned()))?;
    let name = plan::name_of(step).clone();
    let requirements: Vec<Requirement> = plan.catalog.requirements_of(name.as_str()).cloned().collect();
    let disabled = disabled_requirements(&name, &plan.catalog, settings);
    let store = session::open_to_read(settings, on_event)?;
    let machine_id = match &store {
        Some(store) => session::machine_id(settings, store)?,
        None => None,
    };
    let file_check = FileCheck { settings, configs: &plan.catalog.configs };
    let mut binary = match &store {
        Some(store) => adopt::binary(store, file_check, machine_id, name.as_str())?,
        None => None,
    };
    if let Some(binary) = &mut binary {
        file_check.renew_fingerprint(binary);
    }
    if binary.is_none() && requirements.is_empty() && disabled.is_empty() {
        let filter = BinaryFilter { machine_id, ..BinaryFilter::default() };
        let recorded = store.as_ref().map(|store| store.binaries(&filter)).transpose()?.unwrap_or_default();
        let required = plan.catalog.all_requirements().map(|requirement| requirement.name.as_str());
        let known = required.chain(recorded.iter().map(|binary| binary.name.as_str()));
        let next = match misspelling::closest(name.as_str(), known) {
            Some(known) => format!("did you mean `rigup why {}`?", shell::quote_text(known)),
            None => "`rigup list` and `rigup plugin list` show the names".to_owned(),
        };
        return Err(EngineError::NotFound(format!(
            "no plugin requires {name}, and it was never requested; {next}"
        )));
    }
    let last = match (&store, &binary) {
        (Some(store), Some(binary)) => last_resolution(store.attempts(binary.id)?, store)?,
        _ => LastResolution::default(),
    };
    let problem = match step {
        Ok(request) => binary
            .as_ref()
            .and_then(|binary| install_status(binary, request, settings, false).problem(request)),
        Err(refusal) => Some(refusal.reason.clone()),
    };
    let explanation = Explanation {
        candidates: step.as_ref().map(|request| request.candidates.clone()).unwrap_or_default(),
        link_error: binary.as_ref().and_then(|binary| inventory::link_error(binary, settings)),
        name,
        requirements,
        disabled,
        binary,
        problem,
        last,
    };
    Ok((explanation, plan))
}

/// Returns the requirements for a binary of the plugins that are not enabled, each with the status of its plugin. Leaves out
/// problems in their files, which no install reads.
fn disabled_requirements(
    name: &BinaryName,
    catalog: &Catalog,
    settings: &Settings,
) -> Vec<(Requirement, PluginStatus)> {
    let mut inspection = Inspection::new(&settings.trust);
    let resolver = catalog.configs.resolver(catalog::sources(settings));
    let mut found = Vec::new();
    // The requirements of a provider are read even if it is disabled.
    for plugin in catalog.discovery.plugins.iter().filter(|plugin| !plugin.is_provider()) {
        let status = &catalog.statuses[&plugin.name];
        if *status != PluginStatus::Enabled {
            let read =
                plugin_requirements::read(plugin, &catalog.configs, &resolver, settings, &mut inspection);
            let of_binary = read.flat_map(|(read, _problems)| read).filter(|read| read.name == *name);
            found.extend(of_binary.map(|requirement| (requirement, status.clone())));
        }
    }
    found
}

/// Returns what was tried last, of all attempts at a binary. An attempt that started no
/// process belongs to the command that ran when it was stored; before and after all commands, each provider occurs once.
fn last_resolution(
    mut attempts: Vec<(Attempt, Timestamp)>,
    store: &Store,
) -> Result<LastResolution, StoreError> {
    let command_of = |id: ProcessId| -> Result<Option<Process>, StoreError> {
        let parent = store.process(id)?.and_then(|process| process.parent_id);
        Ok(parent.map(|id| store.process(id)).transpose()?.flatten())
    };
    let mut command: Option<Process> = None;
    let mut providers = HashSet::new();
    let mut start = attempts.len();
    for (index, (attempt, at)) in attempts.iter().enumerate().rev() {
        let is_of_last = match (attempt.process_id, &command) {
            (Some(id), Some(command)) => command_of(id)?.is_some_and(|found| found.id == command.id),
            (Some(id), None) => {
                let found = command_of(id)?;
                let ended_at = found.as_ref().and_then(Process::exit).map(|exit| exit.ended_at);
                let later = attempts.get(index + 1).map(|(_, at)| *at);
                let is_same = later.is_none_or(|later| ended_at.is_none_or(|ended| later <= ended));
                command = found.filter(|_| is_same);
                is_same
            }
            (None, Some(command)) => *at >= command.created_at,
            (None, None) => providers.insert(attempt.provider.clone()),
        };
        if !is_of_last {
            break;
        }
        start = index;
    }
    Ok(LastResolution { attempts: attempts.split_off(start), command })
}
