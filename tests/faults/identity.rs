//! A recorded pid that is somebody else's by now.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::kernel;
use crate::test_context::{CommandOutput, TestContext, wait_until};

/// What a process that is over looks like in its record while it runs.
const RUNNING: &str = "status = 'running', started_at = '2020-01-01T00:00:00.000Z', ended_at = NULL, exit_code = NULL, \
    signal = NULL, exit_reason = NULL, stdout_tail = NULL, stderr_tail = NULL, stdout_bytes = NULL, \
    stderr_bytes = NULL, max_rss = NULL, user_ms = NULL, sys_ms = NULL";

/// A process that is nobody's here, and goes with its test, however that ends.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A hook and a run that are over. Their records say that they run, and have a stranger's pid: with `more(pid)`.
fn is_lost_and_the_stranger_lives(more: impl FnOnce(u32) -> String) {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "x", "--binproviders", "good"]).succeeds();
    context.run(&["start", "--slug", "s", "--max-runtime", "1", "--", "true"]).succeeds();
    let ids: Vec<String> =
        context.processes()[1..].iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let [hook, run] = &ids[..] else { panic!("{ids:?}") };
    context.run(&["process", "wait", run]).succeeds();
    wait_until("its waiter is gone", || context.live_processes().is_empty());
    for process in &context.processes()[1..] {
        fs::remove_file(Path::new(process["run_dir"].as_str().unwrap()).join("exit.json")).unwrap();
    }

    let gate = context.path("gate");
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    // It leads a group, as the process did whose pid it has: not even a signal to that group may reach it.
    let mut stranger = Stranger(Command::new("cat").arg(&gate).process_group(0).spawn().unwrap());
    let pid = stranger.0.id();
    let store = context.store();
    let forge =
        format!("UPDATE process SET {RUNNING}, pid = {pid}{} WHERE id IN ('{hook}', '{run}')", more(pid));
    for args in [
        &["process", "kill", hook, run][..],
        &["process", "kill", "--tree", "-s", "KILL", hook, run],
        &["process", "kill", "-s", "USR1", hook, run],
        &["process", "wait", hook, run],
        &["process", "gc"],
        &["exec", "--", "true"],
        &["start", "--slug", "s", "--max-live", "1", "--", "true"],
        &["install", "x", "--force", "--binproviders", "good"],
    ] {
        assert_eq!(store.execute(&forge, []).unwrap(), 2);
        context.run(args);
        assert_eq!(stranger.0.try_wait().unwrap(), None, "the stranger lives after {args:?}");
        // A signal that is to end nothing leaves the record to whoever ends or cleans up.
        for id in [hook, run].into_iter().filter(|_| !args.contains(&"USR1")) {
            let lost = context.run(&["process", "show", id]).succeeds().record();
            assert_eq!(
                (&lost["exit_reason"], &lost["exit_code"]),
                (&json!("lost"), &Value::Null),
                "{args:?}"
            );
        }
    }
    fs::write(&gate, "").unwrap();
    assert!(stranger.0.wait().unwrap().success());
    wait_until("the last run is over", || context.live_processes().is_empty());
}

/// The start of a process in clock ticks, as `/proc` tells it.
fn start_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
}

#[test]
fn row_01_a_stranger_that_has_a_recorded_pid_is_never_signalled() {
    is_lost_and_the_stranger_lives(|_| String::new());
}

#[test]
fn row_01_a_stranger_that_truly_took_over_a_pid_is_never_signalled() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    let mut context = TestContext::new();
    context.set("RIGUP_FILE", env!("CARGO_BIN_EXE_rigup"));
    // The kernel gives the next process the number after the last one.
    let script = r#"set -eu
        field() { sed "s/.*\"$1\":\"\{0,1\}\([^\",]*\).*/\1/"; }
        record=$("$RIGUP_FILE" start --slug s -- sleep 600)
        id=$(printf '%s' "$record" | field id)
        pid=$(printf '%s' "$record" | field pid)
        kill -KILL $(grep -zlx "RIGUP_WAITER=$id" /proc/[0-9]*/environ | cut -d/ -f3) "$pid"
        while [ -e "/proc/$pid" ]; do :; done
        echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
        setsid env -u RIGUP_PROCESS_ID sleep 601 &
        [ $! = "$pid" ]
        "$RIGUP_FILE" process kill "$id" >&2
        "$RIGUP_FILE" process gc >&2
        kill -0 $!
        "$RIGUP_FILE" process show "$id" --json"#;
    let args = [kernel::PIDS, &["sh", "-c", script]].concat();
    let result =
        CommandOutput::new(&args, &context.command_for(Path::new("unshare"), &args).output().unwrap())
            .succeeds();
    let lost = result.record();
    assert_eq!(
        (&lost["exit_reason"], &lost["exit_code"]),
        (&json!("lost"), &Value::Null),
        "{}",
        result.stderr
    );
    assert_eq!(context.live_processes(), []);
}

