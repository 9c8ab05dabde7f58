//! Files of a plugin that others may write.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::aftermath::nothing_is_left;
use crate::kernel;
use crate::playground::{Playground, Ran};

#[test]
fn row_22_a_plugin_folder_that_others_may_write_is_refused_with_path_mode_and_fix() {
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    let path = place.path("here/plugins/p");
    let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();

    set(0o777);
    let folder = path.display();
    let said = format!(
        "error: {folder}: others can write to it (mode 0777); fix it with `chmod o-w {folder}`, or declare it trusted"
    );
    place.run(&["install"]).exits(1).says(&said);
    place.run(&["install", "--plugins", "p"]).exits(3).says("cannot use the plugin p").says("mode 0777");
    assert!(!place.bin("x").exists());
    assert!(place.hook_processes().is_empty(), "nothing was asked for it");

    // Only root may give a folder to a group that it is not in.
    if kernel::is_root() {
        chown(&path, None, Some(0)).unwrap();
        set(0o2775);
        place.run(&["install"]).ok();
        chown(&path, None, Some(12345)).unwrap();
        set(0o2775);
        let said = format!(
            "error: {folder}: the group 12345 can write to it (mode 2775); fix it with `chmod g-w {folder}`, or"
        );
        place.run(&["install", "--force"]).exits(1).says(&said);
    }
    set(0o755);
    place.run(&["install"]).ok();
    nothing_is_left(&place);
}

#[test]
fn what_belongs_to_somebody_whom_a_user_namespace_does_not_know_is_refused_unless_the_user_vouches_for_it() {
    let as_user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare"];
    let as_root = ["--user", "--map-root-user"];
    if !kernel::is_root() || !kernel::starts_others(&[&as_user[..], &as_root].concat()) {
        return;
    }
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    place.write("here/rigup.toml", "");
    let rigup = place.path("rigup");
    fs::copy(env!("CARGO_BIN_EXE_rigup"), &rigup).unwrap();
    assert!(Command::new("chown").args(["-R", "12345"]).arg(place.path("")).status().unwrap().success());
    let run = |namespace: &[&str], args: &[&str]| {
        let all = [&as_user[1..], namespace, &[rigup.to_str().unwrap()], args].concat();
        Ran::from(&all, &place.command_of(Path::new(as_user[0]), &all).output().unwrap())
    };
    let unknown = "/: it belongs to a user that this user namespace does not map (uid 65534), and ";
    let here = place.path("here");
    let advice = format!(
        "if you know that only you can write to it, declare it trusted with --trust-dir {0} or RIGUP_TRUST_DIR={0}",
        here.display()
    );
    run(&as_root, &["install"]).exits(3).says(unknown).says(&advice);
    run(&["--user"], &["install"]).exits(3).says("(uid 65534)");
    fs::remove_file(place.path("here/rigup.toml")).unwrap();
    run(&as_root, &["install"]).exits(3).says(&format!("{unknown}{}", place.path("data").display()));
    run(&["--user"], &["install"]).exits(3).says("(uid 65534)");

    let (data, here) = (place.path("data"), here.to_str().unwrap());
    let vouched = ["--trust-dir", here, "--trust-dir", data.to_str().unwrap()];
    let ran = run(&as_root, &[&vouched[..], &["install"]].concat()).ok();
    let ran = ran.says("here is trusted because of --trust-dir, although /: it belongs to a user that");
    assert_eq!(ran.record()["status"], "installed");
    run(&as_root, &["--trust-dir", "/", "install"])
        .ok()
        .says("/ is trusted because of --trust-dir, although /: ");
    run(&as_root, &[&vouched[..], &["lock"]].concat()).ok();
    run(&as_root, &[&vouched[..], &["install", "--locked", "--force"]].concat()).ok();
    run(&as_root, &[&vouched[..], &["install", "sh", "--binproviders", "env"]].concat()).ok();
    assert_eq!(place.living(), []);
}
