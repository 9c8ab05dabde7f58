//! Processes that a hook starts, and how rigup terminates and reaps them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, died_of, signal, wait_until};
use crate::{RECORD, in_parallel, kernel};

/// Creates a context with a provider `p` that runs this script.
fn context_with(script: &str) -> TestContext {
    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\n{script}\n"));
    fs::create_dir(context.path("data")).unwrap();
    context
}

/// Installs `x` with the provider `p`.
fn install(context: &TestContext) -> CommandOutput {
    context.run(&["install", "x", "--binproviders", "p"])
}

/// Whether the process whose pid is in a file still runs this command. Unlike `live_processes`, this works for a
/// process with an empty environment.
fn is_alive(pid: &Path, command: &str) -> bool {
    let pid = fs::read_to_string(pid).unwrap();
    let found = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    String::from_utf8_lossy(&found).replace('\0', " ").starts_with(command)
}

#[test]
fn row_03_a_leftover_process_delays_nothing_and_is_terminated() {
    let context = TestContext::new();
    context.fixture("forking");
    let output = context.run(&["install", "x", "--binproviders", "forking"]).succeeds();
    output.stderr_contains("terminated a process that it left behind: sleep 600");
    assert_nothing_is_left(&context);

    for kind in ["", ".finite.bg", ".daemon.bg"] {
        let context = TestContext::new();
        context.script(
            &format!("here/plugins/p/on_E__1_a{kind}.sh"),
            "#!/bin/sh\nsleep 600 &\necho '{\"type\":\"Said\"}'\nexit 0\n",
        );
        let output = context
            .run(&["run", "E"])
            .succeeds()
            .stderr_contains("terminated a process that it left behind: ");
        assert!(output.stdout.starts_with("{\"type\":\"Said\""), "{kind}: {}", output.stdout);
        assert_nothing_is_left(&context);
    }
}

#[test]
fn row_03_a_leftover_process_without_arguments_is_named() {
    let context = TestContext::new();
    let hook = "#!/bin/bash\nmkfifo pipe\n(exec -a '' cat <>pipe) &\nexit 0\n";
    context.script("here/plugins/p/on_E__1_a.sh", hook);
    let output = context.run(&["run", "E"]).succeeds();
    output.stderr_contains("terminated a process that it left behind: cat (pid ");
    assert_nothing_is_left(&context);
}

#[test]
fn row_03_output_that_a_filter_still_holds_is_kept() {
    let echo = "echo DEBUG\necho '{\"type\":\"Said\"}'\n";
    for kind in ["", ".finite.bg"] {
        let context = TestContext::new();
        for n in 0..5 {
            let filter =
                if n < 4 { "> >(sleep 0.03; grep -v DEBUG)" } else { "2> >(sleep 0.03; cat >&2) >&2" };
            context.script(
                &format!("here/plugins/p/on_E__{n}_a{kind}.sh"),
                &format!("#!/bin/bash\nexec {filter}\n{echo}"),
            );
        }
        let output = context.run(&["run", "-q", "E"]).succeeds();
        assert_eq!(output.stderr, "", "each filter has exited by itself");
        let hooks = context.hook_processes();
        let tail = |hook: &Value, stream: &str| hook[stream].as_str().unwrap().contains("Said");
        assert!(hooks[..4].iter().all(|hook| tail(hook, "stdout_tail")), "{kind}: {hooks:?}");
        assert!(tail(&hooks[4], "stderr_tail"), "{kind}: {hooks:?}");
        let said = output.records().into_iter().filter(|record| record["type"] == "Said").count();
        assert_eq!(said, 4, "{kind}");
        assert_nothing_is_left(&context);
    }
}

#[test]
fn row_03_the_stages_of_a_filter_are_awaited() {
    let context = TestContext::new();
    let stage = "python3 -c 'import sys, time; text = sys.stdin.read(); end = time.monotonic() + 0.4\n\
        while time.monotonic() < end: pass\nsys.stdout.write(text)' 2>/dev/null";
    for (n, filter) in [format!("{stage} | cat"), format!("x=$({stage}); echo \"$x\"")].iter().enumerate() {
        let hook = format!("#!/bin/bash\nexec > >({filter}) 2>&1\necho '{{\"type\":\"Said\"}}'\n");
        context.script(&format!("here/plugins/p/on_E__{n}_a.sh"), &hook);
    }
    let output = context.run(&["run", "-q", "E"]).succeeds();
    assert_eq!(output.stderr, "", "each filter has exited by itself");
    assert_eq!(output.records().into_iter().filter(|record| record["type"] == "Said").count(), 2);
    assert_nothing_is_left(&context);
}

