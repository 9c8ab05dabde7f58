//! Makes an incremental build see a new or changed file in the folders that are embedded in the executable.

fn main() {
    for folder in ["providers", "examples"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
