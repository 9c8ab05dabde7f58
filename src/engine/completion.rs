//! The values that complete an argument of the command line. Only an existing store is read, and nothing is created.

use std::collections::{BTreeMap, HashSet};

use crate::engine::catalog::Catalog;
use crate::engine::current_processes::CurrentProcesses;
use crate::engine::daemons;
use crate::engine::error::EngineError;
use crate::engine::plugin_names::{self, Folders};
use crate::engine::session;
use crate::model::{Binary, PluginName, Process};
use crate::plugin::builtin;
use crate::plugin::config::core::CoreSettings;
use crate::plugin::config::value::Sources;
use crate::plugin::hook_name::{self, BINARY_REQUEST, HookName};
use crate::plugin::requirement::{Providers, SYSTEM};
use crate::report::short_id::short_ids;
use crate::report::tables;
use crate::settings::Settings;
use crate::sorting::{collect_sorted, sort};
use crate::store::{BinaryFilter, ProcessFilter, Store};

/// The number of processes that complete an argument: the live ones, then the newest.
const MAX_PROCESSES: u32 = 50;

/// A value that completes an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The value.
    pub value: String,
    /// What it stands for; may be empty.
    pub description: String,
}

impl Candidate {
    fn new(value: impl Into<String>, description: impl Into<String>) -> Self {
        Self { value: value.into(), description: description.into() }
    }
}

/// The values that complete an argument, in order.
pub(crate) type Completions = Result<Vec<Candidate>, EngineError>;

/// Returns the names of installed binaries.
pub(crate) fn installed(settings: &Settings) -> Completions {
    Ok(of_binaries(&installed_records(settings)?))
}

/// Returns the names of binaries that have a record.
pub(crate) fn recorded(settings: &Settings) -> Completions {
    Ok(of_binaries(&records(settings)?))
}

/// Returns the names of binaries that have a record or that a plugin requires.
pub(crate) fn binaries(settings: &Settings) -> Completions {
    let known = known(settings, &plugin_names::folders(settings)?).into_iter();
    Ok(known.map(|(name, known)| Candidate::new(name, known.description)).collect())
}

/// Returns the specs of installed binaries, for a word that begins with `typed`.
pub(crate) fn installed_specs(settings: &Settings, typed: &str) -> Completions {
    Ok(specs_of_records(&installed_records(settings)?, typed))
}

/// Returns the specs of binaries that have a record, for a word that begins with `typed`.
pub(crate) fn recorded_specs(settings: &Settings, typed: &str) -> Completions {
    Ok(specs_of_records(&records(settings)?, typed))
}

/// Returns the specs of binaries that have a record or that a plugin requires, for a word that begins with `typed`. As any
/// other binary can be requested, too, they have all providers.
pub(crate) fn binary_specs(settings: &Settings, typed: &str) -> Completions {
    let mut folders = plugin_names::folders(settings)?;
    let known = known(settings, &folders);
    // A provider is named like its folder, so the others need not be listed.
    let provider = typed.split(':').next().unwrap_or_default();
    folders.retain(|name, _| name.starts_with(provider));
    let providers = of_hooks(settings, &folders, provider_of).into_iter();
    let providers: Vec<String> =
        providers.map(|provider| provider.value).chain([SYSTEM.to_owned()]).collect();
    Ok(specs(known, &providers, typed))
}

/// Returns the names of plugins.
pub(crate) fn plugins(settings: &Settings) -> Completions {
    let built_in = builtin::plugins(&settings.data_dir).into_iter();
    let mut all: BTreeMap<String, String> =
        collect_sorted(built_in.map(|plugin| (plugin.name.to_string(), "built in".to_owned())));
    all.extend(plugin_names::folders(settings)?.into_iter().map(|(name, folder)| {
        let root = folder.parent().map(|root| root.display().to_string());
        (name.to_string(), root.unwrap_or_default())
    }));
    Ok(all.into_iter().map(|(name, root)| Candidate::new(name, root)).collect())
}

/// Returns the names of providers, in hook order.
pub(crate) fn providers(settings: &Settings) -> Completions {
    Ok(of_hooks(settings, &plugin_names::folders(settings)?, provider_of))
}

/// Returns the names in a list of providers: those of the providers, and the one for the package managers of the system.
pub(crate) fn provider_list(settings: &Settings) -> Completions {
    let mut names = providers(settings)?;
    names.push(Candidate::new(SYSTEM, "the package managers of this system"));
    Ok(names)
}

/// Returns the events that have hooks.
pub(crate) fn events(settings: &Settings) -> Completions {
    Ok(of_hooks(settings, &plugin_names::folders(settings)?, |_plugin, hook| Some(hook.event.clone())))
}

