//! The plugins with hooks for the events of a command, used or not.

use std::collections::HashSet;

use crate::engine::catalog::{Catalog, searched_folders};
use crate::engine::error::EngineError;
use crate::engine::event_plan::{enabled_hooks, end_of};
use crate::engine::event_request::EventRequest;
use crate::hook::command::{self, InvalidMemoryLimit};
use crate::model::PluginName;
use crate::plugin::config::value::Setting;
use crate::plugin::discovery::{Hook, Plugin};
use crate::report::text;
use crate::settings::Settings;

/// Returns the plugins with a hook for one of the events or for its end.
fn with_hooks<'c>(catalog: &'c Catalog, events: &[&str]) -> Vec<&'c Plugin> {
    let is_of_event =
        |hook: &Hook| events.iter().any(|event| [*event, &end_of(event)].contains(&&*hook.name.event));
    catalog.discovery.plugins.iter().filter(|plugin| plugin.hooks.iter().any(is_of_event)).collect()
}

/// Checks that the named hooks exist, and the memory limits of the plugins with hooks for the events. Drops the warnings about plugins that take no part in
/// the events, and adds one about each plugin that cannot.
pub(super) fn check(catalog: &mut Catalog, request: &EventRequest) -> Result<(), EngineError> {
    let names = request.names()?;
    let has_hook = |name: &&String| {
        let mut hooks = names.iter().flat_map(|event| enabled_hooks(catalog, event));
        hooks.any(|hook| hook.name.name == **name)
    };
    if let Some(name) = request.hooks.iter().find(|name| !has_hook(name)) {
        return Err(EngineError::NotFound(format!(
            "no enabled plugin has a hook with the name {name} for {}; `rigup hook list` shows the hooks",
            text::printable(&request.events)
        )));
    }
    let events = [names, request.follow.names()?].concat();
    let plugins = &catalog.discovery.plugins;
    let found: HashSet<PluginName> =
        with_hooks(catalog, &events).iter().map(|plugin| plugin.name.clone()).collect();
    let mut used = found.iter().filter(|name| catalog.is_enabled(name));
    if let Some(problem) = used.find_map(|name| memory_limit_problem(catalog, name)) {
        return Err(EngineError::Setup(InvalidMemoryLimit(problem.to_owned()).to_string()));
    }
    let required = found.iter().flat_map(|name| catalog.sources_of_settings(name));
    let is_provider = |plugin: &&Plugin| request.applies_records && plugin.is_provider();
    let providers = plugins.iter().filter(is_provider).map(|plugin| plugin.name.as_str());
    let involved: HashSet<String> = required.chain(providers).map(str::to_owned).collect();
    catalog.plugin_warnings.retain(|(plugin, _)| involved.contains(plugin.as_str()));
    catalog.warn_about_incomplete(|plugin, _| found.contains(&plugin.name));
    Ok(())
}

/// Returns why the memory limit that the user has set for the hooks of a plugin cannot be used, or `None` if it can.
fn memory_limit_problem<'c>(catalog: &'c Catalog, plugin: &'c str) -> Option<&'c str> {
    let names = command::value_names(plugin, command::MEMORY_LIMIT);
    let setting = |name: &String| {
        let sources = catalog.sources_of_settings(plugin);
        sources.flat_map(|source| &catalog.settings[source]).find(|setting| setting.name == *name)
    };
    let is_set = |setting: &&Setting| !(setting.value.is_null() && setting.problems.is_empty());
    names.iter().filter_map(setting).find(is_set)?.problems.first().map(String::as_str)
}

/// Returns a message that says why an event without hooks that run has none.
pub(crate) fn why_no_hooks(catalog: &Catalog, event: &str, settings: &Settings) -> String {
    let unused = with_hooks(catalog, &[event]);
    if unused.is_empty() {
        let folders = searched_folders(settings);
        return format!(
            "no hooks found for the event {event} in {folders}; `rigup hook list` shows the hooks"
        );
    }
    let reasons: Vec<String> = unused
        .iter()
        .map(|plugin| format!("the plugin {} {}", plugin.name, catalog.statuses[&plugin.name]))
        .collect();
    let reasons = text::list(&reasons, text::MAX_LISTED);
    format!("no hooks run for the event {event}: {reasons}; `rigup plugin list` shows the plugins")
}
