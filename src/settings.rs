//! Settings from flags, the environment, files and defaults, in this order, read once into one value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use crate::fs::{dir, lib_dir};
use crate::model::ProcessId;
pub use crate::trust::{Trust, Untrusted};

mod error;
mod file;
mod folders;

pub use error::SettingsError;
pub(crate) use file::DAEMONS;
pub use file::{FILE_NAME, SettingsFile};
pub(crate) use folders::{STORE_NAME, is_listable};

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
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        variables.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        Self(variables)
    }

    /// Returns the value of a variable, or `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of the first of these variables that is set, as a path.
    fn path(&self, names: &[&str]) -> Option<PathBuf> {
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
    fn xdg_folder(&self, name: &str, home: Option<&Path>, default: &str) -> Option<PathBuf> {
        let folder = self.path(&[name]).filter(|folder| folder.is_absolute());
        folder.or_else(|| Some(home?.join(default)))
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

/// The variable with folders to trust, separated by `:`, like `--trust-dir`.
pub const TRUST_VARIABLE: &str = "RIGUP_TRUST_DIR";

/// The variable with the form of data on standard output, like `--format`.
pub(crate) const FORMAT_VARIABLE: &str = "RIGUP_FORMAT";

/// The variable with the output dir of the event whose hook runs this rigup, or that this rigup runs because of a record.
/// It tells a `SNAP_DIR` of rigup from one of the
/// caller.
pub(crate) const OUTPUT_DIR_VARIABLE: &str = "RIGUP_OUTPUT_DIR";

/// The variable with the id of the rigup that runs this one because of a record or of an event of a daemon.
pub(crate) const FOLLOWED_BY_VARIABLE: &str = "RIGUP_FOLLOWED_BY";

/// The variable with the plugins of the daemons that failed in that rigup, as JSON.
pub(crate) const FAILED_DAEMONS_VARIABLE: &str = "RIGUP_FAILED_DAEMONS";

/// The variable with the folder of the page that the hooks of an event save.
pub(crate) const SNAP_DIR: &str = "SNAP_DIR";

/// The folders on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Keep records and installed files in DIR [env: RIGUP_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Install into DIR [env: RIGUP_LIB_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub lib_dir: Option<PathBuf>,
    /// Link binaries into DIR [env: RIGUP_LIB_BIN_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub lib_bin_dir: Option<PathBuf>,
    /// Look for plugins in DIR first; repeatable [env: RIGUP_PLUGINS_DIR]
    #[arg(long = "plugins-dir", global = true, value_name = "DIR")]
    pub plugins_dirs: Vec<PathBuf>,
    /// Trust DIR even if writable by others; repeatable [env: RIGUP_TRUST_DIR]
    #[arg(long = "trust-dir", global = true, value_name = "DIR")]
    pub trust_dirs: Vec<PathBuf>,
}

/// How another rigup runs this one because of a record or of an event of a daemon.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// The record of that rigup, with which this one ends.
    pub by: ProcessId,
    /// The output dir of the event; `None` for a folder of its own.
    pub output_dir: Option<PathBuf>,
    /// The plugins with a daemon that failed, each with the reason.
    pub failed_daemons: BTreeMap<String, String>,
}

