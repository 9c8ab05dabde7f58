//! Finds the plugins in the folders of the search path.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::model::{PluginName, PluginNameError, ProviderName};
use crate::plugin::config::schema;
use crate::plugin::hook_name::{BINARY_REQUEST, HookName};
use crate::plugin::requirement::{self, Diagnostic};
use crate::shebang::{self, Shebang};
use crate::shell;
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
        hooks.sort_by(|a, b| a.name.cmp_with_plugins(&a.plugin, &b.name, &b.plugin));
        hooks
    }
}

/// Finds the plugins in `roots`: a plugin in an earlier folder completely replaces one with the same name in a later
/// folder, and the `built_in` plugins come last. A root that does not exist has no plugins. An untrusted root has none
/// either, and a diagnostic is returned, unless `trust` makes an exception.
pub(crate) fn discover(roots: &[PathBuf], built_in: Vec<Plugin>, trust: &Trust) -> Discovery {
    let mut plugins: BTreeMap<PluginName, Plugin> = BTreeMap::new();
    let (mut diagnostics, mut warnings) = (Vec::new(), Vec::new());
    let mut inspection = Inspection::new(trust);
    for root in roots.iter().filter(|root| root.exists()) {
        for (name, plugin) in discover_in(root, &mut inspection, &mut diagnostics, &mut warnings) {
            plugins.entry(name).or_insert(plugin);
        }
    }
    for plugin in built_in {
        plugins.entry(plugin.name.clone()).or_insert(plugin);
    }
    let mut plugins: Vec<Plugin> = plugins.into_values().collect();
    for plugin in &mut plugins {
        plugin.hooks.sort_by(|a, b| a.name.cmp_with_plugins("", &b.name, ""));
    }
    warnings.extend(inspection.notes());
    Discovery { plugins, diagnostics, warnings }
}

/// Returns the plugins in one root.
fn discover_in(
    root: &Path,
    inspection: &mut Inspection<'_>,
    diagnostics: &mut Vec<Diagnostic>,
    warnings: &mut Vec<String>,
) -> BTreeMap<PluginName, Plugin> {
    let root_error =
        inspection.resolve(root).err().filter(|untrusted| !inspection.is_excepted(root, untrusted));
    let mut scan = RootScan {
        root_error,
        has_ignored_plugin: false,
        plugins: BTreeMap::new(),
        inspection,
        diagnostics,
        warnings,
    };
    let mut entries = WalkDir::new(root).follow_links(true).min_depth(1).max_depth(2).into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Err(error) => scan.diagnostics.extend(diagnostic_of(root, &error)),
            Ok(entry) if entry.depth() == 2 => scan.file(&entry),
            Ok(entry) if entry.file_type().is_dir() && !scan.folder(&entry) => entries.skip_current_dir(),
            Ok(_) => {}
        }
    }
    if let Some(untrusted) = scan.root_error.filter(|_| scan.has_ignored_plugin) {
        scan.diagnostics.push(untrusted_diagnostic(String::new(), &untrusted, root));
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
    diagnostics: &'s mut Vec<Diagnostic>,
    /// Notes about files that look like hooks, but are none.
    warnings: &'s mut Vec<String>,
}

