//! Flags > environment > default, read once, into one value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::fs::home;
use crate::model::id::ProcessId;
use crate::trust::{ReadError, Trust, Trusted, Untrusted};

/// The environment rigup was started with. Bytes that are not UTF-8 are kept.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Reads it; called once, at the start.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn of_this_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The value of a variable; a blank one counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value of the first of these variables that is set, as a path.
    fn path(&self, names: &[&str]) -> Option<PathBuf> {
        names.iter().find_map(|name| self.get(name)).map(PathBuf::from)
    }

    /// The value of a variable, where it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// The same without this variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(OsStr::new(name));
        self
    }

    /// Every variable.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// The variable that names folders to trust, as `--trust-dir` does, with `:` between them.
pub const TRUST_VARIABLE: &str = "RIGUP_TRUST_DIR";

/// The file with values for settings: in the current folder, and in the user's own configuration folder.
pub const FILE_NAME: &str = "rigup.toml";

/// A `rigup.toml` of more bytes is none.
const MAX_SIZE: u64 = 1 << 20;

/// The key in it that names folders which are trusted whoever may write there. It counts only in a file that others
/// cannot write: no folder can say of itself that it is to be trusted.
const TRUST_DIRS: &str = "trust_dirs";

/// A file with values for settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsFile {
    /// The file.
    pub path: PathBuf,
    /// Its values by their names.
    pub values: Map<String, Value>,
}

/// What the command line said about folders.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--lib-dir`
    pub lib_dir: Option<PathBuf>,
    /// `--lib-bin-dir`
    pub lib_bin_dir: Option<PathBuf>,
    /// `--plugins-dir`, as often as it was given
    pub plugins_dirs: Vec<PathBuf>,
    /// `--trust-dir`, as often as it was given
    pub trust_dirs: Vec<PathBuf>,
}

/// Everything that is settled before a command begins.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The caller's environment.
    pub environment: Environment,
    /// The home folder, for `~/`.
    pub home: Option<PathBuf>,
    /// Records, run dirs, LIB_DIR unless it is set elsewhere.
    pub data_dir: PathBuf,
    /// Where providers install.
    pub lib_dir: PathBuf,
    /// Where the winners are linked.
    pub lib_bin_dir: PathBuf,
    /// Where plugins are looked for, the most important folder first, without the built-in providers.
    pub plugin_path: Vec<PathBuf>,
    /// The project's `rigup.toml` and the user's, as far as they are there.
    pub files: Vec<SettingsFile>,
    /// Whose files are run, read and written.
    pub trust: Trust,
    /// What the user should know of how these came about.
    pub warnings: Vec<String>,
    /// The most that a hook may write to one of its streams, in bytes.
    pub output_limit: u64,
    /// The rigup that is running, for hooks to call.
    pub rigup: PathBuf,
    /// The process that started this rigup, if rigup started it in turn.
    pub parent_process: Option<ProcessId>,
}

/// What a hook may write to one of its streams unless `RIGUP_OUTPUT_LIMIT` says otherwise: 64 MiB.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither a flag nor a variable says where the data dir is, and there is no home folder.
    #[error("no place for the data dir: HOME is not set; give --data-dir or RIGUP_DATA_DIR")]
    NoDataDir,
    /// A folder whose path cannot stand where it has to.
    #[error("the folder {} cannot be used: its path {reason}; choose another with {flag}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is in its path.
        reason: String,
        /// What chooses another one.
        flag: &'static str,
    },
    /// The current folder is gone, and a relative path needs it.
    #[error("the current folder cannot be found: {0}; change to one that exists")]
    NoCurrentDir(std::io::Error),
    /// A `rigup.toml` that cannot be read, or says nothing that can be understood.
    #[error("{} cannot be used: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A `rigup.toml` that others may have written.
    #[error("{0}")]
    Untrusted(#[from] Untrusted),
    /// The limit to what a hook may write.
    #[error("RIGUP_OUTPUT_LIMIT={0} is no limit: give whole MiB, at least 1")]
    OutputLimit(String),
    /// A folder of plugins that was named and is none.
    #[error("--plugins-dir {}: there is no such folder", .0.display())]
    NoPluginsDir(PathBuf),
    /// The path of the running program.
    #[error("the path of the running rigup cannot be found: {0}")]
    NoProgram(std::io::Error),
}

impl Settings {
    /// Merges flags and environment.
    pub fn merge(flags: Flags, environment: Environment) -> Result<Self, SettingsError> {
        let here = std::env::current_dir().map_err(SettingsError::NoCurrentDir)?;
        let rigup = std::env::current_exe().map_err(SettingsError::NoProgram)?;
        if let Some(missing) = flags.plugins_dirs.iter().find(|it| !here.join(it).is_dir()) {
            return Err(SettingsError::NoPluginsDir(missing.clone()));
        }
        Self::merge_in(&here, std::env::home_dir(), rigup, flags, environment)
    }

