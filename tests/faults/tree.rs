//! What a hook starts, and how all of it ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;

use crate::aftermath::nothing_is_left;
use crate::side_by_side;
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};
use crate::{RECORD, kernel};

/// A place with one provider, `p`, whose script this is.
fn context_with(script: &str) -> TestContext {
    let context = TestContext::new();
    context.provider("p", &format!("#!/bin/sh\n{script}\n"));
    fs::create_dir(context.path("data")).unwrap();
    context
}

/// Asks it for `x`.
fn install(context: &TestContext) -> CommandOutput {
    context.run(&["install", "x", "--binproviders", "p"])
}

/// Whether the process whose pid a file holds still runs this command, whatever became of its environment.
fn is_alive(pid: &Path, command: &str) -> bool {
    let pid = fs::read_to_string(pid).unwrap();
    let found = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    String::from_utf8_lossy(&found).replace('\0', " ").starts_with(command)
}

#[test]
fn row_03_what_keeps_the_output_open_delays_nobody_and_is_ended_and_named() {
    let context = TestContext::new();
    context.fixture("forking");
    let output = context.run(&["install", "x", "--binproviders", "forking"]).succeeds();
    output.stderr_contains("terminated a process that it left behind: sleep 600");
    nothing_is_left(&context);

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
        nothing_is_left(&context);
    }
}

#[test]
fn row_04_what_left_the_group_is_named_and_goes_on_where_its_hook_ended_well() {
    let service = "setsid sh -c 'exec >/dev/null 2>&1; read -r _ <\"$DATA_DIR/gate\"' &\n\
        until [ \"$(cut -d ' ' -f 6 /proc/$!/stat)\" = $! ]; do :; done";
    let context = context_with(&format!("{service}\necho '{RECORD}'"));
    let gate = context.gate();
    install(&context).succeeds().stderr_contains("a process that it started is still running: ");
    assert_eq!(context.live_processes().len(), 1);
    fs::write(&gate, "\n").unwrap();
    wait_until("the service ends once its gate opens", || context.live_processes().is_empty());
    nothing_is_left(&context);
}

/// A child that ignores TERM, a grandchild in a session of its own, one that wiped its environment, and one that did
/// both and whose parent is gone.
const TREE: &str = "sh -c 'trap \"\" TERM; while :; do sleep 600; done' &\n\
    sh -c 'setsid sleep 600 & wait' &\n\
    env -i sh -c 'echo $$ >wiped; exec sleep 600' &\n\
    (env -i setsid sh -c 'echo $$ >orphan; exec sleep 600' &)\n\
    until is_up wiped && is_up orphan; do :; done\n";
const IS_UP: &str =
    "is_up() { [ -s $1 ] && [ \"$(tr '\\0' ' ' 2>/dev/null </proc/$(cat $1)/cmdline)\" = 'sleep 600 ' ]; }\n";

#[test]
fn row_04_a_child_that_leaves_the_session_is_found_and_ended_on_a_timeout() {
    is_ended_with_all_its_tree("5", |_, _| ());
}

#[test]
fn row_04_a_child_that_leaves_the_session_is_found_and_ended_on_an_interrupt() {
    is_ended_with_all_its_tree("600", |_, rigup| signal(rigup.id(), Signal::SIGINT));
}

#[test]
fn row_04_a_child_that_leaves_the_session_is_found_and_ended_on_a_kill() {
    is_ended_with_all_its_tree("600", |context, _| {
        wait_until("it is recorded as running", || context.hook_processes()[0]["status"] == "running");
        let hook = context.hook_processes()[0]["id"].clone();
        context.run(&["process", "kill", hook.as_str().unwrap()]).succeeds();
    });
}

/// A hook with such a tree, before the others and beside them, that has so many seconds and is ended so.
fn is_ended_with_all_its_tree(timeout: &str, end: impl Fn(&TestContext, &Child) + Sync) {
    side_by_side(["", ".finite.bg"], |kind| {
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
        wait_until("all of it is up", || log().is_some_and(|it| it == "up\n"));
        let [wiped, orphan] = ["wiped", "orphan"].map(|it| out.join("p").join(it));
        assert!(is_alive(&wiped, "sleep 600") && is_alive(&orphan, "sleep 600"));
        end(&context, &child);
        let output = CommandOutput::new(&["run", "E"], &child.wait_with_output().unwrap());
        assert_ne!(output.code, Some(0));
        let alive = [&wiped, &orphan].map(|it| is_alive(it, "sleep 600"));
        assert_eq!(alive, [false; 2], "{kind}: {}", output.stderr);
        nothing_is_left(&context);
    });
}

