//! The tables of capture, and how one is laid over another.

use crate::config::kind::{
    Excluded, Flag, HeaderValues, MediaRange, MethodNames, Pointer, Rate, SampledBy, Seal, SecretField, SecretHeader,
    choice, list, nullable, statuses, text, whole,
};
use crate::config::table::{fields, table};
use crate::config::{Durability, Exclude, OnReplaydDown, SampleBy, StatusSet};
use alloc::string::String;
use alloc::vec::Vec;

const MIB: u64 = 1 << 20;

fields! {
    /// What the document, a rule and a route's metadata may say about capture.
    pub(in crate::config) struct CaptureFields {
        /// Whether exchanges are captured.
        enabled: bool = Flag, false;
        /// The methods that are, in upper case.
        methods: Vec<String> = MethodNames, ["DELETE", "PATCH", "POST", "PUT"].map(String::from).into();
        /// The statuses that are: all, or a list of codes, classes (2xx) and ranges (200-207). An exchange without a
        /// response is captured where all statuses are.
        statuses: StatusSet = statuses("so that nothing would be captured; enabled: false says that"), StatusSet::ALL;
        /// What is not captured: path templates as in rules, and routes of the proxy as {"route": "name"}.
        exclude: Vec<Exclude> = list(Excluded, 256), Vec::new();
        /// What is captured only.
        only: OnlyFields = table::<OnlyFields>(), OnlyFields::default();
        /// Which part of it.
        sample: SampleFields = table::<SampleFields>(), SampleFields::default();
        /// async: nothing waits; `write_ahead`: the request is on disk before it is forwarded; `write_ahead_response`: the
        /// response too before its last byte leaves.
        durability: Durability = choice(
            &[
                ("async", Durability::Async),
                ("write_ahead", Durability::WriteAhead),
                ("write_ahead_response", Durability::WriteAheadResponse),
            ],
            &[],
        ), Durability::Async;
        /// What becomes of a request that cannot be written ahead. open: it goes on, and is counted; closed: 503;
        /// null = open for async, where nothing waits, and closed for the others.
        on_replayd_down: Option<OnReplaydDown> = nullable(choice(
            &[("open", OnReplaydDown::Open), ("closed", OnReplaydDown::Closed)],
            &[],
        )), None;
        /// Largest body that is kept whole, in bytes; of a larger one the first bytes are kept, with its length and hash.
        body_bytes_max: u64 = whole(0..=16 * MIB), MIB;
        /// Labels of every capture.
        labels: Vec<String> = list(text(64), 16), Vec::new();
        /// What nobody may see.
        redact: RedactFields = table::<RedactFields>(), RedactFields::default();
    }
    later {}
}

fields! {
    /// What is captured only; what is not given allows all.
    pub(in crate::config) struct OnlyFields {
        /// Request headers and the value that each must have; * = any.
        headers: Vec<(String, String)> = HeaderValues, Vec::new();
        /// Media types of the request, without parameters; application/* fits all of them.
        content_types: Vec<String> = list(MediaRange, 32), Vec::new();
        /// Largest sum of both bodies, in bytes; null = any.
        bytes_max: Option<u64> = nullable(whole(0..=1 << 40)), None;
        /// Shortest time from request to end, in milliseconds; null = any.
        latency_min_ms: Option<u64> = nullable(whole(1..=3_600_000)), None;
    }
    later {}
}

fields! {
    /// Which part is captured.
    pub(in crate::config) struct SampleFields {
        /// The part, from 0 to 1.
        rate: u32 = Rate, 1_000_000;
        /// What is wholly in or wholly out: principal, path, {"header": "x-session"} or {"cookie": "sid"}; null = each
        /// exchange by itself, as is one without that header, cookie or principal.
        by: Option<SampleBy> = nullable(SampledBy), None;
    }
    later {}
}

fields! {
    /// What nobody may see, besides authorization, cookie, set-cookie, proxy-authorization and x-api-key.
    pub(in crate::config) struct RedactFields {
        /// Headers of requests and responses.
        headers: Vec<String> = list(SecretHeader, 64), Vec::new();
        /// Fields of queries: of the target, and of every URL in a header. Case does not count.
        query: Vec<String> = list(SecretField, 64), Vec::new();
        /// Fields of forms. Case does not count.
        form: Vec<String> = list(SecretField, 64), Vec::new();
        /// JSON pointers; a segment * stands for every item of a list and every field of an object.
        json: Vec<String> = list(Pointer, 64), Vec::new();
        /// What is redacted, but kept for replays, encrypted: header:NAME, query:NAME, form:NAME, json:POINTER.
        seal: Vec<String> = list(Seal, 64), Vec::new();
    }
    later {}
}
