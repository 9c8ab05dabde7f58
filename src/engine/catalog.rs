//! The plugins that a command uses: their hooks, requirements and settings, read once.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::engine::error::EngineError;
use crate::engine::event::{EngineEvent, OnEvent};
use crate::engine::plugin_requirements;
use crate::hook::command;
use crate::hook::run::Variables;
use crate::install::plan::{self, Request, Selection};
use crate::install::provider_deps;
use crate::model::{PluginName, Policy, ProviderName, misspelling};
use crate::plugin::builtin;
use crate::plugin::config::core::CoreSettings;
use crate::plugin::config::enabled::{self, PluginConfigs, PluginStatus};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::schema::{Property, Schema};
use crate::plugin::config::value::{Origin, Setting, Sources, Variable};
use crate::plugin::discovery::{self, Discovery, Hook, Plugin};
use crate::plugin::hook_name::{self, BINARY_REQUEST};
use crate::plugin::requirement::{Diagnostic, Requirement};
use crate::settings::{self, Settings};
use crate::shell;
use crate::trust::Inspection;

mod package_managers;

/// The plugin whose settings the hooks of all plugins get.
const BASE: &str = "base";

/// The contents of the plugin folders, and the problems that were found in them.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// All plugins and providers, by name, with the folders and files that cannot be used, and with warnings about
    /// invalid values, which are replaced by a default.
    pub(crate) discovery: Discovery,
    /// The requirements of the enabled plugins.
    pub(crate) requirements: Vec<Requirement>,
    /// The requirements of providers, except for providers that a selection of plugins names or that an enabled plugin
    /// requires.
    pub(crate) provider_requirements: Vec<Requirement>,
    /// The `config.json` files of the plugins.
    pub(crate) configs: PluginConfigs,
    /// rigup's own settings.
    pub(crate) core: CoreSettings,
    /// The settings of each plugin, with their values.
    pub(crate) settings: HashMap<PluginName, Vec<Setting>>,
    /// Whether each plugin is enabled.
    pub(crate) statuses: HashMap<PluginName, PluginStatus>,
    /// Warnings about the settings of a plugin, and why one cannot be used.
    pub(crate) plugin_warnings: Vec<(PluginName, String)>,
    /// The PATH of the hooks of providers.
    search_path: OsString,
    /// The package managers of the system on that PATH, in hook order, each with whether it installs as root. A search of PATH
    /// for all of them takes long, so there is only one.
    package_managers: OnceLock<Vec<(ProviderName, bool)>>,
    /// The configuration of each provider, once it was asked for.
    provider_configs: OnceLock<HashMap<ProviderName, ProviderConfig>>,
}

impl Catalog {
    /// Finds all plugins, and checks that those in `selected` exist, or those in the setting PLUGINS if `selected` is
    /// empty. Reads no requirements.
    pub(crate) fn find(
        settings: &Settings,
        selected: &[String],
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        let mut inspection = Inspection::new(&settings.trust);
        let (mut catalog, unreadable) = Self::find_with(settings, selected, &mut inspection, on_event)?;
        catalog.discovery.warnings.extend(unreadable.iter().map(ToString::to_string));
        Ok(catalog)
    }

