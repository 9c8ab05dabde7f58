//! The arguments and the environment of a hook.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::duration;
use crate::fs::{digest, dir};
use crate::model::secret::{MASKED, is_secret_name};
use crate::model::{DaemonHooks, MachineId, ProcessId};
use crate::plugin::config::enabled;
use crate::plugin::config::value::Variable;
use crate::process::lock::LOCKED;
use crate::process::tree::PROCESS_ID_VARIABLE;
use crate::settings::{
    BEGIN_VARIABLE, Environment, FAILED_DAEMONS_VARIABLE, FOLLOWED_BY_VARIABLE, Followed,
    OUTPUT_DIR_VARIABLE, SNAP_DIR, Settings, TRUST_VARIABLE, is_listable,
};

/// Converts the fields of a request to the arguments of a hook, one for each field. `min_version` becomes
/// `--min-version=...`, and true becomes a bare flag. False, null and blank values are left out; lists and objects are
/// written as JSON.
pub(crate) fn arguments(fields: &[(&str, Value)]) -> Vec<OsString> {
    let arguments = fields.iter().filter_map(|(key, value)| {
        let key = key.replace('_', "-");
        match value {
            Value::Null | Value::Bool(false) => None,
            Value::Bool(true) => Some(format!("--{key}")),
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(format!("--{key}={}", text.trim())),
            other => Some(format!("--{key}={other}")),
        }
    });
    arguments.map(OsString::from).collect()
}

/// Converts the fields of a record to the arguments of a hook, except its type.
pub(crate) fn arguments_of_record(record: &Value) -> Vec<OsString> {
    let fields = record.as_object().into_iter().flatten().filter(|(key, _)| *key != "type");
    let fields: Vec<(&str, Value)> = fields.map(|(key, value)| (key.as_str(), value.clone())).collect();
    arguments(&fields)
}

/// The environment of a hook or a command.
#[derive(Debug, Clone)]
pub(crate) struct ChildEnvironment {
    /// All variables.
    pub all: Vec<(OsString, OsString)>,
    /// The variables that rigup added, for the record, with secrets masked.
    pub added: Map<String, Value>,
}

impl ChildEnvironment {
    /// Returns the environment with the variable that identifies the process.
    pub(crate) fn of_process(mut self, process_id: ProcessId) -> Self {
        let id = process_id.to_string();
        self.all.push((PROCESS_ID_VARIABLE.into(), id.clone().into()));
        self.added.insert(PROCESS_ID_VARIABLE.to_owned(), id.into());
        self
    }
}

/// The variables that set the folders of rigup. A hook gets `DATA_DIR` and the like instead, so that a rigup that the
/// hook runs uses the same folders as this one, even if flags set them.
const OVERRIDDEN: [&str; 3] = ["RIGUP_DATA_DIR", "RIGUP_LIB_DIR", "RIGUP_LIB_BIN_DIR"];

/// Further variables that the settings of a plugin cannot set.
const COMPUTED: [&str; 7] = [
    "ARCHIVE_DIR",
    BEGIN_VARIABLE,
    LOCKED,
    "NODE_MODULE_DIR",
    OUTPUT_DIR_VARIABLE,
    PROCESS_ID_VARIABLE,
    TRUST_VARIABLE,
];

/// The variables that rigup sets unless the caller or a settings file does.
const FOLDERS: [&str; 5] = ["CONFIG_DIR", "CRAWL_DIR", "PERSONAS_DIR", "SNAP_DIR", "TMP_DIR"];

/// The folders of a running event, which its hooks share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventFolders<'a> {
    /// The output dir.
    pub output_dir: &'a Path,
    /// The folder for temporary files of the running command.
    pub temporary: &'a Path,
}

/// The variables that tie git to one repository. git sets some of them for its own hooks, so a rigup that such a hook runs
/// has them. `git rev-parse --local-env-vars` lists them, in git 2.47, except the last two: one is from git before
/// 2.40, and one makes git refuse to write to any repository in a hook that checks a push.
const REPOSITORY: [&str; 17] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_QUARANTINE_PATH",
];

