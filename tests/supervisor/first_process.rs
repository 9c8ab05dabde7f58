//! `rigup up` as the first process of a container.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::kernel;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

const RIGUP: &str = env!("CARGO_BIN_EXE_rigup");

/// A container: new namespaces for pids and mounts, with `rigup up` as the first process.
struct Container<'a> {
    context: &'a TestContext,
    unshare: Child,
    /// The pid of rigup outside.
    rigup: u32,
}

impl<'a> Container<'a> {
    fn start(context: &'a TestContext) -> Self {
        let args = [kernel::PIDS, &[RIGUP, "up"]].concat();
        let mut command = context.command_for("unshare".as_ref(), &args);
        let unshare = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let children = || {
            let path = format!("/proc/{0}/task/{0}/children", unshare.id());
            fs::read_to_string(path).unwrap_or_default().trim().parse().ok()
        };
        wait_until("rigup has started", || children().is_some());
        let rigup = children().unwrap();
        Self { context, unshare, rigup }
    }

    /// Runs a command in the container.
    fn run(&self, args: &[&str]) -> CommandOutput {
        let (pid, folder) = (self.rigup.to_string(), format!("--wd={}", self.context.path("here").display()));
        let args = [&["--target", &pid, "--pid", "--mount", &folder, "--"], args].concat();
        let output = self.context.command_for("nsenter".as_ref(), &args).output().unwrap();
        CommandOutput::new(&args, &output)
    }

    /// Runs rigup in the container.
    fn rigup(&self, args: &[&str]) -> CommandOutput {
        self.run(&[&[RIGUP], args].concat())
    }

    fn daemon(&self, name: &str) -> Option<Value> {
        self.rigup(&["ps", "-a"]).records().into_iter().find(|daemon| daemon["name"] == name)
    }

    fn await_status(&self, name: &str, status: &str) -> Value {
        let daemon = || self.daemon(name).unwrap_or_default();
        wait_until(&format!("{name} is {status}"), || daemon()["status"] == status);
        daemon()
    }

    /// Returns the number of zombies among the children of rigup.
    fn zombies(&self) -> usize {
        let stats = fs::read_dir("/proc").unwrap().flatten();
        let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let is_zombie = |stat: &String| {
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            fields.starts_with(&format!("Z {} ", self.rigup))
        };
        stats.filter(is_zombie).count()
    }

    /// Waits for the end of the container, and returns the exit code of rigup.
    fn wait(mut self) -> Option<i32> {
        let code = self.unshare.wait().unwrap().code();
        wait_until("nothing runs", || self.context.live_processes().is_empty());
        code
    }
}

fn can_enter() -> bool {
    kernel::unshares(kernel::PIDS) && kernel::has("nsenter")
}

#[test]
fn promise_19_the_first_process_reaps_every_orphan_and_mistakes_none() {
    if !can_enter() {
        return;
    }
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nrestart_delay = '10ms'\n\
         [daemons.b]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.05; done; exit 7'\nrestart = 'no'\n",
    );
    context.script("here/plugins/p/on_E__1_a.sh", "#!/bin/sh\n( (exit 4) & )\necho '{\"type\":\"Found\"}'\n");
    let container = Container::start(&context);
    let (a, b) = (container.await_status("a", "running"), container.await_status("b", "running"));
    let orphans = "i=0; while [ $i -lt 1000 ]; do ( (exit 3) & ); i=$((i + 1)); done";
    container.run(&["sh", "-c", orphans]).succeeds();
    wait_until("all orphans are reaped", || container.zombies() == 0);
    for before in [&a, &b] {
        let now = container.daemon(before["name"].as_str().unwrap()).unwrap();
        assert_eq!((&now["process_id"], &now["pid"]), (&before["process_id"], &before["pid"]));
        assert_eq!(now["status"], "running");
    }

    // Runs and hooks are orphans, too, once the command that has started them has exited.
    let start =
        container.rigup(&["start", "--slug", "s", "--", "sh", "-c", "( (exit 5) & ); exit 6"]).succeeds();
    container.rigup(&["process", "wait", start.record()["id"].as_str().unwrap()]).exits_with(6);
    container.rigup(&["run", "E"]).succeeds();
    context.write("here/go", "");
    container.rigup(&["wait", "b"]).exits_with(7);
    // Without its waiter, a daemon is a child of the first process.
    let id = a["process_id"].as_str().unwrap();
    let kill_waiter =
        format!("kill -KILL $(grep -zlx 'RIGUP_WAITER={id}' /proc/[0-9]*/environ | cut -d/ -f3)");
    container.run(&["sh", "-c", &kill_waiter]).succeeds();
    container.run(&["kill", "-KILL", &a["pid"].to_string()]).succeeds();
    wait_until("it is restarted", || {
        let now = container.daemon("a").unwrap();
        now["status"] == "running" && now["process_id"] != a["process_id"]
    });
    wait_until("all are reaped", || container.zombies() == 0);
    signal(container.rigup, Signal::SIGTERM);
    assert_eq!(container.wait(), Some(1), "b has failed");
    assert_nothing_is_left(&context);
}

#[test]
fn promise_19_term_to_the_first_process_stops_all_daemons() {
    if !can_enter() {
        return;
    }
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'trap \"echo bye >>../a; exit 0\" TERM; echo up >../a; sleep 600 & wait'\n\
         [daemons.b]\ncommand = 'sleep 601'\nrestart = 'no'\ndepends_on = ['a']\n",
    );
    let container = Container::start(&context);
    container.await_status("b", "running");
    wait_until("a has set its trap", || context.path("a").exists());
    // The end of the container kills everything. What it has killed is started again, even with `restart = "no"`.
    signal(container.rigup, Signal::SIGKILL);
    container.wait();
    let container = Container::start(&context);
    container.await_status("b", "running");
    wait_until("a has set its trap", || fs::read_to_string(context.path("a")).unwrap() == "up\n");
    let began = Instant::now();
    signal(container.rigup, Signal::SIGTERM);
    assert_eq!(container.wait(), Some(0));
    assert!(began.elapsed().as_secs() < 10, "no grace period expired");
    assert_eq!(fs::read_to_string(context.path("a")).unwrap(), "up\nbye\n");
    assert_nothing_is_left(&context);
}

#[test]
fn promise_19_the_exit_code_of_a_container_is_that_of_up() {
    if !can_enter() {
        return;
    }
    for (rest, code) in [("exit 0'\nrestart = 'no'", 0), ("exit 3'\nexit_on_failure = true", 1)] {
        let manifest = format!(
            "[daemons.a]\ncommand = 'sleep 600'\nautostart = false\n[daemons.b]\nshell = true\ncommand = '{rest}\n"
        );
        let context = TestContext::with_manifest(&manifest);
        assert_eq!(Container::start(&context).wait(), Some(code));
        assert_nothing_is_left(&context);
    }
}
