//! The providers bash and node, and the hints of uv, pnpm, cargo, go and gem, without a registry.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::builtin_providers;
use crate::test_context::{TestContext, signal, wait_until};

/// Sets PATH to a folder that contains only these programs.
pub(crate) fn put_only_on_path(context: &mut TestContext, tools: &[&str]) {
    let folder = context.path("tools");
    fs::create_dir(&folder).unwrap();
    for tool in tools {
        let found = ["/usr/bin", "/bin"]
            .map(|folder| Path::new(folder).join(tool))
            .into_iter()
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), folder.join(tool)).unwrap();
    }
    context.set("PATH", folder);
}

/// Installs `x` with a provider, and returns the outcome and the reason of its attempt.
fn attempt_with(context: &TestContext, provider: &str, overrides: &Value) -> String {
    let line = json!({"type": "Binary", "name": "x", "binproviders": provider, "overrides": overrides});
    context.plugin("p", &[line]);
    let record = context.run(&["install", "--plugins", "p"]).exits_with(1).record();
    let attempt = record["attempts"].as_array().unwrap().last().unwrap().clone();
    format!("{} {}", attempt["outcome"].as_str().unwrap(), attempt["reason"].as_str().unwrap())
}

/// Returns a path below LIB_DIR.
pub(crate) fn lib(context: &TestContext, path: &str) -> PathBuf {
    context.path("data/lib").join(rigup::settings::platform()).join(path)
}

/// Returns the sorted names in a folder, or none if the folder does not exist.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_provider_without_its_package_manager_declines_with_a_hint() {
    let mut context = TestContext::new();
    put_only_on_path(
        &mut context,
        &["sh", "env", "id", "find", "grep", "head", "cat", "mkdir", "rm", "mv", "ls", "sed", "tr"],
    );
    context.script("tools/node", "#!/bin/sh\necho v22.0.0\n");
    let providers = builtin_providers::providers();
    // env needs no package manager, some download files, and some have no binary of this name.
    let without = ["env", "node", "github", "url", "chromewebstore", "playwright", "puppeteer"];
    for provider in providers.iter().filter(|provider| !without.contains(&provider.as_str())) {
        let overrides = match provider.as_str() {
            "go" => json!({"go": ["example.com/tools/cmd/x"]}),
            "bash" => json!({"bash": {"install": "true"}}),
            _ => json!({}),
        };
        let program = match provider.as_str() {
            "apt" => "apt-get",
            "pip" => "python3",
            provider => provider,
        };
        let reason = attempt_with(&context, provider, &overrides);
        assert!(reason.starts_with(&format!("declined {program} is not on PATH; ")), "{reason}");
    }
    context
        .run(&["install", "corepack", "--binproviders", "node"])
        .exits_with(1)
        .stderr_contains("neither curl nor wget is on PATH");
}

#[test]
fn go_declines_a_name_that_is_not_a_module_path_with_a_hint() {
    let context = TestContext::new();
    for package in ["x", "./cmd/x", "/src/x", "tools/cmd/x", "x@v1.2/3"] {
        let attempt = attempt_with(&context, "go", &json!({"go": [package]}));
        let expected = format!("declined {package} is not a module path; put one into overrides.go.packages");
        assert!(attempt.starts_with(&expected), "{attempt}");
    }
    assert_eq!(
        context.hook_processes().len(),
        0,
        "nothing that go needs is installed, and its hook is not run"
    );
}

#[test]
fn playwright_and_puppeteer_decline_what_is_no_browser_at_once() {
    let context = TestContext::new();
    for provider in ["playwright", "puppeteer"] {
        let attempt = attempt_with(&context, provider, &json!({provider: ["opera"]}));
        let expected = format!("declined opera is not a browser of {provider}; it has ");
        assert!(attempt.starts_with(&expected), "{attempt}");
    }
    assert_eq!(context.hook_processes().len(), 0);
}

/// A command that installs `x`, and creates a file next to `BIN_DIR`.
pub(crate) const INSTALL: &str =
    "printf '#!/bin/sh\\necho x 1.5\\n' >$BIN_DIR/x; chmod +x $INSTALL_ROOT/bin/x; touch made-here";

/// Writes a plugin that requires `x` and installs it with a bash command.
pub(crate) fn require_with_command(context: &TestContext, command: &str) {
    let overrides = json!({"bash": {"install": command}});
    let line = json!({"type": "Binary", "name": "x", "binproviders": "bash", "overrides": overrides});
    context.plugin("p", &[line]);
}

