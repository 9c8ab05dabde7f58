//! The plugins that this command line sees.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::error::{CliError, Exit};
use crate::cli::output::say;
use crate::install::plan::Request;
use crate::install::provider_deps;
use crate::model::plugin_name::{PluginName, ProviderName};
use crate::plugin::builtin;
use crate::plugin::config::core::CoreSettings;
use crate::plugin::config::enabled::{PluginConfigs, PluginStatus};
use crate::plugin::config::provider::ProviderConfig;
use crate::plugin::config::schema;
use crate::plugin::config::value::{self, Origin, Setting, Sources, Variable};
use crate::plugin::discovery::{self, Discovery, Hook, Plugin};
use crate::plugin::hook_name::BINARY_REQUEST;
use crate::plugin::requirement::{self, Diagnostic, Requirement};
use crate::settings::Settings;
use crate::trust::Inspection;

/// What was found, and what could not be read.
#[derive(Debug)]
pub(crate) struct Found {
    /// All plugins and providers, by name.
    pub(crate) discovery: Discovery,
    /// The requirements of the chosen plugins.
    pub(crate) requirements: Vec<Requirement>,
    /// What the providers that were not chosen need themselves.
    pub(crate) needs: Vec<Requirement>,
    /// What could not be read, of folders and of requirement files.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What the plugins' `config.json` files say.
    pub(crate) configuration: PluginConfigs,
    /// rigup's own settings.
    pub(crate) own: CoreSettings,
    /// What the settings of each plugin come to.
    pub(crate) settings: HashMap<PluginName, Vec<Setting>>,
    /// How each plugin stands.
    pub(crate) plugin_statuses: HashMap<PluginName, PluginStatus>,
    /// What could not be understood and has a default.
    warnings: Vec<String>,
}

/// Finds all plugins, and makes sure that the chosen ones are there: those named here, else those that the setting
/// PLUGINS names. Reads no requirements.
pub(crate) fn find(settings: &Settings, chosen: &[String]) -> Result<Found, CliError> {
    find_by(settings, chosen, &mut Inspection::new(&settings.trust))
}

fn find_by(
    settings: &Settings,
    chosen: &[String],
    inspection: &mut Inspection<'_>,
) -> Result<Found, CliError> {
    let mut discovery =
        discovery::discover(&settings.plugin_path, builtin::plugins(&settings.data_dir), &settings.trust);
    let diagnostics = std::mem::take(&mut discovery.diagnostics);
    let own = own(settings)?;
    let by_setting = if chosen.is_empty() { own.plugins() } else { Vec::new() };
    for name in chosen.iter().chain(&by_setting) {
        if let Some(diagnostic) = diagnostics.iter().find(|it| is_named(&it.plugin, name)) {
            return Err(CliError::unusable(format!("the plugin {name} cannot be used: {diagnostic}")));
        }
        if !discovery.plugins.iter().any(|plugin| is_named(&plugin.name, name)) {
            // It may be in a folder that was refused as a whole.
            diagnostics.iter().filter(|it| it.plugin.is_empty()).for_each(|it| say(&format!("error: {it}")));
            return Err(CliError::unusable(no_such_plugin(name, &discovery, settings)));
        }
    }
    let (configuration, unreadable) = PluginConfigs::read(&discovery.plugins, &settings.data_dir, inspection);
    let mut warnings = std::mem::take(&mut discovery.warnings);
    warnings.extend(unreadable.iter().map(ToString::to_string));
    let chosen = if chosen.is_empty() { &by_setting } else { chosen };
    let resolver = configuration.resolver(sources(settings));
    // Several plugins may have one setting; what is wrong with it is said once.
    let mut complain = |it: String| {
        if !warnings.contains(&it) {
            warnings.push(it);
        }
    };
    let plugin_statuses = configuration.plugin_statuses(&discovery.plugins, chosen, &resolver, &mut complain);
    for name in chosen {
        let plugin = discovery.plugins.iter().find(|it| is_named(&it.name, name));
        if let Some(PluginStatus::Disabled(reason)) = plugin.and_then(|it| plugin_statuses.get(&it.name)) {
            complain(format!("the plugin {name} does not count: {reason}"));
        }
    }
    let names = discovery.plugins.iter().map(|plugin| &plugin.name);
    let settings: HashMap<PluginName, Vec<Setting>> =
        names.map(|name| (name.clone(), configuration.settings(name, &resolver, &mut complain))).collect();
    let (requirements, needs) = (Vec::new(), Vec::new());
    Ok(Found {
        discovery,
        requirements,
        needs,
        diagnostics,
        configuration,
        own,
        settings,
        plugin_statuses,
        warnings,
    })
}