impl RootScan<'_, '_> {
    /// Adds a folder as a plugin; returns whether it is one.
    fn folder(&mut self, entry: &DirEntry) -> bool {
        let name = match PluginName::parse(&entry.file_name().to_string_lossy()) {
            Ok(name) => name,
            Err(PluginNameError::Blank | PluginNameError::Hidden(_)) => return false,
            Err(error) => {
                let message = format!("{error}; rename the folder");
                self.diagnostics.push(Diagnostic::new("", entry.path(), message));
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
            self.diagnostics.push(untrusted_diagnostic(name.to_string(), &untrusted, &path));
        }
        false
    }

    /// Adds a hook to its plugin. A plugin with an untrusted file is ignored completely.
    fn file(&mut self, entry: &DirEntry) {
        let name = entry.file_name().to_string_lossy();
        let hook_name = HookName::parse(&name);
        let is_read = hook_name.is_some() || is_config(&name);
        if !is_read && is_misspelled_hook(&name, entry) {
            self.warnings.push(format!(
                "{}: not a hook; if it should be one, name it on_<Event>__<NN>_<name>.<ext>",
                entry.path().display()
            ));
        }
        let Some(folder) = entry.path().parent().filter(|_| is_read) else { return };
        let plugin = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(known) = self.plugins.get_mut(plugin.as_str()) else { return };
        let path = entry.path().to_owned();
        let metadata = match check_trust(entry, self.inspection) {
            Err(untrusted) if !self.inspection.is_excepted(folder, &untrusted) => {
                self.plugins.remove(plugin.as_str());
                self.diagnostics.push(untrusted_diagnostic(plugin, &untrusted, folder));
                return;
            }
            Err(_) => path.metadata(),
            Ok(metadata) => metadata,
        };
        let Some(name) = hook_name else { return };
        if name.event == "Dependency" && name.name.contains("install") {
            self.warnings.push(format!(
                "{}: `rigup install` does not run hooks for Dependency, which read --bin-name and --bin-providers; read --name and \
                 --binproviders, and rename the file to on_BinaryRequest__<NN>_<name>.<ext>",
                path.display()
            ));
        }
        match metadata.and_then(|metadata| start(&path, &name, &metadata)) {
            Ok(Some(start)) => {
                let plugin = known.name.clone();
                known.hooks.push(Hook { name, plugin, path, start });
            }
            Ok(None) if entry.file_type().is_file() => self.warnings.push(format!(
                "{0}: not a hook, because it has no exec bit and is not a .sh, .py or .js file; if it should be one, run `chmod +x {1}`",
                path.display(),
                shell::quote_text(&path.to_string_lossy())
            )),
            Ok(None) => {}
            Err(error) => {
                self.diagnostics.push(Diagnostic::new(plugin, path, format!("cannot be read: {error}")));
            }
        }
    }
}

/// Whether rigup itself reads a file of this name in a plugin's folder.
fn is_config(name: &str) -> bool {
    name == schema::FILE_NAME || requirement::FILE_NAMES.contains(&name)
}

/// Whether a file whose name is not that of a hook looks like one: it begins with `on_`, and could be started.
fn is_misspelled_hook(name: &str, entry: &DirEntry) -> bool {
    let begins_like_one = name.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("on_"));
    begins_like_one
        && entry.file_type().is_file()
        && (Path::new(name).extension().and_then(OsStr::to_str).is_some_and(|end| interpreter(end).is_some())
            || entry.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0))
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

