//! Many concurrent commands, and many hooks in a row, lose no record, leave nothing behind and leak no resources.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests start rigup, read files and print figures themselves, and an error in them is a failed test"
)]

#[path = "../faults/leftovers.rs"]
mod leftovers;
mod random_kills;
mod soak;
#[expect(dead_code, reason = "shared with the tests in tests/cli, which use all of it")]
#[path = "../cli/test_context.rs"]
mod test_context;
mod together;

use std::fs;
use std::path::PathBuf;

use leftovers::{assert_nothing_is_left, incomplete_files};
use test_context::TestContext;

/// Creates an empty context with its own folder for temporary files.
fn context() -> TestContext {
    let mut context = TestContext::new();
    context.set("TMPDIR", context.path("tmp"));
    fs::create_dir(context.path("tmp")).unwrap();
    context
}

/// Runs a query that returns one number.
fn count(context: &TestContext, sql: &str) -> i64 {
    context.store().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Asserts that exactly these numbers of hooks and commands are recorded, and that all exited with 0.
#[track_caller]
fn assert_recorded(context: &TestContext, hooks: usize, commands: usize) {
    let exited = |kind: &str| {
        let sql = format!(
            "SELECT count(*) FROM process WHERE process_type = '{kind}' AND status = 'exited' \
             AND exit_reason = 'exited' AND exit_code = 0"
        );
        usize::try_from(count(context, &sql)).unwrap()
    };
    assert_eq!((exited("hook"), exited("cli")), (hooks, commands));
    assert_eq!(usize::try_from(count(context, "SELECT count(*) FROM process")).unwrap(), hooks + commands);
}

/// Asserts that the store is intact, and that no incomplete files, temporary files or files of live processes are left.
#[track_caller]
fn assert_intact(context: &TestContext) {
    let integrity: String =
        context.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert_eq!(count(context, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_nothing_is_left(context);
    assert_eq!(incomplete_files(context), [] as [PathBuf; 0]);
    let is_of_live_process = |path: &PathBuf| {
        path.ends_with("process.pid") || path.ends_with("waiting") && path.read_dir().unwrap().count() > 0
    };
    let paths =
        walkdir::WalkDir::new(context.path("data")).into_iter().map(|entry| entry.unwrap().into_path());
    assert_eq!(paths.filter(is_of_live_process).collect::<Vec<_>>(), [] as [PathBuf; 0]);
    assert_eq!(fs::read_dir(context.path("tmp")).unwrap().count(), 0);
}
