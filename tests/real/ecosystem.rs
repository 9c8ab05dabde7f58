//! Plugin folders that others wrote, as they are published.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::context_with_registries;
use crate::test_context::TestContext;

#[expect(clippy::print_stderr, reason = "tells why nothing was tested")]
fn skip(requirement: &str, why: &[u8]) {
    eprintln!("skipped: {requirement} cannot be had: {}", String::from_utf8_lossy(why));
}

/// The plugins of a published version of abx-plugins, unpacked below the context; none where the registry has none.
fn published(context: &TestContext, version: &str) -> Option<PathBuf> {
    let folder = context.path("published");
    let unpack = "import glob, sys, zipfile; zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0]).extractall(sys.argv[1])";
    let requirement = format!("abx-plugins{version}");
    let options = "-m pip download --quiet --no-deps --only-binary=:all: --python-version=3.13 -d";
    let download =
        Command::new("python3").args(options.split(' ')).arg(&folder).arg(&requirement).output().unwrap();
    if !download.status.success() {
        skip(&requirement, &download.stderr);
        return None;
    }
    assert!(Command::new("python3").args(["-c", unpack]).arg(&folder).status().unwrap().success());
    Some(folder.join("abx_plugins/plugins"))
}

/// A Python that 1.11.115 runs with: on PATH, or among pyenv's.
fn python() -> Option<PathBuf> {
    let on_path = ["python3.12", "python3.13", "python3.14", "python3"].map(PathBuf::from);
    let pyenv = std::env::var_os("PYENV_ROOT").map(|it| PathBuf::from(it).join("versions"));
    let versions = pyenv.into_iter().filter_map(|it| fs::read_dir(it).ok()).flatten();
    let candidates = on_path.into_iter().chain(versions.map(|it| it.unwrap().path().join("bin/python3")));
    let is_right = "import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info < (3, 15))";
    candidates.into_iter().find(|it| {
        Command::new(it).args(["-c", is_right]).output().is_ok_and(|output| output.status.success())
    })
}

