//! An environment with secrets, and one with bytes that are not UTF-8.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde_json::json;

use crate::RECORD;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// The prefix of each secret in these tests.
const CANARY: &str = "canary-91c2";

/// A shell script that exits with 9 if one of the secrets is missing.
const CHECK_SECRETS: &str = "for secret in \"$MY_SECRET_TOKEN\" \"$PLAIN\" \"$W_PIN\"; do\n\
    case $secret in canary-*) ;; *) exit 9 ;; esac; done";

#[test]
fn row_21_no_file_and_no_output_of_rigup_contains_a_secret() {
    let mut context = TestContext::new();
    // A secret with a name that rigup masks, one with a plain name, and one from rigup.toml that its plugin declares
    // sensitive, with two settings that fall back to it: one of them cannot have this value.
    context.set("MY_SECRET_TOKEN", format!("{CANARY}-token")).set("PLAIN", format!("{CANARY}-plain"));
    let pin = json!({"type": "string", "default": "", "x-sensitive": true});
    for folder in ["plugins/w", "providers/good", "providers/bad"] {
        let copy = json!({"type": "string", "x-fallback": "W_PIN"});
        let number = json!({"type": "integer", "x-fallback": "W_PIN"});
        let properties = json!({"W_PIN": pin, "W_COPY": copy, "W_NUMBER": number});
        let config = json!({"type": "object", "properties": properties});
        context.write(&format!("here/{folder}/config.json"), config.to_string());
    }
    context.write("here/rigup.toml", format!("W_PIN = \"{CANARY}-pin\"\n"));
    context.provider("good", &format!("#!/bin/sh\n{CHECK_SECRETS}\necho '{RECORD}'\n"));
    context.provider("bad", &format!("#!/bin/sh\n{CHECK_SECRETS}\necho 'no luck' >&2\nexit 1\n"));
    for (kind, suffix) in [("", ""), (".finite.bg", ""), (".daemon.bg", "; exec sleep 600")] {
        let hook = format!("#!/bin/sh\n{CHECK_SECRETS}\necho '{{\"type\":\"Seen\"}}'{suffix}\n");
        context.script(&format!("here/plugins/w/on_E__1_a{kind}.sh"), &hook);
    }
    // A command of `exec` or `start` does not receive the settings of a plugin.
    let command = CHECK_SECRETS.replace(" \"$W_PIN\"", "");

    let mut outputs: Vec<CommandOutput> = Vec::new();
    let page = context.path("page.html");
    let timings = format!("--timings={}", page.display());
    outputs.push(context.run(&["install", "x", "-v", "--binproviders", "bad,good", &timings]).succeeds());
    outputs.push(context.run(&["install", "y", "-v", "--binproviders", "bad"]).exits_with(1));
    let event = context.run(&["run", "-v", "E"]).succeeds();
    let seen = event.records().iter().filter(|record| record["type"] == "Seen").count();
    assert_eq!(seen, 3, "each hook received the secrets");
    outputs.push(event);
    outputs.push(context.run(&["exec", "--", "sh", "-c", &command]).succeeds());
    let run = context.run(&["start", "--slug", "s", "--", "sh", "-c", &command]).succeeds();
    let id = run.record()["id"].as_str().unwrap().to_owned();
    outputs.push(run);
    outputs.push(context.run(&["process", "wait", &id]).succeeds());
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    for args in [
        &["process", "list", "--json"][..],
        &["process", "show", &id],
        &["process", "tree"],
        &["binary", "list", "--json"],
        &["machine", "show"],
        &["plugin", "show", "w"],
        &["config"],
        &["config", "--json"],
        &["install", "z", "--dry-run", "--binproviders", "good"],
    ] {
        outputs.push(context.run(args).succeeds());
    }
    for hook in context.hook_processes() {
        outputs.push(context.run(&["process", "logs", hook["id"].as_str().unwrap()]));
        assert_eq!([&hook["env"]["W_PIN"], &hook["env"]["W_COPY"]], ["***", "***"]);
    }

    let has_secret = |text: &[u8]| memchr::memmem::find(text, CANARY.as_bytes()).is_some();
    for output in &outputs {
        assert!(!has_secret(output.stdout.as_bytes()) && !has_secret(output.stderr.as_bytes()), "{output:?}");
    }
    let paths =
        walkdir::WalkDir::new(context.path("data")).into_iter().map(|entry| entry.unwrap().into_path());
    for file in paths.filter(|path| path.is_file()).chain([page]) {
        assert!(!has_secret(&fs::read(&file).unwrap()), "{}", file.display());
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_32_an_environment_that_is_not_utf8_keeps_its_bytes() {
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    // Read the environment from /proc, because a shell drops variables whose names it cannot use.
    let write =
        |name: &str| format!("cat /proc/$$/environ >\"${{RIGUP_DATA_DIR:-$DATA_DIR}}/env-{name}\"; :");
    let mut context = TestContext::new();
    let home = context.path("").join(bytes(b"home-\xff"));
    let folder = context.path("").join(bytes(b"bin-\xfe"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&folder).unwrap();
    // No other folder on PATH contains this program.
    fs::copy(context.script("tool", "#!/bin/sh\necho 1.2\n"), folder.join("tool")).unwrap();
    let path = [folder.as_os_str().as_bytes(), b":/usr/bin:/bin"].concat();
    context.set("PATH", bytes(&path)).set("HOME", home.clone()).set("X", bytes(b"\xff\xfe=\x80"));
    context.set("LC_ALL", bytes(b"\xff")).set("RIGUP_PROCESS_ID", bytes(b"\xff"));
    context.provider("p", &format!("#!/bin/sh\n{}\necho '{RECORD}'\n", write("install")));
    for (kind, name) in [("", "foreground"), (".finite.bg", "background")] {
        context
            .script(&format!("here/plugins/q/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{}\n", write(name)));
    }
    let run = |args: &[&str]| {
        let mut command = context.command(args);
        CommandOutput::new(args, &command.env(bytes(b"NAME-\xff"), bytes(b"\xc3")).output().unwrap())
            .succeeds()
    };
    run(&["install", "x", "--binproviders", "p"]);
    assert_eq!(
        run(&["exec", "--", "tool"]).stdout,
        "1.2\n",
        "rigup finds the binary in a folder whose path is not UTF-8"
    );
    run(&["run", "E"]);
    run(&["exec", "--", "sh", "-c", &write("exec")]);
    let started = run(&["start", "--slug", "s", "--", "sh", "-c", &write("start")]).record();
    run(&["process", "wait", started["id"].as_str().unwrap()]);
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    for args in [&["config"][..], &["plugin", "list"], &["process", "tree"], &["machine", "show"]] {
        run(args);
    }

    for name in ["install", "foreground", "background", "exec", "start"] {
        let env = fs::read(context.path(&format!("data/env-{name}"))).unwrap();
        let value = |variable: &[u8]| {
            let prefix = [variable, b"="].concat();
            let mut variables = env.split(|&byte| byte == 0);
            variables.find_map(|assignment| assignment.strip_prefix(&prefix[..])).map(<[u8]>::to_vec)
        };
        assert_eq!(value(b"X").unwrap(), b"\xff\xfe=\x80", "{name}");
        assert_eq!(value(b"NAME-\xff").unwrap(), b"\xc3", "{name}");
        assert_eq!(value(b"LC_ALL").unwrap(), b"\xff", "{name}");
        assert_eq!(value(b"HOME").unwrap(), home.as_os_str().as_bytes(), "{name}");
        assert!(value(b"PATH").unwrap().ends_with(&path), "{name}");
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_32_a_setting_that_is_not_utf8_keeps_its_bytes() {
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let mut context = TestContext::new();
    let text = json!({"type": "string", "default": "x"});
    let copy = json!({"type": "string", "default": "x", "x-fallback": "S_STR"});
    let number = json!({"type": "integer", "default": 7});
    let properties = json!({"S_STR": text, "S_BINARY": text, "S_COPY": copy, "S_NUMBER": number});
    let config = json!({"type": "object", "properties": properties});
    context.write("here/plugins/s/config.json", config.to_string());
    let script = "printf '%s %s %s %s' \"$S_STR\" \"$S_BINARY\" \"$S_COPY\" \"$S_NUMBER\" >\"$DATA_DIR/values\"\n\
        printf %s \"$PATH\" >\"$DATA_DIR/path\"";
    context.script("here/plugins/s/on_E__1_a.sh", &format!("#!/bin/sh\n{script}\n"));
    context.set("S_STR", bytes(b"caf\xe9")).set("S_BINARY", bytes(b"/opt/caf\xe9/w"));
    context.set("S_NUMBER", bytes(b"\xe9"));
    let output = context.run(&["run", "E"]).succeeds();
    output.stderr_contains("cannot use the variable S_NUMBER: ").stderr_contains("; 7 applies\n");
    let read = |name: &str| fs::read(context.path("data").join(name)).unwrap();
    assert_eq!(read("values"), b"caf\xe9 /opt/caf\xe9/w caf\xe9 7");
    assert!(read("path").starts_with(b"/opt/caf\xe9:"));
    context.run(&["config", "S_STR"]).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn row_32_a_path_that_no_record_can_hold_is_rejected() {
    let mut context = TestContext::new();
    let folder = context.path("").join(OsString::from_vec(b"here-\xff".to_vec()));
    fs::create_dir(&folder).unwrap();
    fs::copy(context.script("tool", "#!/bin/sh\necho 1.2\n"), folder.join("tool")).unwrap();
    context.set("PATH", OsString::from_vec([folder.as_os_str().as_bytes(), b":/usr/bin:/bin"].concat()));
    let output = context.run(&["install", "tool", "--binproviders", "env"]).exits_with(1);
    output.stderr_contains("/tool: the path is not UTF-8; rename the file");
    assert_nothing_is_left(&context);

    for (variable, flag) in [
        ("RIGUP_DATA_DIR", "--data-dir"),
        ("RIGUP_LIB_DIR", "--lib-dir"),
        ("RIGUP_LIB_BIN_DIR", "--lib-bin-dir"),
    ] {
        let mut context = TestContext::new();
        context.set(variable, folder.join("new"));
        let output = context.run(&["install", "sh", "--binproviders", "env"]).exits_with(3);
        output
            .stderr_contains("is not UTF-8, which records require")
            .stderr_contains(&format!("choose another with {flag}"));
        assert!(!folder.join("new").exists() && !context.path("data").exists(), "rigup created nothing");
    }
}
