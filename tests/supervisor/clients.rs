//! Clients of the supervisor that are slow, broken or foreign, while it goes on with its work.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::kernel;
use crate::test_context::{TestContext, signal, wait_until};

/// A daemon that is restarted at once.
const RESTARTED: &str = "[daemons.a]\ncommand = 'sleep 600'\nrestart_delay = 0\n";

/// How long a restart may take on a busy machine: less than any patience with a client.
const PROMPT: Duration = Duration::from_secs(3);

impl TestContext {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path("data/supervisor.sock")).unwrap()
    }

    /// Kills the daemon `a`, and asserts that it is restarted in time.
    #[track_caller]
    fn assert_restart_is_prompt(&self) {
        let killed = self.await_status("a", "running")["pid"].as_u64().unwrap();
        signal(killed.try_into().unwrap(), Signal::SIGKILL);
        let began = Instant::now();
        wait_until("the daemon was restarted", || {
            let daemon = self.daemon("a");
            daemon["status"] == "running" && daemon["pid"] != killed
        });
        assert!(began.elapsed() < PROMPT, "the restart took {:?}", began.elapsed());
    }
}

#[test]
fn promise_20_a_client_that_never_reads_its_answer_stalls_nothing() {
    use std::fmt::Write as _;
    let mut manifest = RESTARTED.to_owned();
    // Their records are more than a socket takes.
    for n in 0..1000 {
        write!(manifest, "[daemons.n{n}]\ncommand = 'true'\nautostart = false\n").unwrap();
    }
    let context = TestContext::with_manifest(&manifest);
    context.run(&["up", "-d"]).succeeds();
    let clients = [context.connect(), context.connect()];
    for mut client in &clients {
        client.write_all(b"{\"command\":\"wait\",\"names\":[\"n0\"]}\n").unwrap();
    }
    context.assert_restart_is_prompt();
    let [mut slow, closed] = clients;
    drop(closed);
    // It is answered in full once it reads.
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["daemons"].as_array().unwrap().len(), 1001);
    context.down();
}

#[test]
fn promise_20_a_client_that_sends_half_a_request_stalls_nothing() {
    let context = TestContext::with_manifest(RESTARTED);
    context.run(&["up", "-d"]).succeeds();
    let mut half = context.connect();
    half.write_all(b"{\"command\":\"sto").unwrap();
    context.assert_restart_is_prompt();
    half.write_all(b"p\",\"names\":[\"none\"]}\n").unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("no daemon is named none"), "{answer}");
    context.down();
}

#[test]
fn promise_20_a_client_that_sends_garbage_is_dropped_and_stalls_nothing() {
    let context = TestContext::with_manifest(RESTARTED);
    context.run(&["up", "-d"]).succeeds();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut client = context.connect();
            let garbage = vec![b'x'; 1 << 20];
            (0..64).try_for_each(|_| client.write_all(&garbage))
        });
        context.assert_restart_is_prompt();
        assert!(sender.join().unwrap().is_err(), "it was dropped");
    });
    let mut client = context.connect();
    client.write_all(b"{\"command\":\"unknown\"}\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("unknown variant `unknown`"), "{answer}");
    context.down();
}

#[test]
fn promise_20_many_idle_clients_keep_no_command_from_the_supervisor() {
    let context = TestContext::with_manifest(RESTARTED);
    context.run(&["up", "-d"]).succeeds();
    let idle: Vec<UnixStream> = (0..600).map(|_| context.connect()).collect();
    context.assert_restart_is_prompt();
    context.run(&["stop", "a"]).succeeds();
    assert_eq!(context.daemon("a")["status"], "stopped");
    drop(idle);
    context.down();
}

#[test]
fn promise_20_another_user_cannot_control_the_supervisor() {
    if !kernel::is_root() {
        return;
    }
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.run(&["up", "--wait"]).succeeds();
    let allow = |name: &str, mode| {
        std::fs::set_permissions(context.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for folder in ["", "data"] {
        allow(folder, 0o755);
    }
    let socket = context.path("data/supervisor.sock");
    let stop_as_nobody = || {
        let code = "import socket, sys\nclient = socket.socket(socket.AF_UNIX)\nclient.connect(sys.argv[1])\n\
                    client.sendall(b'{\"command\":\"stop\",\"names\":[\"a\"]}\\n')\nprint(client.recv(99))";
        let mut python = Command::new("python3");
        let output = python.args(["-c", code]).arg(&socket).uid(65534).gid(65534).output().unwrap();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (answer, error) = stop_as_nobody();
    assert!(answer.is_empty() && error.contains("PermissionError"), "{answer}{error}");
    // Even with the mode changed, the supervisor checks who connects.
    allow("data/supervisor.sock", 0o666);
    let (answer, error) = stop_as_nobody();
    let is_refused =
        answer == "b''\n" || ["BrokenPipe", "ConnectionReset"].iter().any(|kind| error.contains(kind));
    assert!(is_refused, "{answer}{error}");
    assert_eq!(context.daemon("a")["status"], "running");
    context.down();
}
