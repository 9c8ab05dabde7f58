//! `rigup hook unpack`: what a hook downloads becomes a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::test_context::{TestContext, signal, wait_until};

/// Packs a folder with the system's tar.
fn pack(context: &TestContext, folder: &str, archive: &str) -> String {
    let path = context.path(archive).to_str().unwrap().to_owned();
    let packed = Command::new("tar")
        .args(["--create", "--auto-compress", "--file", &path, folder])
        .current_dir(context.path(""))
        .status();
    assert!(packed.unwrap().success());
    path
}

#[test]
fn a_packed_folder_is_the_same_after_it_is_unpacked() {
    let context = TestContext::new();
    context.script("tool-1.0/bin/tool", "#!/bin/sh\necho tool 1.0\n");
    context.write("tool-1.0/share/a text", "text");
    symlink("bin/tool", context.path("tool-1.0/tool")).unwrap();
    for archive in ["tool.tar", "tool.tar.gz"] {
        let archive = pack(&context, "tool-1.0", archive);
        let out = context.path("a new/folder");
        let unpack = ["hook", "unpack", &archive, out.to_str().unwrap()];
        assert_eq!(context.run(&unpack).succeeds().stderr, "");
        let output = Command::new(out.join("tool-1.0/tool")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "tool 1.0\n");
        let text = fs::metadata(out.join("tool-1.0/share/a text")).unwrap();
        assert_eq!(text.permissions().mode() & 0o111, 0);
        context.run(&unpack).exits_with(3).stderr_contains("is not an empty folder; name another one");
        fs::remove_dir_all(context.path("a new")).unwrap();
    }
}

#[test]
fn a_damaged_archive_has_a_reason_and_leaves_nothing() {
    let context = TestContext::new();
    context.write("tool/large", vec![b'x'; 100_000]);
    let archive = pack(&context, "tool", "tool.tar.gz");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let out = context.path("parent/out");
    let run = context.run(&["hook", "unpack", &archive, out.to_str().unwrap()]).exits_with(1);
    let expected = format!("error: cannot unpack {archive}: it is damaged or incomplete: ");
    assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
    assert_eq!(fs::read_dir(context.path("parent")).unwrap().count(), 0);
    for (file, reason) in [("none", "No such file or directory"), ("tool", "it is not a regular file")] {
        let file = context.path(file);
        let arguments = ["hook", "unpack", file.to_str().unwrap(), out.to_str().unwrap()];
        context.run(&arguments).exits_with(3).stderr_contains(reason);
    }
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let context = TestContext::new();
    // It takes seconds to unpack this in a test, and a moment to start.
    fs::File::create(context.write("tool/large", "")).unwrap().set_len(150 << 20).unwrap();
    let archive = pack(&context, "tool", "tool.tar.gz");
    let out = context.path("parent/out");
    let mut child = context.start(&["hook", "unpack", &archive, out.to_str().unwrap()]);
    wait_until("rigup unpacks", || fs::read_dir(context.path("parent")).is_ok_and(|found| found.count() > 0));
    signal(child.id(), Signal::SIGTERM);
    assert!(!child.wait().unwrap().success());
    assert_eq!(fs::read_dir(context.path("parent")).unwrap().count(), 0);
}
