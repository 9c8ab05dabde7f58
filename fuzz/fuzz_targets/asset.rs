#![no_main]

#[path = "../properties/asset.rs"]
mod asset;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| asset::check(bytes));
