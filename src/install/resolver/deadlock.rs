//! Who waits for whom, among all rigups of a data dir: so that none waits in a circle.
//!
//! A name waits for another one where a hook that was started for the first calls a rigup that waits for the second, or
//! where a provider needs the second. Each rigup writes down what waits in it, in a file that it keeps locked.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::lock::FileLock;
use crate::model::id::ProcessId;

/// The first name is not done before the second one is.
pub(super) type Wait = (String, String);

/// What waits for what.
#[derive(Debug)]
pub(super) struct Waits {
    path: PathBuf,
    file: Option<FileLock>,
    written: Vec<Wait>,
}

impl Waits {
    /// Nothing waits yet in this rigup.
    pub(super) fn new(data_dir: &Path, rigup: ProcessId) -> Self {
        let path = data_dir.join("locks").join("waiting").join(rigup.to_string());
        Self { path, file: None, written: Vec::new() }
    }

    /// Writes down what waits in this rigup, in place of what did before.
    pub(super) fn write(&mut self, waits: Vec<Wait>) -> io::Result<()> {
        if waits == self.written {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(locked(&self.path)?),
        };
        let lines: Vec<&str> = waits.iter().flat_map(|(one, other)| [one, "\t", other, "\n"]).collect();
        file.write(&lines.concat())?;
        self.written = waits;
        Ok(())
    }

    /// The names that wait in this rigup.
    pub(super) fn written(&self) -> &[Wait] {
        &self.written
    }

    /// What waits in all rigups that live. What one of them is just writing is there the next time.
    pub(super) fn read_all(&self) -> Vec<Wait> {
        let files =
            self.path.parent().and_then(|it| std::fs::read_dir(it).ok()).into_iter().flatten().flatten();
        let texts = files.filter_map(|it| read_living(&it.path()));
        let mut waits = Vec::new();
        for text in texts {
            let lines = text.split_inclusive('\n').filter_map(|it| it.strip_suffix('\n')?.split_once('\t'));
            waits.extend(lines.map(|(one, other)| (one.to_owned(), other.to_owned())));
        }
        waits
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs_err::remove_file(&self.path);
        }
    }
}

/// Creates a file and locks it. Another rigup that found it before it was locked has removed it.
fn locked(path: &Path) -> io::Result<FileLock> {
    loop {
        let file = FileLock::create(path)?;
        file.lock()?;
        if !file.is_removed()? {
            return Ok(file);
        }
    }
}

/// Returns what a living rigup wrote; the file of any other one is removed.
fn read_living(path: &Path) -> Option<String> {
    let mut file = FileLock::open(path).ok()?;
    if file.try_lock_shared().ok()? {
        let _ = fs_err::remove_file(path);
        return None;
    }
    Some(file.read())
}

/// The way from one name to the nearest of others, along what waits for what, both ends included.
pub(super) fn way<'a>(waits: &'a [Wait], from: &'a str, to: &[&str]) -> Option<Vec<&'a str>> {
    let mut came_from: HashMap<&str, &str> = HashMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(name) = next.pop_front() {
        if to.contains(&name) {
            let mut way = vec![name];
            while let Some(before) = way.last().filter(|it| **it != from).and_then(|it| came_from.get(it)) {
                way.push(before);
            }
            way.reverse();
            return Some(way);
        }
        for (_, other) in waits.iter().filter(|(one, _)| one == name) {
            if other != from && !came_from.contains_key(other.as_str()) {
                came_from.insert(other, name);
                next.push_back(other);
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
    fn the_nearest_way_is_found_and_no_circle_is_walked_for_ever() {
        let waits = waits(&[("b", "c"), ("c", "b"), ("c", "d"), ("d", "a"), ("b", "a"), ("x", "y")]);
        assert_eq!(way(&waits, "b", &["a"]), Some(vec!["b", "a"]));
        assert_eq!(way(&waits, "c", &["a", "x"]), Some(vec!["c", "b", "a"]));
        assert_eq!(way(&waits, "b", &["b"]), Some(vec!["b"]));
        assert_eq!(way(&waits, "b", &["x"]), None);
        assert_eq!(way(&waits, "a", &["b"]), None);
    }

    #[test]
    fn every_rigup_reads_what_the_living_ones_wrote_and_removes_what_the_others_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Waits::new(folder.path(), ProcessId::generate());
        let mut other = Waits::new(folder.path(), ProcessId::generate());
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
