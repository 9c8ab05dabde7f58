//! rigup on a terminal: Ctrl-C once and twice, hooks that take the terminal, and the width of tables.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::tcgetpgrp;
use rigup::internal::GRACE;

use crate::leftovers::assert_nothing_is_left;
use crate::pty::start_on_pty;
use crate::test_context::{TestContext, wait_until};

/// A terminal, and a rigup that runs on it as the session leader.
struct Terminal {
    keyboard: File,
    screen: std::thread::JoinHandle<String>,
    rigup: Child,
}

impl Terminal {
    /// Starts rigup on a new terminal, whose path is in the variable `TERMINAL`.
    fn start(context: &mut TestContext, args: &[&str]) -> Self {
        Self::start_with_columns(context, args, 0)
    }

    /// Starts rigup on a new terminal of this width, where 0 columns means an unknown width.
    fn start_with_columns(context: &mut TestContext, args: &[&str], columns: u16) -> Self {
        Self::start_program(context, &[&[env!("CARGO_BIN_EXE_rigup")], args].concat(), columns)
    }

    /// Starts a program on a new terminal of this width, in the place of rigup.
    fn start_program(context: &mut TestContext, words: &[&str], columns: u16) -> Self {
        let (keyboard, rigup) = start_on_pty(context, words, columns);
        let mut screen = keyboard.try_clone().unwrap();
        let screen = std::thread::spawn(move || {
            let mut output = Vec::new();
            // Reading fails when no process has the terminal open any more.
            let _ = screen.read_to_end(&mut output);
            String::from_utf8_lossy(&output).into_owned()
        });
        Self { keyboard, screen, rigup }
    }

    fn press_ctrl_c(&mut self) {
        self.type_text("\x03");
    }

    fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until rigup exits, and returns its exit code, 128+N for signal N, and everything that was written to the
    /// terminal.
    fn wait(mut self) -> (Option<i32>, String) {
        wait_until("rigup has exited and is not suspended", || self.rigup.try_wait().unwrap().is_some());
        let status = self.rigup.wait().unwrap();
        let code = status.code().or_else(|| Some(128 + status.signal()?));
        (code, self.screen.join().unwrap())
    }
}

/// Starts an install of two binaries whose hooks start children that ignore TERM, and waits until all of them run.
fn start_hanging(context: &mut TestContext) -> Terminal {
    context.fixture("hanging");
    let terminal = Terminal::start(context, &["install", "x", "y", "--binproviders", "hanging"]);
    wait_until("both hooks and their children run", || context.count_live("sleep") >= 4);
    terminal
}

fn assert_all_are_stopped(context: &TestContext) {
    let processes = context.processes();
    assert_eq!(processes.len(), 3);
    for process in &processes {
        assert_eq!((&process["status"], &process["exit_reason"]), (&"exited".into(), &"stopped".into()));
    }
    assert_eq!(processes[0]["exit_code"], 130);
    let queued = context.run(&["binary", "show", "x"]).succeeds().record();
    assert_eq!((&queued["status"], &queued["attempt_count"]), (&"queued".into(), &0.into()));
    assert_nothing_is_left(context);
}

#[test]
fn row_09_ctrl_c_terminates_every_child_before_rigup_exits() {
    let mut context = TestContext::new();
    let mut terminal = start_hanging(&mut context);
    terminal.press_ctrl_c();
    let (code, _) = terminal.wait();
    // No child is alive after rigup has exited.
    assert_eq!(context.live_processes(), []);
    assert_eq!(code, Some(130));
    assert_all_are_stopped(&context);
}

#[test]
fn row_10_a_second_ctrl_c_kills_at_once() {
    // On a busy machine, the grace period can end before the second Ctrl-C takes effect, so one success is enough.
    assert!(
        (0..5).any(|_| second_ctrl_c_shortens_the_grace_period()),
        "one of the runs ended before the grace period"
    );
}

