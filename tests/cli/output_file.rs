//! The files that `--junit`, `--html`, `--timings` and `generate man` write: those that are not regular are not replaced.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::thread;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use serde_json::json;

use crate::kernel;
use crate::test_context::{CommandOutput, TestContext};

/// The commands that write `out/file`, or a link to it, and what that contains.
const COMMANDS: [(&[&str], &str); 6] = [
    (&["report", "--html", "out/file"], "<!DOCTYPE html>"),
    (&["run", "--junit", "out/file", "Test"], "<testsuites name=\"rigup run\""),
    (&["install", "--junit", "out/file"], "<testsuites name=\"rigup install\""),
    (&["install", "--timings=out/link.html"], "<!DOCTYPE html>"),
    (
        &["hook", "test", "--only", "name", "--junit", "out/file", "plugins/p/on_Test__1_good.sh"],
        "<testsuites name=\"rigup hook test\"",
    ),
    (&["generate", "man", "out/man"], ".TH rigup 1"),
];

/// Creates a context with a hook, a requirement, and the links to `out/file`, which does not exist yet.
fn context() -> TestContext {
    let context = TestContext::new();
    context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    context.script("here/plugins/p/on_Test__1_good.sh", "#!/bin/sh\n:\n");
    fs::create_dir_all(context.path("here/out/man")).unwrap();
    for link in ["link.html", "man/rigup.1"] {
        symlink(context.path("here/out/file"), context.path("here/out").join(link)).unwrap();
    }
    context
}

#[test]
fn a_fifo_gets_what_is_written_and_stays_a_fifo() {
    let context = context();
    let fifo = context.path("here/out/file");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for (args, expected) in COMMANDS {
        let path = fifo.clone();
        let reader = thread::spawn(move || fs::read_to_string(path).unwrap());
        context.run(args).succeeds();
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo(), "{args:?}");
        let read = reader.join().unwrap();
        assert!(read.contains(expected), "{args:?}: {read}");
    }
}

#[test]
fn a_device_stays_a_device_and_its_write_error_is_reported() {
    let context = context();
    let device = context.path("here/out/file");
    // The same device as /dev/full.
    let made = mknod(&device, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, makedev(1, 7));
    if let Err(error) = made.map_err(Into::into).and_then(|()| fs::File::options().write(true).open(&device))
    {
        kernel::print_skipped(&format!("no device can be created and opened: {error}"));
        return;
    }
    for (args, _) in COMMANDS {
        // Where the command does more than to write the file, its results are reported, too.
        let code = if matches!(args[0], "report" | "generate") { 3 } else { 1 };
        let output = context.run(args).exits_with(code).stderr_contains("error: cannot write the ");
        output.stderr_contains("No space left on device");
        assert!(fs::symlink_metadata(&device).unwrap().file_type().is_char_device(), "{args:?}");
    }
}

#[test]
fn what_standard_output_is_gets_the_file_between_other_lines() {
    let context = context();
    let (file, printed) = (context.path("here/out/file"), context.path("here/printed"));
    symlink("/proc/self/fd/1", &file).unwrap();
    for (args, expected) in COMMANDS {
        let is_complete = |text: &str, args: &[&str]| {
            let (first, rest) = text.split_once('\n').unwrap();
            assert_eq!(first, "before", "{args:?}");
            assert!(rest.contains(expected) && rest.ends_with("\nafter\n"), "{args:?}: {text}");
        };
        let script = "echo before; \"$0\" \"$@\" && echo after";
        let words = [&["-c", script, env!("CARGO_BIN_EXE_rigup")], args].concat();
        let mut command = context.command_for("/bin/sh".as_ref(), &words);
        is_complete(&CommandOutput::new(args, &command.output().unwrap()).succeeds().stdout, args);

        let output = fs::File::create(&printed).unwrap();
        let inode = output.metadata().unwrap().ino();
        assert!(command.stdout(output).status().unwrap().success(), "{args:?}");
        assert_eq!(fs::metadata(&printed).unwrap().ino(), inode, "{args:?}");
        is_complete(&fs::read_to_string(&printed).unwrap(), args);
    }
}

