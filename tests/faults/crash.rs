//! rigup killed anywhere: before each of its changes, one run after the other, until a run has no such change any more.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rigup::model::binary::Binary;
use rigup::model::process::{ExitReason, Process};
use rigup::store::{ProcessFilter, Store};
use walkdir::WalkDir;

use crate::aftermath::{self, half_made};
use crate::killer::{Change, Fate, kill_before};
use crate::test_context::{TestContext, wait_until};

/// All changes but those of which there are too many for every one.
const FEW: &[Change] = &[Change::Rename, Change::Link, Change::Sync, Change::Remove, Change::Start];
const FILES: &[Change] = &[Change::Folder, Change::File, Change::Content];

/// Where this variable is set, no change is left out, which takes some minutes.
const ALL: &str = "RIGUP_TEST_ALL_KILLS";

/// Kills a run in a place of its own before every `step`-th of these changes, and lets `after` look at what is left and go
/// on from there.
#[expect(clippy::print_stdout, reason = "shown with --nocapture: the counts in docs/reliability.md")]
fn kill_anywhere(
    prepare: impl Fn() -> TestContext,
    args: &[&str],
    changes: &[Change],
    step: usize,
    after: impl Fn(&TestContext),
) {
    let step = if std::env::var_os(ALL).is_some() { 1 } else { step };
    for tried in 0.. {
        let context = prepare();
        let nth = 1 + tried * step;
        match kill_before(&context, args, nth, |it| changes.contains(&it)) {
            Fate::KillOutcome(call) => {
                let _told = OnPanic(format!("it was killed before change {nth}: {call}"));
                after(&context);
            }
            Fate::Unharmed { code, .. } => {
                wait_until("nothing goes on", || context.live_processes().is_empty());
                assert_eq!(code, 0, "{}", fs::read_to_string(context.path("said")).unwrap());
                assert_ne!(tried, 0, "it changed something");
                println!("killed {tried} times: {args:?}, {changes:?}");
                return;
            }
        }
    }
}

/// Tells where a run was killed, if what came after it is not as it should be.
struct OnPanic(String);

