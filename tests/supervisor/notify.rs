//! Readiness that a daemon notifies, by the protocol of systemd.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use serde_json::Value;

use crate::test_context::{TestContext, wait_until};

/// A Python program that defines `notify`, which sends a text.
const PYTHON: &str = "import os, socket, time\n\
    def notify(text):\n    \
        address = os.environ['NOTIFY_SOCKET'].replace('@', '\\0')\n    \
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), address)\n";

impl TestContext {
    /// Returns the texts of the progress messages of the current execution of a daemon.
    fn messages(&self, name: &str) -> Vec<Value> {
        let id = self.daemon(name)["process_id"].as_str().unwrap().to_owned();
        let process = self.run(&["process", "show", &id]).succeeds().record();
        let messages = process["messages"].as_array().cloned().unwrap_or_default();
        messages.into_iter().map(|message| message["text"].clone()).collect()
    }

    /// Returns the socket of the current execution of a daemon.
    fn socket(&self, name: &str) -> PathBuf {
        let id = self.daemon(name)["process_id"].as_str().unwrap().to_owned();
        self.path("data/processes").join(id).join("notify.sock")
    }
}

#[test]
fn a_script_reports_that_its_daemon_is_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\nready = {notify = true, interval = '10ms'}\n\
         command = 'until [ -e go ]; do sleep 0.01; done; \"$RIGUP\" hook ready; exec sleep 600'\n",
    );
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "starting");
    context.write("here/go", "");
    context.await_status("a", "running");
    context.down();
}

#[test]
fn promise_07_only_processes_of_a_daemon_can_notify_for_it() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = ['python3', 'a.py']\nready = {notify = true, interval = '10ms'}\n",
    );
    let wait = "\nwhile not os.path.exists(PATH): time.sleep(0.01)\n";
    let wait_for = |path: &str| wait.replace("PATH", &format!("'{path}'"));
    // The last notification comes from an orphan in a session of its own.
    let code = [
        PYTHON,
        &wait_for("foreign"),
        "notify('STATUS=after the foreign one')",
        &wait_for("go"),
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        notify('READY=1')\n        time.sleep(600)\n    \
         os._exit(0)\ntime.sleep(600)\n",
    ];
    context.write("here/a.py", code.concat());
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "starting");
    wait_until("the socket exists", || context.socket("a").exists());
    UnixDatagram::unbound().unwrap().send_to(b"READY=1\nSTATUS=foreign", context.socket("a")).unwrap();
    context.write("here/foreign", "");
    wait_until("the next notification was handled", || !context.messages("a").is_empty());
    assert_eq!(context.messages("a"), ["after the foreign one"]);
    assert_eq!(context.daemon("a")["status"], "starting");
    context.write("here/go", "");
    context.await_status("a", "running");
    context.down();
}

#[test]
fn a_daemon_can_extend_the_time_that_it_has_to_become_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = ['python3', 'a.py']\nrestart = 'no'\n\
         ready = {notify = true, timeout = '1s', interval = '10ms'}\n",
    );
    let code = "notify('EXTEND_TIMEOUT_USEC=60000000')\nstart = time.monotonic()\n\
                while time.monotonic() < start + 1.2: time.sleep(0.01)\nnotify('READY=1')\ntime.sleep(600)\n";
    context.write("here/a.py", [PYTHON, code].concat());
    context.run(&["up", "--wait"]).succeeds();
    assert_eq!(context.executions("a").len(), 1);
    context.down();
}

#[test]
fn a_timeout_after_an_extension_names_the_time_that_the_daemon_had() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = ['python3', 'a.py']\nrestart = 'no'\n\
         ready = {notify = true, timeout = '300ms', interval = '10ms'}\n",
    );
    let code = "notify('EXTEND_TIMEOUT_USEC=1500000')\ntime.sleep(600)\n";
    context.write("here/a.py", [PYTHON, code].concat());
    let problem = context.run(&["up", "--wait"]).exits_with(1).stderr;
    let after = problem.split_once("a: it was not ready within ").expect(&problem).1;
    let seconds: f64 = after.split_once(" s (it did not notify READY=1)").expect(&problem).0.parse().unwrap();
    assert!((1.5..1.9).contains(&seconds), "{problem}");
    context.down();
}

#[test]
fn a_daemon_that_notifies_in_a_loop_fills_no_disk() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = ['python3', 'a.py']\nready = {notify = true, interval = '10ms'}\n",
    );
    let code = "for number in range(8000): notify(f'STATUS={number} ' + 'x' * 3000)\n\
                notify('STATUS=last\\nREADY=1')\ntime.sleep(600)\n";
    context.write("here/a.py", [PYTHON, code].concat());
    context.run(&["up", "--wait"]).succeeds();
    let messages = context.messages("a");
    assert_eq!((messages.len(), &messages[999]), (1000, &"last".into()));
    let run_dir = context.socket("a").parent().unwrap().to_owned();
    let sizes = std::fs::read_dir(run_dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let size: u64 = sizes.sum();
    assert!(size < 17 << 20, "the run dir has {size} bytes");
    context.down();
}

#[test]
fn a_daemon_that_does_not_notify_in_time_has_failed() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nrestart = 'no'\nready = {notify = true, timeout = '200ms'}\n",
    );
    let expected = "a: it was not ready within 0.2 s (it did not notify READY=1)";
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains(expected);
    context.down();
}

#[test]
fn promise_20_a_daemon_with_a_long_data_dir_can_notify() {
    let mut context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\nready = {notify = true}\n\
         command = 'echo $NOTIFY_SOCKET >socket; \"$RIGUP\" hook ready; exec sleep 600'\n",
    );
    let data = context.path(&"d".repeat(200));
    context.set("RIGUP_DATA_DIR", &data);
    context.run(&["up", "--wait"]).succeeds();
    let socket = std::fs::read_to_string(context.path("here/socket")).unwrap();
    assert!(socket.starts_with("@rigup-"), "{socket}");
    context.down();
}

#[test]
fn only_a_daemon_that_declares_it_gets_a_socket_to_notify() {
    let mut context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'echo \"${NOTIFY_SOCKET-none}\" >socket; exec sleep 600'\n\
         ready = {file = 'socket'}\n",
    );
    let expected = "cannot report that the daemon is ready: NOTIFY_SOCKET is not set; declare \
                    `ready = { notify = true }` for the daemon";
    context.run(&["hook", "ready"]).exits_with(1).stderr_contains(expected);
    context.set("NOTIFY_SOCKET", "/run/systemd/notify");
    context.run(&["up", "--wait"]).succeeds();
    let socket = || std::fs::read_to_string(context.path("here/socket")).unwrap();
    wait_until("it has written the address", || socket() == "none\n");
    context.down();
}
