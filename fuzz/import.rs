//! Imported files: any bytes are refused with a place inside them, or read; what is read goes out and comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| replayd::try_any(bytes));
