//! The providers uv, pnpm, cargo, go, gem, node and bash, as far as that goes without a registry.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::playground::{Playground, wait_until};

/// Puts only these programs on PATH.
fn only_tools(place: &mut Playground, tools: &[&str]) {
    let folder = place.path("tools");
    fs::create_dir(&folder).unwrap();
    for tool in tools {
        let found =
            ["/usr/bin", "/bin"].map(|it| Path::new(it).join(tool)).into_iter().find(|it| it.exists());
        std::os::unix::fs::symlink(found.unwrap(), folder.join(tool)).unwrap();
    }
    place.set("PATH", folder);
}

/// What a provider says to a request, with its outcome in front.
fn answer(place: &Playground, provider: &str, overrides: &Value) -> String {
    let line = json!({"type": "Binary", "name": "x", "binproviders": provider, "overrides": overrides});
    place.plugin("p", &[line]);
    let record = place.run(&["install", "--plugins", "p"]).exits(1).record();
    let attempt = record["attempts"].as_array().unwrap().last().unwrap().clone();
    format!("{} {}", attempt["outcome"].as_str().unwrap(), attempt["reason"].as_str().unwrap())
}

fn lib(place: &Playground, below: &str) -> PathBuf {
    place.path("data/lib").join(rigup::settings::platform()).join(below)
}

/// The names in a folder; none where there is no such folder.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_without_its_package_manager_declines_and_says_what_to_install() {
    let mut place = Playground::new();
    only_tools(
        &mut place,
        &["sh", "env", "id", "find", "grep", "cat", "mkdir", "rm", "mv", "ls", "sed", "tr"],
    );
    place.script("tools/node", "#!/bin/sh\necho v22.0.0\n");
    for (provider, overrides, reason) in [
        ("uv", json!({}), "uv is not on PATH: pip install uv"),
        ("pnpm", json!({}), "pnpm is not on PATH: npm install"),
        ("cargo", json!({}), "cargo is not on PATH: install Rust"),
        ("go", json!({"go": ["example.com/tools/cmd/x"]}), "go is not on PATH: install Go"),
        ("gem", json!({}), "gem is not on PATH: apt-get install ruby"),
        ("bash", json!({"bash": {"install": "true"}}), "bash is not on PATH"),
    ] {
        let said = answer(&place, provider, &overrides);
        assert!(said.starts_with(&format!("declined {reason}")), "{said}");
    }
    place
        .run(&["install", "corepack", "--binproviders", "node"])
        .exits(1)
        .says("neither curl nor wget is on PATH");
}

#[test]
fn go_declines_what_is_no_module_path_and_says_where_to_put_one() {
    let place = Playground::new();
    for package in ["x", "./cmd/x", "/src/x", "tools/cmd/x", "x@v1.2/3"] {
        let said = answer(&place, "go", &json!({"go": [package]}));
        let expected = format!("declined {package} is not a module path; put one into overrides.go.packages");
        assert!(said.starts_with(&expected), "{said}");
    }
}

const INSTALL: &str =
    "printf '#!/bin/sh\\necho x 1.5\\n' >$BIN_DIR/x; chmod +x $INSTALL_ROOT/bin/x; touch made-here";

fn with_command(place: &Playground, command: &str) {
    let overrides = json!({"bash": {"install": command}});
    let line = json!({"type": "Binary", "name": "x", "binproviders": "bash", "overrides": overrides});
    place.plugin("p", &[line]);
}

#[test]
fn bash_runs_the_command_of_a_requirement_in_its_prefix() {
    let place = Playground::new();
    with_command(&place, INSTALL);
    let ran =
        place.run(&["install"]).ok().says("bash cannot enforce min_release_age and postinstall_scripts");
    let record = ran.record();
    assert_eq!(record["abspath"], lib(&place, "bash/x/bin/x").to_str().unwrap());
    assert_eq!(record["version"], "1.5");
    assert_eq!(names_in(&lib(&place, "bash/x")), ["bin", "made-here"]);
    assert_eq!(names_in(&lib(&place, "bash")), ["x"]);
    let log = place.hook_processes()[0]["stderr_tail"].as_str().unwrap().to_owned();
    let said = format!(
        "bash runs the command of the requirement, in {}: {INSTALL}",
        lib(&place, "bash/x").display()
    );
    assert!(log.starts_with(&said), "{log}");
    let asked = place.run(&["install", "--force", "--postinstall-scripts=false"]).exits(1).record();
    assert_eq!(asked["attempts"][0]["outcome"], "rejected", "what cannot be kept is not promised");
}