impl Drop for OnPanic {
    #[expect(clippy::print_stdout, reason = "shown where the test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// The records, as far as there are any.
fn records(context: &TestContext) -> (Vec<Binary>, Vec<Process>) {
    let Some(store) = Store::open_existing(&context.path("data")).unwrap() else { return Default::default() };
    let machines = store.machines().unwrap();
    let binaries = machines.iter().flat_map(|it| store.binaries_of(it.id).unwrap().into_values());
    (binaries.collect(), store.processes(&ProcessFilter::default()).unwrap())
}

/// What is called installed is there, is what its record says, and is linked: so many.
fn installed(context: &TestContext) -> usize {
    let (binaries, _) = records(context);
    let installed = binaries.iter().filter_map(|it| Some((&it.name, it.installed()?)));
    let check = |(name, it): (&String, &rigup::model::binary::Installed)| {
        assert_eq!(rigup::fs::digest::sha256(&it.abspath).unwrap(), it.sha256);
        assert_eq!(fs::read_link(context.bin(name)).unwrap(), it.abspath);
    };
    installed.map(check).count()
}

/// Nothing lives, every process is recorded as over, and no file is half-made. A run dir without a record, whose rigup may
/// be about to store that, goes once it is a day old.
fn nothing_is_left(context: &TestContext) {
    let a_day_ago = SystemTime::now() - Duration::from_hours(25);
    let all = WalkDir::new(context.path("data")).into_iter().map(|it| it.unwrap().into_path());
    for folder in all.filter(|it| it.is_dir()) {
        fs::File::open(folder).unwrap().set_modified(a_day_ago).unwrap();
    }
    context.run(&["process", "gc"]).succeeds();
    aftermath::nothing_is_left(context);
    assert_eq!(half_made(context), [] as [PathBuf; 0]);
}

fn killed_install_is_finished(changes: &[Change], step: usize) {
    const INSTALL: &[&str] = &["install", "a", "b", "c", "--binproviders", "good"];
    let prepare = || {
        let context = TestContext::new();
        context.fixture("good");
        context
    };
    kill_anywhere(prepare, INSTALL, changes, step, |context| {
        installed(context);
        context.run(INSTALL).succeeds();
        assert_eq!(installed(context), 3);
        nothing_is_left(context);
    });
}

#[test]
fn row_12_an_install_that_was_killed_at_any_rename_link_sync_removal_or_start_is_finished_by_the_next_one() {
    killed_install_is_finished(FEW, 1);
}

#[test]
fn row_12_an_install_that_was_killed_while_it_wrote_to_the_store_is_finished_by_the_next_one() {
    killed_install_is_finished(&[Change::Store], 12);
}

#[test]
fn row_12_an_install_that_was_killed_while_it_made_files_and_folders_is_finished_by_the_next_one() {
    killed_install_is_finished(FILES, 5);
}

#[test]
fn row_12_an_install_that_was_killed_while_it_replaced_a_link_left_the_old_one_or_the_new_one() {
    const ANEW: &[&str] = &["install", "sh", "--force", "--binproviders", "env"];
    let prepare = || {
        let context = TestContext::new();
        context.fixture("good");
        context.run(&["install", "sh", "--binproviders", "good"]).succeeds();
        context
    };
    let old = |context: &TestContext| context.bin("").parent().unwrap().join("good/sh");
    kill_anywhere(prepare, ANEW, FEW, 1, |context| {
        let link = fs::read_link(context.bin("sh")).unwrap();
        assert!(link == old(context) || link.ends_with("bin/sh") && link.is_file(), "{}", link.display());
        context.run(ANEW).succeeds();
        assert_ne!(fs::read_link(context.bin("sh")).unwrap(), old(context));
        assert_eq!(installed(context), 1);
        nothing_is_left(context);
    });
}

/// A place with a store.
fn begun() -> TestContext {
    let context = TestContext::new();
    context.fixture("good");
    context.run(&["process", "gc"]).succeeds();
    context
}

/// Runs end by themselves, and are recorded with their true end, or as lost.
fn runs_are_over(context: &TestContext) {
    wait_until("the runs are over", || context.live_processes().is_empty());
    context.run(&["process", "gc", "--ttl", "0"]).succeeds();
    nothing_is_left(context);
    for process in records(context).1 {
        let exit = process.exit().unwrap();
        let is_true = exit.exit_code == Some(0) && exit.reason == ExitReason::Exited;
        let is_lost = exit.exit_code.is_none() && exit.reason == ExitReason::Lost;
        assert!(is_true || is_lost, "{process:?}");
    }
    let folders =
        WalkDir::new(context.path("data/processes")).min_depth(1).into_iter().filter_map(Result::ok);
    assert_eq!(folders.count(), 0, "every run dir goes");
}

#[test]
fn row_12_a_start_that_was_killed_anywhere_leaves_a_true_run_or_none() {
    const START: &[&str] = &["start", "--slug", "s", "--", "true"];
    for (changes, step) in [(FEW, 1), (FILES, 1), (&[Change::Store], 5)] {
        kill_anywhere(begun, START, changes, step, |context| {
            context.run(START).succeeds();
            runs_are_over(context);
        });
    }
}

#[test]
fn row_12_a_gc_that_was_killed_anywhere_is_finished_by_the_next_one() {
    let prepare = || {
        let context = begun();
        context.run(&["start", "--slug", "s", "--", "true"]).succeeds();
        wait_until("the run is over", || context.live_processes().is_empty());
        context
    };
    let all = [FEW, FILES, &[Change::Store]].concat();
    kill_anywhere(prepare, &["process", "gc", "--ttl", "0"], &all, 1, runs_are_over);
}

#[test]
fn row_12_an_event_that_was_killed_anywhere_leaves_no_hook_that_is_not_found() {
    const RUN: &[&str] = &["run", "Snapshot"];
    const BESIDE: &str = "on_Snapshot__20_beside.daemon.bg.sh";
    let prepare = || {
        let context = begun();
        context.script("here/plugins/p/on_Snapshot__10_first.sh", "#!/bin/sh\n");
        context.script(&format!("here/plugins/p/{BESIDE}"), "#!/bin/sh\necho ready\nexec sleep 600\n");
        context.script("here/plugins/p/on_Snapshot__30_last.sh", "#!/bin/sh\n");
        context
    };
    for (changes, step) in [(FEW, 1), (FILES, 3), (&[Change::Store], 9)] {
        kill_anywhere(prepare, RUN, changes, step, |context| {
            context.run(RUN).succeeds();
            // A hook beside has somebody who sees it out, and goes on; it is found and ended by its record.
            for process in records(context).1.iter().filter(|it| it.exit().is_none()) {
                assert_eq!(process.spec.hook_name, BESIDE);
                context.run(&["process", "kill", &process.id.to_string()]).succeeds();
            }
            wait_until("their waiters are gone", || context.live_processes().is_empty());
            nothing_is_left(context);
        });
    }
}
