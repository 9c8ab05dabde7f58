//! The order in which daemons are started.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Condition, Daemon, DaemonName, DaemonSpec, Wanted};
use crate::sorting::collect_sorted;

/// Checks the dependencies of all daemons. Returns the problem if a required one is not declared, or if some of them form
/// a cycle.
pub(crate) fn check(specs: &[DaemonSpec]) -> Result<(), String> {
    for DaemonSpec { name, source, depends_on, .. } in specs {
        let is_declared = |name: &DaemonName| specs.iter().any(|spec| spec.name == *name);
        let unknown = depends_on.iter().find(|other| other.required && !is_declared(&other.name));
        if let Some(unknown) = unknown {
            let unknown = &unknown.name;
            return Err(format!(
                "{source}: cannot start {name}: it depends on {unknown}, which is not declared; declare {unknown}, \
                 or set `required` to false"
            ));
        }
    }
    let Some(cycle) = Sorting::of(specs).cycle else { return Ok(()) };
    let source = &cycle[0].source;
    let names = cycle.iter().map(|spec| spec.name.to_string()).collect::<Vec<_>>();
    let (name, path) = (&names[0], names.join(" -> "));
    Err(format!(
        "{source}: cannot start {name}: its dependencies form a cycle: {path}; remove one of these dependencies"
    ))
}

/// Returns the daemons that these names mean, each with all of its replicas, or the first name that means none.
pub(crate) fn named<'a>(
    specs: impl Iterator<Item = &'a DaemonSpec>,
    names: &[String],
) -> Result<Vec<DaemonName>, String> {
    let (specs, mut found): (Vec<_>, _) = (specs.collect(), Vec::new());
    for name in names {
        let count = found.len();
        found.extend(specs.iter().filter(|spec| spec.is_named(name)).map(|spec| spec.name.clone()));
        if found.len() == count {
            return Err(name.clone());
        }
    }
    Ok(found)
}

/// Returns the daemons with these names and all that they depend on under some condition.
pub(crate) fn with_dependencies(specs: &[DaemonSpec], names: &[String]) -> Vec<DaemonName> {
    let mut found: Vec<DaemonName> = Vec::new();
    let mut rest: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = rest.pop() {
        if let Some(spec) = specs.iter().find(|spec| *spec.name == *name)
            && !found.contains(&spec.name)
        {
            found.push(spec.name.clone());
            let needed = spec.depends_on.iter().filter(|dependency| dependency.condition != Condition::None);
            rest.extend(needed.map(|dependency| &*dependency.name));
        }
    }
    found
}

/// Returns the daemons that run once a manifest is applied: those with these names, or all that start by themselves, with
/// all that they depend on. `find` returns what is known of a daemon. One that was stopped by name stays stopped unless it
/// is named; while others are started by name, one that `goes_on` keeps running.
pub(crate) fn to_run<'d>(
    specs: &[DaemonSpec],
    names: &[String],
    find: impl Fn(&DaemonName) -> Option<&'d Daemon>,
    goes_on: impl Fn(&Daemon) -> bool,
) -> BTreeSet<DaemonName> {
    let is_stopped_by_hand = |name: &DaemonName| find(name).is_some_and(|daemon| daemon.is_stopped_by_hand);
    if !names.is_empty() {
        let kept = specs.iter().filter(|spec| find(&spec.name).is_some_and(&goes_on));
        let kept = kept.map(|spec| spec.name.clone());
        return collect_sorted(with_dependencies(specs, names).into_iter().chain(kept));
    }
    let starts_by_itself = |spec: &&DaemonSpec| {
        find(&spec.name).is_some_and(|daemon| daemon.wanted == Wanted::Started)
            || spec.autostart && !is_stopped_by_hand(&spec.name)
    };
    let roots: Vec<String> =
        specs.iter().filter(starts_by_itself).map(|spec| spec.name.to_string()).collect();
    let found = with_dependencies(specs, &roots).into_iter();
    collect_sorted(found.filter(|name| !is_stopped_by_hand(name)))
}

/// Returns the names of daemons in the order in which they are started: each after its dependencies, and otherwise as
/// they are declared.
pub(crate) fn order(specs: &[DaemonSpec]) -> Vec<DaemonName> {
    Sorting::of(specs).sorted
}

/// A depth-first search for the order, and for a cycle.
#[derive(Debug)]
struct Sorting<'a> {
    specs: BTreeMap<&'a DaemonName, &'a DaemonSpec>,
    /// The daemons that depend on the current one, each on the next.
    path: Vec<&'a DaemonSpec>,
    sorted: Vec<DaemonName>,
    /// The first cycle that was found; its last daemon is its first.
    cycle: Option<Vec<&'a DaemonSpec>>,
}

impl<'a> Sorting<'a> {
    fn of(specs: &'a [DaemonSpec]) -> Self {
        let by_name = collect_sorted(specs.iter().map(|spec| (&spec.name, spec)));
        let mut sorting = Self { specs: by_name, path: Vec::new(), sorted: Vec::new(), cycle: None };
        for spec in specs {
            sorting.visit(spec);
        }
        sorting
    }

    fn visit(&mut self, spec: &'a DaemonSpec) {
        if self.sorted.contains(&spec.name) {
            return;
        }
        if let Some(start) = self.path.iter().position(|other| other.name == spec.name) {
            self.cycle.get_or_insert_with(|| self.path[start..].iter().copied().chain([spec]).collect());
            return;
        }
        self.path.push(spec);
        for dependency in &spec.depends_on {
            if let Some(other) = self.specs.get(&dependency.name) {
                self.visit(other);
            }
        }
        self.path.pop();
        self.sorted.push(spec.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::model::DaemonSpec;
    use crate::supervisor::policy::tests::spec;
    use crate::supervisor::policy::{check, order};

    #[test]
    fn a_check_names_the_cycle_or_the_unknown_dependency() {
        for (lines, problem) in [
            (vec!["web db cache?", "db"], ""),
            (
                vec!["web", "proxy db"],
                "rigup.toml [daemons.proxy]: cannot start proxy: it depends on db, which is not declared; declare db, or \
                 set `required` to false",
            ),
            (
                vec!["proxy web", "web db", "db", "cache db2", "db2 cache?"],
                "rigup.toml [daemons.cache]: cannot start cache: its dependencies form a cycle: cache -> db2 -> cache; \
                 remove one of these dependencies",
            ),
            (
                vec!["a b", "b b"],
                "rigup.toml [daemons.b]: cannot start b: its dependencies form a cycle: b -> b; remove one of these \
                 dependencies",
            ),
        ] {
            let specs: Vec<DaemonSpec> = lines.iter().map(|line| spec(line)).collect();
            assert_eq!(check(&specs).err().unwrap_or_default(), problem);
            assert_eq!(order(&specs).len(), specs.len());
        }
    }
}