#[test]
fn bash_is_off_unless_it_is_named_and_declines_without_a_command() {
    let place = Playground::new();
    let ran = place.path("ran");
    let overrides = json!({"bash": {"install": format!("touch {}", ran.display())}});
    // Every other provider would look at its registry: this hook alone is asked, as rigup asks it.
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/bash/on_BinaryRequest__20_bash.sh");
    let output = Command::new(hook)
        .args(["--name=x", "--binproviders=*"])
        .arg(format!("--overrides={overrides}"))
        .env("RIGUP", env!("CARGO_BIN_EXE_rigup"))
        .env("RIGUP_DATA_DIR", place.path("data"))
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("bash runs only if it is named"));
    assert!(!ran.exists());
    let said = answer(&place, "bash", &json!({}));
    assert!(said.starts_with("declined no command is given; overrides.bash.install"), "{said}");
}

#[test]
fn a_command_that_fails_or_leaves_no_program_spares_what_worked() {
    let place = Playground::new();
    with_command(&place, "echo all is lost >&2; false | true; exit 0");
    let said = place.run(&["install"]).exits(1).record();
    assert_eq!(said["last_error"], "bash failed: exit code 1: all is lost", "a pipeline's failure counts");
    assert!(names_in(&lib(&place, "bash")).is_empty(), "nothing is left of it");
    with_command(&place, INSTALL);
    place.run(&["install"]).ok();
    for (command, reason) in [
        ("rm -rf ./*; echo gone >&2; exit 10", "bash failed: exit code 1: gone"),
        ("touch other", "x is not an executable file"),
    ] {
        with_command(&place, command);
        let record = place.run(&["install", "--force"]).exits(1).record();
        assert!(record["last_error"].as_str().unwrap().ends_with(reason), "{record}");
        assert_eq!(names_in(&lib(&place, "bash")), ["x"]);
        assert_eq!(names_in(&lib(&place, "bash/x")), ["bin", "made-here"], "after {command}");
    }
}

#[test]
fn two_commands_share_a_prefix_and_neither_breaks_the_other() {
    let place = Playground::new();
    let line = |name: &str, command: &str| {
        let overrides = json!({"bash": {"install": command, "install_root": "both"}});
        json!({"type": "Binary", "name": name, "binproviders": "bash", "overrides": overrides})
    };
    place.plugin("p", &[line("x", INSTALL), line("y", "[ -x bin/x ]; cp bin/x bin/y; touch of-y")]);
    place.run(&["install", "x"]).ok();
    place.run(&["install", "y"]).ok();
    assert_eq!(names_in(&lib(&place, "bash/both")), ["bin", "made-here", "of-y"]);
    place.plugin("p", &[line("x", "rm -rf ./*; false"), line("y", "true")]);
    place.run(&["install", "x", "--force"]).exits(1);
    assert_eq!(names_in(&lib(&place, "bash/both/bin")), ["x", "y"]);
    assert_eq!(names_in(&lib(&place, "bash")), ["both"]);
}

#[test]
fn a_command_that_was_killed_leaves_nothing_that_passes_for_whole() {
    let place = Playground::new();
    with_command(&place, INSTALL);
    place.run(&["install"]).ok();
    with_command(&place, &format!("{INSTALL}; touch half; exec tail -f /dev/null"));
    let rigup = place.start(&["install", "--force"]);
    wait_until("the command is halfway", || lib(&place, "bash/x/half").exists());
    place.kill_all(rigup);
    with_command(&place, "false");
    place.run(&["install", "--force"]).exits(1);
    assert_eq!(names_in(&lib(&place, "bash/x")), ["bin", "made-here"], "what worked is back");
    with_command(&place, INSTALL);
    place.run(&["install", "--force"]).ok();
    assert_eq!(names_in(&lib(&place, "bash")), ["x"]);
}

/// A web server for a folder, ended when it is dropped.
struct Mirror {
    address: String,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Mirror {
    /// Serves a folder. The first archive that is asked for breaks off in the middle where `stalls` says so, and the
    /// client is left waiting for the rest.
    fn start(folder: PathBuf, mut stalls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let path = requested(&stream);
                if path == "/stop" {
                    break;
                }
                let body = fs::read(folder.join(path.trim_start_matches('/')));
                let (status, body) = body.map_or(("404 Not Found", Vec::new()), |it| ("200 OK", it));
                let is_cut = stalls && path.contains(".tar.");
                let sent = if is_cut { body.len() / 2 } else { body.len() };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body[..sent]);
                if is_cut {
                    stalls = false;
                    let _ = stream.read(&mut [0]);
                }
                asked.push(path);
            }
            asked
        });
        Self { address, thread: Some(thread) }
    }

    /// Ends it, and tells what was asked for.
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

