//! The paths of folders in the settings.

use std::path::{Component, Path, PathBuf};

use crate::fs::dir;
use crate::settings::environment::Environment;
use crate::settings::error::SettingsError;

/// The file name of the store in the data dir.
pub(crate) const STORE_NAME: &str = "rigup.sqlite3";

/// A folder or a file that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    /// What it is, such as `data_dir`.
    pub name: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// Where its path comes from.
    pub origin: String,
}

impl NamedPath {
    fn new(name: &'static str, path: PathBuf, origin: impl Into<String>) -> Self {
        Self { name, path, origin: origin.into() }
    }

    /// Returns the default path of a folder.
    pub(super) fn by_default(name: &'static str, path: PathBuf) -> Self {
        Self::new(name, path, "default")
    }
}

/// Returns the folder that a flag or one of these variables names, or `None` if none is set.
pub(super) fn named(
    name: &'static str,
    (flag, option): (Option<PathBuf>, &str),
    environment: &Environment,
    variables: &[&str],
    here: Option<&Path>,
) -> Result<Option<NamedPath>, SettingsError> {
    let in_variable = |name: &&str| Some((environment.path(&[name])?, format!("the variable {name}")));
    let named = flag.map(|folder| (folder, option.to_owned()));
    let named = named.or_else(|| variables.iter().find_map(in_variable));
    let Some((folder, origin)) = named else { return Ok(None) };
    Ok(Some(NamedPath::new(name, absolute(here, &folder)?, origin)))
}

/// Returns the folders that are searched for plugins, in their order.
pub(super) fn plugins_dirs(
    flags: Vec<PathBuf>,
    environment: &Environment,
    here: Option<&Path>,
) -> Vec<NamedPath> {
    const VARIABLE: &str = "RIGUP_PLUGINS_DIR";
    let named = flags.into_iter().map(|folder| (folder, "--plugins-dir".to_owned()));
    let in_variable = environment.folders(VARIABLE).into_iter();
    let in_variable = in_variable.map(|folder| (folder, format!("the variable {VARIABLE}")));
    let default = ["plugins", "providers"].map(|folder| (PathBuf::from(folder), "default".to_owned()));
    let all = named.chain(in_variable).chain(default).filter(|(folder, _)| !folder.as_os_str().is_empty());
    // Without a current folder, there are no folders in it.
    let absolute = |(folder, origin): (PathBuf, String)| {
        Some(NamedPath::new("plugins_dir", absolute(here, &folder).ok()?, origin))
    };
    all.filter_map(absolute).collect()
}

/// Returns the settings files in order of precedence, whether they exist or not.
pub(super) fn files(
    projects: Option<&PathBuf>,
    users: Option<&PathBuf>,
    shared: Option<&PathBuf>,
) -> Vec<NamedPath> {
    let files = [
        ("project_file", projects, "the current folder"),
        ("user_file", users, "your configuration folder"),
        ("abx_file", shared, "the configuration folder of abx"),
    ];
    let named =
        |(name, path, origin): (_, Option<&PathBuf>, &str)| Some(NamedPath::new(name, path?.clone(), origin));
    files.into_iter().filter_map(named).collect()
}

/// Returns whether `DATA_DIR`, a variable that other programs use too, is or may become a data dir of rigup: the folder
/// does not exist, is empty, or holds a store, perhaps a damaged one that was moved aside. Adds a warning if not. A folder
/// that cannot be read counts, so that the command that uses it reports the cause.
pub(super) fn is_usable(path: &Path, warnings: &mut Vec<String>) -> bool {
    let Ok(entries) = path.read_dir() else { return true };
    let mut names = entries.flatten().map(|entry| entry.file_name()).peekable();
    let is_usable = names.peek().is_none()
        || names.any(|name| name.as_encoded_bytes().starts_with(STORE_NAME.as_bytes()));
    if !is_usable {
        warnings.push(format!(
            "DATA_DIR={} is ignored: the folder holds other files, and no {STORE_NAME}; set RIGUP_DATA_DIR to choose a data dir",
            path.display()
        ));
    }
    is_usable
}

/// Checks that the path of a folder can be written into records, which are JSON, into PATH, and into the scripts by
/// which pip and others start a program, some of which put it in double quotes. Returns what is wrong with it, or `None`.
fn problem(path: &Path) -> Option<String> {
    let is_unsupported = |c: &char| c.is_control() || [':', '"', '$', '`', '\\'].contains(c);
    let Some(text) = path.to_str() else { return Some("is not UTF-8, which records require".to_owned()) };
    let unsupported = text.chars().find(is_unsupported)?;
    Some(format!("has a {unsupported:?}, which PATH and program launchers do not support"))
}

