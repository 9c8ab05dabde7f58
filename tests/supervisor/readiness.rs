//! When daemons count as ready, and how dependents wait for them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, wait_until};

/// Returns a port on which nothing listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn promise_06_an_exit_before_ready_is_seen_at_once() {
    let context = TestContext::with_manifest(&format!(
        "[daemons.a]\nshell = true\ncommand = 'exit 3'\nready = {{tcp = {}, timeout = 60}}\nrestart = 'no'\n",
        free_port()
    ));
    let began = Instant::now();
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains("error: a: failed: exit 3\n");
    assert!(began.elapsed() < Duration::from_secs(30));
    let failed = context.daemon("a");
    assert_eq!((&failed["status"], &failed["exit_code"]), (&"failed".into(), &3.into()));
    context.down();
}

#[test]
fn promise_06_a_stop_ends_the_wait_for_readiness() {
    let context = TestContext::with_manifest(&format!(
        "[daemons.a]\ncommand = 'sleep 600'\nready = {{tcp = {}, timeout = 60}}\n",
        free_port()
    ));
    let began = Instant::now();
    let up = context.start(&["up", "--wait"]);
    wait_until("the daemon runs", || context.count_live("sleep 600") > 0);
    assert_eq!(context.await_status("a", "starting")["ready"], false);
    context.run(&["stop", "a"]).succeeds();
    up.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    context.down();
}

#[test]
fn promise_07_a_foreign_listener_does_not_make_a_daemon_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for ready in [format!("tcp = '127.0.0.1:{port}'"), format!("http = 'http://127.0.0.1:{port}/'")] {
        let context = TestContext::with_manifest(&format!(
            "[daemons.a]\ncommand = 'sleep 600'\nready = {{{ready}}}\nrestart = 'no'\n"
        ));
        context.run(&["up", "--wait"]).exits_with(1);
        let failed = context.daemon("a");
        assert_eq!(failed["status"], "failed");
        let problem = failed["last_error"].as_str().unwrap();
        // This process, or for a moment one that another test is starting.
        assert!(problem.starts_with("another process (pid "), "{problem}");
        let end = format!(") already accepts connections at 127.0.0.1:{port}");
        assert!(problem.ends_with(&end), "{problem}");
        assert_eq!(context.count_live("sleep"), 0);
        context.down();
    }
}

/// Answers every request at a port with success, until the tests end.
fn answer_requests(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A check of the port alone sends nothing.
            if stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
            }
        }
    });
}

#[test]
fn promise_07_a_listener_that_comes_later_is_not_the_daemon() {
    for is_http in [false, true] {
        let port = free_port();
        let ready = if is_http {
            format!("http = 'http://127.0.0.1:{port}'")
        } else {
            format!("tcp = '127.0.0.1:{port}'")
        };
        let context = TestContext::with_manifest(&format!(
            "[daemons.a]\ncommand = 'sleep 600'\nready = {{{ready}, timeout = 1}}\nrestart = 'no'\n"
        ));
        let up = context.start(&["up", "--wait"]);
        wait_until("the daemon runs", || context.count_live("sleep 600") == 1);
        answer_requests(port);
        assert_eq!(up.wait_with_output().unwrap().status.code(), Some(1));
        let failed = context.daemon("a");
        let problem = failed["last_error"].as_str().unwrap();
        // This process, or for a moment one that another test is starting.
        assert!(problem.starts_with("it was not ready within 1 s (the process "), "{problem}");
        let end = format!(", which it has not started, listens at 127.0.0.1:{port})");
        assert!(problem.ends_with(&end), "{problem}");
        context.down();
    }
}

#[test]
fn promise_07_a_stale_file_does_not_make_a_daemon_ready() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\n\
         command = 'until [ -e go ]; do sleep 0.01; done; : >ready; exec sleep 600'\n\
         ready = {file = 'ready', interval = '10ms'}\n",
    );
    context.write("here/ready", "");
    context.run(&["up", "-d"]).succeeds();
    context.await_status("a", "starting");
    assert!(!context.path("here/ready").exists());
    context.write("here/go", "");
    assert_eq!(context.await_status("a", "running")["ready"], true);
    context.down();
}

