//! What others may have written is not run, not read, and not written to.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde_json::json;

use crate::bad_input::run_as_nobody;
use crate::playground::{Playground, Ran, wait_until};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A provider that has everything, and a plugin that wants `x` of it.
fn place() -> Playground {
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    place
}

/// Whoever may write a file of a plugin is told by what is said, and nothing of the plugin counts.
fn is_refused(place: &Playground, plugin: &str, said: &str) {
    let ran = place.run(&["install"]).exits(1).says(&format!("error: {said}")).says("--trust-dir ");
    assert!(ran.records().iter().all(|it| it["status"] != "installed"), "{}", ran.stdout);
    assert!(place.hook_processes().is_empty());
    place.run(&["install", "--plugins", plugin]).exits(3).says(said);
}

#[test]
fn a_hook_that_others_may_write_is_not_run() {
    let place = place();
    let hook = place.path("here/providers/good/on_BinaryRequest__50_good.sh");
    mode(&hook, 0o777);
    is_refused(
        &place,
        "good",
        &format!("{}: others can write to it (mode 0777); fix it with `chmod o-w ", hook.display()),
    );
    mode(&hook, 0o755);
    place.run(&["install"]).ok();
}

#[test]
fn requirements_and_settings_that_others_may_write_are_not_read() {
    for file in ["binaries.jsonl", "config.json"] {
        let place = place();
        let path = place.write(&format!("here/plugins/p/{file}"), "{}");
        mode(&path, 0o666);
        is_refused(&place, "p", &format!("{}: others can write to it (mode 0666)", path.display()));
    }
}

#[test]
fn a_folder_of_plugins_that_others_may_write_is_refused_whole_and_the_others_go_on() {
    let place = place();
    let plugins = place.path("here/plugins");
    place.plugin("q", &[]);
    mode(&plugins, 0o777);
    let ran = place.run(&["install"]).exits(1);
    assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
    ran.says(&format!(
        "error: {}: others can write to it (mode 0777); fix it with `chmod o-w ",
        plugins.display()
    ));
    place
        .run(&["install", "--plugins", "q"])
        .exits(3)
        .says("others can write to it")
        .says("no plugin is called q");
    place.run(&["install", "y", "--binproviders", "good"]).exits(1).says("installed by good");
    mode(&plugins, 0o755);
    place.run(&["install"]).ok();
}

#[test]
fn a_link_to_a_plugin_counts_by_its_own_place_and_by_that_of_its_target() {
    let place = place();
    let elsewhere = place.write("open/shared/p/binaries.jsonl", "");
    fs::remove_dir_all(place.path("here/plugins/p")).unwrap();
    symlink(elsewhere.parent().unwrap(), place.path("here/plugins/p")).unwrap();
    place.run(&["install"]).ok();
    mode(&place.path("open"), 0o777);
    let link = place.path("here/plugins/p");
    let said = format!(
        "{}: others can write to it (mode 0777), and {} is reached through it",
        place.path("open").display(),
        link.display()
    );
    is_refused(&place, "p", &said);
    mode(&place.path("open"), 0o1777);
    place.run(&["install"]).ok();
}

#[test]
fn a_trusted_folder_counts_and_is_said_aloud_once() {
    let place = place();
    let open = place.path("here/plugins");
    mode(&open, 0o777);
    mode(&open.join("p/binaries.jsonl"), 0o666);
    let said = |by: &str| format!("{} is trusted because of {by}, although ", open.display());
    let ran = place.run(&["install", "--trust-dir", "plugins"]).ok().says(&said("--trust-dir"));
    assert_eq!(ran.stderr.matches("is trusted").count(), 1, "{}", ran.stderr);
    let mut place = place;
    place.set("RIGUP_TRUST_DIR", "/nowhere:plugins");
    place.run(&["install"]).ok().says(&said("RIGUP_TRUST_DIR"));
    place.set("RIGUP_TRUST_DIR", "");
    let file = place.write("home/.config/rigup/rigup.toml", format!("trust_dirs = [{open:?}]"));
    place.run(&["install"]).ok().says(&said(&format!("trust_dirs in {}", file.display())));
    place.write("home/.config/rigup/rigup.toml", "trust_dirs = [\"~/../here\"]");
    place.run(&["install"]).ok().says("here is trusted because of");
    place.write("home/.config/rigup/rigup.toml", "trust_dirs = \"/\"");
    place.run(&["install"]).exits(3).says("trust_dirs must be a list of folders");
}

