//! A program is the recorded one only if its package has the recorded version: the launchers of several versions can be
//! the same file.

use std::fs;

use serde_json::json;

use crate::test_context::{TestContext, wait_until};

/// A provider that installs the release in `$HOME/release`, or the requested one. Its launcher prints no version without arguments for it. While
/// `$HOME/stays` exists, the hook keeps running after its prefix is in place.
const SHOP: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider shop -- "$@")"
make_part
read -r release <"$HOME/release"
mkdir -p "$part/node_modules/.bin" "$part/node_modules/x"
echo "{\"name\":\"x\",\"version\":\"${exact_version:-$release}\"}" >"$part/node_modules/x/package.json"
printf '#!/bin/sh\n[ "$1" != print ] || echo "$2"\n' >"$part/node_modules/x/cli.js"
chmod +x "$part/node_modules/x/cli.js"
ln -s ../x/cli.js "$part/node_modules/.bin/x"
"$RIGUP" hook binary --provider shop --built "$part" --abspath "$prefix/node_modules/.bin/x" -- "$@"
[ ! -e "$HOME/stays" ] || { : >"$HOME/swapped" && sleep 600; }
"#;

/// Creates a context in which release 0.0.0.1 of x is installed and pinned.
fn context() -> TestContext {
    let mut context = TestContext::new();
    context.set("LIB_DIR", context.path("lib"));
    context.provider("shop", SHOP);
    context.write(
        "here/providers/shop/config.json",
        r#"{"type": "object", "properties": {}, "version_format": "@{}", "metadata": "package.json"}"#,
    );
    context.plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "shop"})]);
    context.write("home/release", "0.0.0.1\n");
    assert_eq!(install(&context), "0.0.0.1");
    context.run(&["lock"]).succeeds();
    context.write("home/release", "0.0.0.2\n");
    context
}

fn install(context: &TestContext) -> String {
    let record = context.run(&["install"]).succeeds().record();
    record["version"].as_str().unwrap().to_owned()
}

/// Asserts that rigup does not take the release in the prefix, 0.0.0.2, for the recorded one.
#[track_caller]
fn assert_is_recognized(context: &TestContext) {
    let planned = context.run(&["install", "--dry-run"]).succeeds().record();
    assert_ne!(planned["status"], "installed", "{planned}");
    let locked = context.run(&["install", "--locked"]).succeeds();
    assert_eq!(locked.record()["version"], "0.0.0.1");
    assert!(!locked.stderr.contains("already installed"), "{}", locked.stderr);
    let package = fs::read_to_string(context.path("lib/shop/x/node_modules/x/package.json")).unwrap();
    assert!(package.contains("0.0.0.1"), "{package}");
}

#[test]
fn a_prefix_that_another_data_dir_replaced_is_installed_again() {
    let mut context = context();
    for is_locked in [true, false] {
        context.set("RIGUP_DATA_DIR", context.path("other"));
        context.run(&["install", "--force"]).succeeds();
        context.set("RIGUP_DATA_DIR", context.path("data"));
        if is_locked {
            assert_is_recognized(&context);
        } else {
            assert_eq!(install(&context), "0.0.0.2");
            let runs = context.hook_processes().len();
            assert_eq!(install(&context), "0.0.0.2");
            assert_eq!(context.hook_processes().len(), runs, "the new record is up to date");
        }
    }
    context.run(&["lock"]).succeeds().stderr_contains("0.0.0.2");
}

#[test]
fn a_prefix_replaced_before_rigup_was_killed_is_installed_again() {
    let context = context();
    context.write("home/stays", "");
    let killed = context.start(&["install", "--force"]);
    wait_until("the prefix is replaced", || context.path("home/swapped").exists());
    context.kill_all(killed);
    fs::remove_file(context.path("home/stays")).unwrap();
    assert_is_recognized(&context);
}

