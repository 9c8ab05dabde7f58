//! The fields that name the hooks of a daemon.

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use super::declaration::Declaration;
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
    for (key, is_of_stats) in [(events_key, false), (stats_key, true)] {
        let kinds = LifecycleEvent::ALL.into_iter();
        let kinds: Vec<_> = kinds.filter(|kind| (*kind == LifecycleEvent::Stats) == is_of_stats).collect();
        let hooks = file.hooks.iter().filter_map(|hook| {
            kinds.iter().find(|kind| kind.as_str() == hook.event).map(|kind| (*kind, hook.name.as_str()))
        });
        let hooks: Vec<(LifecycleEvent, &str)> = hooks.collect();
        for name in file.or_default(fields.texts(key)) {
            if name.is_empty() {
                let problem = "has an empty name; use the NAME of hooks called on_<Event>__<NN>_<NAME>";
                file.report(fields.problem(key, problem));
                continue;
            }
            let served: Vec<_> = hooks.iter().filter(|(_, known)| *known == name).collect();
            if served.is_empty() {
                let problem = unknown_hook(&name, kinds[0], &hooks);
                let problem = fields.problem(key, &problem);
                if file.is_foreign {
                    file.warn(problem.line, &format!("ignored a hook: {}", problem.message));
                } else {
                    file.report(problem);
                }
            }
            for (kind, name) in served {
                let of_event = names.entry(*kind).or_default();
                if !of_event.iter().any(|known| known == name) {
                    of_event.push((*name).to_owned());
                }
            }
        }
    }
    DaemonHooks { names, ..DaemonHooks::default() }
}

/// Returns the problem with the name of a hook that does not exist.
fn unknown_hook(name: &str, kind: LifecycleEvent, hooks: &[(LifecycleEvent, &str)]) -> String {
    let advice = match closest(name, hooks.iter().map(|(_, known)| *known)) {
        Some(known) => format!("write {known:?}"),
        None => format!("add on_{kind}__50_{name}.sh to one"),
    };
    format!("names the hook {name:?}, which no enabled plugin has; {advice}")
}
