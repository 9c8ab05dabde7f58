//! `rigup lock` and `install --locked`, which installs the same binaries on each machine, or none.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::kernel;
use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};

/// Installs a script in the requested version, or else in the newest one. The script contains LIB_DIR and the text of
/// the file `extra`. If the file `stubborn` exists, the requested version is ignored.
const SHELF: &str = r#"#!/bin/sh
exact=$(cat "$HOME/newest")
for arg; do case $arg in --name=*) name=${arg#--name=} ;; --exact-version=*) exact=${arg#--exact-version=} ;; esac; done
[ ! -e "$HOME/stubborn" ] || exact=$(cat "$HOME/newest")
mkdir -p "$LIB_DIR/shelf"
{ printf '#!/bin/sh\n# %s/shelf\necho %s\n' "$LIB_DIR" "$exact"; cat "$HOME/extra"; } >"$LIB_DIR/shelf/$name.new"
chmod +x "$LIB_DIR/shelf/$name.new" && mv "$LIB_DIR/shelf/$name.new" "$LIB_DIR/shelf/$name"
"$RIGUP" hook binary --provider shelf --abspath "$LIB_DIR/shelf/$name" -- "$@"
"#;

/// Creates a context with a plugin that requires these names from the provider `shelf`, whose newest version is 1.0.0.
pub(crate) fn context_with_shelf(names: &[&str]) -> TestContext {
    let context = TestContext::new();
    context.provider("shelf", SHELF);
    context.write("home/extra", "");
    context.write("home/newest", "1.0.0");
    require(&context, names, "shelf");
    context
}

pub(crate) fn require(context: &TestContext, names: &[&str], providers: &str) {
    let lines: Vec<Value> =
        names.iter().map(|name| json!({"type": "Binary", "name": name, "binproviders": providers})).collect();
    context.plugin("mine", &lines);
}

fn lockfile(context: &TestContext) -> String {
    fs::read_to_string(context.path("here/rigup.lock")).unwrap()
}

/// Runs rigup with another data dir, as on another machine.
pub(crate) fn run_elsewhere(context: &TestContext, args: &[&str]) -> CommandOutput {
    let data_dir = context.path("another/longer/data");
    context.run(&[args, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

fn link_elsewhere(context: &TestContext, name: &str) -> std::path::PathBuf {
    context.path("another/longer/data/lib").join(rigup::settings::platform()).join("bin").join(name)
}

/// Asserts that no hook ran in the other data dir.
fn assert_no_hook_ran_elsewhere(context: &TestContext) {
    let processes = run_elsewhere(context, &["process", "list"]).succeeds().records();
    assert!(processes.iter().all(|process| process["process_type"] != "hook"), "{processes:?}");
}

fn reason(record: &Value) -> &str {
    record["last_error"].as_str().unwrap()
}

#[test]
fn installs_the_pinned_version_elsewhere_despite_a_newer_one() {
    let context = context_with_shelf(&["b", "a"]);
    let records = context.run(&["lock"]).succeeds().stderr_contains("rigup.lock: 2 added").records();
    assert!(
        records.iter().all(|record| record["type"] == "Lock" && record["status"] == "added"),
        "{records:?}"
    );
    let text = lockfile(&context);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"type":"Lockfile","version":1}"#);
    let start =
        |name| format!(r#"{{"type":"Lock","platform":"{}","name":"{name}","#, rigup::settings::platform());
    assert!(lines[1].starts_with(&start("a")) && lines[2].starts_with(&start("b")), "{text}");
    let hook = context.path("here/providers/shelf/on_BinaryRequest__50_shelf.sh");
    let hook = rigup::internal::sha256(&hook).unwrap();
    assert!(lines[1].ends_with(&format!(r#""hook_sha256":"{hook}"}}"#)), "{text}");

    context.write("home/newest", "2.0.0");
    let records = run_elsewhere(&context, &["install", "--locked"]).succeeds().records();
    assert!(records.iter().all(|record| record["version"] == "1.0.0"), "{records:?}");
    assert!(link_elsewhere(&context, "a").exists());
    run_elsewhere(&context, &["lock", "--check"]).succeeds().stderr_contains("rigup.lock is up to date");
    run_elsewhere(&context, &["install", "--locked"])
        .succeeds()
        .stderr_contains("2 binaries are already installed");
    run_elsewhere(&context, &["lock"]).succeeds();
    assert_eq!(lockfile(&context), text, "both commands write the same bytes");
}

#[test]
fn finds_installed_binaries_without_a_network_or_a_process() {
    const OFFLINE: [&str; 2] = ["--map-root-user", "--net"];
    if !kernel::unshares(&OFFLINE) {
        return;
    }
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    let before = context.processes().len();
    let install = [env!("CARGO_BIN_EXE_rigup"), "install", "--locked"];
    let offline =
        context.command_for(Path::new("unshare"), &[&OFFLINE[..], &install].concat()).output().unwrap();
    CommandOutput::new(&["install", "--locked"], &offline).succeeds().stderr_contains("is already installed");
    assert_eq!(context.processes().len(), before);
}

#[test]
fn load_suggests_install_locked_for_the_lock_options() {
    let context = TestContext::new();
    for args in [&["load", "--locked"][..], &["load", "x", "--locked"], &["load", "--lockfile=x"]] {
        let output = context
            .run(args)
            .exits_with(2)
            .stderr_contains("tip: run `rigup install --locked`: it compares with the lock file");
        assert!(
            !output.stderr.contains("-- --lock"),
            "the tip does not treat the option as a name: {}",
            output.stderr
        );
    }
    assert!(!context.run(&["load", "--help"]).succeeds().stdout.contains("--lock"));
}

#[test]
fn rejects_a_different_version_and_leaves_the_link_unchanged() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    context.write("home/newest", "2.0.0");
    context.write("home/stubborn", "");
    let record = run_elsewhere(&context, &["install", "--locked"]).exits_with(1).record();
    assert_eq!(
        reason(&record),
        "shelf rejected: version \"2.0.0\" is not the pinned \"1.0.0\"; if you trust it, run `rigup install --force a && rigup lock a`"
    );
    assert!(link_elsewhere(&context, "a").symlink_metadata().is_err());

    // A link to another file is not changed either.
    let other = context.script("home/other", "#!/bin/sh\necho 3\n");
    fs::create_dir_all(link_elsewhere(&context, "a").parent().unwrap()).unwrap();
    symlink(&other, link_elsewhere(&context, "a")).unwrap();
    run_elsewhere(&context, &["install", "--locked"]).exits_with(1);
    assert_eq!(fs::read_link(link_elsewhere(&context, "a")).unwrap(), other);
}

#[test]
fn rejects_a_different_file_of_the_same_version_and_shows_both_digests() {
    let context = context_with_shelf(&["a"]);
    let pin = context.run(&["lock"]).succeeds().record();
    context.write("home/extra", "# something more\n");
    let record = run_elsewhere(&context, &["install", "--locked"]).exits_with(1).record();
    let both = format!("is not the pinned {}", pin["sha256"].as_str().unwrap());
    assert!(reason(&record).starts_with("shelf rejected: sha256 "), "{record}");
    let next = "; if you trust it, run `rigup install --force a && rigup lock a`";
    assert!(
        reason(&record).ends_with(&(both.clone() + next)) && !reason(&record).contains(&format!("is {both}")),
        "{record}"
    );
    assert!(link_elsewhere(&context, "a").symlink_metadata().is_err());
}

#[test]
fn rejects_a_record_that_has_the_pinned_digest_for_another_file() {
    let context = context_with_shelf(&["a"]);
    let forging_hook = SHELF.replace("-- \"$@\"", "-- \"$@\" | sed -f \"$HOME/forge\"");
    context.provider("shelf", &forging_hook);
    context.write("home/forge", "");
    let pin = context.run(&["lock"]).succeeds().record();
    // The fingerprint in the record is that of the installed file.
    let digest = pin["sha256"].as_str().unwrap();
    context.write("home/forge", format!("s/\"sha256\":\"[0-9a-f]*/\"sha256\":\"{digest}/"));
    context.write("home/extra", "# something more\n");
    let record = run_elsewhere(&context, &["install"]).exits_with(1).record();
    assert!(
        reason(&record)
            .starts_with(&format!("shelf rejected: sha256 {digest} in the record is not the file's ")),
        "{record}"
    );
    run_elsewhere(&context, &["install", "--locked"]).exits_with(1);
    assert!(link_elsewhere(&context, "a").symlink_metadata().is_err());
}

#[test]
fn rejects_a_changed_hook_without_running_it_and_shows_both_digests() {
    let context = context_with_shelf(&["a"]);
    let pin = context.run(&["lock"]).succeeds().record();
    context.provider("shelf", &SHELF.replace("exact=$(cat", "exact=$(cat --"));
    let record = run_elsewhere(&context, &["install", "--locked"])
        .exits_with(1)
        .stderr_contains("error: cannot install a: the hook of")
        .record();
    let hook = context.path("here/providers/shelf/on_BinaryRequest__50_shelf.sh");
    for digest in [rigup::internal::sha256(&hook).unwrap().as_str(), pin["hook_sha256"].as_str().unwrap()] {
        assert!(reason(&record).contains(digest), "{record}");
    }
    assert_no_hook_ran_elsewhere(&context);
}

#[test]
fn ignores_providers_other_than_the_pinned_one() {
    let context = context_with_shelf(&["a"]);
    context.fixture("good");
    context.run(&["lock"]).succeeds();
    require(&context, &["a"], "good,shelf");
    run_elsewhere(&context, &["install"]).succeeds();
    let record = run_elsewhere(&context, &["install", "--locked"]).succeeds().record();
    assert_eq!(record["binprovider"], "shelf");

    require(&context, &["a"], "good");
    run_elsewhere(&context, &["install", "--locked"])
        .exits_with(1)
        .stderr_contains("error: cannot install a: rigup.lock pins shelf, but only good may install it");
}

#[test]
fn replaces_a_newer_version_with_the_pinned_one() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    context.write("home/newest", "2.0.0");
    assert_eq!(context.run(&["install", "--force"]).succeeds().record()["version"], "2.0.0");
    assert_eq!(context.run(&["install", "--locked"]).succeeds().record()["version"], "1.0.0");
    context.run(&["install", "--locked"]).succeeds().stderr_contains("is already installed");
}

#[test]
fn reports_a_binary_without_a_pin_and_installs_the_others() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    require(&context, &["a", "new"], "shelf");
    let records = run_elsewhere(&context, &["install", "--locked"]).exits_with(1).records();
    assert_eq!((&records[0]["status"], &records[1]["status"]), (&json!("installed"), &json!("queued")));
    let expected = format!("rigup.lock has no pin for {}; run `rigup lock new`", rigup::settings::platform());
    assert_eq!(reason(&records[1]), expected);
}

#[test]
fn rejects_a_pin_older_than_min_version_and_runs_no_hook() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    context.plugin(
        "mine",
        &[json!({"type": "Binary", "name": "a", "binproviders": "shelf", "min_version": "2"})],
    );
    run_elsewhere(&context, &["install", "--locked"])
        .exits_with(1)
        .stderr_contains("rigup.lock pins version 1.0.0, which is older than 2");
    assert_no_hook_ran_elsewhere(&context);
}

#[test]
fn lock_adds_new_names_and_installs_missing_binaries_as_pinned() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    context.write("home/newest", "2.0.0");
    require(&context, &["a", "new"], "shelf");
    let records = run_elsewhere(&context, &["lock"])
        .succeeds()
        .stderr_contains("rigup.lock: 1 added, 1 unchanged")
        .records();
    let versions: Vec<&Value> = records.iter().map(|record| &record["version"]).collect();
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
}

#[test]
fn lock_pins_installed_binaries_and_reports_each_change() {
    let context = context_with_shelf(&["a", "b"]);
    context.run(&["lock"]).succeeds();
    context.write("home/newest", "2.0.0");
    context.run(&["install", "--force", "a"]).succeeds();
    let before = lockfile(&context);
    let check = context
        .run(&["lock", "--check"])
        .exits_with(1)
        .stderr_contains("error: rigup.lock: a: version 1.0.0 -> 2.0.0, sha256 ");
    assert_eq!(check.records()[0]["status"], "changed");
    assert_eq!(lockfile(&context), before, "a check changes no file");
    context
        .run(&["lock", "a"])
        .succeeds()
        .stderr_contains("a: version 1.0.0 -> 2.0.0")
        .stderr_contains("rigup.lock: 1 changed");
    context.run(&["lock", "--check"]).succeeds();
}

#[test]
fn lock_check_installs_nothing_and_names_each_outdated_pin() {
    let context = context_with_shelf(&["a"]);
    let check = context.run(&["lock", "--check"]).exits_with(1);
    let missing = "rigup.lock does not exist; run `rigup lock` to create it";
    assert_eq!(check.stderr, format!("error: {missing}\n"));
    assert_eq!(
        (&check.record()["status"], &check.record()["last_error"]),
        (&json!("queued"), &json!(missing))
    );
    assert!(!context.path("here/rigup.lock").exists() && !context.path("data").exists());

    context.run(&["lock"]).succeeds();
    run_elsewhere(&context, &["lock", "--check"]).succeeds();
    assert!(!context.path("another").exists(), "a check installs nothing");
    let text = lockfile(&context);
    context.write("here/rigup.lock", text.replace("Lock\",", "Lock\", "));
    context
        .run(&["lock", "--check"])
        .exits_with(1)
        .stderr_contains("the lines are not sorted and formatted as `rigup lock` writes them");
    context.run(&["lock"]).succeeds();
    assert_eq!(lockfile(&context), text);
}

#[test]
fn keeps_pins_of_other_platforms_and_removes_unused_ones_on_request() {
    let context = context_with_shelf(&["a", "b"]);
    context.run(&["lock"]).succeeds();
    let other = lockfile(&context).replace(&rigup::settings::platform(), "riscv64-plan9");
    let other: Vec<&str> = other.lines().skip(1).collect();
    context.write("here/rigup.lock", lockfile(&context) + &other.join("\n"));
    require(&context, &["a"], "shelf");
    context.run(&["lock"]).succeeds();
    assert_eq!(lockfile(&context).matches("\"Lock\"").count(), 4);
    context
        .run(&["lock", "--check", "--prune"])
        .exits_with(1)
        .stderr_contains("rigup.lock pins b, which is not required; run `rigup lock --prune`");
    context.run(&["lock", "--prune"]).succeeds().stderr_contains("1 removed");
    let text = lockfile(&context);
    assert!(other.iter().all(|line| text.contains(line)), "{text}");
    assert_eq!(text.matches("\"Lock\"").count(), 3);
}

#[test]
fn writes_the_other_pins_if_a_binary_cannot_be_installed() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    context.fixture("failing");
    context.plugin("more", &[json!({"type": "Binary", "name": "never", "binproviders": "failing"})]);
    require(&context, &["a", "b"], "shelf");
    let output = context
        .run(&["lock"])
        .exits_with(1)
        .stderr_contains("error: cannot install never: ")
        .stderr_contains("1 added, 1 unchanged");
    assert!(output.records().iter().any(|record| record["name"] == "never" && record["status"] == "queued"));
    assert!(lockfile(&context).contains("\"b\"") && !lockfile(&context).contains("never"));
}

#[test]
fn reports_the_invalid_line_of_a_lock_file_and_leaves_it_unchanged() {
    let context = context_with_shelf(&["a"]);
    context.run(&["install", "--locked"]).exits_with(3).stderr_contains(
        "cannot use the lock file rigup.lock: it does not exist; run `rigup lock` to create it",
    );
    context.run(&["lock"]).succeeds();
    let good = lockfile(&context);
    let line = good.lines().nth(1).unwrap();
    for (bad, line, expected) in [
        (good.clone() + line, 3, "a already has a line for "),
        (good.clone() + "<<<<<<< HEAD\n", 3, "merge conflict"),
        (good.replace('\n', "\r\n"), 1, "ends in CR LF"),
        (
            good.replace("\"version\":1}", "\"version\":2}"),
            1,
            "format version 2 is newer than 1; update rigup",
        ),
        (good.replace("\"sha256\":\"", "\"sha256\":\"x"), 2, "\"sha256\" must be 64 lower-case hex digits"),
        (String::new(), 1, "not the header of a lock file"),
    ] {
        context.write("here/rigup.lock", &bad);
        for args in [&["install", "--locked"][..], &["lock"], &["lock", "--check"]] {
            context
                .run(args)
                .exits_with(3)
                .stderr_contains(&format!("error: rigup.lock:{line}: cannot use the lock file: {expected}"));
        }
        assert_eq!(lockfile(&context), bad);
    }
}

#[test]
fn accepts_another_lock_file_and_rejects_an_unusable_one_first() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock", "--lockfile", "locks/linux.lock"]).succeeds();
    context.run(&["install", "--locked", "--lockfile", "locks/linux.lock"]).succeeds();
    context.run(&["install", "--lockfile", "locks/linux.lock"]).exits_with(2);
    run_elsewhere(&context, &["lock", "--lockfile", "locks"])
        .exits_with(3)
        .stderr_contains("cannot use the lock file locks");
    run_elsewhere(&context, &["lock", "--lockfile", "locks/linux.lock/x"]).exits_with(3);
    assert!(!context.path("another").exists());

    symlink("locks/linux.lock", context.path("here/rigup.lock")).unwrap();
    context.write("home/newest", "2.0.0");
    context.run(&["install", "--force"]).succeeds();
    context.run(&["lock"]).succeeds();
    assert!(context.path("here/rigup.lock").is_symlink(), "the link is not replaced with a file");
    assert!(fs::read_to_string(context.path("here/locks/linux.lock")).unwrap().contains("2.0.0"));
    assert_eq!(context.path("here/locks/linux.lock").metadata().unwrap().mode() & 0o777, 0o644);
}