#[test]
fn a_copied_program_with_the_same_package_stays_installed() {
    let context = context();
    let cli = context.path("lib/shop/x/node_modules/x/cli.js");
    fs::rename(&cli, context.path("old")).unwrap();
    fs::copy(context.path("old"), &cli).unwrap();
    assert_eq!(install(&context), "0.0.0.1");
    assert_eq!(context.hook_processes().len(), 1);
}

#[test]
fn a_hook_can_state_the_version_of_a_package_and_of_a_module() {
    for (file, mode) in [("program", 0o755), ("module.json", 0o644)] {
        let context = TestContext::new();
        let hook = format!(
            "#!/bin/sh\nmkdir -p \"$LIB_DIR/shop\" && file=$LIB_DIR/shop/{file}\necho '#!/bin/sh' >\"$file\"\n\
            [ {file} = program ] || echo '{{}}' >\"$file\"\nchmod {mode:o} \"$file\"\n\
            \"$RIGUP\" hook binary --provider shop --package-version 1.2.0 --abspath \"$file\" -- \"$@\"\n"
        );
        context.provider("shop", &hook);
        let record = context.run(&["install", "x", "--binproviders", "shop"]).succeeds().record();
        assert_eq!([&record["version"], &record["package_version"]], ["1.2.0", "1.2.0"]);
        assert_eq!(context.bin("x").exists(), mode == 0o755, "a module is not linked");
        let newer = ["install", "x", "--binproviders", "shop", "--min-version", "2.0"];
        context.run(&newer).exits_with(1).stderr_contains("1.2.0 is older than 2.0");
    }
}

#[test]
fn arguments_for_the_version_find_that_of_the_program() {
    let context = context();
    let overrides = json!({"shop": {"version_args": ["print", "7.5.0"]}});
    let line = json!({"type": "Binary", "name": "x", "binproviders": "shop", "min_version": "7", "overrides": overrides});
    context.plugin("p", &[line]);
    let record = context.run(&["install"]).succeeds().record();
    assert_eq!((&record["version"], &record["package_version"]), (&json!("7.5.0"), &json!("0.0.0.2")));
}

#[test]
fn a_lock_file_pins_the_version_of_the_package_and_of_the_program() {
    for overrides in [json!({"version_args": ["print", "7.5.0"]}), json!({"version": "7.5.0"})] {
        let context = context();
        let overrides = json!({"shop": overrides});
        let line = json!({"type": "Binary", "name": "x", "binproviders": "shop", "min_version": "7", "overrides": overrides});
        context.plugin("p", &[line]);
        context.run(&["install"]).succeeds();
        let pin = context.run(&["lock"]).succeeds().record();
        assert_eq!([&pin["version"], &pin["package_version"]], ["7.5.0", "0.0.0.2"]);
        context.run(&["lock"]).succeeds().stderr_contains("rigup.lock is up to date");

        context.write("home/release", "0.0.0.3\n");
        let [data_dir, lib_dir] = ["other", "other-lib"].map(|folder| context.path(folder));
        let options = ["--data-dir", data_dir.to_str().unwrap(), "--lib-dir", lib_dir.to_str().unwrap()];
        let elsewhere = |args: &[&str]| context.run(&[args, &options].concat());
        elsewhere(&["lock", "--check"]).succeeds();
        let record = elsewhere(&["install", "--locked"]).succeeds().record();
        assert_eq!([&record["version"], &record["package_version"]], ["7.5.0", "0.0.0.2"]);
        elsewhere(&["install", "--locked"]).succeeds().stderr_contains("x is already installed");
        elsewhere(&["lock", "--check"]).succeeds();
        context.run(&["upgrade"]).succeeds().stderr_contains("to update it, run `rigup upgrade --lock x`");
        let upgraded = context.run(&["upgrade", "--lock"]).succeeds();
        upgraded.stderr_contains("rigup.lock: x: package_version 0.0.0.2 -> 0.0.0.3");
        let locked = elsewhere(&["install", "--locked"]).succeeds().record();
        assert_eq!(
            locked["package_version"], "0.0.0.3",
            "the same program of another package is not the pinned one"
        );
    }
}
