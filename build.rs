//! Triggers a rebuild if a file is added or changed in one of the folders that are embedded in the executable, computes the hash
//! of the built-in providers, so that no start of rigup has to, and compresses the table of programs, which few commands read.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

const PROGRAMS: &str = "src/toolkit/repository/programs.txt";

#[expect(clippy::disallowed_methods, reason = "Cargo sets OUT_DIR for this program")]
fn main() -> io::Result<()> {
    for path in ["providers", "examples", PROGRAMS] {
        println!("cargo::rerun-if-changed={path}");
    }
    let mut hasher = DefaultHasher::new();
    for folder in entries(Path::new("providers"))? {
        for file in entries(&folder)? {
            let mut content = Vec::new();
            File::open(&file)?.read_to_end(&mut content)?;
            (file.as_os_str(), content).hash(&mut hasher);
        }
    }
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        // At a fixed address, as the static executable: otherwise, the loader changes 300 KB of it at each start, which takes
        // half a millisecond.
        println!("cargo::rustc-link-arg-bins=-no-pie");
        link_unwinder();
    }
    println!("cargo::rustc-env=RIGUP_PROVIDERS_HASH={:016x}", hasher.finish());
    let out_dir = env::var_os("OUT_DIR").expect("Cargo runs this program");
    compress(Path::new(PROGRAMS), &Path::new(&out_dir).join("programs.txt.gz"))
}

/// Links the part of GCC's library that unwinds the stack into the executable, if the linker has it: otherwise, the loader loads
/// a library for it at each start, which takes 0.15 ms.
#[expect(clippy::disallowed_methods, reason = "Cargo sets the linker for this program, and no hook is run")]
fn link_unwinder() {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let Ok(found) = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output() else { return };
    let archive = String::from_utf8_lossy(&found.stdout);
    // Without the archive, the name alone is printed.
    if let Some((folder, _)) = archive.trim().rsplit_once('/') {
        println!("cargo::rustc-link-search=native={folder}");
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Returns whether a variable that Cargo sets for this program has a value.
#[expect(clippy::disallowed_methods, reason = "Cargo sets it for this program")]
fn is(variable: &str, value: &str) -> bool {
    env::var_os(variable).is_some_and(|found| found == value)
}

/// Writes a compressed copy of a file.
fn compress(file: &Path, compressed: &Path) -> io::Result<()> {
    let mut encoder = GzEncoder::new(File::create(compressed)?, Compression::best());
    io::copy(&mut File::open(file)?, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

/// Returns the entries of a folder, sorted: the order of the system differs from machine to machine.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}