#[test]
fn concurrent_lock_commands_for_different_names_keep_all_pins() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let context = context_with_shelf(&names);
    let all: Vec<_> = names.iter().map(|name| (name, context.start(&["lock", name]))).collect();
    for (name, rigup) in all {
        CommandOutput::new(&["lock", name], &rigup.wait_with_output().unwrap()).succeeds();
    }
    assert_eq!(lockfile(&context).lines().count(), 1 + names.len(), "{}", lockfile(&context));
    context.run(&["lock", "--check"]).succeeds();
}

#[test]
fn rejects_a_lock_file_that_becomes_writable_by_others_before_the_write() {
    let context = context_with_shelf(&["a"]);
    context.run(&["lock"]).succeeds();
    let before = lockfile(&context);
    context.provider("shelf", &format!("{SHELF}chmod 666 \"$HOME/../here/rigup.lock\"\n"));
    require(&context, &["a", "b"], "shelf");
    context
        .run(&["lock"])
        .exits_with(3)
        .stderr_contains("cannot use the lock file rigup.lock: ")
        .stderr_contains("(mode 0666)");
    assert_eq!(lockfile(&context), before);
}

#[test]
fn reports_a_wait_to_write_the_lock_file_and_can_be_interrupted() {
    let context = context_with_shelf(&["a"]);
    let held = fs::File::open(context.path("here")).unwrap();
    held.lock().unwrap();
    let mut rigup = context.start(&["lock"]);
    let mut message = String::new();
    let mut lines = BufReader::new(rigup.stderr.take().unwrap());
    while !message.contains("waiting for another rigup that writes rigup.lock")
        && lines.read_line(&mut message).unwrap() > 0
    {}
    signal(rigup.id(), Signal::SIGINT);
    lines.read_to_string(&mut message).unwrap();
    assert!(died_of(rigup.wait().unwrap(), Signal::SIGINT), "{message}");
    assert!(message.contains("interrupted: rigup.lock is unchanged"), "{message}");
    assert!(!context.path("here/rigup.lock").exists());
}

