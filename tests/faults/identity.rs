//! Recorded pids that now belong to other processes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::kernel;
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// The SQL assignments that make the record of an exited process look like that of a running one.
const RUNNING: &str = "status = 'running', started_at = '2020-01-01T00:00:00.000Z', ended_at = NULL, exit_code = NULL, \
    signal = NULL, exit_reason = NULL, stdout_tail = NULL, stderr_tail = NULL, stdout_bytes = NULL, \
    stderr_bytes = NULL, max_rss = NULL, user_ms = NULL, sys_ms = NULL";

/// A process that rigup did not start. It is killed when it is dropped.
struct ForeignProcess(Child);

impl Drop for ForeignProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Forges the records of an exited hook and an exited run to be running with the pid of a foreign process, and asserts
/// that no command signals that process. `columns(pid)` returns more assignments for the records.
fn check_foreign_process_survives(columns: impl FnOnce(u32) -> String) {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["install", "x", "--binproviders", "good"]).succeeds();
    context.run(&["start", "--slug", "s", "--max-runtime", "1", "--", "true"]).succeeds();
    let ids: Vec<String> =
        context.processes()[1..].iter().map(|process| process["id"].as_str().unwrap().to_owned()).collect();
    let [hook, run] = &ids[..] else { panic!("{ids:?}") };
    context.run(&["process", "wait", run]).succeeds();
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    for process in &context.processes()[1..] {
        fs::remove_file(Path::new(process["run_dir"].as_str().unwrap()).join("exit.json")).unwrap();
    }

    let gate = context.path("gate");
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    // It leads a process group, like the process that had its pid before, so a signal to the group would reach it too.
    let mut foreign = ForeignProcess(Command::new("cat").arg(&gate).process_group(0).spawn().unwrap());
    let pid = foreign.0.id();
    let store = context.store();
    let sql =
        format!("UPDATE process SET {RUNNING}, pid = {pid}{} WHERE id IN ('{hook}', '{run}')", columns(pid));
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
        assert_eq!(store.execute(&sql, []).unwrap(), 2);
        context.run(args);
        assert_eq!(foreign.0.try_wait().unwrap(), None, "the foreign process survives {args:?}");
        // Only a command that terminates, waits or cleans up changes the record; USR1 does not.
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
    assert!(foreign.0.wait().unwrap().success());
    wait_until("the last run has exited", || context.live_processes().is_empty());
}

/// Returns the start time of a process in clock ticks, from `/proc`.
fn start_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
}

#[test]
fn row_01_rigup_never_signals_a_foreign_process_with_a_recorded_pid() {
    check_foreign_process_survives(|_| String::new());
}

#[test]
fn row_01_rigup_never_signals_a_process_that_reuses_a_recorded_pid() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    let mut context = TestContext::new();
    context.set("RIGUP_FILE", env!("CARGO_BIN_EXE_rigup"));
    // The kernel gives the next process the next pid.
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
fn row_01_a_rebuild_uses_no_identity_that_a_run_wrote() {
    let mut context = TestContext::new();
    let gate = context.gate();
    let mut foreign = ForeignProcess(Command::new("cat").arg(&gate).process_group(0).spawn().unwrap());
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let identity = format!("{} {} {boot_id}", foreign.0.id(), start_ticks(foreign.0.id()));
    context.set("IDENTITY", identity);
    context.set("GO", context.path("go"));
    let wait = "until [ -e \"$GO\" ]; do sleep 0.01; done";
    let script = format!("{wait}; echo $IDENTITY >\"$RIGUP_RUN_DIR/lock\"; exec sleep 600");
    let start = context.run(&["start", "--slug", "s", "--", "sh", "-c", &script]).succeeds().record();
    let id = start["id"].as_str().unwrap();
    fs::write(context.path("go"), "").unwrap();
    wait_until("the run has replaced its identity", || context.count_live("sleep 600") == 1);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(context.path(&format!("data/rigup.sqlite3{suffix}")));
    }
    let is_waiter = |(_, line): &(u32, String)| line.contains(" waiter ");
    let waiter = context.live_processes().into_iter().find(is_waiter).unwrap().0;
    let killed = context.run(&["process", "kill", "--grace", "0", id]).exits_with(1);
    killed.stderr_contains(&format!("its record has no pid; terminate it by `kill {waiter}`"));
    assert_eq!(foreign.0.try_wait().unwrap(), None);
    fs::write(&gate, "").unwrap();
    assert!(foreign.0.wait().unwrap().success());
    signal(waiter, Signal::SIGTERM);
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    context.run(&["process", "gc"]).succeeds();
    let exited = context.run(&["process", "show", id]).succeeds().record();
    assert_eq!((&exited["status"], &exited["exit_code"]), (&json!("exited"), &json!(143)));
}

