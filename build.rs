//! Triggers a rebuild if a file is added or changed in one of the folders that are embedded in the executable, and computes the
//! hash of the built-in providers, so that no start of rigup has to.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    for folder in ["providers", "examples"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    let mut hasher = DefaultHasher::new();
    for folder in entries(Path::new("providers"))? {
        for file in entries(&folder)? {
            let mut content = Vec::new();
            File::open(&file)?.read_to_end(&mut content)?;
            (file.as_os_str(), content).hash(&mut hasher);
        }
    }
    println!("cargo::rustc-env=RIGUP_PROVIDERS_HASH={:016x}", hasher.finish());
    Ok(())
}

/// Returns the entries of a folder, sorted: the order of the system differs from machine to machine.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}
