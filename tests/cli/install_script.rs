//! packaging/install.sh, with releases on a server of the test.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::bash_and_node::{Mirror, put_only_on_path};
use crate::test_context::{CommandOutput, TestContext};

const SCRIPT: &str = include_str!("../../packaging/install.sh");

/// The programs that the script needs besides one that downloads.
const TOOLS: [&str; 12] =
    ["sh", "uname", "mktemp", "rm", "sha256sum", "sed", "cat", "gzip", "tar", "mkdir", "cp", "chmod"];

/// The releases of a mirror, and what installs them.
struct Releases {
    context: TestContext,
    mirror: Mirror,
    script: String,
}

impl Releases {
    /// Starts a mirror with two releases. The script is that of 1.0.0.
    fn new() -> Self {
        let mut context = TestContext::new();
        let digests = ["1.0.0", "2.0.0"].map(|version| release(&context, version));
        let mirror = Mirror::start(context.path("releases"), false);
        context.set("RIGUP_MIRROR", format!("http://{}/", mirror.address));
        let script = SCRIPT.replace("@VERSION@", "1.0.0").replace("@DIGESTS@", &digests[0]);
        Self { context, mirror, script }
    }

    /// Runs a script as `curl URL | sh` does.
    fn run(&self, script: &str) -> CommandOutput {
        let script = self.context.write("install.sh", script);
        let mut command = self.context.command_for(Path::new("/bin/sh"), &[]);
        let output = command.stdin(fs::File::open(script).unwrap()).output().unwrap();
        CommandOutput::new(&["install.sh"], &output)
    }

