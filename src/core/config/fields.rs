//! Every field of the document: the tables.

mod capture;

pub(super) use capture::{CaptureFields, OnlyFields, RedactFields, SampleFields};

use super::kind::{
    AnswerStatus, EncoderKind, Flag, HeaderName, HostText, MethodNames, Pointer, PrincipalSources, ProblemStatuses,
    ProtectedMethods, ReleaseStatuses, choice, in_steps, list, nullable, rules, statuses, text, uri, whole,
};
use super::preset::Preset;
use super::table::{fields, table};
use super::{
    Anonymous, Encoder, Execution, Fingerprint, HeaderSyntax, InFlight, Methods, Mode, OnFull, OnIncomplete, OnUnknown,
    PrincipalSource, ReleaseOn, Scope, StatusSet,
};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// A week.
const RETAIN_S_MAX: u64 = 604_800;

/// Statuses that say by default that nothing ran.
const RELEASED: [u16; 7] = [401, 403, 407, 408, 421, 425, 429];

fn released() -> ReleaseOn {
    let statuses = RELEASED.into_iter().fold(StatusSet::NONE, StatusSet::with);
    ReleaseOn {
        statuses,
        retry_after_503: true,
    }
}

fields! {
    /// The document.
    pub(super) struct DocumentFields {
        /// The version of this format; required.
        version: u64 = whole(1..=1), 1;
        /// Names this layer, as part of the default namespace; two layers on one path must differ.
        name: String = text(128), "reprise".into();
        /// Where replayd is: captures go there, and the policy comes from there.
        replayd: ReplaydFields = table::<ReplaydFields>(), ReplaydFields::default();
        /// How much the filter holds in memory.
        limits: LimitFields = table::<LimitFields>(), LimitFields::default();
        /// How a volatile upstream is brought back.
        restore: RestoreFields = table::<RestoreFields>(), RestoreFields::default();
        /// How problems are told to clients.
        problem: ProblemFields = table::<ProblemFields>(), ProblemFields::default();
        /// Where a caller's identity is read from; the first source that is present counts, later ones are never
        /// tried. A header must be one that the connection manager removes from external clients.
        principal: Vec<PrincipalSource> = PrincipalSources, vec![PrincipalSource::Authorization];
        /// Idempotency keys.
        idempotency: KeyFields = table::<KeyFields>(), KeyFields::default();
        /// What is captured.
        capture: CaptureFields = table::<CaptureFields>(), CaptureFields::default();
        /// What some paths want, over the defaults above. Rules whose path, host and methods match count field by field;
        /// the more specific path wins, then the later rule.
        rules: Vec<RuleFields> = rules(), Vec::new();
    }
    later {
        resources = [];
        hooks = {"enabled": true, "on_error": "ignore", "body_bytes_max": 262144, "hooks": []};
        approvals = {"enabled": false, "scope": [], "rules": []};
    }
}

/// The fields of `idempotency`: those that a route may set too, and those of the store.
pub(super) type KeyFields = (RouteFields, StoreFields);

fields! {
    /// How much the filter holds in memory.
    pub(super) struct LimitFields {
        /// Bytes of copies that one worker holds at once; above it completions leave tombstones.
        buffered_bytes_max: u64 = whole(65_536..=512 * MIB), 64 * MIB;
        /// Bytes of captures that one worker holds at once, those that travel included; above it bodies are left out,
        /// then captures are dropped and counted.
        capture_bytes_max: u64 = whole(65_536..=512 * MIB), 16 * MIB;
        /// Largest request that is held whole, in bytes; Envoy's buffer limit has to be above it.
        hold_bytes_max: u64 = whole(1024..=64 * MIB), 4_063_232;
        /// Duplicates that one worker lets wait at once; one more gets `in_flight_status`.
        waiters_max: u64 = whole(1..=100_000), 1000;
        /// Duplicates of one key that wait at once, in all workers; one more gets `in_flight_status`.
        waiters_per_key_max: u64 = whole(1..=1024), 64;
    }
    later {}
}

fields! {
    /// Where replayd is.
    pub(super) struct ReplaydFields {
        /// The proxy's cluster.
        cluster: String = text(256), "replayd".into();
        /// Milliseconds that a call may take.
        timeout_ms: u64 = whole(10..=60_000), 500;
    }
    later {
        wait_cluster = "replayd_wait";
    }
}

fields! {
    /// How a volatile upstream is brought back.
    pub(super) struct RestoreFields {
        /// Whether a new boot id of an upstream closes the gate of its cluster until replayd opens it: for clusters of
        /// one instance whose responses carry Reprise-Boot-Id.
        boot_gate: bool = Flag, false;
    }
    later {}
}

