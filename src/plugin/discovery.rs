//! Finds the plugins in the folders of the search path.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::model::misspelling::closest;
use crate::model::{PluginName, PluginNameError, ProviderName};
use crate::plugin::config::schema;
use crate::plugin::hook_name::{BINARY_REQUEST, HookName, intended};
use crate::plugin::requirement::{self, Diagnostic};
use crate::shebang::{self, Shebang};
use crate::shell;
use crate::sorting::sort_by;
use crate::trust::{Inspection, Trust, Untrusted};

/// A plugin's folder and the hooks in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    /// The name of the folder.
    pub name: PluginName,
    /// The folder.
    pub path: PathBuf,
    /// The hooks, in the order in which they run.
    pub hooks: Vec<Hook>,
}

impl Plugin {
    /// Returns whether the plugin has a hook that installs programs.
    pub(crate) fn is_provider(&self) -> bool {
        self.hooks.iter().any(|hook| hook.name.event == BINARY_REQUEST)
    }
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The parsed file name.
    pub name: HookName,
    /// The plugin of the hook.
    pub plugin: PluginName,
    /// The file.
    pub path: PathBuf,
    /// The way in which the file is started.
    pub start: Start,
}

/// The way in which a hook is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Directly: the file has the exec bit, and a binary format or a shebang that names no known program.
    Itself,
    /// Directly, and the system runs it with this program: an absolute path, or a name that `env` searches for on PATH.
    ByShebang(OsString),
    /// By this interpreter.
    By(&'static str),
}

/// The result of a discovery.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    /// The plugins, by name.
    pub plugins: Vec<Plugin>,
    /// The files and folders that are untrusted or cannot be read.
    pub diagnostics: Vec<Diagnostic>,
    /// Notes about files that look like hooks, but are none, and about files that are trusted only by an exception that
    /// the user made. The catalog adds its warnings about settings.
    pub warnings: Vec<String>,
    /// Why a folder or a file, from which a provider of this name in lower case might come, contains none.
    unused: HashMap<String, String>,
}

impl Hook {
    /// Returns the name of the plugin as a provider.
    pub fn provider(&self) -> ProviderName {
        ProviderName::from(&self.plugin)
    }
}

impl Discovery {
    /// Returns the hooks of an event, in the order in which they run.
    pub(crate) fn hooks_of(&self, event: &str) -> Vec<&Hook> {
        let mut hooks: Vec<&Hook> = self
            .plugins
            .iter()
            .flat_map(|plugin| &plugin.hooks)
            .filter(|hook| hook.name.event == event)
            .collect();
        sort_by(&mut hooks, |a, b| a.name.cmp_with_plugins(&a.plugin, &b.name, &b.plugin));
        hooks
    }

    /// Returns why there is no provider of this name although something looks like one, or `None` if nothing does.
    pub(crate) fn why_no_provider(&self, name: &str) -> Option<String> {
        let problem = self.problem_of(name).map(ToString::to_string);
        problem.or_else(|| self.unused.get(&name.to_lowercase()).cloned()).or_else(|| {
            let plugin = self.plugins.iter().find(|plugin| plugin.name.eq_ignore_ascii_case(name))?;
            let path = plugin.path.display();
            Some(format!("{path} has no hook named on_{BINARY_REQUEST}__<NN>_<name>.<ext>"))
        })
    }

    /// Returns the first problem of a plugin, such as of its folder or of its `config.json`, or `None` if there is none.
    pub(crate) fn problem_of(&self, name: &str) -> Option<&Diagnostic> {
        self.diagnostics.iter().find(|diagnostic| diagnostic.plugin.eq_ignore_ascii_case(name))
    }
}