#[test]
fn promise_12_dependents_wait_through_restarts_and_block_no_command() {
    let context = TestContext::with_manifest(
        r#"
        [daemons.db]
        shell = true
        command = '''
            [ -e first ] || { : >first; exit 1; }
            until [ -e go ]; do sleep 0.01; done
            : >ready; exec sleep 600'''
        ready = {file = "ready", interval = "10ms"}
        restart_delay = "50ms"
        [daemons.app]
        shell = true
        command = '[ -e ready ] && exec sleep 601'
        restart = "no"
        depends_on = ["db"]
        [daemons.other]
        command = "sleep 602"
        "#,
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("db was restarted", || context.executions("db").len() == 2);
    assert_eq!(context.daemon("app")["status"], "waiting");
    for args in [["restart", "app"], ["restart", "other"], ["start", "app"], ["stop", "other"]] {
        context.run(&args).succeeds();
    }
    assert_eq!(context.daemon("app")["status"], "waiting");
    context.write("here/go", "");
    context.run(&["up", "--wait"]).succeeds();
    let (db, app) = (context.daemon("db"), context.daemon("app"));
    assert_eq!((&db["status"], &db["restarts"]), (&"running".into(), &1.into()));
    assert_eq!((&app["status"], &app["restarts"]), (&"running".into(), &0.into()));
    assert_eq!(context.executions("app").len(), 1);
    context.down();
}

#[test]
fn a_dependent_of_a_failed_daemon_fails_and_names_it() {
    let context = TestContext::with_manifest(
        "[daemons.db]\ncommand = 'false'\nrestart = 'no'\n\
         [daemons.app]\ncommand = 'sleep 600'\n\
         depends_on = {db = {condition = 'service_completed_successfully'}}\n",
    );
    context.run(&["up"]).exits_with(1);
    let problem = context.daemon("app")["last_error"].clone();
    assert!(problem.as_str().unwrap().starts_with("the dependency db failed: "), "{problem}");
    assert_nothing_is_left(&context);
}

#[test]
fn promise_06_a_crash_loop_before_ready_is_seen_at_once() {
    let context = TestContext::with_manifest(&format!(
        "[daemons.a]\nshell = true\ncommand = 'exit 3'\nready = {{tcp = {}, timeout = 600}}\n\
         restart_delay = 600\nrestart_delay_max = 600\n",
        free_port()
    ));
    context.run(&["up", "-d"]).succeeds();
    assert_eq!(context.await_status("a", "backoff")["exit_code"], 3);
    context.down();
}

#[test]
fn up_wait_fails_when_a_daemon_is_not_ready_in_time() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nready = {file = 'never', timeout = '500ms'}\n\
         restart_delay = 600\nrestart_delay_max = 600\n",
    );
    context.run(&["up", "--wait"]).exits_with(1).stderr_contains("a: it was not ready within 0.5 s");
    assert_eq!(context.await_status("a", "backoff")["exit_reason"], "stopped");
    assert_eq!(context.count_live("sleep"), 0);
    context.down();
}

#[test]
fn a_command_that_checks_readiness_has_the_environment_of_the_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nenv = { OWN = 'own' }\n\
         ready = { exec = ['sh', '-c', 'echo \"$OWN $DATA_DIR ${PATH%%:*}\" >seen'] }\n",
    );
    context.run(&["up", "-d", "--wait"]).succeeds();
    let data_dir = context.path("data").display().to_string();
    let seen = std::fs::read_to_string(context.path("here/seen")).unwrap();
    assert!(seen.starts_with(&format!("own {data_dir} {data_dir}/lib/")), "{seen}");
    context.down();
}

