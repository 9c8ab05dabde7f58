//! Settings from flags, the environment, files and defaults, in this order, read once into one value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use crate::fs::{dir, lib_dir};
use crate::model::ProcessId;
use crate::shell;
pub use crate::trust::{Circumstances, TRUST_VARIABLE, Trust, Untrusted};

mod environment;
mod error;
mod file;
mod folders;

pub use environment::Environment;
pub use error::SettingsError;
pub(crate) use file::{DAEMONS, with_effect};
pub use file::{FILE_NAME, SettingsFile};
pub(crate) use folders::{NamedPath, STORE_NAME, is_listable};

/// The variable with code that a hook runs. Only rigup sets it, so that of the caller reaches no process.
pub(crate) const BEGIN_VARIABLE: &str = "RIGUP_BEGIN";

/// The variable with the form of data on standard output, like `--format`.
pub(crate) const FORMAT_VARIABLE: &str = "RIGUP_FORMAT";

/// The variable with the CI system, like `--ci`.
pub(crate) const CI_VARIABLE: &str = "RIGUP_CI";

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
    /// The caller's environment, without `RIGUP_FORMAT`, `RIGUP_CI` and a TMPDIR that is not a writable folder.
    pub environment: Environment,
    /// The caller's environment as it is, except `RIGUP_BEGIN`, for the commands of `exec` and `start`.
    pub command_environment: Environment,
    /// The home folder, for `~/`: an absolute path.
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
    /// The folders, the search path for plugins and the settings files, each with where its path comes from.
    pub(crate) paths: Vec<NamedPath>,
    /// The user's own `rigup.toml`, which need not exist; `None` without a home folder.
    pub(crate) user_file: Option<PathBuf>,
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

