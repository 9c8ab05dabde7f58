//! Parallel requests, concurrent commands, locks and deadlocks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::test_context::{TestContext, died_of, signal, wait_until};

#[test]
fn resolves_requests_in_parallel() {
    let context = TestContext::new();
    // Each hook exits only after the other one has started.
    context.concurrent_provider("pair", "#!/bin/sh\nfor arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done\n\
        case $name in a) other=b ;; b) other=a ;; esac\nmkdir -p \"$DATA_DIR/started\"\n: >\"$DATA_DIR/started/$name\"\n\
        until [ -e \"$DATA_DIR/started/$other\" ]; do :; done\n\
        printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n");
    context.run(&["install", "a", "b", "--binproviders", "pair", "-j", "2", "--timeout", "30"]).succeeds();
}

#[test]
fn one_job_runs_one_hook_at_a_time() {
    let context = TestContext::new();
    context.concurrent_provider("alone", "#!/bin/sh\nfor arg; do case $arg in --name=*) name=${arg#--name=} ;; esac; done\n\
        mkdir \"$DATA_DIR/inside\" || exit 1\nrmdir \"$DATA_DIR/inside\"\n\
        printf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}\\n' \"$name\"\n");
    context.run(&["install", "a", "b", "c", "d", "e", "--binproviders", "alone", "-j", "1"]).succeeds();
}

#[test]
fn concurrent_first_installs_share_one_store() {
    let context = TestContext::new();
    context.plugin("shell", &[json!({"type": "Binary", "name": "sh", "binproviders": "env"})]);
    context.run_concurrently(12, &["install"]);
    assert_eq!(context.hook_processes().len(), 1);
    let machines = context.run(&["machine", "show"]).succeeds().records();
    assert_eq!(machines[0]["type"], "Machine");
}

#[test]
fn commands_with_one_lock_run_one_at_a_time_and_keep_their_exit_codes() {
    let context = TestContext::new();
    let body = "mkdir \"$HOME/inside\" || exit 9; rmdir \"$HOME/inside\"; exit 7";
    fs::create_dir(context.path("home")).unwrap();
    let children: Vec<_> =
        (0..8).map(|_| context.start(&["hook", "lock", "pip/x", "--", "sh", "-c", body])).collect();
    for child in children {
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(7));
    }
}

#[test]
fn a_lock_is_held_until_its_terminated_command_exits() {
    let context = TestContext::new();
    let command = "trap 'until [ -e \"$0/go\" ]; do sleep 0.05; done; exit 5' TERM; touch \"$0/ready\"; \
        while :; do sleep 0.05; done";
    let here = context.path("here");
    let child = context.start(&["hook", "lock", "x", "--", "sh", "-c", command, here.to_str().unwrap()]);
    wait_until("the command runs", || here.join("ready").exists());
    signal(child.id(), Signal::SIGTERM);
    let second = context.start(&["hook", "lock", "x", "--", "test", "-e", here.join("go").to_str().unwrap()]);
    wait_until("the second command waits", || context.live_processes().len() >= 3);
    fs::write(here.join("go"), "").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(5));
    assert_eq!(second.wait_with_output().unwrap().status.code(), Some(0));
}

/// Starts a command with the lock `x`, and returns when rigup reports that it waits for the lock.
fn wait_for_lock(context: &TestContext, args: &[&str]) -> Child {
    let mut waiting = context.start(&[&["hook", "lock", "x", "--"], args].concat());
    let mut message = String::new();
    BufReader::new(waiting.stderr.as_mut().unwrap()).read_line(&mut message).unwrap();
    assert!(message.starts_with("waiting for the lock x, held by pid"), "{message}");
    waiting
}

/// A script that waits for the file `go` and then creates the file `done`.
const WORK: &str = "touch ready; until [ -e go ]; do sleep 0.05; done; touch done";