/// Finds the plugins in `roots`: a plugin in an earlier folder completely replaces one with the same name in a later
/// folder, and the `built_in` plugins come last. A root that does not exist has no plugins. An untrusted root has none
/// either, and a diagnostic is returned, unless `trust` makes an exception.
pub(crate) fn discover(roots: &[PathBuf], built_in: Vec<Plugin>, trust: &Trust) -> Discovery {
    let mut plugins: BTreeMap<PluginName, Plugin> = BTreeMap::new();
    let mut found = Discovery::default();
    let mut inspection = Inspection::new(trust);
    for root in roots.iter().filter(|root| root.exists()) {
        for (name, plugin) in discover_in(root, &mut inspection, &mut found) {
            plugins.entry(name).or_insert(plugin);
        }
    }
    for plugin in built_in {
        plugins.entry(plugin.name.clone()).or_insert(plugin);
    }
    let mut plugins: Vec<Plugin> = plugins.into_values().collect();
    for plugin in &mut plugins {
        sort_by(&mut plugin.hooks, |a, b| a.name.cmp_with_plugins("", &b.name, ""));
    }
    found.warnings.extend(inspection.notes());
    Discovery { plugins, ..found }
}

/// Returns the plugins in one root, and adds the problems there to `found`.
fn discover_in(
    root: &Path,
    inspection: &mut Inspection<'_>,
    found: &mut Discovery,
) -> BTreeMap<PluginName, Plugin> {
    let root_error =
        inspection.resolve(root).err().filter(|untrusted| !inspection.is_excepted(root, untrusted));
    let mut scan =
        RootScan { root_error, has_ignored_plugin: false, plugins: BTreeMap::new(), inspection, found };
    let mut entries = WalkDir::new(root).follow_links(true).min_depth(1).max_depth(2).into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Err(error) => scan.found.diagnostics.extend(diagnostic_of(root, &error)),
            Ok(entry) if entry.depth() == 2 => scan.file(&entry),
            Ok(entry) if entry.file_type().is_dir() && !scan.folder(&entry) => entries.skip_current_dir(),
            Ok(_) => {}
        }
    }
    if let Some(untrusted) = scan.root_error.filter(|_| scan.has_ignored_plugin) {
        scan.found.diagnostics.push(untrusted_diagnostic(String::new(), &untrusted, root));
    }
    scan.plugins
}

/// The scan of one root.
struct RootScan<'s, 't> {
    /// The reason why the root is untrusted, or `None` if it is trusted.
    root_error: Option<Untrusted>,
    /// Whether a plugin was ignored for that reason.
    has_ignored_plugin: bool,
    plugins: BTreeMap<PluginName, Plugin>,
    inspection: &'s mut Inspection<'t>,
    /// The problems that were found.
    found: &'s mut Discovery,
}

impl RootScan<'_, '_> {
    /// Adds a folder as a plugin; returns whether it is one.
    fn folder(&mut self, entry: &DirEntry) -> bool {
        let name = match PluginName::parse(&entry.file_name().to_string_lossy()) {
            Ok(name) => name,
            Err(PluginNameError::Blank | PluginNameError::Hidden(_)) => return false,
            Err(error) => {
                let message = format!("{error}; rename the folder");
                self.found.diagnostics.push(Diagnostic::new("", entry.path(), message));
                return false;
            }
        };
        let checked = match &self.root_error {
            Some(untrusted) => Err(untrusted.clone()),
            None => check_trust(entry, self.inspection).map(drop),
        };
        let path = entry.path().to_owned();
        let Some(untrusted) = checked.err().filter(|error| !self.inspection.is_excepted(&path, error)) else {
            self.plugins.insert(name.clone(), Plugin { name, path, hooks: Vec::new() });
            return true;
        };
        self.has_ignored_plugin = true;
        if self.root_error.is_none() {
            self.found.diagnostics.push(untrusted_diagnostic(name.to_string(), &untrusted, &path));
        } else {
            let root = path.parent().unwrap_or(&path);
            let cause = untrusted_diagnostic(String::new(), &untrusted, root).to_string();
            self.found.unused.entry(name.to_lowercase()).or_insert(cause);
        }
        false
    }