/// Returns how a file with a hook's name is started, or `None` if it is not a hook: a folder, or a file that is neither
/// executable nor a script of a known language.
pub(crate) fn start(path: &Path, name: &HookName, metadata: &Metadata) -> io::Result<Option<Start>> {
    let by_extension = interpreter(&name.extension).map(Start::By);
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Ok(by_extension);
    }
    let mut beginning = Vec::new();
    File::open(path)?.take(shebang::MAX_LENGTH as u64).read_to_end(&mut beginning)?;
    Ok(Some(start_of(&beginning, by_extension)))
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
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct PluginTree(tempfile::TempDir);

    impl PluginTree {
        fn new(files: &[(&str, u32)]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for (file, mode) in files {
                let path = tree.path(file);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(&path, "#!/bin/sh\n").unwrap();
                fs_err::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
            }
            tree
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }
    }

    fn names(found: &Discovery) -> Vec<&str> {
        found.plugins.iter().map(|plugin| plugin.name.as_str()).collect()
    }

    #[test]
    fn a_plugin_in_an_earlier_folder_replaces_a_later_one_as_a_whole() {
        let tree = PluginTree::new(&[
            ("mine/wget/on_Snapshot__50_wget.sh", 0o755),
            ("theirs/wget/on_Snapshot__10_old.sh", 0o755),
            ("theirs/git/on_Snapshot__10_git.sh", 0o755),
        ]);
        let found = discover(
            &[tree.path("mine"), tree.path("theirs"), tree.path("missing")],
            Vec::new(),
            &Trust::new(None),
        );
        assert_eq!(names(&found), ["git", "wget"]);
        let hooks: Vec<&str> =
            found.hooks_of("Snapshot").iter().map(|hook| hook.name.name.as_str()).collect();
        assert_eq!(hooks, ["git", "wget"]);
    }

    #[test]
    fn hidden_folders_are_skipped_and_links_to_folders_are_followed() {
        let tree = PluginTree::new(&[
            ("p/_old/on_E__1_a.sh", 0o755),
            ("p/.git/on_E__1_a.sh", 0o755),
            ("elsewhere/on_E__1_a.sh", 0o755),
        ]);
        symlink(tree.path("elsewhere"), tree.path("p/linked")).unwrap();
        let found = discover(&[tree.path("p")], Vec::new(), &Trust::new(None));
        assert_eq!(names(&found), ["linked"]);
        assert_eq!(found.plugins[0].hooks.len(), 1);
        assert!(found.diagnostics.is_empty());
    }

    #[test]
    fn only_scripts_in_a_known_language_need_no_exec_bit() {
        let tree = PluginTree::new(&[
            ("p/a/on_E__1_a.sh", 0o644),
            ("p/a/on_E__2_b.py", 0o644),
            ("p/a/on_E__3_c.rb", 0o644),
            ("p/a/on_E__4_d.rb", 0o755),
            ("p/a/on_E__5_e", 0o755),
            ("p/a/on_E__6_f.sh", 0o755),
            ("p/a/on_E__7_g.js", 0o755),
            ("p/a/on_E__8_h.py", 0o755),
            ("p/a/on_E__9_i.py", 0o755),
        ]);
        fs_err::write(tree.path("p/a/on_E__7_g.js"), "console.log(1)\n").unwrap();
        fs_err::write(tree.path("p/a/on_E__8_h.py"), "#!/usr/bin/env python3\nprint(1)\n").unwrap();
        fs_err::write(tree.path("p/a/on_E__9_i.py"), "#!/usr/bin/env python3.12\nprint(1)\n").unwrap();
        let found = discover(&[tree.path("p")], Vec::new(), &Trust::new(None));
        let starts: Vec<(&str, Start)> =
            found.plugins[0].hooks.iter().map(|hook| (hook.name.name.as_str(), hook.start.clone())).collect();
        assert_eq!(
            starts,
            [
                ("a", Start::By("bash")),
                ("b", Start::By("python3")),
                ("d", Start::ByShebang("/bin/sh".into())),
                ("e", Start::ByShebang("/bin/sh".into())),
                ("f", Start::ByShebang("/bin/sh".into())),
                ("g", Start::By("node")),
                ("h", Start::By("python3")),
                ("i", Start::ByShebang("python3.12".into())),
            ]
        );
    }

    #[test]
    fn a_folder_or_a_dangling_link_named_like_a_hook_is_skipped() {
        let tree = PluginTree::new(&[("p/a/on_E__1_a.sh", 0o755), ("p/a/on_E__2_folder.sh/x", 0o644)]);
        symlink(tree.path("nowhere"), tree.path("p/a/on_E__3_dangling.sh")).unwrap();
        symlink(tree.path("nowhere"), tree.path("p/a/notes")).unwrap();
        for file in ["binaries.jsonl", "config.json"] {
            symlink(tree.path("nowhere"), tree.path(&format!("p/a/{file}"))).unwrap();
        }
        let found = discover(&[tree.path("p")], Vec::new(), &Trust::new(None));
        assert_eq!(found.plugins[0].hooks.len(), 1);
        let mut reported: Vec<&str> = found
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.path.file_name().unwrap().to_str().unwrap())
            .collect();
        reported.sort_unstable();
        assert_eq!(reported, ["binaries.jsonl", "config.json", "on_E__3_dangling.sh"]);
        assert!(found.diagnostics.iter().all(|diagnostic| diagnostic.plugin == "a"));
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    }

    #[test]
    fn a_file_that_looks_like_a_hook_but_is_none_is_named_in_a_warning() {
        let tree = PluginTree::new(&[
            ("p/a/on_E_81_misspelled.sh", 0o644),
            ("p/a/On_E__1_case", 0o755),
            ("p/a/on_E__1_extension.rb", 0o644),
            ("p/a/on_E.md", 0o644),
            ("p/a/once.sh", 0o755),
        ]);
        let found = discover(&[tree.path("p")], Vec::new(), &Trust::new(None));
        assert!(found.plugins[0].hooks.is_empty() && found.diagnostics.is_empty());
        let mut warned: Vec<&str> = found
            .warnings
            .iter()
            .map(|warning| warning.split(':').next().unwrap().rsplit('/').next().unwrap())
            .collect();
        warned.sort_unstable();
        assert_eq!(warned, ["On_E__1_case", "on_E_81_misspelled.sh", "on_E__1_extension.rb"]);
    }
}
