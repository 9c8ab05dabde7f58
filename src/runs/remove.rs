//! Removing run dirs: each whole or not at all, and nothing outside of the data dir.

use std::io;
use std::path::{Path, PathBuf};

/// A run dir that is being removed has this in front of its name, and is no run's any more.
pub(super) const GONE: &str = ".gone-";

/// Where run dirs are, and how deep: a name stands for itself, none for any folder.
const PLACES: [&[Option<&str>]; 4] = [
    &[Some("runs"), None, None],
    &[Some("events"), None, None, None, Some(".hooks"), None, None],
    &[Some("machines"), None, Some("binaries"), None, None, None, Some(".hooks"), None, None],
    &[Some("machines"), None, Some("batches"), None, Some(".hooks"), None, None],
];

/// A data dir out of which run dirs are removed.
#[derive(Debug)]
pub(super) struct Remover {
    /// As it is, whatever links lead there.
    data_dir: PathBuf,
}

impl Remover {
    pub(super) fn new(data_dir: &Path) -> io::Result<Self> {
        Ok(Self { data_dir: data_dir.canonicalize()? })
    }

    /// Whether a run dir lies in the data dir, not only behind a link in there, or is there no more.
    pub(super) fn is_ours(&self, run_dir: &Path) -> bool {
        match run_dir.parent().map(Path::canonicalize) {
            Some(Ok(parent)) => parent.starts_with(&self.data_dir) && parent != self.data_dir,
            Some(Err(error)) => error.kind() == io::ErrorKind::NotFound,
            None => false,
        }
    }

    /// Renames a run dir and then removes it, so that it is a process's whole folder or nobody's, and the folders above
    /// that are empty then. One that is gone already, or half, is no error.
    pub(super) fn remove(&self, run_dir: &Path) -> io::Result<()> {
        let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
        let gone = if name.starts_with(GONE) {
            run_dir.to_owned()
        } else {
            let gone = run_dir.with_file_name(format!("{GONE}{name}"));
            or_gone(fs_err::rename(run_dir, &gone))?;
            gone
        };
        or_gone(fs_err::remove_dir_all(gone))?;
        self.remove_empty(run_dir.parent());
        Ok(())
    }

    /// Removes folders upwards, as long as they are empty; never those that are directly in the data dir. Whoever makes
    /// something there meanwhile makes the folder anew.
    fn remove_empty(&self, folder: Option<&Path>) {
        let Some(Ok(folder)) = folder.map(Path::canonicalize) else { return };
        let is_deep =
            |it: &&Path| it.parent().is_some_and(|it| it != self.data_dir && it.starts_with(&self.data_dir));
        let _ = folder.ancestors().take_while(is_deep).try_for_each(std::fs::remove_dir);
    }

    /// Every run dir there is, also half removed ones, and the folders of slugs that no run is in.
    pub(super) fn run_dirs(&self) -> impl Iterator<Item = PathBuf> {
        run_dirs(&self.data_dir)
    }

    /// Removes the folders of kinds of which there is no run.
    pub(super) fn remove_empty_slugs(&self) {
        for slug in folders(&self.data_dir.join("runs")) {
            self.remove_empty(Some(&slug));
        }
    }
}

/// Every folder in a data dir that stands where run dirs do; what hooks unpacked lies deeper, and is none.
pub(crate) fn run_dirs(data_dir: &Path) -> impl Iterator<Item = PathBuf> {
    PLACES.into_iter().flat_map(|place| below(vec![data_dir.to_owned()], place))
}

/// The folders that lie so deep below these.
fn below(folders_above: Vec<PathBuf>, place: &[Option<&str>]) -> Vec<PathBuf> {
    place.iter().fold(folders_above, |above, name| match name {
        Some(name) => above.into_iter().map(|it| it.join(name)).collect(),
        None => above.iter().flat_map(|it| folders(it)).collect(),
    })
}

/// The folders in a folder; links are none. What cannot be read has none.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|it| it.file_type().is_ok_and(|it| it.is_dir())).map(|it| it.path()).collect()
}

/// What is gone already was to go.
fn or_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data dir with the run dir `runs/a/1`, which holds a folder and a link out of the data dir.
    fn place() -> (tempfile::TempDir, Remover, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let run_dir = root.path().join("data/runs/a/1");
        fs_err::create_dir_all(run_dir.join("sub")).unwrap();
        fs_err::create_dir(root.path().join("outside")).unwrap();
        fs_err::write(root.path().join("outside/kept"), "").unwrap();
        fs_err::os::unix::fs::symlink(root.path().join("outside"), run_dir.join("sub/link")).unwrap();
        let remover = Remover::new(&root.path().join("data")).unwrap();
        (root, remover, run_dir)
    }

    #[test]
    fn a_run_dir_goes_with_the_empty_folders_above_it_and_what_links_in_it_lead_to_stays() {
        let (root, remover, run_dir) = place();
        assert!(remover.is_ours(&run_dir));
        remover.remove(&run_dir).unwrap();
        assert!(!root.path().join("data/runs/a").exists() && root.path().join("data/runs").exists());
        assert!(root.path().join("outside/kept").exists());
        remover.remove(&run_dir).unwrap();
        assert!(remover.is_ours(&run_dir), "there is nothing left to do");
    }

    #[test]
    fn a_run_dir_that_was_half_removed_is_removed_by_the_next_one() {
        let (root, remover, run_dir) = place();
        fs_err::create_dir(run_dir.with_file_name("2")).unwrap();
        fs_err::rename(&run_dir, run_dir.with_file_name(".gone-1")).unwrap();
        assert_eq!(remover.run_dirs().count(), 2);
        remover.remove(&run_dir).unwrap();
        assert_eq!(folders(&root.path().join("data/runs/a")), [run_dir.with_file_name("2")]);
    }

    #[test]
    fn what_lies_behind_a_link_or_outside_of_the_data_dir_is_not_ours() {
        let (root, remover, run_dir) = place();
        let elsewhere = root.path().join("elsewhere");
        fs_err::rename(run_dir.parent().unwrap(), &elsewhere).unwrap();
        fs_err::os::unix::fs::symlink(&elsewhere, run_dir.parent().unwrap()).unwrap();
        assert!(!remover.is_ours(&run_dir));
        assert!(!remover.is_ours(&root.path().join("data/x")));
        assert!(!remover.is_ours(&root.path().join("outside/x")));
        assert!(!remover.is_ours(Path::new("/")));
        assert_eq!(remover.run_dirs().count(), 0);
    }

    #[test]
    fn run_dirs_are_found_wherever_hooks_have_theirs() {
        let root = tempfile::tempdir().unwrap();
        let places = [
            "runs/slug/id",
            "events/E/id/plugin/.hooks/on_E__1_x.sh/id",
            "machines/id/binaries/rg/id/env/.hooks/on_BinaryRequest__00_env.sh/id",
            "machines/id/batches/env/.hooks/on_BinaryRequest__00_env.batch.sh/id",
        ];
        for place in places {
            fs_err::create_dir_all(root.path().join(place)).unwrap();
        }
        fs_err::create_dir_all(root.path().join("events/E/id/plugin/site/x/y")).unwrap();
        let remover = Remover::new(root.path()).unwrap();
        let mut found: Vec<PathBuf> = remover.run_dirs().collect();
        found.sort();
        let mut wanted = places.map(|it| remover.data_dir.join(it));
        wanted.sort();
        assert_eq!(found, wanted);
    }
}