fields! {
    /// How problems are told to clients.
    pub(super) struct ProblemFields {
        /// What a problem's `type` begins with.
        base: String = uri(256), "urn:reprise:problem:".into();
        /// The page that the `Link` header of a problem points at; null = no `Link`.
        docs_url: Option<String> = nullable(uri(1024)), None;
        /// Statuses (400 to 599) that problems have instead of their own, by the last part of their `type`; that of
        /// `in-flight` is `idempotency.in_flight_status`.
        statuses: Vec<(String, u16)> = ProblemStatuses, Vec::new();
    }
    later {}
}

fields! {
    /// What the document, a rule and a route's metadata may say about keys.
    pub(super) struct RouteFields {
        /// off: keys mean nothing; optional: a key protects, a request without one passes; required: a request
        /// without a key is refused with 400; manual: as optional, but a repeat of what is recorded goes on, and its
        /// upstream is told (Reprise-Key-Exists, -Status, -Response) and may ask for the answer (Reprise-Answer: stored).
        mode: Mode = choice(
            &[
                ("off", Mode::Off),
                ("optional", Mode::Optional),
                ("required", Mode::Required),
                ("manual", Mode::Manual),
            ],
            &[],
        ), Mode::Optional;
        /// The methods that a key protects, in upper case, or unsafe for all but GET, HEAD, OPTIONS and TRACE.
        methods: Methods = ProtectedMethods, Methods::Listed(vec!["PATCH".into(), "POST".into()]);
        /// The header that carries the key.
        header: String = HeaderName, "idempotency-key".into();
        /// Other headers that may carry it instead, at most 8; two keys in one request are refused.
        header_aliases: Vec<String> = list(HeaderName, 8), Vec::new();
        /// Keys of one namespace never meet those of another; null = the document's name and the request's host.
        namespace: Option<String> = nullable(text(256)), None;
        /// principal: on another path a key is in use (422); endpoint: it is another key there.
        scope: Scope = choice(&[("principal", Scope::Principal), ("endpoint", Scope::Endpoint)], &[]), Scope::Principal;
        /// What a key means if no source names the caller. share: all such callers share their keys; refuse: 401.
        anonymous: Anonymous = choice(&[("share", Anonymous::Share), ("refuse", Anonymous::Refuse)], &[]),
            Anonymous::Share;
        /// What names a key besides its namespace and its caller. standard: the key alone; django: what the middleware for
        /// Django digests, key, path, method, body and authorization, so that another body is another key; parts: these
        /// of key (always), method, path, query, body and `header:NAME`. Where the body is a part, requests are held to
        /// their ends, up to `limits.hold_bytes_max`.
        encoder: Encoder = EncoderKind, Encoder::Standard;
        /// What tells two requests with one key apart. raw: method, path, query, media type and the body's bytes; none:
        /// nothing, every repeat of a key gets the first answer; json: as raw, but of a body that is JSON what it says:
        /// order of names and white space do not count, numbers count as written.
        fingerprint: Fingerprint = choice(
            &[("raw", Fingerprint::Raw), ("json", Fingerprint::Json), ("none", Fingerprint::None)],
            &[],
        ), Fingerprint::Raw;
        /// Pointers to the values of a JSON body that count, at most 16, beside `fingerprint: json`; `*` is every item. A
        /// value that is not there is one of its own. None = the whole body.
        fields: Vec<String> = list(Pointer, 16), Vec::new();
        /// Longest body that is read as JSON, in bytes: it is copied, without being held up. A longer, encoded
        /// (content-encoding) or invalid one counts by its bytes.
        json_bytes_max: u64 = whole(1024..=MIB), 262_144;
        /// What a duplicate meets while the first request runs. conflict: `in_flight_status`; wait: it is held, and gets
        /// the answer as soon as it is there, or runs if the first one took no effect; run: it runs as well, unprotected.
        in_flight: InFlight = choice(
            &[("conflict", InFlight::Conflict), ("wait", InFlight::Wait), ("run", InFlight::Run)],
            &[],
        ), InFlight::Conflict;
        /// Milliseconds that a duplicate waits at most, from its own end; then it gets `in_flight_status`. The proxy's
        /// `stream_idle_timeout` has to be longer.
        max_wait_ms: u64 = whole(1..=600_000), 10_000;
        /// Seconds that a record lives, from completion; an answer does not extend it.
        retain_s: u64 = whole(1..=RETAIN_S_MAX), 900;
        /// Statuses whose response is stored: all, or a list of codes, classes (2xx) and ranges (200-207). The key is
        /// released after any other, but for a 503 without Retry-After, whose outcome is unknown.
        store_on: StatusSet = statuses("so that no response would be stored; mode: off says that"), StatusSet::ALL;
        /// Statuses that say that nothing ran, so that the key is free again; wins over `store_on`. 503+retry-after is
        /// a 503 that carries Retry-After.
        release_on: ReleaseOn = ReleaseStatuses, released();
        /// What a repeat meets after an unknown outcome. hold: 409 until the record's time is over; release: it runs.
        on_unknown: OnUnknown = choice(&[("hold", OnUnknown::Hold), ("release", OnUnknown::Release)], &[]),
            OnUnknown::Hold;
        /// What becomes of a key whose request's body never ended and that got no response.
        on_incomplete: OnIncomplete = choice(
            &[("release", OnIncomplete::Release), ("unknown", OnIncomplete::Unknown)],
            &[],
        ), OnIncomplete::Release;
        /// The status of an answer: original, or a code that every answer gets.
        answer_status: Option<u16> = AnswerStatus, None;
        /// The status that tells a duplicate that the first request still runs.
        in_flight_status: u64 = whole(400..=599), 409;
        /// Who sends a first request to its upstream. inline: the proxy, and a client that hangs up aborts it; detached:
        /// the filter, from its end on, through `detached_cluster`, so that it runs to its end and a retry finds its answer.
        /// Not with mode: manual, and not with what is written ahead; gRPC, and requests with trailers, run inline.
        execution: Execution = choice(
            &[("inline", Execution::Inline), ("detached", Execution::Detached)],
            &[],
        ), Execution::Inline;
        /// The proxy's cluster that leads to the internal listener of detached requests; needed with execution: detached,
        /// in the same place or in the document's own `idempotency`.
        detached_cluster: Option<String> = nullable(text(256)), None;
    }
    later {
        store = "shared_data";
        on_replayd_down = "closed";
    }
}

