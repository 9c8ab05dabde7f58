//! Kills rigup before each of its changes: the Nth run before its Nth change, until a run has fewer than N changes.

use std::fs;

use rigup::internal::{Binary, ExitReason, Process, ProcessFilter, Store};
use walkdir::WalkDir;

use crate::BUILDING;
use crate::collected::assert_gc_leaves_nothing;
use crate::test_context::{TestContext, wait_until};
use crate::tracer::{Change, TracedExit, kill_before};

/// The kinds of changes that are rare enough to kill rigup before each one.
const RARE: &[Change] = &[Change::Rename, Change::Link, Change::Sync, Change::Remove, Change::Start];
const FILES: &[Change] = &[Change::Folder, Change::File, Change::Content];

/// If this environment variable is set, the tests kill rigup before every change, which takes a few minutes.
const ALL_KILLS: &str = "RIGUP_TEST_ALL_KILLS";

/// Kills rigup before every `step`-th of these changes, each time in a new context, and calls `after` with that
/// context.
#[expect(clippy::print_stdout, reason = "shown with --nocapture: the counts in docs/reliability.md")]
fn kill_anywhere(
    prepare: impl Fn() -> TestContext,
    args: &[&str],
    changes: &[Change],
    step: usize,
    after: impl Fn(&TestContext),
) {
    let step = if std::env::var_os(ALL_KILLS).is_some() { 1 } else { step };
    for kills in 0.. {
        let context = prepare();
        let nth = 1 + kills * step;
        match kill_before(&context, args, nth, |change| changes.contains(&change)) {
            TracedExit::Killed(call) => {
                let _report = OnPanic(format!("rigup was killed before change {nth}: {call}"));
                after(&context);
            }
            TracedExit::Exited { code, .. } => {
                wait_until("every process has exited", || context.live_processes().is_empty());
                assert_eq!(code, 0, "{}", fs::read_to_string(context.path("output")).unwrap());
                assert_ne!(kills, 0, "rigup made a change");
                println!("killed {kills} times: {args:?}, {changes:?}");
                return;
            }
        }
    }
}

/// Prints its message if a later check fails.
struct OnPanic(String);

impl Drop for OnPanic {
    #[expect(clippy::print_stdout, reason = "shown if the test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// Returns the binaries and processes in the store, or none if there is no store.
fn records(context: &TestContext) -> (Vec<Binary>, Vec<Process>) {
    let (data_dir, bin) = (context.path("data"), context.bin(""));
    let store = Store::open_existing(&data_dir, bin.parent().unwrap()).unwrap();
    let Some(store) = store else { return Default::default() };
    let machines = store.machines().unwrap();
    let binaries = machines.iter().flat_map(|machine| store.binaries_of(machine.id).unwrap().into_values());
    (binaries.collect(), store.processes(&ProcessFilter::default()).unwrap())
}

/// Asserts that each binary that is recorded as installed exists, is linked and matches its record, and returns their
/// number.
fn check_installed(context: &TestContext) -> usize {
    let (binaries, _) = records(context);
    let mut count = 0;
    for binary in &binaries {
        let Some(installed) = binary.installed() else { continue };
        assert_eq!(rigup::internal::sha256(&installed.abspath).unwrap(), installed.sha256);
        assert_eq!(context.linked_file(&binary.name), installed.abspath);
        count += 1;
    }
    count
}

fn check_killed_install(changes: &[Change], step: usize) {
    const INSTALL: &[&str] = &["install", "a", "b", "c", "--binproviders", "good"];
    let prepare = || {
        let context = TestContext::new();
        context.fixture("good");
        context
    };
    kill_anywhere(prepare, INSTALL, changes, step, |context| {
        check_installed(context);
        context.run(INSTALL).succeeds();
        assert_eq!(check_installed(context), 3);
        assert_gc_leaves_nothing(context, &[]);
    });
}

#[test]
fn row_12_a_killed_install_is_finished_by_the_next_one() {
    check_killed_install(RARE, 1);
}

#[test]
fn row_12_an_install_killed_at_a_store_write_is_finished_by_the_next_one() {
    check_killed_install(&[Change::Store], 12);
}

#[test]
#[ignore = "takes half a minute"]
fn row_12_an_install_killed_at_a_file_write_is_finished_by_the_next_one() {
    check_killed_install(FILES, 5);
}

#[test]
fn row_12_a_killed_install_leaves_the_old_link_or_the_new_one() {
    const REPLACE: &[&str] = &["install", "sh", "--force", "--binproviders", "env"];
    let prepare = || {
        let context = TestContext::new();
        context.fixture("good");
        context.run(&["install", "sh", "--binproviders", "good"]).succeeds();
        context
    };
    let old = |context: &TestContext| context.bin("").parent().unwrap().join("good/sh");
    kill_anywhere(prepare, REPLACE, RARE, 1, |context| {
        let link = context.linked_file("sh");
        assert!(link == old(context) || link.ends_with("bin/sh") && link.is_file(), "{}", link.display());
        context.run(REPLACE).succeeds();
        assert_ne!(context.linked_file("sh"), old(context));
        assert_eq!(check_installed(context), 1);
        assert_gc_leaves_nothing(context, &[]);
    });
}

#[test]
fn row_12_a_killed_replacement_of_a_prefix_leaves_a_version_that_runs() {
    const INSTALL: &[&str] = &["install", "x", "--binproviders", "p"];
    let lib = |context: &TestContext| context.bin("").parent().unwrap().to_owned();
    let prepare = || {
        let context = TestContext::new();
        context.provider("p", BUILDING);
        context.run(INSTALL).succeeds();
        let part = lib(&context).join("p/x.part");
        context.script(part.join("bin/x").to_str().unwrap(), "#!/bin/sh\necho 2.0\n");
        context.write(part.join("bin/other").to_str().unwrap(), "");
        context
    };
    for nth in 1.. {
        let context = prepare();
        let [built, program] =
            ["p/x.part", "p/x/bin/x"].map(|path| lib(&context).join(path).display().to_string());
        let args =
            ["hook", "binary", "--provider", "p", "--built", &built, "--abspath", &program, "--", "--name=x"];
        let is_counted = |change| matches!(change, Change::Rename | Change::Remove);
        let TracedExit::Killed(call) = kill_before(&context, &args, nth, is_counted) else {
            assert!(nth > 3, "the folders are exchanged, and the files of the old one are removed");
            break;
        };
        let _report = OnPanic(format!("rigup was killed before change {nth}: {call}"));
        assert!(std::process::Command::new(program).output().unwrap().stdout.ends_with(b".0\n"));
        context.run(&["uninstall", "--orphaned", "--yes"]).succeeds();
        assert!(!lib(&context).join("p/x.part").exists());
        context.run(INSTALL).succeeds();
        assert_eq!(check_installed(&context), 1);
    }
}

/// Creates a context with a store.
fn context_with_store() -> TestContext {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["process", "gc"]).succeeds();
    context
}

