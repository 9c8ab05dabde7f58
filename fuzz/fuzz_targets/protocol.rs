#![no_main]

#[path = "../properties/protocol.rs"]
mod protocol;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocol::check(bytes));