#[test]
fn bash_runs_the_command_of_a_requirement_in_its_prefix() {
    let context = TestContext::new();
    require_with_command(&context, INSTALL);
    let output = context
        .run(&["install"])
        .succeeds()
        .stderr_contains("bash cannot enforce min_release_age and postinstall_scripts");
    let record = output.record();
    assert_eq!(record["abspath"], lib(&context, "bash/x/bin/x").to_str().unwrap());
    assert_eq!(record["version"], "1.5");
    assert_eq!(names_in(&lib(&context, "bash/x")), ["bin", "made-here"]);
    assert_eq!(names_in(&lib(&context, "bash")), ["x"]);
    let log = context.hook_processes()[0]["stderr_tail"].as_str().unwrap().to_owned();
    let message = format!(
        "bash runs the command of the requirement, in {}: {INSTALL}",
        lib(&context, "bash/x.part").display()
    );
    assert!(log.starts_with(&message), "{log}");
    let record = context.run(&["install", "--force", "--postinstall-scripts=false"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "rejected", "bash cannot enforce the policy");
}

#[test]
fn bash_runs_only_if_it_is_named_and_has_a_command() {
    let context = TestContext::new();
    let canary = context.path("ran");
    let overrides = json!({"bash": {"install": format!("touch {}", canary.display())}});
    // Other providers would contact their registries, so the test runs only this hook, in the way rigup does.
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/bash/on_BinaryRequest__20_bash.sh");
    let output = Command::new(hook)
        .args(["--name=x", "--binproviders=*"])
        .arg(format!("--overrides={overrides}"))
        .env("RIGUP", env!("CARGO_BIN_EXE_rigup"))
        .env("RIGUP_DATA_DIR", context.path("data"))
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("bash runs only if it is named"));
    assert!(!canary.exists());
    let attempt = attempt_with(&context, "bash", &json!({}));
    assert!(attempt.starts_with("declined no command is given; set overrides.bash.install"), "{attempt}");
}

#[test]
fn a_failed_bash_command_keeps_the_earlier_version() {
    let context = TestContext::new();
    require_with_command(&context, "echo all is lost >&2; false | true; exit 0");
    let record = context.run(&["install"]).exits_with(1).record();
    assert_eq!(
        record["last_error"],
        "bash failed: exit code 1: line 1 of the command exited with code 1: all is lost",
        "a failure within a pipeline fails the command"
    );
    assert!(names_in(&lib(&context, "bash")).is_empty(), "the failed command leaves no files");
    require_with_command(&context, INSTALL);
    context.run(&["install"]).succeeds();
    for (command, reason) in [
        ("rm -rf ./*; echo gone >&2; exit 10", "exit code 1: the command exited with code 10: gone"),
        (
            "true\n\ncat <(echo x) /no/such\ntrue",
            "line 3 of the command exited with code 1: cat: /no/such: No such file or directory",
        ),
        ("false", "exit code 1: line 1 of the command exited with code 1"),
        ("touch other", "the command put no program x into BIN_DIR"),
    ] {
        require_with_command(&context, command);
        let record = context.run(&["install", "--force"]).exits_with(1).record();
        assert!(record["last_error"].as_str().unwrap().ends_with(reason), "{record}");
        assert_eq!(names_in(&lib(&context, "bash")), ["x"]);
        assert_eq!(names_in(&lib(&context, "bash/x")), ["bin", "made-here"], "after {command}");
    }
}

