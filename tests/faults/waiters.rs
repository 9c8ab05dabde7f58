//! Waiters that are stopped or killed, that take long, or that cannot store an exit.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::in_parallel;
use crate::kernel::Namespaces;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, signal, wait_until};

impl TestContext {
    /// Starts a run of a shell script, and returns its id.
    fn start_script(&self, script: &str) -> String {
        let start = self.run(&["start", "--slug", "s", "--", "sh", "-c", script]).succeeds();
        start.record()["id"].as_str().unwrap().to_owned()
    }

    fn show_process(&self, id: &str) -> Value {
        self.run(&["process", "show", id]).succeeds().record()
    }

    /// Returns the pids of the waiters.
    fn waiters(&self) -> Vec<u32> {
        let live = self.live_processes().into_iter();
        live.filter(|(_, line)| line.contains(" waiter --data-dir ")).map(|(pid, _)| pid).collect()
    }
}

#[test]
fn row_06_a_kill_waits_for_a_waiter_that_kills_a_stray() {
    let context = TestContext::new();
    let stray = "setsid sh -c 'trap \"\" TERM; exec env -i PATH=\"$PATH\" sleep 599' & exec sleep 600";
    let id = context.start_script(stray);
    let is_stray =
        |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00599\x00");
    let strays = || {
        let processes = fs::read_dir("/proc").unwrap();
        let names = processes.map(|process| process.unwrap().file_name().into_string().unwrap());
        names.filter(|pid| is_stray(pid)).count()
    };
    wait_until("the stray runs", || strays() == 1 && context.count_live("sleep 600") == 1);
    let killed = context.run(&["process", "kill", &id]).succeeds();
    assert_eq!((&killed.record()["exit_reason"], &*killed.stderr), (&json!("stopped"), ""));
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_eq!(strays(), 0);
}

