//! The links in LIB_BIN_DIR.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use crate::appearance::run_on_terminal;
use crate::test_context::TestContext;

/// Creates a context with a plugin that requires `one`.
fn context_with_one() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context
}

#[test]
fn restores_a_missing_link_without_a_provider() {
    let context = context_with_one();
    context.run(&["install"]).succeeds();
    fs::remove_file(context.bin("one")).unwrap();
    let listed = context.run(&["binary", "list"]).succeeds().record();
    assert_eq!(listed["link_error"], "it is not linked; run `rigup install one`");
    let table = context.run(&["binary", "list", "--format", "table"]).succeeds().stdout;
    assert!(table.contains("not linked"), "{table}");
    context.run(&["install"]).succeeds();
    assert!(context.bin("one").exists());
    assert_eq!(
        context.run(&["binary", "list", "--format=jsonl"]).succeeds().record()["link_error"],
        json!(null)
    );
    assert_eq!(context.hook_processes().len(), 1);
}

#[test]
fn installs_a_program_of_an_app_bundle_without_a_link() {
    let context = TestContext::new();
    context.script("X.app/Contents/MacOS/one", "#!/bin/sh\necho 1.0\n");
    context
        .provider("mac", "#!/bin/sh\n\"$RIGUP\" hook binary --provider mac --abspath \"$APP\" -- \"$@\"\n");
    let mut context = context;
    context.set("APP", context.path("X.app/Contents/MacOS/one"));
    let foreign = context.path("usr-local-bin");
    for folder in [context.bin(""), foreign.clone()] {
        fs::create_dir_all(&folder).unwrap();
        symlink("/bin/ls", folder.join("one")).unwrap();
    }
    let args = ["install", "one", "--binproviders", "mac"];
    let record = context.run(&args).succeeds().record();
    assert_eq!(record["status"], "installed");
    assert!(!context.bin("one").is_symlink(), "the earlier link is removed");
    context.set("LIB_BIN_DIR", foreign.clone());
    context.run(&[&args[..], &["--force"]].concat()).succeeds();
    assert!(foreign.join("one").is_symlink(), "a foreign link is kept");
}

#[test]
fn a_binary_that_cannot_be_linked_is_installed_and_reported() {
    let mut context = context_with_one();
    let file = context.write("in-the-way", "");
    context.set("LIB_BIN_DIR", file.join("bin"));
    let dangling = context.path("usr-local-bin");
    fs::create_dir(&dangling).unwrap();
    symlink("/nowhere/at/all", dangling.join("one")).unwrap();
    for (folder, cause) in [(file.join("bin"), "Not a directory"), (dangling.clone(), "did not create")] {
        context.set("LIB_BIN_DIR", folder);
        let next_step =
            if cause == "Not a directory" { "; choose another LIB_BIN_DIR" } else { "; --force replaces it" };
        for command in ["install", "load"] {
            let output = context.run(&[command]).exits_with(1).stderr_contains("cannot link ");
            let output = output.stderr_contains(next_step);
            let record = output.record();
            assert_eq!((&record["type"], &record["status"]), (&json!("Binary"), &json!("installed")));
            assert!(record["link_error"].as_str().unwrap().contains(cause), "{record}");
            let rigup = Path::new(env!("CARGO_BIN_EXE_rigup"));
            let table = run_on_terminal(&context, 80, rigup, &[command]);
            assert!(table.contains("not linked"), "{table}");
        }
        let create = ["binary", "create", "--name", "two", "--abspath", "/bin/sh", "--version", "1"];
        if cause == "Not a directory" {
            assert!(context.run(&create).exits_with(1).record()["link_error"].is_string());
        }
    }
    assert_eq!(context.hook_processes().len(), 1, "the provider is not asked again");
    assert_eq!(fs::read_link(dangling.join("one")).unwrap().to_str(), Some("/nowhere/at/all"));
    let record = context.run(&["install", "--force"]).succeeds().record();
    assert_eq!(record.get("link_error"), None);
}

