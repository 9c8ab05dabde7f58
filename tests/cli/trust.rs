//! rigup does not run, read or write files that other users can write to.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde_json::json;

use crate::invalid_input::run_as_nobody;
use crate::kernel;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Sets the permissions of a file.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Creates a context with the provider `good`, and a plugin that requires `x` from it.
pub(crate) fn context() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    context
}

/// Asserts that rigup rejects an untrusted plugin with this message, and runs no hook.
fn assert_rejected(context: &TestContext, plugin: &str, message: &str) {
    let output = context
        .run(&["install"])
        .exits_with(1)
        .stderr_contains(&format!("error: {message}"))
        .stderr_contains("--trust-dir ");
    assert!(output.records().iter().all(|record| record["status"] != "installed"), "{}", output.stdout);
    assert!(context.hook_processes().is_empty());
    context.run(&["install", "--plugins", plugin]).exits_with(3).stderr_contains(message);
}

#[test]
fn does_not_run_a_hook_that_others_can_write() {
    let context = context();
    let hook = context.path("here/providers/good/on_BinaryRequest__50_good.sh");
    set_mode(&hook, 0o777);
    assert_rejected(
        &context,
        "good",
        &format!("{0}: others can write to it (mode 0777); fix it with `chmod o-w {0}`", hook.display()),
    );
    set_mode(&hook, 0o755);
    context.run(&["install"]).succeeds();
}

#[test]
fn does_not_read_requirements_or_settings_that_others_can_write() {
    for file in ["binaries.jsonl", "config.json"] {
        let context = context();
        let path = context.write(&format!("here/plugins/p/{file}"), "{}");
        set_mode(&path, 0o666);
        let advice = "others can write to it (mode 0666); fix it with `chmod o-w ";
        assert_rejected(&context, "p", &format!("{0}: {advice}{0}`, or ", path.display()));
    }
}

#[test]
fn rejects_a_plugins_folder_that_others_can_write_and_uses_the_others() {
    let context = context();
    let plugins = context.path("here/plugins");
    context.plugin("q", &[]);
    set_mode(&plugins, 0o777);
    let output = context.run(&["install"]).exits_with(1);
    assert_eq!(output.stderr.matches("error:").count(), 1, "{}", output.stderr);
    output.stderr_contains(&format!(
        "error: {}: others can write to it (mode 0777); fix it with `chmod -R o-w ",
        plugins.display()
    ));
    context
        .run(&["install", "--plugins", "q"])
        .exits_with(3)
        .stderr_contains("others can write to it")
        .stderr_contains("there is no plugin named q");
    context
        .run(&["install", "y", "--binproviders", "good"])
        .exits_with(1)
        .stderr_contains("installed by good");
    set_mode(&plugins, 0o755);
    context.run(&["install"]).succeeds();
}

#[test]
fn checks_both_the_link_to_a_plugin_and_its_target() {
    let context = context();
    let elsewhere = context.write("open/shared/p/binaries.jsonl", "");
    fs::remove_dir_all(context.path("here/plugins/p")).unwrap();
    symlink(elsewhere.parent().unwrap(), context.path("here/plugins/p")).unwrap();
    context.run(&["install"]).succeeds();
    set_mode(&context.path("open"), 0o777);
    let link = context.path("here/plugins/p");
    let message = format!(
        "{}: others can write to it (mode 0777), and {} is reached through it",
        context.path("open").display(),
        link.display()
    );
    assert_rejected(&context, "p", &message);
    set_mode(&context.path("open"), 0o1777);
    context.run(&["install"]).succeeds();
}

