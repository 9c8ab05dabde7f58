//! What is left of a killed rigup once `gc` has run.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

use crate::leftovers::{assert_nothing_is_left, incomplete_files};
use crate::test_context::TestContext;

/// Asserts that `gc` removes everything that a killed rigup has left, once that is more than a day old.
#[track_caller]
pub(crate) fn assert_gc_leaves_nothing(context: &TestContext, args: &[&str]) {
    let over_a_day_ago = SystemTime::now() - Duration::from_hours(25);
    let paths = WalkDir::new(context.path("data")).into_iter().map(|entry| entry.unwrap().into_path());
    for folder in paths.filter(|path| path.is_dir()) {
        File::open(folder).unwrap().set_modified(over_a_day_ago).unwrap();
    }
    context.run(&[&["process", "gc"], args].concat()).succeeds();
    assert_nothing_is_left(context);
    assert_eq!(incomplete_files(context), [] as [PathBuf; 0]);
}
