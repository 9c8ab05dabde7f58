//! Supervision while the disk is full.

use std::time::{Duration, Instant};

use crate::kernel::Namespaces;
use crate::test_context::{TestContext, wait_until};

/// Mounts a small file system at the data dir.
fn mount(context: &TestContext) -> Option<Namespaces> {
    let namespaces = Namespaces::new(&["--mount"])?;
    let data = context.path("data").display().to_string();
    namespaces.sh(context, &format!("mkdir {data} && mount -t tmpfs -o mode=700,size=3m none {data}"));
    Some(namespaces)
}

fn fill(context: &TestContext, namespaces: &Namespaces) {
    namespaces.sh(context, "cat /dev/zero >\"$RIGUP_DATA_DIR/filler\" 2>/dev/null || :");
}

#[test]
fn daemons_can_be_stopped_at_once_while_the_disk_is_full() {
    let names = ["a", "b", "c", "d"];
    let manifest = names.map(|name| format!("[daemons.{name}]\ncommand = 'sleep 600'\n")).concat();
    let context = TestContext::with_manifest(&manifest);
    let Some(namespaces) = mount(&context) else { return };
    namespaces.run(&context, &["up", "--wait"]).succeeds();
    fill(&context, &namespaces);
    let began = Instant::now();
    namespaces.run(&context, &["stop", "a"]).succeeds();
    assert_eq!(context.count_live("sleep 600"), 3);
    namespaces.run(&context, &["down"]).succeeds();
    wait_until("nothing runs", || context.live_processes().is_empty());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\"");
    for daemon in namespaces.run(&context, &["ps", "-a"]).succeeds().records() {
        assert_eq!((&daemon["status"], &daemon["exit_code"]), (&"stopped".into(), &143.into()), "{daemon}");
    }
}

#[test]
fn promise_08_the_code_of_an_exit_while_the_disk_is_full_is_true() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let daemon = |name| {
        format!(
            "[daemons.{name}]\nshell = true\nrestart = 'no'\n\
             command = 'until [ -e go ]; do sleep 0.02; done; exit 7'\n"
        )
    };
    let context = TestContext::with_manifest(&names.map(daemon).concat());
    let Some(namespaces) = mount(&context) else { return };
    namespaces.run(&context, &["up", "--wait"]).succeeds();
    fill(&context, &namespaces);
    context.write("here/go", "");
    let began = Instant::now();
    let args = [&["wait"], &names[..]].concat();
    for _ in 0..2 {
        namespaces.run(&context, &args).exits_with(7);
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let daemons = || namespaces.run(&context, &["ps", "-a"]).succeeds().records();
    assert!(daemons().iter().all(|daemon| daemon["exit_code"] == 7), "{:?}", daemons());
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\"");
    wait_until("the supervisor has stored it", || {
        daemons().iter().all(|daemon| daemon["status"] == "failed")
    });
    namespaces.run(&context, &["down"]).succeeds();
    wait_until("nothing runs", || context.live_processes().is_empty());
    assert!(daemons().iter().all(|daemon| daemon["exit_reason"] == "exited"), "{:?}", daemons());
}

#[test]
fn a_start_while_the_disk_is_full_fails_with_the_cause() {
    let context = TestContext::with_manifest("[daemons.a]\ncommand = 'sleep 600'\nrestart = 'no'\n");
    let Some(namespaces) = mount(&context) else { return };
    namespaces.run(&context, &["up", "--wait"]).succeeds();
    namespaces.run(&context, &["stop", "a"]).succeeds();
    fill(&context, &namespaces);
    namespaces.run(&context, &["start", "a"]).succeeds();
    let up = namespaces.run(&context, &["up", "--wait"]);
    assert_ne!(up.code, Some(0));
    up.stderr_contains("the disk is full");
    namespaces.sh(&context, "rm \"$RIGUP_DATA_DIR/filler\"");
    let daemon = || namespaces.run(&context, &["ps", "-a"]).succeeds().record();
    wait_until("the supervisor has stored its failure", || daemon()["status"] == "failed");
    let error = daemon()["last_error"].as_str().unwrap().to_lowercase();
    assert!(error.contains("no space left") || error.contains("disk is full"), "{error}");
    namespaces.run(&context, &["start", "a"]).succeeds();
    wait_until("it runs", || context.count_live("sleep 600") == 1);
    namespaces.run(&context, &["down"]).succeeds();
    wait_until("nothing runs", || context.live_processes().is_empty());
}