    fn merge_in(
        here: &Path,
        home: Option<PathBuf>,
        rigup: PathBuf,
        flags: Flags,
        environment: Environment,
    ) -> Result<Self, SettingsError> {
        let data_dir = flags
            .data_dir
            .or_else(|| environment.path(&["RIGUP_DATA_DIR", "DATA_DIR"]))
            .or_else(|| {
                let xdg = environment.path(&["XDG_DATA_HOME"]).filter(|it| it.is_absolute());
                Some(xdg.or_else(|| Some(home.as_ref()?.join(".local/share")))?.join("rigup"))
            })
            .map(|dir| absolute(here, &dir))
            .ok_or(SettingsError::NoDataDir)?;
        let lib_dir = flags
            .lib_dir
            .or_else(|| environment.path(&["RIGUP_LIB_DIR", "LIB_DIR"]))
            .map_or_else(|| data_dir.join("lib").join(platform()), |dir| absolute(here, &dir));
        let lib_bin_dir = flags
            .lib_bin_dir
            .or_else(|| environment.path(&["RIGUP_LIB_BIN_DIR", "LIB_BIN_DIR"]))
            .map_or_else(|| lib_dir.join("bin"), |dir| absolute(here, &dir));
        let folders = [(&data_dir, "--data-dir"), (&lib_dir, "--lib-dir"), (&lib_bin_dir, "--lib-bin-dir")];
        folders.into_iter().try_for_each(|(path, flag)| check_folder(path, flag))?;
        let listed: Vec<PathBuf> = environment
            .get("RIGUP_PLUGINS_DIR")
            .map(|list| std::env::split_paths(list).collect())
            .unwrap_or_default();
        let plugin_path: Vec<PathBuf> = flags
            .plugins_dirs
            .into_iter()
            .chain(listed)
            .chain(["plugins", "providers"].map(PathBuf::from))
            .filter(|dir| !dir.as_os_str().is_empty())
            .map(|dir| absolute(here, &dir))
            .collect();
        let user = environment
            .path(&["XDG_CONFIG_HOME"])
            .filter(|it| it.is_absolute())
            .or_else(|| Some(home.as_ref()?.join(".config")));
        let mut trust = trust(here, flags.trust_dirs, &environment);
        let mut warnings = Vec::new();
        // The user's own file may say that the other one is to be trusted, not the other way round.
        let paths = [user.map(|it| it.join("rigup").join(FILE_NAME)), Some(here.join(FILE_NAME))];
        let mut files = Vec::new();
        for path in paths.into_iter().flatten() {
            files.extend(read_file(path, home.as_deref(), &mut trust, &mut warnings)?);
        }
        files.reverse();
        warnings.extend(unlisted(plugin_path.iter().map(PathBuf::as_path), "finds no plugins there"));
        warnings.extend(unlisted(trust.exceptions(), "does not trust it"));
        let output_limit = match environment.get("RIGUP_OUTPUT_LIMIT") {
            None => OUTPUT_LIMIT,
            Some(text) => {
                let mebibytes = text.to_str().and_then(|it| it.parse::<u64>().ok()).filter(|it| *it > 0);
                mebibytes
                    .and_then(|it| it.checked_mul(1 << 20))
                    .ok_or_else(|| SettingsError::OutputLimit(text.to_string_lossy().into_owned()))?
            }
        };
        let parent_process = environment.text("RIGUP_PROCESS_ID").and_then(|id| id.parse().ok());
        Ok(Self {
            environment,
            home,
            data_dir,
            lib_dir,
            lib_bin_dir,
            plugin_path,
            files,
            trust,
            warnings,
            output_limit,
            rigup,
            parent_process,
        })
    }
}

/// Makes sure that a folder can be written down: in records, which are JSON; in PATH; and in the scripts that pip and others
/// make to start a program, some of which have it in double quotes.
fn check_folder(path: &Path, flag: &'static str) -> Result<(), SettingsError> {
    let is_bad = |c: &char| c.is_control() || [':', '"', '$', '`', '\\'].contains(c);
    let reason = match path.to_str() {
        None => "is not UTF-8, which no record can hold".to_owned(),
        Some(text) => match text.chars().find(is_bad) {
            Some(c) => format!("has a {c:?}, which PATH or the launchers of programs cannot hold"),
            None => return Ok(()),
        },
    };
    Err(SettingsError::Folder { path: path.to_owned(), reason, flag })
}