/// The plugins of the last version that has providers of its own, in a venv with all that its hooks import; PATH and
/// the like are set as in an activated venv.
fn published_with_its_packages(context: &mut TestContext) -> Option<PathBuf> {
    const VERSION: &str = "1.11.115";
    let Some(python) = python() else {
        skip("abx-plugins==1.11.115", b"there is no Python 3.12, 3.13 or 3.14 with venv");
        return None;
    };
    let venv = context.path("venv");
    assert!(Command::new(python).args(["-m", "venv"]).arg(&venv).status().unwrap().success());
    let packages = ["uv".to_owned(), format!("abxpkg=={VERSION}"), format!("abx-plugins=={VERSION}")];
    let install = Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(packages).output();
    let install = install.unwrap();
    if !install.status.success() {
        skip("abx-plugins==1.11.115", &install.stderr);
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

/// The providers that are there.
fn known(context: &TestContext, dir: &str) -> Vec<String> {
    let hooks = context.run(&["--plugins-dir", dir, "hook", "list", "BinaryRequest"]).succeeds().records();
    hooks.iter().map(|it| it["plugin"].as_str().unwrap().to_owned()).collect()
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

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn the_plugins_of_the_ecosystem_are_found_and_planned_as_they_are_and_installed_by_rigups_providers() {
    for version in ["", "==1.11.115"] {
        let context = context_with_registries();
        let Some(plugins) = published(&context, version) else { continue };
        let dir = plugins.to_str().unwrap();
        let listed = context.run(&["--plugins-dir", dir, "plugin", "list"]).succeeds().records();
        let theirs = listed.iter().filter(|it| it["path"].as_str().unwrap().starts_with(dir)).count();
        let folders = fs::read_dir(&plugins)
            .unwrap()
            .map(|it| it.unwrap())
            .filter(|it| it.path().is_dir() && !it.file_name().to_string_lossy().starts_with(['_', '.']));
        assert_eq!(theirs, folders.count(), "every folder is a plugin");

        let planned = context.run(&["--plugins-dir", dir, "install", "--dry-run"]).succeeds().records();
        assert!(planned.len() > 20 && required(&plugins) >= planned.len());
        assert!(planned.iter().all(|it| !it["name"].as_str().unwrap().contains('{')), "{planned:?}");

        let known = known(&context, dir);
        for request in &planned {
            let named = request["unknown_providers"].as_array().unwrap();
            for asked in request["binproviders"].as_str().unwrap().split(',') {
                let is_named = named.iter().any(|it| it == asked);
                assert_eq!(
                    is_named,
                    !known.iter().any(|it| it == asked),
                    "{asked} is known or named: {request}"
                );
            }
        }
        if plugins.join("env/on_BinaryRequest__00_env.py").exists() {
            // Their providers take the place of rigup's own, and need Python packages: see the tests below.
            continue;
        }
        let chosen = ["--plugins-dir", dir, "install", "--plugins", "git,wget,search_backend_ripgrep"];
        let installed = context.run(&chosen).succeeds().records();
        assert!(installed.iter().all(|it| it["status"] == "installed"), "{installed:?}");
        assert!(["git", "wget", "rg"].iter().all(|name| installed.iter().any(|it| it["name"] == *name)));
    }
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn the_provider_hooks_of_the_ecosystem_run_unchanged_as_providers() {
    let mut context = context_with_registries();
    context.set("MY_API_TOKEN", "canary-51c0");
    let Some(plugins) = published_with_its_packages(&mut context) else { return };
    let dir = plugins.to_str().unwrap();
    let install = |name: &str, provider: &str| {
        // Their defaults fail at an index without dates; asked for, any age will do.
        let args =
            ["--plugins-dir", dir, "install", name, "--binproviders", provider, "--min-release-age", "0"];
        let record = context.run(&args).succeeds().record();
        assert_eq!(record["binprovider"], provider);
        assert!(context.bin(name).exists(), "{name} is linked");
    };
    install("git", "env");
    install("cowsay", "npm");
    install("httpie", "pip");
    if Command::new("apt-get").arg("--version").output().is_ok_and(|it| it.status.success()) {
        install("tree", "apt");
    }
    let hooks = context.hook_processes();
    assert!(
        hooks.iter().all(|it| it["cmd"][0].as_str().unwrap().starts_with(dir)),
        "their hooks ran: {hooks:?}"
    );
    let leaked =
        Command::new("grep").args(["-rl", "canary-51c0"]).arg(context.path("data")).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&leaked.stdout),
        "",
        "the environment in their records is kept nowhere"
    );

    let chosen = ["--plugins-dir", dir, "install", "--plugins", "git,wget,search_backend_ripgrep"];
    let installed = context.run(&chosen).succeeds().records();
    assert!(["git", "wget", "rg"].iter().all(|name| installed.iter().any(|it| it["name"] == *name)));
}

/// Serves one page on loopback until it is dropped.
struct Server {
    child: std::process::Child,
    port: u16,
}

impl Server {
    fn start(context: &TestContext) -> Self {
        context.write("site/index.html", "<html><head><title>A page</title></head><body>text</body></html>");
        let program = "import functools, http.server as h; s = h.ThreadingHTTPServer(('127.0.0.1', 0), \
                       functools.partial(h.SimpleHTTPRequestHandler, directory=__import__('sys').argv[1])); \
                       print(s.server_port, flush=True); s.serve_forever()";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .arg(context.path("site"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "downloads from a registry: run with --ignored"]
fn the_snapshot_hooks_of_the_ecosystem_that_need_no_browser_archive_a_page() {
    let mut context = context_with_registries();
    let Some(plugins) = published_with_its_packages(&mut context) else { return };
    let server = Server::start(&context);
    let dir = plugins.to_str().unwrap();
    let url = format!("--url=http://127.0.0.1:{}/index.html", server.port);
    let chosen = "wget,favicon,git,hashes";
    let records = context
        .run(&["--plugins-dir", dir, "run", "--plugins", chosen, "Snapshot", &url])
        .succeeds()
        .records();
    let result = |plugin: &str| {
        let of = |it: &&Value| it["type"] == "ArchiveResult" && it["plugin"] == plugin;
        records.iter().find(of).map(|it| it["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(result("wget").as_deref(), Some("succeeded"), "{records:?}");
    assert_eq!(result("hashes").as_deref(), Some("succeeded"), "{records:?}");
    assert_eq!(result("git").as_deref(), Some("noresults"), "no repository: {records:?}");
    assert!(result("favicon").is_some(), "{records:?}");
}
