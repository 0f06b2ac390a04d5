//! Documents and route metadata: any bytes are refused with every problem named, or read and asked about any request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::capture::select::{Chance, at_request, needs_route};
use reprise_core::config::{Document, Overrides};
use reprise_core::gate::Request;

fuzz_target!(|bytes: &[u8]| {
    let overrides = serde_json::from_slice(bytes).ok().map(|value| Overrides::read(&value));
    match Document::read(bytes) {
        Ok(None) => {}
        Ok(Some(document)) => {
            let selection = document.routes.select(b"POST", b"a.test", bytes);
            let policy = document.routes.policy(selection, overrides.and_then(Result::ok).as_ref());
            let chance = Chance {
                key: &[7; 32],
                draw: 7,
                principal: b"p",
            };
            let _selected = at_request(&policy.capture, &Request::read(bytes), Some(b"r"), &chance);
            let _needs = needs_route(&policy.capture);
            let _captures = document.captures() || document.captures_safe_methods();
        }
        Err(errors) => assert!(!errors.0.is_empty() && errors.0.iter().all(|error| !error.path.is_empty())),
    }
});