/// An HTTP server that serves a folder until it is dropped.
pub(crate) struct Mirror {
    pub(crate) address: String,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Mirror {
    /// Serves a folder. If `stalls` is set, the server sends only half of the first archive and keeps the connection
    /// open.
    pub(crate) fn start(folder: PathBuf, mut stalls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let mut paths = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let path = request_path(&stream);
                if path == "/stop" {
                    break;
                }
                let body = fs::read(folder.join(path.trim_start_matches('/')));
                let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
                let is_truncated = stalls && path.contains(".tar.");
                let sent = if is_truncated { body.len() / 2 } else { body.len() };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body[..sent]);
                if is_truncated {
                    stalls = false;
                    let _ = stream.read(&mut [0]);
                }
                paths.push(path);
            }
            paths
        });
        Self { address, thread: Some(thread) }
    }

    /// Stops the server, and returns the requested paths.
    fn stop(&mut self) -> Vec<String> {
        let Some(thread) = self.thread.take() else { return Vec::new() };
        TcpStream::connect(&self.address).unwrap().write_all(b"GET /stop HTTP/1.0\r\n\r\n").unwrap();
        thread.join().unwrap()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads a request and returns its path.
fn request_path(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    let _ = reader.read_line(&mut request);
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|length| length > 2) {
        header.clear();
    }
    request.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The releases of the mirror. The newest one is not an LTS release, and the newest LTS release is less than a day old.
const RELEASES: [(&str, &str, &str, &str); 4] = [
    ("v25.2.0", "2025-06-01", "11.6.0", "-"),
    ("v22.12.0", "2999-01-01", "10.9.1", "Jod"),
    ("v22.11.0", "2024-10-29", "10.9.0", "Jod"),
    ("v20.18.0", "2024-10-03", "10.8.2", "Iron"),
];

/// Creates a mirror of releases whose node is a shell script that prints its version and runs other scripts.
fn make_releases(context: &TestContext) -> PathBuf {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut index = "version\tdate\tfiles\tnpm\tv8\tuv\tzlib\topenssl\tmodules\tlts\tsecurity\n".to_owned();
    for (version, date, npm, lts) in RELEASES {
        let files = format!("aix-ppc64,headers,linux-{arch},src");
        let line = [version, date, &files, npm, "12.4", "1.49", "1.3", "3.0", "127", lts, "false"];
        index += &(line.join("\t") + "\n");
        let name = format!("node-{version}-linux-{arch}");
        let root = format!("mirror/{version}/{name}");
        let node = format!("#!/bin/sh\n[ \"$1\" = --version ] && echo {version} || exec /bin/sh \"$@\"\n");
        context.script(&format!("{root}/bin/node"), &node);
        let npm_script = format!("#!/usr/bin/env node\necho {npm} on $(node --version | tr -d v)\n");
        context.script(&format!("{root}/lib/npm-cli.js"), &npm_script);
        for link in ["npm", "npx"] {
            std::os::unix::fs::symlink("../lib/npm-cli.js", context.path(&format!("{root}/bin/{link}")))
                .unwrap();
        }
        let pack = format!(
            "tar czf {name}.tar.gz {name} && tar cJf {name}.tar.xz {name}; rm -r {name}; \
             sha256sum {name}.tar.* >SHASUMS256.txt"
        );
        let folder = context.path(&format!("mirror/{version}"));
        assert!(Command::new("sh").args(["-c", &pack]).current_dir(folder).status().unwrap().success());
    }
    context.write("mirror/index.tab", index);
    context.path("mirror")
}

/// Creates a context that downloads Node.js from a local mirror.
fn context_with_mirror(stalls: bool) -> (TestContext, Mirror) {
    let mut context = TestContext::new();
    let mirror = Mirror::start(make_releases(&context), stalls);
    // With a trailing slash, which users may add.
    context.set("NODEJS_ORG_MIRROR", format!("http://{}/", mirror.address));
    (context, mirror)
}

/// Returns the arguments that install a name with the provider node.
fn install<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["install", name, "--binproviders", "node", "--force"], more].concat()
}

#[test]
fn node_installs_the_newest_lts_that_is_old_enough_with_its_npm() {
    let (context, mut mirror) = context_with_mirror(false);
    let node = context.run(&install("node", &[])).succeeds().record();
    assert_eq!((&node["version"], &node["binprovider"]), (&json!("22.11.0"), &json!("node")));
    assert_eq!(node["abspath"], lib(&context, "node/v22.11.0/bin/node").to_str().unwrap());
    for name in ["npm", "npx"] {
        let record = context.run(&install(name, &[])).succeeds().record();
        assert_eq!(record["version"], "10.9.0", "{record}");
    }
    let archives = mirror.stop().into_iter().filter(|path| path.contains(".tar."));
    assert_eq!(archives.count(), 1, "one archive has all three programs");
    assert_eq!(names_in(&lib(&context, "node")), ["v22.11.0"]);
    // PATH has no other node, or only an older one.
    let npm = Command::new(context.bin("npm")).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&npm.stdout), "10.9.0 on 22.11.0\n");
}

