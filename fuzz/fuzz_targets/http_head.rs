#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pxe_http::fuzzing::fuzz_head(data));