#[test]
fn what_cannot_be_opened_is_reported_before_any_work() {
    let context = context();
    let _socket = UnixListener::bind(context.path("here/out/file")).unwrap();
    for (args, _) in COMMANDS {
        context.run(args).exits_with(3).stderr_contains("error: cannot write the ");
    }
    assert!(!context.path("data").exists());
}

#[test]
fn files_that_rigup_reads_itself_are_regular() {
    let mut context = context();
    context.set("XDG_CONFIG_HOME", context.path("home"));
    let commands: [(&str, &[&str]); 2] =
        [("here/rigup.lock", &["lock"]), ("home/rigup/rigup.toml", &["config", "set", "RIGUP_JOBS=2"])];
    for (file, args) in commands {
        let path = context.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        context.run(args).exits_with(3).stderr_contains("not a regular file");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo(), "{args:?}");
        fs::remove_file(&path).unwrap();
    }
}

/// Returns a command that a shell runs with these redirections.
fn redirected(context: &TestContext, args: &[&str], redirections: &str) -> CommandOutput {
    let script = format!("\"$0\" \"$@\" {redirections}");
    let words = [&["-c", &*script, env!("CARGO_BIN_EXE_rigup")], args].concat();
    let mut command = context.command_for("/bin/sh".as_ref(), &words);
    CommandOutput::new(args, &command.output().unwrap())
}

#[test]
fn what_a_descriptor_is_gets_the_file_after_what_it_contains() {
    let context = context();
    let file = context.path("here/out/file");
    symlink("/proc/self/fd/3", &file).unwrap();
    for (args, expected) in COMMANDS {
        let written = context.write("written", "before\n");
        redirected(&context, args, "3>>../written").succeeds();
        let text = fs::read_to_string(written).unwrap();
        assert!(text.starts_with("before\n") && text.contains(expected), "{args:?}: {text}");
    }
}

#[test]
fn no_settings_or_lock_file_replaces_what_a_process_has_open() {
    let mut context = context();
    context.set("XDG_CONFIG_HOME", context.path("config"));
    let (settings, written) = (context.path("config/rigup/rigup.toml"), context.path("written"));
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    for (target, redirections) in [
        ("/proc/self/fd/3", "3>>../written"),
        ("/dev/fd/3", "3>>../written"),
        ("/dev/stdout", ">>../written"),
        ("/proc/self/fd/1", "| cat"),
        ("/dev/null", ""),
    ] {
        let _ = fs::remove_file(&settings);
        symlink(target, &settings).unwrap();
        let link = settings.to_str().unwrap();
        for args in [
            &["lock", "--lockfile", target][..],
            &["lock", "--lockfile", link],
            &["upgrade", "--lock", "--lockfile", link],
            &["config", "set", "keep.days=3"],
        ] {
            fs::write(&written, "").unwrap();
            let (files, id) =
                (fs::read_dir(context.path("")).unwrap().count(), written.metadata().unwrap().ino());
            let script = format!("{{ \"$0\" \"$@\"; echo $? >../code; }} {redirections}");
            let words = [&["-c", &*script, env!("CARGO_BIN_EXE_rigup")], args].concat();
            let output = context.command_for("/bin/sh".as_ref(), &words).output().unwrap();
            let code = fs::read_to_string(context.path("code")).unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(code, "3\n", "{args:?} {target}: {stderr}");
            assert_eq!(written.metadata().unwrap().ino(), id, "{args:?} {target}: it is not replaced");
            fs::remove_file(context.path("code")).unwrap();
            assert_eq!(fs::read_dir(context.path("")).unwrap().count(), files, "{args:?} {target}");
            assert!(settings.is_symlink());
        }
    }
}

#[test]
fn an_error_names_the_file_that_the_user_named() {
    let context = context();
    for file in ["/proc/x", "/dev/fd/99", "/proc/self/fd/99"] {
        let output = context.run(&["install", "--junit", file]).exits_with(3);
        let problem =
            format!("error: cannot write the results to {file}: No such file or directory (os error 2)\n");
        assert_eq!(output.stderr, problem);
    }
}