#[test]
fn one_plugin_can_be_trusted_in_a_folder_that_is_not() {
    let place = place();
    place.plugin("q", &[json!({"type": "Binary", "name": "y", "binproviders": "good"})]);
    mode(&place.path("here/plugins"), 0o777);
    let ran = place.run(&["install", "--trust-dir", "plugins/q"]).exits(1).says("here/plugins: others can");
    assert_eq!(ran.record()["name"], "y");
}

#[test]
fn the_rigup_that_a_hook_calls_trusts_the_same_folders() {
    let place = Playground::new();
    let hook = "#!/bin/sh\necho \"$RIGUP_TRUST_DIR\" >&2\n";
    place.provider("asks", hook);
    mode(&place.path("here/providers"), 0o777);
    let flags = ["--trust-dir", "providers", "install", "x", "--binproviders", "asks"];
    let record = place.run(&flags).exits(1).record();
    assert_eq!(record["attempts"][0]["reason"], place.path("here/providers").to_str().unwrap());
    mode(&place.path("here/providers"), 0o755);
    let record = place.run(&["install", "x", "--binproviders", "asks", "--force"]).exits(1).record();
    assert_eq!(record["attempts"][0]["reason"], "printed no Binary record", "it is not set");
}

#[test]
fn a_settings_file_that_others_may_write_stops_rigup_and_cannot_trust_itself() {
    let place = place();
    let file = place.write("here/rigup.toml", format!("trust_dirs = [{:?}]", place.path("here")));
    mode(&file, 0o666);
    let said =
        format!("error: {}: others can write to it (mode 0666); fix it with `chmod o-w ", file.display());
    place.run(&["install"]).exits(3).says(&said);
    mode(&file, 0o644);
    mode(&place.path("here"), 0o777);
    place.run(&["install"]).exits(3).says("here: others can write to it (mode 0777), and ");
    let ran = place.run(&["install", "--trust-dir", file.to_str().unwrap()]).exits(1);
    let ran = ran.says(&format!("trust_dirs in {} is ignored: others can write to the file", file.display()));
    ran.says("here: others can write to it (mode 0777), and ");
    mode(&place.path("here"), 0o755);
    mode(&place.path("here/plugins"), 0o777);
    place.run(&["install"]).ok().says("here is trusted because of trust_dirs in ");
}