#[test]
fn row_05_a_tree_that_forks_while_it_is_ended_leaves_no_survivor() {
    // Each lives just long enough to start the next one; they ignore TERM, and end by themselves after all.
    let context = context_with(
        "trap '' TERM\nleft=${LEFT-30000}\n[ \"$left\" = 0 ] || LEFT=$((left - 1)) \"$0\" \"$@\" &\n\
         [ \"$LEFT\" ] || read -r _ <\"$DATA_DIR/gate\"",
    );
    context.gate();
    context.run(&["install", "x", "--binproviders", "p", "--timeout", "1"]).exits_with(1);
    // One look may miss a process that lives for a moment.
    for _ in 0..50 {
        assert_eq!(context.live_processes(), []);
    }
    nothing_is_left(&context);
}

#[test]
fn row_06_a_child_that_ignores_term_is_killed_after_the_grace_though_its_leader_is_gone() {
    let context = TestContext::new();
    context.fixture("hanging");
    let record =
        context.run(&["install", "x", "--binproviders", "hanging", "--timeout", "1"]).exits_with(1).record();
    assert_eq!(record["attempts"][0]["outcome"], "timeout");
    assert_eq!(record["attempts"][0]["reason"], "terminated after 1 s: hanging");
    let hook = &context.hook_processes()[0];
    assert_eq!(hook["exit_reason"], "timeout");
    assert_eq!(hook["exit_code"], 143, "the hook itself obeyed TERM");
    nothing_is_left(&context);
}

/// `env`, which starts what follows with these signals blocked.
const BLOCKED: &[&str] =
    &["--block-signal=TERM", "--block-signal=INT", "--block-signal=HUP", env!("CARGO_BIN_EXE_rigup")];

#[test]
fn row_07_a_hook_gets_term_though_the_launcher_of_rigup_has_it_blocked() {
    for kind in ["", ".finite.bg", ".daemon.bg"] {
        let context = TestContext::new();
        // bash hands on what it was given, while dash begins by letting all signals in.
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
            "{kind}: nor is any other signal blocked"
        );
        nothing_is_left(&context);
    }
}

#[test]
fn row_07_rigup_and_the_command_of_exec_get_term_though_their_launcher_has_it_blocked() {
    for args in [&["install", "x", "--binproviders", "p"][..], &["exec", "--", "sleep", "600"]] {
        let context = context_with("exec sleep 600");
        let all = [BLOCKED, args].concat();
        let child = context
            .command_for(Path::new("env"), &all)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("it runs", || context.count("sleep") == 1);
        signal(child.id(), Signal::SIGTERM);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143), "{args:?}");
        nothing_is_left(&context);
    }
}

/// The pids of zombies below this process.
fn zombies(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        fields[0] == "Z" && fields[1] == parent.to_string()
    })
    .collect()
}

#[test]
fn row_08_rigup_as_the_first_process_of_a_container_leaves_no_child_unreaped() {
    if !kernel::unshares(kernel::PIDS) {
        return;
    }
    // Twenty orphans that are over at once, and then something that takes its time.
    let orphans = "n=20; while [ $n -gt 0 ]; do (setsid sh -c 'exec true' &); n=$((n - 1)); done; \
        echo up >\"$DATA_DIR/up\"; read -r _ <\"$DATA_DIR/gate\"";
    for args in [&["install", "x", "--binproviders", "p"][..], &["exec", "--", "sh", "-c", orphans]] {
        let context = context_with(&format!("{orphans}\necho '{RECORD}'"));
        let gate = context.gate();
        let all = [kernel::PIDS, &[env!("CARGO_BIN_EXE_rigup")], args].concat();
        let child = context.command_for(Path::new("unshare"), &all).stdout(Stdio::null()).spawn().unwrap();
        wait_until("the orphans are made", || context.path("data/up").exists());
        let rigup =
            context.live_processes().into_iter().find(|(_, it)| it.starts_with(env!("CARGO_BIN_EXE_rigup")));
        let rigup = rigup.unwrap().0;
        wait_until("they are reaped while the hook runs", || zombies(rigup).is_empty());
        fs::write(&gate, "\n").unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0), "{args:?}");
        nothing_is_left(&context);
    }
}

#[test]
fn a_command_of_exec_is_not_taken_for_lost_before_its_start_is_noted() {
    if !kernel::traces() {
        return;
    }
    let context = TestContext::new();
    // rigup is held up right behind the start of its command, and the command calls another rigup meanwhile.
    let strace = ["-o", "/dev/null", "-e", "inject=clone,clone3,vfork:delay_exit=2000000"];
    let exec = [env!("CARGO_BIN_EXE_rigup"), "exec", "--", "sh", "-c", "\"$RIGUP\" exec -- true; exit 7"];
    let args = [&strace[..], &exec].concat();
    CommandOutput::new(&args, &context.command_for(Path::new("strace"), &args).output().unwrap())
        .exits_with(7);
    let ends: Vec<_> = context.processes().iter().map(|it| it["exit_code"].clone()).collect();
    assert_eq!(ends, [7, 0]);
    nothing_is_left(&context);
}
