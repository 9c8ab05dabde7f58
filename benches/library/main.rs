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

/// Returns a temporary folder, in memory if possible: on a disk, the time to create a file depends on what was deleted
/// before.
fn folder() -> TempDir {
    let memory = tempfile::tempdir_in(Path::new("/dev/shm"));
    memory.or_else(|_| tempfile::tempdir()).expect("a temporary folder can be created")
}

fn main() {
    divan::main();
}
