//! `rigup lock` and `install --locked`: the same binaries elsewhere, or none.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::playground::{Playground, Ran, signal, wait_until};

/// Writes a launcher that names its folder, in the version that is asked for, else in the newest one; what else it writes is
/// in `extra`.
const SHELF: &str = r#"#!/bin/sh
exact=$(cat "$HOME/newest")
for arg; do case $arg in --name=*) name=${arg#--name=} ;; --exact-version=*) exact=${arg#--exact-version=} ;; esac; done
[ ! -e "$HOME/stubborn" ] || exact=$(cat "$HOME/newest")
mkdir -p "$LIB_DIR/shelf"
{ printf '#!/bin/sh\n# %s/shelf\necho %s\n' "$LIB_DIR" "$exact"; cat "$HOME/extra"; } >"$LIB_DIR/shelf/$name.new"
chmod +x "$LIB_DIR/shelf/$name.new" && mv "$LIB_DIR/shelf/$name.new" "$LIB_DIR/shelf/$name"
"$RIGUP" hook binary --provider shelf --abspath "$LIB_DIR/shelf/$name" -- "$@"
"#;

/// A plugin that requires these names from the shelf, whose newest version is 1.0.0.
fn place_with_shelf(names: &[&str]) -> Playground {
    let place = Playground::new();
    place.provider("shelf", SHELF);
    place.write("home/extra", "");
    place.write("home/newest", "1.0.0");
    require(&place, names, "shelf");
    place
}

fn require(place: &Playground, names: &[&str], providers: &str) {
    let lines: Vec<Value> =
        names.iter().map(|name| json!({"type": "Binary", "name": name, "binproviders": providers})).collect();
    place.plugin("mine", &lines);
}

fn lockfile(place: &Playground) -> String {
    fs::read_to_string(place.path("here/rigup.lock")).unwrap()
}

/// Another machine: a data dir elsewhere.
fn elsewhere(place: &Playground, args: &[&str]) -> Ran {
    let data_dir = place.path("another/longer/data");
    place.run(&[args, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

fn link_elsewhere(place: &Playground, name: &str) -> std::path::PathBuf {
    place.path("another/longer/data/lib").join(rigup::settings::platform()).join("bin").join(name)
}

/// No hook was started elsewhere.
fn nothing_ran_elsewhere(place: &Playground) {
    let processes = elsewhere(place, &["process", "list"]).ok().records();
    assert!(processes.iter().all(|it| it["process_type"] != "hook"), "{processes:?}");
}

fn reason(record: &Value) -> &str {
    record["last_error"].as_str().unwrap()
}

#[test]
fn what_is_locked_here_is_got_elsewhere_though_there_is_a_newer_version() {
    let place = place_with_shelf(&["b", "a"]);
    let records = place.run(&["lock"]).ok().says("rigup.lock: 2 added").records();
    assert!(records.iter().all(|it| it["type"] == "Lock" && it["status"] == "added"), "{records:?}");
    let text = lockfile(&place);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"type":"Lockfile","version":1}"#);
    let start =
        |name| format!(r#"{{"type":"Lock","platform":"{}","name":"{name}","#, rigup::settings::platform());
    assert!(lines[1].starts_with(&start("a")) && lines[2].starts_with(&start("b")), "{text}");
    let hook = place.path("here/providers/shelf/on_BinaryRequest__50_shelf.sh");
    let hook = rigup::fs::digest::sha256(&hook).unwrap();
    assert!(lines[1].ends_with(&format!(r#""hook_sha256":"{hook}"}}"#)), "{text}");

    place.write("home/newest", "2.0.0");
    let records = elsewhere(&place, &["install", "--locked"]).ok().records();
    assert!(records.iter().all(|it| it["version"] == "1.0.0"), "{records:?}");
    assert!(link_elsewhere(&place, "a").exists());
    elsewhere(&place, &["lock", "--check"]).ok().says("rigup.lock is up to date");
    elsewhere(&place, &["install", "--locked"]).ok().says("all 2 binaries are already installed");
    elsewhere(&place, &["lock"]).ok();
    assert_eq!(lockfile(&place), text, "the same facts are the same bytes");
}

#[test]
fn all_that_is_there_is_found_without_a_network_and_without_a_process() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    let before = place.processes().len();
    let rigup = env!("CARGO_BIN_EXE_rigup");
    let offline = place
        .command_of(Path::new("unshare"), &["--map-root-user", "--net", rigup, "install", "--locked"])
        .output()
        .unwrap();
    Ran::from(&["install", "--locked"], &offline).ok().says("is already installed");
    assert_eq!(place.processes().len(), before);
}

#[test]
fn who_wants_to_load_what_is_locked_is_told_the_command_that_compares() {
    let place = Playground::new();
    for args in [&["load", "--locked"][..], &["load", "x", "--locked"], &["load", "--lockfile=x"]] {
        let ran = place
            .run(args)
            .exits(2)
            .says("tip: run `rigup install --locked`: it compares with the lock file");
        assert!(!ran.stderr.contains("-- --lock"), "no name begins with `-`: {}", ran.stderr);
    }
    assert!(!place.run(&["load", "--help"]).ok().stdout.contains("--lock"));
}

#[test]
fn another_version_is_refused_with_both_and_the_link_stays_what_it_was() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    place.write("home/newest", "2.0.0");
    place.write("home/stubborn", "");
    let record = elsewhere(&place, &["install", "--locked"]).exits(1).record();
    assert_eq!(reason(&record), "shelf rejected: version \"2.0.0\" is not the pinned \"1.0.0\"");
    assert!(link_elsewhere(&place, "a").symlink_metadata().is_err());

    // One that leads to something else already is not touched.
    let other = place.script("home/other", "#!/bin/sh\necho 3\n");
    fs::create_dir_all(link_elsewhere(&place, "a").parent().unwrap()).unwrap();
    symlink(&other, link_elsewhere(&place, "a")).unwrap();
    elsewhere(&place, &["install", "--locked"]).exits(1);
    assert_eq!(fs::read_link(link_elsewhere(&place, "a")).unwrap(), other);
}

#[test]
fn another_file_of_the_same_version_is_refused_with_both_digests() {
    let place = place_with_shelf(&["a"]);
    let locked = place.run(&["lock"]).ok().record();
    place.write("home/extra", "# something more\n");
    let record = elsewhere(&place, &["install", "--locked"]).exits(1).record();
    let both = format!("is not the pinned {}", locked["sha256"].as_str().unwrap());
    assert!(reason(&record).starts_with("shelf rejected: sha256 "), "{record}");
    assert!(reason(&record).ends_with(&both) && !reason(&record).contains(&format!("is {both}")), "{record}");
    assert!(link_elsewhere(&place, "a").symlink_metadata().is_err());
}

#[test]
fn a_hook_that_states_the_locked_digest_of_another_file_is_believed_neither_now_nor_later() {
    let place = place_with_shelf(&["a"]);
    let forger = SHELF.replace("-- \"$@\"", "-- \"$@\" | sed -f \"$HOME/forge\"");
    place.provider("shelf", &forger);
    place.write("home/forge", "");
    let locked = place.run(&["lock"]).ok().record();
    // The fingerprint is the file's own.
    let digest = locked["sha256"].as_str().unwrap();
    place.write("home/forge", format!("s/\"sha256\":\"[0-9a-f]*/\"sha256\":\"{digest}/"));
    place.write("home/extra", "# something more\n");
    let record = elsewhere(&place, &["install"]).exits(1).record();
    assert!(
        reason(&record)
            .starts_with(&format!("shelf rejected: sha256 {digest} in the record is not the file's ")),
        "{record}"
    );
    elsewhere(&place, &["install", "--locked"]).exits(1);
    assert!(link_elsewhere(&place, "a").symlink_metadata().is_err());
}

#[test]
fn another_hook_is_refused_with_both_digests_and_not_started() {
    let place = place_with_shelf(&["a"]);
    let locked = place.run(&["lock"]).ok().record();
    place.provider("shelf", &SHELF.replace("exact=$(cat", "exact=$(cat --"));
    let record = elsewhere(&place, &["install", "--locked"])
        .exits(1)
        .says("error: cannot install a: the hook of")
        .record();
    let hook = place.path("here/providers/shelf/on_BinaryRequest__50_shelf.sh");
    for digest in
        [rigup::fs::digest::sha256(&hook).unwrap().as_str(), locked["hook_sha256"].as_str().unwrap()]
    {
        assert!(reason(&record).contains(digest), "{record}");
    }
    nothing_ran_elsewhere(&place);
}

#[test]
fn only_the_locked_provider_is_asked_and_another_ones_binary_is_not_taken_for_it() {
    let place = place_with_shelf(&["a"]);
    place.fixture("good");
    place.run(&["lock"]).ok();
    require(&place, &["a"], "good,shelf");
    elsewhere(&place, &["install"]).ok();
    let record = elsewhere(&place, &["install", "--locked"]).ok().record();
    assert_eq!(record["binprovider"], "shelf");

    require(&place, &["a"], "good");
    elsewhere(&place, &["install", "--locked"])
        .exits(1)
        .says("error: cannot install a: rigup.lock pins shelf, but only good may install it");
}

#[test]
fn what_is_newer_here_is_brought_back_to_what_was_locked() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    place.write("home/newest", "2.0.0");
    assert_eq!(place.run(&["install", "--force"]).ok().record()["version"], "2.0.0");
    assert_eq!(place.run(&["install", "--locked"]).ok().record()["version"], "1.0.0");
    place.run(&["install", "--locked"]).ok().says("is already installed");
}

#[test]
fn what_has_no_line_is_refused_by_name_and_the_others_are_got() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    require(&place, &["a", "new"], "shelf");
    let records = elsewhere(&place, &["install", "--locked"]).exits(1).records();
    assert_eq!((&records[0]["status"], &records[1]["status"]), (&json!("installed"), &json!("queued")));
    let expected = format!("rigup.lock has no pin for {}; run `rigup lock`", rigup::settings::platform());
    assert_eq!(reason(&records[1]), expected);
}

#[test]
fn a_line_below_the_lowest_version_that_will_do_is_refused_before_anything_is_asked() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    place.plugin(
        "mine",
        &[json!({"type": "Binary", "name": "a", "binproviders": "shelf", "min_version": "2"})],
    );
    elsewhere(&place, &["install", "--locked"])
        .exits(1)
        .says("rigup.lock pins version 1.0.0, which is older than 2");
    nothing_ran_elsewhere(&place);
}

#[test]
fn a_new_name_is_added_and_what_is_missing_is_got_as_it_was_locked() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    place.write("home/newest", "2.0.0");
    require(&place, &["a", "new"], "shelf");
    let records = elsewhere(&place, &["lock"]).ok().says("rigup.lock: 1 added, 1 unchanged").records();
    let versions: Vec<&Value> = records.iter().map(|it| &it["version"]).collect();
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
}

#[test]
fn what_is_here_is_locked_as_it_is_and_every_change_is_told() {
    let place = place_with_shelf(&["a", "b"]);
    place.run(&["lock"]).ok();
    place.write("home/newest", "2.0.0");
    place.run(&["install", "--force", "a"]).ok();
    let before = lockfile(&place);
    let check = place
        .run(&["lock", "--check"])
        .exits(1)
        .says("error: rigup.lock: a: version 1.0.0 -> 2.0.0, sha256 ");
    assert_eq!(check.records()[0]["status"], "changed");
    assert_eq!(lockfile(&place), before, "a check writes nothing");
    place.run(&["lock", "a"]).ok().says("a: version 1.0.0 -> 2.0.0").says("rigup.lock: 1 changed");
    place.run(&["lock", "--check"]).ok();
}

#[test]
fn a_check_installs_nothing_and_names_every_line_that_would_differ() {
    let place = place_with_shelf(&["a"]);
    let check = place.run(&["lock", "--check"]).exits(1);
    let check = check.says(&format!("a: rigup.lock has no pin for {}", rigup::settings::platform()));
    assert_eq!(check.record()["status"], "queued");
    assert!(!place.path("here/rigup.lock").exists() && !place.path("data").exists());

    place.run(&["lock"]).ok();
    elsewhere(&place, &["lock", "--check"]).ok();
    assert!(!place.path("another").exists(), "what is not there can be got as it is locked");
    let text = lockfile(&place);
    place.write("here/rigup.lock", text.replace("Lock\",", "Lock\", "));
    place
        .run(&["lock", "--check"])
        .exits(1)
        .says("the lines are not sorted and formatted as `rigup lock` writes them");
    place.run(&["lock"]).ok();
    assert_eq!(lockfile(&place), text);
}

#[test]
fn lines_of_other_platforms_stay_and_what_is_not_required_goes_only_when_pruned() {
    let place = place_with_shelf(&["a", "b"]);
    place.run(&["lock"]).ok();
    let other = lockfile(&place).replace(&rigup::settings::platform(), "riscv64-plan9");
    let other: Vec<&str> = other.lines().skip(1).collect();
    place.write("here/rigup.lock", lockfile(&place) + &other.join("\n"));
    require(&place, &["a"], "shelf");
    place.run(&["lock"]).ok();
    assert_eq!(lockfile(&place).matches("\"Lock\"").count(), 4);
    place.run(&["lock", "--check", "--prune"]).exits(1).says("b has a line but is not required");
    place.run(&["lock", "--prune"]).ok().says("1 removed");
    let text = lockfile(&place);
    assert!(other.iter().all(|line| text.contains(line)), "{text}");
    assert_eq!(text.matches("\"Lock\"").count(), 3);
}

#[test]
fn what_could_not_be_got_keeps_its_line_and_the_others_are_written() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    place.fixture("failing");
    place.plugin("more", &[json!({"type": "Binary", "name": "never", "binproviders": "failing"})]);
    require(&place, &["a", "b"], "shelf");
    let ran =
        place.run(&["lock"]).exits(1).says("error: cannot install never: ").says("1 added, 1 unchanged");
    assert!(ran.records().iter().any(|it| it["name"] == "never" && it["status"] == "queued"));
    assert!(lockfile(&place).contains("\"b\"") && !lockfile(&place).contains("never"));
}

