#![no_main]

#[path = "../properties/requirement.rs"]
mod requirement;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| requirement::check(bytes));
