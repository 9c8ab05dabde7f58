//! The folder of all run dirs: which there are, and their removal.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::ProcessId;
use crate::process::run_dir;

/// The prefix of a run dir that is being removed: it belongs to no process any more.
const REMOVED: &str = ".gone-";

/// The folder `processes` of a data dir.
#[derive(Debug)]
pub(crate) struct RunDirs {
    folder: PathBuf,
}

/// A run dir that was found in the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FoundRunDir {
    /// The process that it is named after.
    pub process_id: ProcessId,
    /// The folder.
    pub path: PathBuf,
    /// Whether its removal was begun and not finished.
    pub is_half_removed: bool,
}

impl RunDirs {
    /// Returns the run dirs of a data dir.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(run_dir::FOLDER) }
    }

    /// Whether rigup may remove anything: not if the folder is a link to somewhere else.
    pub(crate) fn is_removable(&self) -> bool {
        !self.folder.is_symlink()
    }

    /// Lists every run dir, including half-removed ones. Files, links and folders with any other name are left out.
    pub(crate) fn list(&self) -> impl Iterator<Item = FoundRunDir> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (id, is_half_removed) = match name.strip_prefix(REMOVED) {
                Some(id) => (id, true),
                None => (name.as_str(), false),
            };
            let process_id: ProcessId = id.parse().ok()?;
            (process_id.to_string() == id).then(|| FoundRunDir {
                process_id,
                path: entry.path(),
                is_half_removed,
            })
        })
    }

    /// Renames a run dir and then removes it, so that it is never half there under its name. One that is removed
    /// already, or half, is no error.
    pub(crate) fn remove(&self, process_id: ProcessId) -> io::Result<()> {
        let removed = self.folder.join(format!("{REMOVED}{process_id}"));
        ignore_missing(fs_err::rename(self.folder.join(process_id.to_string()), &removed))?;
        ignore_missing(fs_err::remove_dir_all(removed))
    }
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use fs_err::os::unix::fs::symlink;

    use super::*;

    /// Returns a data dir with one run dir, which holds a folder with a link to a folder outside the data dir.
    fn data_dir() -> (tempfile::TempDir, RunDirs, ProcessId) {
        let root = tempfile::tempdir().unwrap();
        let data_dir = root.path().join("data");
        let process_id = ProcessId::generate();
        let run_dir = run_dir::path(&data_dir, process_id);
        fs_err::create_dir_all(run_dir.join("sub")).unwrap();
        fs_err::create_dir(root.path().join("outside")).unwrap();
        fs_err::write(root.path().join("outside/kept"), "").unwrap();
        symlink(root.path().join("outside"), run_dir.join("sub/link")).unwrap();
        (root, RunDirs::of(&data_dir), process_id)
    }

    #[test]
    fn removes_a_run_dir_but_not_the_targets_of_its_links() {
        let (root, run_dirs, process_id) = data_dir();
        run_dirs.remove(process_id).unwrap();
        assert_eq!(fs_err::read_dir(&run_dirs.folder).unwrap().count(), 0);
        assert!(root.path().join("outside/kept").exists());
        run_dirs.remove(process_id).unwrap();
    }

    #[test]
    fn removes_a_run_dir_that_was_removed_in_part() {
        let (_root, run_dirs, process_id) = data_dir();
        let half_removed = run_dirs.folder.join(format!("{REMOVED}{process_id}"));
        fs_err::rename(run_dirs.folder.join(process_id.to_string()), &half_removed).unwrap();
        let found = FoundRunDir { process_id, path: half_removed, is_half_removed: true };
        assert_eq!(run_dirs.list().collect::<Vec<_>>(), [found]);
        run_dirs.remove(process_id).unwrap();
        assert_eq!(run_dirs.list().count(), 0);
    }

    #[test]
    fn only_folders_that_are_named_after_a_process_are_run_dirs() {
        let (root, run_dirs, process_id) = data_dir();
        let upper = ProcessId::generate().to_string().to_uppercase();
        for name in ["x", ".gone-x", &upper, &ProcessId::generate().to_string().replace('-', "")] {
            fs_err::create_dir(run_dirs.folder.join(name)).unwrap();
        }
        fs_err::write(run_dirs.folder.join(ProcessId::generate().to_string()), "").unwrap();
        let link = run_dirs.folder.join(ProcessId::generate().to_string());
        symlink(root.path().join("outside"), link).unwrap();
        let found: Vec<ProcessId> = run_dirs.list().map(|run_dir| run_dir.process_id).collect();
        assert_eq!(found, [process_id]);
    }

    #[test]
    fn does_not_follow_a_link_to_remove_files() {
        let (root, run_dirs, _) = data_dir();
        assert!(run_dirs.is_removable());
        let elsewhere = root.path().join("elsewhere");
        fs_err::rename(&run_dirs.folder, &elsewhere).unwrap();
        symlink(&elsewhere, &run_dirs.folder).unwrap();
        assert!(!run_dirs.is_removable());
    }
}
