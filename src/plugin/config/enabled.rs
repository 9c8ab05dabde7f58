//! The `config.json` files of all plugins: which plugins are enabled, and their settings.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde_json::json;

use crate::model::PluginName;
use crate::plugin::builtin;
use crate::plugin::config::schema::{self, Property, Schema};
use crate::plugin::config::value::{Origin, Setting, SettingResolver, Sources};
use crate::plugin::discovery::Plugin;
use crate::plugin::requirement::Diagnostic;
use crate::settings;
use crate::shell;
use crate::sorting::sort;
use crate::trust::Inspection;

/// The setting with the program that runs the plugins, which the `x-runtimes` of a plugin must contain.
const RUNTIME: &str = "ABX_RUNTIME";

/// The `config.json` files of all plugins.
#[derive(Debug, Default)]
pub(crate) struct PluginConfigs {
    /// The names of all plugins, by the same names in lower case.
    names: HashMap<String, PluginName>,
    schemas: HashMap<PluginName, Schema>,
    /// The providers that are not curated whatever their files state: the file cannot be read, or the provider replaces
    /// a built-in one that is not curated.
    uncurated: HashSet<PluginName>,
}

/// The status of a plugin, which reads as the end of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PluginStatus {
    /// The plugin is enabled.
    Enabled,
    /// Only other plugins were selected.
    NotSelected,
    /// A setting or a `config.json` disables the plugin or one that it requires, with the reason.
    Disabled(String),
    /// The plugin would be enabled, but a plugin that it requires does not exist, with its name in the reason.
    Incomplete(String),
}

impl fmt::Display for PluginStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.write_str("is enabled"),
            Self::NotSelected => f.write_str("is not selected"),
            Self::Disabled(reason) => write!(f, "is disabled because {reason}"),
            Self::Incomplete(reason) => write!(f, "cannot be used because {reason}"),
        }
    }
}

impl PluginConfigs {
    /// Reads the files. Returns a diagnostic for each file that is untrusted or cannot be read; its plugin has no
    /// settings.
    pub(crate) fn read(
        plugins: &[Plugin],
        data_dir: &Path,
        inspection: &mut Inspection<'_>,
    ) -> (Self, Vec<Diagnostic>) {
        let mut schemas = HashMap::new();
        let mut uncurated = HashSet::new();
        let mut diagnostics = Vec::new();
        for plugin in plugins {
            let read = match builtin::file(plugin, data_dir, schema::FILE_NAME) {
                Some("") => Ok(None),
                Some(text) => schema::parse(text).map(Some),
                None => {
                    let replaced = builtin::config(&plugin.name).ok().flatten();
                    if replaced.is_some_and(|schema| schema.provider.curated == Some(false)) {
                        uncurated.insert(plugin.name.clone());
                    }
                    schema::read(&plugin.path, inspection)
                }
            };
            match read {
                Ok(Some(schema)) => drop(schemas.insert(plugin.name.clone(), schema)),
                Ok(None) => {}
                Err(error) => {
                    uncurated.insert(plugin.name.clone());
                    let path = plugin.path.join(schema::FILE_NAME);
                    let effect = if plugin.is_provider() {
                        ", and only a request that names the provider tries it"
                    } else {
                        ""
                    };
                    let error = format!("cannot use the file: {error}");
                    let message = settings::with_effect(&error, &format!("so nothing in it is used{effect}"));
                    diagnostics.push(Diagnostic::new(plugin.name.as_str(), path, message));
                }
            }
        }
        (Self { names: names(plugins), schemas, uncurated }, diagnostics)
    }

    /// Returns the `config.json` of a plugin, or `None` if it has none.
    pub(crate) fn schema(&self, plugin: &str) -> Option<&Schema> {
        self.schemas.get(plugin)
    }

    /// Returns whether a provider is curated: its `config.json` does not say otherwise.
    pub(crate) fn is_curated(&self, plugin: &str) -> bool {
        let stated = self.schema(plugin).and_then(|schema| schema.provider.curated);
        stated.unwrap_or(true) && !self.uncurated.iter().any(|name| name == plugin)
    }

    /// Returns the settings that plugins declare.
    pub(crate) fn properties(&self) -> impl Iterator<Item = &Property> + Clone {
        self.schemas.values().flat_map(|schema| &schema.properties)
    }

    /// Returns whether a plugin declares a setting with this name.
    pub(crate) fn declares(&self, name: &str) -> bool {
        let mut properties = self.schemas.values().flat_map(|schema| &schema.properties);
        properties.any(|property| property.names().any(|known| known == name))
    }

    /// Returns a resolver for the settings of all plugins.
    pub(crate) fn resolver<'a>(&'a self, sources: Sources<'a>) -> SettingResolver<'a> {
        let mut plugins: Vec<&PluginName> = self.schemas.keys().collect();
        // If two plugins declare the same setting, that of the first plugin by name applies.
        sort(&mut plugins);
        let properties = plugins.into_iter().flat_map(|plugin| &self.schemas[plugin].properties);
        SettingResolver::new(sources, properties)
    }

