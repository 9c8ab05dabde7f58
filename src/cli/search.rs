//! The plugins that this command line sees.

use crate::cli::error::CliError;
use crate::plugin::builtin;
use crate::plugin::folder::{self, Discovery, Hook, Plugin};
use crate::plugin::requirement::{self, Complaint, Requirement};
use crate::settings::Settings;

/// The event that providers' hooks answer to.
pub(crate) const BINARY_REQUEST: &str = "BinaryRequest";

/// What was found, and what could not be read.
#[derive(Debug)]
pub(crate) struct Found {
    /// All plugins and providers, by name.
    pub(crate) discovery: Discovery,
    /// The requirements of the chosen plugins.
    pub(crate) requirements: Vec<Requirement>,
    /// What could not be read, of folders and of requirement files.
    pub(crate) complaints: Vec<Complaint>,
}

/// Finds all plugins and reads the requirements of the chosen ones; of all where none are named.
pub(crate) fn search(settings: &Settings, chosen: &[String]) -> Result<Found, CliError> {
    let mut discovery = folder::discover(&settings.plugin_path, builtin::plugins(&settings.data_dir));
    let mut complaints = std::mem::take(&mut discovery.complaints);
    for name in chosen {
        if let Some(complaint) = complaints.iter().find(|it| is_named(&it.plugin, name)) {
            return Err(CliError::unusable(format!(
                "the plugin {name} cannot be used: {complaint}"
            )));
        }
        if !discovery
            .plugins
            .iter()
            .any(|plugin| is_named(&plugin.name, name))
        {
            return Err(CliError::unusable(no_such_plugin(name, &discovery, settings)));
        }
    }
    let mut requirements = Vec::new();
    for plugin in &discovery.plugins {
        if chosen.is_empty() || chosen.iter().any(|name| is_named(&plugin.name, name)) {
            let (read, wrong) = requirement::read(&plugin.name, &plugin.path, settings.home.as_deref());
            requirements.extend(read);
            complaints.extend(wrong);
        }
    }
    Ok(Found {
        discovery,
        requirements,
        complaints,
    })
}

impl Found {
    /// The hooks that can be asked for a binary, in hook order. Background hooks are not.
    pub(crate) fn provider_hooks(&self) -> Vec<&Hook> {
        let mut hooks = self.discovery.hooks_of(BINARY_REQUEST);
        hooks.retain(|hook| hook.name.background.is_none());
        hooks
    }

    /// The plugin of this name.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.discovery
            .plugins
            .iter()
            .find(|plugin| is_named(&plugin.name, name))
    }
}

fn is_named(plugin: &str, name: &str) -> bool {
    plugin.eq_ignore_ascii_case(name)
}

/// Says where was looked and what is there.
pub(crate) fn no_such_plugin(name: &str, discovery: &Discovery, settings: &Settings) -> String {
    let folders: Vec<String> = settings
        .plugin_path
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    let names: Vec<&str> = discovery
        .plugins
        .iter()
        .map(|plugin| plugin.name.as_str())
        .collect();
    format!(
        "there is no plugin {name} in {}; there are {}",
        folders.join(", "),
        names.join(", ")
    )
}