/// rigup's own settings.
pub(crate) fn own(settings: &Settings) -> Result<CoreSettings, CliError> {
    CoreSettings::read(sources(settings)).map_err(CliError::unusable)
}

fn sources(settings: &Settings) -> Sources<'_> {
    Sources { environment: &settings.environment, files: &settings.files }
}

/// Finds all plugins and reads the requirements of those that count, and what the providers need.
pub(crate) fn search(settings: &Settings, chosen: &[String]) -> Result<Found, CliError> {
    // A plugin's folder, and the way to it, is looked at once for both of its files.
    let mut inspection = Inspection::new(&settings.trust);
    let mut found = find_by(settings, chosen, &mut inspection)?;
    let resolver = found.configuration.resolver(sources(settings));
    let (mut requirements, mut needs, mut diagnostics) = (Vec::new(), Vec::new(), Vec::new());
    let has_choice = found.plugin_statuses.values().any(|it| *it == PluginStatus::NotChosen);
    for plugin in &found.discovery.plugins {
        let is_enabled = found.plugin_statuses[&plugin.name] == PluginStatus::Enabled;
        let is_provider = plugin.hooks.iter().any(|hook| hook.name.event == BINARY_REQUEST);
        if is_enabled || is_provider {
            let is_need = is_provider && !(is_enabled && has_choice);
            let target = if is_need { &mut needs } else { &mut requirements };
            let (read, wrong) = requirements_of(plugin, settings, &mut inspection);
            target.extend(read);
            diagnostics.extend(wrong);
            let (read, wrong) = required_binaries(plugin, &found.configuration, &resolver, settings);
            target.extend(read);
            diagnostics.extend(wrong);
        }
    }
    drop(resolver);
    found.requirements = requirements;
    found.needs = needs;
    found.diagnostics.extend(diagnostics);
    Ok(found)
}

/// The `required_binaries` in a plugin's `config.json`.
fn required_binaries(
    plugin: &Plugin,
    configuration: &PluginConfigs,
    resolver: &value::SettingResolver<'_>,
    settings: &Settings,
) -> (Vec<Requirement>, Vec<Diagnostic>) {
    let entries =
        configuration.schema(&plugin.name).map(|it| it.required_binaries.as_slice()).unwrap_or_default();
    let fill = |name: &str| {
        let folders = [
            ("LIB_DIR", &settings.lib_dir),
            ("LIB_BIN_DIR", &settings.lib_bin_dir),
            ("DATA_DIR", &settings.data_dir),
        ];
        let folder = folders.iter().find(|(known, _)| *known == name);
        let value =
            folder.map(|(_, path)| Value::from(path.to_string_lossy())).or_else(|| resolver.value(name))?;
        Some(value.as_str()?.trim().to_owned()).filter(|it| !it.is_empty())
    };
    let (mut requirements, mut diagnostics) = (Vec::new(), Vec::new());
    for (at, entry) in (1..).zip(entries) {
        match requirement::parse_entry(Some(&plugin.name), entry, settings.home.as_deref(), fill) {
            Ok(requirement) => requirements.push(requirement),
            Err(error) => diagnostics.push(Diagnostic {
                plugin: plugin.name.to_string(),
                path: plugin.path.join(schema::FILE_NAME),
                line: None,
                message: format!("required_binaries, entry {at}: {error}"),
            }),
        }
    }
    (requirements, diagnostics)
}

impl Found {
    /// The hooks that can be asked for a binary, in hook order. Background hooks are not.
    pub(crate) fn provider_hooks(&self) -> Vec<&Hook> {
        let mut hooks = self.discovery.hooks_of(BINARY_REQUEST);
        hooks.retain(|hook| hook.name.background.is_none());
        hooks
    }