#[test]
fn uses_a_trusted_folder_and_reports_it_once() {
    let context = context();
    let open = context.path("here/plugins");
    set_mode(&open, 0o777);
    set_mode(&open.join("p/binaries.jsonl"), 0o666);
    let message = |by: &str| format!("{} is trusted because of {by}, although ", open.display());
    let output = context
        .run(&["install", "--trust-dir", "plugins"])
        .succeeds()
        .stderr_contains(&message("--trust-dir"));
    assert_eq!(output.stderr.matches("is trusted").count(), 1, "{}", output.stderr);
    let mut context = context;
    context.set("RIGUP_TRUST_DIR", "/nowhere:plugins");
    context.run(&["install"]).succeeds().stderr_contains(&message("RIGUP_TRUST_DIR"));
    context.set("RIGUP_TRUST_DIR", "");
    let file = context.write("home/.config/rigup/rigup.toml", format!("trust_dirs = [{open:?}]"));
    context
        .run(&["install"])
        .succeeds()
        .stderr_contains(&message(&format!("trust_dirs in {}", file.display())));
    context.write("home/.config/rigup/rigup.toml", "trust_dirs = [\"~/../here\"]");
    context.run(&["install"]).succeeds().stderr_contains("here is trusted because of");
    context.write("home/.config/rigup/rigup.toml", "trust_dirs = \"/\"");
    context.run(&["install"]).exits_with(3).stderr_contains("trust_dirs must be a list of folders");
}

#[test]
fn trusts_one_plugin_in_an_untrusted_folder() {
    let context = context();
    context.plugin("q", &[json!({"type": "Binary", "name": "y", "binproviders": "good"})]);
    set_mode(&context.path("here/plugins"), 0o777);
    let output = context
        .run(&["install", "--trust-dir", "plugins/q"])
        .exits_with(1)
        .stderr_contains("here/plugins: others can");
    assert_eq!(output.record()["name"], "y");
}