fields! {
    /// What only the document says about keys.
    pub(super) struct StoreFields {
        /// Other defaults of the fields that follow, which win where they are written. django: those of the middleware
        /// for Django; with `mode: off` beside it those of its opt-in form.
        preset: Option<Preset> = nullable(choice(&[("django", Preset::Django)], &[])), None;
        /// any: a structured-field string and a bare token are the same key; structured: a bare token is refused.
        header_syntax: HeaderSyntax = choice(
            &[("any", HeaderSyntax::Any), ("structured", HeaderSyntax::Structured)],
            &[],
        ), HeaderSyntax::Any;
        /// Keys that the store can hold.
        keys_max: u64 = in_steps(32, 32..=16_777_216), 262_144;
        /// Keys that one principal may hold; null = no bound.
        keys_per_principal_max: Option<u64> = nullable(whole(1..=16_777_216)), None;
        /// New keys a second that the store must carry for the longest `retain_s` of document and rules; the document is
        /// refused if it cannot. null = not checked.
        expect_keys_per_s: Option<u64> = nullable(whole(1..=10_000_000)), None;
        /// Seconds that unknown outcomes and tombstones live; null = `retain_s` (the route's, where it has one).
        unknown_retain_s: Option<u64> = nullable(whole(1..=RETAIN_S_MAX)), None;
        /// What a new key meets in a full bucket. refuse: 503; evict: the bucket's oldest done record goes.
        on_full: OnFull = choice(&[("refuse", OnFull::Refuse), ("evict", OnFull::Evict)], &[]), OnFull::Refuse;
        /// Milliseconds that a worker's claims live without being renewed.
        lease_ms: u64 = whole(300..=600_000), 15_000;
        /// Largest stored response body, in bytes; a larger one leaves a tombstone.
        response_bytes_max: u64 = whole(1..=MIB), 65_536;
        /// Largest sum of stored responses, in bytes; above it completions leave tombstones.
        response_bytes_total_max: u64 = whole(1..=16 * GIB), 256 * MIB;
        /// Longest time that an upstream may ask a record to live (Reprise-Retain), in seconds.
        retain_max_s: u64 = whole(1..=RETAIN_S_MAX), RETAIN_S_MAX;
    }
    later {}
}

fields! {
    /// What some paths want.
    pub(super) struct RuleFields {
        /// The requests that the rule is about.
        r#match: MatchFields = table::<MatchFields>(), MatchFields::default();
        /// What they want of keys.
        idempotency: RouteFields = table::<RouteFields>(), RouteFields::default();
        /// What of them is captured.
        capture: CaptureFields = table::<CaptureFields>(), CaptureFields::default();
    }
    later {}
}

fields! {
    /// The requests that a rule is about.
    pub(super) struct MatchFields {
        /// Methods in upper case; all if not given.
        methods: Option<Vec<String>> = nullable(MethodNames), None;
        /// A host (any port unless one is given), *.example.com for all names below one, or * for all.
        host: String = HostText, "*".into();
        /// A template: /v1/orders, /v1/orders/{id}, /v1/{*rest}, or * for every path.
        path: String = text(1024), "*".into();
    }
    later {}
}

fields! {
    /// What a route's metadata may say.
    pub(super) struct MetadataFields {
        /// What the route wants of keys.
        idempotency: RouteFields = table::<RouteFields>(), RouteFields::default();
        /// What of it is captured; a safe method counts only if the document names it as well.
        capture: CaptureFields = table::<CaptureFields>(), CaptureFields::default();
    }
    later {}
}
