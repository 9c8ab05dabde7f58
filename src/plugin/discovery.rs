//! Discovery: the plugins that lie in the folders of the search path.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::model::plugin_name::{PluginName, PluginNameError, ProviderName};
use crate::plugin::config::schema;
use crate::plugin::hook_name::HookName;
use crate::plugin::requirement::{self, Diagnostic};
use crate::trust::{Inspection, Trust, Untrusted};

/// A plugin's folder and the hooks in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The folder's name.
    pub name: PluginName,
    /// The folder.
    pub path: PathBuf,
    /// Its hooks, in the order in which they run.
    pub hooks: Vec<Hook>,
}

/// A hook's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What its name says.
    pub name: HookName,
    /// The plugin it belongs to.
    pub plugin: PluginName,
    /// The file.
    pub path: PathBuf,
    /// How it is started.
    pub start: Start,
}

/// How a hook's file is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// By itself: it has the exec bit, and a shebang or a binary format.
    Itself,
    /// By this interpreter.
    By(&'static str),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The plugins, by name.
    pub plugins: Vec<Plugin>,
    /// What could not be read, and what others may have written.
    pub diagnostics: Vec<Diagnostic>,
    /// What is trusted only because the user says so.
    pub warnings: Vec<String>,
}

impl Hook {
    /// Returns the name of the plugin, as requests name it.
    pub fn provider(&self) -> ProviderName {
        ProviderName::from(&self.plugin)
    }
}

