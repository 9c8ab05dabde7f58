//! No text of a requirement is run by a shell or becomes an option of a package manager. Each built-in provider runs
//! with fake package managers that record their arguments.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::builtin_providers;
use crate::test_context::TestContext;

/// A shell command that appends the name of the program and each of its arguments to a file.
const RECORD: &str = "for arg; do printf '%s|%s\\n' \"${0##*/}\" \"$arg\" >>\"$ARGV\"; done\n";

/// The fake package managers: each name, and a shell command that gives the provider's hook the output it needs to get
/// as far as the installation.
const FAKE_PACKAGE_MANAGERS: [(&str, &str); 24] = [
    ("apt-config", "echo \"state='$HOME/' lists='$HOME/'\""),
    ("apt-get", "[ \"$1\" = update ]"),
    ("dpkg", "true"),
    ("dnf", "false"),
    ("zypper", "false"),
    ("pacman", "false"),
    ("nix", "false"),
    ("docker", "false"),
    ("podman", "false"),
    ("pacman-conf", "echo x"),
    ("brew", "[ \"$1\" = --prefix ] && echo /nowhere"),
    ("cargo", "false"),
    ("go", "[ \"$1\" = env ]"),
    ("gem", "false"),
    ("node", "echo v22.0.0"),
    ("npm", "case $1 in view) echo '{}' ;; --version) echo 11.0.0 ;; pkg) ;; *) false ;; esac"),
    ("pnpm", "[ \"$1\" = --version ] && echo 10.20.0"),
    ("bun", "case $1 in --version) echo 1.3.9 ;; info) echo '{}' ;; *) false ;; esac"),
    ("deno", "[ \"$1\" = --version ] && echo 'deno 2.9.0 (stable)'"),
    ("yarn", "case $1 in --version) echo 4.20.0 ;; npm) echo '{}' ;; config) ;; *) false ;; esac"),
    ("uv", "[ \"$1\" = venv ] && for last; do :; done && mkdir -p \"$last/bin\" && : >\"$last/bin/python\""),
    (
        "python3",
        "case $1$2$3 in -c*) echo 26 ;; -mpipconfig) ;; -mvenv*) for last; do :; done; mkdir -p \"$last/bin\" && : >\"$last/bin/python\" ;; *) false ;; esac",
    ),
    ("curl", "false"),
    ("bash", "false"),
];

/// The providers that pass no package to a package manager: they download files, or run what a requirement states.
const NOT_FOR_PACKAGES: [&str; 8] =
    ["env", "node", "bash", "github", "url", "playwright", "puppeteer", "chromewebstore"];

/// Whether a provider of an open registry enforces the release age.
fn enforces_release_age(provider: &str) -> bool {
    let config = builtin_providers::config(provider);
    config["enforces"]["min_release_age"] == true && config["curated"] == false
}

fn context() -> TestContext {
    let mut context = TestContext::new();
    for (name, output) in FAKE_PACKAGE_MANAGERS {
        context.script(&format!("tools/{name}"), &format!("#!/bin/sh\n{RECORD}{output}\n"));
    }
    // Homebrew refuses to run as root, and apt-get needs root.
    context.script("tools/id", "#!/bin/sh\necho 1000\n");
    context.script("tools/sudo", "#!/bin/sh\nshift\nexec \"$@\"\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
    context.set("ARGV", context.path("argv"));
    context
}

/// Returns the recorded arguments, each with its program, and removes the recording.
fn take_arguments(context: &TestContext) -> Vec<(String, String)> {
    let text = fs::read_to_string(context.path("argv")).unwrap_or_default();
    let _ = fs::remove_file(context.path("argv"));
    let lines = text.lines().filter_map(|line| line.split_once('|'));
    lines.map(|(program, argument)| (program.to_owned(), argument.to_owned())).collect()
}

/// Returns texts that an injection would turn into the option `evil`, or into a command that creates the canary file.
fn hostile_texts(canary: &Path) -> Vec<String> {
    let canary = canary.display();
    let mut all: Vec<String> = [
        "-evil",
        "--evil=1",
        " --evil",
        "\u{2028}--evil",
        "x\n--evil",
        "x\r--evil",
        "x\t--evil",
        "x\0--evil",
        "x --evil",
        "x\\n--evil",
        "x\\012--evil",
        "x\\0012--evil",
        "x\\c\\n--evil",
        "x'--evil",
        "x\"--evil",
        "x%s--evil",
    ]
    .map(str::to_owned)
    .into();
    all.extend(
        ["$(touch @)", "`touch @`", ";touch @;", "'; touch @; '", "|touch @", "\\$(touch @)", "\n touch @\n"]
            .map(|text| format!("x{}", text.replace('@', &canary.to_string()))),
    );
    all
}

/// Requires a binary with each set of keys from a provider, and asserts that no text becomes an option or a command.
fn assert_no_injection(context: &TestContext, provider: &str, lines: &[Value]) {
    let lines: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(at, keys)| {
            let mut line = json!({"type": "Binary", "name": format!("x{at}"), "binproviders": provider});
            line.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            line
        })
        .collect();
    context.plugin("p", &lines);
    // With a release age, these providers run more of their code.
    let options = if enforces_release_age(provider) { &["--min-release-age", "3"][..] } else { &[] };
    let install = ["install", "--plugins", "p", "--force", "--postinstall-scripts"];
    context.run(&[&install[..], options].concat()).exits_with(1);
    for (program, argument) in take_arguments(context) {
        // The value of a hook's own option may be a path that contains the name of the binary.
        let option = argument.split('=').next().unwrap_or_default();
        let is_option = option.trim_start().starts_with('-') && option.contains("evil");
        assert!(!is_option, "{provider} passes {argument:?} to {program}");
    }
    assert!(!context.path("canary").exists(), "{provider} ran text in a shell");
}