/// Returns the names of the hooks of events.
pub(crate) fn hooks(settings: &Settings) -> Completions {
    let is_of_provider = |hook: &HookName| hook_name::is_of_provider(&hook.event);
    let name = |_: &PluginName, hook: &HookName| (!is_of_provider(hook)).then(|| hook.name.clone());
    Ok(of_hooks(settings, &plugin_names::folders(settings)?, name))
}

/// Returns the names of settings.
pub(crate) fn settings(settings: &Settings) -> Completions {
    let mut all = BTreeMap::new();
    for plugin in builtin::plugins(&settings.data_dir) {
        let schema = builtin::config(&plugin.name).ok().flatten();
        let properties = schema.map(|schema| schema.properties).unwrap_or_default().into_iter();
        all.extend(properties.map(|property| (property.name, plugin.name.to_string())));
    }
    for (plugin, folder) in plugin_names::folders(settings)? {
        let names = plugin_names::settings(&folder).into_iter();
        all.extend(names.map(|name| (name, plugin.to_string())));
    }
    let sources = Sources { environment: &settings.environment, files: &settings.files };
    let core = CoreSettings::read(sources).map_err(EngineError::Setting)?.settings.into_iter();
    all.extend(core.map(|setting| (setting.name, "rigup".to_owned())));
    Ok(all.into_iter().map(|(name, plugin)| Candidate::new(name, plugin)).collect())
}

/// Returns the names of settings, each with the `=` before its value.
pub(crate) fn assignments(values: &Settings) -> Completions {
    let mut all = settings(values)?;
    for setting in &mut all {
        setting.value.push('=');
    }
    Ok(all)
}

/// Returns the short ids of processes: the live ones, then the newest.
pub(crate) fn processes(settings: &Settings) -> Completions {
    of_processes(settings, &ProcessFilter::default())
}

/// Returns the short ids of live processes.
pub(crate) fn live_processes(settings: &Settings) -> Completions {
    of_processes(settings, &ProcessFilter { is_live: true, ..ProcessFilter::default() })
}

/// Returns the short ids of processes whose command can be run again.
pub(crate) fn replayable_processes(settings: &Settings) -> Completions {
    of_processes(settings, &ProcessFilter { is_replayable: true, ..ProcessFilter::default() })
}

/// Returns the slugs of runs.
pub(crate) fn slugs(settings: &Settings) -> Completions {
    let slugs = store(settings)?.map_or(Ok(Vec::new()), |store| store.slugs())?;
    Ok(slugs.into_iter().map(|slug| Candidate::new(slug, "")).collect())
}

/// Returns the names of the daemons that a supervisor knows.
pub(crate) fn daemons(settings: &Settings) -> Completions {
    let daemons = store(settings)?.map_or(Ok(Vec::new()), |store| store.daemons())?;
    Ok(daemons.iter().map(|daemon| Candidate::new(&daemon.name, daemon.status.as_str())).collect())
}

/// Returns the names of the daemons that plugins and the project declare.
pub(crate) fn declared_daemons(settings: &Settings) -> Completions {
    let catalog = Catalog::find(settings, &[], &|_event| {})?;
    let declared = daemons::declared(&catalog, &[], settings);
    let (specs, _warnings) = declared.map_err(|error| EngineError::Setup(error.0.join("\n")))?;
    Ok(specs.iter().map(|spec| Candidate::new(spec.name.to_string(), "")).collect())
}

/// Returns what has logs: daemons, binaries and processes.
pub(crate) fn logs(settings: &Settings) -> Completions {
    let all = [daemons(settings)?, recorded(settings)?, processes(settings)?];
    Ok(all.into_iter().flatten().collect())
}

/// Returns the ids of machines.
pub(crate) fn machines(settings: &Settings) -> Completions {
    let machines = store(settings)?.map_or(Ok(Vec::new()), |store| store.machines())?;
    let ids = short_ids(machines.iter().map(|machine| machine.id));
    Ok(ids.iter().zip(&machines).map(|(id, machine)| Candidate::new(id, &machine.facts.hostname)).collect())
}

/// What is known of a binary.
struct Known {
    /// What its name stands for.
    description: String,
    /// The providers that may precede its name.
    providers: Providers,
}

impl Known {
    fn recorded(binary: &Binary) -> Self {
        let providers = match binary.installed() {
            Some(installed) => Providers::Only(vec![installed.binprovider.clone()]),
            None => requested_providers(binary),
        };
        Self { description: description(binary), providers }
    }
}

