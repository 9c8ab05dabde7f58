//! `rigup hook asset` and `rigup hook repository`: the choice of a release asset, and where it is.

use std::fs::File;

use crate::test_context::{CommandOutput, TestContext};

/// Runs `rigup hook asset` with names on stdin.
fn choose(names: &[u8], args: &[&str]) -> CommandOutput {
    let context = TestContext::new();
    let args = [&["hook", "asset", "--name", "x"], args].concat();
    let names = File::open(context.write("names", names)).unwrap();
    CommandOutput::new(&args, &context.command(&args).stdin(names).output().unwrap())
}

const NAMES: &[u8] =
    b"x-linux-arm64.gz\nx-macos-x64.zip\nx-linux-x64.gz\nx-linux-x64-musl.gz\nx-macos-arm64.zip\n";

#[test]
fn prints_the_asset_for_a_platform() {
    for (platform, asset) in [
        ("linux-x86_64-gnu", "x-linux-x64.gz\n"),
        ("linux-x86_64-musl", "x-linux-x64-musl.gz\n"),
        ("linux-aarch64-musl", "x-linux-arm64.gz\n"),
        ("darwin-arm64", "x-macos-arm64.zip\n"),
    ] {
        let output = choose(NAMES, &["--platform", platform]).succeeds();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (asset, ""), "{platform}");
    }
}

#[test]
fn prints_every_asset_that_fits_the_best_one_first() {
    let output = choose(NAMES, &["--platform", "linux-x86_64-gnu", "--all"]).succeeds();
    assert_eq!(output.stdout, "x-linux-x64.gz\nx-linux-x64-musl.gz\n");
    let output = choose(NAMES, &["--platform", "darwin-arm64", "--all"]).succeeds();
    assert_eq!(output.stdout, "x-macos-arm64.zip\nx-macos-x64.zip\n");
}

#[test]
fn chooses_for_this_host_by_default() {
    let output = choose(NAMES, &["--all"]).succeeds();
    let system = if cfg!(target_os = "macos") { "macos" } else { "linux" };
    assert!(output.stdout.lines().all(|asset| asset.contains(system)), "{}", output.stdout);
}

#[test]
fn exits_with_10_if_no_asset_fits() {
    let output = choose(b"x-windows-x64.zip\nx.deb\n", &["--platform", "linux-x86_64-gnu"]).exits_with(10);
    assert_eq!(output.stderr, "no asset of x fits linux-x86_64-gnu\n");
    assert_eq!(output.stdout, "");
    choose(b"", &["--platform", "darwin-arm64"]).exits_with(10);
}

#[test]
fn rejects_what_is_not_a_platform() {
    let output = choose(NAMES, &["--platform", "windows-x86_64"]).exits_with(2);
    output.stderr_contains("write it like linux-x86_64-gnu, linux-aarch64-musl or darwin-arm64");
}

#[test]
fn prints_a_name_as_it_was_read() {
    let output = choose(b"\r\n\r\nx\xff y-linux-x64.gz\r\n", &["--platform", "linux-x86_64-gnu"]).succeeds();
    assert_eq!(output.stdout, "x\u{fffd} y-linux-x64.gz\n", "the invalid byte is replaced only by the test");
}

#[test]
fn prints_the_repositories_of_a_program() {
    let context = TestContext::new();
    let repositories = |name| context.run(&["hook", "repository", "--name", name]);
    assert_eq!(repositories("rg").succeeds().stdout, "BurntSushi/ripgrep\n");
    assert_eq!(repositories("kubecolor").succeeds().stdout, "hidetatz/kubecolor\nkubecolor/kubecolor\n");
    let output = repositories("ripgrep").exits_with(10);
    assert_eq!(output.stdout, "");
    output.stderr_contains(
        "no repository of a program called ripgrep is known; the project of this name releases rg",
    );
    let output = repositories("no such").exits_with(10);
    assert_eq!(output.stderr, "no repository of a program called no such is known\n");
}