#[test]
fn the_fake_package_managers_receive_the_packages_of_a_requirement() {
    let context = context();
    for provider in builtin_providers::providers() {
        let provider = provider.as_str();
        if NOT_FOR_PACKAGES.contains(&provider) {
            continue;
        }
        let package = if provider == "go" { "example.com/x/good" } else { "a-good-package" };
        let overrides = json!({provider: [package]});
        let line =
            json!({"type": "Binary", "name": "good", "binproviders": provider, "overrides": overrides});
        context.plugin("p", &[line]);
        context.run(&["install", "--plugins", "p", "--postinstall-scripts"]).exits_with(1);
        let arguments = take_arguments(&context);
        assert!(
            arguments.iter().any(|(_, argument)| argument.contains(package)),
            "{provider}: {arguments:?}"
        );
    }
}

#[test]
fn no_package_of_a_requirement_becomes_an_option_or_a_command() {
    let context = context();
    for provider in builtin_providers::providers() {
        let provider = provider.as_str();
        let texts = hostile_texts(&context.path("canary"));
        // Go's hook declines what has no domain.
        let prefix = if provider == "go" { "example.com/" } else { "" };
        let packages = texts.iter().map(|text| format!("{prefix}{text}"));
        let package_overrides = packages.map(|package| json!({"overrides": {provider: [package]}}));
        let argument_overrides = texts
            .iter()
            .filter(|text| text.starts_with('-'))
            .map(|text| json!({"overrides": {provider: {"install_args": [text]}}}));
        assert_no_injection(
            &context,
            provider,
            &package_overrides.chain(argument_overrides).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn no_other_text_of_a_requirement_becomes_an_option_or_a_command() {
    let context = context();
    for provider in builtin_providers::providers() {
        let provider = provider.as_str();
        let texts = hostile_texts(&context.path("canary"));
        // Names are rejected before any provider gets them.
        let names = texts.iter().filter(|_| provider == "npm").map(|text| json!({"name": text}));
        // One text of each kind is enough: the same functions read all of these keys.
        let selected =
            ["x --evil", "x\\n--evil", "$(touch"].map(|kind| texts.iter().find(|text| text.contains(kind)));
        let others = selected.into_iter().flatten().flat_map(|text| {
            let keys = [json!({"min_version": text}), json!({"binproviders": format!("{provider},{text}")})];
            let overrides = ["install_root", "abspath", "version", "overrides"]
                .map(|key| json!({"overrides": {provider: {key: text}}}));
            keys.into_iter().chain(overrides)
        });
        assert_no_injection(&context, provider, &names.chain(others).collect::<Vec<_>>());
    }
}

#[test]
fn the_words_of_a_command_in_a_hint_are_quoted_for_the_shell() {
    let context = TestContext::new();
    let name = "b;id";
    context.run(&["exec", "--", name]).exits_with(127).stderr_contains("; run `rigup install 'b;id'`\n");
    context.run(&["exec", "--", "-x"]).exits_with(127).stderr_contains("it is not on PATH; install it\n");
    context.run(&["load", name]).exits_with(1).stderr_contains("; run `rigup install 'b;id'`\n");
    context.write("here/rigup.lock", "{\"type\":\"Lockfile\",\"version\":1}\n");
    context.run(&["install", "--locked", name]).exits_with(1).stderr_contains("; run `rigup lock 'b;id'`\n");
    context.write("here/rigup.toml", "[daemons.'c;id']\ncommand = 'sleep 600'\n");
    context.run(&["logs", "c;id"]).exits_with(1).stderr_contains("; start it with `rigup up 'c;id'`\n");
    context
        .run(&["init", "plugin", "p", "--dir", "a b"])
        .succeeds()
        .stderr_contains("next: rigup hook test 'a b/p/");
}

#[test]
fn a_program_without_an_exec_bit_leads_to_one_next_step() {
    let mut context = TestContext::new();
    let file = context.script("tools/it", "#!/bin/sh\necho 1.2.3\n");
    let path = format!("{}:/usr/bin:/bin", context.path("tools").display());
    context.set("PATH", path);
    context.run(&["install", "it"]).succeeds();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let next = format!("has no exec bit; run `chmod +x {}`\n", file.display());
    context.run(&["load", "it"]).exits_with(1).stderr_contains(&next);
    context.run(&["exec", "--", "it"]).exits_with(127).stderr_contains(&next);
}
