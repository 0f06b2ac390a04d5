//! Policies and acknowledgements: any bytes are refused or read; what is read is written with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use reprise_core::wire::{Ack, Policy};

fn check<M: Message + Default + PartialEq>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        assert!(M::decode(message.encode_to_vec().as_slice()) == Ok(message));
    }
}

fuzz_target!(|bytes: &[u8]| {
    check::<Policy>(bytes);
    check::<Ack>(bytes);
});