    /// Finds all plugins, and reads the requirements of the enabled ones and of the providers.
    pub(crate) fn read(
        settings: &Settings,
        selected: &[String],
        on_event: OnEvent<'_>,
    ) -> Result<Self, EngineError> {
        // The folder of a plugin and its parents are inspected once for both of its files.
        let mut inspection = Inspection::new(&settings.trust);
        let (mut catalog, unreadable) = Self::find_with(settings, selected, &mut inspection, on_event)?;
        // Such a file may contain requirements, too.
        catalog.discovery.diagnostics.extend(unreadable);
        let providers = catalog.providers();
        let Self { configs, discovery, statuses, requirements, provider_requirements, .. } = &mut catalog;
        let resolver = configs.resolver(sources(settings));
        let has_selection = statuses.values().any(|status| *status == PluginStatus::NotSelected);
        let roots = discovery.plugins.iter().filter(|plugin| {
            statuses[&plugin.name] == PluginStatus::Enabled && (has_selection || !plugin.is_provider())
        });
        let wanted = configs.with_required(roots.map(|plugin| &*plugin.name).collect());
        let wanted: HashSet<&str> = wanted.into_iter().flatten().collect();
        for plugin in &discovery.plugins {
            let is_enabled = statuses[&plugin.name] == PluginStatus::Enabled;
            let target = if is_enabled && wanted.contains(plugin.name.as_str()) {
                &mut *requirements
            } else if plugin.is_provider() {
                &mut *provider_requirements
            } else {
                continue;
            };
            let read = plugin_requirements::read(plugin, configs, &resolver, settings, &mut inspection);
            for (mut read, mut problems) in read {
                read.retain(|requirement| {
                    let cause = |provider: &str| discovery.why_no_provider(provider);
                    let checked = requirement.check_override_providers(&providers, cause);
                    let (message, is_warning) = match checked {
                        Ok(None) => return true,
                        Ok(Some(message)) => (message, true),
                        Err(error) => (error.to_string(), false),
                    };
                    let problem = Diagnostic::new(plugin.name.as_str(), &requirement.source, message);
                    problems.push(Diagnostic { is_warning, ..problem });
                    is_warning
                });
                target.extend(read);
                let (warnings, errors): (Vec<_>, Vec<_>) =
                    problems.into_iter().partition(|problem| problem.is_warning);
                discovery.warnings.extend(warnings.iter().map(ToString::to_string));
                discovery.diagnostics.extend(errors);
            }
        }
        Ok(catalog)
    }

    /// Finds all plugins. Also returns a diagnostic for each `config.json` that cannot be read.
    fn find_with(
        settings: &Settings,
        selected: &[String],
        inspection: &mut Inspection<'_>,
        on_event: OnEvent<'_>,
    ) -> Result<(Self, Vec<Diagnostic>), EngineError> {
        let mut discovery =
            discovery::discover(&settings.plugin_path, builtin::plugins(&settings.data_dir), &settings.trust);
        let core = core_settings(settings)?;
        let by_setting = if selected.is_empty() { core.plugins() } else { Vec::new() };
        let selected = if selected.is_empty() { &by_setting } else { selected };
        let chosen: Vec<PluginName> = selected
            .iter()
            .map(|name| selected_plugin(name, &discovery, settings, on_event))
            .collect::<Result<_, _>>()?;
        let Discovery { plugins, warnings, .. } = &mut discovery;
        let (configs, unreadable) = PluginConfigs::read(plugins, &settings.data_dir, inspection);
        check_file_keys(settings, &configs, &core)?;
        let resolver = configs.resolver(sources(settings));
        let mut plugin_warnings = Vec::new();
        let mut warn = |plugin: &PluginName, warning| plugin_warnings.push((plugin.clone(), warning));
        let statuses = configs.plugin_statuses(plugins, selected, &resolver, &mut warn);
        for (name, plugin) in selected.iter().zip(&chosen) {
            match statuses.get(plugin) {
                Some(status @ PluginStatus::Disabled(_)) => {
                    warnings.push(format!("the plugin {name} {status}"));
                }
                Some(PluginStatus::Incomplete(reason)) => {
                    return Err(EngineError::Setup(format!("cannot use the plugin {name}: {reason}")));
                }
                _ => {}
            }
        }
        let mut values_of =
            |name: &PluginName| configs.settings(name, &resolver, |warning| warn(name, warning));
        let values = plugins.iter().map(|plugin| (plugin.name.clone(), values_of(&plugin.name))).collect();
        let (requirements, provider_requirements) = (Vec::new(), Vec::new());
        let catalog = Self {
            discovery,
            requirements,
            provider_requirements,
            configs,
            core,
            settings: values,
            statuses,
            plugin_warnings,
            search_path: command::search_path(settings, &[]),
            package_managers: OnceLock::new(),
            provider_configs: OnceLock::new(),
        };
        Ok((catalog, unreadable))
    }

