//! The folders that rigup and its hooks use: whether they are on PATH, can be written to and used for programs, and have
//! space.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::engine::doctor::finding::{Finding, Level};
use crate::exhaustion;
use crate::fs::dir;
use crate::fs::temporary_folder::TemporaryFolder;
use crate::process::executable;
use crate::settings::Settings;

/// The free space below which an install may fail, in bytes: a venv or a browser takes about as much.
const LOW_SPACE: u64 = 256 << 20;

/// Checks PATH, the folders and the data dir of a CI job.
pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let temporary = tempfile::env::temp_dir();
    let mut findings = Vec::new();
    findings.extend(search_path(settings));
    findings.extend(temporary_folder(&temporary));
    findings.extend(lib_dir(&settings.lib_dir));
    findings.extend(space(&[&settings.data_dir, &settings.lib_dir, &temporary]));
    findings.extend(ci(settings));
    findings
}

fn search_path(settings: &Settings) -> Option<Finding> {
    let message =
        format!("{} is not on PATH, so installed programs are not found", settings.lib_bin_dir.display());
    let fix =
        format!("{}, also in the startup file of your shell, or `rigup exec -- CMD`", settings.env_command());
    (!settings.has_lib_bin_dir_on_path()).then(|| Finding::new("path", Level::Warning, message, fix))
}

fn temporary_folder(folder: &Path) -> Option<Finding> {
    // Some file systems, such as that of /proc, allow root to write, and create nothing.
    if let Err(error) = TemporaryFolder::create("rigup-doctor-") {
        let fix = "set TMPDIR to a folder that you can write to";
        return Some(Finding::from_text("temp", Level::Fault, &error.to_string(), fix));
    }
    let shown = folder.display();
    let message = format!("the temporary folder {shown} is mounted noexec, so some packages cannot be built");
    let fix = "set TMPDIR to a folder on a file system that is mounted with exec";
    executable::is_mounted_noexec(folder).then(|| Finding::new("temp", Level::Warning, message, fix))
}

fn lib_dir(lib_dir: &Path) -> Option<Finding> {
    let shown = lib_dir.display();
    if executable::is_mounted_noexec(dir::nearest_existing(lib_dir)) {
        let message =
            format!("LIB_DIR {shown} is mounted noexec, so nothing that is installed there can run");
        let fix = "choose another with --lib-dir or RIGUP_LIB_DIR, or mount the file system with exec";
        return Some(Finding::new("lib_dir", Level::Fault, message, fix));
    }
    let message = format!("cannot write to LIB_DIR {shown}, so nothing can be installed there");
    let fix = "choose another with --lib-dir or RIGUP_LIB_DIR, or run rigup as the user to whom it belongs";
    (!dir::is_creatable(lib_dir)).then(|| Finding::new("lib_dir", Level::Warning, message, fix))
}

/// Checks the space on each file system once.
fn space(folders: &[&Path]) -> Vec<Finding> {
    let mut seen = HashSet::new();
    let mut findings = Vec::new();
    for folder in folders.iter().map(|folder| dir::nearest_existing(folder)) {
        let Ok(metadata) = folder.metadata() else { continue };
        if !seen.insert(metadata.dev()) {
            continue;
        }
        let shown = folder.display();
        let fix = "remove files, such as those that `rigup process gc --dry-run` and `rigup uninstall --orphaned` list";
        if exhaustion::is_full(folder) {
            let message = format!("the file system of {shown} has no space left");
            findings.push(Finding::new("space", Level::Fault, message, fix));
        } else if let Some(free) = exhaustion::free_bytes(folder).filter(|free| *free < LOW_SPACE) {
            let message = format!("the file system of {shown} has only {} MiB left", free >> 20);
            findings.push(Finding::new("space", Level::Warning, message, fix));
        }
    }
    findings
}

/// Notes that a CI job may lose its data dir.
fn ci(settings: &Settings) -> Option<Finding> {
    let is_default_in_ci = settings.is_default_data_dir && settings.environment.get("CI").is_some();
    let message = format!("CI is set, and the data dir is the default one, {}", settings.data_dir.display());
    let fix = "keep it in the cache of the CI, or set RIGUP_DATA_DIR to a folder that is kept";
    is_default_in_ci.then(|| Finding::new("ci", Level::Note, message, fix))
}