/// The settings of a command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The caller's environment, without `RIGUP_FORMAT` and a TMPDIR that is not a writable folder.
    pub environment: Environment,
    /// The caller's environment as it is, for the commands of `exec` and `start`.
    pub command_environment: Environment,
    /// The home folder, for `~/`.
    pub home: Option<PathBuf>,
    /// The data dir: records, run dirs, and LIB_DIR by default.
    pub data_dir: PathBuf,
    /// Whether the data dir is the default one, which neither a flag nor a variable names.
    pub is_default_data_dir: bool,
    /// LIB_DIR, which providers install into.
    pub lib_dir: PathBuf,
    /// LIB_BIN_DIR, in which installed binaries are linked.
    pub lib_bin_dir: PathBuf,
    /// The configuration folder of abx: `CONFIG_DIR`, or else `abx` in the user's configuration folder; `None` without a
    /// home folder.
    pub config_dir: Option<PathBuf>,
    /// The search path for plugins, without the built-in providers.
    pub plugin_path: Vec<PathBuf>,
    /// The project's `rigup.toml`, the user's, and the `config.env` of abx, if they exist.
    pub files: Vec<SettingsFile>,
    /// The users and folders that are trusted.
    pub trust: Trust,
    /// Warnings about these settings.
    pub warnings: Vec<String>,
    /// Why files cannot be used whose values the command does not need.
    pub(crate) file_errors: Vec<String>,
    /// The number of bytes that a hook may write to one stream.
    pub output_limit: u64,
    /// The path of the rigup executable, which hooks call and which waits for background processes. [`Settings::merge`]
    /// takes the running program; a program that links this library sets it to an installed rigup.
    pub rigup: PathBuf,
    /// The process that started this rigup, if rigup started that process itself.
    pub parent_process: Option<ProcessId>,
    /// How another rigup runs this one because of a record or of an event of a daemon, if it does.
    pub(crate) followed: Option<Followed>,
}

/// The default of `RIGUP_OUTPUT_LIMIT`: 64 MiB.
const OUTPUT_LIMIT: u64 = 64 << 20;

impl Settings {
    /// Returns the value of a name that no plugin declares: that of the caller's variable, or else that in the first file
    /// which has it.
    pub(crate) fn undeclared(&self, name: &str) -> Option<OsString> {
        let in_files = || self.files.iter().find_map(|file| file.values.get(name));
        let text =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.environment.get(name).map(OsStr::to_owned).or_else(|| in_files().map(|value| text(value).into()))
    }

    /// Whether LIB_BIN_DIR is on the PATH of the caller.
    pub(crate) fn has_lib_bin_dir_on_path(&self) -> bool {
        self.command_environment.folders("PATH").contains(&self.lib_bin_dir)
    }