    /// Returns all warnings. Several plugins may share a setting, so each is returned once.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let about_plugins = self.plugin_warnings.iter().map(|(_, warning)| warning);
        let mut seen = HashSet::new();
        let all = self.discovery.warnings.iter().chain(about_plugins).map(String::as_str);
        all.filter(|warning| seen.insert(*warning)).collect()
    }

    /// Adds a warning about each of these plugins that cannot be used because it requires one that does not exist.
    pub(crate) fn warn_about_incomplete(&mut self, is_needed: impl Fn(&Plugin, Option<&Schema>) -> bool) {
        for plugin in &self.discovery.plugins {
            let status = &self.statuses[&plugin.name];
            if matches!(status, PluginStatus::Incomplete(_))
                && is_needed(plugin, self.configs.schema(&plugin.name))
            {
                let warning = format!("the plugin {} {status}", plugin.name);
                self.plugin_warnings.push((plugin.name.clone(), warning));
            }
        }
    }

    /// Whether the requirements of every plugin were read: none is disabled, left out or unreadable.
    pub(crate) fn has_all_requirements(&self) -> bool {
        self.discovery.diagnostics.is_empty()
            && self.statuses.values().all(|status| *status == PluginStatus::Enabled)
    }

    /// Returns the foreground hooks of providers, in hook order.
    pub(crate) fn provider_hooks(&self) -> Vec<&Hook> {
        let mut hooks = self.discovery.hooks_of(BINARY_REQUEST);
        hooks.retain(|hook| hook.name.background.is_none());
        hooks
    }

    /// Returns the names of all providers, in hook order.
    pub(crate) fn providers(&self) -> Vec<ProviderName> {
        let mut names: Vec<ProviderName> = self.provider_hooks().iter().map(|hook| hook.provider()).collect();
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// Returns the requests that each provider depends on.
    pub(crate) fn provider_deps(&self) -> HashMap<ProviderName, Vec<Request>> {
        let selection = self.selection();
        let providers = self.providers();
        let is_of_provider = |requirement: &&Requirement| {
            requirement.provider().is_some_and(|provider| providers.contains(&provider))
        };
        let requirements = self.provider_requirements.iter().chain(&self.requirements);
        let requirements: Vec<Requirement> = requirements.filter(is_of_provider).cloned().collect();
        provider_deps::plan(&requirements, &selection, &providers)
    }

    /// Returns the configuration in the `config.json` of each provider.
    pub(crate) fn provider_configs(&self) -> &HashMap<ProviderName, ProviderConfig> {
        let config = |name: &ProviderName| {
            let schema = self.configs.schema(name);
            let mut config = schema.map(|schema| schema.provider.clone()).unwrap_or_default();
            if name == plan::ENV {
                // It installs nothing, even if a plugin replaces it.
                config.enforces.min_release_age.get_or_insert(true);
                config.enforces.postinstall_scripts.get_or_insert(true);
            }
            config
        };
        self.provider_configs
            .get_or_init(|| self.providers().into_iter().map(|name| (name.clone(), config(&name))).collect())
    }

    /// Returns the programs on which a provider depends and that are not on PATH, each with how to install it.
    pub(crate) fn missing_programs<'a>(
        &self,
        config: &'a ProviderConfig,
    ) -> impl Iterator<Item = (&'a String, &'a String)> {
        config
            .needs
            .iter()
            .filter(|(program, _)| which::which_in(program, Some(&self.search_path), "/").is_err())
    }

    /// Returns the options of a plan that follow from the providers.
    pub(crate) fn selection(&self) -> Selection<'_> {
        Selection { host: Some(self), ..Selection::default() }
    }

    /// Returns the providers of open registries that enforce the whole default policy: the first for each kind of
    /// package.
    pub(crate) fn open_registries(&self) -> Vec<ProviderName> {
        let configs = self.provider_configs();
        let mut kinds = Vec::new();
        let mut providers = self.providers();
        providers.retain(|name| {
            let ProviderConfig { enforces, metadata: Some(kind), .. } = &configs[name] else { return false };
            let is_first = !kinds.contains(kind);
            kinds.push(*kind);
            is_first
                && !self.configs.is_curated(name)
                && enforces.unsupported_defaults(Policy::default()).is_empty()
        });
        providers
    }

    /// Returns the variables for the hooks of each plugin: which plugins are enabled, and the settings of the plugin, of
    /// those that it requires, and of the plugin `base`. If several of these have a setting, that of the first applies.
    pub(crate) fn variables(&self) -> Variables {
        self.variables_of(&self.settings)
    }

    /// Returns these variables as they are with other paths that are stored for this machine.
    pub(crate) fn variables_with(&self, config: &Map<String, Value>) -> Variables {
        let mut settings = self.settings.clone();
        apply_machine_config(&mut settings, config);
        self.variables_of(&settings)
    }

    fn variables_of(&self, settings: &HashMap<PluginName, Vec<Setting>>) -> Variables {
        let plugins = &self.discovery.plugins;
        let enabled: Vec<Variable> =
            plugins.iter().filter_map(|plugin| self.enabled_variable(plugin)).collect();
        let variables = |plugin: &Plugin| {
            let mut variables = enabled.clone();
            let mut names: HashSet<&str> = enabled.iter().map(|variable| variable.name.as_str()).collect();
            let sources = self.sources_of_settings(&plugin.name);
            for setting in sources.filter_map(|source| settings.get(source)).flatten() {
                if names.insert(&setting.name) {
                    variables.extend(setting.variable());
                }
            }
            variables
        };
        let with_hooks = plugins.iter().filter(|plugin| !plugin.hooks.is_empty());
        with_hooks.map(|plugin| (plugin.name.clone(), variables(plugin))).collect()
    }

    /// Returns the plugins whose settings the hooks of a plugin get, in order of precedence.
    pub(super) fn sources_of_settings<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = &'a str> {
        let base = self.plugin(BASE).map(|plugin| plugin.name.as_str());
        self.configs.required(plugin).into_iter().chain(base)
    }

    /// Returns the variable that says whether a plugin is enabled, or `None` for a provider, which always is.
    fn enabled_variable(&self, plugin: &Plugin) -> Option<Variable> {
        let is_provider = |hook: &Hook| hook_name::is_of_provider(&hook.name.event);
        if !plugin.hooks.is_empty() && plugin.hooks.iter().all(is_provider) {
            return None;
        }
        let value = self.is_enabled(&plugin.name).to_string().into();
        let name = enabled::name(&plugin.name);
        shell::is_name(&name).then_some(Variable { name, value, is_secret: false })
    }

    /// Sets the `*_BINARY` settings that have no explicit value to the paths that are stored for this machine.
    pub(crate) fn apply_machine_config(&mut self, config: &Map<String, Value>) {
        apply_machine_config(&mut self.settings, config);
    }

    /// Whether the hooks and requirements of a plugin are used.
    pub(crate) fn is_enabled(&self, plugin: &str) -> bool {
        self.statuses.get(plugin) == Some(&PluginStatus::Enabled)
    }

    /// Returns the requirements of the plugins and the providers for a binary.
    pub(crate) fn requirements_of(&self, name: &str) -> impl Iterator<Item = &Requirement> {
        self.all_requirements().filter(move |requirement| requirement.name.as_str() == name)
    }

    /// Returns the requirements of the plugins and the providers.
    pub(crate) fn all_requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter().chain(&self.provider_requirements)
    }

    /// Returns the settings that enable and disable each plugin.
    pub(crate) fn enabled_properties(&self) -> Vec<Property> {
        self.discovery.plugins.iter().map(|plugin| self.configs.enabled_property(&plugin.name)).collect()
    }

    /// Returns the plugin with this name, ignoring case, or `None` if there is none.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.discovery.plugins.iter().find(|plugin| is_named(&plugin.name, name))
    }
}

