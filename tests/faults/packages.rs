//! Locks of package managers, and hooks that print invalid records.

use std::fs;
use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::json;

use crate::kernel::{self, Namespaces};
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::TestContext;

#[test]
fn row_23_an_install_names_the_holder_of_the_dpkg_lock_and_gives_up() {
    let mut context = TestContext::new();
    if !(kernel::has("apt-get") && kernel::is_root()) {
        return;
    }
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    let lock = fs::File::create(context.write("lock", "")).unwrap();
    // The test mounts its own lock file and package lists, so that other tests can use apt at the same time.
    namespaces.sh(
        &context,
        "mount --bind ../lock /var/lib/dpkg/lock-frontend\n\
        mount -t tmpfs none /var/lib/apt/lists\nmkdir /var/lib/apt/lists/partial\n: >/var/lib/apt/lists/x_Packages",
    );
    let whole_file = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&lock, FcntlArg::F_SETLK(&whole_file)).unwrap();
    context.set("APT_LOCK_PATIENCE", "1");
    let waiting = format!("hello: waiting for the dpkg lock (pid {})", std::process::id());
    let reason = |context: &TestContext, args: &[&str]| {
        let output = namespaces.run(context, args).exits_with(1);
        let attempt = output.record()["attempts"][0].clone();
        output.stderr_contains(&waiting);
        assert_eq!(context.live_processes(), []);
        format!("{} {}", attempt["outcome"].as_str().unwrap(), attempt["reason"].as_str().unwrap())
    };

    context.plugin("p", &[json!({"type": "Binary", "name": "hello", "binproviders": "apt"})]);
    let lock_timeout = reason(&context, &["install"]);
    let pid = std::process::id();
    assert_eq!(lock_timeout, format!("failed the dpkg lock is still held (pid {pid}); try again later"));

    context.set("APT_LOCK_PATIENCE", "60");
    let timed_out = reason(&context, &["install", "--timeout", "3"]);
    assert!(timed_out.starts_with("timeout terminated after 3 s: "), "{timed_out}");
    // On a busy machine, apt-get may not have printed its line yet, but the hook has.
    let lines = [format!("is held by process {pid}"), format!("waiting for the dpkg lock (pid {pid})")];
    assert!(lines.iter().any(|line| timed_out.contains(line)), "{timed_out}");
}

#[test]
fn row_24_ten_identical_installs_start_the_hook_once_and_all_succeed() {
    let context = TestContext::new();
    context.fixture("counting");
    let gate = context.gate();

    let (sender, receiver) = mpsc::channel();
    let children: Vec<_> = (0..10)
        .map(|_| {
            let mut child = context.start(&["install", "x", "--binproviders", "counting"]);
            let (sender, stderr) = (sender.clone(), child.stderr.take().unwrap());
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if line.contains("waiting for another rigup") || line.contains("trying counting") {
                        let _ = sender.send(());
                    }
                }
            });
            child
        })
        .collect();
    for _ in 0..10 {
        receiver.recv_timeout(Duration::from_secs(30)).expect("every rigup tries or waits");
    }
    fs::write(&gate, "\n").unwrap();
    for child in children {
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    }
    assert_eq!(fs::read_dir(context.path("data/started")).unwrap().count(), 1);
    assert_eq!(context.hook_processes().len(), 1);
    assert_nothing_is_left(&context);
}

#[test]
fn row_36_an_invalid_record_is_rejected_and_the_next_provider_is_tried() {
    for (fault, outcome, reason) in [
        ("name", "rejected", "the record is for `other`, not for `x`"),
        ("missing", "rejected", "abspath /no/such/program does not exist"),
        ("folder", "rejected", "abspath /usr/bin is not a file"),
        ("mode", "rejected", "abspath /etc/passwd has no exec bit, and does not begin like a program"),
        ("relative", "rejected", "abspath bin/sh is not absolute"),
        ("version", "rejected", "version 0.1 is older than 1.0"),
        ("silent", "rejected", "the version is unknown, but 1.0 or newer is required"),
        ("link", "rejected", "is a link that rigup creates; name the file that it leads to"),
        ("exit", "failed", "exit code 3"),
    ] {
        let context = TestContext::new();
        context.fixture("invalid_record").fixture("good");
        let request = json!({
            "type": "Binary", "name": "x", "binproviders": "invalid_record,good", "min_version": "1.0",
            "overrides": {"invalid_record": {"fault": fault}},
        });
        context.plugin("p", &[request]);
        let record = context.run(&["install"]).succeeds().record();
        assert_eq!(record["binprovider"], "good", "{fault}");
        let id = record["id"].as_str().unwrap();
        let first: (String, String) = context
            .store()
            .query_row("SELECT outcome, reason FROM attempt ORDER BY created_at, id LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(first.0, outcome, "{fault} {id}");
        assert!(first.1.contains(reason), "{fault}: {}", first.1);
        assert_eq!(context.linked_file("x").to_str(), record["abspath"].as_str(), "{fault}");
        assert_nothing_is_left(&context);
    }
}