#[test]
fn a_lock_file_that_cannot_be_understood_is_named_by_line_and_left_alone() {
    let place = place_with_shelf(&["a"]);
    place
        .run(&["install", "--locked"])
        .exits(3)
        .says("cannot use the lock file rigup.lock: it does not exist; `rigup lock` writes it");
    place.run(&["lock"]).ok();
    let good = lockfile(&place);
    let line = good.lines().nth(1).unwrap();
    for (bad, expected) in [
        (good.clone() + line, "line 3: a already has a line for "),
        (good.clone() + "<<<<<<< HEAD\n", "line 3: merge conflict"),
        (good.replace('\n', "\r\n"), "line 1: ends in CR LF"),
        (
            good.replace("\"version\":1}", "\"version\":2}"),
            "line 1: format version 2 is newer than 1; update rigup",
        ),
        (
            good.replace("\"sha256\":\"", "\"sha256\":\"x"),
            "line 2: \"sha256\" must be 64 lower-case hex digits",
        ),
        (String::new(), "line 1: not the header of a lock file"),
    ] {
        place.write("here/rigup.lock", &bad);
        for args in [&["install", "--locked"][..], &["lock"], &["lock", "--check"]] {
            place.run(args).exits(3).says(&format!("cannot use the lock file rigup.lock: {expected}"));
        }
        assert_eq!(lockfile(&place), bad);
    }
}

