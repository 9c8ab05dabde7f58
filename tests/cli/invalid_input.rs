//! Invalid input is reported with its path and line, and leaves nothing unfinished.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::json;

use crate::test_context::{CommandOutput, TestContext};

#[test]
fn reports_an_invalid_line_and_installs_for_the_other_plugins() {
    let context = TestContext::new();
    context.fixture("good");
    context.plugin("a", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    let bad = context.write("here/plugins/b/binaries.jsonl", "\n{\"type\":\"Binary\",\"name\":\"../x\"}\n");
    let output = context.run(&["install"]).exits_with(1);
    assert_eq!(output.record()["status"], "installed");
    output.stderr_contains(&format!("error: {}:2: the name `../x` contains a `/`", bad.display()));
    context.run(&["install", "--dry-run"]).exits_with(1).stderr_contains(":2: ");
    context.run(&["install"]).exits_with(1).stderr_contains(":2: ");
}

#[test]
fn plugin_names_and_lines_cannot_send_terminal_escape_codes() {
    let context = TestContext::new();
    context.plugin("bell\x07\u{9b}31m", &[json!({"type": "\u{9b}2J\u{7f}", "name": "x"})]);
    let output = context.run(&["install"]).exits_with(1).stderr_contains("is not a plugin name");
    assert!(!output.stderr.replace('\n', "").contains(char::is_control), "{:?}", output.stderr);
}

#[test]
fn writes_each_message_to_stderr_in_one_piece() {
    let context = TestContext::new();
    context.write("here/plugins/p/binaries.jsonl", "x\n\n{}\n");
    // A datagram socket preserves the boundaries between writes.
    let (receiver, stderr) = UnixDatagram::pair().unwrap();
    let mut command = context.command(&["install"]);
    command.stdout(Stdio::null()).stderr(OwnedFd::from(stderr));
    assert_eq!(command.status().unwrap().code(), Some(1));
    drop(command);
    receiver.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    for line in [1, 3] {
        let size = receiver.recv(&mut buffer).unwrap();
        let message = std::str::from_utf8(&buffer[..size]).unwrap();
        assert!(
            message.contains(&format!("binaries.jsonl:{line}: ")) && message.ends_with('\n'),
            "{message:?}"
        );
    }
}

#[test]
fn random_bytes_are_an_error_without_a_panic() {
    let context = TestContext::new();
    let noise: Vec<u8> =
        (0..100_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let bad = context.write("here/plugins/a/binaries.jsonl", noise);
    context
        .run(&["install"])
        .exits_with(1)
        .stderr_contains(&format!("error: {}:1: not a JSON object", bad.display()));
}

/// A file of a project can be a link to any file of the user, such as ~/.netrc or /proc/self/environ.
#[test]
fn a_syntax_error_in_a_file_does_not_quote_the_file() {
    let context = TestContext::new();
    for (file, args) in [
        ("here/rigup.toml", &["config"][..]),
        ("here/plugins/a/binaries.jsonl", &["install"]),
        ("here/plugins/a/config.json", &["plugin", "list"]),
        ("here/rigup.lock", &["install", "--locked"]),
        ("here/requests.jsonl", &["apply", "requests.jsonl"]),
        ("data/machine-id", &["install"]),
    ] {
        let long = format!("{{\"canary{}", "y".repeat(2 << 20));
        let other_types = [r#"{"type":["canary"]}"#, &long];
        let is_jsonl = std::path::Path::new(file).extension() == Some("jsonl".as_ref());
        for secret in other_types.into_iter().filter(|_| is_jsonl).chain([
            "machine example.org login me password canary\n",
            "SECRET=canary\0PATH=/bin\0",
            "\"canary\"\n",
            "canary = canary\n",
            "[canary\n",
            "{\"canary\": canary",
            "[\"canary\",\n",
            "{\"type\":\"Lockfile\",\"version\":1}\n{\"canary\"",
        ]) {
            context.write(file, secret);
            let output = context.run(args);
            let printed = format!("{}{}", output.stdout, output.stderr);
            assert!(printed.contains(file.rsplit('/').next().unwrap()), "{file} {secret:?}: {printed}");
            assert!(!printed.contains("canary"), "{file} {secret:?}: {printed}");
        }
        fs::remove_file(context.path(file)).unwrap();
    }
}

#[test]
fn rejects_a_data_dir_that_is_a_file() {
    let context = TestContext::new();
    context.write("data", "");
    for args in [&["install", "sh"][..], &["process", "list"], &["binary", "list"], &["machine", "show"]] {
        let output = context.run(args).exits_with(3);
        output
            .stderr_contains(&format!("the data dir {}", context.path("data").display()))
            .stderr_contains("--data-dir");
    }
}

#[test]
fn rejects_a_data_dir_that_records_cannot_hold_and_creates_nothing() {
    let mut context = TestContext::new();
    for name in [&b"d\xff"[..], b"d:x", b"a $x b"] {
        let folder = context.path("").join(std::ffi::OsStr::from_bytes(name));
        context.set("RIGUP_DATA_DIR", &folder);
        context
            .run(&["install", "sh"])
            .exits_with(3)
            .stderr_contains("cannot use the")
            .stderr_contains("choose another with --data-dir");
        assert!(!folder.exists());
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let context = TestContext::new();
    for args in [
        &["instal"][..],
        &["install", "--timeout", "0"],
        &["install", "--timeout", "43201"],
        &["install", "-j", "0"],
        &[],
    ] {
        context.run(args).exits_with(2);
    }
}

#[test]
fn an_invalid_option_is_refused_with_the_values_that_it_takes() {
    let context = TestContext::new();
    let (count, jobs) = ("use a whole number from 0 to 4294967295", "use a whole number from 1 to 65535");
    let timeout = "use a number of seconds such as 90 or 0.5, or a number with ms, s, m, h or d such as 5m, more than 0 \
                   and at most 12h";
    for (args, expected) in [
        (&["run", "--timeout", "abc", "E"][..], timeout),
        (&["run", "--timeout", "13h", "E"], timeout),
        (&["run", "--ready-timeout", "abc", "E"], "at most 100 years; or use `none`"),
        (&["run", "--follow", "A", "--max-depth", "abc", "E"], count),
        (&["run", "--follow", "A", "-j", "0", "E"], jobs),
        (&["install", "-j", "0"], jobs),
        (&["install", "-j", "65536"], jobs),
        (&["start", "--slug", "a", "--max-live=-1", "--", "true"], count),
        (&["binary", "list", "-n", "x"], count),
        (&["machine", "list", "-n", "x"], count),
        (&["process", "list", "-n", "x"], count),
        (&["process", "list", "--pid", "x"], count),
        (&["process", "tree", "-n", "x"], count),
        (&["process", "logs", "-n", "99999999999"], count),
        (&["run", "Bad Event"], "\"Bad Event\" is not the name of an event; use a name without white space"),
        (&["run", "--follow", "A\u{7}", "E"], "\"A\\u{7}\" is not the name of an event; use a name"),
    ] {
        context.run(args).exits_with(2).stderr_contains(expected);
    }
}

/// Runs a copy of rigup as the user nobody, who has fewer permissions than root.
pub(crate) fn run_as_nobody(context: &TestContext, args: &[&str]) -> CommandOutput {
    const NOBODY: u32 = 65534;
    let rigup = context.path("rigup");
    // Copied by another process. If this one had the copy open for writing, a child forked meanwhile would inherit the
    // descriptor, and the kernel would refuse to run the copy.
    assert_cmd::Command::new("cp")
        .args([env!("CARGO_BIN_EXE_rigup").as_ref(), rigup.as_os_str()])
        .assert()
        .success();
    fs::set_permissions(context.path(""), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = context.command_for(&rigup, args);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    CommandOutput::new(args, &command.output().unwrap())
}

#[test]
fn reports_an_unreadable_plugin_folder_and_installs_for_the_others() {
    let context = TestContext::new();
    context.plugin("a", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.plugin("b", &[json!({"type": "Binary", "name": "ls", "binproviders": "env"})]);
    let closed = context.path("here/plugins/a");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let output = run_as_nobody(&context, &["install"]).exits_with(1);
    assert_eq!(output.record()["name"], "ls");
    output.stderr_contains(&format!("error: {}: cannot be read", closed.display()));
    run_as_nobody(&context, &["install", "--plugins", "a"])
        .exits_with(3)
        .stderr_contains("cannot use the plugin a");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn rejects_a_data_dir_that_is_not_writable() {
    let context = TestContext::new();
    fs::create_dir(context.path("locked")).unwrap();
    fs::set_permissions(context.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let data = context.path("locked/data");
    run_as_nobody(&context, &["--data-dir", data.to_str().unwrap(), "install", "sh"])
        .exits_with(3)
        .stderr_contains("cannot create the folder");
}

#[test]
fn reports_a_nul_in_a_requirement_with_its_line() {
    for (key, value) in [("min_version", "1\0"), ("binproviders", "good,\0")] {
        let context = TestContext::new();
        context.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", key: value})]);
        context
            .run(&["install"])
            .exits_with(1)
            .stderr_contains(&format!("binaries.jsonl:1: \"{key}\" must be"));
    }
}

#[test]
fn installs_a_name_of_63_four_byte_characters() {
    let context = TestContext::new();
    let name = "\u{1f600}".repeat(63);
    let program = context.script(&name, "#!/bin/sh\n");
    context.run(&["install", program.to_str().unwrap()]).succeeds();
    assert!(context.bin(&name).exists());
}

#[test]
fn rejects_a_plugins_dir_that_does_not_exist_or_is_a_file() {
    let context = TestContext::new();
    context.write("here/file", "");
    for dir in ["nosuch", "file"] {
        context
            .run(&["--plugins-dir", dir, "plugin", "list"])
            .exits_with(3)
            .stderr_contains("no such folder");
    }
}

#[test]
fn rejects_a_min_version_that_is_not_a_version() {
    let context = TestContext::new();
    context
        .run(&["install", "sh", "--min-version", "abc"])
        .exits_with(2)
        .stderr_contains("is not a version; use a form such as");
    context.run(&["load", "sh", "--min-version", "latest"]).exits_with(2);
    assert!(!context.path("data").exists());
}

#[test]
fn commands_that_need_plugins_fail_if_there_is_no_plugin_folder() {
    let context = TestContext::new();
    for args in [&["install"][..], &["load"], &["run", "E"], &["install", "--dry-run"]] {
        let output = context.run(args).exits_with(3);
        output
            .stderr_contains("there is no plugin folder at ")
            .stderr_contains("create one with `rigup init plugin NAME`");
    }
    context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    context.run(&["install", "--due"]).succeeds();
    context.run(&["run", "BinaryRequest", "--name=sh", "--binproviders=env"]).succeeds();
    context.write("here/plugins/p/README", "");
    context.run(&["run", "E"]).succeeds();
    context.run(&["install"]).succeeds();
}

#[test]
fn an_argument_cannot_add_lines_to_a_message_or_control_the_terminal() {
    let context = TestContext::new();
    context.fixture("good");
    context.plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    context.run(&["install"]).succeeds();
    let word = "a\nerror: forged\x1b[31m\rb";
    for args in [
        &["process", "show", word] as &[&str],
        &["process", "logs", word],
        &["plugin", "show", word],
        &["binary", "show", word],
        &["config", word],
        &["config", "set", word],
        &["install", "--plugins", word],
        &["install", "--binproviders", word],
        &["install", "--locked", "--lockfile", word],
        &["run", "--plugins", word, "Test"],
        &["run", word],
        &["report", "--html", &format!("plugins/p/binaries.jsonl/{word}")],
        &["hook", "test", word],
        &["exec", "--", word],
        &["stop", word],
        &["logs", word],
        &["up", "-f", word],
        &["apply", word],
        &["--plugins-dir", word, "install"],
        // Errors of the parser.
        &[word],
        &["machine", "show", word],
        &["env", "--shell", word],
        &["start", "--slug", word, "--", "true"],
        &["install", &format!("--{word}")],
    ] {
        let output = context.run(args);
        assert_ne!(output.code, Some(0), "{args:?}");
        let lines: Vec<&str> = output.stderr.lines().collect();
        assert!(lines.iter().any(|line| line.contains("forged")), "{args:?}: {lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("error: forged")), "{args:?}: {lines:?}");
        let is_raw = |line: &&str| line.contains(char::is_control);
        assert!(!lines.iter().any(is_raw), "{args:?}: {lines:?}");
    }
}

#[test]
fn an_argument_that_is_not_utf8_is_an_error_without_a_panic() {
    let context = TestContext::new();
    for args in [&[b"\xff" as &[u8]] as &[&[u8]], &[b"-q", b"\xff"], &[b"plugin", b"\xff"]] {
        let mut command = context.command(&[]);
        let output = command.args(args.iter().map(|arg| OsStr::from_bytes(arg))).output().unwrap();
        let output = CommandOutput::new(&[], &output).exits_with(2);
        assert!(output.stderr.starts_with("error: "), "{output:?}");
    }
}

#[test]
fn an_invalid_line_is_the_reason_why_nothing_is_required() {
    let context = TestContext::new();
    for (line, expected) in [
        (
            "[]",
            "binaries.jsonl:1: not a JSON object: it is a list; write {\"type\":\"Binary\",\"name\":\"NAME\"}",
        ),
        ("{\"type\":\"Binary\"}", "binaries.jsonl:1: no \"name\"; add that of the binary, as in {"),
    ] {
        context.write("here/plugins/p/binaries.jsonl", line);
        for args in [&["install"][..], &["load"], &["lock"], &["lock", "--check"]] {
            let output = context.run(args).exits_with(1).stderr_contains(expected);
            assert!(!output.stderr.contains("requires a binary"), "{}", output.stderr);
        }
    }
}

#[test]
fn an_address_in_place_of_a_name_leads_to_the_provider_url() {
    let context = TestContext::new();
    let output = context.run(&["install", "https://example.org/x"]).exits_with(2);
    output.stderr_contains("`https://example.org/x` is an address, not a name; ").stderr_contains(
        "\"name\":\"PROGRAM\",\"binproviders\":\"url\",\"overrides\":{\"url\":{\"url\":\"https://example.org/x\"}}}' | rigup apply`",
    );
}