#[test]
fn a_command_keeps_its_lock_if_its_rigup_is_killed() {
    let context = TestContext::new();
    let mut holder = context.start(&["hook", "lock", "x", "--", "sh", "-c", WORK]);
    wait_until("the command runs", || context.path("here/ready").exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    let waiting = wait_for_lock(&context, &["test", "-e", "done"]);
    fs::write(context.path("here/go"), "").unwrap();
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn the_children_of_a_terminated_command_keep_its_lock() {
    let context = TestContext::new();
    let command = format!("sh -c '{WORK}' & wait");
    let holder = context.start(&["hook", "lock", "x", "--", "sh", "-c", &command]);
    wait_until("the worker runs", || context.path("here/ready").exists());
    signal(holder.id(), Signal::SIGTERM);
    wait_until("the command has exited", || {
        context.live_processes().iter().all(|(_, command)| !command.contains("& wait"))
    });
    let waiting = wait_for_lock(&context, &["test", "-e", "done"]);
    fs::write(context.path("here/go"), "").unwrap();
    assert!(died_of(holder.wait_with_output().unwrap().status, Signal::SIGTERM));
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_detached_service_does_not_keep_the_lock_of_its_command() {
    let context = TestContext::new();
    let service = "exec >/dev/null 2>&1; setsid sleep 600 &";
    context.run(&["hook", "lock", "x", "--", "sh", "-c", service]).succeeds();
    context.run(&["hook", "lock", "x", "--", "true"]).succeeds();
    let [(service, _)] = context.live_processes()[..] else { panic!("{:?}", context.live_processes()) };
    signal(service, Signal::SIGKILL);
    wait_until("the service has exited", || context.live_processes().is_empty());
}

/// Writes a provider whose hook calls `hook begin`, and for which rigup takes this lock.
fn provider_with_lock(context: &TestContext, lock: &str, body: &str) {
    let config = json!({"type": "object", "properties": {}, "concurrent": true, "lock": lock});
    context.write("here/providers/p/config.json", config.to_string());
    let hook = format!(
        "#!/bin/sh\necho started >>\"$DATA_DIR/starts\"\neval \"$(\"$RIGUP\" hook begin --provider p -- \"$@\")\"\n{body}\n\
         \"$RIGUP\" hook binary --provider p --abspath /bin/sh -- \"$@\"\n"
    );
    context.provider("p", &hook);
}

#[test]
fn rigup_takes_the_lock_that_a_provider_states_before_its_hook_starts() {
    for (lock, name) in [("prefix", "p/x"), ("all", "all")] {
        let context = TestContext::new();
        let nested = format!("! \"$RIGUP\" hook lock {name} -- true 2>\"$DATA_DIR/nested\"");
        provider_with_lock(&context, lock, &nested);
        context.run(&["install", "x", "--binproviders", "p"]).succeeds();
        assert_eq!(fs::read_to_string(context.path("data/starts")).unwrap(), "started\n");
        let message = fs::read_to_string(context.path("data/nested")).unwrap();
        assert!(message.contains("holds it and waits for this process"), "{message}");
        context.run(&["hook", "lock", name, "--", "true"]).succeeds();
        let run_dir = context.hook_processes()[0]["run_dir"].as_str().unwrap().to_owned();
        let script = fs::read_to_string(Path::new(&run_dir).join("cmd.sh")).unwrap();
        assert!(
            !script.contains("RIGUP_LOCKED"),
            "a hook that is started by hand takes the lock itself: {script}"
        );
    }
}

#[test]
fn an_install_says_that_it_waits_for_the_lock_of_its_provider() {
    let context = TestContext::new();
    let holder = context.start(&["hook", "lock", "x", "--", "sh", "-c", WORK]);
    wait_until("the command runs", || context.path("here/ready").exists());
    provider_with_lock(&context, "x", &format!("test -e '{}'", context.path("here/done").display()));
    let mut install = context.start(&["install", "y", "z", "--binproviders", "p", "-j", "2"]);
    let lines = BufReader::new(install.stderr.take().unwrap()).lines();
    let waits = lines.map(Result::unwrap).find(|line| line.contains("waiting for the lock x, held by pid"));
    assert!(waits.is_some());
    assert!(!context.path("data/starts").exists());
    fs::write(context.path("here/go"), "").unwrap();
    assert!(holder.wait_with_output().unwrap().status.success());
    assert!(install.wait().unwrap().success());
    assert_eq!(fs::read_to_string(context.path("data/starts")).unwrap().lines().count(), 2);
}

#[test]
fn a_hook_keeps_the_lock_of_its_rigup_if_that_is_killed() {
    let context = TestContext::new();
    provider_with_lock(&context, "x", &format!("cd \"$DATA_DIR\" && {WORK}"));
    let mut install = context.start(&["install", "y", "--binproviders", "p"]);
    wait_until("the hook runs", || context.path("data/ready").exists());
    install.kill().unwrap();
    install.wait().unwrap();
    let done = context.path("data/done");
    let waiting = wait_for_lock(&context, &["test", "-e", done.to_str().unwrap()]);
    fs::write(context.path("data/go"), "").unwrap();
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    wait_until("the hook has exited", || context.live_processes().is_empty());
}

#[test]
fn a_hook_may_install_a_binary_that_is_being_resolved() {
    const PAIR: &str = r#"#!/bin/sh
name=${1#--name=} in=$DATA_DIR/in
mkdir -p "$in" && : >"$in/$name"
if [ "$name" = a ]; then
    until [ -e "$in/b" ]; do :; done
    "$RIGUP" install b --plugins-dir "$HOOKS" >/dev/null 2>"$in/stderr" &
    echo $! >"$in/pid.new" && mv "$in/pid.new" "$in/pid"
    wait $! || exit
else
    # Exit when the other rigup has polled the lock many times, or has given up.
    until grep -q waiting "$in/stderr" && read -r pid <"$in/pid"; do :; done 2>/dev/null
    until [ ! -e "/proc/$pid" ] || awk '/^voluntary/ { n += $2 } END { exit n < 60 }' /proc/$pid/task/*/status; do :; done
fi
printf '{"type":"Binary","name":"%s","abspath":"/bin/sh","version":"1"}' "$name"
"#;
    let mut context = TestContext::new();
    context.set("HOOKS", context.path("here/providers"));
    context.concurrent_provider("p", PAIR);
    context.run(&["install", "a", "b", "--binproviders", "p", "-j", "2", "--timeout", "30"]).succeeds();
}

#[test]
fn load_answers_while_another_rigup_resolves_the_same_name() {
    let mut context = TestContext::new();
    let gate = context.gate();
    let hook = |wait: &str| {
        format!(
            "#!/bin/sh\n{wait}\n\
            printf '{{\"type\":\"Binary\",\"name\":\"tool\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}}\\n'\n"
        )
    };
    context.provider("p", &hook(""));
    let config = json!({
        "type": "object", "properties": {"TOOL_BINARY": {"type": "string", "default": "tool"}},
        "required_binaries": [{"name": "{TOOL_BINARY}", "binproviders": "p,env"}],
    });
    context.write("here/plugins/needs-tool/config.json", config.to_string());
    let lock = context.write("data/locks/binary/tool", "");
    let lock = fs::File::open(lock).unwrap();
    lock.lock().unwrap();
    let missing = context.run(&["load", "tool"]).exits_with(1);
    missing.stderr_contains("tool is not installed").stderr_contains("another rigup (an unknown process)");
    assert_eq!(context.run(&["binary", "list"]).succeeds().records(), [] as [serde_json::Value; 0]);
    drop(lock);

    context.run(&["install"]).succeeds();
    context.provider("p", &hook("read -r _ <\"$DATA_DIR/gate\""));
    let install = context.start(&["install", "--force"]);
    wait_until("the hook waits", || context.count_live("/bin/sh") > 0);
    let newer = ["load", "tool", "--min-version", "2"];
    let earlier = context.run(&newer).exits_with(1);
    earlier.stderr_contains("tool 1, which p installed, is installed, but its version is not >= 2");
    let tool = context.script("tools/tool", "#!/bin/sh\necho tool 2.5\n");
    context.set("PATH", format!("{}:/usr/bin:/bin", tool.parent().unwrap().display()));
    let found = context.run(&newer).succeeds().record();
    assert_eq!((&found["binprovider"], &found["version"]), (&json!("env"), &json!("2.5")));
    let config = context.run(&["machine", "show"]).succeeds().records()[0]["config"].clone();
    assert_eq!(config, json!({"TOOL_BINARY": "/bin/sh"}), "nothing is recorded");
    assert_eq!(context.linked_file("tool"), Path::new("/bin/sh"));
    fs::write(gate, "\n").unwrap();
    assert!(install.wait_with_output().unwrap().status.success());
    assert_eq!(context.run(&["binary", "show", "tool"]).succeeds().record()["binprovider"], "p");
    assert_eq!(context.run(&newer).succeeds().record()["binprovider"], "env");
    assert_eq!(context.linked_file("tool"), tool);
}

#[test]
fn a_hook_that_installs_its_own_binary_fails_instead_of_waiting() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\nexec \"$RIGUP\" install x --binproviders p >&2\n");
    let record =
        context.run(&["install", "x", "--binproviders", "p", "--timeout", "60"]).exits_with(1).record();
    let reason = record["attempts"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("exit code 3: cannot install x: the hook that called rigup is itself resolving x"),
        "{reason}"
    );

    let nested = ["hook", "lock", "a", "--", env!("CARGO_BIN_EXE_rigup"), "hook", "lock", "a", "--", "true"];
    context.run(&nested).exits_with(3).stderr_contains("waits for this process");
}

/// A hook that waits until both hooks run, and then installs the binary of the other hook.
const MUTUAL_INSTALL: &str = r#"#!/bin/sh
name=${1#--name=}
case $name in a) other=b ;; b) other=a ;; esac
: >"$DATA_DIR/$name.at" && until [ -e "$DATA_DIR/$other.at" ]; do :; done
"$RIGUP" install "$other" --binproviders p >&2 || exit
printf '{"type":"Binary","name":"%s","abspath":"/bin/sh","version":"1"}' "$name"
"#;

/// Runs installs whose hooks for `a` and `b` wait for each other, and returns their standard error.
fn stderr_of_deadlock(context: &TestContext, installs: &[&[&str]]) -> String {
    let options = ["--binproviders", "p", "--timeout", "600"];
    let start = |names: &&[&str]| context.start(&[&["install"], *names, &options].concat());
    let children: Vec<_> = installs.iter().map(start).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect()
}

#[test]
fn hooks_that_install_each_others_binary_fail_instead_of_waiting() {
    let context = TestContext::new();
    context.concurrent_provider("p", MUTUAL_INSTALL);
    let stderr = stderr_of_deadlock(&context, &[&["a", "b", "-j", "2"]]);
    assert!(
        stderr.contains("a needs b, which needs a") || stderr.contains("b needs a, which needs b"),
        "{stderr}"
    );
    assert!(is_empty(&context.path("data/locks/waiting")));
}

#[test]
fn hooks_of_two_rigups_that_install_each_others_binary_fail_too() {
    let context = TestContext::new();
    context.concurrent_provider("p", MUTUAL_INSTALL);
    let stderr = stderr_of_deadlock(&context, &[&["a"], &["b"]]);
    assert!(
        stderr.contains("a needs b, which needs a") || stderr.contains("b needs a, which needs b"),
        "{stderr}"
    );
    assert!(is_empty(&context.path("data/locks/waiting")));
}

#[test]
fn a_hook_that_installs_a_dependent_of_its_own_binary_fails() {
    let context = TestContext::new();
    context.provider("p", "#!/bin/sh\necho 'p needs y' >&2\n");
    let requirement = json!({"type": "Binary", "name": "y", "binproviders": "q"});
    context.write("here/providers/p/binaries.jsonl", requirement.to_string());
    context.provider("q", "#!/bin/sh\nexec \"$RIGUP\" install x --binproviders p >&2\n");
    let output = context.run(&["install", "x", "--binproviders", "p", "--timeout", "600"]).exits_with(1);
    let output = output
        .stderr_contains("p requires y, which cannot be installed: q failed: exit code 3: cannot install x: y needs x, which needs y, so each would wait forever");
    assert_eq!(output.record()["attempts"][0]["reason"], "p needs y");
    assert!(is_empty(&context.path("data/locks/waiting")));
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().count() == 0
}

#[test]
fn accepts_any_number_of_jobs() {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "x", "--binproviders", "good", "-j", "65535"]).succeeds();
}

#[test]
fn the_variable_of_a_lock_does_not_switch_the_lock_off() {
    let mut context = TestContext::new();
    let lib_dir = context.path("data/lib").join(rigup::settings::platform());
    let body = "mkdir \"$LIB_DIR/busy\" 2>/dev/null || : >\"$LIB_DIR/overlap\"\n\
                for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done\nrmdir \"$LIB_DIR/busy\" 2>/dev/null || :";
    provider_with_lock(&context, "prefix", body);
    context.set("RIGUP_LOCKED", lib_dir.join("p/x")).set("RIGUP_LIB_DIR", &lib_dir);
    let install = |data_dir: &str| {
        let data_dir = context.path(data_dir);
        context.start(&[
            "--data-dir",
            data_dir.to_str().unwrap(),
            "install",
            "x",
            "--binproviders",
            "p",
            "--force",
        ])
    };
    for mut command in ["one", "two", "three"].map(install) {
        assert!(command.wait().unwrap().success());
    }
    assert!(!lib_dir.join("overlap").exists());
    let begin = ["hook", "begin", "--provider", "p", "--", "--name=x"];
    assert!(context.run(&begin).succeeds().stdout.contains("hook lock p/x"), "no one holds the lock");
    let under_lock = ["hook", "lock", "p/x", "--", env!("CARGO_BIN_EXE_rigup")];
    assert!(context.run(&[&under_lock[..], &begin].concat()).succeeds().stdout.starts_with("name=x\n"));
}
