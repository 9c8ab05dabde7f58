//! Benchmarks of the parts of the library whose time grows with their input.
//!
//! `cargo bench --locked` runs all of them, and `cargo bench --locked -- store` those with `store` in their names.
//! `benches/compare.sh` compares whole commands with other programs.

mod link;
mod plan;
mod protocol;
mod store;

use std::path::Path;

use tempfile::TempDir;

/// Returns a folder in memory if possible: how long a file takes to create on a disk depends on what was deleted before.
fn folder() -> TempDir {
    let memory = tempfile::tempdir_in(Path::new("/dev/shm"));
    memory.or_else(|_| tempfile::tempdir()).expect("a folder for temporary files")
}

fn main() {
    divan::main();
}