#[test]
fn row_49_a_kill_names_the_stopped_waiter_of_its_process() {
    let context = TestContext::new();
    let id = context.start_script("exec sleep 600");
    let waiter = context.waiters()[0];
    signal(waiter, Signal::SIGSTOP);
    let expected = format!(
        "cannot record the exit of process {id}: its waiter (pid {waiter}) is stopped; continue it with `kill -CONT {waiter}`"
    );
    context.run(&["process", "kill", &id]).exits_with(1).stderr_contains(&expected);
    signal(waiter, Signal::SIGCONT);
    context.run(&["process", "wait", &id]).exits_with(143);
    assert_eq!(context.show_process(&id)["exit_reason"], "stopped");
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn row_49_an_event_ends_in_time_even_if_a_waiter_is_stopped() {
    in_parallel([("finite", "timeout"), ("daemon", "stopped")], |(kind, reason)| {
        let context = TestContext::new();
        // The second hook starts once the waiter of the first one has reported that it is ready.
        let wait = |file| format!("until [ -e \"$DATA_DIR/{file}\" ]; do sleep 0.01; done");
        let first =
            format!("echo up\n{}\nkill -STOP $PPID\n: >\"$DATA_DIR/stopped\"\nexec sleep 600\n", wait("go"));
        context.script(&format!("here/plugins/p/on_E__1_a.{kind}.bg.sh"), &format!("#!/bin/sh\n{first}"));
        let second = format!("#!/bin/sh\n: >\"$DATA_DIR/go\"\n{}\n", wait("stopped"));
        context.script("here/plugins/p/on_E__2_b.sh", &second);
        context.run(&["run", "--timeout", "1", "E"]);
        assert_eq!(context.hook_processes()[0]["exit_reason"], reason);
        assert_nothing_is_left(&context);
    });
}

#[test]
fn row_49_gc_terminates_an_overdue_run_whose_waiter_is_stopped() {
    let context = TestContext::new();
    let args = ["start", "--slug", "s", "--max-runtime", "60", "--", "sleep", "600"];
    let id = context.run(&args).succeeds().record()["id"].as_str().unwrap().to_owned();
    signal(context.waiters()[0], Signal::SIGSTOP);
    let sql = "UPDATE process SET started_at = '2020-01-01T00:00:00.000Z' WHERE id = ?";
    assert_eq!(context.store().execute(sql, [&id]).unwrap(), 1);
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(context.show_process(&id)["exit_reason"], "stopped");
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn row_49_gc_terminates_an_overdue_run_without_a_waiter_at_once() {
    let context = TestContext::new();
    let args = ["start", "--slug", "s", "--max-runtime", "60", "--", "sleep", "600"];
    let id = context.run(&args).succeeds().record()["id"].as_str().unwrap().to_owned();
    signal(context.waiters()[0], Signal::SIGKILL);
    let sql =
        "UPDATE process SET started_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-61 seconds') WHERE id = ?";
    assert_eq!(context.store().execute(sql, [&id]).unwrap(), 1);
    wait_until("the waiter is gone", || context.waiters().is_empty());
    context.run(&["process", "gc"]).succeeds();
    assert_eq!(context.show_process(&id)["exit_reason"], "stopped");
    assert_eq!(context.live_processes(), []);
}

#[test]
fn row_04_gc_terminates_a_child_whose_rigup_and_waiter_were_killed() {
    let context = TestContext::new();
    let child = "sh -c 'trap \"\" TERM; : >\"$DATA_DIR/up\"; while :; do sleep 0.05; done'";
    let daemon = format!("#!/bin/sh\nsetsid {child} &\nuntil [ -e \"$DATA_DIR/up\" ]; do sleep 0.01; done\n");
    context.script("here/plugins/p/on_E__1_a.daemon.bg.sh", &format!("{daemon}echo ready\nexec sleep 600\n"));
    context.script("here/plugins/p/on_E__2_b.sh", "#!/bin/sh\nexec sleep 601\n");
    let mut event = context.start(&["run", "E"]);
    wait_until("both hooks run", || context.count_live("sleep 60") == 2);
    event.kill().unwrap();
    event.wait().unwrap();
    wait_until("the waiter has terminated the hook", || context.count_live("sleep 600") == 0);
    context.waiters().into_iter().for_each(|waiter| signal(waiter, Signal::SIGKILL));
    assert!(!context.live_processes().is_empty());
    context.run(&["process", "gc"]).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn row_25_a_run_that_exits_while_the_disk_is_full_keeps_its_exit() {
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    let mut context = TestContext::new();
    let (data, go) = (context.path("data"), context.path("go"));
    context.set("GO", &go);
    let mount = format!("mkdir {0} && mount -t tmpfs -o mode=700,size=2m none {0}", data.display());
    namespaces.sh(&context, &mount);
    let script = "until [ -e \"$GO\" ]; do sleep 0.02; done; exit 4";
    let start = namespaces.run(&context, &["start", "--slug", "s", "--", "sh", "-c", script]).succeeds();
    let id = start.record()["id"].as_str().unwrap().to_owned();
    let waiter = context.waiters()[0];
    namespaces.sh(&context, "cat /dev/zero >\"$RIGUP_DATA_DIR/filler\" 2>/dev/null || :");
    fs::write(go, "").unwrap();
    wait_until("the run has exited", || context.count_live("sh -c until") == 0);
    // `None` once it has exited, because the write-ahead log of the store had room for the exit.
    let writes = || {
        let io = fs::read_to_string(format!("/proc/{waiter}/io")).ok()?;
        io.lines().find_map(|line| line.strip_prefix("syscw: ")?.parse::<u64>().ok())
    };
    let before = writes();
    wait_until("the waiter has tried several times, or is done", || {
        writes().zip(before).is_none_or(|(now, before)| now > before + 5)
    });
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\"");
    namespaces.run(&context, &["process", "wait", &id]).exits_with(4);
    let exit = namespaces.run(&context, &["process", "show", &id]).succeeds().record();
    assert_eq!((&exit["exit_reason"], &exit["exit_code"]), (&json!("exited"), &json!(4)));
    wait_until("the waiter has exited", || context.live_processes().is_empty());
}

#[test]
fn row_30_a_run_records_its_exit_in_a_store_that_was_rebuilt() {
    let context = TestContext::new();
    let gate = context.gate();
    let script = "read -r _ <\"$RIGUP_DATA_DIR/gate\"; exit 7";
    let start = context.run(&["start", "--slug", "s", "--", "sh", "-c", script]).succeeds().record();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(context.path(&format!("data/rigup.sqlite3{suffix}")));
    }
    context.run(&["exec", "--", "true"]).succeeds();
    fs::write(gate, "\n").unwrap();
    let id = start["id"].as_str().unwrap();
    // `show` reads the store alone.
    let show = || context.run(&["process", "show", id]).succeeds().record();
    wait_until("its exit is recorded", || show()["status"] == "exited");
    assert_eq!((&show()["exit_code"], &show()["exit_reason"]), (&7.into(), &"exited".into()));
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}
