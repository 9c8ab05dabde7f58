//! Lock files without requirements, and requirements that no longer accept their lines.

use std::fs;

use serde_json::{Value, json};

use crate::lock_file::{context_with_shelf, require, run_elsewhere};
use crate::test_context::TestContext;

#[test]
fn nothing_to_lock_without_a_lock_file_is_not_up_to_date() {
    let context = TestContext::new();
    let expected = "no enabled plugin requires a binary; `rigup plugin list` shows the plugins that are found; rigup.lock does not exist";
    let output =
        context.run(&["lock", "--check"]).exits_with(1).stderr_contains(&format!("error: {expected}"));
    assert!(!output.stderr.contains("up to date"), "{}", output.stderr);
    let output = context.run(&["lock"]).succeeds().stderr_contains(expected);
    assert!(!output.stderr.contains("up to date"), "{}", output.stderr);
    assert!(!context.path("here/rigup.lock").exists());
    let output = context.run(&["lock", "no-such-program"]).exits_with(1);
    output.stderr_contains("run `rigup install no-such-program --binproviders ");
}

#[test]
fn installs_pinned_names_that_no_plugin_requires_with_their_provider() {
    let mut context = context_with_shelf(&[]);
    context.write("here/providers/shelf/config.json", r#"{"type":"object","properties":{},"curated":false}"#);
    context.run(&["lock", "a", "--binproviders", "shelf"]).succeeds();
    context.write("home/newest", "2.0.0");
    let record = run_elsewhere(&context, &["install", "--locked", "a"]).succeeds().record();
    assert_eq!((&record["binprovider"], &record["version"]), (&json!("shelf"), &json!("1.0.0")));
    require(&context, &["b"], "shelf");
    context.run(&["lock"]).succeeds();
    let third = context.path("third");
    let install = ["install", "--locked", "--data-dir", third.to_str().unwrap()];
    let records = context.run(&install).succeeds().records();
    let names: Vec<&Value> = records.iter().map(|record| &record["name"]).collect();
    assert_eq!(names, ["b", "a"]);
    context.run(&install).succeeds().stderr_contains("2 binaries are already installed");

    // The pins of plugins that are left out are not for this command.
    context.set("MINE_ENABLED", "false");
    let fourth = context.path("fourth");
    let records = context.run(&["install", "--locked", "--data-dir", fourth.to_str().unwrap()]).succeeds();
    assert!(records.records().is_empty());
}

#[test]
fn lock_check_says_that_the_line_of_an_installed_binary_is_outdated() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    for requirement in [
        json!({"type": "Binary", "name": "a", "binproviders": "shelf", "overrides": {"shelf": ["other"]}}),
        json!({"type": "Binary", "name": "a", "binproviders": "shelf", "min_version": "2"}),
    ] {
        context.plugin("mine", &[requirement]);
        let check = context.run(&["lock", "--check"]).exits_with(1);
        assert_eq!(check.record()["status"], "changed");
        check.stderr_contains("error: a: ").stderr_contains("run `rigup lock`");
    }
}

/// Adds a provider whose hook states the file that it installs from, with the digest in `home/digest`. `report` is the end of the
/// hook, which reports what it has built.
fn provider_of_downloads(context: &TestContext, report: &str) {
    let hook = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider web -- "$@")"
url=http://127.0.0.1:9/x.tar url_sha256=$(cat "$HOME/digest")
make_part
mkdir "$part/files"
printf '#!/bin/sh\necho x 1.0\n' >"$part/files/x"
chmod +x "$part/files/x"
"#;
    context.provider("web", &[hook, report, "\n"].concat());
}

