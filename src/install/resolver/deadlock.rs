//! Finds deadlocks between the rigups of a data dir.
//!
//! A name waits for another name if a hook that resolves the first calls a rigup that waits for the second, or if a
//! provider of the first depends on the second. Each rigup writes its waits to a file, which it keeps locked while it
//! runs.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::lock::FileLock;
use crate::model::ProcessId;

/// A name, and the name that it waits for.
pub(super) type Wait = (String, String);

/// The file with the waits of one rigup.
#[derive(Debug)]
pub(super) struct WaitFile {
    path: PathBuf,
    file: Option<FileLock>,
    /// The waits of this rigup.
    pub(super) written: Vec<Wait>,
}

impl WaitFile {
    /// Returns the file of a rigup. The first write creates it.
    pub(super) fn new(data_dir: &Path, rigup: ProcessId) -> Self {
        let path = data_dir.join("locks").join("waiting").join(rigup.to_string());
        Self { path, file: None, written: Vec::new() }
    }

    /// Replaces the waits of this rigup.
    pub(super) fn write(&mut self, waits: Vec<Wait>) -> io::Result<()> {
        if waits == self.written {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            file => file.insert(create_locked(&self.path)?),
        };
        let lines: Vec<&str> = waits.iter().flat_map(|(one, other)| [one, "\t", other, "\n"]).collect();
        file.write(&lines.concat())?;
        self.written = waits;
        Ok(())
    }

    /// Returns the waits of all running rigups. If a write is in progress, the next call returns its waits.
    pub(super) fn read_all(&self) -> Vec<Wait> {
        let folder = self.path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
        let texts = folder.into_iter().flatten().flatten().filter_map(|file| read_if_running(&file.path()));
        let mut waits = Vec::new();
        for text in texts {
            let lines =
                text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once('\t'));
            waits.extend(lines.map(|(one, other)| (one.to_owned(), other.to_owned())));
        }
        waits
    }
}

impl Drop for WaitFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs_err::remove_file(&self.path);
        }
    }
}

/// Creates a file and locks it. Until it is locked, another rigup may remove it as a file of a rigup that has exited;
/// then it is created again.
fn create_locked(path: &Path) -> io::Result<FileLock> {
    loop {
        let file = FileLock::create(path)?;
        file.lock()?;
        if !file.is_removed()? {
            return Ok(file);
        }
    }
}

/// Returns the contents of a rigup's file. If that rigup is no longer running, removes the file and returns `None`.
fn read_if_running(path: &Path) -> Option<String> {
    let mut file = FileLock::open(path).ok()?;
    if file.try_lock_shared().ok()? {
        let _ = fs_err::remove_file(path);
        return None;
    }
    Some(file.read())
}

/// Returns the shortest path along the waits from a name to one of others, both ends included, or `None` if there is
/// none.
pub(super) fn path<'a>(waits: &'a [Wait], from: &'a str, to: &[&str]) -> Option<Vec<&'a str>> {
    let mut predecessors: HashMap<&str, &str> = HashMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(name) = queue.pop_front() {
        if to.contains(&name) {
            let mut path = vec![name];
            while let Some(previous) =
                path.last().filter(|name| **name != from).and_then(|name| predecessors.get(name))
            {
                path.push(previous);
            }
            path.reverse();
            return Some(path);
        }
        for (_, other) in waits.iter().filter(|(one, _)| one == name) {
            if other != from && !predecessors.contains_key(other.as_str()) {
                predecessors.insert(other, name);
                queue.push_back(other);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(all: &[(&str, &str)]) -> Vec<Wait> {
        all.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
    }

    #[test]
    fn finds_the_shortest_path_despite_circles() {
        let waits = waits(&[("b", "c"), ("c", "b"), ("c", "d"), ("d", "a"), ("b", "a"), ("x", "y")]);
        assert_eq!(path(&waits, "b", &["a"]), Some(vec!["b", "a"]));
        assert_eq!(path(&waits, "c", &["a", "x"]), Some(vec!["c", "b", "a"]));
        assert_eq!(path(&waits, "b", &["b"]), Some(vec!["b"]));
        assert_eq!(path(&waits, "b", &["x"]), None);
        assert_eq!(path(&waits, "a", &["b"]), None);
    }

    #[test]
    fn reads_the_files_of_running_rigups_and_removes_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = WaitFile::new(folder.path(), ProcessId::generate());
        let mut other = WaitFile::new(folder.path(), ProcessId::generate());
        assert_eq!(one.read_all(), []);
        one.write(waits(&[("a", "b"), ("é x", "b")])).unwrap();
        other.write(waits(&[("b", "a")])).unwrap();
        other.write(waits(&[("c", "d")])).unwrap();
        let dead = folder.path().join("locks/waiting").join(ProcessId::generate().to_string());
        fs_err::write(&dead, "x\ty\n").unwrap();
        let mut all = other.read_all();
        all.sort();
        assert_eq!(all, waits(&[("a", "b"), ("c", "d"), ("é x", "b")]));
        assert!(!dead.exists());
        drop(one);
        assert_eq!(other.read_all(), waits(&[("c", "d")]));
        drop(other);
        assert_eq!(fs_err::read_dir(folder.path().join("locks/waiting")).unwrap().count(), 0);
    }
}