    /// Adds a hook to its plugin. A plugin with an untrusted file is ignored completely.
    fn file(&mut self, entry: &DirEntry) {
        let name = entry.file_name().to_string_lossy();
        let hook_name = HookName::parse(&name);
        let is_read = hook_name.is_some() || is_config(&name);
        let Some(folder) = entry.path().parent() else { return };
        let plugin = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(problem) = misnamed(&name, hook_name.is_some(), entry) {
            self.warn(&plugin, format!("{}: {problem}", entry.path().display()));
        }
        if !is_read {
            return;
        }
        let Some(known) = self.plugins.get_mut(plugin.as_str()) else { return };
        let path = entry.path().to_owned();
        let metadata = match check_trust(entry, self.inspection) {
            Err(untrusted) if !self.inspection.is_excepted(folder, &untrusted) => {
                self.plugins.remove(plugin.as_str());
                self.found.diagnostics.push(untrusted_diagnostic(plugin, &untrusted, folder));
                return;
            }
            Err(_) => path.metadata(),
            Ok(metadata) => metadata,
        };
        let Some(name) = hook_name else { return };
        if name.event == "Dependency" && name.name.contains("install") {
            self.found.warnings.push(format!(
                "{}: `rigup install` does not run hooks for Dependency, which read --bin-name and --bin-providers; read --name and \
                 --binproviders, and rename the file to on_BinaryRequest__<NN>_<name>.<ext>",
                path.display()
            ));
        }
        match metadata.map_err(HookFileError::from).and_then(|metadata| start(&path, &name, &metadata)) {
            Ok(Some(start)) => {
                let plugin = known.name.clone();
                known.hooks.push(Hook { name, plugin, path, start });
            }
            Ok(None) if entry.file_type().is_file() => {
                let warning = format!(
                    "{0}: not a hook, because it has no exec bit and is not a .sh, .py or .js file; if it should be one, run `chmod +x {1}`",
                    path.display(),
                    shell::quote_path(&path)
                );
                self.warn(&plugin, warning);
            }
            Ok(None) => {}
            Err(error) => self.found.diagnostics.push(Diagnostic::new(plugin, path, error.to_string())),
        }
    }

    /// Warns about a file that looks like a part of a plugin, but is none.
    fn warn(&mut self, plugin: &str, warning: String) {
        self.found.unused.entry(plugin.to_lowercase()).or_insert_with(|| warning.clone());
        self.found.warnings.push(warning);
    }
}

/// Whether rigup itself reads a file of this name in a plugin's folder.
fn is_config(name: &str) -> bool {
    name == schema::FILE_NAME || requirement::FILE_NAMES.contains(&name)
}

/// Returns the problem of a file whose name is almost that of a hook, or of another file that rigup reads, or `None` if it
/// is not.
fn misnamed(name: &str, is_hook: bool, entry: &DirEntry) -> Option<String> {
    if !entry.file_type().is_file() {
        return None;
    }
    if is_hook {
        let next = intended(name)?;
        return Some(format!(
            "a hook of another event than {BINARY_REQUEST}; if it should install binaries, rename it to {next}"
        ));
    }
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    if matches!(extension, Some("json" | "jsonl"))
        && !is_config(name)
        && let Some(meant) = closest(name, requirement::FILE_NAMES.into_iter().chain([schema::FILE_NAME]))
        && !entry.path().with_file_name(meant).exists()
    {
        return Some(format!("rigup does not read a file of this name; rename it to {meant}"));
    }
    let begins_like_one = name.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("on_"));
    let can_be_started = || {
        extension.is_some_and(|extension| interpreter(extension).is_some())
            || entry.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
    };
    (begins_like_one && can_be_started()).then(|| match intended(name) {
        Some(next) => format!("not a hook; if it should be one, rename it to {next}"),
        None => "not a hook; if it should be one, name it on_<Event>__<NN>_<name>.<ext>".to_owned(),
    })
}