/// Returns an error for the first of these folders that has such a problem, with the flag that chooses another.
pub(super) fn check<'a>(
    folders: impl IntoIterator<Item = (&'a PathBuf, &'static str)>,
) -> Result<(), SettingsError> {
    let mut problems =
        folders.into_iter().filter_map(|(path, flag)| Some((path.clone(), problem(path)?, flag)));
    problems.next().map_or(Ok(()), |(path, problem, flag)| Err(SettingsError::Folder(path, problem, flag)))
}

/// Returns whether a folder can be in a list of folders, such as PATH.
pub(crate) fn is_listable(folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && !folder.as_os_str().as_encoded_bytes().contains(&b':')
}

/// Returns a warning for each existing folder that cannot be passed to hooks in a list.
pub(super) fn list_warnings<'a>(
    folders: impl Iterator<Item = &'a Path>,
    what: &str,
) -> impl Iterator<Item = String> {
    folders.filter(|folder| !is_listable(folder) && folder.is_dir()).map(move |folder| {
        format!(
            "the path {} contains a ':', so rigup {what} if a hook runs it; rename the folder",
            folder.display()
        )
    })
}

/// Returns the home folder: HOME or, if that is unset, the folder of this user, if it exists. Users without one often have
/// `/nonexistent`. Returns `None` for a relative HOME, which would be another folder for each command.
pub(super) fn home(environment: &Environment) -> Option<PathBuf> {
    match environment.path(&["HOME"]) {
        Some(home) => Some(home).filter(|home| home.is_absolute()),
        None => std::env::home_dir().filter(|home| home.is_absolute() && home.is_dir()),
    }
}

/// Returns the current folder, or `None` if it was removed.
pub(super) fn current() -> Option<PathBuf> {
    std::env::current_dir().ok().filter(|folder| folder.is_absolute())
}

/// Returns the absolute path of a folder relative to `here`, the current folder.
pub(super) fn absolute(here: Option<&Path>, folder: &Path) -> Result<PathBuf, SettingsError> {
    match here {
        Some(here) => Ok(resolve(here.join(folder))),
        None if folder.is_absolute() => Ok(resolve(folder.to_owned())),
        None => Err(SettingsError::NoCurrentDir(folder.to_owned())),
    }
}

/// Resolves a path with `..` as far as it exists, because it is written into links.
pub(super) fn resolve(path: PathBuf) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    let resolved = path.ancestors().find_map(|existing| {
        let rest = path.strip_prefix(existing).ok()?;
        Some(existing.canonicalize().ok()?.join(rest))
    });
    resolved.unwrap_or(path)
}

/// Replaces a TMPDIR in which no file can be created, because neither rigup nor most programs work with it. Returns a
/// warning if it was replaced.
pub(super) fn replace_unusable_tmpdir(folder: &Path) -> Option<String> {
    const DEFAULT: &str = "/tmp";
    if dir::is_writable(folder) {
        return None;
    }
    // A program that links this library may have chosen a folder of its own.
    let _ = tempfile::env::override_temp_dir(Path::new(DEFAULT));
    Some(format!(
        "TMPDIR={} is not a writable folder, so {DEFAULT} is used instead; set TMPDIR to a folder that you can write to",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_files_of_another_program_is_not_a_data_dir() {
        let folder = tempfile::tempdir().unwrap();
        let is_usable = |path: &Path| is_usable(path, &mut Vec::new());
        assert!(is_usable(&folder.path().join("absent")));
        assert!(is_usable(folder.path()), "it is empty");
        fs_err::write(folder.path().join("best.pt"), "").unwrap();
        assert!(!is_usable(folder.path()));
        fs_err::write(folder.path().join("rigup.sqlite3.damaged-1"), "").unwrap();
        assert!(is_usable(folder.path()));
    }

    #[test]
    fn a_path_with_two_dots_is_resolved_as_far_as_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs_err::create_dir(real.join("here")).unwrap();
        assert_eq!(resolve(real.join("here/../new/data")), real.join("new/data"));
        assert_eq!(resolve(real.join("here/data")), real.join("here/data"));
    }
}
