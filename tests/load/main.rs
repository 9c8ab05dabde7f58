//! Much at once, and much in a row: nothing is lost, nothing is left behind, nothing becomes more and more.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests start rigup, read files and tell figures by themselves, and what goes wrong in them is a failure"
)]

#[path = "../faults/aftermath.rs"]
mod aftermath;
mod soak;
#[expect(dead_code, reason = "shared with the tests of the command line, which use all of it")]
#[path = "../cli/test_context.rs"]
mod test_context;
mod together;

use std::fs;
use std::path::PathBuf;

use aftermath::{half_made, nothing_is_left};
use test_context::TestContext;

/// An empty place with a folder of its own for temporary files.
fn context() -> TestContext {
    let mut context = TestContext::new();
    context.set("TMPDIR", context.path("tmp"));
    fs::create_dir(context.path("tmp")).unwrap();
    context
}

/// The number that a query has for its answer.
fn count(context: &TestContext, sql: &str) -> i64 {
    context.store().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// So many hooks are recorded, each with its ending, and so many rigups; and nothing else.
#[track_caller]
fn assert_recorded(context: &TestContext, hooks: usize, rigups: usize) {
    let ended = |kind: &str| {
        let sql = format!(
            "SELECT count(*) FROM process WHERE process_type = '{kind}' AND status = 'exited' \
             AND exit_reason = 'exited' AND exit_code = 0"
        );
        usize::try_from(count(context, &sql)).unwrap()
    };
    assert_eq!((ended("hook"), ended("cli")), (hooks, rigups));
    assert_eq!(usize::try_from(count(context, "SELECT count(*) FROM process")).unwrap(), hooks + rigups);
}

/// The store is whole, and nothing is left: of what is made beside its place and then moved there, of what a rigup waited
/// for, in the folder for temporary files.
#[track_caller]
fn assert_nothing_is_left(context: &TestContext) {
    let integrity: String =
        context.store().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert_eq!(count(context, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    nothing_is_left(context);
    assert_eq!(half_made(context), [] as [PathBuf; 0]);
    let is_of_a_living = |path: &PathBuf| {
        path.ends_with("process.pid") || path.ends_with("waiting") && path.read_dir().unwrap().count() > 0
    };
    let all = walkdir::WalkDir::new(context.path("data")).into_iter().map(|it| it.unwrap().into_path());
    assert_eq!(all.filter(is_of_a_living).collect::<Vec<_>>(), [] as [PathBuf; 0]);
    assert_eq!(fs::read_dir(context.path("tmp")).unwrap().count(), 0);
}