#[test]
fn row_02_a_process_of_another_boot_is_lost_though_its_pid_and_its_start_are_those_of_a_stranger() {
    is_lost_and_the_stranger_lives(|pid| {
        format!(", start_ticks = {}, boot_id = '00000000-0000-4000-8000-000000000000'", start_ticks(pid))
    });
}

/// How often a process has given up the processor by itself.
fn switches(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let status = threads.map(|it| fs::read_to_string(it.unwrap().path().join("status")).unwrap_or_default());
    let counts = status.filter_map(|it| {
        it.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    });
    counts.sum()
}

#[test]
fn a_lock_whose_holder_has_the_pid_of_an_ancestor_in_another_container_is_waited_for() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    let context = TestContext::new();
    let rigup = env!("CARGO_BIN_EXE_rigup");
    let (gate, lock) = (context.path("gate"), ["hook", "lock", "x", "--"]);
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let open = ["cat", gate.to_str().unwrap()];
    let args = [kernel::PIDS, &[rigup], &lock, &open].concat();
    let mut first = context.command_for(Path::new("unshare"), &args).spawn().unwrap();
    wait_until("one holds it", || context.count("cat ") > 0);

    // The pids from 1 to 20 are its ancestors', and that of the holder is one of the first.
    let below = context.script(
        "below",
        "[ $1 = 0 ] || { sh \"$0\" $(($1 - 1)) \"$2\"; exit; }\n\"$2\" hook lock x -- true\n",
    );
    let args = [kernel::PIDS, &["sh", below.to_str().unwrap(), "20", rigup]].concat();
    let second = context.command_for(Path::new("unshare"), &args).stderr(Stdio::piped()).spawn().unwrap();
    let waiter = || {
        context.live_processes().into_iter().find(|(_, it)| *it == format!("{rigup} hook lock x -- true "))
    };
    wait_until("the other one waits", || waiter().is_some());
    let waiter = waiter().unwrap().0;
    // It has looked often whether the lock is free, or has given up.
    wait_until("it goes on waiting", || {
        !Path::new(&format!("/proc/{waiter}")).exists() || switches(waiter) > 60
    });
    fs::write(&gate, "").unwrap();
    assert!(first.wait().unwrap().success());
    let result = CommandOutput::new(&args, &second.wait_with_output().unwrap()).succeeds();
    result
        .stderr_contains("waiting for the lock x, held by pid ")
        .stderr_contains(" of another pid namespace");

    let circle = [kernel::PIDS, &[rigup], &lock, &[rigup], &lock, &["true"]].concat();
    let result =
        CommandOutput::new(&circle, &context.command_for(Path::new("unshare"), &circle).output().unwrap());
    result.exits_with(3).stderr_contains("waits for this process");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn what_runs_in_another_container_over_the_same_data_dir_is_not_lost() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    let context = TestContext::new();
    let gate = context.gate();
    context.fixture("counting");
    let install = ["install", "x", "--binproviders", "counting"];
    let args = [kernel::PIDS, &[env!("CARGO_BIN_EXE_rigup")], &install].concat();
    let mut first = context.command_for(Path::new("unshare"), &args).spawn().unwrap();
    wait_until("the hook runs", || context.path("data/started").exists());
    let endings = || context.processes().into_iter().map(|it| it["exit_reason"].clone()).collect::<Vec<_>>();
    assert_eq!(endings(), [Value::Null, Value::Null]);
    let other = ["install", "sh", "--binproviders", "env"];
    let args = [kernel::PIDS, &[env!("CARGO_BIN_EXE_rigup")], &other].concat();
    CommandOutput::new(&args, &context.command_for(Path::new("unshare"), &args).output().unwrap()).succeeds();
    context.run(&["process", "gc"]).succeeds();
    let id = context.processes()[0]["id"].as_str().unwrap().to_owned();
    context
        .run(&["process", "kill", &id])
        .exits_with(1)
        .stderr_contains("kill it in the container that it runs in");
    assert_eq!(endings()[..2], [Value::Null, Value::Null]);
    fs::write(gate, "\n").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(endings(), ["exited"; 4]);
    assert_eq!(context.live_processes(), []);
}
