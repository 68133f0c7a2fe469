#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| router_fuzz::fuzz::header_block(bytes));