#[test]
fn a_daemon_is_ready_when_it_writes_to_its_fifo() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\n\
         command = 'exec 3>fifo; : >opened; until [ -e go ]; do sleep 0.01; done; echo up >&3; exec sleep 600'\n\
         ready = {fifo = 'fifo', interval = '10ms'}\n",
    );
    context.run(&["up", "-d"]).succeeds();
    wait_until("it has opened the fifo", || context.path("here/opened").exists());
    assert_eq!(context.daemon("a")["status"], "starting");
    let mode = std::fs::metadata(context.path("here/fifo")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    context.write("here/go", "");
    context.await_status("a", "running");
    context.down();
}

#[test]
fn promise_07_a_file_in_place_of_a_fifo_is_kept_and_fails_the_start() {
    let context = TestContext::with_manifest(
        "[daemons.a]\ncommand = 'sleep 600'\nready = {fifo = 'fifo'}\nrestart = 'no'\n",
    );
    context.write("here/fifo", "mine");
    context.run(&["up", "--wait"]).exits_with(1);
    let problem = context.daemon("a")["last_error"].clone();
    assert!(problem.as_str().unwrap().ends_with("fifo is not a fifo; remove it"), "{problem}");
    assert_eq!(std::fs::read_to_string(context.path("here/fifo")).unwrap(), "mine");
    context.down();
}

#[test]
fn each_ready_strategy_of_a_process_pilot_manifest_works() {
    let context = TestContext::new();
    let port = free_port();
    let service = |name: &str, strategy: &str, params: &str| {
        format!(
            r#"{{"name": "{name}_service", "path": "python3", "args": ["{name}_service.py"],
                "ready_strategy": "{strategy}", "ready_params": {{{params}}}}}"#
        )
    };
    let services = [
        service("tcp", "tcp", &format!("\"port\": {port}")),
        service("pipe", "pipe", "\"path\": \"pipe_ready\""),
        service("file", "file", "\"path\": \"file_ready.txt\""),
    ];
    context.write("here/example.json", format!("{{\"processes\": [{}]}}", services.join(",")));
    let tcp = format!("import socket\nlistener = socket.create_server(('localhost', {port}))\n");
    context.write("here/tcp_service.py", format!("{tcp}while True:\n    listener.accept()\n"));
    // The pipe exists already, and the service puts its own in its place.
    context.write("here/pipe_ready", "ready");
    let pipe = "import os, time\nif os.path.exists('pipe_ready'): os.unlink('pipe_ready')\n\
                os.mkfifo('pipe_ready')\n\
                while True:\n    try: fd = os.open('pipe_ready', os.O_WRONLY | os.O_NONBLOCK)\n    \
                except OSError: time.sleep(0.01); continue\n    os.write(fd, b'ready\\n')\n    time.sleep(600)\n";
    context.write("here/pipe_service.py", pipe);
    context.write("here/file_service.py", "import time\nopen('file_ready.txt', 'w')\ntime.sleep(600)\n");
    context.run(&["up", "-f", "example.json", "--wait"]).succeeds();
    for name in ["tcp_service", "pipe_service", "file_service"] {
        assert_eq!(context.daemon(name)["status"], "running", "{name}");
        assert_eq!(context.executions(name).len(), 1, "{name}");
    }
    context.down();
}

#[test]
fn a_command_that_checks_readiness_ends_with_its_daemon() {
    let context = TestContext::with_manifest(
        "[daemons.a]\nshell = true\ncommand = 'until [ -e go ]; do sleep 0.01; done'\nrestart = 'no'\n\
         exit_on_end = true\nready = {exec = ['sh', '-c', 'sleep 601; true']}\n",
    );
    let up = context.start(&["up"]);
    wait_until("the command runs", || context.count_live("sleep 601") > 0);
    context.write("here/go", "");
    up.wait_with_output().unwrap();
    assert_nothing_is_left(&context);
}
