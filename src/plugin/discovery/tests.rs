//! Discovery in real folders.

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
    let hooks: Vec<&str> = found.hooks_of("Snapshot").iter().map(|hook| hook.name.name.as_str()).collect();
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