#[test]
fn a_copied_or_moved_data_dir_stays_installed_without_a_hook() {
    let context = TestContext::new();
    context.provider(
        "p",
        "#!/bin/sh\nset -eu\nmkdir -p \"$LIB_DIR/p\"\nprintf '#!/bin/sh\\necho 1.0\\n' >\"$LIB_DIR/p/one\"\n\
        chmod +x \"$LIB_DIR/p/one\"\n\"$RIGUP\" hook binary --provider p --abspath \"$LIB_DIR/p/one\" -- \"$@\"\n",
    );
    context.plugin("q", &[json!({"type": "Binary", "name": "one", "binproviders": "p"})]);
    let run = context.run(&["start", "--slug", "r", "--", "echo", "hello"]).succeeds().record();
    let run_id = run["id"].as_str().unwrap();
    context.run(&["process", "wait", run_id]).succeeds();
    context.run(&["lock"]).succeeds();
    assert_eq!(context.hook_processes().len(), 1);
    let link = fs::read_link(context.bin("one")).unwrap();
    assert_eq!(link.to_str(), Some("../p/one"));
    let data = context.path("data");
    for (tool, args) in [("cp", "-a"), ("cp", "-r"), ("mv", "-f")] {
        let new = context.path(&format!("moved{args}"));
        let copied = std::process::Command::new(tool).arg(args).args([&data, &new]).status();
        assert!(copied.unwrap().success());
        let args = |command: &'static str| vec!["--data-dir", new.to_str().unwrap(), command];
        let bin = new.join(context.bin("one").strip_prefix(&data).unwrap());
        fs::rename(context.path("data"), context.path("away")).unwrap_or_default();
        for command in [&["lock", "--check"][..], &["install", "--locked"], &["load"], &["install"]] {
            let output = context.run(&[&args(command[0])[..], &command[1..]].concat()).succeeds();
            if command != ["lock", "--check"] {
                let record = output.record();
                assert!(record["abspath"].as_str().unwrap().starts_with(new.to_str().unwrap()), "{record}");
            }
        }
        assert!(std::process::Command::new(&bin).status().unwrap().success());
        let hooks = context.run(&[&args("process")[..], &["list"]].concat()).succeeds().records();
        let hooks = hooks.iter().filter(|process| process["process_type"] == "hook");
        assert_eq!(hooks.count(), 1, "no hook was started");
        let logs = context.run(&[&args("process")[..], &["logs", run_id]].concat()).succeeds();
        assert!(logs.stdout.contains("hello"), "{}", logs.stdout);
        fs::rename(context.path("away"), context.path("data")).unwrap_or_default();
    }
}

#[test]
fn replaces_the_link_of_another_name_only_with_force() {
    let context = context_with_one();
    context.run(&["install"]).succeeds();
    let ours = fs::read_link(context.bin("one")).unwrap();
    let other = context.script("opt/one", "#!/bin/sh\necho 7.0\n");
    let other = other.to_str().unwrap();
    context.run(&["install", other]).exits_with(1).stderr_contains("is the link of one; --force replaces it");
    assert_eq!(fs::read_link(context.bin("one")).unwrap(), ours);
    context.run(&["install"]).succeeds().stderr_contains("is already installed");
    context.run(&["install", other, "--force"]).succeeds();
    context.run(&["install", "one"]).exits_with(1).stderr_contains(&format!("is the link of {other}"));
}

#[test]
fn moves_a_link_whose_old_target_belongs_to_another_binary() {
    let context = TestContext::new();
    let (old, new) = (context.script("old", "#!/bin/sh\n"), context.script("new", "#!/bin/sh\n:\n"));
    context.provider(
        "p",
        "#!/bin/sh\nname=${1#--name=}\nprintf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"%s\",\
        \"version\":\"1\"}' \"$name\" \"$(cat \"$DATA_DIR/../file\")\"\n",
    );
    context.write("file", old.to_str().unwrap());
    context.run(&["install", "one", "other", "--binproviders", "p"]).succeeds();
    fs::remove_file(&old).unwrap();
    fs::rename(&new, &old).unwrap();
    context.run(&["install", "other", "--binproviders", "p"]).succeeds();
    let newer = context.script("newer", "#!/bin/sh\n");
    context.write("file", newer.to_str().unwrap());
    context.run(&["install", "one", "--binproviders", "p"]).succeeds();
    assert_eq!(fs::read_link(context.bin("one")).unwrap(), newer);
}

#[test]
fn two_data_dirs_over_one_lib_dir_share_its_links_and_locks() {
    let mut context = context_with_one();
    let lib = context.path("lib");
    context.set("LIB_DIR", lib.clone());
    context.script(
        "here/providers/locked/on_BinaryRequest__51_locked.sh",
        "#!/bin/sh\n\"$RIGUP\" hook lock x -- true\n",
    );
    let in_data_dir = |name: &str, args: &[&str]| {
        let data_dir = context.path(name);
        context.run(&[&["--data-dir", data_dir.to_str().unwrap()], args].concat()).succeeds()
    };
    for name in ["one", "two", "three"] {
        in_data_dir(name, &["install"]);
    }
    context.run(&["install", "x", "--binproviders", "locked"]).exits_with(1);
    let mode = |path: &str| lib.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode(".locks"), mode("bin"), mode(".links/bin/one")], [mode(""); 4]);
    assert_eq!(mode("") & 0o500, 0o500);
    assert_ne!(mode(""), 0o700, "the umask of the tests lets others read");
    fs::remove_dir_all(context.path("three")).unwrap();
    in_data_dir("one", &["binary", "delete", "one", "--yes"]);
    assert!(lib.join("bin/one").exists(), "the other data dir uses the link");
    in_data_dir("two", &["load"]);
    in_data_dir("two", &["binary", "delete", "one", "--yes"]);
    assert!(!lib.join("bin/one").is_symlink());
}
