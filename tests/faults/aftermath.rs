//! What has to be true after every fault, once all commands are over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::test_context::TestContext;

/// No process lives, no lock is held, no link is half-made, no file was left aside, and every run that has a folder has
/// a record with an end.
#[track_caller]
pub(crate) fn nothing_is_left(context: &TestContext) {
    assert_eq!(context.live_processes(), []);
    let processes = context.processes();
    let open: Vec<_> = processes.iter().filter(|it| it["status"] != "exited").collect();
    assert!(open.is_empty(), "these have no end: {open:?}");
    let known: BTreeSet<&str> = processes.iter().filter_map(|it| it["run_dir"].as_str()).collect();
    let links = context.bin("");
    // Without descriptors there is no removing it; whoever unpacks next begins with that.
    let aside: Vec<_> = half_made(context).into_iter().filter(|it| !it.ends_with("builtin/.new")).collect();
    assert!(aside.is_empty(), "these were left aside: {aside:?}");
    for path in below(&context.path("data")) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name == "cmd.sh" {
            let run_dir = path.parent().unwrap().to_str().unwrap();
            assert!(known.contains(run_dir), "{run_dir} has no record");
        }
        if is_lock(&path) {
            let is_free = File::open(&path).unwrap().try_lock().is_ok();
            assert!(is_free, "{} is held", path.display());
        }
        if path.parent() == Some(&links) {
            assert!(path.is_symlink() && path.exists(), "{} leads nowhere", path.display());
        }
    }
}

/// What stands in the data dir beside the place that it was made for.
pub(crate) fn half_made(context: &TestContext) -> Vec<PathBuf> {
    let is_half_made = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hidden = name.starts_with('.') && name != ".locks";
        is_hidden || name.contains(".new")
    };
    below(&context.path("data")).into_iter().filter(is_half_made).collect()
}

fn is_lock(path: &Path) -> bool {
    let is_folder_of_locks = |it: &std::ffi::OsStr| it == "locks" || it == ".locks";
    path.is_file()
        && (path.file_name().is_some_and(|it| it == "lock")
            || path.parent().is_some_and(|it| it.iter().any(is_folder_of_locks)))
}

fn below(folder: &Path) -> Vec<PathBuf> {
    if !fs::exists(folder).unwrap() {
        return Vec::new();
    }
    walkdir::WalkDir::new(folder).into_iter().map(|it| it.unwrap().into_path()).collect()
}
