//! The environment of hooks and of the commands of `exec` and `start`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use serde_json::json;

use crate::test_context::{CommandOutput, TestContext, wait_until};

/// Runs a program in the repository of the user, with the environment of the context, and returns its output.
fn in_repository(context: &TestContext, program: &str, args: &[&str]) -> CommandOutput {
    let mut command = context.command_for(OsStr::new(program).as_ref(), args);
    CommandOutput::new(args, &command.output().unwrap())
}

/// Creates a context whose `here` is a git repository with one commit, and with this pre-commit hook.
fn repository(hook: &str) -> TestContext {
    let mut context = TestContext::new();
    for who in ["AUTHOR", "COMMITTER"] {
        context.set(&format!("GIT_{who}_NAME"), "someone").set(&format!("GIT_{who}_EMAIL"), "s@example.org");
    }
    context.set("RIGUP_EXE", env!("CARGO_BIN_EXE_rigup"));
    // Otherwise, git leaves a process behind that packs the repository.
    context.write("home/.gitconfig", "[maintenance]\nauto = false\n[gc]\nauto = 0\n");
    context.write("here/file", "1\n");
    context.write("here/other", "1\n");
    for args in [&["init", "-q"][..], &["add", "file", "other"], &["commit", "-qm", "first"]] {
        in_repository(&context, "git", args).succeeds();
    }
    context.script("here/.git/hooks/pre-commit", hook);
    context
}

/// Changes both files, commits one with `commit`, and asserts that the repository has exactly that commit.
fn commit_and_check(context: &TestContext, commit: &[&str], left: &str) -> String {
    context.write("here/file", "2\n");
    context.write("here/other", "2\n");
    let stderr =
        in_repository(context, "git", &[&["commit", "-qm", "second"], commit].concat()).succeeds().stderr;
    let log = in_repository(context, "git", &["log", "--format=%s"]).succeeds().stdout;
    assert_eq!(log, "second\nfirst\n", "{stderr}");
    let status = in_repository(context, "git", &["status", "--porcelain", "-uno"]).succeeds().stdout;
    assert_eq!(status, left, "{stderr}");
    in_repository(context, "git", &["fsck", "--strict"]).succeeds();
    assert_eq!(context.live_processes(), []);
    stderr
}

/// A script that commits to a repository of its own.
const COMMIT_INSIDE: &str = "#!/bin/sh\nset -e\necho ready\nrm -rf inner; git init -q inner; echo 3 >inner/file; \
    git -C inner add file; git -C inner commit -qm inner; git -C inner log --format=%s >&2\n";

#[test]
fn an_event_hook_of_a_push_may_write_to_its_own_repository() {
    let context = repository("#!/bin/sh\n");
    context.script("here/plugins/p/on_E__1_x.sh", COMMIT_INSIDE);
    in_repository(&context, "git", &["clone", "-q", "--bare", ".", "bare"]).succeeds();
    let plugins = context.path("here/plugins");
    let hook =
        format!("#!/bin/sh\nexec \"$RIGUP_EXE\" --plugins-dir '{}' run E >/dev/null\n", plugins.display());
    context.script("here/bare/hooks/pre-receive", &hook);
    in_repository(&context, "git", &["commit", "-q", "--allow-empty", "-m", "second"]).succeeds();
    in_repository(&context, "git", &["push", "-q", "bare", "HEAD:pushed"]).succeeds();
    assert_eq!(context.hook_processes()[0]["exit_code"], 0);
}

#[test]
fn an_event_hook_in_a_git_hook_leaves_the_repository_alone() {
    let context = repository("#!/bin/sh\nexec \"$RIGUP_EXE\" run --output-dir \"$HOME/out\" E >/dev/null\n");
    context.script("here/plugins/p/on_E__1_x.sh", COMMIT_INSIDE);
    context.script("here/plugins/q/on_E__2_y.finite.bg.sh", COMMIT_INSIDE);
    for (commit, left) in [(&["-a"][..], ""), (&["file"], " M other\n")] {
        commit_and_check(&context, commit, left);
        for plugin in ["p", "q"] {
            let inner = context.path(&format!("home/out/{plugin}/inner"));
            let log = Command::new("git").args(["log", "--format=%s"]).current_dir(inner).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&log.stdout), "inner\n");
        }
        in_repository(&context, "git", &["reset", "-q", "--hard", "HEAD~1"]).succeeds();
    }
}

