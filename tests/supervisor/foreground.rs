//! What `rigup up` prints in the foreground, also if another supervisor runs.

use std::fs;
use std::io::{Read, Write};
use std::process::Child;

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;

use crate::leftovers::assert_nothing_is_left;
use crate::pty::start_on_pty;
use crate::test_context::{TestContext, died_of, signal, wait_until};

/// Starts `rigup up` with these arguments while a supervisor runs, and waits until it has applied its manifest.
fn join(context: &TestContext, args: &[&str]) -> Child {
    let file = |name| fs::File::create(context.path(name)).unwrap();
    let args = [&["up"], args].concat();
    let joined = context.command(&args).stdout(file("joined")).stderr(file("joined.stderr")).spawn().unwrap();
    wait_until("the manifest is applied", || text(context, "joined.stderr").contains("was applied"));
    joined
}

fn text(context: &TestContext, name: &str) -> String {
    fs::read_to_string(context.path(name)).unwrap()
}

fn exit_code(mut child: Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn lines_in_the_foreground_have_padded_names_in_front() {
    let context = TestContext::with_manifest(
        "[daemons.db]\nshell = true\ncommand = 'echo \"one  $$ %s\" | tr -d 0-9; printf end >&2'\n\
         [daemons.worker]\nshell = true\ncommand = 'echo two'\ndepends_on.db.condition = 'service_completed_successfully'\n",
    );
    let up = context.run(&["up"]).succeeds();
    let mut lines: Vec<&str> = up.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["db     | end", "db     | one   %s", "worker | two"]);
    assert!(up.stderr.contains("worker: exited (exit 0)"), "{}", up.stderr);
    assert_nothing_is_left(&context);
}

#[test]
fn a_joined_up_prints_new_lines_and_fails_with_a_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.old]\nshell = true\ncommand = 'echo before; until [ -e go ]; do sleep 0.01; done; echo after'\n\
         ready.stdout_line = true\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    let manifest = text(&context, "here/rigup.toml");
    context.write(
        "here/rigup.toml",
        manifest + "[daemons.new]\nshell = true\ncommand = 'echo started; exit 3'\nrestart = 'no'\n",
    );
    let joined = join(&context, &[]);
    context.write("here/go", "");
    assert_eq!(exit_code(joined), Some(1));
    let printed = text(&context, "joined");
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["new | started", "old | after"]);
    assert!(text(&context, "joined.stderr").contains("new: failed: exit 3"));
    context.down();
}

#[test]
fn a_joined_up_prints_no_old_lines_of_a_daemon_that_is_declared_again() {
    let only_b = "[daemons.b]\ncommand = 'sleep 600'\n";
    let with_a = |text: &str| {
        format!(
            "{only_b}[daemons.a]\nshell = true\ncommand = 'echo {text}; exec sleep 601'\nready.stdout_line = true\n"
        )
    };
    let context = TestContext::with_manifest(&with_a("old"));
    context.run(&["up", "-d", "--wait"]).succeeds();
    context.write("here/rigup.toml", only_b);
    context.run(&["up", "-d", "--remove-orphans"]).succeeds();
    wait_until("it is forgotten", || context.run(&["ps", "-a"]).succeeds().records().len() == 1);
    context.write("here/rigup.toml", with_a("new"));
    let joined = join(&context, &[]);
    wait_until("its line is printed", || text(&context, "joined").contains("a | new"));
    context.down();
    assert_eq!((exit_code(joined), &*text(&context, "joined")), (Some(0), "a | new\n"));
}

#[test]
fn a_joined_up_has_the_exit_code_of_the_named_daemon() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d"]).succeeds();
    context.write(
        "here/rigup.toml",
        "[daemons.a]\ncommand = 'sleep 600'\n[daemons.b]\nshell = true\ncommand = 'exit 4'\nrestart = 'no'\n",
    );
    context.run(&["up", "--exit-code-from", "b"]).exits_with(4);
    wait_until("the supervisor has exited", || context.live_processes().is_empty());
    assert_nothing_is_left(&context);
}

#[test]
fn a_joined_up_ends_on_down_and_its_interrupt_stops_nothing() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "-d", "--wait"]).succeeds();
    let mut joined = join(&context, &[]);
    signal(joined.id(), Signal::SIGINT);
    assert!(died_of(joined.wait().unwrap(), Signal::SIGINT));
    assert_eq!((context.daemon("a")["status"].as_str(), context.supervisors().len()), (Some("running"), 1));
    let joined = join(&context, &[]);
    context.run(&["down"]).succeeds();
    assert_eq!(exit_code(joined), Some(0));
    context.run(&["up", "-d", "--wait"]).succeeds();
    let joined = join(&context, &[]);
    context.kill_supervisor();
    assert_eq!(exit_code(joined), Some(1));
    assert!(text(&context, "joined.stderr").contains("`rigup up` takes them over"));
    context.down();
}