#[test]
fn node_respects_min_release_age_and_min_version() {
    let (context, _mirror) = context_with_mirror(false);
    let version = |name: &str, more: &[&str]| {
        context.run(&install(name, more)).succeeds().record()["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(version("node", &["--min-release-age", "0"]), "22.12.0");
    assert_eq!(
        version("node", &["--min-version", "22.11.1"]),
        "25.2.0",
        "no LTS release satisfies both min_version and the age"
    );
    assert_eq!(version("npm", &["--min-version", "11"]), "11.6.0", "min_version applies to npm");
    assert_eq!(version("npm", &["--min-version", "10.8.2"]), "10.9.0");
    context
        .run(&install("node", &["--min-version", "26", "--min-release-age", "3"]))
        .exits_with(1)
        .stderr_contains("has no node 26 or later released before 2");
    let line = |package: &str| {
        let overrides = json!({"node": [package]});
        let line = json!({"type": "Binary", "name": "node", "binproviders": "node", "overrides": overrides});
        context.plugin("p", &[line]);
        context.run(&["install", "--force"]).succeeds().record()["version"].clone()
    };
    assert_eq!([line("node@20"), line("22.11")], [json!("20.18.0"), json!("22.11.0")]);
}

#[test]
fn node_installs_the_pinned_release_despite_a_newer_one() {
    let (context, _mirror) = context_with_mirror(false);
    let lock = |name: &str, more: &[&str]| {
        let data_dir = context.path(&format!("before-{name}"));
        let args = ["lock", name, "--binproviders", "node", "--data-dir", data_dir.to_str().unwrap()];
        context.run(&[&args, more].concat()).succeeds();
    };
    lock("node@20.18.0", &[]);
    lock("npm", &["--min-version", "11"]);
    for (name, version) in [("node", "20.18.0"), ("npm", "11.6.0")] {
        let record = context.run(&install(name, &["--locked"])).succeeds().record();
        assert_eq!(record["version"], version, "{record}");
    }
}

#[test]
fn node_declines_names_that_do_not_come_with_node() {
    let context = TestContext::new();
    let attempt = attempt_with(&context, "node", &json!({}));
    assert_eq!(attempt, "declined only node, npm, npx and corepack come with Node.js");
}

#[test]
fn node_fails_if_the_archive_lacks_the_program() {
    let (context, _mirror) = context_with_mirror(false);
    context.run(&install("corepack", &[])).exits_with(1).stderr_contains("has no corepack that runs here");
    assert!(!context.bin("corepack").exists());
}

#[test]
fn node_rejects_an_archive_with_a_wrong_digest() {
    let (context, _mirror) = context_with_mirror(false);
    let sums = context.path("mirror/v22.11.0/SHASUMS256.txt");
    let wrong = fs::read_to_string(&sums).unwrap().replace(['0', '1', '2'], "f");
    fs::write(&sums, wrong).unwrap();
    let output = context.run(&install("node", &[])).exits_with(1);
    assert_eq!(output.record()["attempts"][0]["outcome"], "rejected");
    output.stderr_contains("does not match SHASUMS256.txt: its digest is");
    assert!(names_in(&lib(&context, "node")).is_empty(), "the rejected archive leaves no files");
    fs::write(&sums, "").unwrap();
    context.run(&install("node", &[])).exits_with(1).stderr_contains("not listed");
    fs::remove_file(&sums).unwrap();
    context.run(&install("node", &[])).exits_with(1).stderr_contains("; NODEJS_ORG_MIRROR names the server");
}

#[test]
fn node_works_with_wget_and_without_xz_and_repairs_itself() {
    let (mut context, _mirror) = context_with_mirror(false);
    let tools =
        ["sh", "env", "uname", "awk", "sed", "tar", "gzip", "sha256sum", "cut", "mkdir", "mv", "rm", "chmod"];
    put_only_on_path(&mut context, &[&tools[..], &["wget", "cat"]].concat());
    context.run(&install("node", &[])).succeeds();
    let node = lib(&context, "node/v22.11.0/bin/node");
    fs::write(&node, "#!/bin/sh\nexit 1\n").unwrap();
    assert_eq!(context.run(&install("node", &[])).succeeds().record()["version"], "22.11.0");
    assert!(fs::read_to_string(&node).unwrap().contains("--version"), "a broken node is replaced");
}

#[test]
fn npm_installs_node_and_npm_if_they_are_missing() {
    let (mut context, _mirror) = context_with_mirror(false);
    let tools = ["sh", "env", "uname", "awk", "sed", "tar", "gzip", "sha256sum", "cut", "mkdir", "mv", "rm"];
    put_only_on_path(
        &mut context,
        &[&tools[..], &["wget", "cat", "chmod", "grep", "head", "find", "cp"]].concat(),
    );
    let record = context.run(&["install", "x", "--binproviders", "npm"]).exits_with(1).record();
    let attempts = record["attempts"].as_array().unwrap();
    assert!(attempts[0]["reason"].as_str().unwrap().starts_with("node is not on PATH"), "{record}");
    // Only a real npm can install a package.
    assert_eq!(attempts[1]["outcome"], "failed", "{record}");
    assert!(["node", "npm"].iter().all(|name| context.bin(name).exists()));
}

#[test]
fn node_completes_a_download_that_was_terminated_or_killed() {
    for last in [Signal::SIGTERM, Signal::SIGKILL] {
        let (context, _mirror) = context_with_mirror(true);
        let mut rigup = context.start(&install("node", &[]));
        let has_begun =
            || names_in(&lib(&context, "node/node.part")).iter().any(|name| name.contains(".tar."));
        wait_until("half of the archive is downloaded", has_begun);
        if last == Signal::SIGKILL {
            context.kill_all(rigup);
        } else {
            signal(rigup.id(), last);
            rigup.wait().unwrap();
            assert_eq!(context.live_processes(), []);
            assert!(names_in(&lib(&context, "node")).is_empty());
        }
        context.run(&install("node", &[])).succeeds();
        assert_eq!(names_in(&lib(&context, "node")), ["v22.11.0"]);
    }
}
