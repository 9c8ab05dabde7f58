//! What rigup must not leave behind after a fault, once every command has exited.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::test_context::{TestContext, wait_until};

/// Asserts that no process is alive, no lock is held, no link or file is incomplete, every run dir has a record, and
/// every recorded process has exited.
#[track_caller]
pub(crate) fn assert_nothing_is_left(context: &TestContext) {
    assert_eq!(context.live_processes(), []);
    let processes = context.processes();
    let running: Vec<_> = processes.iter().filter(|process| process["status"] != "exited").collect();
    assert!(running.is_empty(), "processes that have not exited: {running:?}");
    let known: BTreeSet<&str> = processes.iter().filter_map(|process| process["run_dir"].as_str()).collect();
    let links = context.bin("");
    // Without free descriptors, rigup cannot remove this folder. The next command that unpacks the providers removes
    // it.
    let mut incomplete = incomplete_files(context);
    incomplete.retain(|path| !path.ends_with("builtin/.new"));
    assert!(incomplete.is_empty(), "incomplete files: {incomplete:?}");
    for path in paths_in(&context.path("data")) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name == "cmd.sh" {
            let run_dir = path.parent().unwrap().to_str().unwrap();
            assert!(known.contains(run_dir), "{run_dir} has no record");
        }
        if is_lock(&path) {
            // A process that exits loses its environment, by which it is found, before its locks.
            let is_free = || File::open(&path).unwrap().try_lock().is_ok();
            wait_until(&format!("{} is free", path.display()), is_free);
        }
        if path.parent() == Some(&links) {
            assert!(path.is_symlink() && path.exists(), "{} dangles", path.display());
        }
    }
}

/// Returns the files in the data dir that have not been renamed to their final path.
pub(crate) fn incomplete_files(context: &TestContext) -> Vec<PathBuf> {
    let is_incomplete = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hidden = name.starts_with('.') && ![".locks", ".prefixes", ".links"].contains(&&*name);
        is_hidden || name.contains(".new")
    };
    paths_in(&context.path("data")).into_iter().filter(is_incomplete).collect()
}

fn is_lock(path: &Path) -> bool {
    let is_lock_folder = |name: &std::ffi::OsStr| name == "locks" || name == ".locks";
    path.is_file()
        && (path.file_name().is_some_and(|name| name == "lock")
            || path.parent().is_some_and(|folder| folder.iter().any(is_lock_folder)))
}

fn paths_in(folder: &Path) -> Vec<PathBuf> {
    if !fs::exists(folder).unwrap() {
        return Vec::new();
    }
    walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path()).collect()
}