/// It could not say that it is to be trusted itself.
#[test]
fn who_may_not_trust_a_settings_file_is_told_what_helps_without_one() {
    let place = place();
    for name in ["here", "home/.config/rigup"] {
        let file = place.write(&format!("{name}/rigup.toml"), "");
        mode(&file, 0o666);
        let folder = place.path(name);
        let advice = format!("with --trust-dir {0} or RIGUP_TRUST_DIR={0}\n", folder.display());
        place.run(&["install"]).exits(3).says(&advice);
        place.run(&["install", "--trust-dir", folder.to_str().unwrap()]).ok();
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_lock_file_that_others_may_write_stops_rigup() {
    let place = place();
    place.run(&["lock"]).ok();
    let file = place.path("here/rigup.lock");
    mode(&file, 0o666);
    let said = format!("{}: others can write to it (mode 0666); fix it with `chmod o-w ", file.display());
    for args in [&["install", "--locked"][..], &["lock", "--check"], &["lock"]] {
        place.run(args).exits(3).says("cannot use the lock file rigup.lock: ").says(&said);
    }
    let here = place.path("here");
    let advice = format!("--trust-dir {} or trust_dirs = [{here:?}] in your own rigup.toml", here.display());
    place.run(&["install", "--locked"]).exits(3).says(&advice);
    place.run(&["install", "--locked", "--trust-dir", "."]).ok().says("is trusted because of --trust-dir");
    place.write("home/.config/rigup/rigup.toml", format!("trust_dirs = [{here:?}]"));
    place.run(&["install", "--locked"]).ok().says("is trusted because of trust_dirs in ");
    fs::remove_dir_all(place.path("home")).unwrap();
    mode(&file, 0o644);
    place.run(&["install", "--locked"]).ok();
}

/// A pipe has nothing to be judged by once it is gone, and gives whoever opens it what its other end likes.
#[test]
fn a_pipe_in_place_of_settings_is_not_read_and_nobody_waits_for_it() {
    let place = place();
    let file = place.path("here/rigup.toml");
    let mut owners = vec![(None, "not a regular file")];
    if nix::unistd::geteuid().is_root() {
        owners.push((Some(12345), "it belongs to uid 12345, not to root"));
    }
    for (owner, said) in owners {
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        std::os::unix::fs::chown(&file, owner, None).unwrap();
        let mut rigup = place.start(&["install"]);
        wait_until("it was read, or rigup is over", || {
            let opened =
                fs::OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&file);
            if let Ok(mut pipe) = opened {
                let _ = pipe.write_all(b"trust_dirs = [\"/\"]");
                let _ = fs::remove_file(&file);
            }
            rigup.try_wait().unwrap().is_some()
        });
        let output = rigup.wait_with_output().unwrap();
        Ran::from(&["install"], &output).exits(3).says(said);
        let _ = fs::remove_file(&file);
    }
}

#[test]
fn what_belongs_to_somebody_else_is_refused_unless_he_called_sudo() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can give files away
    }
    let mut place = place();
    for path in ["here", "here/plugins", "here/plugins/p", "here/plugins/p/binaries.jsonl"] {
        std::os::unix::fs::chown(place.path(path), Some(12345), Some(12345)).unwrap();
    }
    let here = place.path("here");
    place.run(&["install"]).exits(1).says(&format!(
        "error: {}: it belongs to uid 12345, not to root, and {}/plugins is reached through it; fix it with `chown -h 0 ",
        here.display(),
        here.display(),
    ));
    place.set("SUDO_UID", "12345");
    place.run(&["install"]).ok();
}

#[test]
fn a_data_dir_that_others_may_write_is_refused_and_one_that_they_may_read_is_left_as_it_is() {
    let place = place();
    let data = place.path("data");
    fs::create_dir(&data).unwrap();
    mode(&data, 0o755);
    place.run(&["install"]).ok();
    assert_eq!(data.metadata().unwrap().mode() & 0o7777, 0o755);
    mode(&data, 0o777);
    let said = format!(
        "cannot use the data dir {0}: {0}: others can write to it (mode 0777); fix it with `chmod o-w ",
        data.display()
    );
    for args in [&["install"][..], &["process", "list"], &["binary", "list"]] {
        place.run(args).exits(3).says(&said);
    }
    let flags = ["--trust-dir", data.to_str().unwrap(), "install", "--force"];
    let ran = place.run(&flags).ok().says("is trusted because of --trust-dir");
    assert_eq!(ran.stderr.matches("is trusted").count(), 1, "{}", ran.stderr);
    place.run(&["--trust-dir", "/", "binary", "list"]).ok().says("/ is trusted because of --trust-dir");
    mode(&data, 0o700);
}

#[test]
fn a_data_dir_that_is_trusted_by_exception_is_said_once_by_who_reads_it_before_it_is_written() {
    let place = place();
    fs::create_dir(place.path("data")).unwrap();
    mode(&place.path("data"), 0o777);
    for args in [&["lock"][..], &["lock", "--check"]] {
        let ran = place.run(&[&["--trust-dir", "../data"], args].concat()).ok();
        assert_eq!(ran.stderr.matches("is trusted").count(), 1, "{args:?}: {}", ran.stderr);
    }
}

