//! The links in LIB_BIN_DIR, and the programs that come before them on PATH.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::engine::doctor::finding::{Finding, Level};
use crate::engine::inventory;
use crate::fs::{dir, lib_dir};
use crate::install::plan::ENV;
use crate::install::status::FileCheck;
use crate::model::{Binary, name};
use crate::plugin::config::enabled::PluginConfigs;
use crate::process::wrapper;
use crate::settings::Settings;
use crate::shell;
use crate::sorting::{sort, sort_by};

/// Checks the files and links of the recorded binaries, and then the other links.
pub(super) fn examine(
    settings: &Settings,
    configs: &PluginConfigs,
    binaries: Option<HashMap<String, Binary>>,
    findings: &mut Vec<Finding>,
) {
    let mut binaries: Vec<Binary> = binaries.unwrap_or_default().into_values().collect();
    sort_by(&mut binaries, |one, other| one.name.cmp(&other.name));
    let file_check = FileCheck { settings, configs };
    let mut reported = HashSet::new();
    for binary in &binaries {
        if let Some(error) = inventory::link_error(binary, settings) {
            reported.insert(settings.lib_bin_dir.join(name::link_name(&binary.name)));
            let text = format!("{} is recorded, but {error}", binary.name);
            findings.push(Finding::from_text("links", Level::Fault, &text, "run `rigup install`"));
            continue;
        }
        if let Some(problem) = inventory::problem(binary, file_check) {
            findings.push(Finding::from_text(
                "links",
                level_of_modified(binary),
                &problem,
                "run `rigup install`",
            ));
        }
        if settings.has_lib_bin_dir_on_path() {
            findings.extend(shadowed(binary, settings));
        }
    }
    let others = links(settings);
    let others = others.iter().filter(|link| !reported.contains(*link));
    findings.extend(others.filter_map(|link| dangling(link)));
}

/// Returns how serious it is that the file of a binary has changed. A file that env found belongs to the user.
fn level_of_modified(binary: &Binary) -> Level {
    let is_of_user = binary.installed().is_some_and(|installed| installed.binprovider.as_str() == ENV);
    if is_of_user { Level::Warning } else { Level::Fault }
}

/// Returns a finding if another program comes before the link of a binary on PATH.
fn shadowed(binary: &Binary, settings: &Settings) -> Option<Finding> {
    let installed = binary.installed()?;
    let link_name = name::link_name(&binary.name);
    let found = which::which_in(link_name, settings.command_environment.get("PATH"), "/").ok()?;
    let is_own = |path: &Path| dir::is_same(&found, path) == Some(true);
    let link = settings.lib_bin_dir.join(link_name);
    if is_own(&installed.abspath) || is_own(&link) {
        return None;
    }
    let message = format!("{} comes before {} on PATH", found.display(), link.display());
    let fix =
        format!("put {} before {} on PATH", settings.lib_bin_dir.display(), dir::parent(&found).display());
    Some(Finding::new("path", Level::Warning, message, fix))
}

/// Returns the links of rigup, sorted: all in a LIB_BIN_DIR in LIB_DIR, and those with a marker in another.
fn links(settings: &Settings) -> Vec<PathBuf> {
    let Settings { lib_dir, lib_bin_dir, .. } = settings;
    if !lib_bin_dir.starts_with(lib_dir) {
        return lib_dir::marked_links(lib_dir, lib_bin_dir);
    }
    let entries = fs_err::read_dir(lib_bin_dir).into_iter().flatten().flatten();
    let mut links: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    sort(&mut links);
    links
}

/// Returns a finding if a link or a wrapper leads to nothing.
fn dangling(link: &Path) -> Option<Finding> {
    let (target, _) = wrapper::target(link)?;
    let message = format!("{} dangles: {} is gone", link.display(), target.display());
    let fix = if lib_dir::is_marked_link(link) {
        "run `rigup uninstall --orphaned --yes`, or install it again".to_owned()
    } else {
        format!("run `rm {}`", shell::quote_path(link))
    };
    (!target.exists()).then(|| Finding::new("links", Level::Fault, message, fix))
}