#[test]
fn a_locked_install_rejects_another_download_with_the_same_program() {
    let [pinned, other] = ["a", "b"].map(|digit| digit.repeat(64));
    let print = r#"rm -rf "$prefix" && mv "$part/files" "$prefix"
        printf '{"type":"Binary","name":"x","abspath":"%s","url":"%s","url_sha256":"%s"}\n' "$prefix/x" "$url" "$url_sha256""#;
    for report in [
        r#""$RIGUP" hook binary --provider web --built "$part/files" --abspath "$prefix/x" --url "$url" \
            --url-sha256 "$url_sha256" -- "$@""#,
        print,
        &format!("case $url_sha256 in b*) url= ;; esac\n{print}"),
    ] {
        let context = context_with_shelf(&[]);
        provider_of_downloads(&context, report);
        require(&context, &["x"], "web");
        context.write("home/digest", &pinned);
        let line = context.run(&["lock"]).succeeds().record();
        assert_eq!(line["url_sha256"], *pinned);
        run_elsewhere(&context, &["install", "--locked"]).succeeds();

        context.write("home/digest", &other);
        let third = context.path("third");
        let locked = ["install", "--locked", "--data-dir", third.to_str().unwrap()];
        let output = context.run(&locked).exits_with(1);
        output
            .stderr_contains(" is not the pinned aaaa")
            .stderr_contains("rigup install --force x && rigup lock x");

        // Nor is what was installed from it the pinned binary.
        context.run(&["install", "--data-dir", third.to_str().unwrap()]).succeeds();
        context.run(&locked).exits_with(1).stderr_contains(" is not the pinned aaaa");
    }
}

#[test]
fn a_pin_is_one_of_the_versions_that_begin_with_a_partial_one() {
    let context = context_with_shelf(&[]);
    let require = |version: &str| {
        let line = json!({"type": "Binary", "name": "a", "binproviders": "shelf", "min_version": version,
            "max_version": version});
        context.plugin("mine", &[line]);
    };
    require("1.4");
    context.write("home/newest", "1.4.2");
    context.write("home/stubborn", "");
    context.run(&["lock"]).succeeds();
    context.write("home/newest", "2.0.0");
    fs::remove_file(context.path("home/stubborn")).unwrap();
    run_elsewhere(&context, &["lock", "--check"]).succeeds().stderr_contains("rigup.lock is up to date");
    let record = run_elsewhere(&context, &["install", "--locked"]).succeeds().record();
    assert_eq!(record["version"], "1.4.2");
    require("1.3");
    let expected = "rigup.lock pins version 1.4.2, which is newer than 1.3; run `rigup lock`";
    context.run(&["install", "--locked"]).exits_with(1).stderr_contains(expected);
}

#[test]
fn installs_pinned_names_with_overrides_that_a_provider_requires() {
    let context = context_with_shelf(&[]);
    let requirement =
        json!({"type": "Binary", "name": "tool", "binproviders": "shelf", "overrides": {"shelf": ["thing"]}});
    context.write("here/providers/shelf/binaries.jsonl", format!("{requirement}\n"));
    context.run(&["install", "tool"]).succeeds();
    context.run(&["lock", "tool"]).succeeds();
    assert_eq!(run_elsewhere(&context, &["install", "--locked"]).succeeds().record()["name"], "tool");
}

#[test]
fn a_locked_install_does_not_warn_of_a_download_without_a_checksum() {
    let context = context_with_shelf(&[]);
    context.script("home/x", "#!/bin/sh\necho x 1.0\n");
    let hook = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider web -- "$@")"
make_part
eval "$("$RIGUP" hook download --setting WEB "file://$HOME/x" "$part")"
chmod +x "$file"
"$RIGUP" hook binary --provider web --built "$part" --abspath "$prefix/x" --url "$url" --url-sha256 "$sha256" -- "$@"
"#;
    context.provider("web", hook);
    require(&context, &["x"], "web");
    let warning = "x has no checksum, so nothing verifies that it is unchanged";
    context.run(&["lock"]).succeeds().stderr_contains(warning);
    let locked = run_elsewhere(&context, &["install", "--locked"]).succeeds();
    assert!(!locked.stderr.contains(warning), "{}", locked.stderr);
    assert_eq!(locked.record()["version"], "1.0");
}