    /// The names of all providers, in hook order.
    pub(crate) fn providers(&self) -> Vec<ProviderName> {
        let mut names: Vec<ProviderName> = Vec::new();
        for hook in self.provider_hooks() {
            let name = hook.provider();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What each provider needs itself.
    pub(crate) fn provider_needs(&self) -> HashMap<ProviderName, Vec<Request>> {
        provider_deps::needs_of(&self.needs, &self.providers())
    }

    /// What the `config.json` of each provider states.
    pub(crate) fn provider_configs(&self) -> HashMap<ProviderName, ProviderConfig> {
        let config =
            |name: &ProviderName| self.configuration.schema(name).map(|schema| schema.provider.clone());
        self.providers().into_iter().map(|name| (name.clone(), config(&name).unwrap_or_default())).collect()
    }

    /// The curated providers, in hook order. A plugin that replaces a built-in provider and states nothing is as curated as
    /// that one.
    pub(crate) fn curated_providers(&self) -> Vec<ProviderName> {
        let configs = self.provider_configs();
        let built_in =
            |name: &str| builtin::config(name).ok().flatten().and_then(|schema| schema.provider.curated);
        let is_curated =
            |name: &ProviderName| configs[name].curated.or_else(|| built_in(name)).unwrap_or(false);
        self.providers().into_iter().filter(is_curated).collect()
    }

    /// The settings of the plugins, for their hooks.
    pub(crate) fn variables(&self) -> HashMap<PluginName, Vec<Variable>> {
        let variables = |of: &Vec<Setting>| of.iter().filter_map(Setting::variable).collect();
        self.settings.iter().map(|(plugin, of)| (plugin.clone(), variables(of))).collect()
    }

    /// Takes over what earlier runs found: where a binary is that a setting names, unless somebody said so himself.
    pub(crate) fn learn(&mut self, machine: &Map<String, Value>) {
        for setting in self.settings.values_mut().flatten() {
            let is_open = matches!(setting.origin, Origin::Default | Origin::Fallback(_));
            let path = machine.get(&setting.name).filter(|_| is_open && setting.name.ends_with("_BINARY"));
            if let Some(path) = path.filter(|it| it.as_str().is_some_and(|it| Path::new(it).is_file())) {
                setting.value = path.clone();
                setting.origin = Origin::Machine;
            }
        }
    }

    /// Whether the hooks and requirements of a plugin count.
    pub(crate) fn is_enabled(&self, plugin: &str) -> bool {
        self.plugin_statuses.get(plugin) == Some(&PluginStatus::Enabled)
    }

    /// Says what could not be read, and gives the exit code that this comes to.
    pub(crate) fn complain(&self) -> Exit {
        for warning in &self.warnings {
            say(&format!("warning: {warning}"));
        }
        for diagnostic in &self.diagnostics {
            say(&format!("error: {diagnostic}"));
        }
        if self.diagnostics.is_empty() { Exit::Well } else { Exit::Missing }
    }

    /// The plugin of this name.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.discovery.plugins.iter().find(|plugin| is_named(&plugin.name, name))
    }
}

/// The requirements of one plugin; those of a built-in one are in the binary.
fn requirements_of(
    plugin: &Plugin,
    settings: &Settings,
    inspection: &mut Inspection<'_>,
) -> (Vec<Requirement>, Vec<Diagnostic>) {
    let home = settings.home.as_deref();
    match builtin::file(plugin, &settings.data_dir, requirement::FILE_NAME) {
        Some(text) => {
            requirement::read_from(Some(&plugin.name), &plugin.path, text.unwrap_or_default(), home)
        }
        None => requirement::read(Some(&plugin.name), &plugin.path, home, inspection),
    }
}

fn is_named(plugin: &str, name: &str) -> bool {
    plugin.eq_ignore_ascii_case(name)
}

/// Says where was looked and what is there.
pub(crate) fn no_such_plugin(name: &str, discovery: &Discovery, settings: &Settings) -> String {
    let folders: Vec<String> = settings.plugin_path.iter().map(|it| it.display().to_string()).collect();
    let names: Vec<&str> = discovery.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    format!("there is no plugin {name} in {}; there are {}", folders.join(", "), names.join(", "))
}
