#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { if data.len()>3 && data[0]==b'x' && data[1]==b'y' { assert!(data[2]!=7); } });