/// Returns the caller's environment with the settings of the plugin and the variables of the hook contract, except the
/// one that identifies the process.
pub(crate) fn environment(
    settings: &Settings,
    machine_id: MachineId,
    variables: &[Variable],
    event: Option<EventFolders<'_>>,
) -> ChildEnvironment {
    let caller = &settings.environment;
    let node_modules = caller
        .get("NODE_MODULES_DIR")
        .map_or_else(|| settings.lib_dir.join("npm/node_modules"), PathBuf::from);
    let node_path = caller.folders("NODE_PATH").into_iter().chain([node_modules.clone()]);
    let mut computed: Vec<(&str, OsString)> = vec![
        ("DATA_DIR", settings.data_dir.clone().into()),
        ("LIB_DIR", settings.lib_dir.clone().into()),
        ("ABXPKG_LIB_DIR", settings.lib_dir.clone().into()),
        ("LIBRARY_VERSION", env!("CARGO_PKG_VERSION").into()),
        ("LIB_BIN_DIR", settings.lib_bin_dir.clone().into()),
        ("RIGUP_PLUGINS_DIR", unique_list(settings.plugin_path.iter().cloned())),
        ("MACHINE_ID", machine_id.to_string().into()),
        ("RIGUP", settings.rigup.clone().into()),
        ("NODE_PATH", unique_list(node_path)),
        ("NODE_MODULES_DIR", node_modules.into()),
        ("PATH", search_path(settings, variables)),
    ];
    computed.extend(trust(settings.trust.exceptions()));
    computed.extend(folders(settings, variables, event));
    computed.extend(event.map(|event| (OUTPUT_DIR_VARIABLE, event.output_dir.into())));
    let computed_names =
        COMPUTED.iter().chain(&FOLDERS).chain(&OVERRIDDEN).chain(computed.iter().map(|(name, _)| name));
    let is_settable = |variable: &&Variable| !computed_names.clone().any(|name| *name == variable.name);
    let settable: Vec<&Variable> = variables.iter().filter(is_settable).collect();
    let mut added: Vec<Addition<'_>> = Vec::new();
    added.extend(computed.into_iter().map(|(name, value)| (name, value, false)));
    added.extend(
        settable.iter().map(|Variable { name, value, is_secret }| (name.as_str(), value.clone(), *is_secret)),
    );
    with_changes(caller, &[&OVERRIDDEN[..], &REPOSITORY, &[PROCESS_ID_VARIABLE]].concat(), added)
}

/// Returns the variable with the folders that are trusted by exception, if there are any.
pub(crate) fn trust<'p>(exceptions: impl Iterator<Item = &'p Path>) -> Option<(&'static str, OsString)> {
    let folders = unique_list(exceptions.map(Path::to_owned));
    (!folders.is_empty()).then_some((TRUST_VARIABLE, folders))
}

/// Returns the folders that hooks know by name: those that the caller or a settings file sets, as absolute paths, or else
/// the default ones. Only the hooks of an event have an output dir and a folder for temporary files.
fn folders<'n>(
    settings: &Settings,
    variables: &[Variable],
    event: Option<EventFolders<'_>>,
) -> Vec<(&'n str, OsString)> {
    let stated = |name: &str| {
        let variable = variables.iter().find(|variable| variable.name == name);
        let value = settings.environment.get(name).or_else(|| Some(variable?.value.as_os_str()));
        let path = Path::new(value.filter(|value| !value.is_empty())?);
        let path = dir::expand_home(path, settings.home.as_deref()).unwrap_or_else(|| path.to_owned());
        std::path::absolute(path).ok()
    };
    let output_dir = event.map(|event| event.output_dir.to_owned());
    let temporary = stated("TMP_DIR").or_else(|| event.map(|event| event.temporary.to_owned()));
    let personas = event.zip(temporary.as_ref()).map(|(event, temporary)| {
        // Two events at once must not use the same profile of a browser.
        temporary.join("personas").join(digest::short(event.output_dir.as_os_str().as_bytes()))
    });
    let defaults = [settings.config_dir.clone(), output_dir.clone(), personas, output_dir, temporary];
    let folders = FOLDERS.into_iter().zip(defaults);
    folders.filter_map(|(name, default)| Some((name, stated(name).or(default)?.into()))).collect()
}

/// Returns the caller's environment with the variables that the commands of `exec` and `start` get. `set` is not one of
/// these; if it contains PATH, that value applies.
pub(crate) fn environment_of_command(
    settings: &Settings,
    process_id: ProcessId,
    set: &[(String, OsString)],
) -> ChildEnvironment {
    let mut added: Vec<Addition<'_>> = vec![
        ("RIGUP", settings.rigup.clone().into(), false),
        (PROCESS_ID_VARIABLE, process_id.to_string().into(), false),
        ("RIGUP_DATA_DIR", settings.data_dir.clone().into(), false),
    ];
    if !set.iter().any(|(name, _)| name == "PATH") {
        added.push(("PATH", search_path(settings, &[]), false));
    }
    added.extend(set.iter().map(|(name, value)| (name.as_str(), value.clone(), is_secret_name(name))));
    with_changes(&settings.command_environment, &[], added)
}