#[test]
fn the_rigup_that_a_hook_calls_trusts_the_same_folders() {
    let context = TestContext::new();
    let hook = "#!/bin/sh\necho \"$RIGUP_TRUST_DIR\" >&2\n";
    context.provider("printing", hook);
    set_mode(&context.path("here/providers"), 0o777);
    let flags = ["--trust-dir", "providers", "install", "x", "--binproviders", "printing"];
    let record = context.run(&flags).exits_with(1).record();
    assert_eq!(record["attempts"][0]["reason"], context.path("here/providers").to_str().unwrap());
    set_mode(&context.path("here/providers"), 0o755);
    let record =
        context.run(&["install", "x", "--binproviders", "printing", "--force"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["reason"], "printed no Binary record", "RIGUP_TRUST_DIR is not set");
}

#[test]
fn rejects_a_settings_file_that_others_can_write() {
    let context = context();
    let file = context.write("here/rigup.toml", "");
    set_mode(&file, 0o666);
    let message = format!(
        "error: {0}: others can write to it (mode 0666); fix it with `chmod o-w {0}`",
        file.display()
    );
    context.run(&["install"]).exits_with(3).stderr_contains(&message);
    set_mode(&file, 0o644);
    set_mode(&context.path("here"), 0o777);
    context.run(&["install"]).exits_with(3).stderr_contains("here: others can write to it (mode 0777), and ");
}

#[test]
fn trust_dirs_counts_only_in_the_users_own_trusted_file() {
    let context = context();
    set_mode(&context.path("here/plugins"), 0o777);
    let line = format!("trust_dirs = [{:?}]", context.path("here"));
    let untrusted = "here/plugins: others can write to it (mode 0777)";
    let projects = context.write("here/rigup.toml", &line);
    let ignored =
        format!("trust_dirs in {} is ignored: a project cannot make folders trusted", projects.display());
    context.run(&["install"]).exits_with(1).stderr_contains(&ignored).stderr_contains(untrusted);
    fs::remove_file(projects).unwrap();

    let users = context.write("home/.config/rigup/rigup.toml", &line);
    context.run(&["install"]).succeeds().stderr_contains("here is trusted because of trust_dirs in ");
    set_mode(&users, 0o666);
    let ignored = format!("trust_dirs in {} is ignored: others can write to the file", users.display());
    let args = ["install", "--trust-dir", users.to_str().unwrap()];
    context.run(&args).exits_with(1).stderr_contains(&ignored).stderr_contains(untrusted);
}

/// The advice must not name `trust_dirs`, because an untrusted settings file cannot make itself trusted.
#[test]
fn an_untrusted_settings_file_can_be_trusted_without_settings() {
    let context = context();
    for name in ["here", "home/.config/rigup"] {
        let file = context.write(&format!("{name}/rigup.toml"), "");
        set_mode(&file, 0o666);
        let folder = context.path(name);
        let advice = format!("with --trust-dir {0} or RIGUP_TRUST_DIR={0}\n", folder.display());
        context.run(&["install"]).exits_with(3).stderr_contains(&advice);
        context.run(&["install", "--trust-dir", folder.to_str().unwrap()]).succeeds();
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn rejects_a_lock_file_that_others_can_write() {
    let context = context();
    context.run(&["lock"]).succeeds();
    let file = context.path("here/rigup.lock");
    set_mode(&file, 0o666);
    let message =
        format!("{0}: others can write to it (mode 0666); fix it with `chmod o-w {0}`", file.display());
    for args in [&["install", "--locked"][..], &["lock", "--check"], &["lock"]] {
        context
            .run(args)
            .exits_with(3)
            .stderr_contains("cannot use the lock file rigup.lock: ")
            .stderr_contains(&message);
    }
    let here = context.path("here");
    let advice = format!("--trust-dir {} or trust_dirs = [{here:?}] in your own rigup.toml", here.display());
    context.run(&["install", "--locked"]).exits_with(3).stderr_contains(&advice);
    context
        .run(&["install", "--locked", "--trust-dir", "."])
        .succeeds()
        .stderr_contains("is trusted because of --trust-dir");
    context.write("home/.config/rigup/rigup.toml", format!("trust_dirs = [{here:?}]"));
    context.run(&["install", "--locked"]).succeeds().stderr_contains("is trusted because of trust_dirs in ");
    fs::remove_dir_all(context.path("home")).unwrap();
    set_mode(&file, 0o644);
    context.run(&["install", "--locked"]).succeeds();
}

/// The owner and the mode of a pipe say nothing about its content, which another process writes.
#[test]
fn rejects_a_named_pipe_as_settings_without_waiting_for_it() {
    let context = context();
    let file = context.path("here/rigup.toml");
    let mut owners = vec![(None, "not a regular file")];
    if nix::unistd::geteuid().is_root() {
        owners.push((Some(12345), "it belongs to uid 12345, not to root"));
    }
    for (owner, message) in owners {
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        std::os::unix::fs::chown(&file, owner, None).unwrap();
        let mut rigup = context.start(&["install"]);
        wait_until("rigup has exited", || {
            let opened =
                fs::OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&file);
            if let Ok(mut pipe) = opened {
                let _ = pipe.write_all(b"trust_dirs = [\"/\"]");
                let _ = fs::remove_file(&file);
            }
            rigup.try_wait().unwrap().is_some()
        });
        let output = rigup.wait_with_output().unwrap();
        CommandOutput::new(&["install"], &output).exits_with(3).stderr_contains(message);
        let _ = fs::remove_file(&file);
    }
}

#[test]
fn rejects_files_of_another_user_unless_that_user_called_sudo() {
    if !kernel::is_root() {
        return; // only root can change the owner of a file
    }
    let mut context = context();
    for path in ["here", "here/plugins", "here/plugins/p", "here/plugins/p/binaries.jsonl"] {
        std::os::unix::fs::chown(context.path(path), Some(12345), Some(12345)).unwrap();
    }
    let here = context.path("here");
    context.run(&["install"]).exits_with(1).stderr_contains(&format!(
        "error: {}: it belongs to uid 12345, not to root, and {}/plugins is reached through it; if you trust that user, run `export RIGUP_TRUST_DIR={}`",
        here.display(),
        here.display(),
        here.display(),
    ));
    context.set("SUDO_UID", "12345");
    context.run(&["install"]).succeeds();
}

/// `sudo` may keep the HOME of its caller.
#[test]
fn root_uses_no_data_dir_of_another_user() {
    if !kernel::is_root() {
        return;
    }
    let mut context = context();
    let home = context.path("other-home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(12345), Some(12345)).unwrap();
    context.set("HOME", home.clone()).set("RIGUP_DATA_DIR", "");
    let reason = format!("rigup runs as root, but {} belongs to uid 12345; run ", home.display());
    let own_data_dir = home.join("dd").into_os_string().into_string().unwrap();
    for sudo_user in ["", "12345"] {
        context.set("SUDO_UID", sudo_user);
        for (args, command) in [
            (&["install", "a b", "sh"][..], "`sudo -H rigup install 'a b' sh`, or run rigup as that user"),
            (&["binary", "list"], "`sudo -H rigup binary list`"),
            (&["lock", "sh"], "`sudo -H rigup lock sh`"),
            (&["process", "gc"], "`sudo -H rigup process gc`"),
            (&["--data-dir", &own_data_dir, "load", "sh"], "rigup as that user; choose another"),
            (&["--data-dir", &own_data_dir, "process", "list"], "rigup as that user"),
        ] {
            let output = context.run(args).exits_with(3).stderr_contains(&format!("{reason}{command}"));
            assert!(output.stderr.starts_with("error: cannot use the data dir "), "{}", output.stderr);
        }
    }
    // Package managers do not write their caches there, either.
    let lib_dir = context.path("data/lib").join(rigup::settings::platform());
    context.set("RIGUP_DATA_DIR", context.path("data"));
    let begun = context.begin("npm/x", &["npm", "--", "--name=x"]).succeeds();
    let cache = format!("export XDG_CACHE_HOME={}", lib_dir.join(".cache/0").display());
    assert!(begun.stdout.contains(&cache), "{begun:?}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    context.unset("SUDO_UID").unset("RIGUP_LOCKED").set("RIGUP_DATA_DIR", "");
    context.set("HOME", context.path("home"));
    context.run(&["install", "sh"]).succeeds();
    let mode = context.path("home/.local/share/rigup").metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(context.path("home/.local/share").metadata().unwrap().mode() & 0o022, 0);
}

#[test]
fn another_user_needs_only_a_writable_lib_dir_and_no_home_folder() {
    let mut context = context();
    let lib = context.path("lib");
    fs::create_dir(&lib).unwrap();
    set_mode(&lib, 0o1777);
    context.set("LIB_DIR", lib.clone());
    // The lock that root created first is usable by the other user.
    context.run(&["hook", "lock", "x", "--", "true"]).succeeds();
    run_as_nobody(&context, &["hook", "lock", "x", "--", "true"]).succeeds();
    context.set("RIGUP_DATA_DIR", "");
    for home in ["/", "/nonexistent/home", "/proc"] {
        context.set("HOME", home);
        run_as_nobody(&context, &["install", "sh"]).succeeds();
        run_as_nobody(&context, &["load", "sh"]).succeeds();
        assert!(lib.join("bin/sh").exists() && lib.join(".rigup/rigup.sqlite3").exists());
    }
}

#[test]
fn rejects_a_data_dir_that_others_can_write_but_not_one_they_can_read() {
    let context = context();
    let data = context.path("data");
    fs::create_dir(&data).unwrap();
    set_mode(&data, 0o755);
    context.run(&["install"]).succeeds();
    assert_eq!(data.metadata().unwrap().mode() & 0o7777, 0o755);
    set_mode(&data, 0o777);
    let message = format!(
        "cannot use the data dir {0}: {0}: others can write to it (mode 0777); fix it with `chmod o-w ",
        data.display()
    );
    for args in [&["install"][..], &["process", "list"], &["binary", "list"]] {
        context.run(args).exits_with(3).stderr_contains(&message);
    }
    let flags = ["--trust-dir", data.to_str().unwrap(), "install", "--force"];
    let output = context.run(&flags).succeeds().stderr_contains("is trusted because of --trust-dir");
    assert_eq!(output.stderr.matches("is trusted").count(), 1, "{}", output.stderr);
    context
        .run(&["--trust-dir", "/", "binary", "list"])
        .succeeds()
        .stderr_contains("/ is trusted because of --trust-dir");
    set_mode(&data, 0o700);
}

#[test]
fn reports_a_trusted_data_dir_once_per_command() {
    let context = context();
    fs::create_dir(context.path("data")).unwrap();
    set_mode(&context.path("data"), 0o777);
    for args in [&["lock"][..], &["lock", "--check"]] {
        let output = context.run(&[&["--trust-dir", "../data"], args].concat()).succeeds();
        assert_eq!(output.stderr.matches("is trusted").count(), 1, "{args:?}: {}", output.stderr);
    }
}

/// Adds the path and the mode of each file below a folder, except in LIB_DIR, where hooks create the files.
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
fn rigup_creates_private_files_with_any_umask() {
    for umask in ["000", "022", "077"] {
        let mut context = context();
        context.script("here/plugins/p/on_Snapshot__1_x.bg.sh", "#!/bin/sh\necho '{\"type\":\"X\"}'\n");
        context.set("XDG_DATA_HOME", context.path("share"));
        let with_umask = ["-c", "umask \"$0\" && exec \"$@\""];
        let rigup = env!("CARGO_BIN_EXE_rigup");
        for args in [
            &["install"][..],
            &["install", "sh", "--binproviders", "env"],
            &["run", "Snapshot"],
            &["start", "--slug", "s", "--", "sh", "-c", "\"$RIGUP\" post hello; \"$RIGUP\" result 1"],
            &["process", "wait", "--timeout", "20"],
        ] {
            let mut args: Vec<&str> = [&with_umask[..], &[umask, rigup], args].concat();
            let started;
            if args.contains(&"wait") {
                started = context.run(&["process", "list", "--slug", "s"]).succeeds().record();
                args.push(started["id"].as_str().unwrap());
            }
            CommandOutput::new(&args, &context.command_for(Path::new("/bin/sh"), &args).output().unwrap())
                .succeeds();
        }
        let mut found =
            vec![(context.path("data"), context.path("data").metadata().unwrap().mode() & 0o7777)];
        modes(&context.path("data"), &mut found);
        assert!(found.len() > 50, "{found:?}");
        for (path, mode) in found {
            let is_lib = path.ends_with("data/lib");
            // The files in an output dir belong to the user.
            let is_output = path.starts_with(context.path("data/events"));
            let is_program = path.ends_with("cmd.sh")
                || path.to_string_lossy().contains("/builtin/")
                    && path.extension().is_some_and(|extension| extension == "sh");
            let expected = if path.is_dir() || is_program { 0o700 } else { 0o600 };
            let is_expected = if path.ends_with("index.jsonl") {
                mode == 0o666 & !u32::from_str_radix(umask, 8).unwrap()
            } else {
                mode == expected || is_lib || is_output
            };
            assert!(is_expected, "umask {umask}: {} has mode {mode:o}", path.display());
        }
    }
}

/// Returns the path of the unpacked hook of a built-in provider.
fn unpacked_hook(context: &TestContext, provider: &str) -> PathBuf {
    let folder =
        fs::read_dir(context.path("data/builtin")).unwrap().next().unwrap().unwrap().path().join(provider);
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "sh")).unwrap()
}

#[test]
fn restores_and_reports_a_changed_built_in_hook_before_it_runs() {
    let context = TestContext::new();
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    let hook = unpacked_hook(&context, "env");
    let original = fs::read(&hook).unwrap();
    let canary = context.path("canary");
    let changes: [(&str, &dyn Fn()); 4] = [
        ("other text", &|| fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", canary.display())).unwrap()),
        ("gone", &|| fs::remove_file(&hook).unwrap()),
        ("writable", &|| set_mode(&hook, 0o777)),
        ("a link", &|| {
            fs::rename(&hook, context.path("moved")).unwrap();
            fs::write(context.path("moved"), format!("#!/bin/sh\ntouch {}\n", canary.display())).unwrap();
            symlink(context.path("moved"), &hook).unwrap();
        }),
    ];
    for (name, change) in changes {
        change();
        let output = context.run(&["install", "sh", "--binproviders", "env", "--force"]).succeeds();
        output.stderr_contains(&format!(
            "warning: sh: env: {} was changed, and rigup restored it",
            hook.display()
        ));
        assert!(!canary.exists(), "{name}");
        assert_eq!(fs::read(&hook).unwrap(), original, "{name}");
        let output = context.run(&["install", "sh", "--binproviders", "env", "--force"]).succeeds();
        assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    }
    assert_eq!(fs::read_dir(hook.parent().unwrap()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn uses_a_plugin_of_root_in_a_folder_that_the_user_cannot_list() {
    if !kernel::is_root() {
        return;
    }
    let context = context();
    let record = run_as_nobody(&context, &["install"]).succeeds().record();
    assert_eq!(record["status"], "installed");
}
