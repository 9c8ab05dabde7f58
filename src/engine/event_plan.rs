//! The plan of the events of a command: their hooks in order, with the limits of each.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::engine::catalog::Catalog;
use crate::engine::error::EngineError;
use crate::engine::event_request::EventRequest;
use crate::engine::programs::Programs;
use crate::engine::session::Session;
use crate::hook::command::{self, InvalidTimeout, MAX_TIMEOUT};
use crate::hook::event::{Event, EventHook};
use crate::hook::run::Variables;
use crate::install::plan::HostProviders;
use crate::plugin::config::enabled;
use crate::plugin::config::value::{Setting, Variable};
use crate::plugin::discovery::{Hook, Start};
use crate::plugin::hook_name::{BINARY_REQUEST, Background};
use crate::settings::Settings;

/// The default grace period of a background hook at the end of its event: that of abx-dl, as long as Chrome may take to
/// write its profile.
const BACKGROUND_GRACE: Duration = Duration::from_secs(15);

/// The events of a command.
pub(super) struct EventPlan<'c> {
    /// The events that the request names, in order.
    pub sequence: Vec<Event<'c>>,
    /// The events that mark their ends, that of the last event first.
    pub ends: Vec<Event<'c>>,
    /// The plugins that the hooks of events started by records require.
    pub required_by_followed: HashSet<&'c str>,
}

impl<'c> EventPlan<'c> {
    /// Plans the events with these names.
    pub(super) fn new(
        names: &[&str],
        session: &Session<'_>,
        catalog: &'c Catalog,
        request: &EventRequest,
        variables: &Variables,
    ) -> Result<Self, EngineError> {
        let programs = Programs::of(session)?;
        let event = |name: &str| {
            let hooks = event_hooks(catalog, name, variables, request, session, &programs)?;
            Ok::<_, EngineError>(Event { hooks, arguments: arguments(name, request, catalog) })
        };
        let sequence = names.iter().map(|name| event(name)).collect::<Result<_, _>>()?;
        let ends = names.iter().rev().map(|name| event(&end_of(name))).collect::<Result<_, _>>()?;
        let followed = request.follow.names()?;
        let hooks = followed.iter().flat_map(|name| enabled_hooks(catalog, name));
        let required_by_followed = hooks.flat_map(|hook| required(catalog, hook)).collect();
        Ok(Self { sequence, ends, required_by_followed })
    }
}

/// Returns the name of the event whose hooks run at the end of an event.
pub(super) fn end_of(event: &str) -> String {
    format!("{event}End")
}

/// Whether an enabled plugin has a hook for the event or for its end.
pub(crate) fn has_hooks(catalog: &Catalog, event: &str) -> bool {
    !(enabled_hooks(catalog, event).is_empty() && enabled_hooks(catalog, &end_of(event)).is_empty())
}

/// Returns the hooks of an event that enabled plugins have.
pub(super) fn enabled_hooks<'c>(catalog: &'c Catalog, event: &str) -> Vec<&'c Hook> {
    let mut hooks = catalog.discovery.hooks_of(event);
    hooks.retain(|hook| catalog.is_enabled(&hook.plugin));
    hooks
}

/// Returns the arguments of the hooks. A `BinaryRequest` that names no providers allows only the curated ones.
fn arguments(name: &str, request: &EventRequest, catalog: &Catalog) -> Vec<OsString> {
    let mut arguments = request.arguments.clone();
    let names_providers = arguments.iter().any(|argument| argument.as_bytes().starts_with(b"--binproviders"));
    if name == BINARY_REQUEST && !names_providers {
        arguments.push(format!("--binproviders={}", catalog.curated().join(",")).into());
    }
    arguments
}

/// Returns the hooks of an event. A daemon has the maximum timeout, because it runs until the last event ends.
fn event_hooks<'c>(
    catalog: &'c Catalog,
    event: &str,
    variables: &Variables,
    request: &EventRequest,
    session: &Session<'_>,
    programs: &Programs,
) -> Result<Vec<EventHook<'c>>, EngineError> {
    let settings = &session.settings;
    let mut binary_ids = HashMap::new();
    let event_hook = |hook: &'c Hook| {
        let variables = variables.get(&hook.plugin).map(Vec::as_slice).unwrap_or_default();
        let timeout = match request.timeout {
            _ if hook.name.background == Some(Background::Daemon) => MAX_TIMEOUT,
            Some(timeout) => timeout,
            None => setting_timeout(command::timeout, hook, variables, settings)?,
        };
        let ready_timeout = match request.ready_timeout {
            Some(timeout) => timeout,
            None => setting_timeout(command::ready_timeout, hook, variables, settings)?,
        };
        let schema = catalog.configs.schema(&hook.plugin);
        let program = match &hook.start {
            Start::Itself => hook.path.as_os_str(),
            Start::ByShebang(program) => program,
            Start::By(name) => OsStr::new(name),
        };
        let search_path = || command::search_path(settings, variables);
        let find = || programs.binary_id(program, Path::new("/"), search_path);
        let binary_id = *binary_ids.entry((&hook.plugin, program)).or_insert_with(find);
        Ok(EventHook {
            hook,
            timeout,
            ready_timeout,
            grace: grace(catalog, hook, variables, settings)?,
            required: required(catalog, hook),
            waits_for_background: schema.is_some_and(|schema| schema.waits_for_background),
            binary_id,
        })
    };
    let hooks = enabled_hooks(catalog, event).into_iter();
    hooks.filter(|hook| request.selects(&hook.name)).map(event_hook).collect()
}

/// Returns the plugins that the plugin of a hook requires.
fn required<'c>(catalog: &'c Catalog, hook: &'c Hook) -> Vec<&'c str> {
    let mut required = catalog.configs.required(&hook.plugin);
    required.retain(|name| *name != hook.plugin.as_str());
    required
}

/// Returns the timeout of a hook that the settings give, as `timeout_of` reads them.
fn setting_timeout(
    timeout_of: fn(&str, &[Variable], &Settings) -> Result<Duration, InvalidTimeout>,
    hook: &Hook,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Duration, EngineError> {
    timeout_of(&hook.plugin, variables, settings).map_err(|error| EngineError::Setup(error.to_string()))
}

/// Returns the grace period of a background hook: the timeout of its plugin if the user has set it, or the default.
fn grace(
    catalog: &Catalog,
    hook: &Hook,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Duration, EngineError> {
    let name = format!("{}_TIMEOUT", enabled::prefix(&hook.plugin));
    let mut known = catalog.settings.get(&hook.plugin).into_iter().flatten();
    let setting = known.find(|setting| setting.name == name);
    let is_set = setting.map_or(settings.undeclared(&name).is_some(), Setting::is_explicit);
    if is_set { setting_timeout(command::timeout, hook, variables, settings) } else { Ok(BACKGROUND_GRACE) }
}