#[test]
fn row_03_a_filter_of_a_provider_that_writes_at_its_end_is_awaited() {
    let context = TestContext::new();
    // The filter is in a session of its own, idle for a moment, and then busy.
    let filter = "import sys, time\ntext = sys.stdin.read()\ntime.sleep(0.05)\nend = time.monotonic() + 0.3\n\
        while time.monotonic() < end: pass\nsys.stdout.write(text)\n";
    let filter = context.write("filter.py", filter);
    context.provider(
        "p",
        &format!(
            "#!/usr/bin/env python3\nimport os, subprocess, sys\nfilter = [sys.executable, '{}']\n\
             child = subprocess.Popen(filter, stdin=subprocess.PIPE, start_new_session=True)\n\
             os.dup2(child.stdin.fileno(), 1)\nprint('{RECORD}', flush=True)\nos._exit(0)\n",
            filter.display()
        ),
    );
    install(&context).succeeds();
    assert_nothing_is_left(&context);
}

#[test]
fn row_03_a_filter_keeps_what_a_daemon_prints_on_term() {
    let context = TestContext::new();
    let filter = "grep --line-buffered -v DEBUG";
    let body = "trap 'sleep 0.05 && echo \"{\\\"type\\\":\\\"Said\\\"}\"; exit 0' TERM\n\
        echo '{\"type\":\"Ready\"}'\nsleep 600 &\nwait\n";
    for (name, hook) in [
        ("redirected", format!("exec > >({filter})\n{body}")),
        ("piped", format!("{{\n{body}}} | {filter}\n")),
    ] {
        let path = format!("here/plugins/{name}/on_E__1_a.daemon.bg.sh");
        context.script(&path, &format!("#!/bin/bash\n{hook}"));
    }
    let records = context.run(&["run", "E"]).succeeds().records();
    let said = records.iter().filter(|record| record["type"] == "Said").map(|record| &record["plugin"]);
    assert_eq!(said.collect::<HashSet<_>>().len(), 2, "{records:?}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_03_commands_of_a_term_handler_run_to_their_end() {
    let context = TestContext::new();
    let hook = "#!/bin/bash\nexec > >(grep --line-buffered -v DEBUG)\n\
        trap 'sleep 0.4; sh -c \"sleep 0.2\"; echo \"{\\\"type\\\":\\\"Said\\\",\\\"code\\\":$?}\"; exit 0' TERM\n\
        echo '{\"type\":\"Ready\"}'\nsleep 600 &\nwait\n";
    context.script("here/plugins/p/on_E__1_a.daemon.bg.sh", hook);
    let records = context.run(&["run", "E"]).succeeds().records();
    let said = records.iter().find(|record| record["type"] == "Said").unwrap();
    assert_eq!(said["code"], 0);
    assert_nothing_is_left(&context);
}

#[test]
fn row_03_a_filter_waits_for_a_term_handler_that_is_idle() {
    let context = TestContext::new();
    let hook = "#!/usr/bin/env python3\n\
        import signal, subprocess, sys, time\n\
        grep = subprocess.Popen(['grep', '--line-buffered', '-v', 'DEBUG'], stdin=subprocess.PIPE, text=True)\n\
        def end(*_):\n    \
            time.sleep(0.4)\n    \
            grep.communicate('{\"type\":\"Said\"}\\n')\n    \
            sys.exit()\n\
        signal.signal(signal.SIGTERM, end)\n\
        print('ready', file=grep.stdin, flush=True)\n\
        while True: signal.pause()\n";
    context.script("here/plugins/p/on_E__1_a.daemon.bg.py", hook);
    let records = context.run(&["run", "E"]).succeeds().records();
    assert!(records.iter().any(|record| record["type"] == "Said"), "{records:?}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_04_a_child_outside_the_group_is_reported_and_outlives_its_hook() {
    let service = "setsid sh -c 'exec >/dev/null 2>&1; read -r _ <\"$DATA_DIR/gate\"' &\n\
        until [ \"$(cut -d ' ' -f 6 /proc/$!/stat)\" = $! ]; do :; done";
    let context = context_with(&format!("{service}\necho '{RECORD}'"));
    let gate = context.gate();
    install(&context).succeeds().stderr_contains("a process that it started is still running: ");
    assert_eq!(context.live_processes().len(), 1);
    fs::write(&gate, "\n").unwrap();
    wait_until("the service has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}

/// A shell script that starts a child that ignores TERM, a grandchild in a new session, a child with an empty
/// environment, and an orphan with an empty environment in a new session.
const TREE: &str = "sh -c 'trap \"\" TERM; while :; do sleep 600; done' &\n\
    sh -c 'setsid sleep 600 & wait' &\n\
    env -i sh -c 'echo $$ >wiped; exec sleep 600' &\n\
    (env -i setsid sh -c 'echo $$ >orphan; exec sleep 600' &)\n\
    until is_up wiped && is_up orphan; do :; done\n";
const IS_UP: &str =
    "is_up() { [ -s $1 ] && [ \"$(tr '\\0' ' ' 2>/dev/null </proc/$(cat $1)/cmdline)\" = 'sleep 600 ' ]; }\n";

#[test]
fn row_04_a_timeout_terminates_a_child_that_left_the_session() {
    check_tree_is_terminated("5", |_, _| ());
}

#[test]
fn row_04_an_interrupt_terminates_a_child_that_left_the_session() {
    check_tree_is_terminated("600", |_, rigup| signal(rigup.id(), Signal::SIGINT));
}

#[test]
fn row_04_a_kill_terminates_a_child_that_left_the_session() {
    check_tree_is_terminated("600", |context, _| {
        wait_until("the hook is recorded as running", || context.hook_processes()[0]["status"] == "running");
        let hook = context.hook_processes()[0]["id"].clone();
        context.run(&["process", "kill", hook.as_str().unwrap()]).succeeds();
    });
}

/// Runs a foreground and a background hook that start `TREE`, calls `terminate`, and asserts that no process survives.
/// The timeout is in seconds.
fn check_tree_is_terminated(timeout: &str, terminate: impl Fn(&TestContext, &Child) + Sync) {
    in_parallel(["", ".finite.bg"], |kind| {
        let context = TestContext::new();
        let out = context.path("out");
        context.script(
            &format!("here/plugins/p/on_E__1_a{kind}.sh"),
            &format!("#!/bin/sh\n{IS_UP}{TREE}echo up\nsleep 600\n"),
        );
        let child = context.start(&["run", "--timeout", timeout, "--output-dir", out.to_str().unwrap(), "E"]);
        let log = || {
            let hooks = context.hook_processes();
            let run_dir = hooks.first()?["run_dir"].as_str()?.to_owned();
            fs::read_to_string(run_dir + "/stdout.log").ok()
        };
        wait_until("every process of the tree runs", || log().is_some_and(|text| text == "up\n"));
        let [wiped, orphan] = ["wiped", "orphan"].map(|name| out.join("p").join(name));
        assert!(is_alive(&wiped, "sleep 600") && is_alive(&orphan, "sleep 600"));
        terminate(&context, &child);
        let output = CommandOutput::new(&["run", "E"], &child.wait_with_output().unwrap());
        assert_ne!(output.code, Some(0));
        let alive = [&wiped, &orphan].map(|pid| is_alive(pid, "sleep 600"));
        assert_eq!(alive, [false; 2], "{kind}: {}", output.stderr);
        assert_nothing_is_left(&context);
    });
}

#[test]
fn row_05_no_process_of_a_forking_tree_survives_its_termination() {
    // Each process ignores TERM and exits as soon as it has started the next one. The chain ends after 30,000
    // processes.
    let context = context_with(
        "trap '' TERM\nleft=${LEFT-30000}\n[ \"$left\" = 0 ] || LEFT=$((left - 1)) \"$0\" \"$@\" &\n\
         [ \"$LEFT\" ] || read -r _ <\"$DATA_DIR/gate\"",
    );
    context.gate();
    context.run(&["install", "x", "--binproviders", "p", "--timeout", "1"]).exits_with(1);
    // A single check can miss a short-lived process.
    for _ in 0..50 {
        assert_eq!(context.live_processes(), []);
    }
    assert_nothing_is_left(&context);
}

#[test]
fn row_06_a_child_that_ignores_term_is_killed_after_the_grace_period() {
    let context = TestContext::new();
    context.fixture("hanging");
    let record =
        context.run(&["install", "x", "--binproviders", "hanging", "--timeout", "1"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "timeout");
    assert_eq!(record["attempts"][0]["reason"], "terminated after 1 s: hanging");
    let hook = &context.hook_processes()[0];
    assert_eq!(hook["exit_reason"], "timeout");
    assert_eq!(hook["exit_code"], 143, "the hook itself exited on TERM");
    assert_nothing_is_left(&context);
}

/// The arguments with which `env` starts rigup with signals blocked.
const BLOCKED: &[&str] =
    &["--block-signal=TERM", "--block-signal=INT", "--block-signal=HUP", env!("CARGO_BIN_EXE_rigup")];

#[test]
fn row_07_a_hook_receives_term_even_if_rigup_started_with_it_blocked() {
    for kind in ["", ".finite.bg", ".daemon.bg"] {
        let context = TestContext::new();
        // bash keeps the signal mask that it inherits; dash unblocks all signals.
        context.script(
            &format!("here/plugins/p/on_E__1_a{kind}.sh"),
            "#!/bin/bash\ngrep SigBlk /proc/self/status\nexec sleep 600\n",
        );
        let all = ["--block-signal", env!("CARGO_BIN_EXE_rigup")];
        let args = [&all[..], &["run", "--timeout", "1", "E"]].concat();
        CommandOutput::new(&args, &context.command_for(Path::new("env"), &args).output().unwrap());
        let hook = &context.hook_processes()[0];
        assert_eq!((&hook["exit_code"], &hook["signal"]), (&143.into(), &15.into()), "{kind}");
        assert_eq!(
            hook["stdout_tail"], "SigBlk:\t0000000000000000\n",
            "{kind}: no other signal is blocked either"
        );
        assert_nothing_is_left(&context);
    }
}

#[test]
fn row_07_rigup_and_its_command_receive_term_even_if_it_was_blocked() {
    for args in [&["install", "x", "--binproviders", "p"][..], &["exec", "--", "sleep", "600"]] {
        let context = context_with("exec sleep 600");
        let all = [BLOCKED, args].concat();
        let child = context
            .command_for(Path::new("env"), &all)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the command runs", || context.count_live("sleep") == 1);
        signal(child.id(), Signal::SIGTERM);
        assert!(died_of(child.wait_with_output().unwrap().status, Signal::SIGTERM), "{args:?}");
        assert_nothing_is_left(&context);
    }
}

/// Returns the pids of the zombies among this process's children.
fn zombies(parent: u32) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        fields[0] == "Z" && fields[1] == parent.to_string()
    })
    .collect()
}

#[test]
fn row_08_rigup_reaps_orphans_as_the_first_process_of_a_container() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    // Twenty orphans that exit at once, and then a command that waits at the gate.
    let orphans = "n=20; while [ $n -gt 0 ]; do (setsid sh -c 'exec true' &); n=$((n - 1)); done; \
        cd \"${RIGUP_DATA_DIR:-$DATA_DIR}\"; echo up >up; read -r _ <gate";
    for args in [&["install", "x", "--binproviders", "p"][..], &["exec", "--", "sh", "-c", orphans]] {
        let context = context_with(&format!("{orphans}\necho '{RECORD}'"));
        let gate = context.gate();
        let all = [kernel::PIDS, &[env!("CARGO_BIN_EXE_rigup")], args].concat();
        let child = context.command_for(Path::new("unshare"), &all).stdout(Stdio::null()).spawn().unwrap();
        wait_until("the orphans have started", || context.path("data/up").exists());
        let rigup = context
            .live_processes()
            .into_iter()
            .find(|(_, line)| line.starts_with(env!("CARGO_BIN_EXE_rigup")));
        let rigup = rigup.unwrap().0;
        wait_until("rigup has reaped the orphans while the hook runs", || zombies(rigup).is_empty());
        fs::write(&gate, "\n").unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0), "{args:?}");
        assert_nothing_is_left(&context);
    }
}

