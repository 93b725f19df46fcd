#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pxe_iso::fuzzing::fuzz_iso(data));