/// Asserts that each run exits on its own, that it is recorded with its exit code or as lost, and that `gc` removes its
/// run dir.
fn check_runs(context: &TestContext) {
    wait_until("every run has exited", || context.live_processes().is_empty());
    context.run(&["process", "gc", "--ttl", "0"]).succeeds();
    assert_gc_leaves_nothing(context, &[]);
    for process in records(context).1 {
        let exit = process.exit().unwrap();
        let is_observed = exit.exit_code == Some(0) && exit.reason == ExitReason::Exited;
        let is_lost = exit.exit_code.is_none() && exit.reason == ExitReason::Lost;
        assert!(is_observed || is_lost, "{process:?}");
    }
    let run_dirs =
        WalkDir::new(context.path("data/processes")).min_depth(1).into_iter().filter_map(Result::ok);
    assert_eq!(run_dirs.count(), 0, "gc removes every run dir");
}

#[test]
fn row_12_a_killed_start_leaves_a_correct_run_or_none() {
    const START: &[&str] = &["start", "--slug", "s", "--", "true"];
    for (changes, step) in [(RARE, 1), (FILES, 1), (&[Change::Store], 5)] {
        kill_anywhere(context_with_store, START, changes, step, |context| {
            context.run(START).succeeds();
            check_runs(context);
        });
    }
}

#[test]
fn row_12_a_killed_gc_is_finished_by_the_next_one() {
    let prepare = || {
        let context = context_with_store();
        context.run(&["start", "--slug", "s", "--", "true"]).succeeds();
        wait_until("the run has exited", || context.live_processes().is_empty());
        context
    };
    let all = [RARE, FILES, &[Change::Store]].concat();
    kill_anywhere(prepare, &["process", "gc", "--ttl", "0"], &all, 1, check_runs);
}

#[test]
#[ignore = "takes half a minute"]
fn row_12_a_killed_event_leaves_no_hook_without_a_record() {
    const RUN: &[&str] = &["run", "Snapshot"];
    let prepare = || {
        let context = context_with_store();
        context.script("here/plugins/p/on_Snapshot__10_first.sh", "#!/bin/sh\n");
        let daemon = "#!/bin/sh\necho ready\nexec sleep 600\n";
        context.script("here/plugins/p/on_Snapshot__20_daemon.daemon.bg.sh", daemon);
        context.script("here/plugins/p/on_Snapshot__30_last.sh", "#!/bin/sh\n");
        context
    };
    for (changes, step) in [(RARE, 1), (FILES, 3), (&[Change::Store], 9)] {
        kill_anywhere(prepare, RUN, changes, step, |context| {
            context.run(RUN).succeeds();
            wait_until("the waiter has terminated its hook", || context.live_processes().is_empty());
            assert_gc_leaves_nothing(context, &[]);
        });
    }
}
