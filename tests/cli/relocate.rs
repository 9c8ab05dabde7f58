//! `rigup hook relocate`: what a provider installed still works after its folder was moved.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use crate::test_context::TestContext;

#[test]
fn a_relocated_prefix_works_after_it_was_moved() {
    let context = TestContext::new();
    let name = format!("it's a \"long\" prefix {}", "x".repeat(120));
    let prefix = context.path(&name);
    let file = |path: &str, content: &str| context.script(&format!("{name}/{path}"), content);
    // A Python that prints the path of its script.
    file("lib/python3", "#!/bin/sh\necho python \"$(basename \"$1\")\" \"$2\"\n");
    fs::create_dir_all(prefix.join("bin")).unwrap();
    symlink(prefix.join("lib/python3"), prefix.join("bin/python3")).unwrap();
    let quoted = shlex::try_quote(prefix.to_str().unwrap()).unwrap();
    file("bin/plain", &format!("#!{}/bin/python3\n", prefix.display()));
    let by_pip = |path: &str| format!("#!/bin/sh\n'''exec' {path} \"$0\" \"$@\"\n' '''\n");
    file("bin/by-pip", &by_pip(&format!("\"{}/bin/python3\"", prefix.display())));
    file("bin/by-uv", &by_pip(&format!("{quoted}/bin/python3")));
    let text = format!("ELF{}", prefix.display());
    file("bin/binary", &text);
    let before = fs::metadata(prefix.join("bin/plain")).unwrap();
    let launchers = ["plain", "by-pip", "by-uv"];
    let contents = || launchers.map(|name| fs::read_to_string(prefix.join("bin").join(name)).unwrap());

    let relocate = ["hook", "relocate", prefix.to_str().unwrap()];
    assert_eq!(context.run(&relocate).succeeds().stderr, "");
    let once = contents();
    let after = fs::metadata(prefix.join("bin/plain")).unwrap();
    assert_eq!((after.mode(), after.mtime_nsec()), (before.mode(), before.mtime_nsec()));
    context.run(&relocate).succeeds();
    assert_eq!(contents(), once, "a second run changes nothing");
    assert_eq!(fs::read_to_string(prefix.join("bin/binary")).unwrap(), text);

    let moved = context.path("moved to");
    fs::rename(&prefix, &moved).unwrap();
    symlink(moved.join("bin/plain"), context.path("link")).unwrap();
    let programs = launchers.map(|name| moved.join("bin").join(name));
    for program in programs.iter().chain([&context.path("link")]) {
        let output = Command::new(program).arg("a b").output().unwrap();
        let expected = format!("python {} a b\n", program.file_name().unwrap().to_str().unwrap());
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
    }
}

#[test]
fn relocate_names_the_scripts_that_cannot_be_moved() {
    let context = TestContext::new();
    let prefix = context.path("prefix");
    let script = context.script("prefix/bin/x", &format!("#!/usr/bin/env node\n'{}'\n", prefix.display()));
    let output = context.run(&["hook", "relocate", prefix.to_str().unwrap()]).succeeds();
    output.stderr_contains(&format!("{} works only in this folder", script.display()));
    let no_prefix = context.path("none");
    context
        .run(&["hook", "relocate", no_prefix.to_str().unwrap()])
        .exits_with(3)
        .stderr_contains("cannot relocate");
}