/// Returns the binaries that have a record or that a plugin requires, by name.
fn known(settings: &Settings, folders: &Folders) -> BTreeMap<String, Known> {
    let mut all = BTreeMap::new();
    for (plugin, folder) in folders {
        all.extend(plugin_names::required(folder).into_iter().map(|required| {
            let providers = required.providers();
            (required.name, Known { description: format!("required by {plugin}"), providers })
        }));
    }
    // The names in plugins are known also if the records cannot be read.
    for binary in records(settings).unwrap_or_default() {
        let unknown = || Known { description: String::new(), providers: requested_providers(&binary) };
        all.entry(binary.name.clone()).or_insert_with(unknown).description = description(&binary);
    }
    all
}

fn specs_of_records(binaries: &[Binary], typed: &str) -> Vec<Candidate> {
    let named = |binary: &Binary| (binary.name.clone(), Known::recorded(binary));
    let binaries: BTreeMap<String, Known> = collect_sorted(binaries.iter().map(named));
    let mut providers = Vec::new();
    for known in binaries.values() {
        if let Providers::Only(names) = &known.providers {
            providers.extend(names.iter().map(ToString::to_string));
        }
    }
    sort(&mut providers);
    providers.dedup();
    specs(binaries, &providers, typed)
}

/// Returns the names of binaries, then the providers with a `:`; for a word that begins with a provider and a `:`, the names
/// with that provider instead.
fn specs(binaries: BTreeMap<String, Known>, providers: &[String], typed: &str) -> Vec<Candidate> {
    let with_providers: Vec<Candidate> = match typed.split_once(':') {
        None => providers.iter().map(|name| Candidate::new(format!("{name}:"), "provider")).collect(),
        Some((provider, _)) if providers.iter().any(|name| name == provider) => {
            let allowed = binaries.iter().filter(|(_, known)| known.providers.allows(provider));
            let spec = |(name, known): (&String, &Known)| {
                Candidate::new(format!("{provider}:{name}"), &known.description)
            };
            allowed.map(spec).collect()
        }
        Some(_) => Vec::new(),
    };
    let names = binaries.into_iter().map(|(name, known)| Candidate::new(name, known.description));
    names.chain(with_providers).collect()
}

fn requested_providers(binary: &Binary) -> Providers {
    Providers::parse(&binary.binproviders).unwrap_or(Providers::Default)
}

/// Opens the store, unless it does not exist or other users may write to its folder.
fn store(settings: &Settings) -> Result<Option<Store>, EngineError> {
    session::check_data_dir(settings)?;
    Ok(Store::open_unchanged(&settings.data_dir, &settings.lib_dir)?)
}

/// Returns the records of binaries, one for each name. After a data dir was moved to another machine, those of the earlier
/// one count, too.
fn records(settings: &Settings) -> Result<Vec<Binary>, EngineError> {
    let Some(store) = store(settings)? else { return Ok(Vec::new()) };
    let mut binaries = store.binaries(&BinaryFilter::default())?;
    binaries.dedup_by(|next, kept| next.name == kept.name);
    Ok(binaries)
}

fn installed_records(settings: &Settings) -> Result<Vec<Binary>, EngineError> {
    let mut binaries = records(settings)?;
    binaries.retain(|binary| binary.installed().is_some());
    Ok(binaries)
}

fn of_binaries(binaries: &[Binary]) -> Vec<Candidate> {
    binaries.iter().map(|binary| Candidate::new(&binary.name, description(binary))).collect()
}

fn description(binary: &Binary) -> String {
    match binary.installed() {
        Some(installed) => format!("{} {}", installed.binprovider, installed.version.as_str()),
        None => "not installed".to_owned(),
    }
}

fn of_processes(settings: &Settings, filter: &ProcessFilter) -> Completions {
    let Some(store) = store(settings)? else { return Ok(Vec::new()) };
    let filter = ProcessFilter { limit: Some(MAX_PROCESSES), ..filter.clone() };
    let processes = CurrentProcesses::new(&store, settings)?.matching(&filter)?.list()?;
    let ids = short_ids(processes.iter().map(|process| process.id));
    let description =
        |process: &Process| format!("{}: {}", tables::process_state(process).text, process.title());
    Ok(ids.iter().zip(&processes).map(|(id, process)| Candidate::new(id, description(process))).collect())
}

fn provider_of(plugin: &PluginName, hook: &HookName) -> Option<String> {
    (hook.event == BINARY_REQUEST).then(|| plugin.to_string())
}

/// Returns a name of each hook that has one, once, in hook order. The first plugin that has it describes it.
fn of_hooks(
    settings: &Settings,
    folders: &Folders,
    name: impl Fn(&PluginName, &HookName) -> Option<String>,
) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    let hooks = plugin_names::hooks(settings, folders);
    let named = hooks.iter().filter_map(|(plugin, hook)| Some((name(plugin, hook)?, plugin)));
    let first = named.filter(|(name, _)| seen.insert(name.clone()));
    first.map(|(name, plugin)| Candidate::new(name, plugin.to_string())).collect()
}