/// Checks that a folder or file in a trusted root is trusted, and returns its metadata.
fn check_trust(entry: &DirEntry, inspection: &mut Inspection<'_>) -> Result<io::Result<Metadata>, Untrusted> {
    if entry.path_is_symlink() {
        inspection.resolve(entry.path())?;
    }
    let metadata = entry.path().metadata();
    if let Ok(metadata) = &metadata {
        inspection.check_target(entry.path(), metadata)?;
    }
    Ok(metadata)
}

fn untrusted_diagnostic(plugin: String, untrusted: &Untrusted, folder: &Path) -> Diagnostic {
    Diagnostic::new(plugin, &untrusted.path, untrusted.advice(folder))
}

/// An error in a file with a hook's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookFileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Its first line ends with a carriage return, which is not a part of the interpreter's name.
    #[error(
        "cannot be started: its first line ends with a carriage return, as in a file of Windows; run `sed -i 's/\\r$//' {path}`",
        path = shell::quote_path(.0)
    )]
    CarriageReturn(PathBuf),
}

/// Returns how a file with a hook's name is started, or `None` if it is not a hook: a folder, or a file that is neither
/// executable nor a script of a known language.
pub(crate) fn start(
    path: &Path,
    name: &HookName,
    metadata: &Metadata,
) -> Result<Option<Start>, HookFileError> {
    let by_extension = interpreter(&name.extension).map(Start::By);
    if !metadata.is_file() {
        return Ok(None);
    }
    let has_exec_bit = metadata.permissions().mode() & 0o111 != 0;
    // Python and Node.js accept carriage returns.
    if !has_exec_bit && by_extension != Some(Start::By("bash")) {
        return Ok(by_extension);
    }
    let mut beginning = Vec::new();
    File::open(path)?.take(shebang::MAX_LENGTH as u64).read_to_end(&mut beginning)?;
    let first_line = shell::split_line(&beginning).0;
    if first_line.starts_with(b"#!") && first_line.ends_with(b"\r") {
        return Err(HookFileError::CarriageReturn(path.to_owned()));
    }
    Ok(if has_exec_bit { Some(start_of(&beginning, by_extension)) } else { by_extension })
}

/// Returns how an executable file that begins with these bytes is started. The system does not start a file without a
/// known format, unless there is a program for its extension.
pub(crate) fn start_of(beginning: &[u8], by_extension: Option<Start>) -> Start {
    match shell::split_line(beginning).0 {
        // rigup finds these programs faster than `env`.
        b"#!/usr/bin/env python3" => Start::By("python3"),
        b"#!/usr/bin/env node" => Start::By("node"),
        [b'#', b'!', line @ ..] => {
            let program = Shebang::parse(line).and_then(|shebang| shebang.program());
            program.map_or(Start::Itself, Start::ByShebang)
        }
        // The kernel starts ELF and Mach-O, too.
        [0x7f | 0xca | 0xcf | 0xfe, ..] => Start::Itself,
        _ => by_extension.unwrap_or(Start::Itself),
    }
}

/// Returns the program that starts the scripts with an extension.
fn interpreter(extension: &str) -> Option<&'static str> {
    match extension {
        "sh" => Some("bash"),
        "py" => Some("python3"),
        "js" => Some("node"),
        _ => None,
    }
}

/// Returns the diagnostic for an error during a scan, or `None` if it is about a file that is neither a plugin nor a
/// hook.
fn diagnostic_of(root: &Path, error: &walkdir::Error) -> Option<Diagnostic> {
    let path = error.path().unwrap_or(root);
    let mut inside = path.strip_prefix(root).unwrap_or(Path::new("")).iter().map(OsStr::to_string_lossy);
    let plugin = inside.next().unwrap_or_default();
    let is_other_file =
        inside.next().is_some_and(|name| !is_config(&name) && HookName::parse(&name).is_none());
    if plugin.starts_with(['.', '_']) || is_other_file {
        return None;
    }
    let cause = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Some(Diagnostic::new(plugin, path, format!("cannot be read: {cause}")))
}

#[cfg(test)]
mod tests;