#[test]
fn a_provider_that_clones_in_a_git_hook_leaves_the_repository_alone() {
    let context =
        repository("#!/bin/sh\nexec \"$RIGUP_EXE\" install tool --binproviders cloner >/dev/null\n");
    let upstream = context.script("upstream/tool", "#!/bin/sh\ngit rev-parse --git-dir; echo tool 1.0.0\n");
    let upstream = upstream.parent().unwrap().to_str().unwrap().to_owned();
    for args in [&["init", "-q"][..], &["add", "tool"], &["commit", "-qm", "upstream"]] {
        in_repository(&context, "git", &[&["-C", &upstream], args].concat()).succeeds();
    }
    context.provider(
        "cloner",
        &format!(
            "#!/bin/sh\nset -e\neval \"$(\"$RIGUP\" hook begin --provider cloner -- \"$@\")\"\n\
             mkdir -p \"$(dirname \"$prefix\")\"; rm -rf \"$prefix\"; git clone -q {upstream} \"$prefix\"\n\
             \"$RIGUP\" hook binary --provider cloner --abspath \"$prefix/tool\" -- \"$@\"\n"
        ),
    );
    commit_and_check(&context, &["-a"], "");
    assert!(context.bin("tool").exists());
}

#[test]
fn exec_and_start_keep_the_variables_of_git() {
    let print = "\"$RIGUP_EXE\" exec -- sh -c 'echo \"exec $GIT_INDEX_FILE\" >&2'\n\
        id=$(\"$RIGUP_EXE\" start --json --slug s -- sh -c 'echo \"start $GIT_INDEX_FILE\"' | sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')\n\
        \"$RIGUP_EXE\" process wait \"$id\" >/dev/null\n\"$RIGUP_EXE\" process logs \"$id\" >&2\n";
    let context = repository(&format!("#!/bin/sh\nset -e\n{print}"));
    let stderr = commit_and_check(&context, &["-a"], "");
    for command in ["exec", "start"] {
        assert!(stderr.contains(&format!("{command} ")) && stderr.contains("index"), "{stderr}");
        assert!(!stderr.contains(&format!("{command} \n")), "{stderr}");
    }
}

/// Returns the variables that `env -0` printed.
fn variables(stdout: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = stdout.split(|&byte| byte == 0).filter(|pair| !pair.is_empty());
    let split = |pair: &[u8]| {
        let end = pair.iter().position(|&byte| byte == b'=').unwrap();
        (pair[..end].to_owned(), pair[end + 1..].to_owned())
    };
    pairs.map(split).collect()
}

#[test]
fn exec_and_start_change_only_four_variables_of_the_caller() {
    let mut context = TestContext::new();
    context.set("DATA_DIR", "/mine/data").set("MACHINE_ID", "mine");
    context.set("LIB_DIR", context.path("lib"));
    context.set("LIB_BIN_DIR", context.path("bin")).set("NODE_PATH", "").set("TMPDIR", "/no/such/folder");
    context
        .set("odd-name", OsStr::from_bytes(b"\xff \n'\"$x"))
        .set("RIGUP_OUTPUT_LIMIT", "7")
        .set("TIMEOUT", "never");
    context.set("RIGUP_LIB_DIR", context.path("lib:2"));
    let lib_dir = context.path("other").to_str().unwrap().to_owned();
    let options = ["--lib-dir", &lib_dir, "--lib-bin-dir", &lib_dir];
    let caller = variables(
        &context.command_for(OsStr::new("/usr/bin/env").as_ref(), &["-0"]).output().unwrap().stdout,
    );
    let exec = context.command(&[&options[..], &["exec", "--", "env", "-0"]].concat()).output().unwrap();
    let start = context
        .run(&[&options[..], &["start", "--slug", "s", "--", "env", "-0"]].concat())
        .succeeds()
        .record();
    let id = start["id"].as_str().unwrap();
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    let started = fs::read(context.path(&format!("data/processes/{id}/stdout.log"))).unwrap();
    for (stdout, added) in [
        (exec.stdout, &["RIGUP", "RIGUP_PROCESS_ID"][..]),
        (started, &["RIGUP", "RIGUP_PROCESS_ID", "RIGUP_RUN_DIR"]),
    ] {
        let child = variables(&stdout);
        let changed: Vec<_> =
            caller.iter().filter(|(name, value)| child.get(*name) != Some(*value)).collect();
        assert_eq!(
            changed.into_iter().map(|(name, _)| String::from_utf8_lossy(name)).collect::<Vec<_>>(),
            ["PATH"]
        );
        let new: Vec<_> = child
            .keys()
            .filter(|name| !caller.contains_key(*name))
            .map(|name| String::from_utf8_lossy(name))
            .collect();
        assert_eq!(new, added);
    }
}