#[test]
fn the_lock_file_may_lie_elsewhere_and_one_that_cannot_be_written_is_told_of_before_any_work() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock", "--lockfile", "locks/linux.lock"]).ok();
    place.run(&["install", "--locked", "--lockfile", "locks/linux.lock"]).ok();
    place.run(&["install", "--lockfile", "locks/linux.lock"]).exits(2);
    elsewhere(&place, &["lock", "--lockfile", "locks"]).exits(3).says("cannot use the lock file locks");
    elsewhere(&place, &["lock", "--lockfile", "locks/linux.lock/x"]).exits(3);
    assert!(!place.path("another").exists());

    symlink("locks/linux.lock", place.path("here/rigup.lock")).unwrap();
    place.write("home/newest", "2.0.0");
    place.run(&["install", "--force"]).ok();
    place.run(&["lock"]).ok();
    assert!(place.path("here/rigup.lock").is_symlink(), "a link stays one");
    assert!(fs::read_to_string(place.path("here/locks/linux.lock")).unwrap().contains("2.0.0"));
    assert_eq!(place.path("here/locks/linux.lock").metadata().unwrap().mode() & 0o777, 0o644);
}

#[test]
fn many_that_lock_other_names_at_once_lose_none_of_their_lines() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let place = place_with_shelf(&names);
    let all: Vec<_> = names.iter().map(|name| (name, place.start(&["lock", name]))).collect();
    for (name, rigup) in all {
        Ran::from(&["lock", name], &rigup.wait_with_output().unwrap()).ok();
    }
    assert_eq!(lockfile(&place).lines().count(), 1 + names.len(), "{}", lockfile(&place));
    place.run(&["lock", "--check"]).ok();
}

