//! The names in the folders of plugins, read as fast as the completion of a word needs. Only the folders of the search path are
//! checked for trust: no hook runs, and the command that gets a name checks the rest.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::engine::error::EngineError;
use crate::engine::session;
use crate::model::PluginName;
use crate::plugin::builtin;
use crate::plugin::config::schema;
use crate::plugin::hook_name::HookName;
use crate::plugin::overrides;
use crate::plugin::requirement::{self, Providers};
use crate::settings::Settings;
use crate::sorting::sort_by;

/// How much of a file is read, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The folders of plugins by name; of the plugins that have the same name, that of the first.
pub(super) type Folders = BTreeMap<PluginName, PathBuf>;

/// The part of a requirement that is read.
#[derive(Deserialize)]
pub(super) struct Required {
    /// The name of the binary.
    pub(super) name: String,
    #[serde(default)]
    binproviders: Value,
}

impl Required {
    /// Returns the providers that may install the binary; none if they cannot be read.
    pub(super) fn providers(&self) -> Providers {
        let names = overrides::texts(&self.binproviders);
        let providers = names.and_then(|names| Providers::parse(&names.join(",")).ok());
        providers.unwrap_or(Providers::Only(Vec::new()))
    }
}

/// The part of a `config.json` that is read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ConfigNames {
    properties: Map<String, Value>,
    required_binaries: Vec<Required>,
}

/// Returns the folders of the plugins, without the built-in ones. Fails if other users may write to the data dir.
pub(super) fn folders(settings: &Settings) -> Result<Folders, EngineError> {
    session::check_data_dir(settings)?;
    let mut folders = Folders::new();
    for root in settings.plugin_path.iter().filter(|root| settings.trust.check(root).is_ok()) {
        for entry in fs_err::read_dir(root).into_iter().flatten().flatten() {
            let is_folder = entry
                .file_type()
                .is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()));
            if is_folder && let Ok(name) = PluginName::parse(&entry.file_name().to_string_lossy()) {
                folders.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    Ok(folders)
}

/// Returns the hooks in these folders and of the built-in plugins, in the order in which they run.
pub(super) fn hooks(settings: &Settings, folders: &Folders) -> Vec<(PluginName, HookName)> {
    let built_in = builtin::plugins(&settings.data_dir).into_iter();
    let built_in =
        built_in.filter(|plugin| !folders.contains_key(&plugin.name)).flat_map(|plugin| plugin.hooks);
    let mut hooks: Vec<(PluginName, HookName)> = built_in.map(|hook| (hook.plugin, hook.name)).collect();
    for (plugin, folder) in folders {
        for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
            let name = HookName::parse(&entry.file_name().to_string_lossy());
            hooks.extend(name.map(|name| (plugin.clone(), name)));
        }
    }
    sort_by(&mut hooks, |(a_plugin, a), (b_plugin, b)| a.cmp_with_plugins(a_plugin, b, b_plugin));
    hooks
}

/// Returns the binaries that the plugin in a folder requires, except those whose names settings complete.
pub(super) fn required(folder: &Path) -> Vec<Required> {
    let mut all = config(folder).required_binaries;
    for file in requirement::FILE_NAMES {
        let bytes = read(&folder.join(file));
        let lines = bytes.split(|byte| *byte == b'\n');
        all.extend(lines.filter_map(|line| serde_json::from_slice::<Required>(line).ok()));
    }
    all.retain(|required| !required.name.contains('{'));
    all
}

/// Returns the names of the settings that the plugin in a folder declares.
pub(super) fn settings(folder: &Path) -> Vec<String> {
    config(folder).properties.into_iter().map(|(name, _)| name).collect()
}

fn config(folder: &Path) -> ConfigNames {
    serde_json::from_slice(&read(&folder.join(schema::FILE_NAME))).unwrap_or_default()
}

/// Returns the beginning of a regular file, or nothing.
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if path.is_file()
        && let Ok(file) = fs_err::File::open(path)
    {
        // A part of the file has names, too.
        let _ = file.take(MAX_SIZE).read_to_end(&mut bytes);
    }
    bytes
}
