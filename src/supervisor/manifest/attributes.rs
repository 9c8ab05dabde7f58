//! The fields about the user, the priority and the limits of a daemon.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nix::unistd::geteuid;
use rustix::fs::RawMode;

use super::declaration::{Declaration, one_of};
use super::file::ManifestFile;
use super::value::{Data, ManifestProblem, ManifestValue};
use crate::byte_size;
use crate::model::{ProcessAttributes, ResourceLimit};
use crate::process::launcher;
use crate::sorting::collect_sorted;

/// The highest mode that `umask` can take away.
const MAX_UMASK: RawMode = 0o777;

/// Reads the user, the priority and the limits of a daemon, and adds the variables of the user to `env` unless they are set
/// there.
pub(super) fn read(
    fields: &Declaration<'_>,
    env: &mut BTreeMap<String, String>,
    file: &mut ManifestFile<'_, '_>,
) -> ProcessAttributes {
    let nice = fields.read("nice", "a number from -20 to 19", |value| {
        value.number::<i32>().filter(|nice| (-20..20).contains(nice))
    });
    let umask = fields.read("umask", "octal digits in quotes such as \"027\"", |value| match &value.data {
        Data::Text(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            RawMode::from_str_radix(digits, 8).ok().filter(|umask| *umask <= MAX_UMASK)
        }
        _ => None,
    });
    ProcessAttributes {
        user: file.or_default(user(fields, env)),
        nice: file.or_default(nice),
        cpu_affinity: file.or_default(cpu_affinity(fields, "cpu_affinity")),
        rlimits: rlimits(fields, file),
        umask: file.or_default(umask),
    }
}

/// Reads the user, and adds its variables to `env` unless they are set there. Returns `None` for the user of rigup, whose
/// variables the daemon has anyway, unless that is root.
fn user(
    fields: &Declaration<'_>,
    env: &mut BTreeMap<String, String>,
) -> Result<Option<String>, ManifestProblem> {
    const KEY: &str = "user";
    const FORMS: &str = "the name or the uid of a user of this system";
    let Some(name) = fields.read(KEY, FORMS, ManifestValue::text)? else { return Ok(None) };
    let user = fields.read(KEY, FORMS, |_| launcher::find_user(&name))?;
    let Some(user) = user.filter(|user| geteuid().is_root() || user.uid != geteuid()) else {
        return Ok(None);
    };
    if !geteuid().is_root() {
        let message = format!(
            "is {name:?}, but only root can start a daemon as another user; run rigup as root, or remove \"{KEY}\""
        );
        return Err(fields.problem(KEY, &message));
    }
    if cfg!(not(target_os = "linux")) {
        return Err(fields.problem(KEY, "is supported on Linux only; remove it"));
    }
    let home = user.dir.to_string_lossy().into_owned();
    for (variable, value) in [("HOME", &home), ("USER", &user.name), ("LOGNAME", &user.name)] {
        env.entry(variable.to_owned()).or_insert_with(|| value.clone());
    }
    Ok(Some(name))
}

/// Reads the CPUs on which a daemon may run; all if the list is empty or absent.
pub(super) fn cpu_affinity(fields: &Declaration<'_>, key: &str) -> Result<Vec<usize>, ManifestProblem> {
    let forms = "a list of the numbers of CPUs such as [0, 1]";
    let cpus = fields.list(key, forms, "the number of a CPU such as 0", ManifestValue::number::<usize>)?;
    let cpus = cpus.unwrap_or_default();
    if !cpus.is_empty() && cfg!(not(target_os = "linux")) {
        return Err(fields.problem(key, "is supported on Linux only; remove it"));
    }
    let count = cpu_count().unwrap_or(usize::MAX);
    match cpus.iter().find(|cpu| **cpu >= count) {
        Some(cpu) => {
            let last = count.saturating_sub(1);
            Err(fields.problem(key, &format!("has {cpu}, but the CPUs of this machine are 0 to {last}")))
        }
        None => Ok(cpus),
    }
}

/// Returns the number of CPUs of this machine, including those that are offline, or `None` if it is not known.
#[cfg(target_os = "linux")]
fn cpu_count() -> Option<usize> {
    use nix::unistd::{SysconfVar, sysconf};

    usize::try_from(sysconf(SysconfVar::_NPROCESSORS_CONF).ok()??).ok()
}

#[cfg(not(target_os = "linux"))]
fn cpu_count() -> Option<usize> {
    None
}

fn rlimits(fields: &Declaration<'_>, file: &mut ManifestFile<'_, '_>) -> BTreeMap<String, ResourceLimit> {
    let Some(table) = file.or_default(fields.table("rlimits")) else { return BTreeMap::new() };
    let names: Vec<&str> = launcher::RESOURCES.iter().map(|(name, _)| *name).collect();
    file.check_keys(&table, &[&names]);
    let limit = |name: &str| Some((name.to_owned(), limit(&table, name, file)?));
    collect_sorted(names.into_iter().filter_map(limit))
}

fn limit(table: &Declaration<'_>, name: &str, file: &mut ManifestFile<'_, '_>) -> Option<ResourceLimit> {
    const KEYS: [&str; 2] = ["soft", "hard"];
    if !table.get(name).is_some_and(|value| matches!(value.data, Data::Map(_))) {
        let limit = value(table, name, "a number, \"unlimited\", or a table with \"soft\" and \"hard\"");
        return file.or_default(limit).map(|limit| ResourceLimit { soft: limit, hard: limit });
    }
    let parts = file.or_default(table.table(name))?;
    let count = file.problems.len();
    file.check_keys(&parts, &[&KEYS]);
    let [soft, hard] = KEYS.map(|key| file.or_default(value(&parts, key, "a number, or \"unlimited\"")));
    if file.problems.len() > count {
        return None;
    }
    let (Some(soft), Some(hard)) = (soft, hard) else {
        let message = format!("needs both {}", one_of(&KEYS).replace(" or ", " and "));
        file.report(table.problem(name, &message));
        return None;
    };
    if soft > hard {
        file.report(table.problem(name, "has a \"soft\" limit above the \"hard\" one; lower the former"));
    }
    Some(ResourceLimit { soft, hard })
}

/// Reads the value of a limit.
fn value(fields: &Declaration<'_>, key: &str, forms: &str) -> Result<Option<u64>, ManifestProblem> {
    fields.read(key, forms, |value| match value.text()?.as_str() {
        "unlimited" => Some(ResourceLimit::NONE),
        "0" => Some(0),
        text => byte_size::parse(text),
    })
}