    /// Returns the flags with which another rigup uses the same folders, without those of plugins.
    pub(crate) fn folder_flags(&self) -> [(&'static str, &Path); 3] {
        [("--data-dir", &self.data_dir), ("--lib-dir", &self.lib_dir), ("--lib-bin-dir", &self.lib_bin_dir)]
    }

    /// Merges flags, environment, files and defaults.
    pub fn merge(flags: Flags, environment: Environment) -> Result<Self, SettingsError> {
        Self::merge_for(true, flags, environment)
    }

    /// Like [`Self::merge`]. For a command that does not need the values in the files, a `rigup.toml` that cannot be used is only
    /// a warning.
    pub(crate) fn merge_for(
        needs_values: bool,
        flags: Flags,
        environment: Environment,
    ) -> Result<Self, SettingsError> {
        let here = folders::current();
        let here = here.as_deref();
        let rigup = std::env::current_exe().map_err(SettingsError::NoProgram)?;
        for folder in &flags.plugins_dirs {
            if !folders::absolute(here, folder)?.is_dir() {
                return Err(SettingsError::NoPluginsDir(folder.clone()));
            }
        }
        let tmpdir = environment.path(&["TMPDIR"]);
        let warning = tmpdir.and_then(|folder| folders::replace_unusable_tmpdir(&folder));
        let command_environment = environment.clone();
        let environment = if warning.is_some() { environment.without("TMPDIR") } else { environment };
        // A hook that runs rigup reads the form that is documented.
        let environment = environment.without(FORMAT_VARIABLE);
        let merged = Self::merge_in(here, std::env::home_dir(), rigup, needs_values, flags, environment)?;
        let mut settings = Self { command_environment, ..merged };
        settings.warnings.extend(warning);
        Ok(settings)
    }

    /// Removes variables that concern this process alone from the environments of everything that it starts.
    pub(crate) fn remove_variables(&mut self, names: &[&str]) {
        for environment in [&mut self.environment, &mut self.command_environment] {
            environment.0.retain(|name, _| !names.iter().any(|removed| name == removed));
        }
    }

    fn merge_in(
        here: Option<&Path>,
        home: Option<PathBuf>,
        rigup: PathBuf,
        needs_values: bool,
        flags: Flags,
        environment: Environment,
    ) -> Result<Self, SettingsError> {
        let folder = |flag: Option<PathBuf>, names: &[&str]| {
            let named = flag.or_else(|| environment.path(names));
            named.map(|folder| folders::absolute(here, &folder)).transpose()
        };
        let mut warnings = Vec::new();
        let named_lib_dir = folder(flags.lib_dir, &["RIGUP_LIB_DIR", "LIB_DIR"])?;
        let named_data_dir = match folder(flags.data_dir, &["RIGUP_DATA_DIR"])? {
            None => folder(None, &["DATA_DIR"])?.filter(|path| folders::is_usable(path, &mut warnings)),
            named => named,
        };
        let is_default_data_dir = named_data_dir.is_none();
        let data_dir = named_data_dir
            .or_else(|| {
                let data = environment.xdg_folder("XDG_DATA_HOME", home.as_deref(), ".local/share");
                let default = data.and_then(|data| folders::absolute(here, &data.join("rigup")).ok());
                // Without a usable home folder, the records are kept with the installed files.
                let fallback = named_lib_dir.as_deref().map(lib_dir::data_dir);
                match default {
                    Some(default) if fallback.is_none() || dir::is_creatable(&default) => Some(default),
                    default => fallback.or(default),
                }
            })
            .ok_or(SettingsError::NoDataDir)?;
        let lib_dir = named_lib_dir.unwrap_or_else(|| data_dir.join("lib").join(platform()));
        let lib_bin_dir = folder(flags.lib_bin_dir, &["RIGUP_LIB_BIN_DIR", "LIB_BIN_DIR"])?
            .unwrap_or_else(|| lib_dir::bin(&lib_dir));
        let folders = [(&data_dir, "--data-dir"), (&lib_dir, "--lib-dir"), (&lib_bin_dir, "--lib-bin-dir")];
        for (path, flag) in folders {
            if let Some(problem) = folders::problem(path) {
                return Err(SettingsError::Folder(path.to_owned(), problem, flag));
            }
        }
        let plugin_path: Vec<PathBuf> = flags
            .plugins_dirs
            .into_iter()
            .chain(environment.folders("RIGUP_PLUGINS_DIR"))
            .chain(["plugins", "providers"].map(PathBuf::from))
            .filter(|dir| !dir.as_os_str().is_empty())
            // Without a current folder, there are no folders in it.
            .filter_map(|dir| folders::absolute(here, &dir).ok())
            .collect();
        let user = environment.xdg_folder("XDG_CONFIG_HOME", home.as_deref(), ".config");
        let config_dir = match folder(None, &["CONFIG_DIR"])? {
            None => user.as_ref().map(|folder| folder.join("abx")),
            named => named,
        };
        let mut trust = trust(here, flags.trust_dirs, &environment);
        // The user's own file may declare the project's file trusted, but not the other way around.
        let users = user.map(|folder| folder.join("rigup").join(FILE_NAME));
        let is_users =
            |path: &Path| users.as_ref().is_some_and(|users| dir::is_same(users, path) == Some(true));
        let projects = here.map(|here| here.join(FILE_NAME)).filter(|path| !is_users(path));
        let (mut files, mut file_errors) = (Vec::new(), Vec::new());
        for (path, is_project) in [(users, false), (projects, true)] {
            let Some(path) = path else { continue };
            match file::read(path, is_project, home.as_deref(), &mut trust, &mut warnings) {
                Ok(file) => files.extend(file),
                Err(error) if needs_values => return Err(error),
                Err(error) => file_errors.push(error.to_string()),
            }
        }
        files.reverse();
        let shared = config_dir.as_ref().map(|folder| folder.join(file::ENV_FILE_NAME));
        files.extend(shared.and_then(|path| file::read_env(path, &trust, &mut warnings)));
        warnings.extend(folders::list_warnings(
            plugin_path.iter().map(PathBuf::as_path),
            "finds no plugins there",
        ));
        warnings.extend(folders::list_warnings(trust.exceptions(), "does not trust it"));
        let output_limit = output_limit(&environment)?;
        // A hook that runs this rigup has the output dir of another event.
        let is_inherited = environment.get(OUTPUT_DIR_VARIABLE) == environment.get(SNAP_DIR);
        let environment = if is_inherited { environment.without(SNAP_DIR) } else { environment };
        let process_of = |name: &str| environment.text(name).and_then(|id| id.parse().ok());
        let (parent_process, by) = (process_of("RIGUP_PROCESS_ID"), process_of(FOLLOWED_BY_VARIABLE));
        let output_dir = environment.get(OUTPUT_DIR_VARIABLE).map(PathBuf::from);
        let failed_daemons = || environment.text(FAILED_DAEMONS_VARIABLE).unwrap_or_default();
        let followed = by.map(|by| Followed {
            by,
            output_dir,
            failed_daemons: serde_json::from_str(failed_daemons()).unwrap_or_default(),
        });
        let environment = environment.without(FOLLOWED_BY_VARIABLE).without(FAILED_DAEMONS_VARIABLE);
        Ok(Self {
            command_environment: environment.clone(),
            environment,
            home,
            data_dir,
            is_default_data_dir,
            lib_dir,
            lib_bin_dir,
            config_dir,
            plugin_path,
            files,
            trust,
            warnings,
            file_errors,
            output_limit,
            rigup,
            followed,
            parent_process,
        })
    }
}

/// Returns the number of bytes that a hook may write to a stream.
fn output_limit(environment: &Environment) -> Result<u64, SettingsError> {
    match environment.get("RIGUP_OUTPUT_LIMIT") {
        None => Ok(OUTPUT_LIMIT),
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse::<NonZeroU64>().ok()?.get().checked_mul(1 << 20))
            .ok_or_else(|| SettingsError::OutputLimit(text.to_string_lossy().into_owned())),
    }
}