impl Discovery {
    /// The hooks of an event, in the order in which they run.
    pub fn hooks_of(&self, event: &str) -> Vec<&Hook> {
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

/// Finds the plugins in `roots`, the most important folder first: a plugin found earlier replaces one of the same
/// name found later, whole. `built_in` stands last. A root that is not there has no plugins. One that others may have
/// written, or have put there, counts as not there and is complained of, unless `trust` excuses it.
pub fn discover(roots: &[PathBuf], built_in: Vec<Plugin>, trust: &Trust) -> Discovery {
    let mut plugins: BTreeMap<PluginName, Plugin> = BTreeMap::new();
    let mut diagnostics = Vec::new();
    let mut inspection = Inspection::new(trust);
    for root in roots.iter().filter(|root| root.exists()) {
        for (name, plugin) in discover_in(root, &mut inspection, &mut diagnostics) {
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
    Discovery { plugins, diagnostics, warnings: inspection.notes() }
}

/// The plugins in one root.
fn discover_in(
    root: &Path,
    inspection: &mut Inspection<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<PluginName, Plugin> {
    let distrusted = inspection.check_path(root).err().filter(|it| !inspection.is_excepted(root, it));
    let mut search =
        Search { distrusted, is_any_refused: false, here: BTreeMap::new(), inspection, diagnostics };
    let mut entries = WalkDir::new(root).follow_links(true).min_depth(1).max_depth(2).into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Err(error) => search.diagnostics.extend(complaint_of(root, &error)),
            Ok(entry) if entry.depth() == 2 => search.file(&entry),
            Ok(entry) if entry.file_type().is_dir() && !search.folder(&entry) => entries.skip_current_dir(),
            Ok(_) => {}
        }
    }
    let Search { distrusted, is_any_refused, here, .. } = search;
    if let Some(distrust) = distrusted.filter(|_| is_any_refused) {
        diagnostics.push(refusal(String::new(), &distrust, root));
    }
    here
}

/// One look through a root.
struct Search<'s, 't> {
    /// Why nothing in the root is to be trusted that is not excused by itself.
    distrusted: Option<Untrusted>,
    /// Whether anything was refused because of that.
    is_any_refused: bool,
    here: BTreeMap<PluginName, Plugin>,
    inspection: &'s mut Inspection<'t>,
    diagnostics: &'s mut Vec<Diagnostic>,
}

impl Search<'_, '_> {
    /// Takes a folder for a plugin; tells whether it is one.
    fn folder(&mut self, entry: &DirEntry) -> bool {
        let name = match PluginName::parse(&entry.file_name().to_string_lossy()) {
            Ok(name) => name,
            Err(PluginNameError::Blank | PluginNameError::Hidden(_)) => return false,
            Err(error) => {
                self.diagnostics.push(Diagnostic {
                    plugin: String::new(),
                    path: entry.path().to_owned(),
                    line: None,
                    message: format!("{error}; rename the folder"),
                });
                return false;
            }
        };
        let looked = match &self.distrusted {
            Some(distrust) => Err(distrust.clone()),
            None => look(entry, self.inspection).map(drop),
        };
        let path = entry.path().to_owned();
        let Some(distrust) = looked.err().filter(|it| !self.inspection.is_excepted(&path, it)) else {
            self.here.insert(name.clone(), Plugin { name, path, hooks: Vec::new() });
            return true;
        };
        self.is_any_refused = true;
        if self.distrusted.is_none() {
            self.diagnostics.push(refusal(name.to_string(), &distrust, &path));
        }
        false
    }

    /// Adds a hook to its plugin. Of a plugin with a file that is not to be trusted nothing counts.
    fn file(&mut self, entry: &DirEntry) {
        let name = entry.file_name().to_string_lossy();
        let hook_name = HookName::parse(&name);
        let counts = hook_name.is_some() || [schema::FILE_NAME, requirement::FILE_NAME].contains(&&*name);
        let Some(folder) = entry.path().parent().filter(|_| counts) else { return };
        let plugin = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(known) = self.here.get_mut(plugin.as_str()) else { return };
        let path = entry.path().to_owned();
        let metadata = match look(entry, self.inspection) {
            Err(distrust) if !self.inspection.is_excepted(folder, &distrust) => {
                self.here.remove(plugin.as_str());
                self.diagnostics.push(refusal(plugin, &distrust, folder));
                return;
            }
            Err(_) => path.metadata(),
            Ok(metadata) => metadata,
        };
        let Some(name) = hook_name else { return };
        match metadata.and_then(|it| start(&path, &name, &it)) {
            Ok(Some(start)) => {
                let plugin = known.name.clone();
                known.hooks.push(Hook { name, plugin, path, start });
            }
            Ok(None) => {}
            Err(error) => {
                let message = format!("cannot be read: {error}");
                self.diagnostics.push(Diagnostic { plugin, path, line: None, message });
            }
        }
    }
}

/// Whether a folder or file in a root that is trusted is to be trusted itself, and what it is.
fn look(entry: &DirEntry, inspection: &mut Inspection<'_>) -> Result<io::Result<Metadata>, Untrusted> {
    if entry.path_is_symlink() {
        inspection.check_path(entry.path())?;
    }
    let metadata = entry.path().metadata();
    if let Ok(metadata) = &metadata {
        inspection.check_target(entry.path(), metadata)?;
    }
    Ok(metadata)
}

fn refusal(plugin: String, distrust: &Untrusted, folder: &Path) -> Diagnostic {
    Diagnostic { plugin, path: distrust.path.clone(), line: None, message: distrust.advice(folder) }
}

/// The interpreter of a script that has no exec bit or no shebang.
pub fn interpreter(extension: &str) -> Option<&'static str> {
    match extension {
        "sh" => Some("bash"),
        "py" => Some("python3"),
        "js" => Some("node"),
        _ => None,
    }
}

/// How a file with a hook's name is started; none where it is no hook after all: a folder, or a file that is
/// neither executable nor a script of a known language.
pub fn start_of(path: &Path, name: &HookName) -> io::Result<Option<Start>> {
    start(path, name, &path.metadata()?)
}

fn start(path: &Path, name: &HookName, metadata: &Metadata) -> io::Result<Option<Start>> {
    let interpreter = interpreter(&name.extension).map(Start::By);
    Ok(match (metadata.is_file(), is_executable(metadata), interpreter) {
        (false, _, _) => None,
        (true, false, by) => by,
        (true, true, by) => match (format_of(path)?, by) {
            (Format::Of(interpreter), _) => Some(Start::By(interpreter)),
            (Format::Unknown, Some(by)) => Some(by),
            (Format::Unknown, None) | (Format::CoreSettings, _) => Some(Start::Itself),
        },
    })
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

/// What an executable file begins with.
enum Format {
    /// What the kernel starts: a shebang, or an ELF or Mach-O file.
    CoreSettings,
    /// A shebang that has `env` look for an interpreter of ours, which rigup does faster.
    Of(&'static str),
    /// Anything else.
    Unknown,
}

fn format_of(path: &Path) -> io::Result<Format> {
    let mut start = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut start)?;
    let first = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(match first {
        b"#!/usr/bin/env python3" => Format::Of("python3"),
        b"#!/usr/bin/env node" => Format::Of("node"),
        [b'#', b'!', ..] | [0x7f | 0xca | 0xcf | 0xfe, ..] => Format::CoreSettings,
        _ => Format::Unknown,
    })
}

/// What went wrong on the way. A dangling link or a vanished file is not worth a word unless it is a plugin or hook.
fn complaint_of(root: &Path, error: &walkdir::Error) -> Option<Diagnostic> {
    let path = error.path().unwrap_or(root);
    let inside: Vec<String> = path
        .strip_prefix(root)
        .unwrap_or(Path::new(""))
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let is_hidden = inside.first().is_some_and(|name| name.starts_with(['.', '_']));
    let is_other_file = inside.get(1).is_some_and(|name| HookName::parse(name).is_none());
    if is_hidden || is_other_file {
        return None;
    }
    let message = match error.io_error() {
        Some(io) => format!("cannot be read: {io}"),
        None => format!("cannot be read: {error}"),
    };
    let plugin = inside.first().cloned().unwrap_or_default();
    Some(Diagnostic { plugin, path: path.to_owned(), line: None, message })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
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
    fn an_earlier_folder_replaces_a_plugin_of_a_later_one_whole() {
        let tree = Tree::new(&[
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
        let hooks: Vec<&str> = found.hooks_of("Snapshot").iter().map(|it| it.name.name.as_str()).collect();
        assert_eq!(hooks, ["git", "wget"]);
    }

    #[test]
    fn hidden_folders_are_skipped_and_links_to_folders_are_followed() {
        let tree = Tree::new(&[
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
    fn a_script_of_a_known_language_needs_no_exec_bit_and_any_other_file_does() {
        let tree = Tree::new(&[
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
            found.plugins[0].hooks.iter().map(|hook| (hook.name.name.as_str(), hook.start)).collect();
        assert_eq!(
            starts,
            [
                ("a", Start::By("bash")),
                ("b", Start::By("python3")),
                ("d", Start::Itself),
                ("e", Start::Itself),
                ("f", Start::Itself),
                ("g", Start::By("node")),
                ("h", Start::By("python3")),
                ("i", Start::Itself),
            ]
        );
    }

    #[test]
    fn what_only_looks_like_a_hook_harms_nothing() {
        let tree = Tree::new(&[("p/a/on_E__1_a.sh", 0o755), ("p/a/on_E__2_folder.sh/x", 0o644)]);
        symlink(tree.path("nowhere"), tree.path("p/a/on_E__3_dangling.sh")).unwrap();
        symlink(tree.path("nowhere"), tree.path("p/a/notes")).unwrap();
        let found = discover(&[tree.path("p")], Vec::new(), &Trust::new(None));
        assert_eq!(found.plugins[0].hooks.len(), 1);
        assert_eq!(found.diagnostics.len(), 1, "{:?}", found.diagnostics);
        assert!(found.diagnostics[0].path.ends_with("on_E__3_dangling.sh"));
        assert_eq!(found.diagnostics[0].plugin, "a");
    }
}
