//! The requirements that a plugin states in its files.

use std::fmt::Display;

use crate::plugin::builtin;
use crate::plugin::config::enabled::PluginConfigs;
use crate::plugin::config::schema;
use crate::plugin::config::value::SettingResolver;
use crate::plugin::discovery::Plugin;
use crate::plugin::requirement::{self, Diagnostic, Requirement, Substitution};
use crate::settings::Settings;
use crate::trust::Inspection;

/// Reads the requirements of a plugin, and the problems in each of its files.
pub(super) fn read(
    plugin: &Plugin,
    configs: &PluginConfigs,
    resolver: &SettingResolver<'_>,
    settings: &Settings,
    inspection: &mut Inspection<'_>,
) -> impl Iterator<Item = (Vec<Requirement>, Vec<Diagnostic>)> {
    let listed =
        requirement::FILE_NAMES.map(|file_name| listed_requirements(plugin, file_name, settings, inspection));
    let configured = configured_requirements(plugin, configs, resolver, settings);
    listed.into_iter().chain([configured])
}

/// Reads a file of a plugin's requirements; that of a built-in provider is part of the executable.
fn listed_requirements(
    plugin: &Plugin,
    file_name: &str,
    settings: &Settings,
    inspection: &mut Inspection<'_>,
) -> (Vec<Requirement>, Vec<Diagnostic>) {
    let (home, path) = (settings.home.as_deref(), plugin.path.join(file_name));
    match builtin::file(plugin, &settings.data_dir, file_name) {
        Some(text) => requirement::read_from(Some(&plugin.name), &path, text.as_bytes(), home),
        None => requirement::read(Some(&plugin.name), &path, home, inspection),
    }
}

/// Reads the `required_binaries` in the `config.json` of a plugin.
fn configured_requirements(
    plugin: &Plugin,
    configs: &PluginConfigs,
    resolver: &SettingResolver<'_>,
    settings: &Settings,
) -> (Vec<Requirement>, Vec<Diagnostic>) {
    let schema = configs.schema(&plugin.name);
    let entries = schema.map(|schema| schema.required_binaries.as_slice()).unwrap_or_default();
    let fill = |name: &str| {
        let folder = match name {
            "LIB_DIR" | "ABXPKG_LIB_DIR" => &settings.lib_dir,
            "LIB_BIN_DIR" => &settings.lib_bin_dir,
            "DATA_DIR" => &settings.data_dir,
            _ => return resolver.fill(name),
        };
        Substitution::Value(folder.to_string_lossy().into_owned())
    };
    let (mut requirements, mut diagnostics) = (Vec::new(), Vec::new());
    for (number, entry) in (1..).zip(entries) {
        let path = plugin.path.join(schema::FILE_NAME);
        let source = format!("{}: required_binaries, entry {number}", path.display());
        let problem = |text: &dyn Display| Diagnostic::new(plugin.name.as_str(), &source, text.to_string());
        match requirement::parse_entry(Some(&plugin.name), entry, settings.home.as_deref(), fill) {
            Ok((requirement, unknown)) => {
                diagnostics
                    .extend(unknown.map(|unknown| Diagnostic { is_warning: true, ..problem(&unknown) }));
                requirements.push(Requirement { source, ..requirement });
            }
            Err(error) => diagnostics.push(problem(&error)),
        }
    }
    (requirements, diagnostics)
}