/// Returns the environment of the `rigup run` of an event that a record starts: the folders of this rigup, whose output
/// dir is that of the whole crawl. `parent` ran the hook that printed the record.
pub(crate) fn environment_of_event(
    settings: &Settings,
    parent: ProcessId,
    followed: Followed,
    crawl_dir: &Path,
) -> Vec<(OsString, OsString)> {
    let mut added = variables_of_event(settings, parent, followed.by, &settings.plugin_path);
    added.extend(followed.output_dir.map(|output_dir| (OUTPUT_DIR_VARIABLE, output_dir.into())));
    added.extend(trust(settings.trust.exceptions()));
    if !followed.failed_daemons.is_empty() {
        let daemons = serde_json::to_string(&followed.failed_daemons).expect("the keys are strings");
        added.push((FAILED_DAEMONS_VARIABLE, daemons.into()));
    }
    if settings.undeclared("CRAWL_DIR").is_none() {
        added.push(("CRAWL_DIR", crawl_dir.into()));
    }
    let added = added.into_iter().map(|(name, value)| (name, value, false)).collect();
    with_changes(&settings.environment, &[SNAP_DIR], added).all
}

/// Returns the environment of the `rigup run` of an event of a daemon: the folders of the supervisor, and the plugins of the
/// `rigup up` that has declared the daemon.
pub(crate) fn environment_of_daemon_event(
    settings: &Settings,
    supervisor: ProcessId,
    hooks: &DaemonHooks,
) -> Vec<(OsString, OsString)> {
    let mut added = variables_of_event(settings, supervisor, supervisor, &hooks.plugin_path);
    added.extend(trust(hooks.trusted.iter().map(PathBuf::as_path)));
    let added = added.into_iter().map(|(name, value)| (name, value, false)).collect();
    with_changes(&settings.environment, &[OUTPUT_DIR_VARIABLE, TRUST_VARIABLE], added).all
}

/// Returns the variables of the `rigup run` of an event that another rigup runs, with which it ends.
fn variables_of_event(
    settings: &Settings,
    parent: ProcessId,
    by: ProcessId,
    plugin_path: &[PathBuf],
) -> Vec<(&'static str, OsString)> {
    vec![
        ("RIGUP_DATA_DIR", settings.data_dir.clone().into()),
        ("RIGUP_LIB_DIR", settings.lib_dir.clone().into()),
        ("RIGUP_LIB_BIN_DIR", settings.lib_bin_dir.clone().into()),
        ("RIGUP_PLUGINS_DIR", unique_list(plugin_path.iter().cloned())),
        (PROCESS_ID_VARIABLE, parent.to_string().into()),
        (FOLLOWED_BY_VARIABLE, by.to_string().into()),
    ]
}

/// Returns the environment of a program that rigup runs to find something out: that of the caller without the
/// `removed` variables, without those that tie git to a repository, and with the `added` ones.
pub(crate) fn environment_of_program(
    settings: &Settings,
    removed: &[&str],
    added: Vec<(&str, OsString)>,
) -> Vec<(OsString, OsString)> {
    let added = added.into_iter().map(|(name, value)| (name, value, false)).collect();
    with_changes(&settings.environment, &[removed, &REPOSITORY].concat(), added).all
}

/// A variable, its value and whether that is a secret.
type Addition<'a> = (&'a str, OsString, bool);

/// Returns the caller's environment without the `removed` variables and with the `added` ones.
fn with_changes(caller: &Environment, removed: &[&str], added: Vec<Addition<'_>>) -> ChildEnvironment {
    let is_kept = |name: &OsStr| {
        let replaced = added.iter().map(|(name, ..)| name).chain(removed);
        replaced.into_iter().all(|replaced| name != *replaced)
    };
    let kept = caller.iter().filter(|(name, _)| is_kept(name));
    let all = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut environment = ChildEnvironment { all, added: Map::new() };
    for (name, value, is_masked) in added {
        let shown = if is_masked { MASKED.into() } else { value.to_string_lossy() };
        environment.added.insert(name.to_owned(), shown.into());
        environment.all.push((name.into(), value));
    }
    environment
}

