//! A supervisor that a service manager such as systemd starts.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kernel;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, signal, wait_until};

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let count = socket.recv(&mut buffer).expect("a message comes in time");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[test]
fn a_service_manager_hears_that_the_supervisor_works_and_ends() {
    for is_abstract in [false, true] {
        let mut context = TestContext::with_manifest(
            "[daemons.a]\nshell = true\ncommand = 'env >$RIGUP_DATA_DIR/env; exec sleep 600'\n",
        );
        let path = context.path("notify").to_str().unwrap().to_owned();
        let (name, address) = if is_abstract {
            (format!("@{path}"), SocketAddr::from_abstract_name(&path).unwrap())
        } else {
            (path.clone(), SocketAddr::from_pathname(&path).unwrap())
        };
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        context.set("NOTIFY_SOCKET", name).set("WATCHDOG_USEC", "200000");
        let mut up = context.command(&["up"]).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(receive(&socket), "READY=1");
        for _ in 0..5 {
            assert_eq!(receive(&socket), "WATCHDOG=1");
        }
        wait_until("the daemon runs", || context.count_live("sleep 600") == 1);
        for (pid, line) in context.live_processes().into_iter().filter(|(pid, _)| *pid != up.id()) {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
            let environ = String::from_utf8_lossy(&environ).into_owned();
            assert!(!environ.contains("NOTIFY_SOCKET") && !environ.contains("WATCHDOG"), "{line}");
        }
        let env = fs::read_to_string(context.path("data/env")).unwrap();
        assert!(env.contains("RIGUP_PROCESS_ID=") && !env.contains("NOTIFY"), "{env}");
        signal(up.id(), Signal::SIGTERM);
        while receive(&socket) != "STOPPING=1" {}
        assert!(up.wait().unwrap().success());
        assert_nothing_is_left(&context);
    }
}

#[test]
fn a_service_manager_starts_no_second_supervisor() {
    let mut context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.set("NOTIFY_SOCKET", "/nonexistent/notify");
    context.run(&["up", "--wait"]).succeeds();
    context.run(&["up"]).exits_with(3).stderr_contains("another supervisor runs; stop it with `rigup down`");
    let environ = fs::read(format!("/proc/{}/environ", context.supervisors()[0])).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("NOTIFY_SOCKET"));
    context.down();
}

#[test]
fn a_generated_unit_is_valid_and_names_the_folders_of_now() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\n");
    context.write("here/Procfile", "b: sleep 600\n");
    for args in [&["generate", "systemd"][..], &["generate", "systemd", "--user", "-f", "Procfile", "a"]] {
        let unit = context.run(args).succeeds().stdout;
        let here = context.path("here").display().to_string();
        let data = context.path("data").display().to_string();
        let rigup = env!("CARGO_BIN_EXE_rigup");
        let start = format!("ExecStart={rigup} --data-dir {data} --lib-dir {data}/lib/");
        let up = match args {
            [_, _] => " up\n".to_owned(),
            _ => format!(" up -f {here}/Procfile a\n"),
        };
        for text in [
            "Type=notify\nNotifyAccess=main\n",
            "KillMode=process\nRestart=on-failure\n",
            "WatchdogSec=",
            &format!("WorkingDirectory={here}\n"),
            "Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
            &start,
            &up,
            " down\n",
        ] {
            assert!(unit.contains(text), "{text} is in\n{unit}");
        }
        assert_eq!(unit.contains("User=0"), args.len() == 2 && nix::unistd::geteuid().is_root());
        if kernel::has("systemd-analyze") {
            let path = context.write("rigup-test.service", &unit);
            let verified =
                std::process::Command::new("systemd-analyze").arg("verify").arg(path).output().unwrap();
            let problems = String::from_utf8_lossy(&verified.stderr);
            assert!(verified.status.success() && !problems.contains("rigup-test"), "{problems}\n{unit}");
        }
    }
    context.run(&["generate", "systemd", "none"]).exits_with(1).stderr_contains("no daemon is named none");
    assert!(!context.path("data").exists(), "nothing was written");
}
