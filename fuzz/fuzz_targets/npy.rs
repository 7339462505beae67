#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| swav_tests::fuzzed::any_array(bytes));
