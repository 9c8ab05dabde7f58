#![no_main]

#[path = "../properties/hook_name.rs"]
mod hook_name;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hook_name::check(bytes));