#[test]
fn a_lock_file_that_others_may_write_when_it_is_read_again_is_refused_as_it_was_at_first() {
    let place = place_with_shelf(&["a"]);
    place.run(&["lock"]).ok();
    let before = lockfile(&place);
    place.provider("shelf", &format!("{SHELF}chmod 666 \"$HOME/../here/rigup.lock\"\n"));
    require(&place, &["a", "b"], "shelf");
    place.run(&["lock"]).exits(3).says("cannot use the lock file rigup.lock: ").says("(mode 0666)");
    assert_eq!(lockfile(&place), before);
}

#[test]
fn who_waits_to_write_the_lock_file_says_so_and_can_be_interrupted() {
    let place = place_with_shelf(&["a"]);
    let held = fs::File::open(place.path("here")).unwrap();
    held.lock().unwrap();
    let mut rigup = place.start(&["lock"]);
    let mut said = String::new();
    let mut lines = BufReader::new(rigup.stderr.take().unwrap());
    while !said.contains("waiting for another rigup that writes rigup.lock")
        && lines.read_line(&mut said).unwrap() > 0
    {}
    signal(rigup.id(), Signal::SIGINT);
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(rigup.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("interrupted: rigup.lock is unchanged"), "{said}");
    assert!(!place.path("here/rigup.lock").exists());
}

