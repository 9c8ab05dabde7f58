//! Declarations of several replicas.

#[cfg(test)]
mod tests;

use super::declaration::{Declaration, daemon_name};
use super::value::{ManifestProblem, ManifestValue};
use crate::model::{DaemonName, DaemonSpec, Dependency, ReadinessCheck, Replica};

/// The field.
pub(super) const FIELD: &str = "replicas";

/// The highest number of replicas.
const MAX: u32 = 1000;

/// Returns the replicas of a daemon: `NAME.0`, `NAME.1` and so on, or only the daemon itself if it has one.
pub(super) fn replicas(
    spec: DaemonSpec,
    fields: &Declaration<'_>,
) -> Result<Vec<DaemonSpec>, ManifestProblem> {
    let forms = format!("a number from 1 to {MAX}");
    let count = fields.read(FIELD, &forms, |value: &ManifestValue| {
        value.number::<u32>().filter(|count| (1..=MAX).contains(count))
    })?;
    let Some(count) = count.filter(|count| *count > 1) else { return Ok(vec![spec]) };
    if let Some(ready) = &spec.ready
        && is_exclusive(&ready.probe)
    {
        let message = format!(
            "is {count}, but all of them would have the same address or file in \"ready\"; use a check by exec or \
             log"
        );
        return Err(fields.problem(FIELD, &message));
    }
    let line = fields.get(FIELD).map_or(fields.line, |value| value.line);
    let replica = |index: u32| {
        let name = daemon_name(&format!("{}.{index}", spec.name), line)?;
        Ok(DaemonSpec { name, replica: Some(Replica { of: spec.name.clone(), index }), ..spec.clone() })
    };
    (0..count).map(replica).collect()
}

/// Whether only one daemon at a time can pass a check.
fn is_exclusive(check: &ReadinessCheck) -> bool {
    match check {
        ReadinessCheck::Tcp(..)
        | ReadinessCheck::Http(_)
        | ReadinessCheck::File(_)
        | ReadinessCheck::Fifo(_)
        | ReadinessCheck::Pipe(_) => true,
        ReadinessCheck::Notify
        | ReadinessCheck::Exec(_)
        | ReadinessCheck::Log(_)
        | ReadinessCheck::StdoutLine => false,
    }
}

/// Replaces each dependency on a declaration with several replicas by one on each of them.
pub(super) fn expand_dependencies(daemons: &mut [DaemonSpec]) {
    let replica = |daemon: &DaemonSpec| Some((daemon.replica.as_ref()?.of.clone(), daemon.name.clone()));
    let replicas: Vec<(DaemonName, DaemonName)> = daemons.iter().filter_map(replica).collect();
    for daemon in daemons {
        for dependency in std::mem::take(&mut daemon.depends_on) {
            let on = |name: &DaemonName| Dependency { name: name.clone(), ..dependency.clone() };
            let of = replicas.iter().filter(|(declared, _)| *declared == dependency.name);
            let expanded: Vec<Dependency> = of.map(|(_, name)| on(name)).collect();
            let whole = expanded.is_empty().then_some(dependency);
            daemon.depends_on.extend(expanded.into_iter().chain(whole));
        }
    }
}