/// Whether a folder can stand in a list of folders, such as PATH.
pub fn is_listable(folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && !folder.as_os_str().as_encoded_bytes().contains(&b':')
}

/// What becomes of folders that are there, and that hooks cannot be given in a list.
fn unlisted<'a>(folders: impl Iterator<Item = &'a Path>, what: &str) -> impl Iterator<Item = String> {
    folders.filter(|it| !is_listable(it) && it.is_dir()).map(move |it| {
        format!("{} has a ':', so that a rigup that a hook calls {what}; rename it", it.display())
    })
}

/// Whom the command line and the environment trust.
fn trust(here: &Path, flags: Vec<PathBuf>, environment: &Environment) -> Trust {
    let mut trust = Trust::new(environment.text("SUDO_UID").and_then(|it| it.parse().ok()));
    let listed = environment.get(TRUST_VARIABLE).map(|list| std::env::split_paths(list).collect());
    let listed: Vec<PathBuf> = listed.unwrap_or_default();
    for (folders, by) in [(flags, "--trust-dir"), (listed, TRUST_VARIABLE)] {
        for folder in folders.iter().filter(|it| !it.as_os_str().is_empty()) {
            trust.vouch(absolute(here, folder), by);
        }
    }
    trust
}

/// Reads a `rigup.toml`, with the folders that it says are to be trusted; none where there is no such file.
fn read_file(
    path: PathBuf,
    home: Option<&Path>,
    trust: &mut Trust,
    warnings: &mut Vec<String>,
) -> Result<Option<SettingsFile>, SettingsError> {
    // One that is not there is not missed, whoever may put one there: then it is read as it has to be.
    if path.try_exists().is_ok_and(|it| !it) {
        return Ok(None);
    }
    let unusable =
        |reason: String| SettingsError::File { path: path.clone(), reason: reason.trim_end().to_owned() };
    let read = trust.read(&path, MAX_SIZE).map_err(|error| match error {
        ReadError::Untrusted(distrust) => distrust.into(),
        error => unusable(error.to_string()),
    })?;
    let Some(Trusted { bytes, note }) = read else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| unusable(error.to_string()))?;
    let mut values: Map<String, Value> =
        toml::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if let Some(folders) = values.remove(TRUST_DIRS) {
        let folders: Vec<PathBuf> = serde_json::from_value(folders).map_err(|_| {
            unusable(format!("{TRUST_DIRS} has to be a list of folders, such as [\"/srv/plugins\"]"))
        })?;
        if note.is_some() {
            warnings.push(format!("{TRUST_DIRS} in {} does not count: others may write it", path.display()));
        } else {
            let here = path.parent().unwrap_or(Path::new("/"));
            for folder in folders {
                let folder = home::expand(&folder, home).unwrap_or_else(|| absolute(here, &folder));
                trust.vouch(folder, format!("{TRUST_DIRS} in {}", path.display()));
            }
        }
    }
    warnings.extend(note);
    Ok(Some(SettingsFile { path, values }))
}

/// A folder seen from `here`. What climbs by `..` is resolved as far as it exists, because it ends up in links.
fn absolute(here: &Path, dir: &Path) -> PathBuf {
    let path = here.join(dir);
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    let resolved = path.ancestors().find_map(|existing| {
        let rest = path.strip_prefix(existing).ok()?;
        Some(existing.canonicalize().ok()?.join(rest))
    });
    resolved.unwrap_or(path)
}

