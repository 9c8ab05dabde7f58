//! Plugin files that other users own or can write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::kernel;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext};

#[test]
fn row_22_a_plugin_folder_that_others_can_write_to_is_rejected() {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    let path = context.path("here/plugins/p");
    let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();

    set(0o777);
    let (folder, here) = (path.display(), context.path("here"));
    let here = here.display();
    let expected = format!(
        "error: {folder}: others can write to it (mode 0777); fix it with `chmod -R o-w {here}`, or declare it trusted"
    );
    context.run(&["install"]).exits_with(1).stderr_contains(&expected);
    context
        .run(&["install", "--plugins", "p"])
        .exits_with(3)
        .stderr_contains("cannot use the plugin p")
        .stderr_contains("mode 0777");
    assert!(!context.bin("x").exists());
    assert!(context.hook_processes().is_empty(), "no hook ran for the binary");

    // Only root can change the group of a folder to one that the user is not in.
    if kernel::is_root() {
        chown(&path, None, Some(0)).unwrap();
        set(0o2775);
        context.run(&["install"]).succeeds();
        chown(&path, None, Some(12345)).unwrap();
        set(0o2775);
        let expected = format!(
            "error: {folder}: the group 12345 can write to it (mode 2775); fix it with `chmod -R g-w {here}`, or"
        );
        context.run(&["install", "--force"]).exits_with(1).stderr_contains(&expected);
    }
    set(0o755);
    context.run(&["install"]).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn a_data_dir_that_a_user_cannot_look_into_is_not_empty() {
    let as_user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    if !kernel::is_root() || !kernel::can_run(&[&as_user[..], &["true"]].concat()) {
        return;
    }
    let context = TestContext::new();
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    let rigup = context.path("rigup");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_rigup")).arg(&rigup).status().unwrap().success());
    for folder in ["", "here", "home"] {
        fs::create_dir_all(context.path(folder)).unwrap();
        fs::set_permissions(context.path(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let data = context.path("data");
    let denied = format!("cannot use the data dir {}: Permission denied", data.display());
    let commands =
        [&["list"][..], &["which", "sh"], &["process", "list"], &["ps"], &["upgrade"], &["load", "sh"]];
    for args in commands {
        let all = [&as_user[1..], &[rigup.to_str().unwrap()], args].concat();
        let output = context.command_for(Path::new(as_user[0]), &all).output().unwrap();
        CommandOutput::new(&all, &output).exits_with(3).stderr_contains(&denied);
    }
    let all = [&as_user[1..], &[rigup.to_str().unwrap(), "doctor"]].concat();
    let output = context.command_for(Path::new(as_user[0]), &all).output().unwrap();
    let output = CommandOutput::new(&all, &output).exits_with(1);
    assert!(output.stdout.contains(&denied), "{}", output.stdout);
}

#[test]
fn a_file_of_an_unmapped_user_is_rejected_unless_it_is_trusted() {
    let as_user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare"];
    let as_root = ["--user", "--map-root-user"];
    if !kernel::is_root() || !kernel::can_run(&[&as_user[..], &as_root].concat()) {
        return;
    }
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    context.write("here/rigup.toml", "");
    let rigup = context.path("rigup");
    fs::copy(env!("CARGO_BIN_EXE_rigup"), &rigup).unwrap();
    assert!(Command::new("chown").args(["-R", "12345"]).arg(context.path("")).status().unwrap().success());
    let run = |namespace: &[&str], args: &[&str]| {
        let all = [&as_user[1..], namespace, &[rigup.to_str().unwrap()], args].concat();
        CommandOutput::new(&all, &context.command_for(Path::new(as_user[0]), &all).output().unwrap())
    };
    let unknown = "/: it belongs to a user that this user namespace does not map (uid 65534), and ";
    let here = context.path("here");
    let advice = format!(
        "if you know that no one else can write to it, run `export RIGUP_TRUST_DIR={0}`",
        here.display()
    );
    run(&as_root, &["install"]).exits_with(3).stderr_contains(unknown).stderr_contains(&advice);
    run(&["--user"], &["install"]).exits_with(3).stderr_contains("(uid 65534)");
    fs::remove_file(context.path("here/rigup.toml")).unwrap();
    run(&as_root, &["install"])
        .exits_with(3)
        .stderr_contains(&format!("{unknown}{}", context.path("data").display()));
    run(&["--user"], &["install"]).exits_with(3).stderr_contains("(uid 65534)");

    let (data, here) = (context.path("data"), here.to_str().unwrap());
    let trust = ["--trust-dir", here, "--trust-dir", data.to_str().unwrap()];
    let result = run(&as_root, &[&trust[..], &["install"]].concat()).succeeds();
    let result = result
        .stderr_contains("here is trusted because of --trust-dir, although /: it belongs to a user that");
    assert_eq!(result.record()["status"], "installed");
    run(&as_root, &["--trust-dir", "/", "install"])
        .succeeds()
        .stderr_contains("/ is trusted because of --trust-dir, although /: ");
    run(&as_root, &[&trust[..], &["lock"]].concat()).succeeds();
    run(&as_root, &[&trust[..], &["install", "--locked", "--force"]].concat()).succeeds();
    run(&as_root, &[&trust[..], &["install", "sh", "--binproviders", "env"]].concat()).succeeds();
    assert_eq!(context.live_processes(), []);
}
