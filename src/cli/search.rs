//! The plugins that this command line sees.

use std::collections::HashMap;

use crate::cli::error::{CliError, Exit};
use crate::cli::output::say;
use crate::plugin::builtin;
use crate::plugin::folder::{self, Discovery, Hook, Plugin};
use crate::plugin::requirement::{self, Complaint, Requirement};
use crate::provision::plan::{self, Request, Wish};
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
    /// What the providers that were not chosen need themselves.
    pub(crate) needs: Vec<Requirement>,
    /// What could not be read, of folders and of requirement files.
    pub(crate) complaints: Vec<Complaint>,
}

/// Finds all plugins, and makes sure that the chosen ones are there; reads no requirements.
pub(crate) fn find(settings: &Settings, chosen: &[String]) -> Result<Found, CliError> {
    let mut discovery = folder::discover(&settings.plugin_path, builtin::plugins(&settings.data_dir));
    let complaints = std::mem::take(&mut discovery.complaints);
    for name in chosen {
        if let Some(complaint) = complaints.iter().find(|it| is_named(&it.plugin, name)) {
            return Err(CliError::unusable(format!("the plugin {name} cannot be used: {complaint}")));
        }
        if !discovery.plugins.iter().any(|plugin| is_named(&plugin.name, name)) {
            return Err(CliError::unusable(no_such_plugin(name, &discovery, settings)));
        }
    }
    Ok(Found { discovery, requirements: Vec::new(), needs: Vec::new(), complaints })
}

/// Finds all plugins and reads the requirements of the chosen ones; of all where none are named.
pub(crate) fn search(settings: &Settings, chosen: &[String]) -> Result<Found, CliError> {
    let mut found = find(settings, chosen)?;
    for plugin in &found.discovery.plugins {
        let is_chosen = chosen.iter().any(|name| is_named(&plugin.name, name));
        let is_provider = plugin.hooks.iter().any(|hook| hook.name.event == BINARY_REQUEST);
        if is_chosen || is_provider || chosen.is_empty() {
            let (read, wrong) = requirements_of(plugin, settings);
            if is_provider && !is_chosen { &mut found.needs } else { &mut found.requirements }.extend(read);
            found.complaints.extend(wrong);
        }
    }
    Ok(found)
}

impl Found {
    /// The hooks that can be asked for a binary, in hook order. Background hooks are not.
    pub(crate) fn provider_hooks(&self) -> Vec<&Hook> {
        let mut hooks = self.discovery.hooks_of(BINARY_REQUEST);
        hooks.retain(|hook| hook.name.background.is_none());
        hooks
    }

    /// The names of all providers, in hook order.
    pub(crate) fn providers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for hook in self.provider_hooks() {
            if !names.contains(&hook.plugin) {
                names.push(hook.plugin.clone());
            }
        }
        names
    }

    /// What each provider needs itself, as requests to providers that need nothing.
    pub(crate) fn provider_needs(&self) -> HashMap<String, Vec<Request>> {
        let has_needs = |provider: &String| self.needs.iter().any(|it| it.plugin == *provider);
        let independent: Vec<String> = self.providers().into_iter().filter(|it| !has_needs(it)).collect();
        let mut needs: HashMap<String, Vec<Request>> = HashMap::new();
        for need in &self.needs {
            let steps = plan::plan(std::slice::from_ref(need), &Wish::default(), &independent);
            for mut request in steps.into_iter().flatten() {
                request.candidates.retain(|it| independent.contains(it));
                needs.entry(need.plugin.clone()).or_default().push(request);
            }
        }
        needs
    }

    /// Says what could not be read, and gives the exit code that this comes to.
    pub(crate) fn complain(&self) -> Exit {
        for complaint in &self.complaints {
            say(&format!("error: {complaint}"));
        }
        if self.complaints.is_empty() { Exit::Well } else { Exit::Missing }
    }

    /// The plugin of this name.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.discovery.plugins.iter().find(|plugin| is_named(&plugin.name, name))
    }
}

/// The requirements of one plugin; those of a built-in one are in the binary.
fn requirements_of(plugin: &Plugin, settings: &Settings) -> (Vec<Requirement>, Vec<Complaint>) {
    let home = settings.home.as_deref();
    match builtin::file(plugin, &settings.data_dir, requirement::FILE_NAME) {
        Some(text) => requirement::read_from(&plugin.name, &plugin.path, text, home),
        None => requirement::read(&plugin.name, &plugin.path, home),
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
