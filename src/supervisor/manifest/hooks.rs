//! The fields that name the hooks of a daemon.

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::declaration::{Declaration, one_of};
use super::file::ManifestFile;
use crate::model::misspelling::closest;
use crate::model::{DaemonHooks, LifecycleEvent};

/// Reads the fields with the hooks of a daemon's events and with those that get its samples. A hook that no enabled plugin
/// has is an error in rigup's own formats, and a warning in others.
pub(super) fn read(
    fields: &Declaration<'_>,
    events_key: &str,
    stats_key: &str,
    file: &mut ManifestFile<'_, '_>,
) -> DaemonHooks {
    let mut names: BTreeMap<LifecycleEvent, Vec<String>> = BTreeMap::new();
    let hooks = file.hooks.iter().filter_map(|hook| {
        let kind = LifecycleEvent::ALL.into_iter().find(|kind| kind.as_str() == hook.event)?;
        Some((kind, hook.name.as_str()))
    });
    let hooks: Vec<(LifecycleEvent, &str)> = hooks.collect();
    for (key, is_of_stats, other_key) in [(events_key, false, stats_key), (stats_key, true, events_key)] {
        for name in file.or_default(fields.texts(key)) {
            if name.is_empty() {
                let problem = "has an empty name; use the NAME of hooks called on_<Event>__<NN>_<NAME>";
                file.report(fields.problem(key, problem));
                continue;
            }
            let kinds = hooks.iter().filter(|(_, known)| *known == name).map(|(kind, _)| *kind);
            let (served, others): (Vec<_>, Vec<_>) =
                kinds.partition(|kind| (*kind == LifecycleEvent::Stats) == is_of_stats);
            if served.is_empty() {
                let message = match others.first() {
                    Some(kind) => {
                        format!("names the hook {name:?}, which is for {kind}; name it in {other_key:?}")
                    }
                    None => unknown_hook(&name, is_of_stats, &hooks, &file.settings.plugin_path),
                };
                let problem = fields.problem(key, &message);
                if file.is_foreign {
                    file.warn(problem.line, &format!("ignored a hook: {}", problem.message));
                } else {
                    file.report(problem);
                }
            }
            for kind in served {
                let of_event = names.entry(kind).or_default();
                if !of_event.contains(&name) {
                    of_event.push(name.clone());
                }
            }
        }
    }
    DaemonHooks { names, ..DaemonHooks::default() }
}

/// Returns the problem with the name of a hook that does not exist in the enabled plugins of these folders.
fn unknown_hook(
    name: &str,
    is_of_stats: bool,
    hooks: &[(LifecycleEvent, &str)],
    plugin_path: &[PathBuf],
) -> String {
    let (events, event) = if is_of_stats {
        ("DaemonStats", LifecycleEvent::Stats)
    } else {
        ("Daemon*", LifecycleEvent::PreStart)
    };
    let known = hooks.iter().filter(|(kind, _)| (*kind == LifecycleEvent::Stats) == is_of_stats);
    let advice = match closest(name, known.map(|(_, known)| *known)) {
        Some(known) => format!("write {known:?}"),
        None => format!("add one such as on_{event}__50_{name}.sh"),
    };
    let folders: Vec<String> = plugin_path.iter().map(|folder| folder.display().to_string()).collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    format!(
        "names the hook {name:?}, but no enabled plugin in {} has a hook on_{events}__NN_{name}.*; {advice}",
        one_of(&folders)
    )
}
