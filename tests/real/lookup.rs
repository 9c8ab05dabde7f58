//! What a lookup of the programs of a real machine changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::test_context::{CommandOutput, TestContext};

/// Runs a command in a root folder whose changes are kept in a layer of their own. Prints the type and path of
/// everything in the layer outside the data dir: what was created, changed or deleted, and the folders above it.
const IN_LAYER: &str = "set -eu
mount -t tmpfs rigup \"$1\" && cd \"$1\" && mkdir changed work root
mount -t overlay rigup -o lowerdir=/,upperdir=changed,workdir=work root
for folder in proc dev sys; do mount --rbind /$folder root/$folder; done
shift
chroot root \"$@\" >&2 || :
find changed -mindepth 1 -path changed/rigup-data -prune -o -printf '%y /%P\\n'";

/// The number of programs that are looked up.
const COUNT: usize = 300;

/// Returns the names of some programs in /usr/bin, from the whole alphabet.
fn names_of_programs() -> Vec<String> {
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let mut names: Vec<String> = fs::read_dir("/usr/bin")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_program(path))
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .filter(|name| name.len() < 64)
        .collect();
    names.sort();
    let step = (names.len() / COUNT).max(1);
    names.into_iter().step_by(step).take(COUNT).collect()
}

#[expect(clippy::print_stderr, reason = "prints why the test is skipped")]
fn print_skipped(reason: &str) {
    eprintln!("skipped: the test needs root, mount namespaces and overlayfs: {reason}");
}

#[test]
#[ignore = "slow"]
fn a_lookup_of_300_programs_changes_nothing_outside_the_data_dir() {
    let context = TestContext::new();
    let folder = context.path("layer");
    fs::create_dir(&folder).unwrap();
    let in_layer = |args: &[&str]| {
        let args = [&["--mount", "sh", "-c", IN_LAYER, "sh", folder.to_str().unwrap()], args].concat();
        CommandOutput::new(&args, &context.command_for(Path::new("unshare"), &args).output().unwrap())
    };
    let changes = |output: &CommandOutput| -> Vec<String> {
        let is_change = |line: &&str| !line.strip_prefix("d ").is_some_and(|path| Path::new(path).exists());
        let mut changes: Vec<String> = output.stdout.lines().filter(is_change).map(str::to_owned).collect();
        changes.sort();
        changes
    };
    let output = in_layer(&["sh", "-c", "mkdir /rigup-folder; rm /etc/debian_version"]);
    if output.code != Some(0) {
        print_skipped(&output.stderr);
        return;
    }
    assert_eq!(changes(&output), ["c /etc/debian_version", "d /rigup-folder"], "changes are seen");
    let names = names_of_programs();
    let rigup =
        [env!("CARGO_BIN_EXE_rigup"), "--data-dir", "/rigup-data", "install", "--binproviders", "env"];
    let args: Vec<&str> = rigup.into_iter().chain(names.iter().map(String::as_str)).collect();
    let output = in_layer(&args);
    assert_eq!(changes(&output), [""; 0]);
    let installed = output.stderr.matches(r#""status":"installed""#).count();
    assert!(installed > names.len() * 9 / 10, "{installed} of {} are installed", names.len());
}
