//! Plugin folders that others wrote, as they are published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::place_with_registries;
use crate::playground::Playground;

#[expect(clippy::print_stderr, reason = "tells why nothing was tested")]
fn skip(requirement: &str, why: &[u8]) {
    eprintln!("skipped: {requirement} cannot be had: {}", String::from_utf8_lossy(why));
}

/// The plugins of a published version of abx-plugins, unpacked below the playground; none where the registry has none.
fn published(place: &Playground, version: &str) -> Option<PathBuf> {
    let folder = place.path("published");
    let unpack = "import glob, sys, zipfile; zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0]).extractall(sys.argv[1])";
    let requirement = format!("abx-plugins{version}");
    let download = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version=3.13",
            "-d",
        ])
        .arg(&folder)
        .arg(&requirement)
        .output()
        .unwrap();
    if !download.status.success() {
        skip(&requirement, &download.stderr);
        return None;
    }
    assert!(Command::new("python3").args(["-c", unpack]).arg(&folder).status().unwrap().success());
    Some(folder.join("abx_plugins/plugins"))
}

/// The binaries that the `config.json` files ask for, as they stand there.
fn required(plugins: &Path) -> usize {
    let configs = fs::read_dir(plugins).unwrap().map(|it| it.unwrap().path().join("config.json"));
    let texts = configs.filter_map(|it| fs::read_to_string(it).ok());
    texts
        .map(|it| {
            serde_json::from_str::<Value>(&it).unwrap()["required_binaries"].as_array().map_or(0, Vec::len)
        })
        .sum()
}

fn theirs_provide(plugins: &Path) -> bool {
    plugins.join("env").join("on_BinaryRequest__00_env.py").exists()
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn the_plugins_of_the_ecosystem_are_found_and_planned_as_they_are_and_installed_by_rigups_providers() {
    for version in ["", "==1.11.115"] {
        let place = place_with_registries();
        let Some(plugins) = published(&place, version) else { continue };
        let dir = plugins.to_str().unwrap();
        let listed = place.run(&["--plugins-dir", dir, "plugin", "list"]).ok().records();
        let theirs = listed.iter().filter(|it| it["path"].as_str().unwrap().starts_with(dir)).count();
        let folders = fs::read_dir(&plugins)
            .unwrap()
            .map(|it| it.unwrap())
            .filter(|it| it.path().is_dir() && !it.file_name().to_string_lossy().starts_with(['_', '.']));
        assert_eq!(theirs, folders.count(), "every folder is a plugin");

        let planned = place.run(&["--plugins-dir", dir, "install", "--dry-run"]).ok().records();
        assert!(planned.len() > 20 && required(&plugins) >= planned.len());
        assert!(planned.iter().all(|it| !it["name"].as_str().unwrap().contains('{')), "{planned:?}");

        if theirs_provide(&plugins) {
            // Their providers take the place of rigup's own, and need Python packages that nobody installed here.
            continue;
        }
        let chosen = ["--plugins-dir", dir, "install", "--plugins", "git,wget,search_backend_ripgrep"];
        let installed = place.run(&chosen).ok().records();
        assert!(installed.iter().all(|it| it["status"] == "installed"), "{installed:?}");
        assert!(["git", "wget", "rg"].iter().all(|name| installed.iter().any(|it| it["name"] == *name)));
    }
}