/// Returns the PATH of hooks of a plugin with these settings.
pub(crate) fn search_path(settings: &Settings, variables: &[Variable]) -> OsString {
    path(&settings.environment, variables, settings.home.as_deref(), &settings.lib_bin_dir)
}

/// Returns the value of PATH: the folders of path-like `*_BINARY` values, then LIB_BIN_DIR, then the caller's PATH.
/// Each folder appears once, at its first position. There is no empty item, which would mean the current folder.
fn path(caller: &Environment, variables: &[Variable], home: Option<&Path>, lib_bin_dir: &Path) -> OsString {
    let settings = variables.iter().map(|setting| (OsStr::new(&setting.name), setting.value.as_os_str()));
    let binary_folders =
        caller.iter().chain(settings).filter(|(name, _)| name.as_bytes().ends_with(b"_BINARY")).filter_map(
            |(_, value)| {
                let file = dir::expand_home(Path::new(value), home).unwrap_or_else(|| PathBuf::from(value));
                let is_path = value.as_bytes().contains(&b'/');
                is_path.then(|| std::path::absolute(file).ok()?.parent().map(Path::to_owned)).flatten()
            },
        );
    unique_list(binary_folders.chain([lib_bin_dir.to_owned()]).chain(caller.folders("PATH")))
}

/// Joins folders with `:`, without duplicates. Leaves out folders that cannot be in such a list; [`Settings`] warn
/// about them.
fn unique_list(all: impl IntoIterator<Item = PathBuf>) -> OsString {
    let mut seen = HashSet::new();
    let folders = all.into_iter().filter(|folder| is_listable(folder) && seen.insert(folder.clone()));
    std::env::join_paths(folders).expect("each folder was checked for colons")
}

/// Returns the timeout of the hooks of a plugin. It is the first of `<PLUGIN>_TIMEOUT` and `TIMEOUT` that is a setting or
/// a variable, or [`TIMEOUT`] by default.
pub(crate) fn timeout(
    plugin: &str,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Duration, InvalidTimeout> {
    let Some((name, value)) = plugin_value(plugin, "TIMEOUT", variables, settings) else {
        return Ok(TIMEOUT);
    };
    let timeout =
        value.to_str().and_then(|text| duration::parse(text).ok()).filter(|timeout| !timeout.is_zero());
    let invalid = || InvalidTimeout(name.clone(), value.to_string_lossy().into_owned());
    timeout.map(|timeout| timeout.min(MAX_TIMEOUT)).ok_or_else(invalid)
}

/// Returns how long the daemons of a plugin may take to be ready: [`READY_TIMEOUT`], or `<PLUGIN>_TIMEOUT` if that is a
/// setting or a variable and longer.
pub(crate) fn ready_timeout(
    plugin: &str,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Duration, InvalidTimeout> {
    let stated = plugin_value(plugin, "TIMEOUT", variables, settings);
    if stated.is_none_or(|(name, _)| name == "TIMEOUT") {
        return Ok(READY_TIMEOUT);
    }
    Ok(timeout(plugin, variables, settings)?.max(READY_TIMEOUT))
}

/// Returns how many bytes of memory a hook of an event and its descendants may use, or `None` for no limit. It is the first
/// of `<PLUGIN>_MEMORY_LIMIT` and `MEMORY_LIMIT` that is a setting or a variable; 0 means no limit.
pub(crate) fn memory_limit(
    plugin: &str,
    variables: &[Variable],
    settings: &Settings,
) -> Result<Option<u64>, InvalidMemoryLimit> {
    let Some((name, value)) = plugin_value(plugin, MEMORY_LIMIT, variables, settings) else {
        return Ok(None);
    };
    let limit = value.to_str().and_then(|text| text.trim().parse().ok());
    let invalid = || InvalidMemoryLimit(format!("{name}={} is not a memory limit", value.to_string_lossy()));
    limit.ok_or_else(invalid).map(|limit| Some(limit).filter(|limit| *limit > 0))
}

/// Returns the name and the value of the first of `<PLUGIN>_<KEY>` and `<KEY>` that is a setting of the plugin, a variable,
/// or in a settings file.
fn plugin_value(
    plugin: &str,
    key: &str,
    variables: &[Variable],
    settings: &Settings,
) -> Option<(String, OsString)> {
    value_names(plugin, key).into_iter().find_map(|name| {
        let setting = variables.iter().find(|setting| setting.name == name);
        let value = setting.map(|setting| setting.value.clone()).or_else(|| settings.undeclared(&name))?;
        Some((name, value))
    })
}

/// Returns `<PLUGIN>_<KEY>` and `<KEY>`.
pub(crate) fn value_names(plugin: &str, key: &str) -> [String; 2] {
    [format!("{}_{key}", enabled::prefix(plugin)), key.to_owned()]
}

/// The setting that limits the memory of hooks.
pub(crate) const MEMORY_LIMIT: &str = "MEMORY_LIMIT";

/// The default timeout of a hook.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(5);

/// How long a daemon may take to be ready by default.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest timeout: 12 hours.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_hours(12);

/// A variable or a setting that is not a timeout.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}={1} is not a timeout; set it to a duration greater than 0, such as 90 or 5m, because a hook that hangs would \
     block rigup"
)]
pub(crate) struct InvalidTimeout(String, String);

