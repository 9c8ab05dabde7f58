//! `rigup run` that is killed while its hooks run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::RECORD;
use crate::leftovers::assert_nothing_is_left;
use crate::test_context::{TestContext, signal, wait_until};

fn kill(mut rigup: Child) {
    rigup.kill().unwrap();
    rigup.wait().unwrap();
}

/// Returns a daemon that ends only once the file `go` exists.
const DAEMON: &str = "#!/bin/sh\ntrap 'until [ -e \"$DATA_DIR/go\" ]; do sleep 0.05; done; echo bye; exit 0' TERM\n\
    echo up >\"$TMP_DIR/up\"; mkdir \"$TMP_DIR/a\"; chmod 500 \"$TMP_DIR/a\"; echo up\n\
    while :; do sleep 600 & wait $!; done\n";

#[test]
fn row_52_gc_removes_the_temporary_folder_of_a_killed_rigup() {
    let mut context = TestContext::new();
    let folder = context.write("tmp/mine", "").parent().unwrap().to_owned();
    context.set("TMPDIR", &folder).set("P_TIMEOUT", "60");
    context.script("here/plugins/p/on_E__1_d.daemon.bg.sh", DAEMON);
    context.script("here/plugins/p/on_E__2_a.sh", "#!/bin/sh\nexec sleep 601\n");
    context.script("here/plugins/p/on_F__1_a.sh", "#!/bin/sh\n: >\"$TMP_DIR/up\"\nexec sleep 602\n");
    let folders = || {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("mine")).collect::<Vec<_>>()
    };
    let removed = |args: &[&str]| {
        let records = context.run(&[&["process", "gc"], args].concat()).succeeds().records();
        let is_folder = |record: &&serde_json::Value| record["reason"] == "its rigup was killed";
        records.iter().filter(is_folder).map(|record| record["path"].clone()).collect::<Vec<_>>()
    };
    let killed = context.start(&["run", "E"]);
    wait_until("both hooks run", || context.count_live("sleep 60") == 2);
    let [left] = &folders()[..] else { panic!("{:?}", folders()) };
    kill(killed);
    assert_eq!(removed(&[]), [json!(null); 0], "its daemon has not exited");
    assert!(left.join("up").exists());
    fs::write(context.path("data/go"), "").unwrap();
    wait_until("the daemon has exited", || context.live_processes().is_empty());

    let live = context.start(&["run", "F"]);
    wait_until("the hook runs", || context.count_live("sleep 602") == 1 && folders().len() == 2);
    let copy = context.path("copy");
    assert!(Command::new("cp").arg("-a").args([&context.path("data"), &copy]).status().unwrap().success());
    context.run(&["--data-dir", copy.to_str().unwrap(), "process", "gc"]).succeeds();
    assert_eq!(folders().len(), 2, "they belong to the original data dir");
    assert_eq!(removed(&["--dry-run"]), [json!(left)]);
    assert!(left.join("up").exists());
    assert_eq!(removed(&[]), [json!(left)]);
    assert!(!left.exists() && folders().len() == 1, "{:?}", folders());
    assert!(folders()[0].join("up").exists(), "its rigup lives");
    kill(live);
    // The automatic collection, which is due, has the same effect.
    let yesterday = SystemTime::now() - Duration::from_hours(25);
    let stamp = File::options().write(true).open(context.path("data/locks/gc")).unwrap();
    stamp.set_modified(yesterday).unwrap();
    context.run(&["exec", "--", "true"]).succeeds();
    assert_eq!(folders(), Vec::<PathBuf>::new());
    assert!(folder.join("mine").exists());
    assert_nothing_is_left(&context);
}

#[test]
fn row_51_a_rigup_that_is_killed_between_two_events_leaves_nothing() {
    let context = TestContext::new();
    let daemon = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 600 & wait $!; done";
    let finite = "[ -e \"$DATA_DIR/go\" ] || exec sleep 601";
    for (name, body) in [
        ("A__1_d.daemon.bg.sh", daemon),
        ("A__2_a.sh", "echo a"),
        ("A__3_f.finite.bg.sh", finite),
        ("B__1_b.sh", "echo b"),
    ] {
        context.script(&format!("here/plugins/p/on_{name}"), &format!("#!/bin/sh\n{body}\n"));
    }
    let rigup = context.start(&["run", "A,B"]);
    let has_exited = |hook: &Value| hook["status"] == "exited";
    wait_until("the first event waits for its finite hook", || {
        context.count_live("sleep 601") == 1 && context.hook_processes().iter().any(has_exited)
    });
    kill(rigup);
    wait_until("the waiters have exited", || context.live_processes().is_empty());
    let hooks = context.hook_processes();
    let exits: Vec<_> = hooks.iter().map(|hook| (&hook["exit_reason"], &hook["exit_code"])).collect();
    let stopped = json!("stopped");
    assert_eq!(exits, [(&stopped, &json!(0)), (&json!("exited"), &json!(0)), (&stopped, &json!(143))]);
    assert_eq!((&hooks[0]["stdout_tail"], &hooks[0]["warnings"]), (&json!("up\nbye\n"), &json!([])));
    let run_dir = Path::new(hooks[0]["run_dir"].as_str().unwrap());
    assert!(run_dir.join("exit.json").exists() && !run_dir.join("process.pid").exists());

    fs::write(context.path("data/go"), "").unwrap();
    context.run(&["run", "A,B"]).succeeds();
    let hooks = context.hook_processes();
    assert_eq!(hooks.len(), 7, "{hooks:?}");
    assert!(hooks[3..].iter().all(|hook| hook["exit_code"] == 0), "{hooks:?}");
    assert_nothing_is_left(&context);
}

#[test]
fn row_53_the_next_command_terminates_what_a_killed_rigup_was_probing() {
    // One provider probes the program in its hook, and rigup does so after the other's.
    for provider in ["env", "p"] {
        let mut context = TestContext::new();
        let x = context.script("tools/x", "#!/bin/sh\nsetsid sleep 601 &\nsleep 600\n");
        context.set("PATH", format!("{}:/usr/bin:/bin", context.path("tools").display()));
        context.provider(
            "p",
            &format!("#!/bin/sh\necho '{}'\n", RECORD.replace("/bin/sh", x.to_str().unwrap())),
        );
        context.without_registries();
        let probed = context.start(&["install", "x", "--binproviders", provider, "--timeout", "60"]);
        wait_until("it is probed", || {
            ["sleep 600", "sleep 601"].iter().all(|run| context.count_live(run) == 2)
        });
        let live = context.start(&["exec", "--", "sleep", "602"]);
        wait_until("another rigup runs", || context.count_live("sleep 602") == 1);
        kill(probed);
        assert!(context.count_live("sleep 600") > 0, "{provider}");
        context.run(&["process", "gc"]).succeeds();
        let left = context.live_processes().into_iter().filter(|(_, line)| !line.contains("sleep 602"));
        assert_eq!(left.collect::<Vec<_>>(), [], "{provider}");
        signal(live.id(), Signal::SIGTERM);
        live.wait_with_output().unwrap();
        assert_nothing_is_left(&context);
    }
}