/// Returns the trust that the command line and the environment declare.
fn trust(here: Option<&Path>, flags: Vec<PathBuf>, environment: &Environment) -> Trust {
    let mut trust = Trust::new(environment.text("SUDO_UID").and_then(|uid| uid.parse().ok()));
    for (folders, source) in [(flags, "--trust-dir"), (environment.folders(TRUST_VARIABLE), TRUST_VARIABLE)] {
        let folders = folders.iter().filter(|folder| !folder.as_os_str().is_empty());
        for folder in folders.filter_map(|folder| folders::absolute(here, folder).ok()) {
            trust.add_exception(folder, source);
        }
    }
    trust
}

/// Returns the part of LIB_DIR that separates the builds for different platforms: `x86_64-linux`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn merge(flags: Flags, environment: Environment) -> Settings {
        let home = Some(PathBuf::from("/home/me"));
        Settings::merge_in(
            Some(Path::new("/here")),
            home,
            PathBuf::from("/bin/rigup"),
            true,
            flags,
            environment,
        )
        .unwrap()
    }

    #[test]
    fn flags_override_the_environment_and_that_overrides_defaults() {
        let environment = Environment::from_iter([("RIGUP_DATA_DIR", "/env"), ("DATA_DIR", "/older")]);
        assert_eq!(merge(Flags::default(), environment.clone()).data_dir, Path::new("/env"));
        let flags = Flags { data_dir: Some("flag".into()), ..Flags::default() };
        assert_eq!(merge(flags, environment).data_dir, Path::new("/here/flag"));
        let environment = Environment::from_iter([("XDG_DATA_HOME", "/xdg"), ("DATA_DIR", "")]);
        assert_eq!(merge(Flags::default(), environment).data_dir, Path::new("/xdg/rigup"));
        let environment = Environment::default();
        assert_eq!(merge(Flags::default(), environment).data_dir, Path::new("/home/me/.local/share/rigup"));
    }

    #[test]
    fn lib_dir_is_in_the_data_dir_and_lib_bin_dir_in_lib_dir_by_default() {
        let settings = merge(Flags::default(), Environment::from_iter([("DATA_DIR", "/d")]));
        assert_eq!(settings.lib_dir, Path::new("/d/lib").join(platform()));
        assert_eq!(settings.lib_bin_dir, settings.lib_dir.join("bin"));
        let settings =
            merge(Flags::default(), Environment::from_iter([("DATA_DIR", "/d"), ("LIB_DIR", "/l")]));
        assert_eq!(settings.lib_bin_dir, Path::new("/l/bin"));
    }

    #[test]
    fn the_output_limit_is_a_number_of_mebibytes() {
        let limit = |text: &str| {
            let environment = Environment::from_iter([("DATA_DIR", "/d"), ("RIGUP_OUTPUT_LIMIT", text)]);
            let flags = Flags::default();
            Settings::merge_in(Some(Path::new("/")), None, PathBuf::new(), true, flags, environment)
                .map(|settings| settings.output_limit)
        };
        assert_eq!(limit("").unwrap(), 64 << 20);
        assert_eq!(limit("2000").unwrap(), 2000 << 20);
        for bad in ["0", "-1", "1.5", "64M", "99999999999999999"] {
            assert!(limit(bad).unwrap_err().to_string().contains("a whole number of MiB"), "{bad}");
        }
    }

    #[test]
    fn the_projects_file_overrides_the_users_and_invalid_toml_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let (here, config) = (folder.path().join("here"), folder.path().join("config/rigup"));
        for (dir, text) in [(&here, "T = 1\nLIST = [\"a\", \"b\"]"), (&config, "T = 2")] {
            fs_err::create_dir_all(dir).unwrap();
            fs_err::write(dir.join(FILE_NAME), text).unwrap();
        }
        let xdg = folder.path().join("config");
        let environment =
            || Environment::from_iter([("DATA_DIR", "/d"), ("XDG_CONFIG_HOME", xdg.to_str().unwrap())]);
        let read =
            || Settings::merge_in(Some(&here), None, PathBuf::new(), true, Flags::default(), environment());
        let values: Vec<Value> = read().unwrap().files.into_iter().map(|file| file.values.into()).collect();
        assert_eq!(values, [serde_json::json!({"T": 1, "LIST": ["a", "b"]}), serde_json::json!({"T": 2})]);
        fs_err::write(here.join(FILE_NAME), "T = ").unwrap();
        let error = read().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot use ")
                && error.contains("here/rigup.toml: ")
                && error.contains("line 1"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_with_an_unsupported_path_is_an_error() {
        use std::os::unix::ffi::OsStrExt;
        let error = |flags: Flags| {
            let environment = Environment::from_iter([("DATA_DIR", "/d")]);
            Settings::merge_in(Some(Path::new("/here")), None, PathBuf::new(), true, flags, environment)
                .unwrap_err()
                .to_string()
        };
        let not_text = PathBuf::from(OsStr::from_bytes(b"/d\xff"));
        let message = error(Flags { data_dir: Some(not_text), ..Flags::default() });
        assert_eq!(
            message,
            "cannot use the folder /d\u{fffd}: its path is not UTF-8, which records require; \
             choose another with --data-dir"
        );
        for bad in ["/a:b", "/a\nb", "/a$b", "/a`b", "/a\"b", "/a\\b"] {
            let message = error(Flags { lib_dir: Some(bad.into()), ..Flags::default() });
            assert!(message.ends_with("choose another with --lib-dir"), "{message}");
            let message = error(Flags { lib_bin_dir: Some(bad.into()), ..Flags::default() });
            assert!(
                message.contains("its path has a ") && message.ends_with("with --lib-bin-dir"),
                "{message}"
            );
        }
        merge(
            Flags { data_dir: Some("/a b/\u{fc}'(x)#&".into()), ..Flags::default() },
            Environment::default(),
        );
    }

    #[test]
    fn the_plugin_path_has_flags_then_the_variable_then_the_current_folder() {
        let flags = Flags { plugins_dirs: vec!["a".into(), "/b".into()], ..Flags::default() };
        let environment = Environment::from_iter([("DATA_DIR", "/d"), ("RIGUP_PLUGINS_DIR", "/c::d")]);
        let expected = ["/here/a", "/b", "/c", "/here/d", "/here/plugins", "/here/providers"];
        assert_eq!(merge(flags, environment).plugin_path, expected.map(PathBuf::from));
    }
}