fn second_ctrl_c_shortens_the_grace_period() -> bool {
    let mut context = TestContext::new();
    // The hooks ignore TERM for the whole grace period.
    context.concurrent_provider(
        "p",
        "#!/bin/sh\ntrap 'echo \"TERM $RIGUP_PROCESS_ID\" >>\"$DATA_DIR/terminated\"' TERM\n\
         : >\"$DATA_DIR/up-$RIGUP_PROCESS_ID\"\nwhile :; do sleep 600; done\n",
    );
    let mut terminal = Terminal::start(&mut context, &["install", "x", "y", "--binproviders", "p"]);
    wait_until("both hooks run", || context.count_live("sleep") == 2);
    let began = Instant::now();
    terminal.press_ctrl_c();
    let terminated = || fs::read_to_string(context.path("data/terminated")).unwrap_or_default();
    wait_until("both hooks have received TERM", || terminated().lines().count() == 2);
    terminal.press_ctrl_c();
    assert_eq!(terminal.wait().0, Some(130));
    let is_shorter = began.elapsed() < GRACE;
    for hook in context.hook_processes() {
        assert_eq!(hook["signal"], 9, "the hook was killed");
    }
    assert_all_are_stopped(&context);
    is_shorter
}

#[test]
fn row_09_ctrl_c_stops_the_loop_around_exec() {
    let mut context = TestContext::new();
    let script = format!("while true; do {} exec -- sleep 600; done", env!("CARGO_BIN_EXE_rigup"));
    let mut terminal = Terminal::start_program(&mut context, &["bash", "-c", &script], 0);
    wait_until("the command runs", || context.count_live("sleep 600") == 1);
    terminal.press_ctrl_c();
    assert_eq!(terminal.wait().0, Some(130));
    let processes = context.processes();
    assert_eq!(processes.len(), 1);
    assert_eq!((&processes[0]["exit_code"], &processes[0]["signal"]), (&130.into(), &2.into()));
    assert_nothing_is_left(&context);
}

#[test]
fn row_11_ctrl_z_suspends_exec_and_its_command_until_fg() {
    let mut context = TestContext::new();
    let shell = ["bash", "--norc", "-i"];
    let mut terminal = Terminal::start_program(&mut context, &shell, 0);
    terminal.type_text(&format!("{} exec -- sleep 600\n", env!("CARGO_BIN_EXE_rigup")));
    let states = |context: &TestContext| -> Vec<String> {
        let is_job = |line: &str| line.starts_with("sleep") || line.starts_with(env!("CARGO_BIN_EXE_rigup"));
        let jobs = context.live_processes().into_iter().filter(|(_, line)| is_job(line));
        let stats = jobs.map(|(pid, _)| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default());
        stats.filter_map(|stat| Some(stat.rsplit_once(") ")?.1[..1].to_owned())).collect()
    };
    let count_stopped = |context: &TestContext| states(context).iter().filter(|state| *state == "T").count();
    wait_until("the command runs", || context.count_live("sleep 600") == 1);
    terminal.type_text("\x1a");
    wait_until("rigup and the command are stopped", || count_stopped(&context) == 2);
    terminal.type_text("fg\n");
    wait_until("both continue", || count_stopped(&context) == 0);
    terminal.press_ctrl_c();
    wait_until("both have exited", || states(&context).is_empty());
    terminal.type_text("exit 3\n");
    let (code, output) = terminal.wait();
    assert_eq!(code, Some(3), "{output}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_35_a_terminal_that_is_gone_is_a_closed_stdout() {
    let rigup = env!("CARGO_BIN_EXE_rigup");
    for (launch, format) in
        [("exec", ""), ("exec", "--json"), ("trap '' HUP; exec", ""), ("trap '' HUP; exec", "--json")]
    {
        let mut context = TestContext::new();
        let script =
            "#!/bin/sh\n: >\"$DATA_DIR/up\"\nread -r _ <\"$DATA_DIR/gate\"\necho '{\"type\":\"Said\"}'\n";
        context.script("here/plugins/p/on_E__1_a.sh", script);
        let gate = context.gate();
        let words = ["sh", "-c", &format!("{launch} {rigup} run {format} --timeout 20 E")];
        let (terminal, mut rigup) = start_on_pty(&mut context, &words, 80);
        wait_until("the hook runs", || context.path("data/up").exists());
        drop(terminal);
        if launch == "exec" {
            let status = rigup.wait().unwrap();
            assert_eq!(status.signal(), Some(Signal::SIGHUP as i32), "{format}: {status}");
            assert_eq!(context.processes()[0]["exit_code"], 129);
        } else {
            fs::write(gate, "\n").unwrap();
            assert_eq!(rigup.wait().unwrap().code(), Some(0), "{format}");
        }
        assert_nothing_is_left(&context);
    }
}

/// A script that tries to take the terminal in three ways: it makes its own group the foreground group, opens the
/// controlling terminal, and makes the terminal its controlling terminal. The argument 1 takes it from another session,
/// which only root may do.
const TAKE_TERMINAL: &str = "import fcntl, os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
terminal = os.open(os.environ['TERMINAL'], os.O_RDWR)
for take in (lambda: os.tcsetpgrp(terminal, os.getpgrp()), lambda: os.open('/dev/tty', os.O_RDWR),
             lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, int(sys.argv[1]))):
    try:
        take()
        print('taken')
    except OSError as error:
        print('refused:', error)