#[test]
fn the_log_of_a_supervisor_is_rotated() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let old = "an old message\n".repeat(100_000);
    context.write("data/supervisor.log", &old);
    context.run(&["up", "-d", "--wait"]).succeeds();
    let log = || text(&context, "data/supervisor.log");
    wait_until("the log is rotated", || log().len() < 1 << 20);
    assert!(log().contains("a: running"));
    assert!(old.contains(&text(&context, "data/supervisor.1.log")));
    context.down();
}

#[test]
fn a_terminal_shows_what_starts_and_lines_with_colored_names() {
    let mut context = TestContext::with_manifest(
        "[daemons.db]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done; echo up; exec sleep 600'\n\
         ready.stdout_line = true\n[daemons.worker]\ncommand = 'sleep 600'\ndepends_on = ['db']\n",
    );
    context.unset("CI");
    let (mut terminal, mut rigup) = start_on_pty(&mut context, &[env!("CARGO_BIN_EXE_rigup"), "up"], 80);
    let mut shown = String::new();
    let mut wait_for = |text: &str| {
        let mut buffer = [0; 4096];
        while !shown.contains(text) {
            let count = terminal.read(&mut buffer).unwrap();
            shown += &String::from_utf8_lossy(&buffer[..count]);
        }
    };
    wait_for("worker");
    wait_for("waiting");
    wait_for("starting (pid ");
    context.write("here/go", "");
    wait_for("\x1b[36mdb     |\x1b[0m up");
    wait_for("db: running (pid ");
    wait_for("worker: running (pid ");
    (&terminal).write_all(b"\x03").unwrap();
    wait_until("rigup has exited", || rigup.try_wait().unwrap().is_some());
    assert_nothing_is_left(&context);
}

#[test]
fn each_line_of_the_log_of_a_supervisor_begins_with_its_time() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    let before = Timestamp::now();
    let up = context.run(&["up", "-d", "--wait"]).succeeds();
    assert_eq!(up.stderr, "");
    context.down();
    let log = text(&context, "data/supervisor.log");
    let mut messages = Vec::new();
    for line in log.lines() {
        let (time, message) = line.split_once(' ').unwrap();
        let parsed: Timestamp = time.parse().unwrap();
        assert!(time.ends_with('Z'), "{line}");
        assert!(before.duration_since(parsed) < SignedDuration::from_secs(1), "{line}");
        messages.push(message);
    }
    assert!(messages[1].starts_with("a: running (pid "), "{log}");
    assert_eq!((messages[0], &messages[2..]), ("a: waiting", &["a: stopping", "a: stopped"][..]));
}

#[test]
fn a_new_up_prints_no_old_lines_of_a_daemon_of_another_manifest() {
    let context = TestContext::new();
    let web = |text: &str| format!("web: echo \"{text} web\"; exec sleep 600\n");
    context.write("here/Procfile", web("old"));
    context.write("here/other.toml", "[daemons.b]\ncommand = 'sleep 601'\n");
    context.run(&["up", "-f", "Procfile", "-d"]).succeeds();
    wait_until("it writes a line", || context.run(&["logs", "web"]).stdout == "old web\n");
    context.run(&["down"]).succeeds();
    context.run(&["up", "-f", "other.toml", "-d", "--wait"]).succeeds();
    context.run(&["down"]).succeeds();
    context.write("here/Procfile", web("new"));
    let printed = fs::File::create(context.path("printed")).unwrap();
    let up = context.command(&["up", "-f", "Procfile"]).stdout(printed).spawn().unwrap();
    wait_until("its line is printed", || text(&context, "printed").contains("new web"));
    signal(up.id(), Signal::SIGINT);
    assert_eq!((exit_code(up), &*text(&context, "printed")), (Some(0), "web | new web\n"));
    assert_nothing_is_left(&context);
}

#[test]
fn the_lines_of_daemons_in_a_ci_job_are_no_commands_of_its_system() {
    let mut context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\n\
         command = '''printf '##vso[task.setvariable variable=x]y\\n\\r::error::b\\n##[error]c\\n\\033[32mgreen\\033[0m\\n' '''\n",
    );
    let lines = |context: &TestContext, args: &[&str]| context.run(args).succeeds().stdout;
    let raw = "##vso[task.setvariable variable=x]y\n\r::error::b\n##[error]c\n\u{1b}[32mgreen\u{1b}[0m\n";
    assert_eq!(lines(&context, &["up"]).replace("a | ", ""), raw);
    context.set("TF_BUILD", "True");
    let shown = lines(&context, &["up"]);
    assert_eq!(
        shown,
        "a | ## vso[task.setvariable variable=x]y\na | \na | ::error::b\na | ## [error]c\na | \u{1b}[32mgreen\u{1b}[0m\n"
    );
    assert_eq!(lines(&context, &["logs", "a"]), raw.repeat(2), "logs are printed unchanged");
    context.unset("TF_BUILD").set("GITHUB_ACTIONS", "true");
    let shown = lines(&context, &["up"]);
    assert!(
        !shown.lines().any(|line| line.trim_start().starts_with("::") || line.contains("##[")),
        "{shown}"
    );
    assert_nothing_is_left(&context);
}