#[test]
fn row_01_nothing_is_started_if_proc_shows_the_pids_of_the_host() {
    const HOST_PROC: &[&str] = &["--pid", "--fork", "--kill-child"];
    if !kernel::unshares(HOST_PROC) {
        return;
    }
    let context = TestContext::new();
    for args in [&["exec", "--", "true"][..], &["start", "--slug", "s", "--", "true"]] {
        let args = [HOST_PROC, &[env!("CARGO_BIN_EXE_rigup")], args].concat();
        let output = context.command_for(Path::new("unshare"), &args).output().unwrap();
        CommandOutput::new(&args, &output)
            .exits_with(3)
            .stderr_contains("cannot find rigup's own process in /proc; mount a /proc of its pid namespace");
    }
    assert_eq!(context.processes(), [] as [Value; 0]);
    assert_eq!(context.live_processes(), []);
}

#[test]
fn row_02_a_process_from_an_earlier_boot_is_recorded_as_lost() {
    check_foreign_process_survives(|pid| {
        format!(", start_ticks = {}, boot_id = '00000000-0000-4000-8000-000000000000'", start_ticks(pid))
    });
}

/// Returns the number of voluntary context switches of all threads of a process.
fn voluntary_switches(pid: u32) -> u64 {
    let mut count = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count += value.map_or(0, |value| value.trim().parse().unwrap_or(0));
    }
    count
}

#[test]
fn rigup_waits_for_a_lock_that_is_held_in_another_container() {
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
    wait_until("the first command holds the lock", || context.count_live("cat ") > 0);

    // The ancestors of the second command have the pids 1 to 20 in its container, and the holder of the lock has one of
    // these pids in its own container.
    let nested = context.script(
        "nested",
        "[ $1 = 0 ] || { sh \"$0\" $(($1 - 1)) \"$2\"; exit; }\n\"$2\" hook lock x -- true\n",
    );
    let args = [kernel::PIDS, &["sh", nested.to_str().unwrap(), "20", rigup]].concat();
    let second = context.command_for(Path::new("unshare"), &args).stderr(Stdio::piped()).spawn().unwrap();
    let command = format!("{rigup} hook lock x -- true ");
    let waiter = || context.live_processes().into_iter().find(|(_, line)| *line == command);
    wait_until("the second command waits", || waiter().is_some());
    let waiter = waiter().unwrap().0;
    // It either keeps trying to take the lock, or has given up.
    wait_until("the second command has polled the lock many times, or has given up", || {
        !Path::new(&format!("/proc/{waiter}")).exists() || voluntary_switches(waiter) > 60
    });
    fs::write(&gate, "").unwrap();
    assert!(first.wait().unwrap().success());
    let result = CommandOutput::new(&args, &second.wait_with_output().unwrap()).succeeds();
    result
        .stderr_contains("waiting for the lock x, held by pid ")
        .stderr_contains(" in another pid namespace");

    let deadlock = [kernel::PIDS, &[rigup], &lock, &[rigup], &lock, &["true"]].concat();
    let result = CommandOutput::new(
        &deadlock,
        &context.command_for(Path::new("unshare"), &deadlock).output().unwrap(),
    );
    result.exits_with(3).stderr_contains("waits for this process");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn a_process_in_another_container_is_not_recorded_as_lost() {
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
    let exit_reasons =
        || context.processes().iter().map(|process| process["exit_reason"].clone()).collect::<Vec<_>>();
    assert_eq!(exit_reasons(), [Value::Null, Value::Null]);
    let other = ["install", "sh", "--binproviders", "env"];
    let args = [kernel::PIDS, &[env!("CARGO_BIN_EXE_rigup")], &other].concat();
    CommandOutput::new(&args, &context.command_for(Path::new("unshare"), &args).output().unwrap()).succeeds();
    context.run(&["process", "gc"]).succeeds();
    let id = context.processes()[0]["id"].as_str().unwrap().to_owned();
    context
        .run(&["process", "kill", &id])
        .exits_with(1)
        .stderr_contains("kill it in the container that it runs in");
    assert_eq!(exit_reasons()[..2], [Value::Null, Value::Null]);
    fs::write(gate, "\n").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(exit_reasons(), ["exited"; 4]);
    assert_eq!(context.live_processes(), []);
}