    /// Returns what the installed rigup prints, or `None` if there is none.
    fn installed(&self) -> Option<String> {
        let rigup = self.context.path("home/.local/bin/rigup");
        let output = Command::new("/bin/sh").arg(rigup).arg("--version").output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

/// Makes a release for any machine, and returns the digests of its files.
fn release(context: &TestContext, version: &str) -> String {
    let folder = format!("releases/v{version}");
    for target in ["x86_64", "aarch64"].map(|arch| format!("{arch}-unknown-linux-musl")) {
        context
            .script(&format!("{folder}/rigup-{target}/rigup"), &format!("#!/bin/sh\necho rigup {version}\n"));
        let pack = format!("tar -cf - rigup-{target} | gzip >rigup-{target}.tar.gz");
        let mut command = Command::new("sh");
        assert!(command.args(["-c", &pack]).current_dir(context.path(&folder)).status().unwrap().success());
    }
    let digests = "sha256sum *.tar.gz | tee SHA256SUMS";
    let output =
        Command::new("sh").args(["-c", digests]).current_dir(context.path(&folder)).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn installs_the_version_of_the_script_and_prints_the_lines_to_add() {
    let releases = Releases::new();
    let output = releases.run(&releases.script).succeeds();
    assert_eq!(releases.installed().as_deref(), Some("rigup 1.0.0\n"));
    let folder = releases.context.path("home/.local/bin");
    let folder = folder.display();
    assert_eq!(
        output.stdout,
        format!(
            "installed rigup 1.0.0: {folder}/rigup\n\
             to run it by its name, add this line to the profile of your shell:\n  export PATH=\"{folder}:$PATH\"\n\
             to also run what it installs by name, add this line:\n  eval \"$({folder}/rigup env)\"\n"
        )
    );
    let home: Vec<_> = fs::read_dir(releases.context.path("home")).unwrap().collect();
    assert_eq!(home.len(), 1, "it edits no file in the home folder");
}

#[test]
fn installs_into_a_folder_on_path_with_curl_or_wget_alone() {
    for download in ["curl", "wget"] {
        let mut releases = Releases::new();
        put_only_on_path(&mut releases.context, &[&TOOLS[..], &["mv", download]].concat());
        let folder = releases.context.path("tools").display().to_string();
        releases.context.set("RIGUP_INSTALL_DIR", &folder);
        let output = releases.run(&releases.script).succeeds();
        assert_eq!(
            output.stdout,
            format!(
                "installed rigup 1.0.0: {folder}/rigup\n\
                 to also run what it installs by name, add this line:\n  eval \"$(rigup env)\"\n"
            )
        );
    }
}

#[test]
fn the_lines_to_add_work_with_a_folder_that_has_to_be_quoted() {
    let mut releases = Releases::new();
    let folder = releases.context.path("it's a `\"folder\"` of $HOME \\ *!");
    releases.context.set("RIGUP_INSTALL_DIR", &folder);
    let output = releases.run(&releases.script).succeeds();
    let lines: Vec<&str> = output.stdout.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let [export, eval] = lines[..] else { panic!("{}", output.stdout) };
    for shell in ["sh", "bash", "zsh"].into_iter().filter(|shell| which::which(shell).is_ok()) {
        // The installed rigup prints `rigup 1.0.0` for any command.
        let function = "rigup() { echo \"evaluated $*\"; }";
        let script = format!("{function}\n{eval}\nunset -f rigup\n{export}\nrigup --version");
        let output = Command::new(shell).args(["-c", &script]).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(stdout, "evaluated 1.0.0\nrigup 1.0.0\n", "{shell}: {output:?}");
    }
}

#[test]
fn replaces_an_earlier_rigup_only_by_an_archive_with_the_digest() {
    let releases = Releases::new();
    releases.run(&releases.script).succeeds();
    for target in ["x86_64", "aarch64"].map(|arch| format!("rigup-{arch}-unknown-linux-musl.tar.gz")) {
        let archives = ["v2.0.0", "v1.0.0"]
            .map(|version| releases.context.path(&format!("releases/{version}/{target}")));
        fs::copy(&archives[0], &archives[1]).unwrap();
    }
    releases.run(&releases.script).exits_with(1).stderr_contains("; it is not installed");
    assert_eq!(releases.installed().as_deref(), Some("rigup 1.0.0\n"));
}

#[test]
fn names_what_keeps_it_from_checking_or_installing() {
    let mut releases = Releases::new();
    let folder = releases.context.path("home/.local/bin/rigup");
    fs::create_dir_all(&folder).unwrap();
    releases.run(&releases.script).exits_with(1).stderr_contains("rigup is a folder; move it away");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let tools: Vec<_> = TOOLS.into_iter().filter(|tool| *tool != "sha256sum").chain(["curl"]).collect();
    put_only_on_path(&mut releases.context, &tools);
    let output = releases.run(&releases.script).exits_with(1);
    output.stderr_contains("none of sha256sum, shasum and openssl is on PATH");
}

#[test]
fn checks_another_version_against_the_digests_of_its_release() {
    let mut releases = Releases::new();
    releases.context.set("RIGUP_VERSION", "v2.0.0");
    releases.run(&releases.script).succeeds();
    assert_eq!(releases.installed().as_deref(), Some("rigup 2.0.0\n"));
    releases.context.set("RIGUP_VERSION", "3.0.0");
    let url = format!("error: cannot download http://{}/v3.0.0/", releases.mirror.address);
    releases.run(&releases.script).exits_with(1).stderr_contains(&url);
    assert_eq!(releases.installed().as_deref(), Some("rigup 2.0.0\n"));
}

#[test]
fn a_digest_in_the_environment_is_the_only_one_that_counts() {
    let mut releases = Releases::new();
    releases.context.set("RIGUP_VERSION", "2.0.0");
    for digest in ["0".repeat(64), "0123".to_owned()] {
        releases.context.set("RIGUP_SHA256", digest);
        releases.run(&releases.script).exits_with(1).stderr_contains("it is not installed");
        assert_eq!(releases.installed(), None);
    }
    let sums = fs::read_to_string(releases.context.path("releases/v2.0.0/SHA256SUMS")).unwrap();
    let own = sums.lines().find(|line| line.contains(&format!("-{}-", std::env::consts::ARCH))).unwrap();
    releases.context.set("RIGUP_SHA256", &own[..64]);
    fs::remove_file(releases.context.path("releases/v2.0.0/SHA256SUMS")).unwrap();
    releases.run(&releases.script).succeeds();
    assert_eq!(releases.installed().as_deref(), Some("rigup 2.0.0\n"));
}

#[test]
fn a_script_that_is_cut_off_installs_nothing() {
    let releases = Releases::new();
    for length in [releases.script.len() / 2, releases.script.trim_end().len() - 1] {
        releases.run(&releases.script[..length]);
        assert_eq!(releases.installed(), None, "{length} bytes");
    }
}

#[test]
fn the_script_of_a_checkout_needs_a_version() {
    Releases::new().run(SCRIPT).exits_with(1).stderr_contains("is not from a release; set RIGUP_VERSION");
}