fn apply_machine_config(settings: &mut HashMap<PluginName, Vec<Setting>>, config: &Map<String, Value>) {
    for setting in settings.values_mut().flatten() {
        if !setting.is_explicit()
            && setting.name.ends_with("_BINARY")
            && let Some(path) = config.get(&setting.name).filter(|path| is_file(path))
        {
            setting.value = path.clone();
            setting.bytes = None;
            setting.origin = Origin::Machine;
        }
    }
}

/// Checks the keys of each `rigup.toml`: a key that no plugin declares must not look like one of rigup's own settings,
/// which would then be ignored silently.
fn check_file_keys(
    settings: &Settings,
    configs: &PluginConfigs,
    core: &CoreSettings,
) -> Result<(), EngineError> {
    let names = core.settings.iter().map(|setting| setting.name.split('.').next().unwrap_or_default());
    let own: Vec<&str> = names.chain([settings::DAEMONS]).collect();
    for file in settings.files.iter().filter(|file| file.path.ends_with(settings::FILE_NAME)) {
        let unknown = file.values.keys().filter(|key| !own.contains(&key.as_str()) && !configs.declares(key));
        for key in unknown {
            if let Some(known) = misspelling::closest(key, own.iter().copied()) {
                let path = file.path.display();
                return Err(EngineError::Setting(format!("{path}: unknown setting {key}; write {known}")));
            }
        }
    }
    Ok(())
}

