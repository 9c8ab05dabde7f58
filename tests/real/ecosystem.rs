//! Published plugins by other authors, without changes.

mod browser;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::context_with_registries;
use crate::server::Server;
use crate::test_context::TestContext;

/// The last version of abx-plugins that has its own providers. It does not run with a later jambo.
const OLD: [&str; 5] =
    ["uv", "abx-dl==1.11.115", "abxpkg==1.11.115", "abx-plugins==1.11.115", "jambo==0.1.7"];

/// The newest abx-dl requires the abx-plugins of its own version.
const NEWEST: [&str; 1] = ["abx-dl"];

#[expect(clippy::print_stderr, reason = "prints why the test is skipped")]
fn print_skipped(requirement: &str, reason: &[u8]) {
    eprintln!("skipped: cannot install {requirement}: {}", String::from_utf8_lossy(reason));
}

/// Unpacks a published version of abx-plugins below the context. Returns the folder of its plugins, or `None` if the
/// registry does not have that version.
fn published(context: &TestContext, version: &str) -> Option<PathBuf> {
    let folder = context.path("published");
    let unpack = "import glob, sys, zipfile; zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0]).extractall(sys.argv[1])";
    let requirement = format!("abx-plugins{version}");
    let options = "-m pip download --quiet --no-deps --only-binary=:all: --python-version=3.13 -d";
    let download =
        Command::new("python3").args(options.split(' ')).arg(&folder).arg(&requirement).output().unwrap();
    if !download.status.success() {
        print_skipped(&requirement, &download.stderr);
        return None;
    }
    assert!(Command::new("python3").args(["-c", unpack]).arg(&folder).status().unwrap().success());
    Some(folder.join("abx_plugins/plugins"))
}

/// Returns a Python that abx-plugins 1.11.115 supports, from PATH or pyenv, or `None` if there is none.
fn python() -> Option<PathBuf> {
    let on_path = ["python3.12", "python3.13", "python3.14", "python3"].map(PathBuf::from);
    let pyenv = std::env::var_os("PYENV_ROOT").map(|root| PathBuf::from(root).join("versions"));
    let versions = pyenv.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let candidates =
        on_path.into_iter().chain(versions.map(|version| version.unwrap().path().join("bin/python3")));
    let is_supported = "import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info < (3, 15))";
    candidates.into_iter().find(|python| {
        Command::new(python).args(["-c", is_supported]).output().is_ok_and(|output| output.status.success())
    })
}

/// Installs Python packages into a venv, with every package that the published hooks import, and sets PATH as in an
/// activated venv. Returns the plugins' folder, or `None` if the install is impossible.
fn published_in_venv(context: &mut TestContext, packages: &[&str]) -> Option<PathBuf> {
    let Some(python) = python() else {
        print_skipped(&packages.join(" "), b"they need Python 3.12, 3.13 or 3.14 with venv");
        return None;
    };
    let venv = context.path("venv");
    assert!(Command::new(python).args(["-m", "venv"]).arg(&venv).status().unwrap().success());
    let install = Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(packages).output();
    let install = install.unwrap();
    if !install.status.success() {
        print_skipped(&packages.join(" "), &install.stderr);
        return None;
    }
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        venv.join("bin").display()
    );
    let home = context.path("home");
    fs::create_dir_all(&home).unwrap();
    context.set("PATH", path).set("VIRTUAL_ENV", venv.clone()).set("HOME", home);
    let lib = fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
    Some(lib.join("site-packages/abx_plugins/plugins"))
}

/// Returns the names of the providers that rigup finds.
fn providers(context: &TestContext, dir: &str) -> Vec<String> {
    let hooks = context.run(&["--plugins-dir", dir, "hook", "list", "BinaryRequest"]).succeeds().records();
    hooks.iter().map(|hook| hook["plugin"].as_str().unwrap().to_owned()).collect()
}

