#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pxe_menu::fuzzing::fuzz_grub_cfg(data));
