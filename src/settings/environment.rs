//! The environment that rigup was started with.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::sorting::collect_sorted;

/// The PATH of a process that has none: that of Debian.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment that rigup was started with. Bytes that are not UTF-8 are kept.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Reads the environment of this process; called once, at the start. Without a PATH, the default one applies, as it does
    /// to the system and to shells.
    #[expect(clippy::disallowed_methods, reason = "only this function reads the environment")]
    pub fn of_this_process() -> Self {
        let mut variables: BTreeMap<OsString, OsString> = collect_sorted(std::env::vars_os());
        variables.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        Self(variables)
    }

    /// Returns the environment of a command with these variables.
    pub(crate) fn of_command(variables: &[(OsString, OsString)]) -> Self {
        Self(collect_sorted(variables.iter().cloned()))
    }

    /// Returns the value of a variable, or `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of the first of these variables that is set, as a path.
    pub(super) fn path(&self, names: &[&str]) -> Option<PathBuf> {
        names.iter().find_map(|name| self.get(name)).map(PathBuf::from)
    }

    /// Returns the value of a variable, or `None` if it is unset, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// Returns the folders in a list such as PATH, or none if it is unset.
    pub fn folders(&self, name: &str) -> Vec<PathBuf> {
        self.get(name).map(|list| std::env::split_paths(list).collect()).unwrap_or_default()
    }

    /// Returns a folder of the XDG Base Directory Specification; `default` is relative to the home folder.
    pub(crate) fn xdg_folder(&self, name: &str, home: Option<&Path>, default: &str) -> Option<PathBuf> {
        let folder = self.path(&[name]).filter(|folder| folder.is_absolute());
        folder.or_else(|| Some(home?.join(default)))
    }

    /// Removes variables.
    pub(super) fn remove(&mut self, names: &[&str]) {
        self.0.retain(|name, _| !names.iter().any(|removed| name == removed));
    }

    /// Removes a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(OsStr::new(name));
        self
    }

    /// Returns every variable with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