/// How a command uses the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingsUse {
    /// It needs the values in the files.
    Values,
    /// It works also while a file is being edited: a file that cannot be used is only one of the `file_errors`.
    Folders,
    /// Like [`SettingsUse::Folders`], and it reports what is wrong with the files.
    Examined,
    /// It needs only the paths of folders and files. No file sets these, so it reads none.
    Paths,
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

    /// Returns the command for the user's shell that puts LIB_BIN_DIR on PATH. It names the folder if an option has chosen it.
    pub(crate) fn env_command(&self) -> String {
        let is_option = |named: &NamedPath| {
            ["data_dir", "lib_dir", "lib_bin_dir"].contains(&named.name) && named.origin.starts_with("--")
        };
        let option = if self.paths.iter().any(is_option) {
            format!("--lib-bin-dir {} ", shell::quote_path(&self.lib_bin_dir))
        } else {
            String::new()
        };
        let shell = self.command_environment.path(&["SHELL"]).unwrap_or_default();
        if shell.ends_with("fish") {
            format!("rigup {option}env --shell fish | source")
        } else {
            format!("eval \"$(rigup {option}env)\"")
        }
    }

    /// Returns the flags with which another rigup uses the same folders, without those of plugins.
    pub(crate) fn folder_flags(&self) -> [(&'static str, &Path); 3] {
        [("--data-dir", &self.data_dir), ("--lib-dir", &self.lib_dir), ("--lib-bin-dir", &self.lib_bin_dir)]
    }

    /// Merges flags, environment, files and defaults.
    pub fn merge(flags: Flags, environment: Environment) -> Result<Self, SettingsError> {
        Self::merge_for(SettingsUse::Values, flags, environment)
    }

    /// Like [`Self::merge`], for a command that uses the settings in this way.
    pub(crate) fn merge_for(
        needs: SettingsUse,
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
        let environment = environment.without(BEGIN_VARIABLE);
        let command_environment = environment.clone();
        let environment = if warning.is_some() { environment.without("TMPDIR") } else { environment };
        // A hook that runs rigup reads the form that is documented, and is not a step of a CI job.
        let environment = environment.without(FORMAT_VARIABLE).without(CI_VARIABLE);
        let home = folders::home(&environment);
        let merged = Self::merge_in(here, home, rigup, needs, flags, environment)?;
        let mut settings = Self { command_environment, ..merged };
        settings.warnings.extend(warning);
        Ok(settings)
    }

    /// Removes variables that concern this process alone from the environments of everything that it starts.
    pub(crate) fn remove_variables(&mut self, names: &[&str]) {
        for environment in [&mut self.environment, &mut self.command_environment] {
            environment.remove(names);
        }
    }

    fn merge_in(
        here: Option<&Path>,
        home: Option<PathBuf>,
        rigup: PathBuf,
        needs: SettingsUse,
        flags: Flags,
        environment: Environment,
    ) -> Result<Self, SettingsError> {
        let folder = |name, flag: (Option<PathBuf>, &str), variables: &[&str]| {
            folders::named(name, flag, &environment, variables, here)
        };
        let mut warnings = Vec::new();
        let named_lib_dir = folder("lib_dir", (flags.lib_dir, "--lib-dir"), &["RIGUP_LIB_DIR", "LIB_DIR"])?;
        let named_data_dir = match folder("data_dir", (flags.data_dir, "--data-dir"), &["RIGUP_DATA_DIR"])? {
            None => folder("data_dir", (None, ""), &["DATA_DIR"])?
                .filter(|named| folders::is_usable(&named.path, &mut warnings)),
            named => named,
        };
        let is_default_data_dir = named_data_dir.is_none();
        let data_dir = named_data_dir
            .or_else(|| {
                let data = environment.xdg_folder("XDG_DATA_HOME", home.as_deref(), ".local/share");
                let default = data.and_then(|data| folders::absolute(here, &data.join("rigup")).ok());
                // Without a usable home folder, the records are kept with the installed files.
                let fallback = named_lib_dir.as_ref().map(|named| lib_dir::data_dir(&named.path));
                let default = match default {
                    Some(default) if fallback.is_none() || dir::is_creatable(&default) => Some(default),
                    default => fallback.or(default),
                };
                default.map(|path| NamedPath::by_default("data_dir", path))
            })
            .ok_or(SettingsError::NoDataDir)?;
        let lib_dir = named_lib_dir
            .unwrap_or_else(|| NamedPath::by_default("lib_dir", data_dir.path.join("lib").join(platform())));
        let flag = (flags.lib_bin_dir, "--lib-bin-dir");
        let lib_bin_dir = folder("lib_bin_dir", flag, &["RIGUP_LIB_BIN_DIR", "LIB_BIN_DIR"])?
            .unwrap_or_else(|| NamedPath::by_default("lib_bin_dir", lib_dir::bin(&lib_dir.path)));
        let mut paths = vec![data_dir.clone(), lib_dir.clone(), lib_bin_dir.clone()];
        let [data_dir, lib_dir, lib_bin_dir] = [data_dir, lib_dir, lib_bin_dir].map(|named| named.path);
        folders::check([
            (&data_dir, "--data-dir"),
            (&lib_dir, "--lib-dir"),
            (&lib_bin_dir, "--lib-bin-dir"),
        ])?;
        let plugins_dirs = folders::plugins_dirs(flags.plugins_dirs, &environment, here);
        let plugin_path: Vec<PathBuf> = plugins_dirs.iter().map(|named| named.path.clone()).collect();
        paths.extend(plugins_dirs);
        let user = environment.xdg_folder("XDG_CONFIG_HOME", home.as_deref(), ".config");
        let config_dir = match folder("abx_file", (None, ""), &["CONFIG_DIR"])? {
            None => user.as_ref().map(|folder| folder.join("abx")),
            named => named.map(|named| named.path),
        };
        let mut trust = trust(here, home.as_deref(), flags.trust_dirs, &environment);
        // The user's own file may declare the project's file trusted, but not the other way around.
        let users = user.map(|folder| folder.join("rigup").join(FILE_NAME));
        let is_users =
            |path: &Path| users.as_ref().is_some_and(|users| dir::is_same(users, path) == Some(true));
        let projects = here.map(|here| here.join(FILE_NAME)).filter(|path| !is_users(path));
        let shared = config_dir.as_ref().map(|folder| folder.join(file::ENV_FILE_NAME));
        paths.extend(folders::files(projects.as_ref(), users.as_ref(), shared.as_ref()));
        let paths_of_files = [users.clone(), projects, shared];
        let (files, file_errors) =
            read_files(needs, paths_of_files, home.as_deref(), &mut trust, &mut warnings)?;
        let mut output_limit = OUTPUT_LIMIT;
        if needs != SettingsUse::Paths {
            let plugin_path = plugin_path.iter().map(PathBuf::as_path);
            warnings.extend(folders::list_warnings(plugin_path, "finds no plugins there"));
            warnings.extend(folders::list_warnings(trust.exceptions(), "does not trust it"));
            output_limit = self::output_limit(&environment)?;
        }
        // A hook that runs this rigup has the output dir of another event.
        let is_inherited = environment.get(OUTPUT_DIR_VARIABLE) == environment.get(SNAP_DIR);
        let environment = if is_inherited { environment.without(SNAP_DIR) } else { environment };
        let by = process_of(&environment, FOLLOWED_BY_VARIABLE);
        let output_dir = environment.get(OUTPUT_DIR_VARIABLE).map(PathBuf::from);
        let failed_daemons = || environment.text(FAILED_DAEMONS_VARIABLE).unwrap_or_default();
        let followed = by.map(|by| Followed {
            by,
            output_dir,
            failed_daemons: serde_json::from_str(failed_daemons()).unwrap_or_default(),
        });
        let parent_process = parent_process(&environment);
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
            paths,
            user_file: users,
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

/// Reads the user's `rigup.toml`, the project's and the `config.env` of abx. Returns those that exist in order of precedence,
/// and why others cannot be used whose values the command does not need.
fn read_files(
    needs: SettingsUse,
    [users, projects, shared]: [Option<PathBuf>; 3],
    home: Option<&Path>,
    trust: &mut Trust,
    warnings: &mut Vec<String>,
) -> Result<(Vec<SettingsFile>, Vec<String>), SettingsError> {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    if needs == SettingsUse::Paths {
        return Ok((files, errors));
    }
    for (path, is_project) in [(users, false), (projects, true)] {
        let Some(path) = path else { continue };
        match file::read(path, is_project, home, trust, warnings) {
            Ok(file) => files.extend(file),
            Err(error) if needs == SettingsUse::Values => return Err(error),
            Err(error) => errors.push(error.to_string()),
        }
    }
    files.reverse();
    files.extend(shared.and_then(|path| file::read_env(path, trust, warnings)));
    Ok((files, errors))
}

/// Returns the process that started this rigup, if rigup started that process itself.
pub(crate) fn parent_process(environment: &Environment) -> Option<ProcessId> {
    process_of(environment, "RIGUP_PROCESS_ID")
}

fn process_of(environment: &Environment, name: &str) -> Option<ProcessId> {
    environment.text(name)?.parse().ok()
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
fn trust(here: Option<&Path>, home: Option<&Path>, flags: Vec<PathBuf>, environment: &Environment) -> Trust {
    let mut trust = Trust::new(environment.text("SUDO_UID").and_then(|uid| uid.parse().ok()));
    for (folders, source) in [(flags, "--trust-dir"), (environment.folders(TRUST_VARIABLE), TRUST_VARIABLE)] {
        let folders = folders.iter().filter(|folder| !folder.as_os_str().is_empty());
        for folder in folders.filter_map(|folder| folders::absolute(here, folder).ok()) {
            trust.add_exception(folder, source);
        }
    }
    trust.set_circumstances(Circumstances {
        is_ci: environment.get("CI").is_some(),
        checkout: here.filter(|here| here.parent().is_some() && Some(*here) != home).map(Path::to_owned),
        has_declared: environment.get(TRUST_VARIABLE).is_some(),
    });
    trust
}

/// Returns the part of LIB_DIR that separates the builds for different platforms: `x86_64-linux`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
mod tests;