";

#[test]
fn row_11_a_hook_that_takes_the_terminal_does_not_suspend_rigup() {
    for by_force in [false, true] {
        let mut context = TestContext::new();
        let script = context.write("take_terminal.py", TAKE_TERMINAL);
        let hook = format!(
            "#!/bin/sh\n[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo 'no terminal'\npython3 {} {}\n\
             stty tostop <\"$TERMINAL\"\n: >\"$DATA_DIR/up\"\nread -r _ <\"$DATA_DIR/gate\"\n\
             printf '{{\"type\":\"Binary\",\"name\":\"x\",\"abspath\":\"/bin/sh\",\"version\":\"1\"}}'\n",
            script.display(),
            u8::from(by_force)
        );
        context.provider("p", &hook);
        let gate = context.gate();
        let terminal = Terminal::start(&mut context, &["install", "x", "--binproviders", "p"]);
        wait_until("the hook has tried to take the terminal", || context.path("data/up").exists());
        if !by_force {
            let foreground = tcgetpgrp(terminal.keyboard.as_fd()).unwrap().as_raw();
            assert_eq!(u32::try_from(foreground).unwrap(), terminal.rigup.id(), "rigup is in the foreground");
        }
        fs::write(gate, "\n").unwrap();
        let (code, output) = terminal.wait();
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("/bin/sh"), "rigup prints its table: {output}");
        let hook = &context.hook_processes()[0];
        let printed = hook["stdout_tail"].as_str().unwrap();
        assert!(printed.starts_with("no terminal\n"), "{printed}");
        assert!(by_force || !printed.contains("taken"), "{printed}");
        assert_nothing_is_left(&context);
    }
}

#[test]
fn row_11_a_command_that_keeps_the_terminal_does_not_suspend_rigup() {
    let mut context = TestContext::new();
    // An interactive shell creates its own foreground group. If it is killed, it does not restore the previous one.
    let command = "stty tostop; bash --norc -ic 'kill -KILL $$'; exit 3";
    let terminal = Terminal::start(&mut context, &["exec", "--", "sh", "-c", command]);
    let (code, output) = terminal.wait();
    assert_eq!(code, Some(3), "{output}");
    assert_nothing_is_left(&context);
}

#[test]
fn tables_fit_the_width_of_the_terminal() {
    let mut context = TestContext::new();
    context.run(&["install", "sh", "ls"]).succeeds();
    for (columns, width) in [(120, 120), (80, 80), (50, 50), (0, 80)] {
        for args in [&["process", "tree"][..], &["process", "list"], &["binary", "list"], &["config"]] {
            let (code, output) = Terminal::start_with_columns(&mut context, args, columns).wait();
            assert_eq!(code, Some(0), "{output}");
            assert!(output.lines().count() > 2, "{output}");
            for line in output.lines() {
                let line = without_colors(line);
                assert!(line.trim_end().chars().count() <= width, "{columns} columns: {line}");
            }
        }
    }
}

/// Removes the escape sequences for colors from a line.
fn without_colors(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}