/// Returns the boolean that a word means, or `None` if it means none.
pub fn parse_bool(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// The part of LIB_DIR that keeps builds for different machines apart: `x86_64-linux`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(flags: Flags, environment: Environment) -> Settings {
        let home = Some(PathBuf::from("/home/me"));
        Settings::merge_in(Path::new("/here"), home, PathBuf::from("/bin/rigup"), flags, environment).unwrap()
    }

    #[test]
    fn a_flag_beats_the_environment_and_the_environment_beats_the_default() {
        let environment = Environment::from([("RIGUP_DATA_DIR", "/env"), ("DATA_DIR", "/older")]);
        assert_eq!(merge(Flags::default(), environment.clone()).data_dir, Path::new("/env"));
        let flags = Flags { data_dir: Some("flag".into()), ..Flags::default() };
        assert_eq!(merge(flags, environment).data_dir, Path::new("/here/flag"));
        let environment = Environment::from([("XDG_DATA_HOME", "/xdg"), ("DATA_DIR", "")]);
        assert_eq!(merge(Flags::default(), environment).data_dir, Path::new("/xdg/rigup"));
        let environment = Environment::default();
        assert_eq!(merge(Flags::default(), environment).data_dir, Path::new("/home/me/.local/share/rigup"));
    }

    #[test]
    fn lib_dir_lies_in_the_data_dir_and_lib_bin_dir_in_lib_dir_unless_they_are_set() {
        let settings = merge(Flags::default(), Environment::from([("DATA_DIR", "/d")]));
        assert_eq!(settings.lib_dir, Path::new("/d/lib").join(platform()));
        assert_eq!(settings.lib_bin_dir, settings.lib_dir.join("bin"));
        let settings = merge(Flags::default(), Environment::from([("DATA_DIR", "/d"), ("LIB_DIR", "/l")]));
        assert_eq!(settings.lib_bin_dir, Path::new("/l/bin"));
    }

    #[test]
    fn the_limit_to_output_is_a_number_of_mebibytes() {
        let limit = |text: &str| {
            let environment = Environment::from([("DATA_DIR", "/d"), ("RIGUP_OUTPUT_LIMIT", text)]);
            let flags = Flags::default();
            Settings::merge_in(Path::new("/"), None, PathBuf::new(), flags, environment)
                .map(|it| it.output_limit)
        };
        assert_eq!(limit("").unwrap(), 64 << 20);
        assert_eq!(limit("2000").unwrap(), 2000 << 20);
        for bad in ["0", "-1", "1.5", "64M", "99999999999999999"] {
            assert!(limit(bad).unwrap_err().to_string().contains("give whole MiB"), "{bad}");
        }
    }

    #[test]
    fn the_projects_file_comes_before_the_users_and_one_that_is_no_toml_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (here, config) = (folder.path().join("here"), folder.path().join("config/rigup"));
        for (dir, text) in [(&here, "T = 1\nLIST = [\"a\", \"b\"]"), (&config, "T = 2")] {
            fs_err::create_dir_all(dir).unwrap();
            fs_err::write(dir.join(FILE_NAME), text).unwrap();
        }
        let xdg = folder.path().join("config");
        let environment =
            || Environment::from([("DATA_DIR", "/d"), ("XDG_CONFIG_HOME", xdg.to_str().unwrap())]);
        let read = || Settings::merge_in(&here, None, PathBuf::new(), Flags::default(), environment());
        let values: Vec<Value> = read().unwrap().files.into_iter().map(|it| it.values.into()).collect();
        assert_eq!(values, [serde_json::json!({"T": 1, "LIST": ["a", "b"]}), serde_json::json!({"T": 2})]);
        fs_err::write(here.join(FILE_NAME), "T = ").unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("here/rigup.toml cannot be used: ") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_folder_that_records_path_or_launchers_cannot_hold_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let error = |flags: Flags| {
            let environment = Environment::from([("DATA_DIR", "/d")]);
            Settings::merge_in(Path::new("/here"), None, PathBuf::new(), flags, environment)
                .unwrap_err()
                .to_string()
        };
        let not_text = PathBuf::from(OsStr::from_bytes(b"/d\xff"));
        let said = error(Flags { data_dir: Some(not_text), ..Flags::default() });
        assert_eq!(
            said,
            "the folder /d\u{fffd} cannot be used: its path is not UTF-8, which no record can hold; \
             choose another with --data-dir"
        );
        for bad in ["/a:b", "/a\nb", "/a$b", "/a`b", "/a\"b", "/a\\b"] {
            let said = error(Flags { lib_dir: Some(bad.into()), ..Flags::default() });
            assert!(said.ends_with("choose another with --lib-dir"), "{said}");
            let said = error(Flags { lib_bin_dir: Some(bad.into()), ..Flags::default() });
            assert!(said.contains("its path has a ") && said.ends_with("with --lib-bin-dir"), "{said}");
        }
        merge(
            Flags { data_dir: Some("/a b/\u{fc}'(x)#&".into()), ..Flags::default() },
            Environment::default(),
        );
    }

    #[test]
    fn a_folder_that_climbs_is_resolved_as_far_as_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs_err::create_dir(real.join("here")).unwrap();
        assert_eq!(absolute(&real.join("here"), Path::new("../new/data")), real.join("new/data"));
        assert_eq!(absolute(&real.join("here"), Path::new("data")), real.join("here/data"));
    }

    #[test]
    fn plugins_are_looked_for_in_flags_then_the_variable_then_here() {
        let flags = Flags { plugins_dirs: vec!["a".into(), "/b".into()], ..Flags::default() };
        let environment = Environment::from([("DATA_DIR", "/d"), ("RIGUP_PLUGINS_DIR", "/c::d")]);
        let expected = ["/here/a", "/b", "/c", "/here/d", "/here/plugins", "/here/providers"];
        assert_eq!(merge(flags, environment).plugin_path, expected.map(PathBuf::from));
    }
}