/// Everything below a folder but what hooks made: LIB_DIR, and the files in the folders where they work.
fn modes(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() && !path.ends_with("data/lib") {
            modes(&path, found);
        }
        if !metadata.is_symlink() {
            found.push((path, metadata.mode() & 0o7777));
        }
    }
}

#[test]
fn what_rigup_keeps_is_for_its_user_alone_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let mut place = place();
        place.script("here/plugins/p/on_Snapshot__1_x.bg.sh", "#!/bin/sh\necho '{\"type\":\"X\"}'\n");
        place.set("XDG_DATA_HOME", place.path("share"));
        place.script("with-umask", "#!/bin/sh\numask \"$1\"; shift; exec \"$@\"\n");
        let rigup = env!("CARGO_BIN_EXE_rigup");
        for args in [
            &["install"][..],
            &["install", "sh", "--binproviders", "env"],
            &["run", "Snapshot"],
            &["start", "--slug", "s", "--", "sh", "-c", "\"$RIGUP\" post hello; \"$RIGUP\" result 1"],
            &["process", "wait", "--timeout", "20"],
        ] {
            let mut args: Vec<&str> = [&[umask, rigup][..], args].concat();
            let started;
            if args.contains(&"wait") {
                started = place.run(&["process", "list", "--slug", "s"]).ok().record();
                args.push(started["id"].as_str().unwrap());
            }
            Ran::from(&args, &place.command_of(&place.path("with-umask"), &args).output().unwrap()).ok();
        }
        let mut found = vec![(place.path("data"), place.path("data").metadata().unwrap().mode() & 0o7777)];
        modes(&place.path("data"), &mut found);
        assert!(found.len() > 50, "{found:?}");
        for (path, mode) in found {
            let is_lib = path.ends_with("data/lib");
            let is_program = path.ends_with("cmd.sh")
                || path.to_string_lossy().contains("/builtin/")
                    && path.extension().is_some_and(|it| it == "sh");
            let expected = if path.is_dir() || is_program { 0o700 } else { 0o600 };
            assert!(mode == expected || is_lib, "umask {umask}: {} has mode {mode:o}", path.display());
        }
    }
}

/// The built-in provider's hook, as it was unpacked.
fn unpacked(place: &Playground, provider: &str) -> PathBuf {
    let folder =
        fs::read_dir(place.path("data/builtin")).unwrap().next().unwrap().unwrap().path().join(provider);
    let mut files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    files.find(|it| it.extension().is_some_and(|it| it == "sh")).unwrap()
}

#[test]
fn a_built_in_hook_that_was_changed_is_restored_and_told_of_before_it_runs() {
    let place = Playground::new();
    place.run(&["install", "sh", "--binproviders", "env"]).ok();
    let hook = unpacked(&place, "env");
    let right = fs::read(&hook).unwrap();
    let canary = place.path("canary");
    let spoil: [(&str, &dyn Fn()); 4] = [
        ("other text", &|| fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", canary.display())).unwrap()),
        ("gone", &|| fs::remove_file(&hook).unwrap()),
        ("writable", &|| mode(&hook, 0o777)),
        ("a link", &|| {
            fs::rename(&hook, place.path("moved")).unwrap();
            fs::write(place.path("moved"), format!("#!/bin/sh\ntouch {}\n", canary.display())).unwrap();
            symlink(place.path("moved"), &hook).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        spoil();
        let ran = place.run(&["install", "sh", "--binproviders", "env", "--force"]).ok();
        ran.says(&format!("warning: sh: env: {} was changed, and rigup restored it", hook.display()));
        assert!(!canary.exists(), "{what}");
        assert_eq!(fs::read(&hook).unwrap(), right, "{what}");
        let ran = place.run(&["install", "sh", "--binproviders", "env", "--force"]).ok();
        assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    }
    assert_eq!(fs::read_dir(hook.parent().unwrap()).unwrap().count(), 2, "nothing half-made is left");
}

#[test]
fn a_plugin_may_lie_in_a_folder_that_its_users_cannot_list_and_its_owner_is_root() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = place();
    let record = run_as_nobody(&place, &["install"]).ok().record();
    assert_eq!(record["status"], "installed");
}