/// A variable or a setting that is not a memory limit, with the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}; set it to a number of bytes, or to 0 for no limit")]
pub struct InvalidMemoryLimit(pub(crate) String);

/// Parses the timeout of a hook on the command line.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    if text.trim() == "none" {
        return Err("a hook that hangs would block rigup; use at most 12h".to_owned());
    }
    let timeout = duration::parse(text).ok().filter(|timeout| !timeout.is_zero() && *timeout <= MAX_TIMEOUT);
    timeout.ok_or_else(|| format!("use {}, more than 0 and at most 12h", duration::FORMS))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Flags;

    #[test]
    fn each_field_becomes_one_argument() {
        let fields = [
            ("name", json!(" yt-dlp ")),
            ("min_version", json!("")),
            ("blank", json!("  \n")),
            ("force", json!(true)),
            ("quiet", json!(false)),
            ("nothing", json!(null)),
            ("count", json!(0)),
            ("overrides", json!({"pip": ["a b"]})),
            ("text", json!("$(x) 'q' \"w\"\nend")),
        ];
        let expected = [
            "--name=yt-dlp",
            "--force",
            "--count=0",
            "--overrides={\"pip\":[\"a b\"]}",
            "--text=$(x) 'q' \"w\"\nend",
        ];
        assert_eq!(arguments(&fields), expected.map(OsString::from));
    }

    #[test]
    fn a_daemon_has_the_timeout_of_its_plugin_to_be_ready_if_longer() {
        let ready = |declared: Option<&str>, caller: &[(&str, &str)]| {
            let variable = |value: &str| Variable {
                name: "MY_P_TIMEOUT".to_owned(),
                value: value.into(),
                is_secret: false,
            };
            let variables: Vec<Variable> = declared.map(variable).into_iter().collect();
            let flags = Flags { data_dir: Some("/none".into()), ..Flags::default() };
            let settings = Settings::merge(flags, caller.iter().copied().collect()).unwrap();
            let timeout = ready_timeout("my-p", &variables, &settings);
            timeout.map(|timeout| timeout.as_secs()).map_err(|error| error.to_string())
        };
        assert_eq!(ready(None, &[]), Ok(30));
        assert_eq!(ready(Some("60"), &[("TIMEOUT", "90")]), Ok(60));
        assert_eq!(ready(Some("5"), &[]), Ok(30));
        assert_eq!(ready(None, &[("MY_P_TIMEOUT", "2m")]), Ok(120));
        assert_eq!(ready(None, &[("TIMEOUT", "90")]), Ok(30));
        assert!(ready(None, &[("MY_P_TIMEOUT", "0")]).unwrap_err().starts_with("MY_P_TIMEOUT=0 is not"));
    }

    #[test]
    fn path_has_each_folder_once_and_no_empty_item() {
        let caller = Environment::from_iter([
            ("PATH", "/usr/bin::/opt/w/bin:/lib/bin:/usr/bin"),
            ("WGET_BINARY", "/opt/w/bin/wget"),
            ("CURL_BINARY", "curl"),
            ("NODE_BINARY", "~/node/bin/node"),
        ]);
        let built = path(&caller, &[], Some(Path::new("/home/me")), Path::new("/lib/bin"));
        assert_eq!(built, "/home/me/node/bin:/opt/w/bin:/lib/bin:/usr/bin");
        assert_eq!(path(&Environment::default(), &[], None, Path::new("/lib/bin")), "/lib/bin");
    }
}