/// Returns the number of binaries that the plugins' `config.json` files require.
fn count_required(plugins: &Path) -> usize {
    let configs = fs::read_dir(plugins).unwrap().map(|plugin| plugin.unwrap().path().join("config.json"));
    let texts = configs.filter_map(|path| fs::read_to_string(path).ok());
    let count = |text: String| {
        serde_json::from_str::<Value>(&text).unwrap()["required_binaries"].as_array().map_or(0, Vec::len)
    };
    texts.map(count).sum()
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn rigup_finds_plans_and_installs_the_requirements_of_published_plugins() {
    for version in ["", "==1.11.115"] {
        let context = context_with_registries();
        let Some(plugins) = published(&context, version) else { continue };
        let dir = plugins.to_str().unwrap();
        let listed = context.run(&["--plugins-dir", dir, "plugin", "list"]).succeeds().records();
        let found = listed.iter().filter(|plugin| plugin["path"].as_str().unwrap().starts_with(dir)).count();
        let folders = fs::read_dir(&plugins).unwrap().map(|entry| entry.unwrap()).filter(|entry| {
            entry.path().is_dir() && !entry.file_name().to_string_lossy().starts_with(['_', '.'])
        });
        assert_eq!(found, folders.count(), "every folder is a plugin");

        let planned = context.run(&["--plugins-dir", dir, "install", "--dry-run"]).records();
        assert!(planned.len() > 20 && count_required(&plugins) >= planned.len());
        assert!(
            planned.iter().all(|request| !request["name"].as_str().unwrap().contains('{')),
            "{planned:?}"
        );

        let providers = providers(&context, dir);
        for request in &planned {
            for provider in request["binproviders"].as_str().unwrap_or_default().split_terminator(',') {
                assert!(providers.iter().any(|name| name == provider), "{provider} is known: {request}");
            }
        }
        if plugins.join("env/on_BinaryRequest__00_env.py").exists() {
            // The providers of this version replace the built-in ones and need Python packages; see the tests below.
            continue;
        }
        let chosen = ["--plugins-dir", dir, "install", "--plugins", "git,wget,search_backend_ripgrep"];
        let installed = context.run(&chosen).succeeds().records();
        assert!(installed.iter().all(|binary| binary["status"] == "installed"), "{installed:?}");
        assert!(
            ["git", "wget", "rg"].iter().all(|name| installed.iter().any(|binary| binary["name"] == *name))
        );
    }
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn published_provider_hooks_run_unchanged() {
    let _apt = crate::lock_apt();
    let mut context = context_with_registries();
    context.set("MY_API_TOKEN", "canary-51c0");
    let Some(plugins) = published_in_venv(&mut context, &OLD) else { return };
    let dir = plugins.to_str().unwrap();
    let install = |name: &str, provider: &str| {
        // The default policy of these hooks fails with an index without dates, so the test allows any age.
        let args =
            ["--plugins-dir", dir, "install", name, "--binproviders", provider, "--min-release-age", "0"];
        let record = context.run(&args).succeeds().record();
        assert_eq!(record["binprovider"], provider);
        assert!(context.bin(name).exists(), "{name} is linked");
    };
    install("git", "env");
    install("cowsay", "npm");
    install("httpie", "pip");
    if Command::new("apt-get").arg("--version").output().is_ok_and(|output| output.status.success()) {
        install("tree", "apt");
    }
    let hooks = context.hook_processes();
    assert!(
        hooks.iter().all(|hook| hook["cmd"][0].as_str().unwrap().starts_with(dir)),
        "only published hooks ran: {hooks:?}"
    );
    let leaked =
        Command::new("grep").args(["-rl", "canary-51c0"]).arg(context.path("data")).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&leaked.stdout),
        "",
        "no file contains the environment that the hooks print in their records"
    );

    let chosen = ["--plugins-dir", dir, "install", "--plugins", "git,wget,search_backend_ripgrep"];
    let installed = context.run(&chosen).succeeds().records();
    assert!(["git", "wget", "rg"].iter().all(|name| installed.iter().any(|binary| binary["name"] == *name)));
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn published_snapshot_hooks_archive_a_page_without_a_browser() {
    let mut context = context_with_registries();
    let Some(plugins) = published_in_venv(&mut context, &OLD) else { return };
    let server = Server::start(&context);
    let dir = plugins.to_str().unwrap();
    let url = format!("--url={}", server.url);
    let chosen = "wget,favicon,git,hashes";
    let records = context
        .run(&["--plugins-dir", dir, "run", "--plugins", chosen, "Snapshot", &url])
        .succeeds()
        .records();
    let status = |plugin: &str| {
        let is_result = |record: &&Value| record["type"] == "ArchiveResult" && record["plugin"] == plugin;
        records.iter().find(is_result).map(|result| result["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(status("wget").as_deref(), Some("succeeded"), "{records:?}");
    assert_eq!(status("hashes").as_deref(), Some("succeeded"), "{records:?}");
    assert_eq!(status("git").as_deref(), Some("noresults"), "no repository: {records:?}");
    assert!(status("favicon").is_some(), "{records:?}");
}
