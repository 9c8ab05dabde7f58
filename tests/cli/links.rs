//! The links in LIB_BIN_DIR.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

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
    context.run(&["install"]).succeeds();
    assert!(context.bin("one").exists());
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
    fs::create_dir_all(context.bin("one").parent().unwrap()).unwrap();
    symlink("/bin/ls", context.bin("one")).unwrap();
    let record = context.run(&["install", "one", "--binproviders", "mac"]).succeeds().record();
    assert_eq!(record["status"], "installed");
    assert!(!context.bin("one").is_symlink(), "the earlier link is removed");
}

#[test]
fn warns_about_a_lib_bin_dir_that_is_not_writable() {
    let mut context = context_with_one();
    let file = context.write("in-the-way", "");
    context.set("LIB_BIN_DIR", file.join("bin"));
    let output = context.run(&["install"]).succeeds().stderr_contains("warning: one: cannot link ");
    assert_eq!(output.record()["status"], "installed");
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
    let (old, new) = (context.script("old", "#!/bin/sh\n"), context.script("new", "#!/bin/sh\n"));
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