#[test]
fn a_command_whose_start_is_not_recorded_yet_does_not_become_lost() {
    if !kernel::has_strace() {
        return;
    }
    let context = TestContext::new();
    // strace delays rigup right after it starts its command, and meanwhile the command runs another rigup.
    let strace = ["-o", "/dev/null", "-e", "inject=clone,clone3,vfork:delay_exit=2000000"];
    let exec = [env!("CARGO_BIN_EXE_rigup"), "exec", "--", "sh", "-c", "\"$RIGUP\" exec -- true; exit 7"];
    let args = [&strace[..], &exec].concat();
    CommandOutput::new(&args, &context.command_for(Path::new("strace"), &args).output().unwrap())
        .exits_with(7);
    let exit_codes: Vec<_> = context.processes().iter().map(|process| process["exit_code"].clone()).collect();
    assert_eq!(exit_codes, [7, 0]);
    assert_nothing_is_left(&context);
}

/// A Python program whose main thread exits, while another one runs on.
const MAIN_THREAD_EXITS: &str = "import ctypes, threading, time\n\
    libc = ctypes.CDLL(None)\nthreading.Thread(target=lambda: time.sleep(600)).start()\n\
    print('up', flush=True)\nlibc.pthread_exit(None)\n";

#[test]
fn row_44_a_process_whose_main_thread_has_exited_is_alive() {
    for kind in ["", ".finite.bg"] {
        let context = TestContext::new();
        let hook = format!("#!/usr/bin/env python3\n{MAIN_THREAD_EXITS}");
        context.script(&format!("here/plugins/p/on_E__1_a{kind}.py"), &hook);
        context.run(&["run", "--timeout", "1", "E"]).exits_with(1);
        let hook = &context.hook_processes()[0];
        let exit = [&hook["exit_reason"], &hook["exit_code"]];
        assert_eq!(exit, [&Value::from("timeout"), &Value::from(143)], "{kind}");
        assert_nothing_is_left(&context);
    }

    let context = TestContext::new();
    let start = ["start", "--slug", "s", "--", "python3", "-c", MAIN_THREAD_EXITS];
    let run = context.run(&start).succeeds().record();
    let id = run["id"].as_str().unwrap();
    wait_until("the main thread has exited", || {
        fs::read_to_string(format!("/proc/{}/stat", run["pid"])).unwrap().contains(") Z ")
    });
    let mut logs = context.start(&["process", "logs", "-f", "--stream", "stdout", id]);
    context.run(&["process", "wait", "--timeout", "1", id]).exits_with(124);
    assert!(logs.try_wait().unwrap().is_none(), "the logs are followed as long as the process lives");
    let killed = context.run(&["process", "kill", id]).succeeds().record();
    let exit = [&killed["exit_reason"], &killed["exit_code"]];
    assert_eq!(exit, [&Value::from("stopped"), &Value::from(143)]);
    assert_eq!(logs.wait_with_output().unwrap().stdout, b"up\n");
    wait_until("the waiter has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}

#[test]
fn row_44_the_exit_code_of_a_daemon_with_busy_threads_is_kept() {
    let context = TestContext::new();
    let daemon = "#!/usr/bin/env python3\nimport hashlib, os, signal, threading, time\n\
        def work():\n    while True: hashlib.sha256(bytes(1 << 20)).digest()\n\
        for _ in range(12): threading.Thread(target=work, daemon=True).start()\n\
        signal.signal(signal.SIGTERM, lambda *_: os._exit(3))\nprint('up', flush=True)\n\
        while True: time.sleep(600)\n";
    for n in 0..6 {
        context.script(&format!("here/plugins/p/on_E__{n}_a.daemon.bg.py"), daemon);
    }
    context.run(&["run", "E"]).exits_with(1);
    let codes: Vec<_> = context.hook_processes().iter().map(|hook| hook["exit_code"].clone()).collect();
    assert_eq!(codes, [3; 6]);
    assert_nothing_is_left(&context);
}