#[test]
fn an_interrupted_lock_leaves_the_file_as_it_was() {
    let place = place_with_shelf(&["a"]);
    place.fixture("hanging");
    place.plugin("more", &[json!({"type": "Binary", "name": "never", "binproviders": "hanging"})]);
    let rigup = place.start(&["lock"]);
    wait_until("both hooks have begun", || {
        let hooks = place.hook_processes();
        hooks.len() == 2 && hooks.iter().any(|it| it["plugin"] == "hanging" && it["status"] == "running")
    });
    signal(rigup.id(), Signal::SIGINT);
    let output = rigup.wait_with_output().unwrap();
    Ran::from(&["lock"], &output).exits(130).says("interrupted: rigup.lock is unchanged");
    assert!(!place.path("here/rigup.lock").exists());
}

#[test]
fn a_binary_of_a_provider_that_may_not_provide_it_is_not_locked() {
    let place = place_with_shelf(&["a"]);
    place.fixture("good");
    place.run(&["install"]).ok();
    require(&place, &["a"], "good");
    place.run(&["lock"]).exits(1).says("error: a: cannot lock it: shelf installed it, but only good may");
    assert!(!place.path("here/rigup.lock").exists(), "nothing to write is no file");
    place.run(&["install", "--force", "a"]).ok();
    place.run(&["lock"]).ok();
}

#[test]
fn a_built_in_provider_is_locked_and_found_the_same_before_anything_is_unpacked() {
    let place = Playground::new();
    require(&place, &["sh"], "env");
    place.run(&["lock"]).ok();
    assert_eq!(elsewhere(&place, &["install", "--locked"]).ok().record()["binprovider"], "env");
    elsewhere(&place, &["install", "--locked", "--dry-run"]).ok();
}

#[test]
fn a_hook_gets_its_packages_in_the_exact_version_that_is_asked_for() {
    let place = Playground::new();
    let of = |arguments: &[&str]| {
        let args = ["hook", "packages", "--provider", "pip", "--pin", "=={}", "--"];
        place.run(&[&args, arguments].concat()).ok().stdout
    };
    assert_eq!(of(&["--name=x", "--exact-version=1.2"]), "x==1.2\n");
    assert_eq!(of(&["--name=x"]), "x\n");
    let overrides = r#"--overrides={"pip":{"install_args":["--no-deps","y[z]","w"]}}"#;
    assert_eq!(of(&["--name=x", "--exact-version=1.2", overrides]), "--no-deps\ny[z]==1.2\nw\n");
}