#[test]
fn start_sets_variables_and_the_working_directory() {
    let mut context = TestContext::new();
    context.set("KEPT", "1").set("CHANGED", "1");
    // Neither the settings in the folder nor those in the variables concern rigup itself.
    context.write("else where/rigup.toml", "[broken\n");
    context.script("else where/show", "#!/bin/sh\npwd; echo \"$KEPT|$CHANGED|$EMPTY|$A_TOKEN|$LIB_DIR\"\n");
    let args = [
        "start",
        "--slug",
        "s",
        "--cwd",
        "../else where",
        "--env",
        "CHANGED=a=b\n'c'",
        "--env=EMPTY=",
        "--env",
        "A_TOKEN=canary-51",
        "--env",
        "LIB_DIR=a:b",
        "--env",
        "RIGUP_OUTPUT_LIMIT=none",
        "--env",
        "HOME=/dev/null",
        "--",
        "./show",
    ];
    let started = context.run(&args).succeeds().record();
    let id = started["id"].as_str().unwrap();
    context.run(&["process", "wait", id]).succeeds();
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    let folder = fs::canonicalize(context.path("else where")).unwrap();
    let expected = format!("{}\n1|a=b\n'c'||canary-51|a:b\n", folder.display());
    let run_dir = context.path(&format!("data/processes/{id}"));
    assert_eq!(fs::read_to_string(run_dir.join("stdout.log")).unwrap(), expected);
    assert_eq!((&started["env"]["EMPTY"], &started["env"]["A_TOKEN"]), (&json!(""), &json!("***")));
    let again = context.command_for(&run_dir.join("cmd.sh"), &[]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), expected.replace("canary-51", ""));
    for file in ["process.json", "cmd.sh", "exit.json"] {
        assert!(!fs::read_to_string(run_dir.join(file)).unwrap().contains("canary"), "{file}");
    }

    for (option, problem) in [
        ("--cwd=missing", "missing: it is not a folder"),
        ("--cwd=../else where/show", "show: it is not a folder"),
        ("--env=KEPT", "use NAME=VALUE"),
        ("--env=A;touch PWN;B=1", "cannot set the variable \"A;touch PWN;B\""),
        ("--env==1", "cannot set the variable \"\""),
        ("--env=RIGUP_RUN_DIR=/x", "cannot set the variable \"RIGUP_RUN_DIR\": rigup sets it"),
    ] {
        context.run(&["start", "--slug", "s", option, "--", "true"]).exits_with(2).stderr_contains(problem);
    }
    assert_eq!(context.processes().len(), 1);
}

#[test]
fn a_setting_that_no_shell_takes_is_a_warning_and_not_exported() {
    let context = TestContext::new();
    let names = ["my-setting", "A;touch PWN;B", "1X", "", "A=B", "NEW\nLINE"];
    let mut properties: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!({"type": "string", "default": "canary-8"})))
        .collect();
    properties.insert(
        "GOOD".to_owned(),
        json!({"type": "string", "default": "a\n'b'; touch PWN \"$(touch PWN)\""}),
    );
    let config = json!({"type": "object", "properties": properties}).to_string();
    context.write("here/plugins/p/config.json", config);
    context.script(
        "here/plugins/p/on_E__1_x.sh",
        "#!/bin/sh\n: >kept; env | grep -c canary-8 >&2; printf '%s' \"$GOOD\" >&2\n",
    );
    let output = context.run(&["run", "E"]).succeeds();
    for name in names {
        let warning = format!("p: hooks do not get the setting {name:?}");
        assert_eq!(output.stderr.matches(&warning).count(), 1, "{}", output.stderr);
    }
    let hook = &context.hook_processes()[0];
    assert_eq!(hook["stderr_tail"], "0\na\n'b'; touch PWN \"$(touch PWN)\"");
    let run_dir = context.path(&format!("data/processes/{}", hook["id"].as_str().unwrap()));
    let script = fs::read_to_string(run_dir.join("cmd.sh")).unwrap();
    assert!(!script.contains("canary-8"), "{script}");
    let again = context.command_for(&run_dir.join("cmd.sh"), &[]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stderr), hook["stderr_tail"].as_str().unwrap());
    let made = Command::new("find").arg(context.path("")).args(["-name", "PWN"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&made.stdout), "");
}

#[test]
fn without_a_path_the_default_one_of_the_system_applies() {
    let mut context = TestContext::new();
    context.script(
        "here/plugins/p/on_E__1_a.sh",
        "#!/bin/sh\nprintf '{\"type\":\"Path\",\"is\":\"%s\"}' \"$PATH\"\n",
    );
    let bin = context.bin("").display().to_string();
    let bin = bin.trim_end_matches('/');
    let path = |context: &TestContext| context.run(&["run", "E"]).succeeds().records()[0]["is"].clone();
    context.unset("PATH");
    assert_eq!(path(&context), format!("{bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    context.run(&["exec", "--", "sleep", "0"]).succeeds();
    context.run(&["install", "ls", "--binproviders", "env"]).succeeds();
    context.set("PATH", "");
    assert_eq!(path(&context), bin);
    context.run(&["exec", "--", "sleep", "0"]).exits_with(127);
}