/// The path of a request.
fn requested(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    let _ = reader.read_line(&mut request);
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|length| length > 2) {
        header.clear();
    }
    request.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The releases of the mirror: the newest is no LTS, the newest LTS is not a day old.
const RELEASES: [(&str, &str, &str, &str); 4] = [
    ("v25.2.0", "2025-06-01", "11.6.0", "-"),
    ("v22.12.0", "2999-01-01", "10.9.1", "Jod"),
    ("v22.11.0", "2024-10-29", "10.9.0", "Jod"),
    ("v20.18.0", "2024-10-03", "10.8.2", "Iron"),
];

/// Makes a mirror of releases whose node is a shell script: it tells its version, and runs others.
fn make_releases(place: &Playground) -> PathBuf {
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
        place.script(&format!("{root}/bin/node"), &node);
        let tell = format!("#!/usr/bin/env node\necho {npm} on $(node --version)\n");
        place.script(&format!("{root}/lib/npm-cli.js"), &tell);
        for link in ["npm", "npx"] {
            std::os::unix::fs::symlink("../lib/npm-cli.js", place.path(&format!("{root}/bin/{link}")))
                .unwrap();
        }
        let pack = format!(
            "tar czf {name}.tar.gz {name} && tar cJf {name}.tar.xz {name}; rm -r {name}; \
             sha256sum {name}.tar.* >SHASUMS256.txt"
        );
        let folder = place.path(&format!("mirror/{version}"));
        assert!(Command::new("sh").args(["-c", &pack]).current_dir(folder).status().unwrap().success());
    }
    place.write("mirror/index.tab", index);
    place.path("mirror")
}

/// A place whose Node.js comes from a mirror of its own.
fn place_with_mirror(stalls: bool) -> (Playground, Mirror) {
    let mut place = Playground::new();
    let mirror = Mirror::start(make_releases(&place), stalls);
    // With a slash at the end, as people write it.
    place.set("NODEJS_ORG_MIRROR", format!("http://{}/", mirror.address));
    (place, mirror)
}

fn install<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["install", name, "--binproviders", "node", "--force"], more].concat()
}

#[test]
fn node_is_the_newest_lts_of_age_and_npm_shares_its_folder() {
    let (place, mut mirror) = place_with_mirror(false);
    let node = place.run(&install("node", &[])).ok().record();
    assert_eq!((&node["version"], &node["binprovider"]), (&json!("22.11.0"), &json!("node")));
    assert_eq!(node["abspath"], lib(&place, "node/v22.11.0/bin/node").to_str().unwrap());
    for name in ["npm", "npx"] {
        let record = place.run(&install(name, &[])).ok().record();
        assert_eq!(record["version"], "10.9.0", "{record}");
    }
    let archives = mirror.stop().into_iter().filter(|it| it.contains(".tar."));
    assert_eq!(archives.count(), 1, "one archive has all of them");
    assert_eq!(names_in(&lib(&place, "node")), ["v22.11.0"]);
    // No other node is on PATH, or only an older one.
    let npm = Command::new(place.bin("npm")).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&npm.stdout), "10.9.0 on v22.11.0\n");
}

