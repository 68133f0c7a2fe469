#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| router_fuzz::fuzz::request(bytes));
