#![no_main]

#[path = "../properties/lockfile.rs"]
mod lockfile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lockfile::check(bytes));