#[test]
fn node_keeps_the_age_and_the_lowest_version_that_were_asked_for() {
    let (place, _mirror) = place_with_mirror(false);
    let version = |name: &str, more: &[&str]| {
        place.run(&install(name, more)).ok().record()["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(version("node", &["--min-release-age", "0"]), "22.12.0");
    assert_eq!(version("node", &["--min-version", "22.11.1"]), "25.2.0", "no LTS is that new and that old");
    assert_eq!(version("npm", &["--min-version", "11"]), "11.6.0", "the lowest version is one of npm");
    assert_eq!(version("npm", &["--min-version", "10.8.2"]), "10.9.0");
    place
        .run(&install("node", &["--min-version", "26", "--min-release-age", "3"]))
        .exits(1)
        .says("has no node 26 or later released before 2");
    let line = |package: &str| {
        let overrides = json!({"node": [package]});
        let line = json!({"type": "Binary", "name": "node", "binproviders": "node", "overrides": overrides});
        place.plugin("p", &[line]);
        place.run(&["install", "--force"]).ok().record()["version"].clone()
    };
    assert_eq!([line("node@20"), line("22.11")], [json!("20.18.0"), json!("22.11.0")]);
}

#[test]
fn node_is_the_release_that_is_locked_though_there_is_a_newer_one() {
    let (place, _mirror) = place_with_mirror(false);
    let lock = |name: &str, more: &[&str]| {
        let data_dir = place.path(&format!("before-{name}"));
        let args = ["lock", name, "--binproviders", "node", "--data-dir", data_dir.to_str().unwrap()];
        place.run(&[&args, more].concat()).ok();
    };
    let overrides = json!({"node": ["node@20"]});
    let line = json!({"type": "Binary", "name": "node", "binproviders": "node", "overrides": overrides});
    place.plugin("p", &[line]);
    lock("node", &[]);
    lock("npm", &["--min-version", "11"]);
    place.plugin("p", &[]);
    for (name, version) in [("node", "20.18.0"), ("npm", "11.6.0")] {
        let record = place.run(&install(name, &["--locked"])).ok().record();
        assert_eq!(record["version"], version, "{record}");
    }
}

#[test]
fn node_answers_only_for_what_comes_with_it() {
    let place = Playground::new();
    let said = answer(&place, "node", &json!({}));
    assert_eq!(said, "declined only node, npm, npx and corepack come with Node.js");
}

#[test]
fn what_an_archive_lacks_or_does_not_run_here_is_not_claimed() {
    let (place, _mirror) = place_with_mirror(false);
    place.run(&install("corepack", &[])).exits(1).says("has no corepack that runs here");
    assert!(!place.bin("corepack").exists());
}

#[test]
fn an_archive_that_is_not_what_the_mirror_says_is_refused() {
    let (place, _mirror) = place_with_mirror(false);
    let sums = place.path("mirror/v22.11.0/SHASUMS256.txt");
    let wrong = fs::read_to_string(&sums).unwrap().replace(['0', '1', '2'], "f");
    fs::write(&sums, wrong).unwrap();
    place.run(&install("node", &[])).exits(1).says("does not match SHASUMS256.txt: its digest is");
    assert!(names_in(&lib(&place, "node")).is_empty(), "nothing of it is kept");
    fs::write(&sums, "").unwrap();
    place.run(&install("node", &[])).exits(1).says("not listed");
    fs::remove_file(&sums).unwrap();
    place.run(&install("node", &[])).exits(1).says("cannot download");
}

#[test]
fn node_comes_by_wget_and_without_xz_as_well_and_is_repaired() {
    let (mut place, _mirror) = place_with_mirror(false);
    let tools =
        ["sh", "env", "uname", "awk", "sed", "tar", "gzip", "sha256sum", "cut", "mkdir", "mv", "rm", "chmod"];
    only_tools(&mut place, &[&tools[..], &["wget", "cat"]].concat());
    place.run(&install("node", &[])).ok();
    let node = lib(&place, "node/v22.11.0/bin/node");
    fs::write(&node, "#!/bin/sh\nexit 1\n").unwrap();
    assert_eq!(place.run(&install("node", &[])).ok().record()["version"], "22.11.0");
    assert!(fs::read_to_string(&node).unwrap().contains("--version"), "what does not run is made anew");
}

#[test]
fn npm_gets_node_and_npm_from_nodejs_where_nobody_else_has_them() {
    let (mut place, _mirror) = place_with_mirror(false);
    let tools = ["sh", "env", "uname", "awk", "sed", "tar", "gzip", "sha256sum", "cut", "mkdir", "mv", "rm"];
    only_tools(&mut place, &[&tools[..], &["wget", "cat", "chmod", "grep", "head", "find", "cp"]].concat());
    let record = place.run(&["install", "x", "--binproviders", "npm"]).exits(1).record();
    let attempts = record["attempts"].as_array().unwrap();
    assert!(attempts[0]["reason"].as_str().unwrap().starts_with("node is not on PATH"), "{record}");
    // Only a real npm would get further.
    assert_eq!(attempts[1]["outcome"], "failed", "{record}");
    assert!(["node", "npm"].iter().all(|it| place.bin(it).exists()));
}

#[test]
fn node_that_was_killed_halfway_is_made_whole_by_the_next_run() {
    let (place, _mirror) = place_with_mirror(true);
    let rigup = place.start(&install("node", &[]));
    let begun = || names_in(&lib(&place, "node/new.part")).iter().any(|it| it.contains(".tar."));
    wait_until("the archive is halfway", begun);
    place.kill_all(rigup);
    place.run(&install("node", &[])).ok();
    assert_eq!(names_in(&lib(&place, "node")), ["v22.11.0"]);
}