/// Returns rigup's own settings.
pub(crate) fn core_settings(settings: &Settings) -> Result<CoreSettings, EngineError> {
    CoreSettings::read(sources(settings)).map_err(EngineError::Setting)
}

/// Returns an error if none of the folders that rigup searches for plugins exists.
pub(crate) fn check_plugin_folders(settings: &Settings) -> Result<(), EngineError> {
    if settings.plugin_path.iter().any(|folder| folder.is_dir()) {
        return Ok(());
    }
    Err(EngineError::Setup(format!(
        "there is no plugin folder at {}; create one with `rigup init plugin NAME`, or name one with --plugins-dir",
        searched_folders(settings)
    )))
}

/// Returns the folders that rigup searches for plugins, for a message.
pub(crate) fn searched_folders(settings: &Settings) -> String {
    let folders: Vec<String> = settings.plugin_path.iter().map(|path| path.display().to_string()).collect();
    match folders.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => folders.concat(),
    }
}

/// Returns the error for a plugin that does not exist. It lists the folders that rigup searched, and the plugins in
/// them.
pub(crate) fn no_such_plugin(name: &str, discovery: &Discovery, settings: &Settings) -> String {
    let names: Vec<&str> = discovery.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    format!(
        "there is no plugin named {name} in {}; available plugins: {}",
        searched_folders(settings),
        names.join(", ")
    )
}

/// Returns the name of a selected plugin in the case of its folder, after checking that rigup can use the plugin.
fn selected_plugin(
    name: &str,
    discovery: &Discovery,
    settings: &Settings,
    on_event: OnEvent<'_>,
) -> Result<PluginName, EngineError> {
    let Discovery { plugins, diagnostics, .. } = discovery;
    if let Some(diagnostic) = diagnostics.iter().find(|diagnostic| is_named(&diagnostic.plugin, name)) {
        return Err(EngineError::Setup(format!("cannot use the plugin {name}: {diagnostic}")));
    }
    if let Some(plugin) = plugins.iter().find(|plugin| is_named(&plugin.name, name)) {
        return Ok(plugin.name.clone());
    }
    // The plugin may be in a folder of plugins that rigup does not use.
    for diagnostic in diagnostics.iter().filter(|diagnostic| diagnostic.plugin.is_empty()) {
        on_event(&EngineEvent::Diagnostic(diagnostic));
    }
    Err(EngineError::Setup(no_such_plugin(name, discovery, settings)))
}

/// Returns the sources of the values of settings.
pub(super) fn sources(settings: &Settings) -> Sources<'_> {
    Sources { environment: &settings.environment, files: &settings.files }
}

fn is_named(plugin: &str, name: &str) -> bool {
    plugin.eq_ignore_ascii_case(name)
}

fn is_file(path: &Value) -> bool {
    path.as_str().is_some_and(|path| Path::new(path).is_file())
}