    /// Returns the settings of a plugin, in the order of its `config.json`. Reports a setting that its hooks do not get.
    pub(crate) fn settings(
        &self,
        plugin: &str,
        resolver: &SettingResolver<'_>,
        mut report: impl FnMut(String),
    ) -> Vec<Setting> {
        let properties = self.schema(plugin).map(|schema| schema.properties.as_slice()).unwrap_or_default();
        for Property { name, .. } in properties.iter().filter(|property| !shell::is_name(&property.name)) {
            report(format!(
                "{plugin}: hooks do not get the setting {name:?}: the name of a variable has only letters, digits and _, and \
                 does not begin with a digit; rename the setting"
            ));
        }
        let settings: Vec<Setting> = properties.iter().map(|property| resolver.resolve(property)).collect();
        settings.iter().flat_map(Setting::warnings).for_each(report);
        settings
    }

    /// Returns the status of every plugin. The plugins in `selection` and those that they require are enabled, or all
    /// plugins if it is empty. A setting that disables a plugin takes precedence, and also disables the plugins that
    /// require it. Reports what is wrong with the settings that decide this, each with the plugin.
    pub(crate) fn plugin_statuses(
        &self,
        plugins: &[Plugin],
        selection: &[String],
        resolver: &SettingResolver<'_>,
        mut report: impl FnMut(&PluginName, String),
    ) -> HashMap<PluginName, PluginStatus> {
        let mut disabled: HashMap<&str, String> = HashMap::new();
        let mut opted_in: HashSet<&str> = HashSet::new();
        let runtime = Property::new(RUNTIME.to_owned(), json!({"type": "string", "default": "abx-dl"}));
        let runtime = resolver.resolve(&runtime);
        for plugin in plugins {
            let setting = resolver.resolve(&self.enabled_property(&plugin.name));
            setting.warnings().for_each(|warning| report(&plugin.name, warning));
            if setting.value == false {
                let reason = format!("{} is false ({})", setting.name, setting.origin);
                disabled.insert(&plugin.name, reason);
            } else if setting.origin != Origin::Default {
                opted_in.insert(&plugin.name);
            }
            let runtimes =
                self.schema(&plugin.name).map(|schema| schema.runtimes.as_slice()).unwrap_or_default();
            if runtimes.is_empty() {
                continue;
            }
            runtime.warnings().for_each(|warning| report(&plugin.name, warning));
            let runtime = runtime.value.as_str().unwrap_or_default().trim().to_lowercase();
            if !runtimes.contains(&runtime) {
                let reason = format!("it is only for {}, and {RUNTIME} is {runtime}", runtimes.join(" and "));
                disabled.insert(&plugin.name, reason);
            }
        }
        let is_opt_in = |name: &str| self.schema(name).is_some_and(|schema| schema.is_opt_in);
        let selected: Vec<&str> = if selection.is_empty() {
            let all = plugins.iter().map(|plugin| plugin.name.as_str());
            all.filter(|name| !disabled.contains_key(name))
                .filter(|name| !is_opt_in(name) || opted_in.contains(name))
                .collect()
        } else {
            selection.iter().map(|name| name.trim()).collect()
        };
        let enabled: HashSet<&str> = self.with_required(selected).into_iter().flatten().collect();
        let status = |plugin: &Plugin| {
            let is_wanted = enabled.contains(plugin.name.as_str());
            match self.disabled_status(&plugin.name, &disabled) {
                Some(status) if is_wanted || matches!(status, PluginStatus::Disabled(_)) => status,
                None if is_wanted => PluginStatus::Enabled,
                _ if selection.is_empty() => {
                    let setting = name(&plugin.name);
                    PluginStatus::Disabled(format!(
                        "its x-auto-run is false; select it, or set {setting}=true"
                    ))
                }
                _ => PluginStatus::NotSelected,
            }
        };
        plugins.iter().map(|plugin| (plugin.name.clone(), status(plugin))).collect()
    }

    /// Returns why a plugin or one that it requires is not used, or `None` if it is.
    fn disabled_status(&self, plugin: &str, disabled: &HashMap<&str, String>) -> Option<PluginStatus> {
        self.with_required(vec![plugin]).into_iter().find_map(|required| match required {
            Err(name) => {
                Some(PluginStatus::Incomplete(format!("it requires the plugin {name}, which does not exist")))
            }
            Ok(known) => {
                let by = if known == plugin { String::new() } else { format!("it requires {known}, and ") };
                disabled.get(known).map(|reason| PluginStatus::Disabled(format!("{by}{reason}")))
            }
        })
    }

    /// Returns a plugin and all existing ones that it requires, directly or indirectly.
    pub(crate) fn required<'a>(&'a self, plugin: &'a str) -> Vec<&'a str> {
        self.with_required(vec![plugin]).into_iter().flatten().collect()
    }

