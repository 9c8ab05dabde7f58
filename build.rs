//! Triggers a rebuild if a file is added or changed in one of the folders that are embedded in the executable.

fn main() {
    for folder in ["providers", "examples"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
