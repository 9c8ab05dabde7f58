//! How long the parts of the library take that grow with what they are given.
//!
//! `cargo bench --locked` runs all of it, `cargo bench --locked -- store` only what has `store` in its name. Whole
//! commands, beside what they stand in for, are measured by `benches/compare.sh`.

mod link;
mod plan;
mod protocol;
mod store;

use std::path::Path;

use tempfile::TempDir;

/// A folder in memory where that can be: how long a file takes to make on a disk depends on what was deleted a minute ago.
fn folder() -> TempDir {
    let memory = tempfile::tempdir_in(Path::new("/dev/shm"));
    memory.or_else(|_| tempfile::tempdir()).expect("a folder for temporary files")
}

fn main() {
    divan::main();
}