    /// Returns these plugins and all that they require, directly or indirectly: the name of each plugin's folder, or
    /// the name of a plugin that does not exist as an error.
    pub(crate) fn with_required<'a>(&'a self, mut pending: Vec<&'a str>) -> Vec<Result<&'a str, &'a str>> {
        let mut seen = HashSet::new();
        let mut required = Vec::new();
        while let Some(name) = pending.pop() {
            let found = self.find(name).ok_or(name);
            if seen.insert(found) {
                required.push(found);
                let schema = found.ok().and_then(|plugin| self.schema(plugin));
                pending.extend(schema.iter().flat_map(|schema| &schema.required_plugins).map(String::as_str));
            }
        }
        required
    }

    /// Returns the name of a plugin's folder, or `None` if there is no such plugin. Ignores case.
    fn find(&self, name: &str) -> Option<&str> {
        self.names.get(&name.to_ascii_lowercase()).map(PluginName::as_str)
    }

    /// Returns the property `<PLUGIN>_ENABLED` from the `config.json`, or a default one, so that every plugin can be
    /// disabled.
    pub(crate) fn enabled_property(&self, plugin: &str) -> Property {
        let name = name(plugin);
        let declared = self
            .schema(plugin)
            .and_then(|schema| schema.properties.iter().find(|property| property.name == name));
        declared.cloned().unwrap_or_else(|| Property::new(name, json!({"type": "boolean", "default": true})))
    }
}

/// Returns the names of plugins by the same names in lower case. Of two names that differ only in case, the first counts.
fn names(plugins: &[Plugin]) -> HashMap<String, PluginName> {
    let mut names = HashMap::new();
    for Plugin { name, .. } in plugins {
        names.entry(name.to_ascii_lowercase()).or_insert_with(|| name.clone());
    }
    names
}

/// Returns the name of the setting that disables a plugin.
pub(crate) fn name(plugin: &str) -> String {
    format!("{}_ENABLED", prefix(plugin))
}

/// Returns the prefix of a plugin's settings: `MY_PLUGIN` for `my-plugin`.
pub(crate) fn prefix(plugin: &str) -> String {
    plugin.to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    /// Returns the status of each plugin. `plugins` are names, each with the names of the plugins that it requires.
    fn plugin_statuses(
        plugins: &[(&str, &[&str])],
        selection: &[&str],
        environment: &[(&str, &str)],
    ) -> Vec<String> {
        let plugins: Vec<(Plugin, Schema)> = plugins
            .iter()
            .map(|(name, required)| {
                let plugin = Plugin {
                    name: PluginName::parse(name).unwrap(),
                    path: "/nowhere".into(),
                    hooks: Vec::new(),
                };
                let required_plugins = required.iter().map(|name| (*name).to_owned()).collect();
                (plugin, Schema { required_plugins, ..Schema::default() })
            })
            .collect();
        let schemas = plugins.iter().map(|(plugin, schema)| (plugin.name.clone(), schema.clone())).collect();
        let plugins: Vec<Plugin> = plugins.into_iter().map(|(plugin, _)| plugin).collect();
        let configuration = PluginConfigs { names: names(&plugins), schemas, uncurated: HashSet::new() };
        let environment: Environment = environment.iter().copied().collect();
        let sources = Sources { environment: &environment, files: &[] };
        let resolver = configuration.resolver(sources);
        let selection: Vec<String> = selection.iter().map(|name| (*name).to_owned()).collect();
        let found =
            configuration.plugin_statuses(&plugins, &selection, &resolver, |_, problem| panic!("{problem}"));
        let describe = |plugin: &Plugin| match &found[&plugin.name] {
            PluginStatus::Enabled => plugin.name.to_string(),
            PluginStatus::NotSelected => format!("({})", plugin.name),
            PluginStatus::Disabled(reason) | PluginStatus::Incomplete(reason) => reason.clone(),
        };
        plugins.iter().map(describe).collect()
    }

    #[test]
    fn the_selected_plugins_and_those_that_they_require_are_enabled() {
        let plugins: [(&str, &[&str]); 4] = [("a", &["B"]), ("b", &["c"]), ("c", &[]), ("d", &[])];
        assert_eq!(plugin_statuses(&plugins, &[" A "], &[]), ["a", "b", "c", "(d)"]);
        assert_eq!(plugin_statuses(&plugins, &[], &[]), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_disabled_plugin_disables_the_selected_plugins_that_require_it() {
        let plugins: [(&str, &[&str]); 3] = [("a", &["my-b"]), ("my-b", &[]), ("c", &[])];
        assert_eq!(
            plugin_statuses(&plugins, &["a", "my-b"], &[("MY_B_ENABLED", "No")]),
            [
                "it requires my-b, and MY_B_ENABLED is false (the variable MY_B_ENABLED)",
                "MY_B_ENABLED is false (the variable MY_B_ENABLED)",
                "(c)"
            ]
        );
    }

    #[test]
    fn accepts_a_circle_of_plugins_and_names_a_missing_plugin() {
        let circle: [(&str, &[&str]); 2] = [("a", &["b"]), ("b", &["a"])];
        assert_eq!(plugin_statuses(&circle, &["a"], &[]), ["a", "b"]);
        assert_eq!(
            plugin_statuses(&[("a", &["gone"])], &[], &[]),
            ["it requires the plugin gone, which does not exist"]
        );
        assert_eq!(plugin_statuses(&[("a", &["gone"]), ("b", &[])], &["b"], &[]), ["(a)", "b"]);
    }
}