#[test]
fn an_interrupted_lock_command_changes_no_file() {
    let context = context_with_shelf(&["a"]);
    context.fixture("hanging");
    context.plugin("more", &[json!({"type": "Binary", "name": "never", "binproviders": "hanging"})]);
    let rigup = context.start(&["lock"]);
    wait_until("both hooks run", || {
        let hooks = context.hook_processes();
        hooks.len() == 2
            && hooks.iter().any(|hook| hook["plugin"] == "hanging" && hook["status"] == "running")
    });
    signal(rigup.id(), Signal::SIGINT);
    let output = rigup.wait_with_output().unwrap();
    CommandOutput::new(&["lock"], &output)
        .dies_of(Signal::SIGINT)
        .stderr_contains("interrupted: rigup.lock is unchanged");
    assert!(!context.path("here/rigup.lock").exists());
}

#[test]
fn resolves_a_binary_again_whose_provider_is_no_longer_allowed() {
    let context = context_with_shelf(&["a"]);
    context.fixture("good").fixture("failing");
    context.run(&["install"]).succeeds();
    require(&context, &["a"], "failing");
    context.run(&["lock"]).exits_with(1).stderr_contains("which shelf installed, stays installed");
    assert!(!context.path("here/rigup.lock").exists(), "no empty lock file is written");
    require(&context, &["a"], "good");
    assert_eq!(context.run(&["lock"]).succeeds().record()["binprovider"], "good");
}

#[test]
fn pins_a_built_in_provider_that_is_not_unpacked_yet() {
    let context = TestContext::new();
    require(&context, &["sh"], "env");
    context.run(&["lock"]).succeeds();
    assert_eq!(run_elsewhere(&context, &["install", "--locked"]).succeeds().record()["binprovider"], "env");
    run_elsewhere(&context, &["install", "--locked", "--dry-run"]).succeeds();
}
